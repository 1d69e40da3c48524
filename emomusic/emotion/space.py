"""A point in the plane of valence and arousal, and the four quadrants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")

# 0.6 on both axes is a point well inside its quadrant: 0.85 from the middle of the plane, so
# that the quadrant is not in doubt, and still short of the rim, where few labelled clips lie.
_CENTRE = 0.6

QUADRANT_CENTRES = MappingProxyType(
    {
        "Q1": (_CENTRE, _CENTRE),
        "Q2": (-_CENTRE, _CENTRE),
        "Q3": (-_CENTRE, -_CENTRE),
        "Q4": (_CENTRE, -_CENTRE),
    }
)
"""The (valence, arousal) that stands for each quadrant when only the quadrant is asked for."""


def quadrant_of(valence: float, arousal: float) -> str:
    """Name the quadrant of a point; zero counts as positive.

    Args:
        valence: Finite, in [-1, 1].
        arousal: Finite, in [-1, 1].

    Returns:
        "Q1" (+V +A), "Q2" (-V +A), "Q3" (-V -A) or "Q4" (+V -A).

    Raises:
        TypeError: If a value is not a number.
        ValueError: If a value is not in [-1, 1].

    Reference:
        Russell (1980), A circumplex model of affect; quadrants numbered as in EMOPIA
        (Hung et al. 2021).
    """
    positive = _checked("valence", valence) >= 0
    if _checked("arousal", arousal) >= 0:
        return "Q1" if positive else "Q2"
    return "Q4" if positive else "Q3"


@dataclass(frozen=True)
class Emotion:
    """Hold one emotion as valence and arousal, each in [-1, 1], and its name where it has one.

    Raises:
        TypeError: If valence or arousal is not a number, or name neither a string nor None.
        ValueError: If valence or arousal is not in [-1, 1], or name is blank.
    """

    valence: float
    arousal: float
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the values and keep them as plain floats."""
        object.__setattr__(self, "valence", _checked("valence", self.valence))
        object.__setattr__(self, "arousal", _checked("arousal", self.arousal))
        if self.name is None:
            return
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string or None, got {self.name!r}")
        if not self.name.strip():
            raise ValueError(f"name must be None or not blank, got {self.name!r}")

    @property
    def quadrant(self) -> str:
        """Name the quadrant, "Q1" to "Q4"; zero counts as positive."""
        return quadrant_of(self.valence, self.arousal)

    @property
    def intensity(self) -> float:
        """Measure the distance from the middle of the plane, from 0 to 1.

        The corners of the plane lie 1.41 from its middle; what lies beyond 1 counts as 1.
        """
        return min(1.0, math.hypot(self.valence, self.arousal))


def _checked(axis: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{axis} must be a number in [-1, 1], got {value!r}")
    number = float(value)
    if not -1.0 <= number <= 1.0:  # false for NaN too
        raise ValueError(f"{axis} must be in [-1, 1], got {number:g}")
    return number + 0.0  # -0.0 becomes 0.0
