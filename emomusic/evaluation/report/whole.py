"""Whether clips are whole: files that can be read, the bars asked for, an end on time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.evaluation.intervals import wilson
from emomusic.music.score import ScoreError, notes_of, read_score

ROUNDING = 1e-6


@dataclass(frozen=True)
class Whole:
    """Hold how many clips are whole.

    Attributes:
        n_clips: Clips.
        n_read: Those whose file can be read and holds the notes composed.
        n_bars: Those in which a note begins in every bar asked for and in none after.
        n_ended: Those whose last bar holds a note and in which nothing sounds beyond it.
        n_whole: Those that are all of this.
    """

    n_clips: int
    n_read: int
    n_bars: int
    n_ended: int
    n_whole: int

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values, with the share of whole clips and its interval."""
        share = self.n_whole / self.n_clips
        low, high = wilson(share, self.n_clips)
        return {**vars(self), "share": [round(x, 4) for x in (share, low, min(high, 1.0))]}


def whole_clips(clips: Sequence[Clip], folder: Path) -> Whole:
    """Read the files of clips again and count those that are whole.

    The tokens of the ending are given to the model and are not in the score, so the end is told
    by the notes.

    Args:
        clips: At least one, written by `write_clips`.
        folder: Where their MIDI files are.
    """
    found = np.array([_checks(clip, folder / f"clip_{clip.index:05d}.mid") for clip in clips])
    read, bars, ended = found.sum(axis=0).tolist()
    return Whole(len(clips), read, bars, ended, int(found.all(axis=1).sum()))


def _checks(clip: Clip, path: Path) -> tuple[bool, bool, bool]:
    try:
        notes = notes_of(read_score(path))
    except ScoreError:
        return False, False, False
    n_beats = clip.request.beats_per_bar
    bar = np.floor((notes.onset + ROUNDING) / n_beats).astype(np.int64)
    filled = np.bincount(bar, minlength=clip.n_bars)
    sounds_until = float((notes.onset + notes.duration).max())
    return (
        len(notes) == len(notes_of(clip.score)),
        len(filled) == clip.n_bars and bool(filled.all()),
        bool((bar == clip.n_bars - 1).any()) and sounds_until <= clip.n_bars * n_beats + ROUNDING,
    )
