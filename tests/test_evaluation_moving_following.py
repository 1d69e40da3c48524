from __future__ import annotations

import json

import numpy as np
import pytest
from moving_cases import made_courses, made_curves, still_courses

from emomusic.evaluation.moving.courses import Course
from emomusic.evaluation.moving.following import LAGS, follow

CURVES = made_curves(16)


def test_what_is_heard_as_asked_follows_and_strangers_do_not() -> None:
    composed, still = made_courses(CURVES), still_courses(CURVES)
    for one in follow(composed, still, composed):
        assert one.r[0] > 0.9 and one.r[1] <= one.r[0] <= one.r[2]
        assert one.real == one.r
        assert one.chance[0] < 0.5
        assert one.farthest[0] == 1.0 and one.steepest[0] > 0.8
        assert one.slope[0] == pytest.approx(4.0, abs=0.4)
        assert one.reach[0] == pytest.approx(1.0, abs=0.1)
        assert one.wander[0] > 0.5 and one.wander_still[0] == pytest.approx(0.0, abs=1e-6)
        json.dumps(one.to_dict(), allow_nan=False)


def test_noise_follows_nothing() -> None:
    composed = made_courses(CURVES, gain=0.0, noise=1.0)
    for one in follow(composed, still_courses(CURVES), ()):
        assert abs(one.r[0]) < 0.4 and one.real == () and one.farthest_real == ()
        assert one.reach[0] == pytest.approx(0.0, abs=0.2)


def test_a_course_heard_two_bars_late_is_told_so() -> None:
    composed = made_courses(CURVES, lag=2, noise=0.05)
    for one in follow(composed, still_courses(CURVES), ()):
        assert one.lag[0] == 2.0
        assert one.r_at_lags[LAGS.index(2)] == max(one.r_at_lags)


def test_a_mood_that_pieces_have_throughout_does_not_count() -> None:
    curve = CURVES[:4]
    shifted = [
        Course(own.group, own.asked, own.heard + 10.0 * own.group)
        for own in made_courses(curve, noise=0.0)
    ]
    assert all(one.r[0] == pytest.approx(1.0) for one in follow(shifted, (), ()))


def test_where_nothing_is_asked_to_move_there_is_no_number() -> None:
    still = still_courses(CURVES[:3])
    for one in follow(still, still, ()):
        plain = one.to_dict()
        assert plain["r"] == [] and plain["farthest"] == [] and plain["slope"] == []
        assert np.isfinite(plain["wander"]).all()
        json.dumps(plain, allow_nan=False)
