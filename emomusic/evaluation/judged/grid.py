"""A sweep of valence and arousal: does what is judged follow what was asked?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.evaluation.judged.hearing import Matrix, listen
from emomusic.evaluation.judges import Judge
from emomusic.music.score import notes_of

AXES = ("valence", "arousal")
SIGNS = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
"""What Q1 to Q4 count for valence and for arousal."""
N_LEVELS, N_CLIPS, N_DRAWS = 7, 8, 500
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Sweep:
    """Hold emotions over the plane and what judges heard in clips that were to carry them.

    Attributes:
        levels: Valence, and arousal, of the grid's lines, rising, shape (n_levels,).
        judged: By judge: judged valence and arousal, each 0 to 1: the probability of the
            quadrants on that side; shape (n_levels arousals, n_levels valences, n_clips, 2).
    """

    levels: Matrix
    judged: Mapping[str, Matrix]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If one does not fit the levels.
        """
        n = len(self.levels)
        for name, values in self.judged.items():
            if values.ndim != 4 or values.shape[:2] != (n, n) or values.shape[3] != 2:
                raise ValueError(f"{name} must have shape ({n}, {n}, n, 2), got {values.shape}")

    def asked(self, axis: str) -> Matrix:
        """Return what was asked in each cell, shape (n_levels, n_levels)."""
        valence, arousal = np.meshgrid(self.levels, self.levels)
        return {"valence": valence, "arousal": arousal}[axis]

    def cells(self, judge: str, axis: str) -> Matrix:
        """Return the mean judged value of each cell, arousal down, valence across."""
        mean: Matrix = self.judged[judge][..., AXES.index(axis)].mean(axis=2)
        return mean

    def correlation(
        self, judge: str, axis: str, *, of_cells: bool = False, seed: int = 0
    ) -> tuple[float, float, float]:
        """Return Spearman's rho between asked and judged with its 95 % bootstrap interval.

        Clips are drawn anew within each cell, as the grid is given. Drawing adds noise to what
        is noisy already and so lowers rho: the interval is moved by as much, its median onto
        the estimate.

        Args:
            judge: Its name.
            axis: `valence` or `arousal`.
            of_cells: Over the cells' means instead of single clips. Asked values being tied,
                seven levels allow no more than 0.99 either way.
            seed: Of the bootstrap.
        """
        values = self.judged[judge][..., AXES.index(axis)]
        n = values.shape[2]
        which = np.random.default_rng(seed).integers(n, size=(N_DRAWS, *values.shape))
        drawn: Matrix = np.take_along_axis(values[None], which, axis=3)
        asked = np.repeat(self.asked(axis)[..., None], n, axis=2)
        if of_cells:
            asked, values, drawn = asked[..., 0], values.mean(axis=2), drawn.mean(axis=3)
        rho = float(spearman(asked, values.reshape(1, -1))[0])
        again = spearman(asked, drawn.reshape(N_DRAWS, -1))
        ends = np.quantile(again, [0.025, 0.975]) - np.median(again) + rho
        low, high = np.clip(ends, -1.0, 1.0).tolist()
        return rho, low, high

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {
            "levels": [round(x, 4) for x in self.levels.tolist()],
            "n_clips": {judge: values.shape[2] for judge, values in self.judged.items()},
            "rho": {
                judge: {axis: _rounded(self.correlation(judge, axis)) for axis in AXES}
                for judge in self.judged
            },
            "rho_of_cells": {
                judge: {
                    axis: _rounded(self.correlation(judge, axis, of_cells=True)) for axis in AXES
                }
                for judge in self.judged
            },
            "cells": {
                judge: {axis: self.cells(judge, axis).round(4).tolist() for axis in AXES}
                for judge in self.judged
            },
        }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def spearman(asked: Matrix, judged: Matrix) -> Matrix:
    """Return Spearman's rho of one row of numbers with each of several, shape (n_rows,).

    A row that is constant has 0.

    Args:
        asked: n numbers, of any shape.
        judged: Shape (n_rows, n).
    """
    x = rankdata(asked.ravel())
    y = rankdata(judged, axis=1)
    x, y = x - x.mean(), y - y.mean(axis=1, keepdims=True)
    size = np.sqrt((x @ x) * (y * y).sum(axis=1))
    rho: Matrix = np.where(size > 0, y @ x / np.maximum(size, 1e-12), 0.0)
    return rho


def judged_plane(probabilities: Matrix) -> Matrix:
    """Return judged valence and arousal, 0 to 1, shape (n, 2).

    Args:
        probabilities: Of Q1 to Q4, shape (n, 4).
    """
    plane: Matrix = probabilities @ SIGNS
    return plane


def sweep_plane(
    composer: Composer,
    judges: Mapping[str, Judge],
    *,
    n_levels: int = N_LEVELS,
    count: int = N_CLIPS,
    seed: int = 0,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> Sweep:
    """Compose first draws over a grid of emotions and let judges hear them.

    Args:
        composer: A checkpoint.
        judges: By name.
        n_levels: Values of valence, and of arousal, from -1 to 1, at least 2.
        count: Clips of each cell.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the number of clips just finished.

    Raises:
        ValueError: If n_levels or count is too small.
    """
    if n_levels < 2 or count < 1:
        raise ValueError(
            f"a sweep needs 2 levels and a clip for each cell, got {n_levels} and {count}"
        )
    levels = np.linspace(-1.0, 1.0, n_levels)
    requests = [
        Request(Emotion(valence, arousal), n_bars=n_bars)
        for arousal in levels.tolist()
        for valence in levels.tolist()
        for _ in range(count)
    ]
    clips = composer.compose_each(requests, seed=seed, progress=progress)
    heard = listen(judges, [notes_of(clip.score) for clip in clips])
    shape = (n_levels, n_levels, count, 2)
    return Sweep(levels, {name: judged_plane(p).reshape(shape) for name, p in heard.items()})
