"""How far apart two emotions must be asked for to be told apart, and how far chance goes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from emomusic.evaluation.granularity.separability import (
    FALSE_DISCOVERIES,
    N_PERMUTATIONS,
    Separability,
    pairs_of,
    permutation_p,
)
from emomusic.evaluation.granularity.sets import Matrix, Sets
from emomusic.evaluation.intervals import wilson
from emomusic.evaluation.judged.grid import AXES

EDGES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.25, 2.9)
"""Of the bins of distance in the plane of valence and arousal; the first is one place."""
SAME_PLACE = EDGES[1]
"""Emotions asked for nearer than this to each other are asked for at one place."""
NEAR = EDGES[3]
"""Emotions asked for nearer than this to each other are near."""
ACROSS = 0.15
"""Pairs that differ by no more on the other axis differ along one axis alone."""
TOLD = 0.75
"""Share of pairs told apart from which emotions count as told apart."""
N_DRAWS = 300


@dataclass(frozen=True)
class Control:
    """Hold how often what is one emotion is told apart, and what is told apart again.

    Attributes:
        n_twins: Emotions of which a second set was composed.
        twins_below: Share of those pairs of sets with p at most 0.05, which is what it should be.
        twins_apart: Share of them as far apart as pairs of emotions that are told apart.
        n_again: Pairs of emotions that were told apart and of both of which there is a second set.
        again: Share of them that are told apart by their second sets, too.
        n_near_again: The same of near pairs, tested by themselves.
        near_again: Share of them.
        n_shuffles: How often all clips were dealt out to the emotions anew.
        shuffled_below: Share of all pairs with p at most 0.05 then.
        shuffled_apart: Share of all pairs told apart then.
    """

    n_twins: int
    twins_below: float
    twins_apart: float
    n_again: int
    again: float
    n_near_again: int
    near_again: float
    n_shuffles: int
    shuffled_below: float
    shuffled_apart: float

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values, the twins' shares with 95 % Wilson intervals."""
        return {
            "n_twins": self.n_twins,
            "twins_below": _with_wilson(self.twins_below, self.n_twins),
            "twins_apart": _with_wilson(self.twins_apart, self.n_twins),
            "n_again": self.n_again,
            "again": round(self.again, 4),
            "n_near_again": self.n_near_again,
            "near_again": round(self.near_again, 4),
            "n_shuffles": self.n_shuffles,
            "shuffled_below": round(self.shuffled_below, 4),
            "shuffled_apart": round(self.shuffled_apart, 4),
        }


def _with_wilson(share: float, n: int) -> list[float]:
    return [round(x, 4) for x in (share, *wilson(share, n))]


