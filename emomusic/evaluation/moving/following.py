"""How courses heard follow those asked for, within pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.evaluation.intervals import mean_interval, over_groups
from emomusic.evaluation.judged.grid import AXES
from emomusic.evaluation.moving.courses import Course
from emomusic.evaluation.moving.hearing import Matrix
from emomusic.evaluation.moving.telling import told

N_SHUFFLES = 200
LEAST_CHANGE = 0.2
"""Changes asked for that are smaller on an axis do not count as changes."""
LAGS = tuple(range(-4, 5))
"""Bars by which what is heard may come after what is asked."""
Triple = tuple[float, ...]
"""A value with the ends of its 95 % interval; empty where there is nothing to measure."""


@dataclass(frozen=True)
class Following:
    """Hold how one axis follows its curve; intervals draw curves again, with all their pieces.

    Attributes:
        axis: `valence` or `arousal`.
        r: Correlation of asked and heard over windows, each piece's means taken off.
        chance: The same with the curves of other pieces: mean, and the range of 95 % of draws.
        real: The same as r of real music glued by quadrant.
        farthest: Share of pieces in which the two windows asked farthest apart are heard in
            that order.
        farthest_real: The same of real music.
        steepest: Share in which the greatest change from a window to the next is heard so.
        steepest_real: The same of real music.
        slope: Log odds heard for 1 asked, within pieces.
        reach: That slope as a share of the slope between pieces that stay at one emotion.
        wander: Standard deviation of what is heard within a piece, log odds.
        wander_still: The same of pieces asked to stay at one emotion.
        lag: Bars by which what is heard comes after what is asked, where r is greatest.
        r_at_lags: r at each of `LAGS`.
    """

    axis: str
    r: Triple
    chance: Triple
    real: Triple
    farthest: Triple
    farthest_real: Triple
    steepest: Triple
    steepest_real: Triple
    slope: Triple
    reach: Triple
    wander: Triple
    wander_still: Triple
    lag: Triple
    r_at_lags: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        numbers = {name: value for name, value in vars(self).items() if name != "axis"}
        return {"axis": self.axis} | {name: told(values) for name, values in numbers.items()}


def follow(
    composed: Sequence[Course],
    still: Sequence[Course],
    real: Sequence[Course],
    *,
    seed: int = 0,
) -> tuple[Following, ...]:
    """Set what is heard beside what is asked, for valence and for arousal.

    Args:
        composed: Pieces that follow curves.
        still: Pieces that stay where their curve begins.
        real: Real music glued by quadrant; may be empty.
        seed: Of all that is drawn.
    """
    found = []
    for k, axis in enumerate(AXES):
        sums, still_sums = _sums(composed, k), _sums(still, k)
        groups, own = _groups(composed), {"seed": seed}
        found.append(
            Following(
                axis,
                r=_measured(sums, groups, _r, **own),
                chance=_chance(composed, k, seed=seed),
                real=_measured(_sums(real, k), _groups(real), _r, **own),
                farthest=_share(composed, k, farthest=True, seed=seed),
                farthest_real=_share(real, k, farthest=True, seed=seed),
                steepest=_share(composed, k, farthest=False, seed=seed),
                steepest_real=_share(real, k, farthest=False, seed=seed),
                slope=_measured(sums, groups, _slope, **own),
                reach=_reach(composed, still, k, seed=seed),
                wander=_measured(sums, groups, _spread, **own),
                wander_still=_measured(still_sums, _groups(still), _spread, **own),
                **_lagged(composed, k, seed=seed),
            )
        )
    return tuple(found)


def _groups(courses: Sequence[Course]) -> list[str]:
    return [str(course.group) for course in courses]


def _centred(asked: Matrix, heard: Matrix) -> list[float]:
    """Return sums over one piece's windows: asked × heard, asked², heard², and how many."""
    if not len(asked):
        return [0.0] * 4
    a, h = asked - asked.mean(), heard - heard.mean()
    return [float(a @ h), float(a @ a), float(h @ h), float(len(a))]


def _sums(courses: Sequence[Course], k: int) -> Matrix:
    sums = [_centred(*(points[:, k] for points in course.apart)) for course in courses]
    return np.array(sums).reshape(-1, 4)


def _r(sums: Matrix) -> Matrix:
    return _ratio(sums[:, 0], np.sqrt(sums[:, 1] * sums[:, 2]))


def _slope(sums: Matrix) -> Matrix:
    return _ratio(sums[:, 0], sums[:, 1])


def _spread(sums: Matrix) -> Matrix:
    spread: Matrix = np.sqrt(_ratio(sums[:, 2], sums[:, 3]))
    return spread


def _ratio(above: Matrix, below: Matrix) -> Matrix:
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=np.abs(below) > 1e-12)
    return ratio


