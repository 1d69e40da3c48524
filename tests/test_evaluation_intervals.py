from __future__ import annotations

import numpy as np
import pytest

from emomusic.evaluation.intervals import (
    correlation_interval,
    mean_interval,
    over_groups,
    wilson,
)


def test_wilson_interval() -> None:
    low, high = wilson(0.5, 100)  # worked by hand: 0.5 +- 0.0962
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(0.0, 10)[0] == pytest.approx(0.0)


def test_clips_of_one_song_widen_the_interval() -> None:
    values = np.repeat(np.arange(40) % 2, 5).astype(float)
    low, high = mean_interval(values, [str(k // 5) for k in range(200)])
    assert low < 0.5 < high
    nearer, farther = mean_interval(values, [str(k) for k in range(200)])
    assert high - low > 1.8 * (farther - nearer)


def test_draws_are_of_whole_groups() -> None:
    values, groups = np.array([0.0, 0.0, 1.0]), ["a", "a", "b"]
    found = []

    def mean(sums: np.ndarray) -> np.ndarray:
        found.extend((sums[:, 0] / sums[:, 1]).tolist())
        return sums[:, 0]

    over_groups(np.stack([values, np.ones(3)], axis=1), groups, mean)
    assert {round(x, 3) for x in found} == {0.0, 0.333, 1.0}


def test_interval_of_a_correlation_is_that_of_resampled_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(60) + 5.0
    y = x + rng.standard_normal(60)
    low, high = correlation_interval(x[None], y, [str(k) for k in range(60)])
    drawn = rng.integers(0, 60, (2000, 60))
    by_hand = np.quantile([np.corrcoef(x[rows], y[rows])[0, 1] for rows in drawn], [0.025, 0.975])
    assert (low, high) == pytest.approx(by_hand.tolist(), abs=0.03)


def test_draws_without_a_number_do_not_count() -> None:
    assert np.isnan(mean_interval(np.full(2, np.nan), ["a", "b"])).all()
    low, high = correlation_interval(np.ones((1, 4)), np.arange(4.0), list("abcd"))
    assert np.isnan([low, high]).all()
