"""Real music parted by songs, and intervals drawn by songs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.quality.music import MIN_PIECES

Indices = NDArray[np.int64]
Column = NDArray[np.float64]
N_SPLITS = 10
N_DRAWS = 300


@dataclass(frozen=True)
class Interval:
    """Hold a value and its 95 % interval.

    Attributes:
        value: As measured.
        low: 2.5 % of the draws lie below.
        high: 2.5 % of the draws lie above.
    """

    value: float
    low: float
    high: float

    def to_list(self) -> list[float]:
        """Return value, low and high, rounded."""
        return [round(self.value, 4), round(self.low, 4), round(self.high, 4)]


@dataclass(frozen=True)
class Beside:
    """Hold a number of composed pieces beside the same number of real ones.

    The intervals are those of drawing the pieces held against the reference again; that other
    real songs might have been the reference is not in them.

    Attributes:
        composed: Composed pieces against the reference half of the real ones.
        real: The other half of the real ones against the same reference.
        difference: Composed less real, draw by draw.
    """

    composed: Interval
    real: Interval
    difference: Interval

    def to_dict(self) -> dict[str, list[float]]:
        """Return each as value, low and high."""
        return {name: interval.to_list() for name, interval in vars(self).items()}


@dataclass(frozen=True)
class Split:
    """Hold which pieces are compared once; all three are equally many.

    Attributes:
        composed: Indices of composed pieces, shape (n,).
        reference: Indices of the real pieces that both others are held against, shape (n,).
        other: Indices of real pieces of other songs than the reference's, shape (n,).
    """

    composed: Indices
    reference: Indices
    other: Indices


def splits(
    n_composed: int, groups: Sequence[str], rng: np.random.Generator, *, n_splits: int = N_SPLITS
) -> Iterator[Split]:
    """Yield drawn halves of the real pieces, no song in both, with as many composed pieces.

    Args:
        n_composed: Composed pieces that there are.
        groups: Song of each real piece.
        rng: Draws the halves.
        n_splits: How many to yield.

    Raises:
        ValueError: If the songs cannot be parted into two halves of at least 8 pieces.
    """
    song = np.unique(np.asarray(groups), return_inverse=True)[1]
    for _ in range(n_splits):
        place = rng.permutation(int(song.max()) + 1)[song]
        order = np.argsort(place, kind="stable")
        middle = place[order[len(order) // 2]]
        halves = [np.flatnonzero(place < middle), np.flatnonzero(place >= middle)]
        n = min(n_composed, *map(len, halves))
        if n < MIN_PIECES:
            raise ValueError(
                f"two halves of at least {MIN_PIECES} real pieces without a song in both "
                f"are needed, got {len(halves[0])} and {len(halves[1])}"
            )
        reference, other = (rng.choice(half, n, replace=False) for half in halves)
        yield Split(rng.choice(n_composed, n, replace=False), reference, other)


def drawn_counts(groups: Sequence[str], n_draws: int, rng: np.random.Generator) -> Column:
    """Return how often each piece occurs in draws of whole songs, shape (n_draws, n_pieces).

    Args:
        groups: Song of each piece.
        n_draws: How many draws.
        rng: Draws the songs, as many as there are, with replacement.
    """
    song = np.unique(np.asarray(groups), return_inverse=True)[1]
    n_songs = int(song.max()) + 1
    drawn = rng.multinomial(n_songs, np.full(n_songs, 1.0 / n_songs), size=n_draws)
    return drawn[:, song].astype(np.float64)


def drawn_means(values: Column, counts: Column) -> Column:
    """Return the mean over pieces in each draw, shape (n_draws, ...).

    Args:
        values: One or more numbers of each piece, shape (n_pieces, ...).
        counts: Of `drawn_counts`; a draw that holds none of the pieces takes each once.
    """
    counts = np.where(counts.any(axis=1, keepdims=True), counts, 1.0)
    means: Column = np.tensordot(counts / counts.sum(axis=1, keepdims=True), values, axes=1)
    return means


def interval(value: float, draws: Column) -> Interval:
    """Return a value with the middle 95 % of its draws."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def beside(
    composed: Sequence[float],
    real: Sequence[float],
    *,
    composed_draws: Sequence[Column],
    real_draws: Sequence[Column],
) -> Beside:
    """Put composed beside real: means over the splits, and their intervals.

    The draws of a split are moved so that their mean is its value: a distribution that is drawn
    again is rougher than it was, and overlaps less.

    Args:
        composed: The value in each split.
        real: The same of real pieces.
        composed_draws: Its draws in each split, of the same pieces in the same order in all
            splits, each of shape (n_draws,).
        real_draws: The same of real pieces.
    """
    value, floor = float(np.mean(composed)), float(np.mean(real))
    mine, theirs = (
        np.mean([draws - draws.mean() + own for own, draws in zip(values, drawn, strict=True)], 0)
        for values, drawn in ((composed, composed_draws), (real, real_draws))
    )
    return Beside(
        interval(value, mine), interval(floor, theirs), interval(value - floor, mine - theirs)
    )
