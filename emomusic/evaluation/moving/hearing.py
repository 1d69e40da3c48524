"""What judges hear in pieces and in windows of them, as points of the plane."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.grid import judged_plane
from emomusic.evaluation.judged.hearing import NO_VELOCITY
from emomusic.evaluation.judges import Judge
from emomusic.music.notes import Notes

Matrix = NDArray[np.float64]
WINDOW_BARS = 4
FEWEST_NOTES = 4
"""A window of fewer notes is not heard."""
BEATS = 4
"""Of each bar."""
SUREST = 0.01
"""Judged probabilities count as at least this and at most one less this: a judge that is sure of
one clip does not outweigh all others."""


def counted(judges: Mapping[str, Judge]) -> list[Judge]:
    """Return the judges that count: the one without velocity is of a kind with another.

    Raises:
        ValueError: If there is no other.
    """
    found = [judge for name, judge in judges.items() if name != NO_VELOCITY]
    if not found:
        raise ValueError("no judge to hear the pieces")
    return found


def points_of(judges: Mapping[str, Judge], notes: Sequence[Notes]) -> Matrix:
    """Return the judges' mean log odds of positive valence and arousal, shape (n, 2)."""
    if not notes:
        return np.zeros((0, 2))
    planes = [judged_plane(judge.predict_proba(notes)) for judge in counted(judges)]
    positive = np.clip(planes, SUREST, 1.0 - SUREST)  # (n_judges, n, 2)
    mean: Matrix = np.log(positive / (1.0 - positive)).mean(axis=0)
    return mean


def quadrants_heard(judges: Mapping[str, Judge], notes: Sequence[Notes]) -> list[str]:
    """Return the quadrant likeliest to the judges together, for each piece."""
    mean = np.mean([judge.predict_proba(notes) for judge in counted(judges)], axis=0)
    return [QUADRANTS[i] for i in mean.argmax(axis=1)]


def bars_of(notes: Notes, start: int, stop: int) -> Notes:
    """Return the notes that begin in bars of four beats, from one to before another."""
    inside = (notes.onset >= BEATS * start - 1e-9) & (notes.onset < BEATS * stop - 1e-9)
    return notes.where(inside)


def windows_of(notes: Notes, n_bars: int) -> list[Notes]:
    """Return the notes of each four bars in a row, one window for each bar they begin with."""
    starts = range(max(n_bars - WINDOW_BARS, 0) + 1)
    return [bars_of(notes, start, start + WINDOW_BARS) for start in starts]


def hear_windows(judges: Mapping[str, Judge], pieces: Iterable[Sequence[Notes]]) -> list[Matrix]:
    """Return what is heard in each window of each piece, shape (n_windows, 2) each.

    NaN where a window has fewer than four notes.
    """
    pieces = list(pieces)
    every = [window for windows in pieces for window in windows]
    is_heard = np.array([len(window) >= FEWEST_NOTES for window in every], dtype=bool)
    points = np.full((len(every), 2), np.nan)
    points[is_heard] = points_of(judges, [w for w in every if len(w) >= FEWEST_NOTES])
    ends = np.cumsum([len(windows) for windows in pieces])
    return np.split(points, ends[:-1])
