from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from emomusic.evaluation.control.measures import (
    bootstrap_rho,
    fader,
    following,
    leaks,
    r2_identity,
    r2_linear,
    root_beyond_chance,
    spearman,
)
from emomusic.evaluation.control.real import Distribution

TEN = Distribution("register", np.linspace(0, 1, 11), np.arange(11.0) * 10)


def test_rank_correlation_is_scipys_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=50).astype(float), rng.standard_normal(50)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert spearman(x, np.ones(50)) == 0


def test_r2_of_the_identity_sees_an_offset_that_a_line_does_not() -> None:
    asked = np.array([1.0, 2, 3, 4])
    assert r2_identity(asked, asked) == 1
    assert r2_identity(asked, asked + 1) == pytest.approx(1 - 4 / 5)
    assert r2_linear(asked, 3 - 2 * asked) == pytest.approx(1)
    noisy = np.array([1.0, 3, 2, 5])
    assert r2_linear(asked, noisy) == pytest.approx(pearsonr(asked, noisy).statistic ** 2)


def test_bins_count_where_the_model_writes() -> None:
    asked = np.array([[12.0], [25.0], [38.0]])
    achieved = np.array([[18.0], [31.0], [55.0]])
    found = following(asked, achieved, TEN, moved=np.zeros(3))
    assert (found.bin_share, found.near_share) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    moved = following(asked + 5, achieved + 5, TEN, moved=np.full(3, 5.0))
    assert (moved.bin_share, moved.near_share) == (found.bin_share, found.near_share)
    assert found.n_clips == 3 and found.rho == 1


def test_the_interval_draws_whole_clips() -> None:
    rng = np.random.default_rng(1)
    asked = rng.standard_normal((20, 1))
    achieved = asked + rng.standard_normal((20, 1))
    low, high = bootstrap_rho(asked, achieved, seed=0)
    assert low < spearmanr(asked[:, 0], achieved[:, 0]).statistic < high
    repeated = bootstrap_rho(np.repeat(asked, 9, axis=1), np.repeat(achieved, 9, axis=1), seed=0)
    assert repeated == pytest.approx((low, high), abs=0.02)  # the same bars tell nothing more


def test_a_perfect_fader() -> None:
    levels = np.array([0.0, 1, 2])
    achieved = np.tile(2 * levels[:, None] + 1, 4)
    found = fader(levels, achieved, np.zeros((3, 4, 2)))
    assert (found.consistency, found.restrictiveness, found.linearity) == (1, 1, pytest.approx(1))


def test_a_fader_by_hand() -> None:
    levels = np.array([0.0, 1, 2, 3])
    achieved = np.array([[0.0, 2], [1, 1], [2, 2], [3, 1]])  # spreads 1, 0, 0, 1
    others = np.array([[[0.0], [5]], [[2.0], [5]], [[0.0], [5]], [[2.0], [5]]])  # 1 and 0
    found = fader(levels, achieved, others)
    assert found.consistency == pytest.approx(0.5)
    assert found.restrictiveness == pytest.approx(0.5)
    straight = 1 - 0.8  # of the second sweep: slope -0.2
    assert found.linearity == pytest.approx((1 + straight) / 2)


def test_what_is_asked_elsewhere_leaks_nothing_even_where_asked_values_agree() -> None:
    rng = np.random.default_rng(2)
    asked = rng.standard_normal((2, 400, 1))
    asked[1] += asked[0]
    assert spearmanr(asked[0, :, 0], asked[1, :, 0]).statistic > 0.6
    found = {(leak.asked, leak.moved): leak for leak in leaks(("a", "b"), asked, asked)}
    assert set(found) == {("a", "b"), ("b", "a")}
    assert all(abs(leak.rho) < 0.05 for leak in found.values())


def test_a_leak_of_independent_values_is_their_rank_correlation() -> None:
    rng = np.random.default_rng(3)
    asked = np.stack(
        [rng.permutation(np.repeat(np.arange(10.0), 10)), np.tile(np.arange(10.0), 10)]
    )
    asked[0] = np.repeat(np.arange(10.0), 10)  # all combinations once
    achieved = np.stack([asked[0], asked[1] + asked[0] + rng.standard_normal(100)])
    one, other = leaks(("a", "b"), asked[:, :, None], achieved[:, :, None])
    assert (one.asked, one.moved) == ("a", "b")
    assert one.rho == pytest.approx(spearmanr(asked[0], achieved[1]).statistic)
    assert abs(other.rho) < 0.01


def test_chance_is_told_and_taken_away() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(40):
        asked, achieved = rng.standard_normal((2, 2, 30, 1))
        found += leaks(("a", "b"), asked, achieved)
    size = np.mean([abs(leak.rho) for leak in found])
    assert np.mean([leak.chance for leak in found]) == pytest.approx(size, rel=0.25)
    assert root_beyond_chance(found) < 0.1 < size
    assert root_beyond_chance([]) == 0


def test_values_are_told_plainly() -> None:
    asked = np.arange(6.0)[:, None] / 7
    told = following(asked, asked, TEN, moved=np.zeros(6)).to_dict()
    assert told["rho"] == 1.0 and told["bin_share"] == 1.0 and told["n_clips"] == 6
