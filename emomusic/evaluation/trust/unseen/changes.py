"""Changes of a clip that leave its emotion, or that a file may have suffered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score

GRID_S = 1.0 / 24.0
"""Twelve steps a beat at 120 quarter notes a minute, the grid of generated scores."""
FLAT = 64
DUMMY_TEMPO = 120.0
Change = Callable[[Notes, Path], Notes]
"""From the notes of a clip and the path of its file."""


def flattened(notes: Notes) -> Notes:
    """Return the notes with every velocity 64."""
    return replace(notes, velocity=np.full_like(notes.velocity, FLAT))


def louder(notes: Notes, factor: float) -> Notes:
    """Return the notes with velocities multiplied, rounded and kept within 1 to 127."""
    velocity = np.clip(np.round(notes.velocity * factor), 1, 127).astype(notes.velocity.dtype)
    return replace(notes, velocity=velocity)


def transposed(notes: Notes, semitones: int) -> Notes:
    """Return the notes some semitones higher, kept within 0 to 127."""
    return replace(notes, pitch=np.clip(notes.pitch + semitones, 0, 127))


def quantised(notes: Notes) -> Notes:
    """Return the notes with onsets and durations rounded to twelve steps a beat at 120."""
    onset_s = np.round(notes.onset_s / GRID_S) * GRID_S
    duration_s = np.maximum(np.round(notes.duration_s / GRID_S), 1.0) * GRID_S
    order = np.lexsort((notes.pitch, onset_s))
    return replace(notes, onset_s=onset_s, duration_s=duration_s).where(order)


def misread(notes: Notes, factor: float) -> Notes:
    """Return the notes as if played at a multiple of their tempo: the beats stay."""
    return replace(notes, onset_s=notes.onset_s / factor, duration_s=notes.duration_s / factor)


def beats_unknown(notes: Notes) -> Notes:
    """Return the notes as a recording has them: right seconds, beats of a tempo of 120."""
    beats = DUMMY_TEMPO / 60.0
    return replace(notes, onset=notes.onset_s * beats, duration=notes.duration_s * beats)


def with_more_ticks(path: Path) -> Notes:
    """Read a file, write it with twice as many ticks a quarter note, and read that."""
    score = read_score(path)
    doubled = score.resample(2 * score.ticks_per_quarter)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "doubled.mid"
        write_score(doubled, written)
        return notes_of(read_score(written))


def _moved(semitones: int) -> Change:
    return lambda notes, path: transposed(notes, semitones)


CHANGES: dict[str, Change] = {
    **{f"transposed by {k:+d}": _moved(k) for k in (-5, -2, -1, 1, 2, 5)},
    "ticks doubled": lambda notes, path: with_more_ticks(path),
    "velocity 64": lambda notes, path: flattened(notes),
    "velocity x 0.7": lambda notes, path: louder(notes, 0.7),
    "velocity x 1.3": lambda notes, path: louder(notes, 1.3),
    "12 steps a beat": lambda notes, path: quantised(notes),
    "beats unknown": lambda notes, path: beats_unknown(notes),
    "tempo misread x 0.5": lambda notes, path: misread(notes, 0.5),
    "tempo misread x 2": lambda notes, path: misread(notes, 2.0),
}
"""A misread tempo is heard as slower or faster music: verdicts ought to change with it."""
