"""What attributes real music shows: their quantiles, and which values go together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from emomusic.evaluation.pieces import clips_of_bars
from emomusic.evaluation.rows import Matrix
from emomusic.files import UNREADABLE
from emomusic.mapping import Mapper
from emomusic.music.attributes import attribute
from emomusic.training.rows import Rows

TABLES_NAME = "tables.json"
END = 0.02
"""The share of real music beyond either end of what is known of an attribute."""
LOWEST, HIGHEST = 0.05, 0.95
SAME = 0.9
NEAR = 0.05
N_JOINT = 1_000
N_GRID = 1_001


@dataclass(frozen=True)
class Distribution:
    """Hold how one attribute is distributed in real music.

    Attributes:
        shares: Shares of real music, rising, float64, shape (n,).
        values: The value that each share lies below, never falling, float64, shape (n,).
    """

    shares: Matrix
    values: Matrix

    @cached_property
    def edges(self) -> Matrix:
        """Return the distinct inner edges of the bins, rising."""
        return np.unique(self.values[1:-1])

    @cached_property
    def grid(self) -> Matrix:
        """Return the quantiles at evenly spaced shares from 0 to 1, shape (N_GRID,)."""
        grid = np.interp(np.linspace(0, 1, N_GRID), self.shares, self.values)
        if len(self.edges) < len(self.values) - 2:  # many values alike: those seen stand for all
            seen = np.unique(self.values)
            grid = seen[np.abs(grid[:, None] - seen).argmin(axis=1)]
        return grid

    @property
    def spread(self) -> float:
        """Return the standard deviation."""
        return float(self.grid.std())

    def levels(self, n_levels: int) -> Matrix:
        """Return distinct values at evenly spaced quantiles, 5 % to 95 %, rising.

        A value that much real music shares counts once, so the others lie evenly; fewer than
        `n_levels` come back where fewer values are known.
        """
        inside = self.grid[round(LOWEST * (N_GRID - 1)) : round(HIGHEST * (N_GRID - 1)) + 1]
        distinct = np.unique(inside)
        at = np.linspace(0, len(distinct) - 1, min(n_levels, len(distinct)))
        return distinct[np.rint(at).astype(np.int64)]

    def bins(self, values: Matrix) -> NDArray[np.int64]:
        """Return the bin of each value, counted over the bins that have a width."""
        return np.searchsorted(self.edges, values, side="right").astype(np.int64)

    def rank(self, value: float, rng: np.random.Generator) -> float:
        """Return the share of real music below a value; among equal ones, any of theirs."""
        below, up_to = (int(self.grid.searchsorted(value, side)) for side in ("left", "right"))
        return float(rng.uniform(below, max(up_to, below + 1e-9))) / N_GRID


@dataclass(frozen=True)
class RealMusic:
    """Hold what is known of attributes over real clips, or over real bars.

    Attributes:
        known: Each attribute's distribution.
        joint: Clips or bars with all of them, float64, shape (n, n_attributes).
    """

    known: Mapping[str, Distribution]
    joint: Matrix

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Part the attributes into those nearly the same: |ρ| above 0.9, directly or in a chain.

        Every attribute is in one group, most of them alone.
        """
        names = tuple(self.known)
        alike = np.abs(spearmanr(self.joint).statistic) > SAME
        label = np.arange(len(names))
        for _ in names:
            label = np.where(alike | np.eye(len(names), dtype=bool), label, len(names)).min(axis=1)
        return tuple(
            tuple(name for name, own in zip(names, label, strict=True) if own == first)
            for first in np.unique(label)
        )

    @cached_property
    def ranks(self) -> Matrix:
        """Return ranks between 0 and 1 of each column; equal values part at random."""
        n, rng = len(self.joint), np.random.default_rng(0)
        order = np.lexsort((rng.random(self.joint.shape).T, self.joint.T), axis=1)
        ranks = np.empty(self.joint.shape)
        np.put_along_axis(ranks, order.T, ((np.arange(n) + 0.5) / n)[:, None], 0)
        return ranks

    def possible(self, asked: Mapping[str, float], rng: np.random.Generator) -> bool:
        """Tell whether for every two attributes asked for, real music lies near both values.

        Near is a distance of ranks of at most 0.05 in either. Ranks are those among the joint
        clips themselves, so only the dependence of attributes is taken from them.
        """
        names = list(self.known)
        wanted = [self.known[name].rank(value, rng) for name, value in asked.items()]
        own = self.ranks[:, [names.index(name) for name in asked]]
        near = (np.abs(own - np.array(wanted)) <= NEAR).astype(np.int64)
        return bool((near.T @ near).all())


