"""Shares of right answers, from the quadrant that is said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emomusic.verify.groups import Matrix

Classes = NDArray[np.int64]
KINDS = ("quadrant", "arousal", "valence")


def hits_of(probabilities: Matrix, y: Classes) -> Matrix:
    """Return 1 where an answer is right and else 0, shape (n, 3).

    The columns are KINDS. The sign of arousal (Q1, Q2 against Q3, Q4) and of valence (Q1, Q4
    against Q2, Q3) are those of the most probable quadrant.

    Args:
        probabilities: Of Q1 to Q4, shape (n, 4).
        y: Quadrants, 0 to 3, shape (n,).
    """
    said = probabilities.argmax(axis=1)
    arousal = (said < 2) == (y < 2)
    valence = np.isin(said, (0, 3)) == np.isin(y, (0, 3))
    return np.stack([said == y, arousal, valence], axis=1).astype(np.float64)


def confusion_of(probabilities: Matrix, y: Classes) -> Classes:
    """Return how many clips of each quadrant (row) were heard as each (column), shape (4, 4)."""
    counts = np.zeros((4, 4), dtype=np.int64)
    np.add.at(counts, (y, probabilities.argmax(axis=1)), 1)
    return counts


def macro_f1(confusion: Matrix | Classes) -> float:
    """Return the mean F1 of the quadrants that occur or are said; 0 of one never right."""
    right = np.diag(confusion).astype(np.float64)
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    known = total > 0
    return float(np.mean(2.0 * right[known] / total[known])) if known.any() else 0.0
