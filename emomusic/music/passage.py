"""A stretch of music, whole clip or single bar, with what attributes and training need of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emomusic.music.chords import half_bars
from emomusic.music.hands import hands_of
from emomusic.music.key import Key, estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import ScoreError

SAME_ONSET_BEATS = 1 / 24
MAX_PARTNERS = 8
"""Notes before one, or after it, that are looked at for one that sounds with it."""
RIGHT_HAND, MELODY, BASS = 1, 2, 4
"""Bits of the parts of a note."""


@dataclass(frozen=True)
class Passage:
    """Hold the notes of a stretch of music, counted from its own start.

    Attributes:
        notes: At least one note; beats count from the start of the passage.
        n_beats: Length in beats, above 0.
        tempo: Quarter notes a minute, above 0.
        key: The key that key-relative attributes refer to; a bar takes its clip's.
    """

    notes: Notes
    n_beats: float
    tempo: float
    key: Key

    def __post_init__(self) -> None:
        """Check that there are notes, beats and a tempo, or raise a ScoreError."""
        if not len(self.notes):
            raise ScoreError("a passage without notes has no attributes")
        if not (self.n_beats > 0 and self.tempo > 0):
            raise ScoreError(
                f"a passage needs beats and tempo above 0, got {self.n_beats} and {self.tempo}"
            )

    @cached_property
    def first_of_onset(self) -> IntColumn:
        """Return the index of the first note of each distinct onset, shape (n_onsets,)."""
        onset = self.notes.onset
        later = np.flatnonzero(onset[1:] - onset[:-1] > SAME_ONSET_BEATS) + 1
        return np.concatenate([[0], later])

    @cached_property
    def onsets(self) -> FloatColumn:
        """Return the distinct onsets in beats, shape (n_onsets,)."""
        return self.notes.onset[self.first_of_onset]

    @cached_property
    def sounding_beats(self) -> float:
        """Return how many beats of the passage have at least one note sounding."""
        end = np.minimum(self.notes.onset + self.notes.duration, self.n_beats)
        reached = np.maximum.accumulate(np.concatenate([[0.0], end[:-1]]))
        return float(np.maximum(end - np.maximum(self.notes.onset, reached), 0.0).sum())

    @cached_property
    def melody(self) -> IntColumn:
        """Return the skyline: the top pitch of each onset that no held note lies above."""
        top = np.maximum.reduceat(self.notes.pitch, self.first_of_onset)
        return top[~_covered(self.notes, self.first_of_onset, top, together=SAME_ONSET_BEATS)]

    @cached_property
    def bass(self) -> IntColumn:
        """Return the lowest pitch struck in each beat that has an onset, in order."""
        beat = np.floor(self.notes.onset).astype(np.int64)
        starts = np.flatnonzero(np.diff(beat, prepend=-1))
        return np.minimum.reduceat(self.notes.pitch, starts)

    @cached_property
    def sounding_intervals(self) -> IntColumn:
        """Return semitones between notes sounding together, each with its next 8 in order."""
        onset, pitch = self.notes.onset, self.notes.pitch
        end = onset + self.notes.duration
        found = []
        for step in range(1, min(MAX_PARTNERS, len(pitch) - 1) + 1):
            together = onset[step:] < end[:-step] - SAME_ONSET_BEATS
            found.append(np.abs(pitch[step:] - pitch[:-step])[together])
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def passage_of(
    notes: Notes,
    *,
    start: float = 0.0,
    n_beats: float | None = None,
    tempo: float,
    key: Key | None = None,
) -> Passage:
    """Cut the notes that begin within a stretch of music.

    Args:
        notes: Notes in beats.
        start: First beat of the stretch.
        n_beats: Its length; None reaches to the end of the last note, rounded up to a beat.
        tempo: Quarter notes a minute.
        key: None estimates it from the notes of the stretch.

    Raises:
        ScoreError: If no note begins there.
    """
    if not len(notes):
        raise ScoreError("a passage without notes has no attributes")
    if n_beats is None:
        n_beats = float(np.ceil((notes.onset + notes.duration).max() - start - 1e-9))
    inside = notes.where((notes.onset >= start - 1e-9) & (notes.onset < start + n_beats - 1e-9))
    moved = replace(inside, onset=np.maximum(inside.onset - start, 0.0))
    return Passage(moved, n_beats, tempo, key or estimate_key(moved))


def _covered(
    notes: Notes, first: IntColumn, top: IntColumn, *, together: float
) -> NDArray[np.bool_]:
    """Tell which onsets have a note above their top that is held from before.

    Args:
        notes: All notes.
        first: Index of the first note of each onset.
        top: Highest pitch of each.
        together: Beats for which a note must be held at least.
    """
    end, covered = notes.onset + notes.duration, np.zeros(len(first), dtype=bool)
    for back in range(1, MAX_PARTNERS + 1):
        held = np.maximum(first - back, 0)
        sounds = (first >= back) & (end[held] > notes.onset[first] + together)
        covered |= sounds & (notes.pitch[held] > top)
    return covered


def parts_of(notes: Notes, lines: FloatColumn) -> NDArray[np.uint8]:
    """Return the parts of each note, bits added up, shape (n,).

    `RIGHT_HAND` after `hands_of`; `MELODY` the skyline: the top note of each onset that no held
    note lies above; `BASS` the lowest note struck in its half bar.

    Args:
        notes: In beats, at least one.
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    parts = np.where(hands_of(notes) == 1, RIGHT_HAND, 0).astype(np.uint8)
    onset, pitch = notes.onset, notes.pitch
    top = np.flatnonzero(np.append(np.diff(onset) > 1e-6, True))  # sorted by onset, then pitch
    first = np.append(0, top[:-1] + 1)
    parts[top[~_covered(notes, first, pitch[top], together=1e-6)]] |= MELODY
    cell = np.searchsorted(half_bars(lines), onset + 1e-6, side="right")
    order = np.lexsort((onset, pitch, cell))
    lowest = order[np.diff(cell[order], prepend=-1) != 0]
    parts[lowest] |= BASS
    return parts
