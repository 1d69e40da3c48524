"""Which part of the texture each note has: hand, melody, bass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emomusic.music.chords import half_bars
from emomusic.music.hands import hands_of
from emomusic.music.notes import FloatColumn, Notes

RIGHT_HAND, MELODY, BASS = 1, 2, 4
MAX_HELD = 8
"""Notes before one that are looked at for one that sounds above it."""


def parts_of(notes: Notes, lines: FloatColumn) -> NDArray[np.uint8]:
    """Return the parts of each note, bits added up, shape (n,).

    `RIGHT_HAND` after `hands_of`; `MELODY` the skyline: the top note of each onset that no held
    note lies above; `BASS` the lowest note struck in its half bar.

    Args:
        notes: In beats, at least one.
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    parts = np.where(hands_of(notes) == 1, RIGHT_HAND, 0).astype(np.uint8)
    onset, pitch, end = notes.onset, notes.pitch, notes.onset + notes.duration
    top = np.flatnonzero(np.append(np.diff(onset) > 1e-6, True))  # sorted by onset, then pitch
    first = np.append(0, top[:-1] + 1)
    covered = np.zeros(len(top), dtype=bool)
    for back in range(1, MAX_HELD + 1):
        held = np.maximum(first - back, 0)
        covered |= (first >= back) & (end[held] > onset[top] + 1e-6) & (pitch[held] > pitch[top])
    parts[top[~covered]] |= MELODY
    cell = np.searchsorted(half_bars(lines), onset + 1e-6, side="right")
    order = np.lexsort((onset, pitch, cell))
    lowest = order[np.diff(cell[order], prepend=-1) != 0]
    parts[lowest] |= BASS
    return parts
