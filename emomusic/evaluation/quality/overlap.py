"""How far the distributions of composed and real pieces overlap, beside real and real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist

from emomusic.evaluation.quality.histograms import QUANTITIES, histograms
from emomusic.evaluation.quality.music import Piece, checked_pieces, pieces_per_song
from emomusic.evaluation.quality.resampling import (
    N_DRAWS,
    N_SPLITS,
    Beside,
    Column,
    Split,
    beside,
    drawn_counts,
    drawn_means,
    splits,
)

N_GRID = 512
_Measured = tuple[float, Column]
"""A value and its draws."""


@dataclass(frozen=True)
class QuantityOverlap:
    """Hold how far one quantity's distributions overlap, each number 0 (apart) to 1 (alike).

    Attributes:
        name: The quantity, one of `histograms.QUANTITIES`.
        pooled: Overlap area of the mean histograms of all pieces.
        distances: Overlap area of the distances within real pieces and those to them.
    """

    name: str
    pooled: Beside
    distances: Beside

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        pooled, distances = self.pooled.to_dict(), self.distances.to_dict()
        return {"name": self.name, "pooled": pooled, "distances": distances}


@dataclass(frozen=True)
class Overlap:
    """Hold the overlap of all quantities.

    Attributes:
        n: Pieces of each of the three sets that are compared: composed, reference, other real.
        n_of_song: How many real pieces come from one song at most.
        each: The quantities.
    """

    n: int
    n_of_song: int
    each: tuple[QuantityOverlap, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values, with the means over the quantities."""
        names = ("composed", "real")
        means = {
            kind: {
                name: round(
                    float(np.mean([getattr(getattr(q, kind), name).value for q in self.each])), 4
                )
                for name in names
            }
            for kind in ("pooled", "distances")
        }
        return {**vars(self), "mean": means, "each": [own.to_dict() for own in self.each]}


def overlap(
    composed: Sequence[Piece],
    real: Sequence[Piece],
    *,
    n_draws: int = N_DRAWS,
    n_splits: int = N_SPLITS,
    seed: int = 0,
) -> Overlap:
    """Compare the distributions of composed pieces with those of real ones.

    The real pieces are halved by songs, several times; composed pieces and the other half, as
    many, are held against the same half. Every piece weighs the same, whatever its notes.
    Intervals come from drawing the pieces that are held against it again, whole songs at a time.

    `pooled` is Σ min(p, q) of mean histograms on one grid. `distances` is the same of two
    densities: distances between the histograms of two reference pieces, and of a reference
    piece and one held against it. Both are high for a set that is like the reference as a
    whole; only the second tells a set of like pieces from one as varied as the reference.

    Args:
        composed: At least 8 pieces with bars.
        real: At least 16 pieces with bars, of at least two songs.
        n_draws: Of the bootstrap.
        n_splits: Halvings.
        seed: Of halvings and draws.

    Raises:
        ValueError: If there are too few pieces or one has no bars.

    Reference:
        Yang and Lerch (2020), On the evaluation of generative models in music (mgeval): theirs
        samples the two densities where each has its own range, ours on one grid; Euclidean
        distances and Scott's bandwidth as theirs, densities reflected at 0.
    """
    checked_pieces(composed, real)
    rng = np.random.default_rng(seed)
    groups = [[piece.group for piece in own] for own in (composed, real)]
    drawn = list(splits(len(composed), groups[1], rng, n_splits=n_splits))
    counts = [drawn_counts(own, n_draws, rng) for own in groups]
    each = []
    for name in QUANTITIES:
        mine, theirs = histograms(composed, name), histograms(real, name)
        found = [_both(mine, theirs, split, counts) for split in drawn]
        pooled, distances = ([pair[kind] for pair in found] for kind in (0, 1))
        each.append(QuantityOverlap(name, _beside(pooled), _beside(distances)))
    return Overlap(len(drawn[0].reference), pieces_per_song(real), tuple(each))


def overlap_area(p: Column, q: Column) -> Column:
    """Return Σ min(p, q) over the last axis of histograms or densities, each made to sum to 1."""
    area: Column = np.minimum(
        p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    ).sum(axis=-1)
    return area


def distance_overlap(reference: Column, held: Column, counts: Column) -> _Measured:
    """Return the overlap area of distances within a set and to it, and its draws.

    Args:
        reference: Histograms, shape (n, n_bins).
        held: Histograms of pieces held against it, shape (m, n_bins).
        counts: Of `drawn_counts` over the m pieces, shape (n_draws, m).
    """
    within = cdist(reference, reference)[np.triu_indices(len(reference), 1)]
    across = cdist(held, reference)
    width = max(float(within.max()), float(across.max()), 1e-9) / N_GRID * (1.0 + 1e-9)
    inside = np.bincount((within / width).astype(np.int64), minlength=N_GRID)
    rows = np.arange(len(held))[:, None] * N_GRID + (across / width).astype(np.int64)
    per_piece = np.bincount(rows.ravel(), minlength=len(held) * N_GRID).reshape(-1, N_GRID)
    smooth = _smoothed(per_piece.astype(np.float64), _bandwidth(across.ravel()) / width)
    target = _smoothed(inside.astype(np.float64), _bandwidth(within) / width)
    value = float(overlap_area(smooth.mean(axis=0), target))
    return value, overlap_area(drawn_means(smooth, counts), target)


def _both(
    mine: Column, theirs: Column, split: Split, counts: Sequence[Column]
) -> tuple[tuple[_Measured, _Measured], tuple[_Measured, _Measured]]:
    """Return the pooled and the distance overlaps, each of composed and of other real pieces."""
    reference = theirs[split.reference]
    held = (mine[split.composed], theirs[split.other])
    pooled, distances = [], []
    drawn_again = (counts[0][:, split.composed], counts[1][:, split.other])
    for own, drawn in zip(held, drawn_again, strict=True):
        target = reference.mean(axis=0)
        value = float(overlap_area(own.mean(axis=0), target))
        pooled.append((value, overlap_area(drawn_means(own, drawn), target)))
        distances.append(distance_overlap(reference, own, drawn))
    return (pooled[0], pooled[1]), (distances[0], distances[1])


def _beside(found: Sequence[tuple[_Measured, _Measured]]) -> Beside:
    return beside(
        [mine[0] for mine, _ in found],
        [theirs[0] for _, theirs in found],
        composed_draws=[mine[1] for mine, _ in found],
        real_draws=[theirs[1] for _, theirs in found],
    )


def _bandwidth(distances: Column) -> float:
    """Return Scott's bandwidth of a one-dimensional density."""
    return max(float(distances.std()) * float(len(distances) ** -0.2), 1e-12)


def _smoothed(counts: Column, sigma: float) -> Column:
    """Return counts on the grid smoothed by a Gaussian of `sigma` cells, reflected at the ends."""
    smooth: Column = gaussian_filter1d(counts, sigma, axis=-1, mode="reflect")
    return smooth
