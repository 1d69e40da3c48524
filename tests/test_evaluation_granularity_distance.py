from __future__ import annotations

import numpy as np
import pytest
from granularity_cases import FIVE, made_sets

from emomusic.emotion import Emotion
from emomusic.evaluation.granularity.distance import Distances, control
from emomusic.evaluation.granularity.separability import Separability, pairs_of, separability

LINE = np.stack([np.linspace(-1, 1, 21), np.zeros(21)], axis=1)


def apart_from(least: float, asked: np.ndarray = LINE) -> Separability:
    """Return pairs that are told apart where their valence differs by so much."""
    first, second = pairs_of(len(asked)).T
    told = np.abs(asked[first, 0] - asked[second, 0]) >= least - 1e-9
    return Separability(len(asked), np.where(told, 1e-4, 0.9), np.where(told, 1.0, 0.5), 24)


def test_the_distance_is_found_from_which_pairs_are_told_apart() -> None:
    value, low, high = Distances(LINE).reach(apart_from(0.7))["distance"]
    assert value == low == high == pytest.approx(0.7)


def test_a_distance_that_is_never_reached_is_none() -> None:
    told = Distances(LINE).reach(apart_from(9.0))
    assert told == {"n": 210, "distance": [None, None, None]}


def test_along_an_axis_only_pairs_that_differ_on_it_alone_count() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 5), np.linspace(-1, 1, 5))
    asked = np.stack([x.ravel(), y.ravel()], axis=1)
    distances, found = Distances(asked), apart_from(1.0, asked)
    along, across = distances.reach(found, "valence"), distances.reach(found, "arousal")
    assert along["n"] == across["n"] == 50
    assert along["distance"][0] == pytest.approx(1.0) and across["distance"][0] is None


def test_shares_rise_over_the_bins_and_lie_in_their_intervals() -> None:
    bins = Distances(LINE).bins(apart_from(0.7))
    assert sum(own["n"] for own in bins) == 210
    shares = [own["apart"][0] for own in bins]
    assert shares == sorted(shares) and shares[0] == 0.0 and shares[-1] == 1.0
    for own in bins:
        value, low, high = own["apart"]
        assert low <= value <= high


def test_the_share_is_over_pairs_and_none_give_nothing() -> None:
    distances = Distances(LINE, n_draws=50)
    assert distances.share(np.ones(210)) == [1.0, 1.0, 1.0]
    assert distances.share(np.ones(210), np.zeros(210, dtype=bool)) == []


def test_one_emotion_composed_twice_is_seldom_told_apart() -> None:
    rng = np.random.default_rng(1)
    many = [Emotion(v, a, f"e{i}") for i, (v, a) in enumerate(rng.uniform(-1, 1, (30, 2)))]
    sets, twins = made_sets(many, seed=5), made_sets(many, seed=6)
    found = separability(sets, n_permutations=199)
    told = control(sets, twins, found, n_shuffles=2, n_permutations=199)
    assert found.apart.mean() > 0.7
    assert told.n_twins == 30 and told.twins_below <= 0.2 and told.twins_apart <= 0.2
    assert told.shuffled_below == pytest.approx(0.05, abs=0.05) and told.shuffled_apart < 0.01
    assert told.n_again == found.apart.sum() and told.again > 0.85
    assert told.n_near_again < 30 and told.near_again < told.again
    plain = told.to_dict()
    assert plain["twins_below"][1] < told.twins_below < plain["twins_below"][2]


def test_a_second_set_of_another_emotion_is_told_apart_and_one_of_none_refused() -> None:
    swapped = made_sets((Emotion(-0.7, -0.7, "joy"),), seed=5)
    found = separability(made_sets(), n_permutations=99)
    told = control(made_sets(), swapped, found, n_shuffles=1, n_permutations=99)
    assert told.n_again == told.n_near_again == 0 and told.again == 0.0
    assert told.twins_below == told.twins_apart == 1.0
    with pytest.raises(ValueError, match="second sets"):
        control(made_sets(FIVE[:3]), made_sets(FIVE[3:]), found)
