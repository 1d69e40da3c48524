from __future__ import annotations

import json

import numpy as np
import pytest
from quality_pieces import walks

from emomusic.evaluation.quality.manifold import MEASURES, Space, manifold, neighbourhood


def shares(reference: list[list[float]], points: list[list[float]], k: int) -> list[float]:
    values = neighbourhood(np.array(reference), np.array(points), k=k)
    return [float(value.mean()) for value in values]


def test_measures_of_points_on_a_line_are_as_counted_by_hand() -> None:
    real = [[0.0], [1.0], [3.0], [7.0]]  # balls to the next: 1, 1, 2, 4
    made = [[0.5], [2.5], [20.0], [21.0]]  # 2, 2, 1, 1
    precision, recall, density, coverage = shares(real, made, 1)
    assert precision == 2 / 4
    assert recall == 3 / 4  # 7 is in none
    assert density == (2 + 1) / 4  # 0.5 in two balls; 2.5 in that of 3
    assert coverage == 3 / 4


def test_points_on_top_of_real_ones_are_all_precise() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)).tolist()
    precision, recall, density, coverage = shares(points, points, 5)
    assert (precision, recall, coverage) == (1.0, 1.0, 1.0)
    assert density == pytest.approx(1.2)  # a point is in its own ball, too


def test_crowding_in_the_midst_is_dense_but_covers_little() -> None:
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 300, 4))
    crowd = shares(real.tolist(), (0.2 * other).tolist(), 5)
    like = shares(real.tolist(), other.tolist(), 5)
    assert crowd[2] > 1.2 * like[2]
    assert crowd[1] < 0.3 * like[1]
    assert crowd[3] < 0.8 * like[3]


def test_axes_are_white_and_freak_values_are_cut() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 10)) + 5.0
    features[:, 9] = 3.0  # never moves
    space = Space(4).fit(features)
    places = space.transform(features)
    assert places.shape == (200, 4)
    assert np.allclose(np.cov(places.T, bias=True), np.eye(4), atol=1e-9)
    features[0] = 1e9
    assert np.abs(space.transform(features)[0]).max() < 100


def test_other_real_songs_are_as_precise_as_the_like() -> None:
    real = walks(80, seed=1)
    found = manifold(walks(40, seed=2), real, n_axes=8, n_draws=100, n_splits=4)
    assert found.n == 40
    assert found.precision.difference.low < 0.05
    assert found.precision.difference.high > -0.05
    assert found.coverage.real.value > 0.7


def test_what_lies_elsewhere_is_not_precise() -> None:
    elsewhere = walks(40, seed=2, gap=0.125, centre=90, velocity=110)
    found = manifold(elsewhere, walks(80, seed=1), n_axes=8, n_draws=100, n_splits=4)
    assert found.precision.difference.high < -0.3
    assert found.coverage.difference.high < -0.3


def test_copies_of_one_piece_recall_little() -> None:
    found = manifold(
        walks(40, seed=1, same=True), walks(80, seed=2), n_axes=8, n_draws=50, n_splits=2
    )
    assert found.recall.difference.high < -0.3
    assert found.coverage.difference.high < -0.3


def test_few_pieces_are_enough_and_results_plain() -> None:
    found = manifold(walks(8, seed=1), walks(16, seed=2), n_draws=20, n_splits=2)
    shown = json.loads(json.dumps(found.to_dict()))
    assert (shown["n"], shown["n_axes"], shown["k"]) == (8, 7, 5)
    assert all(len(shown[name]["difference"]) == 3 for name in MEASURES)


def test_what_cannot_be_compared_is_refused() -> None:
    pieces = walks(16, seed=1)
    with pytest.raises(ValueError, match="at least 8 composed pieces are needed, got 2"):
        manifold(pieces[:2], pieces)
    with pytest.raises(ValueError, match="k must be in 1 to 7"):
        manifold(pieces, pieces, k=8)
