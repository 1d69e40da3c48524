"""Verdicts as log odds, the scale on which causes and windows are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes

if TYPE_CHECKING:
    from emomusic.verify.verifier import Verdict

Matrix = NDArray[np.float64]

AXES = ("valence", "arousal")
SIGNS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
"""Sign of valence and of arousal in Q1 to Q4."""
SUREST = 1e-6
"""Probabilities count as at least this, so that log odds stay finite."""


class Hears(Protocol):
    """Hear many clips, as `Verifier` does."""

    def verdicts(self, clips: Sequence[Notes]) -> list[Verdict]:
        """Return what is heard in each clip."""
        ...

    def course(self, notes: Notes, windows: Sequence[Notes]) -> list[Verdict]:
        """Return what is heard in each window of a piece."""
        ...


def probabilities_of(verdicts: Sequence[Verdict]) -> Matrix:
    """Return the probability of Q1 to Q4 of each verdict, shape (n, 4)."""
    rows = [[verdict.probabilities[name] for name in QUADRANTS] for verdict in verdicts]
    return np.array(rows, dtype=np.float64).reshape(len(verdicts), len(QUADRANTS))


def odds_of(verdicts: Sequence[Verdict], quadrant: str) -> Matrix:
    """Return the log odds of valence, of arousal and of one quadrant, shape (n, 3).

    Args:
        verdicts: Any number.
        quadrant: "Q1" to "Q4".
    """
    probabilities = probabilities_of(verdicts)
    axes = probabilities @ (SIGNS > 0)
    own = probabilities[:, [QUADRANTS.index(quadrant)]]
    positive = np.clip(np.concatenate([axes, own], axis=1), SUREST, 1.0 - SUREST)
    odds: Matrix = np.log(positive / (1.0 - positive))
    return odds