def _measured(sums: Matrix, groups: Sequence[str], statistic: Any, *, seed: int) -> Triple:
    """Return a statistic of sums with its interval, drawing groups."""
    if not len(sums):
        return ()
    ends = over_groups(sums, groups, statistic, seed=seed)
    return float(statistic(sums.sum(axis=0)[None])[0]), *ends


def _chance(courses: Sequence[Course], k: int, *, seed: int) -> Triple:
    """Return r with the curve of another piece, stretched to this one's length."""
    curves = {course.group: course.apart[0][:, k] for course in courses}
    order, rng = np.array(list(curves)), np.random.default_rng(seed)
    if len(order) < 2:
        return ()
    draws = []
    for _ in range(N_SHUFFLES):
        dealt = rng.permutation(order)
        other = dict(zip(dealt.tolist(), np.roll(dealt, 1).tolist(), strict=True))
        sums = [
            _centred(_stretched(curves[other[course.group]], len(heard)), heard)
            for course in courses
            for heard in [course.apart[1][:, k]]
        ]
        draws.append(float(_r(np.sum(sums, axis=0)[None])[0]))
    return float(np.mean(draws)), *np.quantile(draws, [0.025, 0.975]).tolist()


def _stretched(values: Matrix, n: int) -> Matrix:
    """Return a curve read at n even places."""
    if not len(values):
        return np.zeros(n)
    stretched: Matrix = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(values)), values)
    return stretched


def _share(courses: Sequence[Course], k: int, *, farthest: bool, seed: int) -> Triple:
    """Return the share of pieces in which an asked change is heard in the right direction."""
    right, groups = [], []
    for course in courses:
        asked, heard = (points[:, k] for points in course.apart)
        if len(asked) < 2:
            continue
        if farthest:
            i, j = sorted((int(asked.argmin()), int(asked.argmax())))
        else:
            i = int(np.abs(np.diff(asked)).argmax())
            j = i + 1
        change = asked[j] - asked[i]
        if abs(change) >= LEAST_CHANGE:
            right.append(float(change * (heard[j] - heard[i]) > 0))
            groups.append(str(course.group))
    if not right:
        return ()
    values = np.array(right)
    return float(values.mean()), *mean_interval(values, groups, seed=seed)


def _reach(composed: Sequence[Course], still: Sequence[Course], k: int, *, seed: int) -> Triple:
    """Return the slope within pieces as a share of that between pieces that stay."""
    if not composed or not still:
        return ()
    moving = np.pad(_sums(composed, k), ((0, 0), (0, 5)))
    between = [[0.0] * 4 + _totals(*(own[:, k] for own in course.apart)) for course in still]

    def ratio(sums: Matrix) -> Matrix:
        n, a, h, aa, ah = sums[:, 4:].T
        return _ratio(_slope(sums), _ratio(n * ah - a * h, n * aa - a * a))

    sums = np.concatenate([moving, np.array(between)])
    return _measured(sums, [*_groups(composed), *_groups(still)], ratio, seed=seed)


def _totals(asked: Matrix, heard: Matrix) -> list[float]:
    """Return 1, the means asked and heard in one piece, asked², and asked × heard."""
    if not len(asked):
        return [0.0] * 5
    a, h = float(asked.mean()), float(heard.mean())
    return [1.0, a, h, a * a, a * h]


def _lagged(courses: Sequence[Course], k: int, *, seed: int) -> dict[str, Triple]:
    """Return the lag at which r is greatest, and r at each lag, over windows a bar apart."""
    sums = np.array([[_at_lag(course, k, lag) for lag in LAGS] for course in courses])

    def r(sums: Matrix) -> Matrix:
        own = sums.reshape(-1, 4)
        return np.nan_to_num(_r(own), nan=-1.0).reshape(-1, len(LAGS))

    def lag(sums: Matrix) -> Matrix:
        best: Matrix = np.array(LAGS, dtype=np.float64)[r(sums).argmax(axis=1)]
        return best

    flat = sums.reshape(len(courses), -1)
    at_lags = tuple(r(flat.sum(axis=0)[None])[0].tolist())
    return {"lag": _measured(flat, _groups(courses), lag, seed=seed), "r_at_lags": at_lags}


def _at_lag(course: Course, k: int, lag: int) -> list[float]:
    """Return the sums of one piece, what is heard set beside what was asked bars before."""
    n = len(course.asked) - abs(lag)
    if n < 2:
        return [0.0] * 4
    asked = course.asked[max(-lag, 0) :][:n, k]
    heard = course.heard[max(lag, 0) :][:n, k]
    known = ~np.isnan(heard)
    return _centred(asked[known], heard[known])
