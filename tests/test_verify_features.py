from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.analysis import CHORDS, analyse, group_starts, key_correlations, quantiles
from emomusic.verify.features import (
    COLUMNS,
    FEATURE_NAMES,
    FEATURES,
    GROUPS,
    N_COLUMNS,
    PATTERNS,
    column_names,
    feature_matrix,
    feature_row,
    measure_features,
)


def clip(onset_s: list[float], pitch: Any, *, duration_s: Any = 0.5, velocity: Any = 64) -> Notes:
    times = np.broadcast_arrays(np.array(onset_s, np.float64), np.array(duration_s, np.float64))
    whole = np.broadcast_arrays(np.array(pitch), np.array(velocity))
    return make_notes(*times, *whole, tempo=60.0)  # a beat is a second


def random_clip(seed: int, n: int = 200) -> Notes:
    rng = np.random.default_rng(seed)
    times = rng.uniform(0.0, 60.0, n), rng.uniform(0.05, 2.0, n)
    return make_notes(*times, rng.integers(30, 90, n), rng.integers(1, 128, n), tempo=90.0)


def named(notes: Notes) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, measure_features(notes).tolist(), strict=True))


EVEN = clip([0.5 * k for k in range(8)], [60, 62, 64, 65, 67, 69, 71, 72])


def test_each_column_is_named_once_described_and_of_one_group() -> None:
    columns = column_names()
    assert columns == [[f.name, f.unit] for f in FEATURES] + [
        [p.name, str(p.size)] for p in PATTERNS
    ]
    assert len({name for name, _ in columns}) == len(columns) and all(f.unit for f in FEATURES)
    of_groups = np.concatenate([np.concatenate(COLUMNS[name]) for name in GROUPS])
    assert sorted(of_groups.tolist()) == list(range(N_COLUMNS))
    row, features = feature_row(EVEN), measure_features(EVEN)
    assert len(row) == N_COLUMNS and len(features) == len(FEATURE_NAMES) == len(FEATURES)
    assert np.array_equal(row[: len(FEATURES)], features)
    assert np.array_equal(feature_matrix([EVEN, EVEN]), [features, features])


