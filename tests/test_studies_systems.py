from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import Note, labelled, piece_of, row, some_panel, walks

from emomusic.compose.composer import Composer
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.accuracy import ask_nothing, quadrants_of
from emomusic.evaluation.pieces import Piece
from emomusic.evaluation.structure import bar_similarity, bars_return
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.music.notes import Notes, make_notes
from emomusic.music.tokenizer import N_BINS
from studies.baselines import study as module
from studies.baselines.study import RULES, Given, apply_rules, fit_recipe, ruled, systems
from studies.distributions.study import (
    QUANTITIES,
    distance_overlap,
    groove_similarity,
    histograms,
    overlap,
    overlap_area,
    statistics,
    statistics_of,
)

MAJOR, MINOR = {0, 2, 4, 5, 7, 9, 11}, {0, 2, 3, 5, 7, 8, 10}


def scale(degrees: set[int], tonic: int) -> Notes:
    onset = np.arange(float(len(degrees)))
    velocity = np.tile([60, 80], len(degrees))[: len(degrees)]
    return make_notes(onset, onset * 0 + 1, 60 + tonic + np.array(sorted(degrees)), velocity)


@pytest.mark.parametrize("degrees", [MAJOR, MINOR])
@pytest.mark.parametrize("quadrant", QUADRANTS)
def test_a_rule_sets_tempo_mode_register_and_loudness(degrees: set[int], quadrant: str) -> None:
    rule, notes = RULES[quadrant], scale(degrees, 2)
    found = ruled(notes, rule, 2, np.random.default_rng(0))
    relative = set(((found.pitch - rule.semitones - 2) % 12).tolist())
    assert relative == (MAJOR if rule.is_major else MINOR)
    assert abs(found.pitch - notes.pitch - rule.semitones).max() <= 1
    tempo = 60.0 * found.onset[-1] / found.onset_s[-1]
    assert rule.tempo[0] <= tempo <= rule.tempo[1]
    assert (found.onset == notes.onset).all()
    assert found.velocity.mean() == pytest.approx(55 * 10 ** (rule.loudness_db / 40), abs=1)


def test_rules_are_set_upon_clips_of_which_nothing_is_asked(tiny_checkpoint: Path) -> None:
    clips = list(Composer(tiny_checkpoint).compose_each([ask_nothing(2)] * 8, seed=4))
    assert all(clip.targets == {} for clip in clips)
    found, again = (apply_rules(clips, quadrants_of(2), seed=4) for _ in range(2))
    assert all((a.onset_s == b.onset_s).all() for a, b in zip(found, again, strict=True))
    assert all(found[at].velocity.mean() > found[at + 2].velocity.mean() for at in (2, 3))


CLIPS = labelled(3, "mapper")
EDGES = {a.name: np.linspace(a.low, a.high, N_BINS + 1)[1:-1] for a in ATTRIBUTES}


def values() -> np.ndarray:
    """Return attributes where Q1 is high, the rest low, and each second clip is its class mean."""
    found = np.zeros((12, len(ATTRIBUTES)))
    found[:3] = 1.0
    found[:, 0] += np.tile([-0.4, 0.0, 0.4], 4)
    return found


def test_bits_are_those_of_the_clip_nearest_its_class_mean() -> None:
    recipe = fit_recipe(CLIPS, values(), EDGES)
    assert recipe.nearest["Q1"] == CLIPS[1].path.name
    assert recipe.nearest["Q4"] == CLIPS[10].path.name
    assert all(recipe.is_high["Q1"].values())
    assert not any(recipe.is_high["Q3"][name] for name in ATTRIBUTE_NAMES[1:])


def test_low_and_high_are_the_middles_of_the_halves_of_the_bins() -> None:
    recipe = fit_recipe(CLIPS, values(), EDGES)
    for name, edges in EDGES.items():
        low, high = ((edges <= x[name]).sum() for x in (recipe.low, recipe.high))
        assert (low, high) == (3, 8)
    assert recipe.values("Q1") == recipe.high
    assert recipe.values("Q3")["register"] == recipe.low["register"]


