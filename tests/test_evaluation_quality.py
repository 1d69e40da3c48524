from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.evaluation import Note, piece_of, row, walks, with_quadrants

from emomusic.evaluation.pieces import (
    Piece,
)
from emomusic.evaluation.quality import (
    Space,
    diversity,
    manifold,
    mean_distance,
    neighbourhood,
    statistics,
)
from emomusic.evaluation.rows import Row
from emomusic.evaluation.statistics import (
    bar_similarity,
    bars_return,
    groove_similarity,
    statistics_of,
)


def shares(reference: list[list[float]], points: list[list[float]], k: int) -> list[float]:
    values = neighbourhood(np.array(reference), np.array(points), k=k)
    return [float(value.mean()) for value in values]


def test_measures_of_points_on_a_line_are_as_counted_by_hand() -> None:
    real = [[0.0], [1.0], [3.0], [7.0]]  # balls to the next: 1, 1, 2, 4
    made = [[0.5], [2.5], [20.0], [21.0]]  # 2, 2, 1, 1
    precision, recall, density, coverage = shares(real, made, 1)
    assert precision == 2 / 4
    assert recall == 3 / 4  # 7 is in none
    assert density == (2 + 1) / 4  # 0.5 in two balls; 2.5 in that of 3
    assert coverage == 3 / 4


def test_points_on_top_of_real_ones_are_all_precise() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)).tolist()
    precision, recall, density, coverage = shares(points, points, 5)
    assert (precision, recall, coverage) == (1.0, 1.0, 1.0)
    assert density == pytest.approx(1.2)  # a point is in its own ball, too


def test_crowding_in_the_midst_is_dense_but_covers_little() -> None:
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 300, 4))
    crowd = shares(real.tolist(), (0.2 * other).tolist(), 5)
    like = shares(real.tolist(), other.tolist(), 5)
    assert crowd[2] > 1.2 * like[2]
    assert crowd[1] < 0.3 * like[1]
    assert crowd[3] < 0.8 * like[3]


def test_axes_are_white_and_freak_values_are_cut() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 10)) + 5.0
    features[:, 9] = 3.0  # never moves
    space = Space(4).fit(features)
    places = space.transform(features)
    assert places.shape == (200, 4)
    assert np.allclose(np.cov(places.T, bias=True), np.eye(4), atol=1e-9)
    features[0] = 1e9
    assert np.abs(space.transform(features)[0]).max() < 100


def test_other_real_songs_are_as_precise_as_the_like() -> None:
    found = list(manifold(walks(40, seed=2), walks(80, seed=1), n_draws=100))
    precision = row(found, "precision", pieces="difference")
    assert precision.n == 40 and precision.low is not None and precision.high is not None
    assert precision.low < 0.05 and precision.high > -0.05
    assert row(found, "coverage", pieces="real").value > 0.6


def test_what_lies_elsewhere_is_not_precise_and_copies_recall_little() -> None:
    elsewhere = walks(40, seed=2, gap=0.125, centre=90, velocity=110)
    for pieces, names in ((elsewhere, ("precision", "coverage")),
                          (walks(40, seed=3, same=True), ("recall", "coverage"))):  # fmt: skip
        found = list(manifold(pieces, walks(80, seed=1), n_draws=50))
        for name in names:
            high = row(found, name, pieces="difference").high
            assert high is not None and high < -0.25


def test_few_pieces_are_enough_and_fewer_refused() -> None:
    found = list(manifold(walks(8, seed=1), walks(16, seed=2), n_draws=20, among="some"))
    assert [own.by["among"] for own in found] == ["some"] * 12 and found[0].n == 8
    with pytest.raises(ValueError, match="at least 8 composed pieces are needed, got 2"):
        list(manifold(walks(2, seed=1), walks(16, seed=1)))


def test_distance_is_between_songs_only() -> None:
    places = np.array([[0.0], [1.0], [5.0]])
    counts = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
    value, draws = mean_distance(places, ["a", "a", "b"], counts)
    assert value == pytest.approx((5 + 4) / 2)
    assert draws.tolist() == pytest.approx([4.5, 5.0, 4.5])  # the last draw holds one song


def mean_ratio(composed: list[Piece], real: list[Piece]) -> Row:
    return row(diversity(composed, real, n_draws=100), "diversity", quadrant="mean")


def test_the_like_are_as_varied_and_copies_are_not() -> None:
    real = with_quadrants(walks(160, seed=1))
    like = mean_ratio(with_quadrants(walks(160, seed=2)), real)
    assert like.value == pytest.approx(1.0, abs=0.1)
    assert like.low is not None and like.high is not None and like.low < like.value < like.high
    copies = mean_ratio(with_quadrants(walks(40, seed=2, same=True)), real)
    assert copies.high is not None and copies.high < 0.2


def test_clips_of_one_song_do_not_count_against_real_music() -> None:
    apart = with_quadrants(walks(40, seed=1))
    again = [piece for piece in apart for _ in range(2)]
    found = [mean_ratio(apart, real).value for real in (apart, again)]
    assert found[1] == pytest.approx(found[0])


def test_quadrants_that_cannot_be_compared_are_refused() -> None:
    pieces = with_quadrants(walks(32, seed=1))
    with pytest.raises(ValueError, match="share no quadrant"):
        list(diversity(walks(8, seed=1), pieces))
    with pytest.raises(
        ValueError, match="at least 8 composed pieces of Q1 and two songs are needed, got 7 of 7"
    ):
        list(diversity(pieces[:28], pieces))
    one_song = with_quadrants(walks(32, seed=1, per_song=32))
    with pytest.raises(ValueError, match="real pieces of Q1 and two songs are needed, got 8 of 1"):
        list(diversity(pieces, one_song))


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
