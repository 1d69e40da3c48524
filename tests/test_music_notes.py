"""Columns of notes, and which hand plays which."""

from __future__ import annotations

import numpy as np
import pytest
from midi import score_of

from emomusic.music.notes import LEFT, RIGHT, Notes, hands_of, make_notes
from emomusic.music.score import notes_of

ONE, TWO = np.zeros(1), np.zeros(2)


def test_notes_are_sorted_by_onset_then_pitch_and_seconds_follow_the_tempo() -> None:
    columns = ([3, 0, 0], [1, 2, 3], [50, 72, 60], [9, 8, 7])
    notes = make_notes(*map(np.array, columns), tempo=90)
    found = [column.tolist() for column in notes.columns]
    assert found[:2] == [[0, 0, 3], [3, 2, 1]] and found[4:] == [[60, 72, 50], [7, 8, 9]]
    assert found[2] == pytest.approx([0, 0, 2]) and found[3] == pytest.approx([2, 4 / 3, 2 / 3])
    assert (notes.onset.dtype, notes.pitch.dtype) == (np.float64, np.int64)


def test_a_tempo_of_0_and_columns_of_different_lengths_are_refused() -> None:
    for tempo in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="tempo must be above 0 quarter notes a minute, got"):
            make_notes(ONE, ONE, ONE.astype(int), ONE.astype(int), tempo=tempo)
    with pytest.raises(ValueError, match="note columns must be one-dimensional and equally long"):
        Notes(TWO, TWO, TWO, TWO, TWO.astype(int), ONE.astype(int))


def notes_at(moments: list[list[int]], *, gap: float = 0.5, spread: float = 0.0) -> Notes:
    """Return notes struck together every so many beats, or one after the other in a moment."""
    rows = [
        (i * gap + k * spread, gap, pitch, 64)
        for i, pitches in enumerate(moments)
        for k, pitch in enumerate(pitches)
    ]
    return notes_of(score_of(rows))


def test_figures_stay_in_their_hand() -> None:
    for moments, parted_at in (
        ([[43, 74], [76], [48, 77], [74]] * 4, 60),  # a bass and a melody
        ([[48, 79], [55], [60, 81], [64], [55, 83], [60], [64, 79], [60]] * 2, 70),  # a figure
        ([[64, 67, 72, 84, 88], [65, 69, 72, 86, 89]] * 4, 80),  # two high hands
    ):
        notes = notes_at(moments)
        assert (hands_of(notes) == np.where(notes.pitch < parted_at, LEFT, RIGHT)).all()


def test_wide_and_full_chords_are_shared_and_a_scale_is_not() -> None:
    notes = notes_at([[36, 43, 52, 60, 67, 76]] * 3)
    for hand in (LEFT, RIGHT):
        own = notes.pitch[hands_of(notes) == hand]
        assert own.max() - own.min() <= 16
    full = hands_of(notes_at([[55, 57, 59, 60, 62, 64, 65, 67]]))
    assert np.bincount(full, minlength=2).max() <= 5
    scale = hands_of(notes_at([[p] for p in (60, 62, 64, 65, 67, 65, 64, 62)] * 4))
    assert np.count_nonzero(np.diff(scale)) <= 2
    chords = [[41, 48, 56, 65, 72, 77]] * 2  # one chord each, however a performer spreads it
    together, spread = (hands_of(notes_at(chords, gap=2.0, spread=s)) for s in (0, 0.01))
    assert spread.tolist() == together.tolist()


def test_hands_never_cross_at_one_moment() -> None:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.integers(0, 60, 200)) / 2
    notes = make_notes(onset, np.full(200, 0.5), rng.integers(21, 109, 200), np.full(200, 64))
    hands = hands_of(notes)
    for moment in np.unique(notes.onset):
        at = notes.onset == moment
        left, right = (notes.pitch[at & (hands == hand)] for hand in (LEFT, RIGHT))
        assert not len(left) or not len(right) or left.max() < right.min()
    assert not len(hands_of(notes.where(notes.pitch < 0)))