def test_a_quadrant_without_clips_is_named() -> None:
    with pytest.raises(ValueError, match="no labelled clip of Q4 could be measured"):
        fit_recipe(CLIPS[:9], values()[:9], EDGES)


def test_all_systems_are_heard(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = fit_recipe(CLIPS, values(), EDGES)
    monkeypatch.setattr(module, "recipe_of", lambda clips, checkpoint: recipe)
    given = Given(Composer(tiny_checkpoint), tiny_checkpoint, some_panel(tmp_path), 1, 0, 2)
    found = list(systems.measure(given))
    for name in ("no controls", "rules", "EmoGen's recipe"):
        assert row(found, "heard right", clips=name, judge="both", of="quadrant").n == 4


def filled(piece: Piece, name: str) -> dict[int, float]:
    """Return the bins of one piece that hold something."""
    (row,) = histograms([piece], name)
    return {int(i): float(row[i]) for i in np.flatnonzero(row)}


CHORD = piece_of(
    [(0, 2, 60, 40), (0, 1, 64, 40), (0, 1, 67, 80), (4, 0.5, 60, 80)], n_bars=2
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pitch", {60: 0.5, 64: 0.25, 67: 0.25}),
        ("pitch_class", {0: 0.5, 4: 0.25, 7: 0.25}),
        ("polyphony", {0: 18 / 30, 2: 12 / 30}),
        ("density", {0: 0.5, 1: 0.5}),
        ("duration", {10: 0.25, 14: 0.5, 18: 0.25}),
        ("onset_gap", {22: 1.0}),
        ("velocity", {5: 0.5, 10: 0.5}),
    ],
)
def test_histograms_are_as_counted_by_hand(name: str, expected: dict[int, float]) -> None:
    assert filled(CHORD, name) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(QUANTITIES))
def test_every_histogram_sums_to_one(name: str) -> None:
    lone = piece_of([(0, 1, 60, 60)], n_bars=8)
    loud = piece_of([(i / 12, 9.0, 21 + i % 88, 127) for i in range(384)], n_bars=8)
    rows = histograms([lone, loud, *walks(4, seed=0)], name)
    assert np.allclose(rows.sum(axis=1), 1.0)


def test_pitch_classes_do_not_change_in_another_key() -> None:
    (piece,) = walks(1, seed=3)
    n = piece.notes
    moved = Notes(n.onset, n.duration, n.onset_s, n.duration_s, n.pitch + 5, n.velocity)
    rows = histograms([piece, Piece(moved, "b", None, 8)], "pitch_class")
    assert np.array_equal(rows[0], rows[1])


def test_the_area_of_histograms_is_counted_on_one_grid() -> None:
    assert overlap_area(np.array([1.0, 1.0, 0.0]), np.array([0.0, 2.0, 2.0])) == pytest.approx(0.5)
    assert overlap_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 0.0


def test_distances_of_one_distribution_overlap_and_of_two_do_not() -> None:
    rng = np.random.default_rng(0)
    real, more, far = rng.normal(size=(3, 200, 4))
    every = np.ones((1, 200))
    alike, draws = distance_overlap(real, more, every)
    assert alike > 0.95
    assert draws.tolist() == pytest.approx([alike])
    assert distance_overlap(real, far + 20.0, every)[0] < 0.01


def test_pieces_without_variety_have_other_distances() -> None:
    rng = np.random.default_rng(0)
    real, middle = rng.normal(size=(200, 8)), np.zeros((200, 8))
    assert distance_overlap(real, middle, np.ones((1, 200)))[0] < 0.6


def test_pieces_that_are_all_alike_do_not_fail() -> None:
    same = np.ones((10, 3))
    assert distance_overlap(same, same, np.ones((2, 10)))[0] == pytest.approx(1.0)


