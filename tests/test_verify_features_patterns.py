from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from emomusic.music.notes import Notes, make_notes
from emomusic.verify.features.analysis import CHORDS, analyse
from emomusic.verify.features.patterns import PATTERNS, measure_patterns

Column = NDArray[np.float64]
REGISTER, DYNAMICS = ("bands",), ("loudness", "loudness_by_octave")
KEY_RELATIVE = [p.name for p in PATTERNS if p.name not in REGISTER + DYNAMICS]


def clip(
    onset_s: Sequence[float],
    pitch: Sequence[int],
    *,
    duration_s: float | Sequence[float] = 0.5,
    velocity: int | Sequence[int] = 64,
) -> Notes:
    n = len(onset_s)
    return make_notes(
        np.array(onset_s, dtype=np.float64),
        np.broadcast_to(np.array(duration_s, dtype=np.float64), n),
        np.array(pitch),
        np.broadcast_to(np.array(velocity), n),
        tempo=60.0,  # a beat is a second
    )


def shares(notes: Notes) -> dict[str, Column]:
    """Return the squares of each block by its name."""
    ends = np.cumsum([pattern.size for pattern in PATTERNS])[:-1]
    blocks = np.split(measure_patterns(analyse(notes)), ends)
    return {pattern.name: block**2 for pattern, block in zip(PATTERNS, blocks, strict=True)}


def cells(block: Column) -> dict[int, float]:
    return {int(k): round(float(block[k]), 6) for k in np.flatnonzero(block > 1e-12)}


def random_clip(seed: int, n: int = 200) -> Notes:
    rng = np.random.default_rng(seed)
    return clip(
        np.sort(rng.uniform(0.0, 40.0, n)).tolist(),
        rng.integers(30, 90, n).tolist(),
        duration_s=rng.uniform(0.05, 2.0, n).tolist(),
        velocity=rng.integers(1, 128, n).tolist(),
    )


EVEN = clip([0.5 * k for k in range(8)], [60, 62, 64, 65, 67, 69, 71, 72])
C_MAJOR, A_MINOR = [60, 64, 67], [57, 60, 64]


def test_sizes_agree_and_names_are_unique() -> None:
    hearing = analyse(random_clip(0))
    assert [len(pattern.measure(hearing)) for pattern in PATTERNS] == [p.size for p in PATTERNS]
    assert len({pattern.name for pattern in PATTERNS}) == len(PATTERNS)


def test_blocks_are_roots_of_shares() -> None:
    for seed in range(3):
        for name, block in shares(random_clip(seed)).items():
            if name != "rates":  # quantiles, no shares
                assert block.sum() == pytest.approx(1.0), name


def test_times_of_an_even_scale() -> None:
    heard = shares(EVEN)
    # Half a second is 2 ** -1: 4.5 above the lowest, in steps of a half.
    assert cells(heard["gaps"]) == cells(heard["durations"]) == {9: 1.0}
    assert cells(heard["gap_pairs"]) == {4 * 8 + 4: 1.0}  # between 2 ** -1.5 and 2 ** -0.67
    assert cells(heard["onset_sizes"]) == {0: 1.0}
    two_notes = np.log2(3.0) / 8.0  # in each of the four seconds
    assert np.sqrt(heard["rates"]) == pytest.approx(np.full(11, two_notes))


def test_gap_between_two_bins_is_shared_by_them() -> None:
    gap = 2.0**-0.75
    heard = shares(clip([0.0, gap, 2 * gap], [60, 60, 60]))
    assert cells(heard["gaps"]) == {9: 0.5, 10: 0.5}


def test_quick_pairs_are_told_from_slow_ones() -> None:
    heard = shares(clip([0.0, 0.1, 1.1, 1.2, 2.2], [60] * 5))
    # 0.1 s is 2 ** -3.3, kind 1; a second is 2 ** 0, kind 5: quick-slow twice, slow-quick once.
    assert cells(heard["gap_pairs"]) == {1 * 8 + 5: round(2 / 3, 6), 5 * 8 + 1: round(1 / 3, 6)}


def test_notes_of_an_onset_are_counted() -> None:
    heard = shares(clip([0.0, 0.0, 0.0, 1.0] + [2.0] * 12, [60, 64, 67, 60, *range(50, 62)]))
    assert cells(heard["onset_sizes"]) == {2: 0.333333, 0: 0.333333, 7: 0.333333}


