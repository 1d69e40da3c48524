from __future__ import annotations

import json

import numpy as np
import pytest

from emomusic.evaluation.trust.measures.calibration import (
    brier,
    calibration_error,
    error_by_chance,
    log_loss,
    reliability,
)
from emomusic.evaluation.trust.measures.hits import confusion_of, hits_of, macro_f1
from emomusic.evaluation.trust.measures.scores import Truth, score
from emomusic.evaluation.trust.measures.values import values_of
from emomusic.verify.verifier import Predictions

SURE = np.array([[0.8, 0.1, 0.05, 0.05]] * 10)


def test_signs_are_those_of_the_quadrant_said() -> None:
    said = np.eye(4)[[0, 1, 2, 3]]
    hits = hits_of(said, np.array([0, 0, 0, 0]))
    assert hits.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_macro_f1_by_hand() -> None:
    counts = confusion_of(np.eye(4)[[0, 0, 1, 1]], np.array([0, 1, 1, 1]))
    assert counts[:2, :2].tolist() == [[1, 0], [1, 2]]
    assert macro_f1(counts) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert calibration_error(SURE, np.array([0] * 8 + [1, 2])) == pytest.approx(0.0)
    assert calibration_error(SURE, np.array([0] * 5 + [1] * 5)) == pytest.approx(0.3)


def test_a_bin_tells_its_counts_of_one_run() -> None:
    y = np.array([0] * 5 + [1] * 5)
    (alone,) = reliability(SURE, y)
    (twice,) = reliability(np.tile(SURE, (2, 1)), np.tile(y, 2), n_runs=2)
    assert alone.to_dict() == twice.to_dict()
    assert (alone.n, alone.right, alone.low) == (10, 0.5, 0.8)
    assert alone.right_low < 0.5 < alone.right_high


def test_perfect_probabilities_show_an_error_on_few_clips_only() -> None:
    few, many = SURE, np.tile(SURE, (200, 1))
    assert error_by_chance(few)[0] > 0.05 > 0.02 > error_by_chance(many)[0]
    mean, high = error_by_chance(few)
    assert mean < high


def test_scores_of_equal_shares() -> None:
    even, y = np.full((5, 4), 0.25), np.array([0, 1, 2, 3, 0])
    assert log_loss(even, y) == pytest.approx(np.log(4))
    assert brier(even, y) == pytest.approx(0.75)


def test_stated_uncertainty_is_held_against_errors() -> None:
    rated = np.array([0.0, 0.2, 0.4, 0.6, np.nan])
    predicted = rated + np.array([0.05, -0.05, 0.15, -0.3, 0.0])
    spreads = np.full((1, 5), 0.1)
    found = values_of(np.nan_to_num(predicted)[None], spreads, rated, list("abcde"))
    assert found is not None
    assert found.n == 4
    assert found.within == {"within_1_sd": 0.5, "within_1.64_sd": 0.75}
    assert found.r > 0.5


def test_nothing_is_told_where_nobody_was_asked() -> None:
    unknown = np.full(5, np.nan)
    assert values_of(np.ones((1, 5)), np.ones((1, 5)), unknown, list("abcde")) is None


def answers(probabilities: np.ndarray) -> Predictions:
    n = len(probabilities)
    return Predictions(probabilities, np.zeros((n, 2)), np.ones((n, 2)), np.ones(n))


def test_scores_are_means_over_runs() -> None:
    y = np.array([0, 1, 2, 3])
    truth = Truth(y, np.full((4, 2), np.nan), ("a", "a", "b", "c"))
    right, half = np.eye(4), np.eye(4)[[0, 1, 0, 0]]
    found = score([answers(right), answers(half)], truth)
    share = found.shares["quadrant"]
    assert (share.mean, share.sd) == (0.75, 0.25)
    assert (found.n, found.n_songs, found.n_runs) == (4, 3, 2)
    assert found.confusion.sum() == 4
    assert found.values == {}
    json.dumps(found.to_dict())


def test_clips_without_a_quadrant_count_for_values_only() -> None:
    rated = np.array([[-0.5, 0.1], [0.0, 0.2], [0.5, 0.3], [0.6, 0.4]])
    told = Predictions(np.eye(4), rated * 0.5, np.ones((4, 2)), np.ones(4))
    found = score([told], Truth(np.full(4, -1), rated, tuple("abcd")))
    assert (found.n, found.shares, found.calibrated) == (0, {}, None)
    assert found.values["valence"].r == pytest.approx(1.0)
    json.dumps(found.to_dict())
