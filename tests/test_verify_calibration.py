from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomusic.verify.calibration import (
    DEFAULT_SLOPE,
    DEFAULT_SPREAD,
    MIN_CLIPS,
    Calibration,
    ClipLogits,
    log_odds,
    softmax,
)
from emomusic.verify.groups import Matrix
from emomusic.verify.labels import FittingLabels

N = 4000


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


TRUTH = np.log(rng_of(0).dirichlet(np.full(4, 0.7), N))
# A draw from each row of probabilities.
SHARES = np.eye(4)[(softmax(TRUTH).cumsum(axis=1) < rng_of(1).random((N, 1))).sum(axis=1)]
NOBODY = np.full(N, np.nan)
SONGS = [str(k) for k in range(N)]
KNOWN = Calibration(
    np.array([4.0, 1.0, 2.0]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0.0, 1.0])
)


def clip_logits(logits: Matrix, **changes: Any) -> ClipLogits:
    n = len(logits)
    known: dict[str, Any] = {
        "logits": logits,
        "familiarity": np.ones(n),
        "disagreement": np.zeros((n, 2)),
        "segments": logits,
        "owner": np.arange(n),
    }
    return ClipLogits(**{**known, **changes})


def of(
    heard: ClipLogits, valence: Matrix = NOBODY, arousal: Matrix = NOBODY, shares: Matrix = SHARES
) -> Calibration:
    values = np.stack([valence, arousal], axis=1)
    return Calibration.fit(heard, FittingLabels(shares, values, SONGS, np.ones(N)))


def test_temperatures_of_each_kind_are_found() -> None:
    trust = rng_of(2).choice([0.0, 1.0], N)
    sharp = TRUTH * np.where(trust > 0, 0.5, 2.0)[:, None]
    heard = clip_logits(sharp, familiarity=trust, segments=1.5 * TRUTH)
    assert of(heard).temperatures == pytest.approx([2.0, 0.5, 1.5], rel=0.1)


def test_parts_are_held_against_the_label_of_their_clip() -> None:
    order = rng_of(3).permutation(N)
    heard = clip_logits(TRUTH, segments=2.0 * TRUTH[order], owner=order)
    assert of(heard).temperatures[2] == pytest.approx(2.0, rel=0.1)


def test_a_kind_of_few_clips_has_the_temperature_of_all() -> None:
    trust = np.ones(N)
    trust[: MIN_CLIPS - 1] = 0.0
    logits = TRUTH.copy()
    logits[: MIN_CLIPS - 1] *= -5.0  # all wrong: by themselves they would ask for the hottest
    none, full, _ = of(clip_logits(logits, familiarity=trust)).temperatures
    assert none == pytest.approx(full, rel=0.2)
    empty: dict[str, Any] = {"segments": np.empty((0, 4)), "owner": np.empty(0, dtype=np.int64)}
    assert of(clip_logits(2.0 * TRUTH, **empty)).temperatures == pytest.approx([2.0] * 3, rel=0.1)


def test_a_clip_of_no_weight_says_nothing() -> None:
    weight = rng_of(4).choice([0.0, 1.0], N)
    logits = np.where(weight[:, None] > 0, 2.0, -1.0) * TRUTH
    unrated = np.full((N, 2), np.nan)
    found = Calibration.fit(clip_logits(logits), FittingLabels(SHARES, unrated, SONGS, weight))
    assert found.temperatures[1] == pytest.approx(2.0, rel=0.1)


def test_slope_and_spread_are_found() -> None:
    odds = log_odds(softmax(TRUTH))
    valence = np.clip(0.2 * odds[:, 0] + rng_of(5).normal(0.0, 0.1, N), -1.0, 1.0)
    found = of(clip_logits(TRUTH), valence=valence)
    assert found.slopes[0] == pytest.approx(0.2, rel=0.1)
    assert found.slopes[0] * np.sqrt(np.mean(odds[:, 0] ** 2)) == pytest.approx(
        np.sqrt(np.mean(valence**2)), rel=0.02
    )
    assert found.spread[0] == pytest.approx(0.1, rel=0.15)
    assert (found.slopes[1], found.spread[1]) == (DEFAULT_SLOPE, DEFAULT_SPREAD)


def test_disagreement_widens_the_spread_where_it_should() -> None:
    odds = log_odds(softmax(TRUTH))[:, 1]
    disagreement = np.stack([np.zeros(N), rng_of(6).choice([0.0, 2.0], N)], axis=1)
    noise = rng_of(7).normal(0.0, np.sqrt(0.1**2 + (0.12 * disagreement[:, 1]) ** 2))
    arousal = np.clip(0.15 * odds + noise, -1.0, 1.0)
    found = of(clip_logits(TRUTH, disagreement=disagreement), arousal=arousal)
    assert found.spread[1] < 0.15
    both = found.spreads(np.array([[0.0, 0.0], [0.0, 2.0]]))
    assert both[0, 0] == both[1, 0] == DEFAULT_SPREAD
    assert both[1, 1] > 1.5 * both[0, 1]
    errors = arousal - found.values(softmax(TRUTH / found.temperatures[1]))[:, 1]
    within = np.abs(errors) <= found.spreads(disagreement)[:, 1]
    assert within.mean() == pytest.approx(0.683, abs=0.06)


def test_few_listeners_fit_nothing() -> None:
    valence = NOBODY.copy()
    valence[: MIN_CLIPS - 1] = 0.9
    found = of(clip_logits(TRUTH), valence=valence)
    assert found.slopes.tolist() == [DEFAULT_SLOPE] * 2
    assert found.spread.tolist() == [DEFAULT_SPREAD] * 2
    assert found.spread_factor.tolist() == [0.0, 0.0]


def test_temperature_goes_with_trust() -> None:
    logits = np.tile([2.0, 0.0, 0.0, -2.0], (3, 1))
    found = KNOWN.probabilities(logits, np.array([0.0, 0.5, 1.0]))
    worked = [softmax(logits[0] / t) for t in (4.0, 2.0, 1.0)]  # half way: the geometric mean
    assert found == pytest.approx(np.array(worked))
    assert KNOWN.segment_probabilities(logits[:1]) == pytest.approx(np.array(worked[1:2]))


def test_values_are_log_odds_on_the_listeners_scale() -> None:
    probabilities = np.array([[0.25] * 4, [0.4, 0.2, 0.1, 0.3], [1.0, 0.0, 0.0, 0.0]])
    values = KNOWN.values(probabilities)
    assert values[0] == pytest.approx([0.0, 0.0])
    assert values[1] == pytest.approx([0.1 * np.log(0.7 / 0.3), 0.2 * np.log(0.6 / 0.4)])
    assert values[2].tolist() == [1.0, 1.0]


def test_spreads_by_hand() -> None:
    found = KNOWN.spreads(np.array([[0.0, 0.0], [5.0, 1.5]]))
    assert found == pytest.approx(np.array([[0.3, 0.4], [0.3, 0.5]]))  # 0.4, 0.3, 0.5
