from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score, roc_auc_score

from emomusic.evaluation.inside.ridge import (
    accuracy,
    area,
    correlation,
    drawn_weights,
    explained,
    out_of_fold,
    rank_correlation,
    with_interval,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 30))
Y = np.column_stack([X @ RNG.standard_normal(30), RNG.standard_normal(120)])
GROUPS = [f"song {i // 2}" for i in range(120)]
ONCE = np.ones((1, 120))


def test_what_is_linear_is_foretold_and_noise_is_not() -> None:
    guess = out_of_fold(X, Y, GROUPS)
    assert explained(Y[:, 0], guess[:, 0], ONCE)[0] > 0.9
    assert explained(Y[:, 1], guess[:, 1], ONCE)[0] < 0.2


def test_clips_of_one_song_do_not_foretell_each_other() -> None:
    own = np.repeat(RNG.standard_normal((60, 300)), 2, axis=0)
    label = np.repeat(RNG.standard_normal((60, 1)), 2, axis=0)
    assert explained(label[:, 0], out_of_fold(own, label, GROUPS)[:, 0], ONCE)[0] < 0.2
    alone = [str(i) for i in range(120)]
    assert explained(label[:, 0], out_of_fold(own, label, alone)[:, 0], ONCE)[0] > 0.4


def test_more_columns_than_clips_are_no_trouble() -> None:
    wide = np.concatenate([X] * 10, axis=1)
    assert explained(Y[:, 0], out_of_fold(wide, Y, GROUPS)[:, 0], ONCE)[0] > 0.9


def test_guesses_that_know_nothing_are_not_ranked_against_the_truth() -> None:
    areas = []
    for seed in range(20):
        noise = np.random.default_rng(seed)
        sides = noise.choice([-1.0, 1.0], (120, 1))
        guess = out_of_fold(noise.standard_normal((120, 5)), sides, GROUPS, seed=seed)
        areas.append(area(sides[:, 0], guess[:, 0], ONCE)[0])
    assert abs(np.mean(areas) - 0.5) < 0.05


def test_few_songs_are_refused() -> None:
    with pytest.raises(ValueError, match="5 folds need as many songs, got 3"):
        out_of_fold(X[:6], Y[:6], GROUPS[:6])


def test_measures_agree_with_the_usual_ones() -> None:
    truth, guess = Y[:, 0], Y[:, 0] + 3 * Y[:, 1].round()
    sides = np.where(truth > 0, 1.0, -1.0)
    assert area(sides, guess, ONCE)[0] == pytest.approx(roc_auc_score(sides, guess))
    assert explained(truth, guess, ONCE)[0] == pytest.approx(r2_score(truth, guess))
    assert correlation(truth, guess, ONCE)[0] == pytest.approx(pearsonr(truth, guess)[0])
    assert rank_correlation(truth, guess, ONCE)[0] == pytest.approx(spearmanr(truth, guess)[0])
    assert accuracy(np.array([True, False, True, True]), np.ones((1, 4)))[0] == 0.75


def test_a_weight_of_two_is_a_clip_twice() -> None:
    truth, guess = Y[:6, 0], Y[:6, 1]
    times = np.array([[1.0, 2.0, 0.0, 1.0, 1.0, 3.0]])
    twice = np.repeat(np.arange(6), times[0].astype(int))
    for measure in (area, explained, correlation):
        one = measure(truth, guess, times)[0]
        assert one == pytest.approx(measure(truth[twice], guess[twice], np.ones((1, 8)))[0])


def test_a_draw_of_one_kind_alone_has_no_area() -> None:
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 0.0]])
    found = area(np.array([1.0, 1.0, -1.0]), np.array([3.0, 0.0, 1.0]), weights)
    assert found[0] == 0.5 and np.isnan(found[1])


def test_what_does_not_vary_has_no_correlation() -> None:
    assert correlation(np.ones(120), Y[:, 0], ONCE)[0] == 0.0


def test_songs_are_drawn_whole() -> None:
    weights = drawn_weights(GROUPS, n_draws=50)
    assert (weights[0] == 1).all() and (weights.sum(axis=1) == 120).all()
    assert (weights[:, ::2] == weights[:, 1::2]).all()
    value, low, high = with_interval(weights @ Y[:, 0] / 120)
    assert low < value < high and value == pytest.approx(Y[:, 0].mean())
