"""Clips as points in feature groups, and the machines that learn from them."""

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
from emomusic.verify.calibration import SIGNS
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


def test_without_a_ridge_the_learned_is_recalled() -> None:
    ensemble, whole = fitted(ridge=1e-5), {name: of[:N] for name, of in POINTS.items()}
    valence, arousal = (
        member.to_logits(3.0 * (SHARES @ SIGNS[:, axis])[:, None])
        for axis, member in enumerate((VALENCE, AROUSAL))
    )
    quadrants = ALL.targets(SHARES)
    for trust, worked in (
        (1.0, (2 * quadrants + valence + 2 * arousal) / 5.0),
        (0.0, (quadrants + valence + arousal) / 3.0),
    ):
        assert ensemble.logits(whole, np.full(N, trust)) == pytest.approx(worked, abs=0.02)


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
