from __future__ import annotations

import json

import numpy as np
import pytest
from quality_pieces import walks, with_quadrants

from emomusic.evaluation.quality.diversity import diversity, mean_distance


def test_distance_is_between_songs_only() -> None:
    places = np.array([[0.0], [1.0], [5.0]])
    counts = np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
    value, draws = mean_distance(places, ["a", "a", "b"], counts)
    assert value == pytest.approx((5 + 4) / 2)
    assert draws.tolist() == pytest.approx([4.5, 5.0, 4.5])  # the last draw holds one song


def test_the_like_are_as_varied() -> None:
    real = with_quadrants(walks(160, seed=1))
    found = diversity(with_quadrants(walks(160, seed=2)), real, n_draws=200)
    assert [own.quadrant for own in found.each] == ["Q1", "Q2", "Q3", "Q4"]
    assert found.mean.value == pytest.approx(1.0, abs=0.1)
    assert found.mean.low < found.mean.value < found.mean.high


def test_copies_are_not_varied() -> None:
    real = with_quadrants(walks(80, seed=1))
    copies = with_quadrants(walks(40, seed=2, same=True))
    found = diversity(copies, real, n_draws=100)
    assert found.mean.high < 0.2


def test_clips_of_one_song_do_not_count_against_real_music() -> None:
    apart = with_quadrants(walks(40, seed=1))
    again = [piece for piece in apart for _ in range(2)]
    found = [diversity(apart, real, n_draws=20).mean.value for real in (apart, again)]
    assert found[1] == pytest.approx(found[0])


def test_results_are_plain_values() -> None:
    real = with_quadrants(walks(32, seed=1))
    shown = json.loads(json.dumps(diversity(real, real, n_draws=20).to_dict()))
    assert shown["mean"][0] == 1.0
    assert shown["each"][0]["n_real"] == 8


def test_what_cannot_be_compared_is_refused() -> None:
    pieces = with_quadrants(walks(32, seed=1))
    with pytest.raises(ValueError, match="share no quadrant"):
        diversity(walks(8, seed=1), pieces)
    with pytest.raises(
        ValueError, match="at least 8 composed pieces of Q1 and two songs are needed, got 7 of 7"
    ):
        diversity(pieces[:28], pieces)
    one_song = with_quadrants(walks(32, seed=1, per_song=32))
    with pytest.raises(ValueError, match="real pieces of Q1 and two songs are needed, got 8 of 1"):
        diversity(pieces, one_song)
