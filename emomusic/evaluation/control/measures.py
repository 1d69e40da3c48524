"""Measures of control: how closely values follow what is asked, and what else moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from emomusic.evaluation.control.real import Column, Distribution, Matrix

N_RESAMPLED = 500
MAX_TURNS = 20


@dataclass(frozen=True)
class Following:
    """Hold how closely one attribute follows when it alone is asked for.

    Attributes:
        n_clips: Clips.
        rho: Spearman's ρ between asked and achieved, over clips or over their bars.
        low: Lower end of its 95 % bootstrap interval over clips.
        high: Upper end.
        r2_identity: 1 less the squared distance of achieved from asked, as a share of the
            variance of achieved: at most 1, below 0 where the mean would tell more.
        r2_linear: Share of the variance of achieved that a straight line over asked explains.
        bin_share: Share of values in the bin asked for.
        near_share: Share of values in that bin or one beside it.
    """

    n_clips: int
    rho: float
    low: float
    high: float
    r2_identity: float
    r2_linear: float
    bin_share: float
    near_share: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return rounded(vars(self))


@dataclass(frozen=True)
class Fader:
    """Hold the measures of one attribute as a fader, each at most 1.

    Attributes:
        consistency: How alike clips are that ask for the same value.
        restrictiveness: How little other attributes change while this one is swept.
        linearity: How well a straight line tells achieved from asked, within a sweep.
    """

    consistency: float
    restrictiveness: float
    linearity: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return rounded(vars(self))


@dataclass(frozen=True)
class Leak:
    """Hold how much one attribute moves when another is asked for at independent values.

    Attributes:
        asked: The attribute asked for.
        moved: The other one, asked for as well.
        rho: Rank correlation between the first as asked and the second as achieved.
        chance: Its size to be expected by chance, from as many clips.
    """

    asked: str
    moved: str
    rho: float
    chance: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return rounded(vars(self))


def following(
    asked: Matrix, achieved: Matrix, distribution: Distribution, *, moved: Column, seed: int = 0
) -> Following:
    """Compare asked with achieved values of one attribute.

    Args:
        asked: Values asked for, shape (n_clips, n_values): bars, or one value a clip.
        achieved: Values achieved, of the same shape.
        distribution: The attribute in real music, with its bins.
        moved: How much each clip's values lie above those that the model wrote, shape
            (n_clips,): it writes in C, so bins hold there.
        seed: Of the bootstrap.
    """
    low, high = bootstrap_rho(asked, achieved, seed=seed)
    bins = [distribution.bins((values - moved[:, None]).ravel()) for values in (asked, achieved)]
    away = np.abs(bins[0] - bins[1])
    x, y = asked.ravel(), achieved.ravel()
    return Following(
        n_clips=len(asked),
        rho=spearman(x, y),
        low=low,
        high=high,
        r2_identity=r2_identity(x, y),
        r2_linear=r2_linear(x, y),
        bin_share=float((away == 0).mean()),
        near_share=float((away <= 1).mean()),
    )


def spearman(asked: Column, achieved: Column) -> float:
    """Return Spearman's ρ, shape (n,) each; 0 where one side is constant."""
    return float(_correlation(rankdata(asked), rankdata(achieved)))


