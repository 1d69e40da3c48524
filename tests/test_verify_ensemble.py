"""Clips as points, the machines that learn from them, and what calibrates these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.verifier import CLIPS, LABELS, clip, measured

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes, make_notes
from emomusic.verify.analysis import Matrix
from emomusic.verify.calibration import (
    DEFAULT_SLOPE,
    DEFAULT_SPREAD,
    MIN_CLIPS,
    Calibration,
    log_odds,
    softmax,
)
from emomusic.verify.ensemble import (
    MAX_DEVIATION,
    MEMBERS,
    MIN_VARIANCE,
    SEGMENT_WEIGHT,
    FeatureBatch,
    KernelEnsemble,
    Points,
    Projections,
    featurize,
    split_halves,
)
from emomusic.verify.features import COLUMNS, FEATURE_NAMES, GROUPS, N_COLUMNS, feature_row
from emomusic.verify.labels import FittingLabels

N = len(CLIPS)
ROWS = measured().rows[:N]
SHARES = np.eye(4)[[QUADRANTS.index(name) for name in LABELS]]
SONGS = [str(k) for k in range(N)]
PROJECTIONS = Projections.fit(ROWS)
POINTS = PROJECTIONS.points(measured().rows)
WEIGHT = np.linspace(0.5, 2.0, N)
ALL, _, VALENCE, AROUSAL, _ = MEMBERS
SHORT = CLIPS[1].where(slice(10))


@pytest.mark.parametrize(
    ("n_notes", "gap_s", "is_cut"),
    # 33 notes last just 8 s from the first onset to the last.
    [(40, 0.25, True), (33, 0.25, True), (32, 0.25, False), (24, 1.0, True), (23, 1.0, False),
     (1, 1.0, False), (0, 1.0, False)],
)  # fmt: skip
def test_only_long_clips_have_halves(n_notes: int, gap_s: float, is_cut: bool) -> None:
    onset: Matrix = gap_s * np.arange(float(n_notes))
    columns = (np.full(n_notes, gap_s), np.full(n_notes, 60), np.full(n_notes, 64))
    notes = make_notes(onset, *columns, tempo=60.0)
    assert len(split_halves(notes)) == 2 * is_cut
    if is_cut:  # a long rest parts them
        onset_s = onset + np.where(np.arange(n_notes) < n_notes // 4, 0.0, 30.0)
        counts = [len(half) for half in split_halves(replace(notes, onset_s=onset_s))]
        assert counts == [n_notes // 4, n_notes - n_notes // 4]


def test_clips_are_measured_whole_then_in_halves() -> None:
    found = featurize([CLIPS[0], SHORT, CLIPS[2]])
    whole = [CLIPS[0], SHORT, CLIPS[2], *split_halves(CLIPS[0]), *split_halves(CLIPS[2])]
    assert np.array_equal(found.rows, [feature_row(notes) for notes in whole])
    assert found.owner.tolist() == [0, 1, 2, 0, 0, 2, 2] and found.n_clips == 3
    assert found.rows_of(np.array([2, 0])).tolist() == [2, 0, 3, 4, 5, 6]
    assert featurize([]).rows.shape == (0, N_COLUMNS) and featurize([]).n_clips == 0


def test_clips_taken_keep_their_halves_and_values_are_averaged_over_them() -> None:
    several = [CLIPS[0], SHORT, CLIPS[2], CLIPS[3]]
    for order in ([2, 0], [3, 1, 0, 2], [1], list[int]()):
        taken = featurize(several).take(np.array(order, dtype=np.int64))
        assert taken.n_clips == len(order)
        for place, at in enumerate(order):
            alone = featurize([several[at]]).rows
            assert np.array_equal(taken.rows[taken.owner == place], alone)
            assert np.array_equal(taken.rows[place], alone[0])
    batch = FeatureBatch(np.zeros((4, N_COLUMNS)), np.array([0, 1, 0, 0]))
    values = np.array([[4.0, 0], [0, 2.0], [0, 0], [2.0, 3.0]])
    assert batch.average(values).tolist() == [[2.0, 1.0], [0, 2.0]]
    assert batch.spread(values) == pytest.approx(np.array([[np.sqrt(8 / 3), np.sqrt(2)], [0, 0]]))


def squared(points: Matrix) -> Matrix:
    return np.asarray(((points[:, None] - points[None]) ** 2).sum(axis=2))


@pytest.mark.parametrize("name", GROUPS)
def test_projections_keep_distances(name: str) -> None:
    own, blocks = COLUMNS[name]
    away = (ROWS[:, own] - ROWS[:, own].mean(axis=0)) / np.maximum(ROWS[:, own].std(axis=0), 1e-6)
    features, patterns = np.clip(away, -MAX_DEVIATION, MAX_DEVIATION), ROWS[:, blocks]
    share = GROUPS[name] * patterns.var(axis=0).sum() / features.var(axis=0).sum()
    joined = np.concatenate([features * np.sqrt(share), patterns], axis=1)
    before = squared(joined / np.sqrt(2.0 * joined.var(axis=0).sum()))  # mean 1
    after = squared(POINTS[name][:N])
    assert MIN_VARIANCE <= after.mean() <= 1.0 + 1e-4
    assert (after <= before + 1e-4).all()


def test_one_strange_value_does_not_decide() -> None:
    column = FEATURE_NAMES.index("note_rate")
    strange, cut = ROWS[:1].copy(), ROWS[:1].copy()
    strange[0, column] = 1e9
    cut[0, column] = PROJECTIONS.mean[column] + MAX_DEVIATION * PROJECTIONS.scale[column]
    first, second = PROJECTIONS.points(strange), PROJECTIONS.points(cut)
    assert all(first[name] == pytest.approx(second[name], abs=1e-5) for name in GROUPS)


def fitted(*, songs: Sequence[str] = SONGS, ridge: float = 1.0, width: float = 1.0) -> Any:
    labels = FittingLabels(SHARES, np.full((N, 2), np.nan), songs, WEIGHT)
    own: dict[str, Any] = {"labels": labels, "clips": np.arange(N), "ridge": ridge, "width": width}
    return KernelEnsemble.fit(measured(), POINTS, **own)


@pytest.fixture(scope="module")
def ensemble() -> Any:
    return fitted()


def points_of(*clips: Notes) -> Points:
    return PROJECTIONS.points(np.array([feature_row(notes) for notes in clips]))


def test_what_members_learn_and_answer_by_hand() -> None:
    shares = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.75, 0.0]])
    assert ALL.targets(shares).tolist() == [[4.5, -1.5, -1.5, -1.5], [-1.5, 0.0, 3.0, -1.5]]
    assert VALENCE.targets(shares).tolist() == [[3.0], [-3.0]]
    assert AROUSAL.targets(shares).tolist() == [[3.0], [-1.5]]
    assert VALENCE.to_logits(np.array([[2.0]])).tolist() == [[2.0, -2.0, -2.0, 2.0]]
    assert AROUSAL.to_logits(np.array([[2.0]])).tolist() == [[2.0, 2.0, -2.0, -2.0]]
    assert ALL.to_logits(shares) is shares


def direct(ridge: float, width: float, points: Points, trust: Matrix) -> Matrix:
    """Return the logits that scikit-learn's own kernel ridge regressions give."""
    from sklearn.kernel_ridge import KernelRidge

    owner = measured().owner
    counts = WEIGHT[owner] * np.where(np.arange(len(owner)) < N, 1.0, SEGMENT_WEIGHT)
    total, weights = np.zeros((len(trust), 4)), np.zeros((len(trust), 1))
    for member in MEMBERS:
        new, own = (
            np.concatenate([np.sqrt(w) * of[name] for name, w in member.kernel.items()], axis=1)
            for of in (points, POINTS)
        )
        model: Any = KernelRidge(alpha=ridge, kernel="rbf", gamma=1.0 / width**2)
        model.fit(own, member.targets(SHARES[owner]), sample_weight=counts)
        weight = (trust * member.weight + (1.0 - trust) * member.weight_unfamiliar)[:, None]
        total += weight * member.to_logits(model.predict(new))
        weights += weight
    return total / weights