def control(
    sets: Sets,
    twins: Sets,
    found: Separability,
    *,
    n_shuffles: int = 4,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Control:
    """Test pairs that are one emotion: composed twice, and dealt out anew.

    Args:
        sets: What was heard.
        twins: Second sets of some of the same emotions, at least one, of as many clips.
        found: Which emotions were told apart by the first sets.
        n_shuffles: How often to deal the clips out, at least 1.
        n_permutations: Of each test.
        seed: Of all that is drawn.

    Raises:
        ValueError: If a twin has no sister.
    """
    if not set(twins.names) <= set(sets.names) or not twins.names:
        raise ValueError("second sets must be of emotions that there are first sets of")
    points, rows = sets.view(), [sets.names.index(name) for name in twins.names]
    how = {"n_permutations": n_permutations, "seed": seed}
    p = permutation_p(points[rows], twins.view(), **how)
    below, apart = [], []
    first, second = pairs_of(len(points)).T
    rng = np.random.default_rng(seed)
    for _ in range(n_shuffles):
        dealt = rng.permutation(points.reshape(-1, points.shape[2])).reshape(points.shape)
        shuffled = permutation_p(dealt[first], dealt[second], **how)
        below.append((shuffled <= FALSE_DISCOVERIES).mean())
        apart.append((false_discovery_control(shuffled) <= FALSE_DISCOVERIES).mean())
    return Control(
        len(rows),
        float((p <= FALSE_DISCOVERIES).mean()),
        float((p <= found.threshold).mean()),
        *_again(sets, twins, found, rows, **how),
        n_shuffles,
        float(np.mean(below)),
        float(np.mean(apart)),
    )


def _again(
    sets: Sets, twins: Sets, found: Separability, rows: list[int], **how: int
) -> tuple[int, float, int, float]:
    """Return how many pairs were told apart, and how many of them are again; and near ones."""
    one, other = pairs_of(len(rows)).T
    if not len(one):
        return 0, 0.0, 0, 0.0
    own = np.array(rows)
    near = Distances(sets.asked, n_draws=0).distance < NEAR
    points, told = twins.view(), []
    p = permutation_p(points[one], points[other], **how)
    for apart in (found.apart, found.apart_among(near)):
        before = found.square(apart, 0.0)[own[one], own[other]] > 0
        threshold = found.p[apart].max(initial=0.0)
        told += [int(before.sum()), float((p[before] <= threshold).mean()) if before.any() else 0.0]
    return int(told[0]), told[1], int(told[2]), told[3]


class Distances:
    """Set what is told apart beside the distance asked for, with intervals over emotions.

    Emotions are drawn anew with all their clips, as pairs that share an emotion go together; a
    pair of an emotion with itself does not count.
    """

    def __init__(self, asked: Matrix, *, n_draws: int = N_DRAWS, seed: int = 0) -> None:
        """Measure distances and draw emotions.

        Args:
            asked: Valence and arousal, shape (n_emotions, 2).
            n_draws: Of the bootstrap.
            seed: Of the bootstrap.
        """
        first, second = pairs_of(len(asked)).T
        self.gaps: Matrix = np.abs(asked[first] - asked[second])
        self.distance: Matrix = np.hypot(*self.gaps.T)
        n = len(asked)
        drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_draws)
        self.weights = (drawn[:, first] * drawn[:, second]).astype(np.float64)

    def share(self, values: NDArray[Any], where: NDArray[np.bool_] | None = None) -> list[float]:
        """Return the mean over pairs with its interval; empty where there is none."""
        used = np.ones(len(values), dtype=bool) if where is None else where
        weights = self.weights[:, used]
        total = weights.sum(axis=1)
        if not total.any():
            return []
        draws = (weights @ values[used])[total > 0] / total[total > 0]
        ends = np.quantile(draws, [0.025, 0.975])
        return [round(float(x), 4) for x in (values[used].mean(), *ends)]

    def bins(self, found: Separability) -> list[dict[str, Any]]:
        """Return pairs, share told apart and mean AUC in each bin of distance."""
        rows = []
        for low, high in pairwise(EDGES):
            here = (self.distance >= low) & (self.distance < high)
            if here.any():
                rows.append({"low": low, "high": high, "n": int(here.sum()),
                             "apart": self.share(found.apart, here),
                             "auc": self.share(found.auc, here)})  # fmt: skip
        return rows

    def reach(self, found: Separability, axis: str | None = None) -> dict[str, Any]:
        """Return the distance from which three in four pairs are told apart.

        The share is taken to rise with distance and nothing else (isotonic regression).

        Args:
            found: Which pairs are told apart.
            axis: `valence` or `arousal`: only pairs that differ along it alone.

        Returns:
            `n` pairs; `distance`, with its interval; None, or an end that is None, is a
            distance greater than any there is.
        """
        distance, used = self.distance, np.ones(len(self.distance), dtype=bool)
        if axis is not None:
            own = AXES.index(axis)
            distance, used = self.gaps[:, own], self.gaps[:, 1 - own] <= ACROSS
        order = np.argsort(distance[used], kind="stable")
        far, apart = distance[used][order], found.apart[used][order].astype(np.float64)
        weights = self.weights[:, used][:, order]
        drawn = [_first_told(far, apart, weight) for weight in weights]
        whole = _first_told(far, apart, np.ones(len(far)))
        low, high = np.quantile(drawn, [0.025, 0.975], method="nearest").tolist()
        told = [round(x, 3) if np.isfinite(x) else None for x in (whole, low, high)]
        return {"n": int(used.sum()), "distance": told}


def _first_told(distance: Matrix, apart: Matrix, weight: Matrix) -> float:
    """Return the least distance at which the rising share is three in four, or infinity."""
    from sklearn.isotonic import IsotonicRegression

    used = weight > 0
    if not used.any():
        return float("inf")
    x, y = distance[used], apart[used]
    rising = IsotonicRegression().fit(x, y, sample_weight=weight[used]).predict(x)
    told = np.flatnonzero(rising >= TOLD)
    return float(distance[used][told[0]]) if len(told) else float("inf")
