"""The form of a piece: which bars take up which."""

from __future__ import annotations

import numpy as np
import pytest
from midi import notes_at

from emomusic.music.chords import NO_CHORD, UNKNOWN
from emomusic.music.form import (
    FORM_BARS,
    FORM_COLUMNS,
    HARMONY_BARS,
    FormTable,
    bar_copies,
    bar_figures,
    bar_form,
    bar_harmony,
    harmony_moves,
    written_form,
)
from emomusic.music.notes import Notes

EIGHTHS, DOTTED = (0.0, 0.5, 1.0, 1.5), (0.0, 0.75, 1.5, 1.75)


def bars(*content: tuple[tuple[float, ...], tuple[int, ...]]) -> Notes:
    """Return bars of four beats, each of onsets and as many pitches."""
    bars = [zip(beats, pitches, strict=True) for beats, pitches in content]
    return notes_at(
        *((4.0 * i + at, 0.5, pitch) for i, own in enumerate(bars) for at, pitch in own)
    )


def form_of(*content: tuple[tuple[float, ...], tuple[int, ...]]) -> list[int]:
    return bar_form(bars(*content), np.arange(len(content) + 1) * 4.0).tolist()


A = (EIGHTHS, (60, 64, 67, 72))
A_MOVED = (EIGHTHS, (62, 65, 69, 74))
B = (DOTTED, (60, 62, 64, 65))


def test_a_bar_takes_up_the_nearest_that_is_whole_then_the_nearest_rhythm() -> None:
    # A, A again, A's rhythm, B, A four back (whole), B two back (whole).
    assert form_of(A, A, A_MOVED, B, A, B) == [0, 1, 6, 0, 3, 2]


def test_one_note_in_five_may_differ_and_two_may_not() -> None:
    five = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 3.75)
    pitches = (60, 62, 64, 65, 67, 69, 71, 72, 74)
    for other, code in (((*pitches[:-1], 76), 1), ((*pitches[:-2], 76, 77), 6)):  # 8/10, 7/11
        assert form_of((five, pitches), (five, other)) == [0, code]


def test_short_bars_chords_and_bars_of_other_length_are_not_taken_up() -> None:
    assert form_of(((0.0, 1.0), (60, 62)), ((0.0, 1.0), (60, 62))) == [0, 0]
    chord, other = ((0.0, 0.0, 0.0), (60, 64, 67)), ((0.0, 0.0, 0.0), (65, 69, 72))
    assert form_of(chord, chord, other) == [0, 1, 0]  # no rhythm of three onsets
    notes = notes_at(*((float(at), 1.0, (60, 62, 64)[at % 3]) for at in range(6)))
    for last, code in ((6.0, 1), (7.0, 0)):
        assert bar_form(notes, np.array([0.0, 3.0, last])).tolist() == [0, code]


def test_a_drawn_form_is_that_of_one_piece_as_far_as_it_goes() -> None:
    table = FormTable(("0101", "00220022", "0000"))
    rng = np.random.default_rng(0)
    assert {tuple(table.draw(4, rng)[0]) for _ in range(20)} == {(0, 1, 0, 1), (0, 0, 2, 2)}
    assert table.draw(8, rng) == ([0, 0, 2, 2, 0, 0, 2, 2], *[[0] * 8] * 3)
    assert FormTable(("0000", "00000001")).draw(4, rng)[0] == [0, 0, 0, 0]
    assert {tuple(FormTable(("0000", "0001")).draw(4, rng)[0]) for _ in range(9)} == {(0, 0, 0, 1)}
    long = table.draw(20, rng)[0]
    assert len(long) == 20 and long[:8] == table.draw(8, rng)[0]
    assert written_form([1, 1, 3, 6, 3, 10]) == "010630"  # none points before the first bar


def test_harmony_copies_and_figures_are_those_of_the_same_piece() -> None:
    pieces = ("0101", "0001", "0003", "0111"), ("0022", "0505", "0050", "0000")
    table, rng = FormTable(*zip(*pieces, strict=True)), np.random.default_rng(0)
    drawn = {tuple("".join(map(str, own)) for own in table.draw(4, rng)) for _ in range(20)}
    assert drawn == {*pieces}


def test_a_bar_copies_the_likest_of_those_before() -> None:
    theme = {(0, 0), (4, 4), (8, 7), (12, 0)}
    nearly, other = theme - {(12, 0)} | {(12, 11)}, {(2, 2), (6, 5)}
    cells = [theme, other, nearly, other, theme, set(), set()]
    # 3 of 4 cells: 0.75; the theme itself is four back, before which the nearly same is two back.
    assert [(0, *FORM_BARS)[code] for code in bar_copies(cells)] == [0, 0, 2, 2, 4, 0, 0]
    assert bar_copies([{(0, 0), (4, 4)}, {(0, 0), (4, 5)}]) == [0, 0]  # half is no copy


def test_a_figure_is_the_nearest_bars_with_four_in_five_onsets() -> None:
    eighths, most, few = set(range(0, 48, 6)), set(range(0, 36, 6)), {0, 24}
    onsets = [eighths, most, few, eighths, {0}, {0}, set()]
    # 6 of 8 and 6: 0.86; one onset is no figure.
    assert [(0, *FORM_BARS)[code] for code in bar_figures(onsets)] == [0, 1, 0, 2, 0, 0, 0]


def test_harmony_moves_where_it_comes_from_another_bar_than_the_one_before_does() -> None:
    assert harmony_moves([0, 0, 1, 2, 4, 4]) == [False, True, False, False, True, True]
    assert harmony_moves([4, 1, 4], n_before=4) == [True, False, True]
    assert harmony_moves([0, 1, 1]) == [False] * 3 == harmony_moves([0, 0, 0], n_before=1)


C, AM, A7, F = 0, 9 * 9 + 1, 9 * 9 + 5, 5 * 9


def test_a_bar_repeats_the_chords_four_back_before_others() -> None:
    loop = [(C, C), (AM, AM), (F, F), (C, C)]
    harmony = bar_harmony(np.array(loop * 2 + [(C, C), (C, C)], np.int8))
    assert [(0, *HARMONY_BARS)[code] for code in harmony] == [0, 0, 0, 0, 4, 4, 4, 4, 4, 2]


def test_chords_are_the_same_with_root_and_third_unless_nobody_knows_them() -> None:
    bars = np.array([(AM, 9 * 9 + 7), (9 * 9 + 7, AM), (A7, AM), (A7, A7)], np.int8)
    assert [(0, *HARMONY_BARS)[code] for code in bar_harmony(bars)] == [0, 1, 0, 0]
    bars = np.array([(C, UNKNOWN)] * 3 + [(NO_CHORD, NO_CHORD)] * 2, np.int8)
    assert not bar_harmony(bars).any()


def test_a_table_of_other_codes_is_refused() -> None:
    for forms in ((), ("",), ("012b",)):
        with pytest.raises(ValueError, match="forms must be texts"):
            FormTable(forms)
    for codes in (("00",), ("0000", "0000"), ("0006",)):
        for name in FORM_COLUMNS[1:]:
            with pytest.raises(ValueError, match=f"{name} must be"):
                FormTable(("0101",), **{name: codes})
