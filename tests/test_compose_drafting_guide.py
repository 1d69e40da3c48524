from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomusic.compose.drafting.guide import (
    BAR,
    EOS,
    MAX_BAR_IDS,
    PITCH,
    Plan,
    clip_grammar,
    ids_of,
    script_of,
)
from emomusic.model.engines.grammar import Script, Walk
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer, Vocabulary

TOKENIZER = Tokenizer()
VOCABULARY = TOKENIZER.vocabulary
GRAMMAR = clip_grammar(VOCABULARY)
TEXTS = VOCABULARY.texts
CONTROLS = tuple(VOCABULARY.control_ids(("tempo", "register")).tolist())
ENDS = [GRAMMAR.kinds[kind].first for kind in (BAR, EOS)]


def plan(n_bars: int, **changes: Any) -> Plan:
    return Plan(CONTROLS, ((),) * n_bars, **changes)


def script(the_plan: Plan, max_repeated: int = 0) -> Script:
    return script_of(the_plan, VOCABULARY, GRAMMAR, max_repeated=max_repeated)


def led(the_plan: Plan, seed: int = 0, *, bar: float = 0.1) -> tuple[list[int], Walk]:
    """Write as a random model would; return all ids in order, and the walk."""
    rng = np.random.default_rng(seed)
    walk = Walk(GRAMMAR, script(the_plan))
    written = walk.script.opening([])
    while not walk.done:
        mask = walk.allowed()
        assert mask.any()
        ends = [token for token in ENDS if mask[token]]
        ids = np.flatnonzero(mask)
        token = int(rng.choice(ends if ends and rng.random() < bar else ids))
        written += [token, *walk.push(token)]
    return written, walk


def bars_of(walk: Walk) -> list[list[int]]:
    return [ids_of(walk.script, [segment]) for segment in walk.segments]


def ids(walk: Walk) -> list[int]:
    return ids_of(walk.script, walk.segments)


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
@pytest.mark.parametrize(("n_bars", "bounds"), [(1, (21, 108)), (3, (60, 60)), (7, (40, 72))])
def test_every_sequence_is_music(beats_per_bar: int, n_bars: int, bounds: tuple[int, int]) -> None:
    for seed in range(6):
        limited = plan(n_bars, beats_per_bar=beats_per_bar, lowest=bounds[0], highest=bounds[1])
        _, walk = led(limited, seed)
        assert len(walk.segments) == n_bars
        score = TOKENIZER.decode(ids(walk))
        notes = notes_of(score)
        assert notes.pitch.min() >= bounds[0] and notes.pitch.max() <= bounds[1]
        bar = np.floor(notes.onset / beats_per_bar + 1e-9)
        assert sorted(set(bar.tolist())) == list(range(n_bars))
        signature = score.time_signatures[0]
        assert (signature.numerator, signature.denominator) == (beats_per_bar, 4)
        assert len(TOKENIZER.encode(score)) == n_bars


def test_positions_rise_within_a_bar_and_pitches_within_a_position() -> None:
    _, walk = led(plan(8), 3)
    for bar in bars_of(walk):
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
    written, _ = led(plan(3))
    assert [TEXTS[t] for t in written[:3]] == ["BOS_None", "Control-tempo_0", "Control-register_0"]
    assert TEXTS[written[-1]] == "EOS_None"
    assert [TEXTS[t] for t in written].count("Bar_None") == 3


@pytest.mark.parametrize(("n_bars", "told"), [(2, "21"), (4, "4321"), (6, "4321")])
def test_the_last_bars_are_announced(n_bars: int, told: str) -> None:
    written, _ = led(plan(n_bars))
    texts = [TEXTS[token] for token in written]
    assert [t for t in texts if t.startswith("Ending_")] == [f"Ending_{n}" for n in told]
    for at, text in enumerate(texts):
        if text.startswith("Ending_"):
            assert texts[at - 2 : at] == ["Bar_None", "TimeSig_4/4"]


def test_a_piece_that_goes_on_announces_no_end() -> None:
    lasts = set()
    for seed in range(10):
        written, walk = led(plan(5, ends=False), seed)
        assert len(walk.segments) == 5
        assert not any(TEXTS[token].startswith("Ending_") for token in written)
        lasts.add(TEXTS[written[-1]])
    assert lasts == {"Bar_None", "EOS_None"}


def test_controls_at_bars_are_written_but_not_kept() -> None:
    bar_control = int(VOCABULARY.control_ids(("note_density",), per_bar=True)[0])
    written, walk = led(Plan((), ((), (bar_control,), ())))
    assert written.count(bar_control) == 1 and bar_control not in ids(walk)
    assert [TEXTS[t].split("_")[0] for t in ids(walk)[:3]] == ["Bar", "TimeSig", "Position"]


