from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.evaluation.moving import asking


@pytest.fixture(scope="module")
def clip(tiny_checkpoint: Path) -> Clip:
    request = Request(Emotion(0.8, 0.3), n_bars=4)
    (clip,) = Composer(tiny_checkpoint).compose(request, seed=3)
    return clip


@pytest.mark.parametrize("n_bars", [4, 16, 32])
def test_a_curve_goes_from_the_first_bar_to_the_end_in_wide_steps(n_bars: int) -> None:
    for seed in range(30):
        curve = asking.draw_curve(n_bars, np.random.default_rng(seed))
        bars = [point.bar for point in curve.points]
        assert bars[0] == 0 and bars[-1] == n_bars
        assert 2 <= len(bars) <= min(4, n_bars // 4 + 1)
        assert all(after - before >= 4 for before, after in pairwise(bars))
        for one, other in pairwise(point.emotion for point in curve.points):
            away = math.dist((one.valence, one.arousal), (other.valence, other.arousal))
            assert away >= 0.5 and one.name and other.name


def test_curves_of_16_bars_have_two_to_four_points() -> None:
    rng = np.random.default_rng(0)
    assert {len(asking.draw_curve(16, rng).points) for _ in range(40)} == {2, 3, 4}


def test_lengths_are_whole_phrases_up_to_twice_as_long() -> None:
    rng = np.random.default_rng(0)
    assert set(asking.draw_lengths(200, rng, n_bars=16)) == {16, 20, 24, 28, 32}
    assert set(asking.draw_lengths(50, rng, n_bars=2)) == {4, 8}


def test_an_emotion_elsewhere_is_of_another_quadrant() -> None:
    rng = np.random.default_rng(0)
    here = Emotion(-0.5, -0.5)
    drawn = {asking.draw_elsewhere(here, rng).quadrant for _ in range(60)}
    assert drawn == {"Q1", "Q2", "Q4"}


def test_bare_quadrants_are_no_named_emotions() -> None:
    names = {emotion.name for emotion in asking.named_emotions()}
    assert "joy" in names and not names & {"Q1", "Q2", "Q3", "Q4"}


def test_a_clip_of_no_emotion_cannot_be_moved(clip: Clip) -> None:
    free = replace(clip, request=replace(clip.request, emotion=None))
    with pytest.raises(ValueError, match="composed for no emotion"):
        asking.emotion_of(free)
