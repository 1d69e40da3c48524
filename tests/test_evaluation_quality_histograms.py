from __future__ import annotations

import numpy as np
import pytest
from quality_pieces import piece_of, walks

from emomusic.evaluation.quality.histograms import QUANTITIES, histograms
from emomusic.evaluation.quality.music import Piece
from emomusic.music.notes import Notes


def filled(piece: Piece, name: str) -> dict[int, float]:
    """Return the bins of one piece that hold something."""
    (row,) = histograms([piece], name)
    return {int(i): float(row[i]) for i in np.flatnonzero(row)}


CHORD = piece_of(
    [(0, 2, 60, 40), (0, 1, 64, 40), (0, 1, 67, 80), (4, 0.5, 60, 80)], n_bars=2
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pitch", {60: 0.5, 64: 0.25, 67: 0.25}),
        ("pitch_class", {0: 0.5, 4: 0.25, 7: 0.25}),
        ("polyphony", {0: 18 / 30, 2: 12 / 30}),
        ("density", {0: 0.5, 1: 0.5}),
        ("duration", {10: 0.25, 14: 0.5, 18: 0.25}),
        ("onset_gap", {22: 1.0}),
        ("velocity", {5: 0.5, 10: 0.5}),
    ],
)
def test_histograms_are_as_counted_by_hand(name: str, expected: dict[int, float]) -> None:
    assert filled(CHORD, name) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(QUANTITIES))
def test_every_histogram_sums_to_one(name: str) -> None:
    lone = piece_of([(0, 1, 60, 60)], n_bars=8)
    loud = piece_of([(i / 12, 9.0, 21 + i % 88, 127) for i in range(384)], n_bars=8)
    rows = histograms([lone, loud, *walks(4, seed=0)], name)
    assert np.allclose(rows.sum(axis=1), 1.0)


def test_pitch_classes_do_not_change_in_another_key() -> None:
    (piece,) = walks(1, seed=3)
    n = piece.notes
    moved = Notes(n.onset, n.duration, n.onset_s, n.duration_s, n.pitch + 5, n.velocity)
    rows = histograms([piece, Piece(moved, "b", None, 8)], "pitch_class")
    assert np.array_equal(rows[0], rows[1])