@pytest.mark.parametrize(("ridge", "width"), [(1.0, 1.0), (0.3, 1.5)])
def test_the_ensemble_answers_what_scikit_learn_answers(ridge: float, width: float) -> None:
    points = points_of(*(clip(quadrant, 50 + k) for k, quadrant in enumerate(LABELS[::4])))
    trust = np.linspace(0.0, 1.0, 10)
    found = fitted(ridge=ridge, width=width).logits(points, trust)
    assert found == pytest.approx(direct(ridge, width, points, trust), abs=1e-3)


def strange(notes: Notes) -> Notes:
    """Return a clip whose notes last a hundredth as long as any that was learned from."""
    return replace(notes, duration_s=np.full(len(notes), 0.002))


def test_what_is_like_the_learned_is_familiar(ensemble: KernelEnsemble) -> None:
    assert ensemble.familiarity(points_of(clip("Q1", 200), clip("Q3", 201))).tolist() == [1.0, 1.0]
    assert ensemble.familiarity(points_of(*map(strange, CLIPS[::10]))).tolist() == [0.0] * 4
    trust = ensemble.familiarity(POINTS)
    assert trust.min() >= 0.0 and trust.max() <= 1.0
    # Where nothing is familiar velocities do not count.
    loud = strange(CLIPS[0])
    velocity = np.random.default_rng(0).integers(1, 128, len(loud))
    points = points_of(loud, replace(loud, velocity=velocity))
    assert ensemble.familiarity(points).tolist() == [0.0, 0.0]
    first, second = ensemble.logits(points, np.zeros(2))
    assert first == pytest.approx(second, abs=1e-12)
    first, second = ensemble.logits(points, np.ones(2))
    assert np.abs(first - second).max() > 1e-3