def test_a_bar_cannot_grow_without_end() -> None:
    _, walk = led(plan(2), bar=0.0)
    assert max(map(len, bars_of(walk))) <= MAX_BAR_IDS + 3


@pytest.mark.parametrize("beats_per_bar", [2, 3, 4])
def test_no_position_lies_beyond_the_bar(beats_per_bar: int) -> None:
    _, walk = led(plan(4, beats_per_bar=beats_per_bar), bar=0.0)
    steps = [int(TEXTS[t].split("_")[1]) for t in ids(walk) if TEXTS[t].startswith("Position_")]
    assert max(steps) < beats_per_bar * STEPS_PER_BEAT


def test_where_the_context_is_full_the_last_bars_that_fit_are_repeated() -> None:
    _, walk = led(plan(12), 2)
    bars = bars_of(walk)
    room = sum(map(len, bars[4:6]))
    for max_repeated, repeated in ((room, bars[4:6]), (room - 1, bars[5:6]), (0, [])):
        opening = script(plan(12), max_repeated).opening(walk.segments[:6])
        assert opening[:3] == [VOCABULARY.id_of("BOS_None"), *CONTROLS]
        assert opening[3:-2] == [token for bar in repeated for token in bar]
        assert [TEXTS[token] for token in opening[-2:]] == ["Bar_None", "TimeSig_4/4"]


BEFORE = tuple(
    tuple(VOCABULARY.id_of(word) for word in
          f"Position_0 Pitch_{pitch} Velocity_63 Duration_1.0.12".split() * n)
    for n, pitch in ((1, 60), (2, 62), (3, 64))
)  # fmt: skip
HEAD = tuple(VOCABULARY.id_of(word) for word in ("Bar_None", "TimeSig_4/4"))


@pytest.mark.parametrize(
    ("most", "n_held"), [(0, 0), (13, 0), (14, 1), (23, 1), (24, 2), (29, 2), (30, 3), (999, 3)]
)
def test_bars_that_are_there_stand_before_the_first_as_many_as_fit(most: int, n_held: int) -> None:
    plain = script(plan(3))
    found = script_of(plan(3, before=BEFORE), VOCABULARY, GRAMMAR, max_repeated=0, max_before=most)
    held = [token for bar in BEFORE[3 - n_held :] for token in (*HEAD, *bar)]
    assert list(found.heads[0]) == [*held, *plain.heads[0]] and len(held) <= most
    assert found.heads[1:] == plain.heads[1:] and found.ends == plain.ends
    assert found.opening([]) == [*plain.prompt, *held, *plain.heads[0]]


def test_bars_that_are_there_are_not_written_again() -> None:
    before = script_of(plan(2, before=BEFORE), VOCABULARY, GRAMMAR, max_repeated=0, max_before=99)
    assert ids_of(before, [[7], [8]]) == ids_of(script(plan(2)), [[7], [8]])


def test_bars_that_are_there_go_first_where_the_context_is_full() -> None:
    going_on = plan(3, before=BEFORE, ends=False)
    found = script_of(going_on, VOCABULARY, GRAMMAR, max_repeated=20, max_before=99)
    written = [[*BEFORE[0]], [*BEFORE[1]]]
    last = [*HEAD, *BEFORE[1]]
    assert found.opening(written)[len(found.prompt) :][: len(last)] == last
    assert len(found.opening(written)) == len(found.prompt) + len(last) + len(found.heads[2])


@pytest.mark.parametrize("n_kept", [1, 3, 5])
def test_the_writing_stops_after_the_bars_that_are_kept(n_kept: int) -> None:
    whole, part = script(plan(5)), script(plan(5, n_kept=n_kept))
    assert part.heads == whole.heads[:n_kept] and part.ends == whole.ends[:n_kept]
    assert script(plan(5, n_kept=9)) == whole
    _, walk = led(plan(5, n_kept=n_kept))
    assert len(walk.segments) == n_kept


def test_ids_of_a_part_are_those_the_whole_begins_with() -> None:
    _, walk = led(plan(4))
    for n in range(1, 5):
        part = ids_of(walk.script, walk.segments[:n])
        assert part == ids(walk)[: len(part)]


def test_a_vocabulary_with_scattered_pitches_is_refused() -> None:
    texts = list(TEXTS)
    pitches = GRAMMAR.kinds[PITCH]
    middle = pitches.first + pitches.count // 2
    texts[0], texts[middle] = texts[middle], texts[0]
    with pytest.raises(ValueError, match="the ids of Pitch do not follow each other"):
        clip_grammar(Vocabulary(tuple(texts)))
