"""Hands: chords, figures and scales that each belong to one hand."""

from __future__ import annotations

import numpy as np
from midi import score_of

from emomusic.music.notes import LEFT, RIGHT, Notes, hands_of, make_notes
from emomusic.music.score import notes_of


def notes_at(moments: list[list[int]], *, gap: float = 0.5) -> Notes:
    return notes_of(
        score_of([(i * gap, gap, p, 64) for i, pitches in enumerate(moments) for p in pitches])
    )


def test_a_bass_and_a_melody_go_to_two_hands() -> None:
    notes = notes_at([[43, 74], [76], [48, 77], [74]] * 4)
    assert (hands_of(notes) == np.where(notes.pitch < 60, LEFT, RIGHT)).all()


def test_a_figure_that_crosses_middle_c_stays_in_the_left_hand_under_a_melody() -> None:
    notes = notes_at([[48, 79], [55], [60, 81], [64], [55, 83], [60], [64, 79], [60]] * 2)
    assert (hands_of(notes) == np.where(notes.pitch < 70, LEFT, RIGHT)).all()


def test_two_high_hands_are_told_apart() -> None:
    notes = notes_at([[64, 67, 72, 84, 88], [65, 69, 72, 86, 89]] * 4)
    assert (hands_of(notes) == np.where(notes.pitch < 80, LEFT, RIGHT)).all()


def test_a_wide_chord_is_shared_so_that_each_hand_reaches_it() -> None:
    notes = notes_at([[36, 43, 52, 60, 67, 76]] * 3)
    hands = hands_of(notes)
    for hand in (LEFT, RIGHT):
        own = notes.pitch[hands == hand]
        assert own.max() - own.min() <= 16


def test_more_notes_than_a_hand_has_fingers_are_shared() -> None:
    notes = notes_at([[55, 57, 59, 60, 62, 64, 65, 67]])
    assert np.bincount(hands_of(notes), minlength=2).max() <= 5


def test_a_scale_over_middle_c_is_not_shared_out_note_by_note() -> None:
    hands = hands_of(notes_at([[p] for p in (60, 62, 64, 65, 67, 65, 64, 62)] * 4))
    assert np.count_nonzero(np.diff(hands)) <= 2


def test_hands_never_cross_at_one_moment() -> None:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.integers(0, 60, 200)) / 2
    notes = make_notes(onset, np.full(200, 0.5), rng.integers(21, 109, 200), np.full(200, 64))
    hands = hands_of(notes)
    for moment in np.unique(notes.onset):
        at = notes.onset == moment
        left, right = (notes.pitch[at & (hands == hand)] for hand in (LEFT, RIGHT))
        assert not len(left) or not len(right) or left.max() < right.min()


def test_a_chord_spread_by_a_performer_is_one_chord() -> None:
    chord = (41, 48, 56, 65, 72, 77)
    together = notes_at([list(chord)] * 2, gap=2.0)
    spread = score_of(
        [(bar + i * 0.01, 2.0, p, 64) for bar in (0.0, 2.0) for i, p in enumerate(chord)]
    )
    assert hands_of(notes_of(spread)).tolist() == hands_of(together).tolist()


def test_no_notes_have_no_hands() -> None:
    nothing = make_notes(*(np.zeros(0),) * 2, *(np.zeros(0, dtype=np.int64),) * 2)
    assert hands_of(nothing).tolist() == []
