from __future__ import annotations

import numpy as np
import pytest
from helpers.evaluation import row, walks, with_quadrants

from emomusic.evaluation.pieces import Piece
from emomusic.evaluation.quality import (
    beside,
    diversity,
    manifold,
    mean_distance,
    neighbourhood,
    white_axes,
)
from emomusic.evaluation.rows import Row


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


def test_copies_are_all_precise_and_a_crowd_in_the_midst_covers_little() -> None:
    real, other = np.random.default_rng(0).normal(size=(2, 300, 4))
    same, like, crowd = (shares(real.tolist(), points.tolist(), 5)
                         for points in (real, other, 0.2 * other))  # fmt: skip
    assert same == pytest.approx([1.0, 1.0, 1.2, 1.0])  # a point is in its own ball, too
    assert crowd[2] > 1.2 * like[2]  # dense
    assert crowd[1] < 0.3 * like[1] and crowd[3] < 0.8 * like[3]


def test_axes_are_white_and_freak_values_are_cut() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 10)) + 5.0
    features[:, 9] = 3.0  # never moves
    to_axes = white_axes(features, 4)
    places = to_axes(features)
    assert places.shape == (200, 4)
    assert np.allclose(np.cov(places.T, bias=True), np.eye(4), atol=1e-9)
    features[0] = 1e9
    assert np.abs(to_axes(features)[0]).max() < 100


def test_composed_less_real_is_taken_draw_by_draw_over_halvings() -> None:
    shared = np.linspace(-1, 1, 101)[None]
    measured = np.full(16, 3.0), np.ones(32)
    found = {
        own.by["pieces"]: own
        for own in beside(
            (walks(16, seed=1), walks(32, seed=2)),
            measured,
            ["a"],
            lambda reference, drawn, held, held_drawn: (np.array([held.mean()]), shared + 5),
            n_draws=101,
        )
    }
    assert {kind: own.value for kind, own in found.items()} == pytest.approx(
        {"composed": 3.0, "real": 1.0, "difference": 2.0}
    )
    # what moves both moves no difference, and draws are moved onto the value
    assert found["difference"].low == pytest.approx(2.0)
    assert found["composed"].low == pytest.approx(3.0 - 0.95) and found["composed"].n == 16


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


def test_few_pieces_are_enough() -> None:
    found = list(manifold(walks(8, seed=1), walks(16, seed=2), n_draws=20, among="some"))
    assert [own.by["among"] for own in found] == ["some"] * 12 and found[0].n == 8


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


@pytest.mark.parametrize(
    ("composed", "real", "words"),
    [
        (walks(8, seed=1), walks(32, seed=1), "share no quadrant"),
        (with_quadrants(walks(28, seed=1)), with_quadrants(walks(32, seed=1)),
         "at least 8 composed pieces of Q1 and two songs are needed, got 7 of 7"),
        (with_quadrants(walks(32, seed=1)), with_quadrants(walks(32, seed=1, per_song=32)),
         "real pieces of Q1 and two songs are needed, got 8 of 1"),
    ],
)  # fmt: skip
def test_quadrants_that_cannot_be_compared_are_refused(
    composed: list[Piece], real: list[Piece], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        list(diversity(composed, real))
