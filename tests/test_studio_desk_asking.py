"""From the page's controls to requests, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from composing_cases import curve_of, tune

from emomusic.compose.asking.given import CONTINUE, VARY
from emomusic.compose.asking.onward import MOVES
from emomusic.compose.asking.request import Request
from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion, find_emotion
from emomusic.studio.desk.asking import Sheet, continued, moved, sheet_of, varied, whole
from emomusic.studio.desk.session import Piece
from emomusic.verify.verifier import Verifier

JOY = find_emotion("joy")
CURVE = curve_of((0, -0.5, 0.5), (4, 0.9, -0.9))


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(scope="module")
def brought(tiny_checkpoint: Path) -> Piece:
    score = tune(4, tonic=2)
    verdict = Verifier.load(tiny_checkpoint).verdict(Piece(score, "D major", 96.0).notes)
    return Piece(score, "D major", 96.0, verdict, name="tune.mid")


def composed(composer: Composer, request: Request) -> Piece:
    (clip,) = composer.compose(request, seed=3)
    return Piece.of(clip)


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
    assert sheet_of(request_).request() == request_


def test_a_tempo_is_shown_on_its_fader() -> None:
    shown = sheet_of(Request(JOY, tempo=90.0))

    assert shown.fixed == {"tempo": 90.0}
    assert shown.length == 16


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"length": 2.5}, "bars must be a whole number, got 2.5"),
        ({"length": None}, "bars must be a whole number, got None"),
        ({"length": 600}, r"bars must be in \[1, 512\], got 600"),
        ({"unit": "seconds", "length": 0.1}, r"seconds must be in \[0.5, 1800\], got 0.1"),
        ({"unit": "miles"}, "unit must be one of bars, seconds"),
        ({"key": None}, "key must be one of any, C, "),
        ({"mode": "dorian"}, "mode must be one of any, major, minor"),
        ({"metre": None}, "metre must be one of 4/4, 3/4"),
        ({"best_of": float("nan")}, "best_of must be a whole number, got nan"),
        ({"temperature": float("nan")}, "temperature must be in"),
        ({"fixed": {"register": 1e9}}, "register must be in"),
        ({"fixed": {"beauty": 1.0}}, "unknown attribute 'beauty'"),
    ],
)
def test_a_control_out_of_its_range_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(Sheet(JOY), **changes).request()


@pytest.mark.parametrize("value", [None, "7", 1.5, float("inf"), [1]])
def test_what_is_no_whole_number_is_none(value: object) -> None:
    assert whole("seed", 7.0) == 7
    with pytest.raises(ValueError, match="seed must be a whole number"):
        whole("seed", value)


def test_a_continuation_keeps_all_but_what_belongs_to_one_run(composer: Composer) -> None:
    asked = Request(JOY, seconds=6.0, fixed={"register": 60.0}, best_of=2, take=3, top_p=0.9)
    piece = composed(composer, asked)

    request = continued(piece, 8)

    assert request.given is not None and request.given.use == CONTINUE
    assert (request.n_bars, request.seconds, request.take) == (8, None, 0)
    assert (request.emotion, request.fixed) == (JOY, {"register": 60.0})
    assert (request.best_of, request.top_p) == (2, 0.9)


def test_a_continuation_goes_on_from_where_the_curve_ended(composer: Composer) -> None:
    piece = composed(composer, Request(JOY, curve=CURVE, n_bars=4))

    assert place(continued(piece, 8).emotion) == (0.9, -0.9)
    assert continued(piece, 8).curve is None
    assert continued(piece, 8, emotion=JOY).emotion == JOY


def test_what_was_brought_goes_on_as_it_is_unless_told_otherwise(brought: Piece) -> None:
    assert continued(brought, 2).emotion is None
    assert continued(brought, 2, emotion=JOY).emotion == JOY


def test_variations_differ_by_their_take_and_keep_the_key(
    composer: Composer, brought: Piece
) -> None:
    piece = composed(composer, Request(JOY, n_bars=2, tonic=7))

    first, second = varied(piece, take=1), varied(piece, take=2)

    assert first.given is not None and first.given.use == VARY
    assert (first.take, second.take, first.tonic) == (1, 2, 7)
    assert replace(first, take=2) == second
    assert varied(brought, take=5).take == 5


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

    assert place(moved(piece, move).emotion) == there


def test_a_move_ends_at_the_border_of_the_plane(composer: Composer) -> None:
    piece = composed(composer, Request(Emotion(0.9, -0.9), n_bars=1))

    assert place(moved(piece, "happier").emotion) == (1.0, -0.9)
    assert place(moved(piece, "calmer").emotion) == (0.9, -1.0)


def test_a_move_of_a_curve_shifts_all_its_points(composer: Composer) -> None:
    piece = composed(composer, Request(JOY, curve=CURVE, n_bars=4))

    curve = moved(piece, "sadder").curve

    assert curve is not None
    assert [place(point.emotion) for point in curve.points] == [(-0.9, 0.5), (0.5, -0.9)]


def test_what_was_brought_is_moved_from_where_it_is_heard(brought: Piece) -> None:
    assert brought.verdict is not None
    for move, (by_valence, by_arousal) in MOVES.items():
        valence = min(max(brought.verdict.valence + by_valence, -1.0), 1.0)
        arousal = min(max(brought.verdict.arousal + by_arousal, -1.0), 1.0)
        there = (round(valence, 6), round(arousal, 6))
        assert place(moved(brought, move).emotion) == there


def test_whatever_follows_from_a_piece_can_be_composed(composer: Composer, brought: Piece) -> None:
    own = composed(composer, Request(JOY, n_bars=2, beats_per_bar=3, best_of=2))
    for piece in (own, brought):
        for request in (continued(piece, 1), varied(piece, take=1), moved(piece, "calmer")):
            assert composed(composer, request).n_bars >= 1
