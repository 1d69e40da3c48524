from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.composing import curve_of

from emomusic.compose import derive
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.parse import parse_key
from emomusic.compose.request import Request
from emomusic.emotion import Emotion

HERE = Emotion(0.8, 0.3)


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="module")
def clip(composer: Composer) -> Clip:
    request = Request(HERE, n_bars=3, best_of=3, fixed={"register": 62.0})
    return next(composer.compose(request, seed=3))


def test_a_clip_goes_on_with_what_it_carries_or_is_told(clip: Clip) -> None:
    same, other = (
        derive.continue_clip(clip, 2),
        derive.continue_clip(clip, 2, emotion=Emotion(-1, -1)),
    )
    assert (same.emotion, same.n_bars, same.best_of) == (HERE, 2, 3)
    assert other.emotion == Emotion(-1, -1)
    for request in (same, other):
        assert request.continues and request.given is not None
        assert request.given.tonic == request.tonic == parse_key(clip.key)[0]
        assert request.fixed == {"register": 62.0}


def test_along_a_curve_it_goes_on_from_the_end(clip: Clip) -> None:
    curve = curve_of((0, 0.5, 0.5), (3, -0.5, -0.4))
    moving = replace(clip, request=replace(clip.request, emotion=curve.mean(3), curve=curve))
    assert derive.continue_clip(moving, 2).emotion == curve.points[-1].emotion
    assert derive.continue_clip(moving, 2).curve is None
    assert derive.vary_clip(moving, take=1).curve == curve
    calmer = derive.shift_clip(moving, "calmer").curve
    assert calmer is not None
    assert [p.emotion.arousal for p in calmer.points] == pytest.approx([0.1, -0.8])


def test_a_variation_has_the_plan_of_the_candidate_that_was_kept(
    clip: Clip, composer: Composer
) -> None:
    varied = next(
        composer.compose(derive.vary_clip(clip, take=4), seed=clip.seed, start=clip.index)
    )
    assert varied.targets == clip.targets and varied.tempo == clip.tempo
    assert varied.key == clip.key and varied.n_bars == clip.n_bars
    assert varied.score.dumps_midi() != clip.score.dumps_midi()


@pytest.mark.parametrize("move", list(derive.MOVES))
def test_a_move_is_a_step_from_the_emotion_asked_for(clip: Clip, move: str) -> None:
    request, (valence, arousal) = derive.shift_clip(clip, move), derive.MOVES[move]
    assert request.emotion is not None and not request.continues
    assert request.emotion.valence == pytest.approx(min(0.8 + valence, 1.0))
    assert request.emotion.arousal == pytest.approx(0.3 + arousal)
    assert (request.best_of, request.is_major) == (3, None)


def test_a_move_stops_at_the_edge_of_the_plane() -> None:
    assert derive.shift_emotion(HERE, "happier") == Emotion(1.0, 0.3)
    assert derive.shift_emotion(Emotion(0.0, -0.9), "calmer") == Emotion(0.0, -1.0)


def test_a_clip_of_no_emotion_cannot_be_moved(clip: Clip) -> None:
    free = replace(clip, request=replace(clip.request, emotion=None, best_of=1))
    with pytest.raises(ValueError, match="composed for no emotion"):
        derive.shift_clip(free, "happier")
    assert derive.continue_clip(free, 2).emotion is None
