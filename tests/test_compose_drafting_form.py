from __future__ import annotations

import numpy as np
import pytest

from emomusic.compose.drafting.form import FREE_ENDING, PHRASE_BARS, Form, draw_form, follow

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 64, 512)


def forms(n_bars: int, n: int = 200) -> list[Form]:
    return [draw_form(n_bars, np.random.default_rng(seed)) for seed in range(n)]


@pytest.mark.parametrize("n_bars", LENGTHS)
def test_every_bar_is_free_or_takes_up_an_earlier_one(n_bars: int) -> None:
    for form in forms(n_bars):
        assert len(form) == n_bars
        assert all(earlier is None or 0 <= earlier < bar for bar, earlier in enumerate(form))


@pytest.mark.parametrize("n_bars", LENGTHS)
def test_the_first_phrase_and_the_ending_take_up_nothing(n_bars: int) -> None:
    for form in forms(n_bars):
        assert set(form[:PHRASE_BARS]) | set(form[-FREE_ENDING:]) == {None}


@pytest.mark.parametrize("n_bars", LENGTHS)
def test_a_bar_takes_up_the_one_at_its_place_in_an_earlier_phrase(n_bars: int) -> None:
    for form in forms(n_bars):
        for bar, earlier in enumerate(form):
            assert earlier is None or (bar - earlier) % PHRASE_BARS == 0


def test_a_phrase_takes_up_one_phrase() -> None:
    for form in forms(64):
        for first in range(0, 64, PHRASE_BARS):
            phrase = enumerate(form[first : first + PHRASE_BARS], first)
            assert len({bar - earlier for bar, earlier in phrase if earlier is not None}) <= 1


def test_most_clips_have_something_that_comes_back() -> None:
    found = forms(16)
    assert np.mean([any(bar is not None for bar in form) for form in found]) > 0.3
    assert len(set(found)) > 5


def test_the_last_bar_of_a_phrase_may_go_its_own_way() -> None:
    turns, others = [], []
    for form in forms(32):
        for first in range(PHRASE_BARS, 32 - PHRASE_BARS, PHRASE_BARS):
            if form[first] is not None:
                turns.append(form[first + PHRASE_BARS - 1] is None)
                others.append(None in form[first : first + PHRASE_BARS - 1])
    assert 0 < np.mean(turns) < 1 and not any(others)


def test_the_same_state_gives_the_same_form() -> None:
    assert forms(32, 5) == forms(32, 5)


@pytest.mark.parametrize("n_bars", LENGTHS)
def test_how_many_numbers_are_drawn_depends_on_the_length_alone(n_bars: int) -> None:
    left = []
    for seed in range(50):
        drawn = np.random.default_rng(seed)
        draw_form(n_bars, drawn)
        following = drawn.random()
        whole = np.random.default_rng(seed).random(10_000)
        left.append(int(np.flatnonzero(whole == following)[0]))
    assert len(set(left)) == 1


def test_a_variation_takes_up_each_bar_at_its_place_as_long_as_there_are_any() -> None:
    assert follow(3, 3) == (0, 1, 2)
    assert follow(2, 5) == (0, 1)
    assert follow(5, 2) == (0, 1, None, None, None)
    assert follow(2, 0) == (None, None)