def real_music(
    folder: Path, *, rows: Rows | None = None, seed: int = 0
) -> tuple[RealMusic, RealMusic]:
    """Return what a checkpoint knows of real music, over clips and over bars.

    The quantiles are the edges of the bins in `tables.json`, each at its share of the corpus;
    beyond the outer ones they reach to the limits of the mapper's targets where these lie
    further (clip-wide), or half a bin on, within what is natural. Which values go together is
    drawn from the mapper's prototypes as a mixture of Gaussians, one for each, with its means
    and spreads, as likely as it has clips, kept within the limits; bars are taken to go
    together as clips do. Where packed rows are at hand, real clips and bars, those with
    dynamics and durations, stand in for the drawn ones: a prototype knows no correlation within
    itself. Attributes are those of the tables that the mapper has targets for.
    """
    mapper = Mapper.load(folder)
    path = folder / TABLES_NAME
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        bar = {
            name: _distribution(name, edges, float(edges[0]), float(edges[-1]))
            for name, edges in zip(tables["bar_attributes"], tables["bar_edges"], strict=True)
            if name in mapper.attributes
        }
        clip = {
            name: _distribution(name, edges, mapper.low[name], mapper.high[name])
            for name, edges in zip(tables["attributes"], tables["edges"], strict=True)
            if name in mapper.attributes
        }
        if not clip or not bar:
            raise ValueError("it names no attribute that the mapper has targets for")
    except UNREADABLE as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error
    rng = np.random.default_rng(seed)
    if rows is None:
        drawn = _drawn_clips(mapper, rng)
        joint, bar_joint = (_columns(drawn, mapper.attributes, own) for own in (clip, bar))
    else:
        clips, bars = _real_clips(rows)
        joint = _some(_columns(clips, rows.meta["attributes"], clip), rng)
        bar_joint = _some(_columns(bars, rows.meta["bar_attributes"], bar), rng)
    return RealMusic(clip, joint), RealMusic(bar, bar_joint)


def _columns(values: Matrix, names: Sequence[str], wanted: Iterable[str]) -> Matrix:
    return values[:, [names.index(name) for name in wanted]]


def _distribution(name: str, edges: Sequence[float], low: float, high: float) -> Distribution:
    inner = np.array(edges, dtype=np.float64)
    natural = attribute(name)
    first = inner[0] - (inner[1] - inner[0]) / 2
    last = inner[-1] + (inner[-1] - inner[-2]) / 2
    first = max(min(first, low), min(inner[0], natural.low))
    last = min(max(last, high), max(inner[-1], natural.high))
    share = np.arange(1, len(inner) + 1) / (len(inner) + 1)
    return Distribution(
        np.concatenate([[END], share, [1 - END]]), np.concatenate([[first], inner, [last]])
    )


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


def _real_clips(rows: Rows) -> tuple[Matrix, Matrix]:
    """Return attributes of the clips and bars of songs with dynamics and durations."""
    own = (rows.song_has_dynamics & rows.song_has_durations)[rows.clip_song]
    clip = clips_of_bars(rows)
    bars = rows.bar_values[(clip >= 0) & own[clip]]
    return rows.clip_values[own].astype(np.float64), bars.astype(np.float64)


def _some(values: Matrix, rng: np.random.Generator) -> Matrix:
    """Draw at most N_JOINT rows, of those without a gap, in their order."""
    whole = values[np.isfinite(values).all(axis=1)]
    return whole[np.sort(rng.choice(len(whole), min(N_JOINT, len(whole)), replace=False))]
