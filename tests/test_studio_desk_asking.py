"""From the page's controls to requests, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers.composing import curve_of, tune

from emomusic.compose.composer import Composer
from emomusic.compose.derive import MOVES
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.studio.desk.asking import Form, continue_piece, shift_piece, vary_piece
from emomusic.studio.desk.session import StudioPiece
from emomusic.verify.verifier import Verifier

JOY = find_emotion("joy")
CURVE = curve_of((0, -0.5, 0.5), (4, 0.9, -0.9))


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="module")
def brought(tiny_checkpoint: Path) -> StudioPiece:
    score = tune(4, tonic=2)
    verdict = Verifier.load(tiny_checkpoint).verdict(StudioPiece(score, "D major", 96.0).notes)
    return StudioPiece(score, "D major", 96.0, verdict, name="tune.mid")


def composed(composer: Composer, request: Request) -> StudioPiece:
    (clip,) = composer.compose(request, seed=3)
    return StudioPiece.of(clip)


def place(emotion: Emotion | None) -> tuple[float, float]:
    assert emotion is not None
    return round(emotion.valence, 6), round(emotion.arousal, 6)


@pytest.mark.parametrize(
    "request_",
    [
        Request(JOY, n_bars=5, tonic=3, is_major=False, beats_per_bar=3, fixed={"register": 60.0}),
        Request(JOY, seconds=20.0, fixed={"tempo": 90.0}, best_of=4, temperature=0.8, top_p=0.9),
        Request(CURVE.mean(8), curve=CURVE, n_bars=8, tonic=0, is_major=True),
    ],
)
def test_what_the_controls_show_of_a_request_asks_for_it_again(request_: Request) -> None:
    assert Form.of(request_).request() == request_


def test_a_tempo_is_shown_on_its_fader() -> None:
    shown = Form.of(Request(JOY, tempo=90.0))

    assert shown.fixed == {"tempo": 90.0}
    assert shown.length == 16


def test_a_continuation_keeps_all_but_what_belongs_to_one_run(composer: Composer) -> None:
    asked = Request(JOY, seconds=6.0, fixed={"register": 60.0}, best_of=2, take=3, top_p=0.9)
    piece = composed(composer, asked)

    request = continue_piece(piece, 8)

    assert request.given is not None and request.given.use == CONTINUE
    assert (request.n_bars, request.seconds, request.take) == (8, None, 0)
    assert (request.emotion, request.fixed) == (JOY, {"register": 60.0})
    assert (request.best_of, request.top_p) == (2, 0.9)


def test_a_continuation_goes_on_from_where_the_curve_ended(composer: Composer) -> None:
    piece = composed(composer, Request(JOY, curve=CURVE, n_bars=4))

    assert place(continue_piece(piece, 8).emotion) == (0.9, -0.9)
    assert continue_piece(piece, 8).curve is None
    assert continue_piece(piece, 8, emotion=JOY).emotion == JOY


def test_what_was_brought_goes_on_as_it_is_unless_told_otherwise(brought: StudioPiece) -> None:
    assert continue_piece(brought, 2).emotion is None
    assert continue_piece(brought, 2, emotion=JOY).emotion == JOY


def test_variations_differ_by_their_take_and_keep_the_key(
    composer: Composer, brought: StudioPiece
) -> None:
    piece = composed(composer, Request(JOY, n_bars=2, tonic=7))

    first, second = vary_piece(piece, take=1), vary_piece(piece, take=2)

    assert first.given is not None and first.given.use == VARY
    assert (first.take, second.take, first.tonic) == (1, 2, 7)
    assert replace(first, take=2) == second
    assert vary_piece(brought, take=5).take == 5


@pytest.mark.parametrize(
    ("move", "there"),
    [
        ("happier", (0.5, 0.2)),
        ("sadder", (-0.3, 0.2)),
        ("livelier", (0.1, 0.6)),
        ("calmer", (0.1, -0.2)),
    ],
)
def test_a_move_shifts_the_emotion_that_was_asked_for(
    composer: Composer, move: str, there: tuple[float, float]
) -> None:
    piece = composed(composer, Request(Emotion(0.1, 0.2), n_bars=1))

    assert place(shift_piece(piece, move).emotion) == there


def test_a_move_ends_at_the_border_of_the_plane(composer: Composer) -> None:
    piece = composed(composer, Request(Emotion(0.9, -0.9), n_bars=1))

    assert place(shift_piece(piece, "happier").emotion) == (1.0, -0.9)
    assert place(shift_piece(piece, "calmer").emotion) == (0.9, -1.0)


def test_a_move_of_a_curve_shifts_all_its_points(composer: Composer) -> None:
    piece = composed(composer, Request(JOY, curve=CURVE, n_bars=4))

    curve = shift_piece(piece, "sadder").curve

    assert curve is not None
    assert [place(point.emotion) for point in curve.points] == [(-0.9, 0.5), (0.5, -0.9)]


def test_what_was_brought_is_moved_from_where_it_is_heard(brought: StudioPiece) -> None:
    assert brought.verdict is not None
    for move, (by_valence, by_arousal) in MOVES.items():
        valence = min(max(brought.verdict.valence + by_valence, -1.0), 1.0)
        arousal = min(max(brought.verdict.arousal + by_arousal, -1.0), 1.0)
        there = (round(valence, 6), round(arousal, 6))
        assert place(shift_piece(brought, move).emotion) == there


def test_whatever_follows_from_a_piece_can_be_composed(
    composer: Composer, brought: StudioPiece
) -> None:
    own = composed(composer, Request(JOY, n_bars=2, beats_per_bar=3, best_of=2))
    for piece in (own, brought):
        for request in (
            continue_piece(piece, 1),
            vary_piece(piece, take=1),
            shift_piece(piece, "calmer"),
        ):
            assert composed(composer, request).n_bars >= 1
