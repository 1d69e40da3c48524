"""Where emotions are heard against where they were asked for, and which are heard as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from emomusic.evaluation.granularity.distance import N_DRAWS, SAME_PLACE
from emomusic.evaluation.granularity.separability import Rows, Separability
from emomusic.evaluation.granularity.sets import Matrix, Sets
from emomusic.evaluation.judged.grid import AXES

N_SHUFFLES = 100
TOPS = (1, 5)


@dataclass(frozen=True)
class Following:
    """Hold how one axis heard follows the axis asked for, over emotions.

    Each is an estimate and its 95 % interval, drawn over emotions with all their clips.

    Attributes:
        axis: `valence` or `arousal`.
        rho: Spearman's ρ of asked and mean heard.
        rho_above: The same among emotions at 0 or above on this axis; empty below five of them.
        rho_below: The same among those below 0.
        slope: Of the straight line from asked to heard; 1 keeps distances.
        explained: Share of the variance of single clips that lies between emotions (ω²).
    """

    axis: str
    rho: tuple[float, ...]
    rho_above: tuple[float, ...]
    rho_below: tuple[float, ...]
    slope: tuple[float, ...]
    explained: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        numbers = {k: v for k, v in vars(self).items() if k != "axis"}
        return {"axis": self.axis} | {
            name: [round(x, 4) for x in values] for name, values in numbers.items()
        }


def follow(sets: Sets, *, n_draws: int = N_DRAWS, seed: int = 0) -> tuple[Following, ...]:
    """Set valence and arousal heard beside those asked for.

    Args:
        sets: What was heard.
        n_draws: Of the bootstrap over emotions.
        seed: Of the bootstrap.
    """
    n = len(sets.emotions)
    drawn = np.random.default_rng(seed).integers(n, size=(n_draws, n))
    found = []
    for i, axis in enumerate(AXES):
        asked, clips = sets.asked[:, i], sets.plane[:, :, i]
        above = asked >= 0
        rhos = [
            _interval(_rho, asked[own], clips[own], _redrawn(drawn, own))
            for own in (np.ones(n, dtype=bool), above, ~above)
        ]
        slope, explained = (_interval(f, asked, clips, drawn) for f in (_slope, _explained))
        found.append(Following(axis, rhos[0], rhos[1], rhos[2], slope, explained))
    return tuple(found)


def _redrawn(drawn: Rows, own: NDArray[np.bool_]) -> list[Rows]:
    """Return the draws of some emotions alone, numbered among themselves."""
    place = np.cumsum(own) - 1
    return [place[draw[own[draw]]] for draw in drawn]


def _interval(measure: Any, asked: Matrix, clips: Matrix, drawn: Sequence[Rows] | Rows) -> Any:
    if len(asked) < 5:
        return ()
    draws = [measure(asked[rows], clips[rows]) for rows in drawn if len(rows) > 2]
    low, high = np.quantile(draws, [0.025, 0.975]) if draws else (np.nan, np.nan)
    return float(measure(asked, clips)), float(low), float(high)


def _rho(asked: Matrix, clips: Matrix) -> float:
    x, y = rankdata(asked), rankdata(clips.mean(axis=1))
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / max(np.sqrt((x @ x) * (y @ y)), 1e-12))


def _slope(asked: Matrix, clips: Matrix) -> float:
    x = asked - asked.mean()
    return float(x @ clips.mean(axis=1) / max(x @ x, 1e-12))


def _explained(asked: Matrix, clips: Matrix) -> float:
    del asked
    n, within = clips.shape[1], clips.var(axis=1, ddof=1).mean()
    between = clips.mean(axis=1).var(ddof=1) - within / n
    return float(max(between, 0.0) / max(between + within, 1e-12))


@dataclass(frozen=True)
class Identification:
    """Hold how often a clip is known among all emotions by the sets' centres.

    Attributes:
        rank: Place of the emotion asked for, 1 is nearest; shape (n_emotions, n_clips).
        shuffled: Share within each of `TOPS`, and median rank, of shuffled emotions; shape
            (n_shuffles, 3).
        drawn: Emotions drawn anew, shape (n_draws, n_emotions).
    """

    rank: Rows
    shuffled: Matrix
    drawn: Rows

    def to_dict(self) -> dict[str, Any]:
        """Return shares and median rank with intervals over emotions, chance beside them."""
        n = len(self.rank)
        draws = np.array([_ranks_told(self.rank[rows]) for rows in self.drawn])
        ends = np.quantile(draws, [0.025, 0.975], axis=0)
        whole = _ranks_told(self.rank)
        names = (*(f"top_{top}" for top in TOPS), "median_rank")
        return {
            "n": n,
            **{
                name: [round(float(x), 4) for x in (whole[i], *ends[:, i])]
                for i, name in enumerate(names)
            },
            "chance": {
                name: round(float(self.shuffled[:, i].mean()), 4) for i, name in enumerate(names)
            },
        }


def _ranks_told(rank: Rows) -> list[float]:
    return [*(float((rank <= top).mean()) for top in TOPS), float(np.median(rank))]


def identify(
    sets: Sets, *, n_shuffles: int = N_SHUFFLES, n_draws: int = N_DRAWS, seed: int = 0
) -> Identification:
    """Find for each clip the nearest centre of all sets, its own centre without the clip.

    Nearness is Mahalanobis's, by the scatter of clips about their own sets' centres.

    Args:
        sets: What was heard.
        n_shuffles: How often to deal all clips out anew, for chance: that a centre lacks one
            clip makes it a little worse than one in so many.
        n_draws: Of the bootstrap over emotions.
        seed: Of all that is drawn.
    """
    points, rng = sets.view(), np.random.default_rng(seed)
    n = len(points)
    shuffled = []
    for _ in range(n_shuffles):
        dealt = rng.permutation(points.reshape(-1, points.shape[2])).reshape(points.shape)
        shuffled.append(_ranks_told(_ranks(dealt)))
    drawn = rng.integers(n, size=(n_draws, n))
    return Identification(_ranks(points), np.array(shuffled), drawn)


def _ranks(points: Matrix) -> Rows:
    n, count = points.shape[:2]
    white = white_points(points)
    centres = white.mean(axis=1)
    distance = ((white[:, :, None] - centres) ** 2).sum(axis=-1)
    own = np.arange(n)
    distance[own, :, own] *= (count / (count - 1)) ** 2
    mine = distance[own, :, own][..., None]
    rank: Rows = 1 + (distance < mine).sum(axis=-1) + ((distance == mine).sum(axis=-1) - 1) // 2
    return rank


def white_points(points: Matrix) -> Matrix:
    """Return points about their mean, in units of the scatter of clips within their sets."""
    points = points - points.mean(axis=(0, 1))
    away = (points - points.mean(axis=1, keepdims=True)).reshape(-1, points.shape[2])
    size, direction = np.linalg.eigh(away.T @ away / len(away))
    white: Matrix = points @ direction / np.sqrt(np.maximum(size, 1e-9))
    return white


def nearest_heard(sets: Sets) -> Matrix:
    """Return the distances of the sets' centres, shape (n_emotions, n_emotions).

    In standard deviations of clips about their own set's centre, over all coordinates.
    """
    centres = white_points(sets.view()).mean(axis=1)
    distance: Matrix = np.linalg.norm(centres[:, None] - centres, axis=-1)
    return distance


def groups_of(found: Separability) -> list[list[int]]:
    """Return groups in which no two sets are told apart, the largest first.

    Complete linkage on p, cut where a pair is told apart. Not being told apart is not
    transitive: a set may be confused with sets of several groups, and stands in one.
    """
    if not found.apart.any():
        return [list(range(found.n_sets))]
    tree = linkage(-np.log10(found.p), method="complete")
    groups = _cut(tree, -np.log10(found.threshold) - 1e-9)
    return sorted(groups, key=lambda group: (-len(group), group))


def places_of(asked: Matrix) -> list[list[int]]:
    """Return emotions asked for at one place: none farther than 0.05 from another of its place.

    Args:
        asked: Valence and arousal, shape (n_emotions, 2), at least two.
    """
    gaps = squareform(np.linalg.norm(asked[:, None] - asked, axis=-1), checks=False)
    return _cut(linkage(gaps, method="complete"), SAME_PLACE)


def _cut(tree: Matrix, height: float) -> list[list[int]]:
    label = fcluster(tree, height, criterion="distance")
    return [np.flatnonzero(label == one).tolist() for one in np.unique(label)]
