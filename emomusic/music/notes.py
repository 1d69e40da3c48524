"""The notes of a score as columns of numbers, in beats and in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatColumn = NDArray[np.float64]
IntColumn = NDArray[np.int64]


@dataclass(frozen=True)
class Notes:
    """Hold the notes of a score as equal-length columns, sorted by onset, then pitch.

    Attributes:
        onset: Beats (quarter notes) from the start of the score, shape (n,).
        duration: Beats, above 0, shape (n,).
        onset_s: Seconds from the start of the score, shape (n,).
        duration_s: Seconds, above 0, shape (n,).
        pitch: MIDI pitch, 0 to 127, shape (n,).
        velocity: MIDI velocity, 1 to 127, shape (n,).
    """

    onset: FloatColumn
    duration: FloatColumn
    onset_s: FloatColumn
    duration_s: FloatColumn
    pitch: IntColumn
    velocity: IntColumn

    def __post_init__(self) -> None:
        """Check that the columns are one-dimensional and equally long, or raise a ValueError."""
        shapes = {column.shape for column in self.columns}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"note columns must be one-dimensional and equally long, got {shapes}")

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Return the columns in the order of the fields."""
        return tuple(vars(self).values())

    def __len__(self) -> int:
        """Return the number of notes."""
        return len(self.pitch)

    def where(self, mask: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Notes:
        """Return the notes at which `mask` is true, or those at its places, or of a slice."""
        return Notes(*(column[mask] for column in self.columns))


def make_notes(
    onset: FloatColumn,
    duration: FloatColumn,
    pitch: IntColumn,
    velocity: IntColumn,
    *,
    tempo: float = 120.0,
) -> Notes:
    """Sort columns given in beats and add their seconds at one constant tempo.

    Args:
        onset: Beats, shape (n,).
        duration: Beats, shape (n,).
        pitch: MIDI pitch, shape (n,).
        velocity: MIDI velocity, shape (n,).
        tempo: Quarter notes a minute, above 0.

    Raises:
        ValueError: If tempo is not above 0.
    """
    if not tempo > 0:
        raise ValueError(f"tempo must be above 0 quarter notes a minute, got {tempo}")
    order = np.lexsort((pitch, onset))
    onset, duration = onset[order].astype(np.float64), duration[order].astype(np.float64)
    beat_s = 60.0 / tempo
    return Notes(
        onset=onset,
        duration=duration,
        onset_s=onset * beat_s,
        duration_s=duration * beat_s,
        pitch=pitch[order].astype(np.int64),
        velocity=velocity[order].astype(np.int64),
    )
