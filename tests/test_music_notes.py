"""Columns of notes: equally long, sorted, with seconds."""

import numpy as np
import pytest

from emomusic.music.notes import Notes, make_notes

ONE, TWO = np.zeros(1), np.zeros(2)


def test_notes_are_sorted_by_onset_then_pitch() -> None:
    notes = make_notes(
        np.array([2, 0, 0]), np.array([1, 2, 3]), np.array([50, 72, 60]), np.array([9, 8, 7])
    )
    assert notes.onset.tolist() == [0, 0, 2]
    assert notes.pitch.tolist() == [60, 72, 50]
    assert notes.duration.tolist() == [3, 2, 1]
    assert notes.velocity.tolist() == [7, 8, 9]
    assert (notes.onset.dtype, notes.pitch.dtype) == (np.float64, np.int64)


def test_seconds_follow_the_tempo() -> None:
    notes = make_notes(
        np.array([0.0, 3.0]), np.array([1.0, 0.5]), np.array([60, 62]), np.array([64, 64]), tempo=90
    )
    assert notes.onset_s == pytest.approx([0, 2])
    assert notes.duration_s == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("tempo", [0.0, -1.0, float("nan")])
def test_tempo_must_be_above_0(tempo: float) -> None:
    with pytest.raises(ValueError, match="tempo must be above 0 quarter notes a minute, got"):
        make_notes(ONE, ONE, ONE.astype(int), ONE.astype(int), tempo=tempo)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="note columns must be one-dimensional and equally long"):
        Notes(TWO, TWO, TWO, TWO, TWO.astype(int), ONE.astype(int))
