"""The grid: bars of any metre, sixteenths and triplets, chords and rests of two hands."""

from __future__ import annotations

import pytest
from midi import score_of

from emomusic.music.notation.grid import Bar, Chord, Hand, bars_of, written_hands
from emomusic.music.score import ScoreError, notes_of

Rows = list[tuple[float, float, int, int]]


def hands_written(rows: Rows) -> tuple[Hand, Hand]:
    score = score_of(rows)
    notes = notes_of(score)
    return written_hands(notes, bars_of(score, notes))


def right(onsets: list[float], *, duration: float = 0.25) -> Hand:
    """Return what the right hand plays, high above a bass that keeps the left hand busy."""
    rows = [(onset, duration, 80 + i % 2, 64) for i, onset in enumerate(onsets)]
    return hands_written([*rows, *((beat, 1.0, 40, 64) for beat in range(8))])[1]


def bars(rows: Rows, signatures: tuple[tuple[float, int, int], ...]) -> list[Bar]:
    score = score_of(rows, signatures=signatures)
    return bars_of(score, notes_of(score))


def test_bars_follow_the_metre_and_end_with_the_last_note() -> None:
    found = bars([(0.0, 1.0, 60, 64), (8.0, 1.0, 60, 64)], ((0, 3, 4), (6, 2, 4)))
    assert [(b.start, b.length, b.metre) for b in found] == [
        (0, 36, (3, 4)), (36, 36, (3, 4)), (72, 24, (2, 4)), (96, 24, (2, 4)),
    ]  # fmt: skip


def test_a_metre_that_cuts_in_shortens_the_bar_before() -> None:
    found = bars([(0.0, 8.0, 60, 64), (7.0, 1.0, 62, 64)], ((0, 4, 4), (3, 4, 4), (5.1, 3, 4)))
    assert [b.length for b in found] == [48, 12, 36]


def test_what_rings_on_opens_one_bar_at_most() -> None:
    assert len(bars([(3.0, 1.5, 60, 64)], ((0, 4, 4),))) == 1
    assert len(bars([(3.0, 500.0, 60, 64)], ((0, 4, 4),))) == 2


@pytest.mark.parametrize(
    ("onsets", "steps", "triplets"),
    [
        ([0, 0.25, 0.5, 0.75], [0, 3, 6, 9], []),
        ([0, 1 / 3, 2 / 3], [0, 4, 8], [0]),
        ([0, 0.36, 0.64, 1.02], [0, 4, 8, 12], [0]),
        ([0, 0.28, 0.47, 0.77], [0, 3, 6, 9], []),
        ([0, 2 / 3], [0, 9], []),  # one note between a sixteenth and a triplet
        ([0, 2 / 3, 1, 5 / 3, 2, 8 / 3], [0, 8, 12, 20, 24, 32], [0, 12, 24]),
        ([0.98, 2.96], [12, 36], []),
    ],
)
def test_onsets_go_to_sixteenths_or_where_the_beat_is_in_triplets_to_thirds(
    onsets: list[float], steps: list[int], triplets: list[int]
) -> None:
    hand = right(onsets)
    assert [chord.start for chord in hand.chords] == steps
    assert sorted(hand.triplets) == triplets


def test_each_hand_has_triplets_of_its_own() -> None:
    rows = [(i / 3, 0.3, 80, 64) for i in range(12)] + [(i / 4, 0.25, 40, 64) for i in range(16)]
    left, right_hand = hands_written(rows)
    assert [c.start for c in left.chords] == list(range(0, 48, 3)) and not left.triplets
    assert [c.start for c in right_hand.chords] == list(range(0, 48, 4))


def test_a_chord_is_cut_where_the_next_of_its_hand_begins() -> None:
    left, right_hand = hands_written(
        [(0.0, 4.0, 76, 64), (0.0, 1.0, 72, 64), (1.0, 1.0, 77, 64), (0.0, 4.0, 40, 64)]
    )
    assert right_hand.chords[0] == Chord(0, 12, (72, 76))
    assert [(c.start, c.end) for c in left.chords] == [(0, 48)]


@pytest.mark.parametrize(
    ("duration", "end"),
    [(2.0, 24), (1.6, 24), (1.1, 24), (0.9, 12), (0.5, 6), (0.3, 6), (0.01, 6)],
)
def test_only_a_clear_silence_is_a_rest(duration: float, end: int) -> None:
    assert right([0, 2], duration=duration).chords[0].end == end


def test_notes_just_before_the_end_stay_in_the_last_bar() -> None:
    score = score_of([(0.0, 1.0, 60, 64), (3.95, 0.05, 60, 64)])
    notes = notes_of(score)
    found = bars_of(score, notes)
    assert len(found) == 1
    assert max(c.start for hand in written_hands(notes, found) for c in hand.chords) == 45


def test_a_hand_may_have_nothing_to_play() -> None:
    left, right_hand = hands_written([(0.0, 1.0, 84, 64)])
    assert left.chords == () and len(right_hand.chords) == 1


def test_the_same_pitch_struck_twice_at_once_is_written_once() -> None:
    assert hands_written([(0.0, 1.0, 84, 64), (0.02, 1.0, 84, 64)])[1].chords[0].pitches == (84,)


def test_what_cannot_be_written_is_refused_in_a_sentence() -> None:
    long = [(0.0, 1.0, 60, 64), (2404.0, 1.0, 60, 64)]
    with pytest.raises(ScoreError, match="over 600 bars"):
        bars(long, ((0, 4, 4),))
    with pytest.raises(ScoreError, match="5/32 cannot be written"):
        bars(long, ((0, 5, 32),))
    with pytest.raises(ScoreError, match="17/4 cannot be written"):
        bars(long, ((0, 17, 4),))
