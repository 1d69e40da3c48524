from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.verifier import CLIPS, clip, fitted, measured

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.calibration import ClipLogits, log_odds, softmax
from emomusic.verify.features import FEATURE_NAMES, measure_features
from emomusic.verify.features.patterns import PATTERNS
from emomusic.verify.groups import (
    FEATURE_GROUPS,
    GROUP_NAMES,
    MAX_DEVIATION,
    MIN_VARIANCE,
    N_COLUMNS,
    N_FEATURES,
    FeatureBatch,
    Matrix,
    Projections,
    column_names,
    feature_row,
    featurize,
    split_halves,
)

ROWS = measured().rows[: len(CLIPS)]


def even(n: int, gap_s: float) -> Notes:
    """Return n notes at an even pace, one second being a beat."""
    onset: Matrix = gap_s * np.arange(float(n))
    return make_notes(onset, np.full(n, gap_s), 60 + np.arange(n) % 12, 64 + onset.astype(int) % 9)


@pytest.fixture(scope="module")
def projections() -> Projections:
    return Projections.fit(ROWS)


def test_every_column_belongs_to_one_sense() -> None:
    columns = np.concatenate([np.concatenate(group.columns()) for group in FEATURE_GROUPS])
    assert sorted(columns.tolist()) == list(range(N_COLUMNS))


def test_columns_are_features_then_patterns() -> None:
    columns = column_names()
    assert [name for name, _ in columns[:N_FEATURES]] == list(FEATURE_NAMES)
    assert columns[N_FEATURES:] == [[p.name, str(p.size)] for p in PATTERNS]
    assert len(feature_row(CLIPS[0])) == N_COLUMNS
    assert np.array_equal(feature_row(CLIPS[0])[:N_FEATURES], measure_features(CLIPS[0]))


def test_level_of_a_flat_velocity_is_not_sensed() -> None:
    quiet, loud = (
        replace(CLIPS[0], velocity=np.full_like(CLIPS[0].velocity, level)) for level in (20, 120)
    )
    assert np.array_equal(feature_row(quiet), feature_row(loud))
    before = CLIPS[0].velocity.copy()
    assert not np.array_equal(feature_row(CLIPS[0]), feature_row(loud))
    assert np.array_equal(CLIPS[0].velocity, before)


@pytest.mark.parametrize(
    ("notes", "n_parts"),
    [
        (even(40, 0.25), 3),  # 9.75 s from the first onset to the last
        (even(33, 0.25), 3),  # just 8 s
        (even(32, 0.25), 1),
        (even(24, 1.0), 3),
        (even(23, 1.0), 1),
        (even(1, 1.0), 1),
    ],
)
def test_only_long_clips_have_parts(notes: Notes, n_parts: int) -> None:
    notes = replace(notes, onset_s=notes.onset, duration_s=notes.duration)
    assert len(split_halves(notes)) == n_parts - 1


def test_a_long_rest_parts_the_halves() -> None:
    notes = even(40, 0.1)
    onset_s = notes.onset + np.where(np.arange(40) < 20, 0.0, 30.0)
    parts = split_halves(replace(notes, onset_s=onset_s))
    assert [len(part) for part in parts] == [20, 20]


def scaled(projections: Projections, name: str) -> Matrix:
    """Return the columns of a sense before projection, two rows at a mean squared distance of 1."""
    group = FEATURE_GROUPS[GROUP_NAMES.index(name)]
    own, blocks = group.columns()
    away = (ROWS[:, own] - projections.mean[own]) / projections.scale[own]
    features, patterns = np.clip(away, -MAX_DEVIATION, MAX_DEVIATION), ROWS[:, blocks]
    features = features * np.sqrt(
        group.share * patterns.var(axis=0).sum() / features.var(axis=0).sum()
    )
    joined = np.concatenate([features, patterns], axis=1)
    return np.asarray(joined / np.sqrt(2.0 * joined.var(axis=0).sum()))


def squared(points: Matrix) -> Matrix:
    return np.asarray(((points[:, None] - points[None]) ** 2).sum(axis=2))