def test_moves_of_a_scale() -> None:
    heard = shares(EVEN)  # 2 2 1 2 2 2 1 semitones, a move of 0 in the middle of 27
    assert cells(heard["top_moves"]) == {13 + 1: round(2 / 7, 6), 13 + 2: round(5 / 7, 6)}
    assert np.array_equal(heard["top_moves"], heard["bottom_moves"])
    wide = shares(clip([0.0, 1.0, 2.0], [20, 100, 20]))
    assert cells(wide["top_moves"]) == {0: 0.5, 26: 0.5}


def test_degrees_and_what_follows_them() -> None:
    heard = shares(EVEN)
    degrees = [0, 2, 4, 5, 7, 9, 11, 0]
    assert cells(heard["degrees"]) == {k: 0.25 if k == 0 else 0.125 for k in sorted({*degrees})}
    pairs = sorted(12 * a + b for a, b in pairwise(degrees))
    assert cells(heard["top_follow"]) == dict.fromkeys(pairs, round(1 / 7, 6))
    # One voice is its own bass.
    assert set(cells(heard["outer_pairs"])) == {13 * k for k in degrees}


def test_a_long_note_weighs_no_more_than_four_seconds() -> None:
    notes = clip([0.0, 0.0, 0.0], C_MAJOR, duration_s=[3.0, 1.0, 30.0])
    assert cells(shares(notes)["degrees"]) == {0: 0.375, 4: 0.125, 7: 0.5}


def test_chords_and_roots_count_from_the_tonic() -> None:
    chords = [C_MAJOR, [53, 57, 60], [55, 59, 62], C_MAJOR, C_MAJOR]  # I IV V I I, a second each
    notes = clip(
        [float(k) for k in range(5) for _ in range(3)],
        [pitch for chord in chords for pitch in chord],
        duration_s=1.0,
    )
    heard = shares(notes)
    assert cells(heard["chords"]) == {0: 0.6, 5: 0.2, 7: 0.2}
    assert cells(heard["roots_follow"]) == dict.fromkeys((0, 5, 5 * 12 + 7, 7 * 12), 0.25)
    minor = shares(clip([0.0] * 3, A_MINOR, duration_s=1.0))
    assert cells(minor["chords"]) == {12 * list(CHORDS).index("minor") + 9: 1.0}


def test_tones_that_sound_together() -> None:
    heard = cells(shares(clip([0.0] * 3, C_MAJOR))["sounding_pairs"])
    places = np.transpose(np.triu_indices(12)).tolist()
    pairs = [(0, 0), (0, 4), (0, 7), (4, 4), (4, 7), (7, 7)]
    assert heard == {places.index([*pair]): round(1 / 6, 6) for pair in pairs}


def test_register_and_loudness_are_shared_by_near_bins() -> None:
    heard = shares(clip([0.0], [60], velocity=68))
    assert cells(heard["bands"]) == {9: 0.25, 10: 0.75}  # (60 - 21) / 4
    assert cells(heard["loudness"]) == {8: 0.5, 9: 0.5}  # 68 / 8
    middle = shares(clip([0.0], [63], velocity=60))["loudness_by_octave"]
    assert cells(middle) == {3 * 11 + 5: 1.0}  # octave (63 - 27) / 12, level 60 / 12
    between = shares(clip([0.0], [69], velocity=66))["loudness_by_octave"]
    assert cells(between) == {k * 11 + level: 0.25 for k in (3, 4) for level in (5, 6)}


@pytest.mark.parametrize("shift", [-7, 1, 5, 12])
def test_transposing_moves_only_what_depends_on_register(shift: int) -> None:
    for notes in (random_clip(3), EVEN):
        before, after = shares(notes), shares(replace(notes, pitch=notes.pitch + shift))
        for name in [*KEY_RELATIVE, "loudness"]:
            assert np.array_equal(before[name], after[name]), name
        assert not np.array_equal(before["bands"], after["bands"])


def test_velocities_move_only_dynamics() -> None:
    notes = random_clip(5)
    before = shares(notes)
    after = shares(replace(notes, velocity=np.full_like(notes.velocity, 20)))
    for pattern in PATTERNS:
        same = np.array_equal(before[pattern.name], after[pattern.name])
        assert same == (pattern.name not in DYNAMICS), pattern.name
