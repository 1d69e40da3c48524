"""From the page's controls to requests, and back; what follows from a piece."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.composing import curve_of, tune

from emomusic.compose import derive
from emomusic.compose.composer import Composer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.studio.form import continue_piece, read_form, shift_piece, show_form, vary_piece
from emomusic.studio.session import StudioPiece

JOY, FEAR = find_emotion("joy"), find_emotion("fear")
CURVE = curve_of((0, -0.5, 0.5), (4, 0.9, -0.9))


@pytest.fixture(scope="module")
def brought(tiny_composer: Composer) -> StudioPiece:
    piece = StudioPiece(tune(4, tonic=2), "D major", 96.0, name="tune.mid")
    return replace(piece, verdict=tiny_composer.verifier.verdict(piece.notes))


@pytest.fixture(scope="module")
def composed(tiny_composer: Composer) -> StudioPiece:
    request = Request(JOY, n_bars=2, tonic=7, beats_per_bar=3, best_of=2)
    (clip,) = tiny_composer.compose(request, seed=3)
    return StudioPiece.of(clip)


@pytest.mark.parametrize(
    "request_",
    [
        Request(JOY, n_bars=5, tonic=3, is_major=False, beats_per_bar=3, fixed={"register": 60.0}),
        Request(JOY, seconds=20.0, fixed={"tempo": 90.0}, best_of=4, temperature=0.8, top_p=0.9),
        Request(CURVE.mean(8), curve=CURVE, n_bars=8, tonic=0, is_major=True),
        Request(None, n_bars=3),
    ],
)
def test_what_the_controls_show_of_a_request_asks_for_it_again(request_: Request) -> None:
    feeling = request_.curve or request_.emotion
    assert read_form(feeling, show_form(request_)) == request_


def test_a_tempo_is_shown_on_its_fader_and_a_length_where_none_was_said() -> None:
    shown = show_form(Request(JOY, tempo=90.0))
    assert (shown["fixed"], shown["length"]) == ({"tempo": 90.0}, 16)


def test_what_is_not_said_of_the_controls_takes_its_default() -> None:
    assert read_form(JOY, {}) == Request(JOY, n_bars=16)


def test_what_follows_from_a_clip_is_derived_from_it(composed: StudioPiece) -> None:
    clip = composed.clip
    assert clip is not None
    assert continue_piece(composed, 8) == derive.continue_clip(clip, 8)
    assert continue_piece(composed, 8, emotion=FEAR).emotion == FEAR
    assert vary_piece(composed, take=2) == derive.vary_clip(clip, take=2)
    assert shift_piece(composed, "sadder") == derive.shift_clip(clip, "sadder")


def test_what_was_brought_goes_on_as_it_is_or_as_told_or_is_varied(
    brought: StudioPiece,
) -> None:
    request = continue_piece(brought, 2)
    assert request.given is not None and request.given.use == CONTINUE
    assert (request.emotion, request.n_bars) == (None, 2)
    assert continue_piece(brought, 2, emotion=JOY).emotion == JOY
    varied = vary_piece(brought, take=5)
    assert varied.given is not None and (varied.given.use, varied.take) == (VARY, 5)


@pytest.mark.parametrize("move", derive.MOVES)
def test_what_was_brought_is_moved_from_where_it_is_heard(brought: StudioPiece, move: str) -> None:
    verdict = brought.verdict
    assert verdict is not None
    there = derive.shift_emotion(Emotion(verdict.valence, verdict.arousal), move)
    assert shift_piece(brought, move).emotion == there


def test_whatever_follows_from_a_piece_can_be_composed(
    tiny_composer: Composer, composed: StudioPiece, brought: StudioPiece
) -> None:
    for piece in (composed, brought):
        follow = (continue_piece(piece, 1), vary_piece(piece, take=1), shift_piece(piece, "calmer"))
        for request in follow:
            (clip,) = tiny_composer.compose(request, seed=3)
            assert clip.n_bars >= 1
