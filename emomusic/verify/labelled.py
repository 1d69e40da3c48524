"""What labelled clips teach: their notes, weights, soft labels, and folds by song."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.labels import LabelledClip
from emomusic.verify.members import Matrix

Rows = NDArray[np.int64]

LISTENER_WEIGHT = 3.0
"""Weight of a clip that about 30 listeners rated against one that four annotators sorted."""
SPREAD_OF_LISTENERS = 0.35
"""Standard deviation of listeners' values where the table does not say (VGMIDI's median)."""


def weights_of(clips: Sequence[LabelledClip]) -> Matrix:
    """Return how much each clip counts in fitting, shape (n,).

    Each quadrant weighs the same within a source. Otherwise a source with many Q1, as VGMIDI
    is, teaches that its kind of score (quantised, without pedal) is Q1, whatever it plays.
    Clips rated by listeners count three times.
    """
    cells = Counter((clip.source, clip.quadrant) for clip in clips)
    present = Counter(source for source, _ in cells)
    total = Counter(clip.source for clip in clips)
    balance = [
        total[clip.source] / (present[clip.source] * cells[clip.source, clip.quadrant])
        for clip in clips
    ]
    rated = np.array([clip.valence is not None for clip in clips])
    return np.array(balance, dtype=np.float64) * np.where(rated, LISTENER_WEIGHT, 1.0)


def notes_of_clips(clips: Sequence[LabelledClip]) -> list[Notes]:
    """Read the notes of labelled clips.

    Raises:
        ScoreError: If a file cannot be read.
    """
    return [notes_of(read_score(clip.path)) for clip in clips]


def listener_values(clips: Sequence[LabelledClip]) -> tuple[Matrix, Matrix]:
    """Return the listeners' valence and arousal, NaN where nobody was asked, each shape (n,)."""
    valence = [np.nan if clip.valence is None else clip.valence for clip in clips]
    arousal = [np.nan if clip.arousal is None else clip.arousal for clip in clips]
    return np.array(valence, dtype=np.float64), np.array(arousal, dtype=np.float64)


def quadrants_of(clips: Sequence[LabelledClip]) -> Rows:
    """Return the quadrants as 0 to 3, shape (n,)."""
    return np.array([QUADRANTS.index(clip.quadrant) for clip in clips], dtype=np.int64)


def quadrant_shares(clips: Sequence[LabelledClip]) -> Matrix:
    """Return soft labels: the share of people who heard each quadrant, shape (n, 4).

    Where listeners gave values, half is the quadrant of the table and half what their mean and
    spread say about single listeners, taken as normal and independent on the two axes.
    """
    from scipy.stats import norm

    shares = np.eye(4)[quadrants_of(clips)]
    for row, clip in zip(shares, clips, strict=True):
        if clip.valence is not None and clip.arousal is not None:
            pleasant, excited = (
                float(norm.cdf(value / (spread or SPREAD_OF_LISTENERS)))
                for value, spread in (
                    (clip.valence, clip.valence_spread),
                    (clip.arousal, clip.arousal_spread),
                )
            )
            sides = np.array([pleasant, 1 - pleasant, 1 - pleasant, pleasant])
            row[:] = (row + sides * np.array([excited, excited, 1 - excited, 1 - excited])) / 2.0
    return shares


def song_folds(
    y: Rows, groups: Sequence[str], *, n_folds: int, seed: int
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows to fit on and the rows to test on, no song being on both sides.

    Args:
        y: Classes to keep balanced, shape (n,).
        groups: Song of each row.
        n_folds: At least 2.
        seed: Draws the folds.

    Raises:
        ValueError: If there are fewer songs than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < n_folds:
        raise ValueError(
            f"need at least {n_folds} songs for {n_folds} folds, got {len(set(groups))}"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(y)), y, np.asarray(groups))
