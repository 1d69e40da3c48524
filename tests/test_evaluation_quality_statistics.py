from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from quality_pieces import Note, piece_of, walks

from emomusic.evaluation.quality.music import Piece
from emomusic.evaluation.quality.statistics import (
    bar_similarity,
    compare_statistics,
    groove_similarity,
    statistics_of,
    structure,
)

C_MAJOR = [60, 62, 64, 65, 67, 69, 71]


def bars_of(patterns: str, *, seed: int = 0) -> Piece:
    """Return a piece with a bar for each letter; bars of one letter are the same."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[Note]] = {}
    notes: list[Note] = []
    for bar, letter in enumerate(patterns):
        if letter not in drawn:
            steps = np.sort(rng.choice(16, 6, replace=False)) / 4
            drawn[letter] = [(float(s), 0.25, int(rng.integers(60, 84)), 60) for s in steps]
        notes += [(4.0 * bar + onset, *rest) for onset, *rest in drawn[letter]]  # type: ignore[misc]
    return piece_of(notes, n_bars=len(patterns))


def test_statistics_of_a_scale_are_as_counted_by_hand() -> None:
    notes = [(float(i), 1.0, C_MAJOR[i % 7], 60) for i in range(19)] + [(19.0, 1.0, 61, 60)]
    found = statistics_of(piece_of(notes, n_bars=5), lags=(1, 2, 4))
    assert found["scale_consistency"] == pytest.approx(19 / 20)
    assert found["pitch_class_entropy_1"] == pytest.approx(2.0)  # four classes in every bar
    assert found["pitch_range"] == 11
    assert found["n_pitch_classes"] == 8
    assert found["polyphony"] == pytest.approx(1.0)
    assert found["notes_per_beat"] == 1.0
    assert found["groove_similarity"] == 1.0


def test_entropy_over_four_bars_is_of_windows_that_slide() -> None:
    one_class_a_bar = [(4.0 * bar, 4.0, 60 + min(bar, 3), 60) for bar in range(5)]
    found = statistics_of(piece_of(one_class_a_bar, n_bars=5), lags=(1,))
    assert found["pitch_class_entropy_1"] == 0.0
    assert found["pitch_class_entropy_4"] == pytest.approx((2.0 + 1.5) / 2)


def test_empty_bars_have_no_entropy_and_resemble_none() -> None:
    piece = piece_of([(0.0, 1.0, 60, 60), (16.0, 1.0, 60, 60)], n_bars=6)
    assert statistics_of(piece, lags=(1,))["pitch_class_entropy_1"] == 0.0
    similarity = bar_similarity(piece)
    assert similarity[0, 4] == pytest.approx(1.0)
    assert similarity.sum() == pytest.approx(4.0)


def test_groove_counts_the_steps_that_one_of_two_bars_lacks() -> None:
    piece = piece_of([(0.0, 1, 60, 60), (2.0, 1, 60, 60), (4.0, 1, 72, 60)], n_bars=2)
    assert groove_similarity(piece) == pytest.approx(1 - 1 / 48)


def test_bars_are_alike_by_onset_and_pitch_class() -> None:
    notes: list[Note] = [(0, 1, 60, 60), (1, 1, 64, 60)]  # an octave up, half of it, another
    notes += [(4, 1, 72, 60), (5, 1, 76, 60), (8, 1, 60, 60), (9, 1, 65, 60), (12.5, 1, 60, 60)]
    similarity = bar_similarity(piece_of(notes, n_bars=4))
    assert similarity[0].tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0])


def test_played_bars_are_alike_on_the_nearest_sixteenth() -> None:
    early = [(0.0, 1, 60, 60), (1.0, 1, 64, 60), (4 + 1 / 12, 1, 60, 60), (4 + 11 / 12, 1, 64, 60)]
    assert bar_similarity(piece_of(early, n_bars=2))[0, 1] == pytest.approx(1.0)


def test_a_theme_that_comes_back_is_told_from_bars_that_wander() -> None:
    theme = structure(bar_similarity(bars_of("ABCDEFGHABCDEFGH")))
    wandering = structure(bar_similarity(bars_of("ABCDEFGHIJKLMNOP")))
    assert theme["similarity_lag_8"] == pytest.approx(1.0)
    assert theme["structure_lag_8"] > 0.7
    assert theme["returning_bars"] == pytest.approx(8 / 12)
    assert theme["returning_bars_excess"] > 0.05
    assert wandering["returning_bars"] == 0.0
    assert abs(wandering["structure_lag_8"]) < 0.1


def test_one_bar_over_and_over_is_no_form() -> None:
    found = structure(bar_similarity(bars_of("A" * 16)))
    assert found["returning_bars"] == 1.0
    assert found["structure_lag_4"] == pytest.approx(0.0)
    assert found["returning_bars_excess"] == pytest.approx(0.0)


def test_a_bar_copied_within_three_bars_has_not_come_back() -> None:
    assert structure(bar_similarity(bars_of("AAABBBCCCDDDEEE")))["returning_bars"] == 0.0


def test_the_same_pieces_do_not_shift() -> None:
    real = walks(40, seed=1)
    found = compare_statistics(walks(40, seed=2), real, n_draws=200)
    apart = compare_statistics(walks(40, seed=2, gap=0.25), real, n_draws=200)
    shift = {s.name: s.shift for s in found.each}["notes_per_beat"]
    apart_shift = {s.name: s.shift for s in apart.each}["notes_per_beat"]
    assert shift.low < 0 < shift.high
    assert apart_shift.low > 0
    assert {s.name for s in found.each} >= {"similarity_lag_4", "returning_bars"}
    assert "similarity_lag_8" not in {s.name for s in found.each}  # pieces have eight bars


def test_moments_are_those_of_numpy() -> None:
    composed, real = walks(10, seed=1), walks(20, seed=2)
    found = next(s for s in compare_statistics(composed, real).each if s.name == "pitch_range")
    mine, theirs = ([float(np.ptp(p.notes.pitch)) for p in own] for own in (composed, real))
    assert (found.composed_mean, found.composed_sd) == pytest.approx((np.mean(mine), np.std(mine)))
    assert found.shift.value == pytest.approx((np.mean(mine) - np.mean(theirs)) / np.std(theirs))
    assert found.spread.value == pytest.approx(np.std(mine) / np.std(theirs))


def test_results_are_plain_values() -> None:
    found = compare_statistics(walks(8, seed=1), walks(16, seed=2, per_song=2), n_draws=20)
    shown = json.loads(json.dumps(found.to_dict()))
    assert (shown["n_composed"], shown["n_real"], shown["n_of_song"]) == (8, 16, 2)
    assert len(shown["each"][0]["shift"]) == 3


def test_too_few_pieces_or_bars_are_refused() -> None:
    real = walks(16, seed=2)
    with pytest.raises(ValueError, match="at least 8 composed pieces are needed, got 3"):
        compare_statistics(walks(3, seed=1), real)
    short = [replace(piece, n_bars=3) for piece in real]
    with pytest.raises(ValueError, match="pieces must have more than 4 bars, got one of 3"):
        compare_statistics(walks(8, seed=1), short)
    with pytest.raises(ValueError, match="has no bars"):
        compare_statistics(walks(8, seed=1), [replace(piece, n_bars=None) for piece in real])