LINES = clip([float(k // 2) for k in range(8)], [36, 72, 43, 74, 36, 74, 43, 84])
STRUCK = clip([0.0, 0.0, 1.0, 1.0], [40, 80, 40, 80], velocity=[50, 70, 60, 90])
BY_HAND: dict[str, tuple[Notes, dict[str, float]]] = {
    "an even scale": (EVEN, {  # eight notes in four seconds
        "note_rate": 1.0, "onset_rate": 1.0, "chord_size": 1.0, "chord_share": 0.0,
        "busiest": np.log2(3.0), "calmest": np.log2(3.0), "gap_median": -1.0, "gap_spread": 0.0,
        "gap_even": 1.0, "gap_fast": 0.0, "gap_slow": 0.0, "duration_median": -1.0,
        "articulation": 0.0, "silence": 0.0, "polyphony": 1.0,
    }),
    "silence": (clip([0.0, 1.0, 3.0], [60] * 3), {"silence": 2.0 / 3.5, "legato": 0.0}),
    "register and range": (clip([0.0, 0.0, 1.0, 1.0], [40, 80, 42, 78]), {
        "pitch_mean": 60.0, "top_mean": 79.0, "bottom_mean": 41.0, "low_share": 0.5,
        "high_share": 0.5, "hand_distance": 38.0, "pitches_used": 2.0,
    }),
    "C3 and C5": (clip([0.0, 1.0], [48, 72]), {"low_share": 0.0, "high_share": 0.5}),
    "a third makes a chord": (clip([0.0] * 3 + [1.0] * 2, [60, 64, 67, 60, 64]), {
        "chord_size": 2.5, "chord_share": 0.5,
    }),
    "dynamics": (STRUCK, {"velocity_level": 65.0, "velocity_change": 20.0, "velocity_top": 25.0}),
    "flat": (clip([0.0, 1.0], [40, 80], velocity=90), {
        "velocity_spread": 0.0, "velocity_change": 0.0, "velocity_top": 0.0,
    }),
    "a triad weighs its bass half as much again": (clip([0.0] * 3, [48, 64, 67]), {
        "degree_0": 1.5 / 3.5, "degree_4": 1.0 / 3.5, "degree_7": 1.0 / 3.5,
        "chord_major": 1.0, "chord_tonic": 1.0, "chromatic_share": 0.0,
    }),
    "minor": (clip([0.0] * 3, [60, 63, 67]), {"chord_minor": 1.0}),
    "diminished": (clip([0.0] * 3, [60, 63, 66]), {"chord_diminished": 1.0}),
    "seventh": (clip([0.0] * 4, [60, 64, 67, 70]), {"chord_dominant7": 1.0}),
    "suspended": (clip([0.0] * 3, [60, 65, 67]), {"chord_suspended": 1.0}),
    "a second": (clip([0.0, 0.0], [60, 61]), {"interval_1": 1.0, "dissonance": 1.428}),
    "tritone and fifth": (clip([0.0, 0.0, 2.0, 2.0], [60, 66, 60, 67]), {
        "interval_6": 0.5, "interval_5": 0.5, "dissonance": (0.453 - 1.240) / 2,
    }),
    "melody and bass": (LINES, {
        "melody_move": (2 + 0 + 10) / 3, "melody_repeat": 1 / 3, "melody_leap": 1 / 3,
        "melody_rise": 1.0, "bass_repeat": 1.0,  # the two lowest quarters are all C2
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_features_have_the_values_worked_out_by_hand(name: str) -> None:
    notes, expected = BY_HAND[name]
    heard = named(notes)
    assert {key: heard[key] for key in expected} == pytest.approx(expected, abs=1e-9)


def test_pulse_and_mode_are_found_and_minor_is_heard_against_its_relative_major() -> None:
    heard = named(EVEN)
    assert heard["pulse_period"] == pytest.approx(-1.0, abs=0.06) and heard["pulse_clarity"] > 0.6
    major = named(clip([0.0] * 3, [48, 64, 67]))
    assert major["mode_margin"] > 0.0 and major["mode_relative"] > 0.0
    notes = clip([0.5 * k for k in range(12)], [57, 59, 60, 62, 64, 65, 68, 69, 57, 60, 64, 69])
    heard = named(notes)
    assert analyse(notes).tonic == 0 and heard["mode_margin"] < 0.0 and heard["mode_relative"] < 0.0
    assert heard["degree_9"] == max(heard[f"degree_{k}"] for k in range(12))
    assert heard["chromatic_share"] == pytest.approx(heard["degree_8"])


def test_notes_within_45_ms_are_one_onset() -> None:
    assert group_starts(np.array([0.0, 0.02, 0.04, 0.06, 0.5])).tolist() == [0, 3, 4]
    block = clip([0.0, 0.0, 0.0, 1.0], [60, 64, 67, 72])
    rolled = clip([0.0, 0.02, 0.04, 1.0], [60, 64, 67, 72])
    for name in ("chord_size", "gap_median", "hand_distance", "tones_sounding", "interval_3"):
        assert named(rolled)[name] == named(block)[name]
    # A profile itself correlates with its key by 1.
    profile = np.array((6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88))
    major, minor = key_correlations(np.roll(profile, 2))
    assert major[2] == pytest.approx(1.0) and major.argmax() == 2 and minor.max() < 1.0


@pytest.mark.parametrize(
    "notes",
    [
        clip([0.0], [60]),
        clip([0.0], [0], duration_s=1e-6),
        clip([0.0] * 12, list(range(60, 72))),
        clip([0.0, 1e6], [0, 127], duration_s=1e5),
        clip([0.0, 0.01], [60, 60]),
        random_clip(6, n=3000),
    ],
    ids=["one note", "shortest", "cluster", "days", "repeated", "many"],
)
def test_every_clip_has_finite_features(notes: Notes) -> None:
    assert np.isfinite(feature_row(notes)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda notes: notes.where(slice(0)), "at least one note, got 0"),
        (lambda notes: replace(notes, onset_s=notes.onset_s * np.nan), "must be finite"),
        (lambda notes: replace(notes, onset_s=notes.onset_s[::-1].copy()), "must not fall"),
        (lambda notes: replace(notes, duration_s=0 * notes.duration_s), "must be above 0"),
    ],
)
def test_wrong_notes_are_refused(change: Callable[[Notes], Notes], words: str) -> None:
    for measure in (measure_features, feature_row):
        with pytest.raises(ValueError, match=words):
            measure(change(EVEN))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10, 57])
def test_quantiles_lie_where_numpy_has_them(n: int) -> None:
    shares = (0.0, 0.05, 0.25, 0.5, 0.9, 1.0)
    values = np.random.default_rng(n).normal(size=n)
    assert quantiles(values, *shares) == pytest.approx(np.quantile(values, shares), rel=1e-14)
    pitch = np.random.default_rng(n).integers(21, 109, n)
    assert quantiles(pitch, *shares) == np.quantile(pitch, shares).tolist()


Column = NDArray[np.float64]
REGISTER = {feature.name for feature in FEATURES if feature.group == "register"}


def shares(notes: Notes) -> dict[str, Column]:
    """Return the squares of each pattern by its name."""
    analysis = analyse(notes)
    return {pattern.name: pattern.measure(analysis) ** 2 for pattern in PATTERNS}


def cells(block: Column) -> dict[int, float]:
    return {int(k): round(float(block[k]), 6) for k in np.flatnonzero(block > 1e-12)}


C_MAJOR, A_MINOR = [60, 64, 67], [57, 60, 64]


SCALE_DEGREES = [0, 2, 4, 5, 7, 9, 11, 0]
CADENCE = [C_MAJOR, [53, 57, 60], [55, 59, 62], C_MAJOR, C_MAJOR]  # I IV V I I, a second each
PLACES = np.transpose(np.triu_indices(12)).tolist()
BLOCKS_BY_HAND: dict[str, tuple[Notes, dict[str, dict[int, float]]]] = {
    "an even scale": (EVEN, {
        # Half a second is 2 ** -1: 4.5 above the lowest, in steps of a half.
        "gaps": {9: 1.0}, "durations": {9: 1.0}, "onset_sizes": {0: 1.0},
        "gap_pairs": {4 * 8 + 4: 1.0},  # between 2 ** -1.5 and 2 ** -0.67
        # 2 2 1 2 2 2 1 semitones, a move of 0 in the middle of 27
        "top_moves": {13 + 1: 2 / 7, 13 + 2: 5 / 7}, "bottom_moves": {13 + 1: 2 / 7, 13 + 2: 5 / 7},
        "degrees": {k: 0.25 if k == 0 else 0.125 for k in SCALE_DEGREES},
        "top_follow": {12 * a + b: 1 / 7 for a, b in pairwise(SCALE_DEGREES)},
        # One voice is its own bass.
        "outer_pairs": {13 * k: 0.25 if k == 0 else 0.125 for k in SCALE_DEGREES},
    }),
    "a gap between two bins": (clip([0.0, 2**-0.75, 2 * 2**-0.75], [60] * 3),
                               {"gaps": {9: 0.5, 10: 0.5}}),
    # 0.1 s is 2 ** -3.3, kind 1; a second is 2 ** 0, kind 5: quick-slow twice, slow-quick once.
    "quick and slow": (clip([0.0, 0.1, 1.1, 1.2, 2.2], [60] * 5),
                       {"gap_pairs": {1 * 8 + 5: 2 / 3, 5 * 8 + 1: 1 / 3}}),
    "sizes": (clip([0.0, 0.0, 0.0, 1.0] + [2.0] * 12, [60, 64, 67, 60, *range(50, 62)]),
              {"onset_sizes": {2: 1 / 3, 0: 1 / 3, 7: 1 / 3}}),
    "wide moves": (clip([0.0, 1.0, 2.0], [20, 100, 20]), {"top_moves": {0: 0.5, 26: 0.5}}),
    "a note weighs four seconds at most": (clip([0.0] * 3, C_MAJOR, duration_s=[3.0, 1.0, 30.0]),
                                           {"degrees": {0: 0.375, 4: 0.125, 7: 0.5}}),
    "a cadence": (clip([float(k) for k in range(5) for _ in range(3)], [*chain(*CADENCE)],
                       duration_s=1.0), {
        "chords": {0: 0.6, 5: 0.2, 7: 0.2},
        "roots_follow": dict.fromkeys((0, 5, 5 * 12 + 7, 7 * 12), 0.25),
    }),
    "minor": (clip([0.0] * 3, A_MINOR, duration_s=1.0),
              {"chords": {12 * list(CHORDS).index("minor") + 9: 1.0}}),
    "together": (clip([0.0] * 3, C_MAJOR), {"sounding_pairs": {
        PLACES.index(pair): 1 / 6 for pair in ([0, 0], [0, 4], [0, 7], [4, 4], [4, 7], [7, 7])
    }}),
    # (60 - 21) / 4, and 68 / 8
    "near bins": (clip([0.0], [60], velocity=68),
                  {"bands": {9: 0.25, 10: 0.75}, "loudness": {8: 0.5, 9: 0.5}}),
    # octave (63 - 27) / 12, level 60 / 12
    "one cell": (clip([0.0], [63], velocity=60), {"loudness_by_octave": {3 * 11 + 5: 1.0}}),
    "four cells": (clip([0.0], [69], velocity=66), {"loudness_by_octave": {
        k * 11 + level: 0.25 for k in (3, 4) for level in (5, 6)
    }}),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS_BY_HAND)
def test_blocks_have_the_shares_worked_out_by_hand(name: str) -> None:
    notes, expected = BLOCKS_BY_HAND[name]
    heard = shares(notes)
    for block, worked in expected.items():
        assert cells(heard[block]) == pytest.approx(worked, abs=1e-5), block


def test_blocks_are_roots_of_shares_but_rates_quantiles_of_notes_a_second() -> None:
    for seed in range(3):
        sums = {name: block.sum() for name, block in shares(random_clip(seed)).items()}
        assert {name for name in sums if sums[name] != pytest.approx(1.0)} == {"rates"}
    two_notes = np.log2(3.0) / 8.0  # in each of the four seconds
    assert np.sqrt(shares(EVEN)["rates"]) == pytest.approx(np.full(11, two_notes))


def changed(before: Notes, after: Notes) -> set[str]:
    one, other = shares(before), shares(after)
    return {name for name in one if not np.array_equal(one[name], other[name])}


@pytest.mark.parametrize("shift", [-7, 1, 5, 12])
def test_transposing_moves_the_register_only(shift: int) -> None:
    for notes in (random_clip(3), EVEN):
        moved = replace(notes, pitch=notes.pitch + shift)
        same = measure_features(notes) == measure_features(moved)
        assert {f.name for f, own in zip(FEATURES, same, strict=True) if not own} <= REGISTER
        assert not same.all()
        assert {"bands"} <= changed(notes, moved) <= {"bands", "loudness_by_octave"}


def test_velocities_move_only_dynamics_a_flat_level_and_beats_nothing() -> None:
    notes = random_clip(5)
    quiet, loud = (replace(notes, velocity=np.full_like(notes.velocity, v)) for v in (20, 120))
    assert changed(notes, quiet) == {"loudness", "loudness_by_octave"}
    rebarred = replace(notes, onset=notes.onset * 1.7, duration=notes.duration * 0.3)
    assert np.array_equal(feature_row(notes), feature_row(rebarred))
    assert np.array_equal(feature_row(quiet), feature_row(loud)) and loud.velocity[0] == 120
