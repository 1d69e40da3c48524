"""Rhythm: note values that show the beat, rests, triplets and beams."""

from __future__ import annotations

from itertools import pairwise

import pytest

from emomusic.music.notation.grid import Bar, Chord, Hand
from emomusic.music.notation.rhythm import Sign, signs_of, strengths_of, values_in

FOUR, THREE, SIX = (4, 4), (3, 4), (6, 8)
LENGTHS = {FOUR: 48, THREE: 36, SIX: 36, (7, 8): 42, (5, 4): 60}


def lengths(metre: tuple[int, int], start: int, stop: int, *, is_rest: bool = False) -> list[int]:
    strengths = strengths_of(metre, LENGTHS[metre], ())
    return [length for _, length in values_in(strengths, start, stop, is_rest=is_rest)]


def written(
    spans: list[tuple[int, int]], *, metre: tuple[int, int] = FOUR, triplets: tuple[int, ...] = ()
) -> tuple[Sign, ...]:
    """Return the signs of one bar with chords at the spans."""
    hand = Hand(tuple(Chord(a, b, (60,)) for a, b in spans), frozenset(triplets))
    return signs_of(hand, [Bar(0, LENGTHS[metre], metre)])[0]


@pytest.mark.parametrize(
    ("metre", "start", "stop", "expected"),
    [
        (FOUR, 0, 48, [48]),
        (FOUR, 0, 42, [24, 18]),
        (FOUR, 12, 36, [24]),  # a half note in the middle
        (FOUR, 6, 18, [12]),  # a syncopation
        (FOUR, 18, 30, [6, 6]),  # the middle of the bar is shown
        (FOUR, 6, 30, [18, 6]),
        (FOUR, 9, 15, [3, 3]),  # a sixteenth does not hide a beat
        (FOUR, 0, 21, [12, 9]),
        (FOUR, 3, 9, [6]),
        (THREE, 0, 36, [36]),
        (THREE, 12, 36, [24]),
        (SIX, 0, 36, [36]),
        (SIX, 6, 18, [12]),
        (SIX, 12, 24, [6, 6]),
        ((7, 8), 0, 42, [24, 18]),
        ((5, 4), 0, 60, [36, 24]),
    ],
)
def test_notes_are_cut_where_a_beat_would_hide(
    metre: tuple[int, int], start: int, stop: int, expected: list[int]
) -> None:
    assert lengths(metre, start, stop) == expected


@pytest.mark.parametrize(
    ("metre", "start", "stop", "expected"),
    [
        (FOUR, 0, 24, [24]),
        (FOUR, 12, 36, [12, 12]),
        (FOUR, 3, 24, [3, 6, 12]),
        (FOUR, 6, 48, [6, 12, 24]),
        (THREE, 12, 36, [12, 12]),
        (SIX, 18, 36, [18]),
        (SIX, 6, 36, [6, 6, 18]),
    ],
)
def test_rests_never_hide_a_beat(
    metre: tuple[int, int], start: int, stop: int, expected: list[int]
) -> None:
    assert lengths(metre, start, stop, is_rest=True) == expected


@pytest.mark.parametrize("metre", [(n, d) for d in (1, 2, 4, 8, 16) for n in range(1, 16)])
def test_any_time_in_any_metre_can_be_written(metre: tuple[int, int]) -> None:
    length = min(48 * metre[0] // metre[1], 96)
    strengths = strengths_of(metre, length, ())
    for start in range(0, length, 6):
        for is_rest in (False, True):
            pieces = values_in(strengths, start, length, is_rest=is_rest)
            assert sum(value for _, value in pieces) == length - start


def test_the_signs_of_a_bar_fill_it_and_an_empty_bar_is_one_rest() -> None:
    hand = Hand((Chord(6, 20, (60,)), Chord(100, 112, (62,))), frozenset({12, 96, 108}))
    bars = [Bar(start, 48, FOUR) for start in (0, 48, 96)]
    for signs in signs_of(hand, bars):
        assert signs[0].start == 0 and signs[-1].start + signs[-1].length == 48
        assert all(a.start + a.length == b.start for a, b in pairwise(signs))
    assert signs_of(hand, bars)[1] == (Sign(0, 48, "", 0, ()),)


def test_a_chord_over_a_bar_line_is_tied() -> None:
    hand = Hand((Chord(36, 72, (60, 64)),), frozenset())
    first, second = signs_of(hand, [Bar(0, 48, FOUR), Bar(48, 48, FOUR)])
    assert (first[-1].tied_from, first[-1].tied_to) == (False, True)
    assert (second[0].tied_from, second[0].tied_to) == (True, False)
    assert first[-1].pitches == second[0].pitches == (60, 64)
    assert not any(sign.tied_from or sign.tied_to for sign in (*first[:-1], *second[1:]))


def test_a_beat_in_triplets_is_marked_from_its_first_to_its_last_sign() -> None:
    signs = written([(0, 4), (4, 8), (8, 12), (12, 20), (20, 24), (24, 48)], triplets=(0, 12))
    assert [sign.triplet for sign in signs] == ["start", "within", "stop", "start", "stop", ""]
    assert [sign.value for sign in signs] == [*["eighth"] * 3, "quarter", "eighth", "half"]


def test_a_note_held_into_a_triplet_is_cut_at_the_beat() -> None:
    signs = written([(6, 16), (16, 24)], triplets=(12,))
    assert [(s.start, s.length) for s in signs if s.pitches] == [(6, 6), (12, 4), (16, 8)]


def beams(*args: list[tuple[int, int]], metre: tuple[int, int] = FOUR) -> list[tuple[str, ...]]:
    return [sign.beams for sign in written(*args, metre=metre)]


def eighths(n: int) -> list[tuple[int, int]]:
    return [(6 * i, 6 * i + 6) for i in range(n)]


def test_plain_eighths_are_beamed_by_half_bar_in_four_and_by_beat_in_six_eight() -> None:
    four = [("start",), ("continue",), ("continue",), ("stop",)]
    assert beams(eighths(8)) == four * 2
    three = [("start",), ("continue",), ("stop",)]
    assert beams(eighths(6), metre=SIX) == three * 2
    assert beams(eighths(6), metre=THREE)[0] == ("start",)
    assert beams(eighths(6), metre=THREE).count(("stop",)) == 1


def test_mixed_values_are_beamed_by_beat_with_stubs_towards_the_beat() -> None:
    assert beams([(0, 9), (9, 12), (12, 15), (15, 24), (24, 48)]) == [
        ("start",), ("stop", "partial-left"), ("start", "partial-right"), ("stop",), (),
    ]  # fmt: skip
    assert beams([(0, 3), (3, 9), (9, 12), (12, 48)])[:3] == [
        ("start", "partial-right"), ("continue",), ("stop", "partial-left"),
    ]  # fmt: skip
    assert beams([(0, 3), (3, 6), (6, 12), (12, 48)])[:3] == [
        ("start", "start"), ("continue", "stop"), ("stop",),
    ]  # fmt: skip


def test_rests_and_lone_notes_break_beams() -> None:
    assert beams([(0, 6), (12, 18)]) == [()] * len(written([(0, 6), (12, 18)]))
