"""Whether composed pieces lie where real ones do, and cover them: precision to coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from emomusic.evaluation.quality.music import MIN_PIECES, Piece, checked_pieces, pieces_per_song
from emomusic.evaluation.quality.resampling import (
    N_DRAWS,
    N_SPLITS,
    Beside,
    Column,
    beside,
    drawn_counts,
    drawn_means,
    splits,
)
from emomusic.verify.features import feature_matrix

NEIGHBOURS = 5
N_AXES = 32
MAX_Z = 5.0
MEASURES = ("precision", "recall", "density", "coverage")
_Measured = tuple[Column, Column]
"""The value of each measure, shape (4,), and its draws, shape (4, n_draws)."""


@dataclass(frozen=True)
class Manifold:
    """Hold how composed pieces lie among real ones.

    Attributes:
        n: Pieces of each of the three sets that are compared: composed, reference, other real.
        n_of_song: How many real pieces come from one song at most.
        k: Neighbours that a ball reaches to.
        n_axes: Axes of the space.
        precision: Share of pieces within a ball of the reference.
        recall: Share of the reference within a ball of the pieces.
        density: Balls of the reference around a piece, over k, mean over the pieces; about 1
            for real pieces, more where they crowd in the midst.
        coverage: Share of the reference's balls that hold a piece.
    """

    n: int
    n_of_song: int
    k: int
    n_axes: int
    precision: Beside
    recall: Beside
    density: Beside
    coverage: Beside

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {**vars(self), **{name: getattr(self, name).to_dict() for name in MEASURES}}


def manifold(
    composed: Sequence[Piece],
    real: Sequence[Piece],
    *,
    k: int = NEIGHBOURS,
    n_axes: int = N_AXES,
    n_draws: int = N_DRAWS,
    n_splits: int = N_SPLITS,
    seed: int = 0,
) -> Manifold:
    """Compare composed and real pieces in the space of the verifier's features, in seconds.

    The real pieces are halved by songs, several times; composed pieces and the other half, as
    many, are held against the same half. Intervals come from drawing the points that a mean is
    over again, whole songs at a time.

    Args:
        composed: At least 8 pieces.
        real: At least 16 pieces of at least two songs.
        k: Neighbours, fewer than the pieces of a half.
        n_axes: Principal axes kept; see `Space`.
        n_draws: Of the bootstrap.
        n_splits: Halvings.
        seed: Of halvings and draws.

    Raises:
        ValueError: If there are too few pieces, or k or n_axes is out of range.
    """
    checked_pieces(composed, real)
    if not 1 <= k < MIN_PIECES or n_axes < 1:
        raise ValueError(
            f"k must be in 1 to {MIN_PIECES - 1} and n_axes above 0, got {k}, {n_axes}"
        )
    rng = np.random.default_rng(seed)
    mine, theirs = (feature_matrix([piece.notes for piece in own]) for own in (composed, real))
    groups = [[piece.group for piece in own] for own in (composed, real)]
    drawn = list(splits(len(composed), groups[1], rng, n_splits=n_splits))
    counts = [drawn_counts(own, n_draws, rng) for own in groups]
    found = []
    for split in drawn:
        space, of_reference = (
            Space(n_axes).fit(theirs[split.reference]),
            counts[1][:, split.reference],
        )
        reference = space.transform(theirs[split.reference])
        pair = []
        for points, own in (
            (mine[split.composed], counts[0][:, split.composed]),
            (theirs[split.other], counts[1][:, split.other]),
        ):
            values = neighbourhood(reference, space.transform(points), k=k)
            pair.append(_drawn(values, (own, of_reference, own, of_reference)))
        found.append(pair)
    each = {name: _beside(found, index) for index, name in enumerate(MEASURES)}
    size = len(drawn[0].reference)
    axes = min(n_axes, size - 1, mine.shape[1])
    return Manifold(size, pieces_per_song(real), k, axes, **each)


class Space:
    """Map features to principal axes of equal spread, fitted on real pieces.

    Features are standardised and cut at five standard deviations, so that a freak value is no
    axis of its own. The principal axes that are kept are each divided by their spread, so that
    many features of one thing count once.

    32 such axes part real pop piano from what is none: with 200 pieces, precision is 0.85 for
    other real songs, 0.67 at 1.7 times their tempo, 0.68 with their pitches shuffled, 0.49 with
    a third of them a semitone off, 0.13 for classical piano. Unwhitened the same axes give 0.91,
    0.78, 0.84, 0.76 and 0.48; all features 0.82, 0.61, 0.65, 0.62 and 0.20.
    """

    def __init__(self, n_axes: int = N_AXES) -> None:
        """Choose the number of axes; fewer are kept where there are fewer pieces."""
        self.n_axes = n_axes

    def fit(self, features: Column) -> Space:
        """Fit means, spreads and axes.

        Args:
            features: Shape (n, n_features), n above 1.
        """
        self.mean_ = features.mean(axis=0)
        spread = features.std(axis=0)
        self.spread_ = np.where(spread > 1e-9, spread, 1.0)
        z = self._standardised(features)
        self.centre_ = z.mean(axis=0)
        _, values, axes = np.linalg.svd(z - self.centre_, full_matrices=False)
        n_axes = min(self.n_axes, int((values > 1e-9 * max(values[0], 1e-9)).sum()))
        self.axes_ = axes[:n_axes].T / np.maximum(values[:n_axes] / np.sqrt(len(z)), 1e-9)
        return self

    def transform(self, features: Column) -> Column:
        """Return places, shape (n, n_axes) or fewer axes."""
        places: Column = (self._standardised(features) - self.centre_) @ self.axes_
        return places

    def _standardised(self, features: Column) -> Column:
        z: Column = np.clip((features - self.mean_) / self.spread_, -MAX_Z, MAX_Z)
        return z


def neighbourhood(reference: Column, points: Column, *, k: int) -> tuple[Column, ...]:
    """Return what precision, recall, density and coverage are means of.

    Args:
        reference: Real pieces, shape (n, d).
        points: Pieces held against them, shape (m, d).
        k: Balls reach to the k-th neighbour within their own set; below n and m.

    Returns:
        Of the points whether each is in a ball of the reference, (m,); of the reference whether
        each is in a ball of the points, (n,); of the points how many balls each is in, over k,
        (m,); of the reference whether each one's ball holds a point, (n,).

    Reference:
        Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing
        generative models; Naeem et al. (2020), Reliable fidelity and diversity metrics for
        generative models (density, coverage).
    """
    apart = cdist(points, reference)
    in_reference = apart <= _radii(reference, k)[None, :]
    in_points = apart <= _radii(points, k)[:, None]
    values = (
        in_reference.any(axis=1),
        in_points.any(axis=0),
        in_reference.sum(axis=1) / k,
        in_reference.any(axis=0),
    )
    return tuple(value.astype(np.float64) for value in values)


def _radii(points: Column, k: int) -> Column:
    radii: Column = np.partition(cdist(points, points), k, axis=1)[:, k]
    return radii


def _drawn(values: Sequence[Column], counts: Sequence[Column]) -> _Measured:
    draws = [drawn_means(value, own) for value, own in zip(values, counts, strict=True)]
    return np.array([value.mean() for value in values]), np.array(draws)


def _beside(found: Sequence[Sequence[_Measured]], index: int) -> Beside:
    return beside(
        [float(pair[0][0][index]) for pair in found],
        [float(pair[1][0][index]) for pair in found],
        composed_draws=[pair[0][1][index] for pair in found],
        real_draws=[pair[1][1][index] for pair in found],
    )
