from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from verifier_cases import CLIPS, clip, heard

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.ears.senses import (
    KEPT,
    MAX_DEVIATION,
    N_COLUMNS,
    N_FEATURES,
    SENSE_NAMES,
    SENSES,
    Matrix,
    Senses,
    columns_of,
    parts_of,
    sensed,
    sensed_rows,
)
from emomusic.verify.features import FEATURE_NAMES, features_of
from emomusic.verify.features.patterns import PATTERNS

ROWS = heard().rows[: len(CLIPS)]


def even(n: int, gap_s: float) -> Notes:
    """Return n notes at an even pace, one second being a beat."""
    onset: Matrix = gap_s * np.arange(float(n))
    return make_notes(onset, np.full(n, gap_s), 60 + np.arange(n) % 12, 64 + onset.astype(int) % 9)


@pytest.fixture(scope="module")
def senses() -> Senses:
    return Senses.fit(ROWS)


def test_every_column_belongs_to_one_sense() -> None:
    columns = np.concatenate([np.concatenate(sense.columns()) for sense in SENSES])
    assert sorted(columns.tolist()) == list(range(N_COLUMNS))


def test_named_features_are_in_the_sense_that_names_them() -> None:
    for sense in SENSES:
        own = {FEATURE_NAMES[column] for column in sense.columns()[0]}
        assert {*sense.also} <= own
        assert not {*sense.but} & own


def test_columns_are_features_then_patterns() -> None:
    columns = columns_of()
    assert [name for name, _ in columns[:N_FEATURES]] == list(FEATURE_NAMES)
    assert columns[N_FEATURES:] == [[p.name, str(p.size)] for p in PATTERNS]
    assert len(sensed(CLIPS[0])) == N_COLUMNS
    assert np.array_equal(sensed(CLIPS[0])[:N_FEATURES], features_of(CLIPS[0]))


def test_level_of_a_flat_velocity_is_not_sensed() -> None:
    quiet, loud = (
        replace(CLIPS[0], velocity=np.full_like(CLIPS[0].velocity, level)) for level in (20, 120)
    )
    assert np.array_equal(sensed(quiet), sensed(loud))
    before = CLIPS[0].velocity.copy()
    assert not np.array_equal(sensed(CLIPS[0]), sensed(loud))
    assert np.array_equal(CLIPS[0].velocity, before)


@pytest.mark.parametrize("shift", [-5, 2, 12])
def test_transposing_moves_only_register_and_dynamics(senses: Senses, shift: int) -> None:
    moved = replace(CLIPS[3], pitch=CLIPS[3].pitch + shift)
    before, after = (senses.points(sensed_rows([notes])) for notes in (CLIPS[3], moved))
    for name in ("harmony", "motion", "touch"):
        assert np.array_equal(before[name], after[name]), name
    assert not np.array_equal(before["register"], after["register"])


def test_velocities_move_only_dynamics(senses: Senses) -> None:
    moved = replace(CLIPS[3], velocity=CLIPS[3].velocity // 2)
    before, after = (senses.points(sensed_rows([notes])) for notes in (CLIPS[3], moved))
    same = [name for name in SENSE_NAMES if np.array_equal(before[name], after[name])]
    assert same == ["harmony", "motion", "touch", "register"]


def test_no_notes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one note, got 0"):
        sensed(CLIPS[0].where(slice(0)))
    assert sensed_rows([]).shape == (0, N_COLUMNS)


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
    parts = parts_of(notes)
    assert len(parts) == n_parts
    assert parts[0] is notes


def test_parts_are_the_first_and_the_last_half() -> None:
    notes = even(33, 0.5)
    late = replace(notes, onset_s=notes.onset + 7.0, duration_s=notes.duration)
    pitches = [part.onset.tolist() for part in parts_of(late)[1:]]
    assert pitches == [
        [0.5 * k for k in range(17)],  # the note in the middle is in both halves
        [0.5 * k for k in range(16, 33)],
    ]


def test_a_long_rest_parts_the_halves() -> None:
    notes = even(40, 0.1)
    onset_s = notes.onset + np.where(np.arange(40) < 20, 0.0, 30.0)
    parts = parts_of(replace(notes, onset_s=onset_s))
    assert [len(part) for part in parts] == [40, 20, 20]


def test_no_notes_have_no_parts() -> None:
    assert len(parts_of(CLIPS[0].where(slice(0)))) == 1


def scaled(senses: Senses, name: str) -> Matrix:
    """Return the columns of a sense before projection, two rows at a mean squared distance of 1."""
    sense = SENSES[SENSE_NAMES.index(name)]
    own, blocks = sense.columns()
    away = (ROWS[:, own] - senses.mean[own]) / senses.scale[own]
    features, patterns = np.clip(away, -MAX_DEVIATION, MAX_DEVIATION), ROWS[:, blocks]
    features = features * np.sqrt(
        sense.share * patterns.var(axis=0).sum() / features.var(axis=0).sum()
    )
    joined = np.concatenate([features, patterns], axis=1)
    return np.asarray(joined / np.sqrt(2.0 * joined.var(axis=0).sum()))


def squared(points: Matrix) -> Matrix:
    return np.asarray(((points[:, None] - points[None]) ** 2).sum(axis=2))


@pytest.mark.parametrize("name", SENSE_NAMES)
def test_projection_keeps_distances(senses: Senses, name: str) -> None:
    before = squared(scaled(senses, name))
    after = squared(senses.points(ROWS)[name].astype(np.float64))
    assert before.mean() == pytest.approx(1.0)
    assert KEPT <= after.mean() <= 1.0 + 1e-4
    assert (after <= before + 1e-4).all()


def test_rows_are_projected_each_by_itself(senses: Senses) -> None:
    many, one = senses.points(ROWS), senses.points(ROWS[7:8])
    for name in SENSE_NAMES:
        assert one[name][0] == pytest.approx(many[name][7], abs=1e-5)


def test_one_strange_value_does_not_decide(senses: Senses) -> None:
    column = FEATURE_NAMES.index("note_rate")
    strange, cut = ROWS[:1].copy(), ROWS[:1].copy()
    strange[0, column] = 1e9
    cut[0, column] = senses.mean[column] + MAX_DEVIATION * senses.scale[column]
    first, second = senses.points(strange), senses.points(cut)
    for name in SENSE_NAMES:
        assert first[name] == pytest.approx(second[name], abs=1e-5)


def test_arrays_hold_all(senses: Senses) -> None:
    again = Senses.from_arrays(senses.arrays())
    first, second = senses.points(ROWS), again.points(ROWS)
    assert all(np.array_equal(first[name], second[name]) for name in SENSE_NAMES)


def test_same_rows_give_the_same_projection(senses: Senses) -> None:
    again = Senses.fit(ROWS.copy()).arrays()
    assert all(np.array_equal(again[name], array) for name, array in senses.arrays().items())


def test_equal_clips_can_be_projected() -> None:
    row = sensed(clip("Q1", 0))
    points = Senses.fit(np.tile(row, (5, 1))).points(np.array([row, ROWS[30]]))
    for name in SENSE_NAMES:
        assert np.isfinite(points[name]).all()
        assert points[name][0] == pytest.approx(0.0, abs=0.05)