def test_neither_the_own_song_nor_halves_make_a_clip_familiar(ensemble: KernelEnsemble) -> None:
    together = fitted(songs=LABELS)  # one song a quadrant: the nearest of other songs lie further
    assert together.bounds[1] > 1.2 * ensemble.bounds[1]
    # Eleven halves of strange touch among the supports: whole clips alone are compared with.
    points = points_of(*map(strange, CLIPS[:11]))
    supports = {
        name: np.concatenate([of[: ensemble.n_whole], points[name]])
        for name, of in ensemble.supports.items()
    }
    assert replace(ensemble, supports=supports).familiarity(points).max() == 0.0
    whole = replace(ensemble, supports=supports, n_whole=len(supports["touch"]))
    assert whole.familiarity(points).min() > 0.0


N_DRAWN = 4000


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


TRUTH = np.log(rng_of(0).dirichlet(np.full(4, 0.7), N_DRAWN))
# A draw from each row of probabilities.
DRAWN = np.eye(4)[(softmax(TRUTH).cumsum(axis=1) < rng_of(1).random((N_DRAWN, 1))).sum(axis=1)]
ODDS = log_odds(softmax(TRUTH))
NOBODY = np.full(N_DRAWN, np.nan)
KNOWN = Calibration(
    np.array([4.0, 1.0, 2.0]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0.0, 1.0])
)


def calibrated(logits: Matrix, *, segments: Matrix | None = None, **own: Any) -> Calibration:
    """Fit on clips whose one segment is as the clip, or as told."""
    owner = own.get("owner", np.arange(N_DRAWN))
    rows = np.concatenate([logits, logits[owner] if segments is None else segments])
    batch = FeatureBatch(np.zeros((len(rows), 0)), np.concatenate([np.arange(N_DRAWN), owner]))
    values = np.stack([own.get("valence", NOBODY), own.get("arousal", NOBODY)], axis=1)
    weight, songs = own.get("weight", np.ones(N_DRAWN)), [str(k) for k in range(N_DRAWN)]
    labels = FittingLabels(DRAWN, values, songs, weight)
    return Calibration.fit(batch, rows, own.get("trust", np.ones(N_DRAWN)), labels=labels)


