"""Two sets of clips held against each other: spreads, and a difference with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from emomusic.music.notes import FloatColumn, IntColumn

N_DRAWS = 2000
Groups = NDArray[Any]


@dataclass(frozen=True)
class Spread:
    """Hold how one number is spread over clips.

    Attributes:
        n: Clips that have it.
        mean: Its mean.
        median: Its median.
        p95: The value that 95 % of the clips do not exceed.
        max: The greatest.
    """

    n: int
    mean: float
    median: float
    p95: float
    max: float

    def to_dict(self) -> dict[str, float]:
        """Return all as plain rounded values."""
        return {name: round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Excess:
    """Hold by how much composed clips exceed real ones.

    Attributes:
        difference: Mean of composed less mean of real.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        p_value: One-sided Mann–Whitney test of composed being greater. It takes all windows for
            independent, though some come from one song: read the interval first.
    """

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def is_above(self) -> bool:
        """Tell whether composed exceeds real by more than chance: all of the interval above 0."""
        return self.low > 0

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "difference": round(self.difference, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "p_value": float(f"{self.p_value:.2g}"),
            "is_above": self.is_above,
        }


def spread_of(values: FloatColumn) -> Spread:
    """Summarise a number over clips, those where it is NaN left out.

    Raises:
        ValueError: If no clip has it.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        raise ValueError("no clip is long enough to measure")
    median, p95 = np.quantile(values, (0.5, 0.95))
    return Spread(len(values), float(values.mean()), float(median), float(p95), float(values.max()))


def excess_of(
    composed: FloatColumn, real: FloatColumn, *, real_group: Groups, seed: int = 0
) -> Excess:
    """Compare a number of composed clips with that of real ones; NaN is left out.

    The bootstrap draws composed clips one by one, and real ones song by song.

    Args:
        composed: Shape (n_composed,).
        real: Shape (n_real,).
        real_group: The song of each real one, shape (n_real,).
        seed: Of the bootstrap.

    Raises:
        ValueError: If a side is empty.
    """
    has, real_has = np.isfinite(composed), np.isfinite(real)
    composed, real, real_group = composed[has], real[real_has], real_group[real_has]
    if not len(composed) or not len(real):
        raise ValueError(f"nothing to compare: {len(composed)} composed, {len(real)} real values")
    rng = np.random.default_rng(seed)
    drawn = _drawn_means(composed, np.arange(len(composed)), rng)
    drawn -= _drawn_means(real, np.unique(real_group, return_inverse=True)[1], rng)
    low, high = np.quantile(drawn, (0.025, 0.975))
    test = mannwhitneyu(composed, real, alternative="greater")
    difference = float(composed.mean() - real.mean())
    return Excess(difference, float(low), float(high), float(test.pvalue))


def _drawn_means(values: FloatColumn, group: IntColumn, rng: np.random.Generator) -> FloatColumn:
    """Return the mean of each bootstrap draw of groups, shape (N_DRAWS,)."""
    total, count = np.bincount(group, values), np.bincount(group)
    times = rng.multinomial(len(count), np.full(len(count), 1 / len(count)), size=N_DRAWS)
    means: FloatColumn = (times @ total) / (times @ count)
    return means
