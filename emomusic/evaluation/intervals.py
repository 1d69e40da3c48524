"""Intervals of shares and of statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
N_RESAMPLES = 1000


def wilson(share: float, n: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson interval of a share of n, 95 % wide by default.

    Reference:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(float(centre - half), 0.0), min(float(centre + half), 1.0)


def mean_interval(values: Matrix, groups: Sequence[str], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean, drawing whole groups.

    Args:
        values: Shape (n,).
        groups: Group of each, such as the song: clips of one song are not independent.
        seed: Draws the groups.
    """
    columns = np.stack([values, np.ones(len(values))], axis=1)
    return over_groups(columns, groups, lambda sums: sums[:, 0] / sums[:, 1], seed=seed)


def correlation_interval(
    x: Matrix, y: Matrix, groups: Sequence[str], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean of correlations, drawing whole groups.

    Args:
        x: One or more columns that are correlated with y, shape (k, n); the mean is over k.
        y: Shape (n,).
        groups: Group of each of the n.
        seed: Draws the groups.
    """
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean()
    shared = np.stack([np.ones(len(y)), y, y * y])
    columns = np.concatenate([shared, x, x * x, x * y]).T

    def correlation(sums: Matrix) -> Matrix:
        n, y, yy = (column[:, None] for column in sums[:, :3].T)
        x, xx, xy = np.split(sums[:, 3:], 3, axis=1)
        spread = np.sqrt(np.maximum((n * xx - x * x) * (n * yy - y * y), 0.0))
        r = np.full(x.shape, np.nan)
        np.divide(n * xy - x * y, spread, out=r, where=spread > 1e-12)
        mean: Matrix = r.mean(axis=1)
        return mean

    return over_groups(columns, groups, correlation, seed=seed)


def over_groups(
    columns: Matrix,
    groups: Sequence[str],
    statistic: Callable[[Matrix], Matrix],
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a statistic of sums, drawing whole groups.

    Args:
        columns: What is summed over the rows drawn, shape (n, k).
        groups: Group of each row.
        statistic: From the sums of each draw, shape (n_resamples, k), to a number for each; NaN
            does not count.
        n_resamples: How often groups are drawn, as many as there are.
        seed: Draws them.

    Returns:
        NaN twice where no draw gave a number.

    Reference:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap: percentiles of the cluster
        bootstrap.
    """
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.zeros((len(names), columns.shape[1]))
    np.add.at(sums, place, columns)
    drawn = np.random.default_rng(seed).integers(0, len(names), (n_resamples, len(names)))
    found = statistic(np.stack([column[drawn].sum(axis=1) for column in sums.T], axis=1))
    known = found[~np.isnan(found)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
