from __future__ import annotations

import json

import numpy as np
import pytest
from quality_pieces import walks

from emomusic.evaluation.quality.overlap import (
    Overlap,
    QuantityOverlap,
    distance_overlap,
    overlap,
    overlap_area,
)


def quantity(found: Overlap, name: str) -> QuantityOverlap:
    return next(own for own in found.each if own.name == name)


def test_the_area_of_histograms_is_counted_on_one_grid() -> None:
    assert overlap_area(np.array([1.0, 1.0, 0.0]), np.array([0.0, 2.0, 2.0])) == pytest.approx(0.5)
    assert overlap_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0.0


def test_distances_of_one_distribution_overlap_and_of_two_do_not() -> None:
    rng = np.random.default_rng(0)
    real, more, far = rng.normal(size=(3, 200, 4))
    every = np.ones((1, 200))
    alike, draws = distance_overlap(real, more, every)
    assert alike > 0.95
    assert draws.tolist() == pytest.approx([alike])
    assert distance_overlap(real, far + 20.0, every)[0] < 0.01


def test_pieces_without_variety_have_other_distances() -> None:
    rng = np.random.default_rng(0)
    real, middle = rng.normal(size=(200, 8)), np.zeros((200, 8))
    assert distance_overlap(real, middle, np.ones((1, 200)))[0] < 0.6


def test_pieces_that_are_all_alike_do_not_fail() -> None:
    same = np.ones((10, 3))
    assert distance_overlap(same, same, np.ones((2, 10)))[0] == pytest.approx(1.0)


def test_the_like_overlap_as_much_as_real_and_real() -> None:
    real = walks(80, seed=1)
    found = overlap(walks(40, seed=2), real, n_draws=100, n_splits=4)
    assert found.n == 40
    for own in found.each:
        assert own.pooled.difference.low < 0.03
        assert own.pooled.difference.high > -0.03
        assert own.pooled.real.value > 0.8


def test_what_differs_is_found_where_it_differs() -> None:
    real = walks(80, seed=1)
    found = overlap(walks(40, seed=2, velocity=100), real, n_draws=100, n_splits=4)
    loud = quantity(found, "velocity")
    assert loud.pooled.difference.high < -0.2
    assert loud.distances.difference.high < -0.1
    assert quantity(found, "onset_gap").pooled.difference.low < 0.02


def test_one_seed_gives_the_same_numbers() -> None:
    real = walks(20, seed=1)
    first, again = (overlap(walks(8, seed=2), real, n_draws=20, n_splits=2) for _ in range(2))
    assert first == again


def test_few_pieces_are_enough_and_results_plain() -> None:
    found = overlap(walks(8, seed=2), walks(16, seed=1), n_draws=20, n_splits=3)
    shown = json.loads(json.dumps(found.to_dict()))
    assert (shown["n"], shown["n_of_song"]) == (8, 1)
    values = [own["pooled"]["real"][0] for own in shown["each"]]
    assert shown["mean"]["pooled"]["real"] == pytest.approx(np.mean(values), abs=1e-4)


def test_too_few_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 real pieces are needed, got 8"):
        overlap(walks(8, seed=1), walks(8, seed=2))
    with pytest.raises(ValueError, match="two halves of at least 8 real pieces"):
        overlap(walks(8, seed=1), walks(16, seed=2, per_song=16))
