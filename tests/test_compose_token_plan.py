from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.composing import TOKENIZER, VOCABULARY, ids

from emomusic.compose.token_plan import (
    MAX_BAR_NOTES,
    REPEATED,
    BarPlan,
    TokenPlan,
    clip_grammar,
    decode_bars,
    to_script,
)
from emomusic.model.grammar import FREE, Script, Walk
from emomusic.music.chords import NO_CHORD
from emomusic.music.score import notes_of

GRAMMAR = clip_grammar(VOCABULARY)
TEXTS = VOCABULARY.texts
CONTROLS = tuple(VOCABULARY.control_ids(("tempo", "register")).tolist())


NOTE = tuple(ids("Position_0 Pitch_60 Velocity_63 Duration_1.0.12"))


def plan(n_bars: int, bar: BarPlan | None = None, **changes: Any) -> TokenPlan:
    return TokenPlan(CONTROLS, (bar or BarPlan(),) * n_bars, **changes)


def script(the_plan: TokenPlan, context: int = 2048) -> Script:
    return to_script(the_plan, VOCABULARY, GRAMMAR, context=context)


def texts(found: Any) -> list[str]:
    return [TEXTS[token] for token in found]


def led(the_plan: TokenPlan, seed: int = 0) -> Walk:
    """Write as a random model would."""
    rng = np.random.default_rng(seed)
    walk = Walk(GRAMMAR, replace(script(the_plan), max_notes=8))
    while not walk.done:
        walk.push(int(rng.choice(np.flatnonzero(walk.allowed()))))
    return walk


