from __future__ import annotations

import numpy as np
import pytest

from emomusic.evaluation.quality.resampling import (
    Interval,
    beside,
    drawn_counts,
    drawn_means,
    interval,
    splits,
)


def test_halves_share_no_song_and_are_as_many_as_the_composed() -> None:
    groups = [str(i // 3) for i in range(90)]
    drawn = list(splits(20, groups, np.random.default_rng(0), n_splits=5))
    assert len(drawn) == 5
    for split in drawn:
        assert len(split.composed) == len(split.reference) == len(split.other) == 20
        assert len(set(split.reference)) == len(set(split.other)) == 20
        assert not {groups[i] for i in split.reference} & {groups[i] for i in split.other}
    assert sorted(drawn[0].composed) == list(range(20))
    assert set(drawn[0].reference) != set(drawn[1].reference)


def test_more_composed_pieces_than_a_half_holds_are_drawn_from() -> None:
    (split,) = splits(50, [str(i) for i in range(20)], np.random.default_rng(0), n_splits=1)
    assert len(split.composed) == len(split.reference) == len(split.other) == 10


@pytest.mark.parametrize("groups", [["one"] * 40, ["big"] * 35 + ["a", "b", "c", "d", "e"]])
def test_songs_that_cannot_be_parted_are_refused(groups: list[str]) -> None:
    with pytest.raises(ValueError, match="two halves of at least 8 real pieces"):
        list(splits(20, groups, np.random.default_rng(0)))


def test_songs_are_drawn_whole() -> None:
    counts = drawn_counts(["a", "b", "a", "c"], 50, np.random.default_rng(0))
    assert counts.shape == (50, 4)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_means_weigh_pieces_by_their_draws() -> None:
    counts = np.array([[1.0, 1.0], [3.0, 1.0], [0.0, 0.0]])
    assert drawn_means(np.array([0.0, 4.0]), counts).tolist() == [2.0, 1.0, 2.0]
    assert drawn_means(np.array([[0.0, 1.0], [4.0, 1.0]]), counts)[1].tolist() == [1.0, 1.0]


def test_the_interval_of_a_mean_is_as_wide_as_it_should_be() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=400)
    draws = drawn_means(values, drawn_counts([str(i) for i in range(400)], 2000, rng))
    found = interval(float(values.mean()), draws)
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.1)
    assert found.low < found.value < found.high


def test_composed_less_real_is_taken_draw_by_draw() -> None:
    shared = np.linspace(-1, 1, 101)
    found = beside(
        [1.0, 3.0], [1.0, 1.0], composed_draws=[shared, shared + 5], real_draws=[shared, shared]
    )
    assert (found.composed.value, found.real.value, found.difference.value) == (2.0, 1.0, 1.0)
    assert found.difference.low == pytest.approx(1.0)  # what moves both moves no difference
    assert found.composed.low == pytest.approx(2.0 - 0.95)
    assert found.to_dict()["real"] == [1.0, 0.05, 1.95]


def test_an_interval_is_shown_rounded() -> None:
    assert Interval(1 / 3, 0.25, 0.5).to_list() == [0.3333, 0.25, 0.5]
