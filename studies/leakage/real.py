"""What a checkpoint knows of real music, and which values of attributes go together there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.stats import rankdata

from emomusic.evaluation.control import Distribution, Known, real_values
from emomusic.evaluation.quality import clips_of_bars
from emomusic.evaluation.rows import Matrix, correlation
from emomusic.mapping import Mapper
from emomusic.training.rows import Rows

SAME, NEAR = 0.9, 0.05
"""|ρ| of attributes that are nearly the same; distance of ranks that are near."""
N_JOINT = 1_000


@dataclass(frozen=True)
class RealMusic:
    """Hold what is known of attributes over real clips, or over real bars.

    Attributes:
        known: Each attribute's distribution.
        joint: Clips or bars with all of them, shape (n, n_attributes).
    """

    known: Known
    joint: Matrix

    @cached_property
    def groups(self) -> list[tuple[str, ...]]:
        """Part the attributes into those nearly the same: |ρ| above 0.9, directly or in a chain."""
        ranks = rankdata(self.joint.T, axis=1)
        n, label = connected_components(np.abs(correlation(ranks[:, None], ranks)) > SAME)
        names = np.array(list(self.known))
        return [tuple(names[label == group].tolist()) for group in range(n)]


def real_music(folder: Path, *, rows: Rows | None = None) -> tuple[RealMusic, RealMusic]:
    """Return what a checkpoint knows of real music, and which values go together there.

    That is drawn from the mapper's prototypes as a mixture of Gaussians, one for each, with its
    means and spreads, as likely as it has clips, kept within the limits; bars are taken to go
    together as clips do. Where packed rows are at hand, real clips and bars, those with
    dynamics and durations, stand in for the drawn ones: a prototype knows no correlation within
    itself.
    """
    known, mapper, rng = real_values(folder), Mapper.load(folder), np.random.default_rng(0)
    if rows is None:
        seen = [(_drawn_clips(mapper, rng), mapper.attributes)] * 2
    else:
        own, clip = rows.song_has_dynamics & rows.song_has_durations, clips_of_bars(rows)
        values = rows.clip_values[own[rows.clip_song]].astype(np.float64)
        bars = rows.bar_values[(clip >= 0) & own[rows.clip_song[clip]]].astype(np.float64)
        seen = [(values, rows.meta["attributes"]), (bars, rows.meta["bar_attributes"])]
    joint = [
        values[:, [names.index(name) for name in own]]
        for own, (values, names) in zip(known, seen, strict=True)
    ]
    if rows is not None:
        joint = [_some(own, rng) for own in joint]
    return RealMusic(known[0], joint[0]), RealMusic(known[1], joint[1])


def _drawn_clips(mapper: Mapper, rng: np.random.Generator) -> Matrix:
    """Draw clips from the mixture of prototypes, shape (N_JOINT, n_attributes)."""
    names = mapper.attributes
    n_clips = np.array([p.n_clips for p in mapper.prototypes], dtype=np.float64)
    mean, spread = (
        np.array([[getattr(p, part)[name] for name in names] for p in mapper.prototypes])
        for part in ("mean", "spread")
    )
    which = rng.choice(len(n_clips), N_JOINT, p=n_clips / n_clips.sum())
    drawn = mean[which] + spread[which] * rng.standard_normal((N_JOINT, len(names)))
    low, high = (np.array([limit[name] for name in names]) for limit in (mapper.low, mapper.high))
    return np.clip(drawn, low, high)


def _some(values: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw at most N_JOINT rows, of those without a gap, in their order."""
    whole = values[np.isfinite(values).all(axis=1)]
    return whole[np.sort(rng.choice(len(whole), min(N_JOINT, len(whole)), replace=False))]


def ranks_of(real: RealMusic) -> Matrix:
    """Return ranks between 0 and 1 of each column; equal values part at random."""
    n, rng = len(real.joint), np.random.default_rng(0)
    order = np.lexsort((rng.random(real.joint.shape).T, real.joint.T), axis=1)
    ranks = np.empty(real.joint.shape)
    np.put_along_axis(ranks, order.T, ((np.arange(n) + 0.5) / n)[:, None], 0)
    return ranks


def rank(distribution: Distribution, value: float, rng: np.random.Generator) -> float:
    """Return the share of real music below a value; among equal ones, any of theirs."""
    grid = distribution.grid
    below, up_to = (int(grid.searchsorted(value, side)) for side in ("left", "right"))
    return float(rng.uniform(below, max(up_to, below + 1e-9))) / len(grid)


def possible(
    real: RealMusic, ranks: Matrix, asked: Mapping[str, float], rng: np.random.Generator
) -> bool:
    """Tell whether for every two attributes asked for, real music lies near both values.

    Near is a distance of ranks of at most 0.05 in either. Ranks are those among the joint
    clips themselves, so only the dependence of attributes is taken from them.
    """
    names = list(real.known)
    wanted = [rank(real.known[name], value, rng) for name, value in asked.items()]
    own = ranks[:, [names.index(name) for name in asked]]
    near = (np.abs(own - np.array(wanted)) <= NEAR).astype(np.int64)
    return bool((near.T @ near).all())
