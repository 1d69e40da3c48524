"""Temperatures, slopes and spreads are found where the truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomusic.verify.analysis import Matrix
from emomusic.verify.calibration import (
    DEFAULT_SLOPE,
    DEFAULT_SPREAD,
    MIN_CLIPS,
    Calibration,
    log_odds,
    softmax,
)
from emomusic.verify.ensemble import FeatureBatch
from emomusic.verify.labels import FittingLabels

N = 4000


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


TRUTH = np.log(rng_of(0).dirichlet(np.full(4, 0.7), N))
# A draw from each row of probabilities.
SHARES = np.eye(4)[(softmax(TRUTH).cumsum(axis=1) < rng_of(1).random((N, 1))).sum(axis=1)]
ODDS = log_odds(softmax(TRUTH))
NOBODY = np.full(N, np.nan)
KNOWN = Calibration(
    np.array([4.0, 1.0, 2.0]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0.0, 1.0])
)


def fit(logits: Matrix, *, segments: Matrix | None = None, **own: Any) -> Calibration:
    """Fit on clips whose one segment is as the clip, or as told."""
    owner = own.get("owner", np.arange(N))
    rows = np.concatenate([logits, logits[owner] if segments is None else segments])
    batch = FeatureBatch(np.zeros((len(rows), 0)), np.concatenate([np.arange(N), owner]))
    values = np.stack([own.get("valence", NOBODY), own.get("arousal", NOBODY)], axis=1)
    weight, songs = own.get("weight", np.ones(N)), [str(k) for k in range(N)]
    labels = FittingLabels(SHARES, values, songs, weight)
    return Calibration.fit(batch, rows, own.get("trust", np.ones(N)), labels=labels)


@pytest.mark.parametrize("order", [np.arange(N), rng_of(3).permutation(N)])
def test_temperatures_are_found_each_kind_against_its_clips(order: Matrix) -> None:
    trust = rng_of(2).choice([0.0, 1.0], N)
    heat = np.where(trust > 0, 0.5, 2.0)[:, None]
    segments = 1.5 * TRUTH[order]
    whole = 2.0 * heat * TRUTH - segments[np.argsort(order)]  # averaged, heat * TRUTH
    found = fit(whole, segments=segments, owner=order, trust=trust)
    assert found.temperatures == pytest.approx([2.0, 0.5, 1.5], rel=0.1)


def test_a_kind_of_few_clips_has_the_temperature_of_all_that_count() -> None:
    trust = np.ones(N)
    trust[: MIN_CLIPS - 1] = 0.0
    logits = TRUTH.copy()
    logits[: MIN_CLIPS - 1] *= -5.0  # all wrong: by themselves they would ask for the hottest
    none, full, _ = fit(logits, trust=trust).temperatures
    assert none == pytest.approx(full, rel=0.2)
    none_cut = fit(2.0 * TRUTH, owner=np.zeros(0, dtype=np.int64))
    assert none_cut.temperatures == pytest.approx([2.0] * 3, rel=0.1)
    # A clip of no weight says nothing.
    weight = rng_of(4).choice([0.0, 1.0], N)
    found = fit(np.where(weight[:, None] > 0, 2.0, -1.0) * TRUTH, weight=weight)
    assert found.temperatures[1:] == pytest.approx([2.0, 2.0], rel=0.1)


def test_slope_and_spread_are_found() -> None:
    valence = np.clip(0.2 * ODDS[:, 0] + rng_of(5).normal(0.0, 0.1, N), -1.0, 1.0)
    arousal = np.where(np.arange(N) < MIN_CLIPS - 1, 0.9, np.nan)  # too few to fit anything
    found = fit(TRUTH, valence=valence, arousal=arousal)
    assert found.slopes[0] == pytest.approx(0.2, rel=0.1)
    assert found.slopes[0] * np.sqrt(np.mean(ODDS[:, 0] ** 2)) == pytest.approx(
        np.sqrt(np.mean(valence**2)), rel=0.02
    )
    assert found.spread[0] == pytest.approx(0.1, rel=0.15)
    assert (found.slopes[1], found.spread[1]) == (DEFAULT_SLOPE, DEFAULT_SPREAD)
    assert found.spread_factor[1] == 0.0


def test_disagreement_widens_the_spread_where_it_should() -> None:
    # Logits of arousal alone; clip and segment lie 2 log odds to either side, or nowhere.
    odds, apart = ODDS[:, 1], rng_of(6).choice([0.0, 2.0], N)
    whole, segments = (
        np.stack([own, own, -own, -own], axis=1) / 2.0 for own in (odds + apart, odds - apart)
    )
    noise = rng_of(7).normal(0.0, np.sqrt(0.1**2 + (0.12 * apart) ** 2))
    arousal = np.clip(0.15 * odds + noise, -1.0, 1.0)
    found = fit(whole, segments=segments, arousal=arousal)
    assert found.spread[1] < 0.15
    none, wide = found.spreads(np.array([[0.0, 0.0], [0.0, 2.0]]))
    assert none[0] == wide[0] == DEFAULT_SPREAD and wide[1] > 1.5 * none[1]
    both = np.stack([np.zeros(N), apart], axis=1)
    heard = found.probabilities((whole + segments) / 2.0, np.ones(N))
    within = np.abs(arousal - found.values(heard)[:, 1]) <= found.spreads(both)[:, 1]
    assert within.mean() == pytest.approx(0.683, abs=0.06)


def test_probabilities_values_and_spreads_by_hand() -> None:
    logits = np.tile([2.0, 0.0, 0.0, -2.0], (3, 1))
    found = KNOWN.probabilities(logits, np.array([0.0, 0.5, 1.0]))
    worked = [softmax(logits[0] / t) for t in (4.0, 2.0, 1.0)]  # half way: the geometric mean
    assert found == pytest.approx(np.array(worked))
    values = KNOWN.values(np.array([[0.25] * 4, [0.4, 0.2, 0.1, 0.3], [1.0, 0.0, 0.0, 0.0]]))
    assert values[0] == pytest.approx([0.0, 0.0])
    assert values[1] == pytest.approx([0.1 * np.log(0.7 / 0.3), 0.2 * np.log(0.6 / 0.4)])
    assert values[2].tolist() == [1.0, 1.0]
    spreads = KNOWN.spreads(np.array([[0.0, 0.0], [5.0, 1.5]]))
    assert spreads == pytest.approx(np.array([[0.3, 0.4], [0.3, 0.5]]))  # 0.4, 0.3, 0.5