@pytest.mark.parametrize("order", [np.arange(N_DRAWN), rng_of(3).permutation(N_DRAWN)])
def test_temperatures_are_found_each_kind_against_its_clips(order: Matrix) -> None:
    trust = rng_of(2).choice([0.0, 1.0], N_DRAWN)
    heat = np.where(trust > 0, 0.5, 2.0)[:, None]
    segments = 1.5 * TRUTH[order]
    whole = 2.0 * heat * TRUTH - segments[np.argsort(order)]  # averaged, heat * TRUTH
    found = calibrated(whole, segments=segments, owner=order, trust=trust)
    assert found.temperatures == pytest.approx([2.0, 0.5, 1.5], rel=0.1)


def test_a_kind_of_few_clips_has_the_temperature_of_all_that_count() -> None:
    trust = np.ones(N_DRAWN)
    trust[: MIN_CLIPS - 1] = 0.0
    logits = TRUTH.copy()
    logits[: MIN_CLIPS - 1] *= -5.0  # all wrong: by themselves they would ask for the hottest
    none, full, _ = calibrated(logits, trust=trust).temperatures
    assert none == pytest.approx(full, rel=0.2)
    none_cut = calibrated(2.0 * TRUTH, owner=np.zeros(0, dtype=np.int64))
    assert none_cut.temperatures == pytest.approx([2.0] * 3, rel=0.1)
    # A clip of no weight says nothing.
    weight = rng_of(4).choice([0.0, 1.0], N_DRAWN)
    found = calibrated(np.where(weight[:, None] > 0, 2.0, -1.0) * TRUTH, weight=weight)
    assert found.temperatures[1:] == pytest.approx([2.0, 2.0], rel=0.1)


def test_slope_and_spread_are_found() -> None:
    valence = np.clip(0.2 * ODDS[:, 0] + rng_of(5).normal(0.0, 0.1, N_DRAWN), -1.0, 1.0)
    arousal = np.where(np.arange(N_DRAWN) < MIN_CLIPS - 1, 0.9, np.nan)  # too few to fit anything
    found = calibrated(TRUTH, valence=valence, arousal=arousal)
    assert found.slopes[0] == pytest.approx(0.2, rel=0.1)
    assert found.slopes[0] * np.sqrt(np.mean(ODDS[:, 0] ** 2)) == pytest.approx(
        np.sqrt(np.mean(valence**2)), rel=0.02
    )
    assert found.spread[0] == pytest.approx(0.1, rel=0.15)
    assert (found.slopes[1], found.spread[1]) == (DEFAULT_SLOPE, DEFAULT_SPREAD)
    assert found.spread_factor[1] == 0.0


def test_disagreement_widens_the_spread_where_it_should() -> None:
    # Logits of arousal alone; clip and segment lie 2 log odds to either side, or nowhere.
    odds, apart = ODDS[:, 1], rng_of(6).choice([0.0, 2.0], N_DRAWN)
    whole, segments = (
        np.stack([own, own, -own, -own], axis=1) / 2.0 for own in (odds + apart, odds - apart)
    )
    noise = rng_of(7).normal(0.0, np.sqrt(0.1**2 + (0.12 * apart) ** 2))
    arousal = np.clip(0.15 * odds + noise, -1.0, 1.0)
    found = calibrated(whole, segments=segments, arousal=arousal)
    assert found.spread[1] < 0.15
    none, wide = found.spreads(np.array([[0.0, 0.0], [0.0, 2.0]]))
    assert none[0] == wide[0] == DEFAULT_SPREAD and wide[1] > 1.5 * none[1]
    both = np.stack([np.zeros(N_DRAWN), apart], axis=1)
    heard = found.probabilities((whole + segments) / 2.0, np.ones(N_DRAWN))
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