def bootstrap_rho(asked: Matrix, achieved: Matrix, *, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of Spearman's ρ; whole clips are drawn anew.

    Args:
        asked: Shape (n_clips, n_values).
        achieved: Of the same shape.
        seed: Of the draws.
    """
    n_clips = len(asked)
    drawn = np.random.default_rng(seed).integers(n_clips, size=(N_RESAMPLED, n_clips))
    ranks = [
        rankdata(values[drawn].reshape(N_RESAMPLED, -1), axis=1) for values in (asked, achieved)
    ]
    low, high = np.quantile(_correlation(*ranks), [0.025, 0.975])
    return float(low), float(high)


def r2_identity(asked: Column, achieved: Column) -> float:
    """Return the R² of asked as the prediction of achieved; 0 where achieved is constant."""
    total = float(((achieved - achieved.mean()) ** 2).sum())
    return 1.0 - float(((achieved - asked) ** 2).sum()) / total if total > 0 else 0.0


def r2_linear(asked: Column, achieved: Column) -> float:
    """Return the R² of the best straight line from asked to achieved; 0 if one is constant."""
    return float(_correlation(asked, achieved)) ** 2


def fader(levels: Column, achieved: Matrix, others: NDArray[np.float64]) -> Fader:
    """Return FaderNets' measures of an attribute that is swept while all others are free.

    Args:
        levels: Values asked for, in units of the attribute's spread in real music, (n_levels,).
        achieved: What was achieved, in the same units, shape (n_levels, n_sweeps).
        others: Other attributes, each in units of its own spread, shape
            (n_levels, n_sweeps, n_others).

    Reference: Tan and Herremans (2020), `Music FaderNets`, as their code has it: consistency is
    1 less the mean over levels of the standard deviation over samples, restrictiveness 1 less
    the mean over samples of another attribute's standard deviation over levels, linearity the
    mean R² of a linear regression. They sweep a latent dimension while the rest of the latent
    code stays; here a sample is a first draw with its own randomness, so restrictiveness holds
    the variety of free attributes too, and is the mean over several others.
    """
    straight = [r2_linear(levels, sweep) for sweep in achieved.T]
    return Fader(
        consistency=1.0 - float(achieved.std(axis=1).mean()),
        restrictiveness=1.0 - float(others.std(axis=0).mean()) if others.size else 1.0,
        linearity=float(np.mean(straight)),
    )


def leaks(
    names: Sequence[str], asked: NDArray[np.float64], achieved: NDArray[np.float64]
) -> list[Leak]:
    """Return what leaks from each attribute to each other one, all asked for at once.

    Where not all combinations can be asked for, the values asked are not quite independent; so
    what the other values asked for tell linearly about the one is taken from its ranks first.

    Args:
        names: The attributes.
        asked: Shape (n_names, n_clips, n_values).
        achieved: Of the same shape.

    Reference: Wu and Yang (2023), `MuseMorphose`: |ρ(asked a, achieved b)|. With independent
    values ours is the same number. Chance is the mean size of the correlation after asked
    values were given to other clips.
    """
    ranks = [np.stack([rankdata(own) for own in kind.reshape(len(names), -1)])
             for kind in (asked, achieved)]  # fmt: skip
    found = []
    for a, name in enumerate(names):
        own = _apart(ranks[0][a], np.delete(ranks[0], a, axis=0)).reshape(asked.shape[1:])
        for b, other in enumerate(names):
            if b != a:
                rho = float(_correlation(own.ravel(), ranks[1][b]))
                found.append(Leak(name, other, rho, _chance(own, ranks[1][b])))
    return found


def root_beyond_chance(found: Sequence[Leak]) -> float:
    """Return the root mean square of ρ with what chance adds taken away; 0 if that is all."""
    if not found:
        return 0.0
    square = float(np.mean([leak.rho**2 for leak in found]))
    noise = float(np.mean([leak.chance**2 for leak in found]))
    return math.sqrt(max(square - noise * math.pi / 2, 0.0))  # a normal: E x² is π/2 times E|x|²


def _chance(own: Matrix, achieved: Column) -> float:
    turns = range(1, min(len(own) - 1, MAX_TURNS) + 1)
    sizes = [abs(float(_correlation(np.roll(own, turn, axis=0).ravel(), achieved)))
             for turn in turns]  # fmt: skip
    return float(np.mean(sizes)) if sizes else 0.0


def _apart(ranks: Column, others: Matrix) -> Column:
    """Return what a straight plane over other ranks, shape (n_others, n), leaves of ranks."""
    plane = np.vstack([np.ones(len(ranks)), others]).T
    rest: Column = ranks - plane @ np.linalg.lstsq(plane, ranks, rcond=None)[0]
    return np.where(np.abs(rest) < 1e-9 * len(ranks), 0.0, rest)


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation along the last axis; 0 where one side is constant."""
    x, y = (side - side.mean(axis=-1, keepdims=True) for side in (x, y))
    norm = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    product = (x * y).sum(axis=-1)
    return np.where(norm > 1e-12, product / np.maximum(norm, 1e-12), 0.0)


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain values, numbers to four places."""
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
