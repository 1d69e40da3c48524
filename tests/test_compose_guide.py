from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomusic.compose.guide import MAX_BAR_IDS, ClipGuide, Grammar, Plan
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer

TOKENIZER = Tokenizer()
GRAMMAR = Grammar(TOKENIZER.vocabulary)
TEXTS = TOKENIZER.vocabulary.texts
CONTROLS = tuple(TOKENIZER.vocabulary.control_ids(("tempo", "register")).tolist())


def plan(n_bars: int, **changes: Any) -> Plan:
    return Plan(CONTROLS, ((),) * n_bars, **changes)


def lead(guide: ClipGuide, rng: np.random.Generator, *, at_most: int = 100_000, bar: float = 0.1) -> list[int]:  # fmt: skip # noqa: E501
    """Write as a random model would under the guide; return all ids in order."""
    written: list[int] = []
    while not guide.done and len(written) < at_most:
        token = guide.forced()
        if token is None:
            mask = guide.allowed()
            assert mask.dtype == bool and mask.shape == (len(TEXTS),) and mask.any()
            ends = [t for t in (GRAMMAR.bar, GRAMMAR.eos) if mask[t]]
            ids = np.flatnonzero(mask)
            token = int(rng.choice(ends if ends and rng.random() < bar else ids))
        guide.push(token)
        written.append(token)
    return written


def led(the_plan: Plan, seed: int = 0, **settings: Any) -> tuple[ClipGuide, list[int]]:
    guide = ClipGuide(GRAMMAR, the_plan)
    guide.begin(max_ids=0)
    return guide, lead(guide, np.random.default_rng(seed), **settings)


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
@pytest.mark.parametrize(("n_bars", "bounds"), [(1, (21, 108)), (3, (60, 60)), (7, (40, 72))])
def test_every_sequence_is_music(beats_per_bar: int, n_bars: int, bounds: tuple[int, int]) -> None:
    for seed in range(6):
        guide, _ = led(
            plan(n_bars, beats_per_bar=beats_per_bar, lowest=bounds[0], highest=bounds[1]), seed
        )
        assert guide.done and len(guide.bars) == n_bars
        score = TOKENIZER.decode(guide.ids())
        notes = notes_of(score)
        assert notes.pitch.min() >= bounds[0] and notes.pitch.max() <= bounds[1]
        bar = np.floor(notes.onset / beats_per_bar + 1e-9)
        assert sorted(set(bar.tolist())) == list(range(n_bars))
        signature = score.time_signatures[0]
        assert (signature.numerator, signature.denominator) == (beats_per_bar, 4)
        assert len(TOKENIZER.encode(score)) == n_bars


def test_positions_rise_within_a_bar_and_pitches_within_a_position() -> None:
    guide, _ = led(plan(8), 3)
    for bar in guide.bars:
        last_step, last_pitch = -1, -1
        for token in bar[2:]:
            kind, value = TEXTS[token].split("_")
            if kind == "Position":
                assert int(value) > last_step
                last_step, last_pitch = int(value), -1
            elif kind == "Pitch":
                assert int(value) > last_pitch
                last_pitch = int(value)


def test_a_clip_begins_with_its_controls_and_ends_with_its_end() -> None:
    _, written = led(plan(3))
    assert [TEXTS[t] for t in written[:3]] == ["BOS_None", "Control-tempo_0", "Control-register_0"]
    assert TEXTS[written[-1]] == "EOS_None"
    assert [TEXTS[t] for t in written].count("Bar_None") == 3


@pytest.mark.parametrize(("n_bars", "told"), [(2, "21"), (4, "4321"), (6, "4321")])
def test_the_last_bars_are_announced(n_bars: int, told: str) -> None:
    _, written = led(plan(n_bars))
    texts = [TEXTS[token] for token in written]
    assert [t for t in texts if t.startswith("Ending_")] == [f"Ending_{n}" for n in told]
    for at, text in enumerate(texts):
        if text.startswith("Ending_"):
            assert texts[at - 2 : at] == ["Bar_None", "TimeSig_4/4"]


def test_a_piece_that_goes_on_announces_no_end() -> None:
    guide, written = led(plan(5, ends=False))
    assert len(guide.bars) == 5
    assert not any(TEXTS[token].startswith("Ending_") for token in written)


def test_controls_at_bars_are_written_but_not_kept() -> None:
    bar_control = int(TOKENIZER.vocabulary.control_ids(("note_density",), per_bar=True)[0])
    guide, written = led(Plan((), ((), (bar_control,), ())))
    assert written.count(bar_control) == 1 and bar_control not in guide.ids()
    assert [TEXTS[t].split("_")[0] for t in guide.ids()[:3]] == ["Bar", "TimeSig", "Position"]


def test_a_bar_cannot_grow_without_end() -> None:
    guide, _ = led(plan(2), bar=0.0)
    assert max(len(bar) for bar in guide.bars) <= MAX_BAR_IDS + 3


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_no_position_lies_beyond_the_bar(beats_per_bar: int) -> None:
    guide, _ = led(plan(4, beats_per_bar=beats_per_bar), bar=0.0)
    steps = [int(TEXTS[t].split("_")[1]) for t in guide.ids() if TEXTS[t].startswith("Position_")]
    assert max(steps) < beats_per_bar * STEPS_PER_BEAT


@pytest.mark.parametrize("stop", [1, 2, 3, 10, 37, 60, 100])
def test_a_restart_keeps_whole_bars_only(stop: int) -> None:
    rng = np.random.default_rng(1)
    guide = ClipGuide(GRAMMAR, plan(8))
    guide.begin(max_ids=200)
    lead(guide, rng, at_most=stop)
    kept = [list(bar) for bar in guide.bars]
    guide.begin(max_ids=200)
    written = lead(guide, rng)
    assert guide.bars[: len(kept)] == kept and len(guide.bars) == 8
    texts = [TEXTS[token] for token in written]
    assert texts[:3] == ["BOS_None", "Control-tempo_0", "Control-register_0"]
    assert texts[-1] == "EOS_None"
    assert sorted(
        set(np.floor(notes_of(TOKENIZER.decode(guide.ids())).onset / 4).tolist())
    ) == list(range(8))


def test_a_restart_repeats_the_last_bars_that_fit() -> None:
    rng = np.random.default_rng(2)
    guide = ClipGuide(GRAMMAR, plan(12))
    guide.begin(max_ids=0)
    while len(guide.bars) < 6:
        lead(guide, rng, at_most=1)
    sizes = [len(bar) for bar in guide.bars]
    guide.begin(max_ids=sum(sizes[-2:]))
    forced: list[int] = []
    while (token := guide.forced()) is not None:
        forced.append(token)
        guide.push(token)
    head = [GRAMMAR.bos, *CONTROLS]
    assert forced[:3] == head
    assert forced[3:-2] == [token for bar in guide.bars[4:6] for token in bar]
    assert [TEXTS[token] for token in forced[-2:]] == ["Bar_None", "TimeSig_4/4"]
    guide.begin(max_ids=0)
    assert guide.forced() == GRAMMAR.bos
