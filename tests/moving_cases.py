"""Courses, moves and continuations as judges would hear them, made in code."""

from __future__ import annotations

import numpy as np

from emomusic.emotion import CurvePoint, EmotionCurve, find_emotion
from emomusic.evaluation.moving.courses import Course, asked_course
from emomusic.evaluation.moving.following import follow
from emomusic.evaluation.moving.going_on import GoneOn
from emomusic.evaluation.moving.moves import Moved
from emomusic.evaluation.moving.run import Moving

N_BARS = 20


def made_curves(n: int = 8, *, seed: int = 0) -> tuple[tuple[EmotionCurve, int], ...]:
    """Return curves that cross the plane, from calm, angry, joyful or sad to another of these."""
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(n):
        names = rng.permutation(["calm", "anger", "joy", "sadness"])[:3]
        bars = [0, int(rng.integers(4, 17)), N_BARS]
        points = [CurvePoint(b, find_emotion(str(e))) for b, e in zip(bars, names, strict=True)]
        curves.append((EmotionCurve(tuple(points)), N_BARS))
    return tuple(curves)


def made_courses(
    curves: tuple[tuple[EmotionCurve, int], ...],
    *,
    gain: float = 4.0,
    noise: float = 0.3,
    lag: int = 0,
    seed: int = 0,
) -> tuple[Course, ...]:
    """Return courses that are heard as asked so many bars before, `gain` times, and noise."""
    rng, courses = np.random.default_rng(seed), []
    for group, (curve, n_bars) in enumerate(curves):
        asked = asked_course(curve.over(n_bars))
        before = asked[np.maximum(np.arange(len(asked)) - lag, 0)]
        courses.append(Course(group, asked, gain * before + noise * rng.normal(size=asked.shape)))
    return tuple(courses)


def still_courses(
    curves: tuple[tuple[EmotionCurve, int], ...], *, gain: float = 4.0
) -> tuple[Course, ...]:
    """Return courses that stay where curves begin."""
    found = []
    for group, (curve, n_bars) in enumerate(curves):
        asked = asked_course([curve.points[0].emotion] * n_bars)
        found.append(Course(group, asked, gain * asked))
    return tuple(found)


def made_moved(move: str = "happier", *, n: int = 12, by: float = 1.0) -> Moved:
    """Return pieces that move along valence by so much, and unrelated ones that do not."""
    rng = np.random.default_rng(1)
    before = rng.normal(size=(n, 2))
    asked = {"happier": (0.4, 0.0), "calmer": (0.0, -0.4)}.get(move, (0.0, 0.0))
    alike = np.tile([0.5, 0.8, 0.7], (n, 1))
    return Moved(
        move,
        np.tile(asked, (n, 1)),
        before,
        before + np.array((by, 0.0)),
        before,
        before,
        alike,
        alike - 0.2,
    )


def made_moving(*, gain: float = 4.0) -> Moving:
    """Return a whole result without composing."""
    curves = made_curves()
    composed, still = made_courses(curves, gain=gain), still_courses(curves)
    quadrants = ("Q1", "Q2", "Q3")
    near = 1.0 - 0.5 * np.eye(3)
    gone_on = tuple(
        GoneOn(what, *[quadrants] * 5, ("Q1",) * 3, near, near + 1.0)
        for what in ("the same emotion", "an emotion of another quadrant")
    )
    return Moving(
        ("ear", "eye"), curves, composed, still, follow(composed, still, (), seed=1),
        (made_moved(), made_moved("calmer"), made_moved("another take", by=0.0)),
        {"events": [0.4, 0.3, 0.5], "onsets": [0.7, 0.6, 0.8], "pitch classes": []},
        gone_on, [1.0, 0.9, 1.1],
    )  # fmt: skip
