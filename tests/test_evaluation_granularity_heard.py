from __future__ import annotations

import json

import numpy as np
import pytest
from granularity_cases import FIVE, made_sets
from scipy.stats import spearmanr

from emomusic.emotion import Emotion
from emomusic.evaluation.granularity.heard import (
    follow,
    groups_of,
    identify,
    nearest_heard,
    places_of,
)
from emomusic.evaluation.granularity.separability import Separability, pairs_of
from emomusic.evaluation.granularity.sets import Sets

RNG = np.random.default_rng(7)
MANY = [Emotion(v, a, f"e{i}") for i, (v, a) in enumerate(RNG.uniform(-1, 1, (30, 2)))]


def test_what_follows_is_heard_in_order_and_explained() -> None:
    sets = made_sets(MANY)
    for i, found in enumerate(follow(sets, n_draws=100)):
        rho = spearmanr(sets.asked[:, i], sets.plane[:, :, i].mean(axis=1)).statistic
        assert found.rho[0] == pytest.approx(rho) and rho > 0.95
        assert found.rho[1] <= found.rho[0] <= found.rho[2]
        assert found.rho_above[0] > 0.8 and found.rho_below[0] > 0.8
        assert found.explained[0] > 0.7 and found.slope[0] > 0.8
        json.dumps(found.to_dict())


def test_what_does_not_follow_explains_nothing() -> None:
    valence, _ = follow(made_sets(MANY, gain=0.0), n_draws=100)
    assert valence.explained[0] < 0.1 and abs(valence.slope[0]) < 0.2
    assert valence.rho[1] < 0.2


def test_too_few_emotions_on_a_side_have_no_rho_of_their_own() -> None:
    assert follow(made_sets(FIVE), n_draws=20)[0].rho_below == ()


def test_clips_are_known_by_their_own_centre_beyond_chance() -> None:
    told = identify(made_sets(MANY), n_shuffles=20, n_draws=50).to_dict()
    assert told["top_1"][0] > 0.3 and told["top_5"][0] > 0.8
    assert told["top_1"][1] <= told["top_1"][0] <= told["top_1"][2]
    assert told["chance"]["top_5"] == pytest.approx(5 / 30, abs=0.05)
    assert told["chance"]["median_rank"] == pytest.approx(15.5, abs=2)


def test_a_clip_does_not_help_its_own_centre() -> None:
    told = identify(made_sets(MANY, gain=0.0, n_clips=4), n_shuffles=20, n_draws=20).to_dict()
    assert told["top_1"][0] < 0.12 and told["median_rank"][0] > 12


def test_judges_that_hear_one_point_know_nothing() -> None:
    told = identify(Sets(FIVE, ("ear",), np.ones((5, 3, 1, 2))), n_shuffles=2, n_draws=5)
    assert told.rank.tolist() == [[3] * 3] * 5


def test_the_nearest_heard_is_the_one_at_the_same_place() -> None:
    away = nearest_heard(made_sets())
    np.fill_diagonal(away, np.inf)
    assert away.argmin(axis=1)[:2].tolist() == [1, 0]


def made(apart: set[tuple[int, int]], n: int) -> Separability:
    p = [1e-4 if (i, j) in apart else 0.5 for i, j in pairs_of(n).tolist()]
    return Separability(n, np.array(p), np.full(len(p), 0.5), 24)


def test_no_two_of_a_group_are_told_apart() -> None:
    found = made({(0, 3), (0, 4), (1, 3), (1, 4), (2, 4)}, 5)
    groups = groups_of(found)
    assert sorted(i for group in groups for i in group) == [0, 1, 2, 3, 4]
    square = found.square(found.apart, 0.0)
    assert all(not square[np.ix_(group, group)].any() for group in groups)
    assert [len(group) for group in groups] == [3, 2]


def test_all_or_none_told_apart_are_groups_of_one_or_one_group() -> None:
    every = {(i, j) for i, j in pairs_of(4).tolist()}
    assert groups_of(made(every, 4)) == [[0], [1], [2], [3]]
    assert groups_of(made(set(), 4)) == [[0, 1, 2, 3]]


def test_places_hold_what_is_asked_for_within_a_twentieth() -> None:
    asked = np.array([(0.5, 0.5), (0.53, 0.5), (0.57, 0.5), (-0.5, 0.5)])
    assert sorted(places_of(asked)) == [[0, 1], [2], [3]]