@pytest.mark.parametrize("name", GROUP_NAMES)
def test_projection_keeps_distances(projections: Projections, name: str) -> None:
    before = squared(scaled(projections, name))
    after = squared(projections.points(ROWS)[name].astype(np.float64))
    assert before.mean() == pytest.approx(1.0)
    assert MIN_VARIANCE <= after.mean() <= 1.0 + 1e-4
    assert (after <= before + 1e-4).all()


def test_one_strange_value_does_not_decide(projections: Projections) -> None:
    column = FEATURE_NAMES.index("note_rate")
    strange, cut = ROWS[:1].copy(), ROWS[:1].copy()
    strange[0, column] = 1e9
    cut[0, column] = projections.mean[column] + MAX_DEVIATION * projections.scale[column]
    first, second = projections.points(strange), projections.points(cut)
    for name in GROUP_NAMES:
        assert first[name] == pytest.approx(second[name], abs=1e-5)


def test_equal_clips_can_be_projected() -> None:
    row = feature_row(clip("Q1", 0))
    points = Projections.fit(np.tile(row, (5, 1))).points(np.array([row, ROWS[30]]))
    for name in GROUP_NAMES:
        assert np.isfinite(points[name]).all()
        assert points[name][0] == pytest.approx(0.0, abs=0.05)


SHORT = CLIPS[1].where(slice(10))


def test_clips_are_heard_whole_then_in_parts() -> None:
    found = featurize([CLIPS[0], SHORT, CLIPS[2]])
    parts = [split_halves(CLIPS[0]), split_halves(CLIPS[2])]
    assert [len(own) for own in parts] == [2, 2]
    rows = [CLIPS[0], SHORT, CLIPS[2], *parts[0], *parts[1]]
    assert np.array_equal(found.rows, [feature_row(notes) for notes in rows])
    assert found.owner.tolist() == [0, 1, 2, 0, 0, 2, 2]
    assert found.n_clips == 3


def test_nothing_can_be_listened_to() -> None:
    nothing = featurize([])
    assert nothing.rows.shape == (0, N_COLUMNS)
    assert nothing.n_clips == 0
    assert fitted().predict(nothing).verdicts() == []


@pytest.mark.parametrize("order", [[2, 0], [0, 1, 2, 3], [3, 1, 0, 2], [1], []])
def test_clips_taken_keep_their_parts(order: list[int]) -> None:
    several = [CLIPS[0], SHORT, CLIPS[2], CLIPS[3]]
    found = featurize(several)
    taken = found.take(np.array(order, dtype=np.int64))
    assert taken.n_clips == len(order)
    for place, at in enumerate(order):
        alone = featurize([several[at]])
        own = taken.owner == place
        assert np.array_equal(taken.rows[own], alone.rows)
        assert np.array_equal(taken.rows[place], alone.rows[0])


def test_rows_of_clips_are_whole_ones_first() -> None:
    found = featurize([CLIPS[0], SHORT, CLIPS[2]])
    assert found.rows_of(np.array([2, 0])).tolist() == [2, 0, 3, 4, 5, 6]
    assert found.rows_of(np.array([1])).tolist() == [1]


def test_answers_of_a_clip_and_its_parts_are_averaged() -> None:
    logits = np.array([[4.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 2.0]])
    found = ClipLogits.average(
        FeatureBatch(np.zeros((3, N_COLUMNS)), np.array([0, 1, 0])),
        logits,
        np.array([0.5, 1.0]),
    )
    assert found.logits.tolist() == [[2.0, 0, 0, 1.0], [0, 2.0, 0, 0]]
    odds = log_odds(softmax(logits))
    assert found.disagreement[0] == pytest.approx(np.abs(odds[0] - odds[2]) / 2)
    assert found.disagreement[1].tolist() == [0.0, 0.0]
    assert (found.segments.tolist(), found.owner.tolist()) == ([logits[2].tolist()], [0])
    assert found.familiarity.tolist() == [0.5, 1.0]