def test_the_like_overlap_and_what_differs_is_found_where_it_differs() -> None:
    real = walks(80, seed=1)
    like = list(overlap(walks(40, seed=2), real, n_draws=50))
    for quantity in QUANTITIES:
        own = row(like, "overlap", quantity=quantity, kind="pooled", pieces="difference")
        assert own.low is not None and own.low < 0.03 and own.n == 40
        assert row(like, "overlap", quantity=quantity, kind="pooled", pieces="real").value > 0.8
    loud = list(overlap(walks(40, seed=2, velocity=100), real, n_draws=50))
    for kind, most in (("pooled", -0.2), ("distances", -0.1)):
        own = row(loud, "overlap", quantity="velocity", kind=kind, pieces="difference")
        assert own.high is not None and own.high < most


def test_too_few_songs_are_refused() -> None:
    with pytest.raises(ValueError, match="two halves of at least 8 real pieces"):
        list(overlap(walks(8, seed=1), walks(16, seed=2, per_song=16)))


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
    theme = bars_return(bar_similarity(bars_of("ABCDEFGHABCDEFGH")))
    wandering = bars_return(bar_similarity(bars_of("ABCDEFGHIJKLMNOP")))
    assert theme["similarity_lag_8"] == pytest.approx(1.0)
    assert theme["structure_lag_8"] > 0.7
    assert theme["returning_bars"] == pytest.approx(8 / 12)
    assert theme["returning_bars_excess"] > 0.05
    assert wandering["returning_bars"] == 0.0
    assert abs(wandering["structure_lag_8"]) < 0.1


def test_one_bar_over_and_over_is_no_form() -> None:
    found = bars_return(bar_similarity(bars_of("A" * 16)))
    assert found["returning_bars"] == 1.0
    assert found["structure_lag_4"] == pytest.approx(0.0)
    assert found["returning_bars_excess"] == pytest.approx(0.0)


def test_a_bar_copied_within_three_bars_has_not_come_back() -> None:
    assert bars_return(bar_similarity(bars_of("AAABBBCCCDDDEEE")))["returning_bars"] == 0.0


def test_the_same_pieces_do_not_shift_and_others_do() -> None:
    real = walks(40, seed=1)
    shifts = []
    for pieces in (walks(40, seed=2), walks(40, seed=2, gap=0.25)):
        found = list(statistics(pieces, real, n_draws=200))
        shifts.append(row(found, "statistic", statistic="notes_per_beat", of="shift"))
    same, apart = shifts
    assert same.low is not None and same.high is not None and apart.low is not None
    assert same.low < 0 < same.high and apart.low > 0
    names = {own.by["statistic"] for own in found}
    assert names >= {"similarity_lag_4", "returning_bars"}
    assert "similarity_lag_8" not in names  # pieces have eight bars


def test_moments_are_those_of_numpy() -> None:
    composed, real = walks(10, seed=1), walks(20, seed=2)
    found = {own.by["of"]: own.value for own in statistics(composed, real)
             if own.by["statistic"] == "pitch_range"}  # fmt: skip
    mine, theirs = ([float(np.ptp(p.notes.pitch)) for p in own] for own in (composed, real))
    assert found["composed mean"] == pytest.approx(np.mean(mine))
    assert found["real sd"] == pytest.approx(np.std(theirs))
    assert found["shift"] == pytest.approx((np.mean(mine) - np.mean(theirs)) / np.std(theirs))
    assert found["spread"] == pytest.approx(np.std(mine) / np.std(theirs))


def test_too_few_bars_are_refused() -> None:
    short = [replace(piece, n_bars=3) for piece in walks(16, seed=2)]
    with pytest.raises(ValueError, match="pieces must have more than 4 bars, got one of 3"):
        list(statistics(walks(8, seed=1), short))