@pytest.mark.parametrize("beats", [2, 3, 4])
@pytest.mark.parametrize(("n_bars", "bounds"), [(1, (21, 108)), (3, (60, 60)), (7, (40, 72))])
def test_every_sequence_is_music(beats: int, n_bars: int, bounds: tuple[int, int]) -> None:
    for seed in range(4):
        limited = plan(n_bars, beats_per_bar=beats, lowest=bounds[0], highest=bounds[1])
        walk = led(limited, seed)
        assert len(walk.segments) == n_bars and script(limited).max_notes == MAX_BAR_NOTES
        score = decode_bars(TOKENIZER, walk.segments, beats_per_bar=beats, tempo=90.0)
        notes = notes_of(score)
        assert notes.pitch.min() >= bounds[0] and notes.pitch.max() <= bounds[1]
        assert sorted({*(notes.onset // beats).tolist()}) == list(range(n_bars))
        assert (notes.onset + notes.duration).max() <= n_bars * beats
        signature = score.time_signatures[0]
        assert (signature.numerator, signature.denominator) == (beats, 4)
        assert [round(tempo.qpm, 2) for tempo in score.tempos] == [90.0]
        assert len(TOKENIZER.encode(score)) == n_bars


def test_each_bar_begins_with_its_chords_unless_they_are_given() -> None:
    for bar in led(plan(4)).segments:
        assert [text.split("_")[0] for text in texts(bar[:3])] == ["ChordA", "ChordB", "Position"]
    for bar in led(plan(4, BarPlan(chords=(0, 0)))).segments:
        assert TEXTS[bar[0]].startswith("Position")


def test_a_head_says_all_that_is_asked_of_its_bar_in_one_order() -> None:
    control = int(VOCABULARY.control_ids(("note_density",), per_bar=True)[0])
    given = (NOTE, (*ids("Position_12 Pitch_64"), FREE, FREE))
    bar = BarPlan((control,), form=3, chords=(10, NO_CHORD), given=given)  # type: ignore[arg-type]
    found = script(TokenPlan((), (bar,)))
    assert " ".join(texts(found.bars[0].head)) == (
        "Bar_None TimeSig_4/4 Ending_1 Form-whole_4 BarControl-note-density_0 "
        "Given_None Position_0 Pitch_60 Velocity_63 Duration_1.0.12 "
        "Given_None Position_12 Pitch_64 ChordA_1:min ChordB_none"
    )
    assert found.bars[0].given == given and not found.bars[0].writes_chords
    codes = [script(plan(1, BarPlan(form=code))).bars[0].head[-1] for code in range(1, 11)]
    assert codes == VOCABULARY.form_ids().tolist()


@pytest.mark.parametrize(("n_bars", "told"), [(2, "21"), (4, "4321"), (6, "4321")])
def test_the_last_bars_are_announced(n_bars: int, told: str) -> None:
    found = [text for bar in script(plan(n_bars)).bars for text in texts(bar.head)]
    assert [t for t in found if t.startswith("Ending_")] == [f"Ending_{n}" for n in told]
    ends = [(bar.ends_bar, bar.ends_all) for bar in script(plan(n_bars)).bars]
    assert ends == [(True, False)] * (n_bars - 1) + [(False, True)]


# what is there already

BEFORE = tuple(
    tuple(
        ids(
            "ChordA_0:maj ChordB_none"
            + f" Position_0 Pitch_{pitch} Velocity_63 Duration_1.0.12" * n
        )
    )
    for n, pitch in ((1, 60), (2, 62), (3, 64))
)
HEAD = tuple(ids("Bar_None TimeSig_4/4"))


@pytest.mark.parametrize(("room", "n_held"), [(0, 0), (4, 0), (5, 1), (8, 1), (9, 2), (12, 3)])
def test_bars_that_are_there_stand_before_the_first_as_many_as_fit(room: int, n_held: int) -> None:
    plain = script(plan(3))
    needed = 3 + MAX_BAR_NOTES + 2  # the clip's head, a bar's head, its notes, chords and end
    context = next(c for c in range(999) if c - needed - int(REPEATED * c) == room)
    found = script(plan(3, before=BEFORE), context)
    held = [token for bar in BEFORE[3 - n_held :] for token in (*HEAD, *bar)]
    assert list(found.bars[0].head) == [*held, *plain.bars[0].head]
    assert found.bars[1:] == plain.bars[1:]
    assert found.opening([]) == [*plain.prompt, *held, *plain.bars[0].head]


def test_where_the_context_is_full_the_last_bars_that_fit_are_repeated() -> None:
    found = replace(script(plan(7, before=BEFORE)), max_repeated=20)
    last = [*HEAD, *BEFORE[1]]
    opening = found.opening([[*BEFORE[0]], [*BEFORE[1]]])
    assert opening == [*found.prompt, *last, *found.bars[2].head]


@pytest.mark.parametrize("n_kept", [1, 3, 5])
def test_the_writing_stops_after_the_bars_that_are_kept(n_kept: int) -> None:
    whole, part = script(plan(5)), script(plan(5, n_kept=n_kept))
    assert part.bars == whole.bars[:n_kept]
    assert script(plan(5, n_kept=9)) == whole and script(plan(5, reach=7)).reach == 7
    assert len(led(plan(5, n_kept=n_kept)).segments) == n_kept


# a gap


@pytest.mark.parametrize("n_bars", [1, 3, 6])
def test_a_gap_is_filled_between_bars_that_are_shown(n_bars: int) -> None:
    between = plan(n_bars, before=BEFORE[:2], behind=BEFORE[1:])
    found = script(between)
    behind = [*ids("Bar_None TimeSig_4/4 Ending_2"), *BEFORE[1],
              *ids("Bar_None TimeSig_4/4 Ending_1"), *BEFORE[2]]  # fmt: skip
    assert list(found.prompt) == [
        *ids("BOS_None"), *CONTROLS, *ids("Behind_None"), *behind, *ids("Here_None")
    ]  # fmt: skip
    assert found.bars[0].head[: len(HEAD) + len(BEFORE[0])] == (*HEAD, *BEFORE[0])
    marks = [text for bar in found.bars for text in texts(bar.head) if text.startswith("Join_")]
    assert marks == [f"Join_{left}" for left in (4, 3, 2, 1) if left <= n_bars]
    assert [(bar.ends_bar, bar.ends_all) for bar in found.bars][-1] == (False, True)
    walk = led(between)
    assert len(walk.segments) == n_bars  # what is around it is not written again
    assert len(TOKENIZER.encode(decode_bars(TOKENIZER, walk.segments))) == n_bars


def test_bars_near_a_pieces_end_say_so_on_both_sides_of_a_gap() -> None:
    found = script(plan(3, behind=BEFORE[:2]))
    told = [[t for t in texts(bar.head) if "_" in t][2:] for bar in found.bars]
    assert told == [["Join_3"], ["Join_2", "Ending_4"], ["Join_1", "Ending_3"]]
    assert found.opening([[1], [2]])[: len(found.prompt)] == list(found.prompt)  # they stay


@pytest.mark.parametrize(
    ("given", "context", "words"),
    [
        ((), 100, "leaves no room for a bar: the network looks back on 100 notes and bars"),
        ((NOTE, NOTE), 2048, "must rise"),
        ((NOTE,) * 129, 2048, "at most 128 notes of a bar can be given, bar 2 has 129"),
    ],
)
def test_what_cannot_be_written_is_refused(given: Any, context: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        script(TokenPlan((), (BarPlan(), BarPlan(given=given))), context)
