"""Composing for one person: growing, stopping, leaving."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.composing import given, tune
from midi import score_of

import emomusic.studio.desk.composing as composing
from emomusic.compose.composer import Composer
from emomusic.compose.request import VARY, Request
from emomusic.emotion import Emotion
from emomusic.music.score import dump_score
from emomusic.studio.desk.composing import Growing, compose
from emomusic.studio.desk.session import Session

JOY = Emotion(0.8, 0.6, "joy")


@pytest.fixture(scope="module")
def composer(tiny_checkpoint: Path) -> Composer:
    return Composer(tiny_checkpoint)


@pytest.fixture(autouse=True)
def every_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "EVERY_S", 0.0)


def test_a_piece_grows_bar_by_bar_into_the_clip_of_its_seed(composer: Composer) -> None:
    request = Request(JOY, n_bars=20)

    grown = [*compose(composer, Session(), [request], seed=9, start=3)]

    heights = [piece.n_bars for growing in grown for piece in growing.pieces if piece is not None]
    (clip,) = composer.compose(request, seed=9, start=3)
    assert heights == sorted(heights) and heights[0] < heights[-1] == 20
    assert [growing.is_over for growing in grown] == [False] * (len(grown) - 1) + [True]
    assert grown[-1].n_done == 1 and not grown[-1].is_stopped
    assert [dump_score(piece.score) for piece in grown[-1].whole] == [dump_score(clip.score)]


def test_variations_are_those_of_the_seed_in_their_order(composer: Composer) -> None:
    request = Request(JOY, n_bars=2, best_of=2)

    *_, last = compose(composer, Session(), [request] * 3, seed=1)

    clips = composer.compose(request, seed=1, count=3)
    own = [dump_score(piece.score) for piece in last.whole]
    assert own == [dump_score(clip.score) for clip in clips]


def test_no_piece_is_heard_before_it_is_whole(composer: Composer) -> None:
    for growing in compose(composer, Session(), [Request(JOY, n_bars=2)] * 2, seed=1):
        heard = [piece for piece in growing.pieces if piece is not None and piece.verdict]
        assert len(heard) == growing.n_done == len(growing.whole)


def test_what_is_there_when_somebody_stops_is_kept_and_heard(composer: Composer) -> None:
    session = Session()
    stream = compose(composer, session, [Request(JOY, n_bars=30)], seed=2)
    first = next(stream)

    session.stopping.set()
    *_, last = stream

    (piece,) = last.whole
    assert first.n_bars == (30,)
    assert last.is_over and last.is_stopped
    assert 1 <= piece.n_bars < 30
    assert piece.clip is not None and piece.verdict == piece.clip.verdict


def test_who_stops_one_session_stops_no_other(composer: Composer) -> None:
    mine, yours = Session(), Session()
    here = compose(composer, mine, [Request(JOY, n_bars=12)], seed=2)
    there = compose(composer, yours, [Request(JOY, n_bars=12)], seed=3)
    next(here), next(there)

    mine.stopping.set()
    *_, my_last = here
    *_, your_last = there

    assert my_last.is_stopped and not your_last.is_stopped
    assert your_last.whole[0].n_bars == 12


def test_who_leaves_stops_the_engine(composer: Composer, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    stream = composer.stream

    def watched(*arguments: object, **named: object) -> Iterator[object]:
        try:
            yield from stream(*arguments, **named)  # type: ignore[arg-type]
        finally:
            ended.append(True)

    monkeypatch.setattr(composer, "stream", watched)
    growing = compose(composer, Session(), [Request(JOY, n_bars=30)], seed=2)
    next(growing)
    assert not ended

    growing.close()  # type: ignore[attr-defined]

    assert ended


def test_what_goes_on_shows_the_bars_that_are_there_already(composer: Composer) -> None:
    goes_on = Request(None, given=given(tune(3)), n_bars=2)
    taken_up = Request(JOY, given=given(tune(3), VARY))

    last = [[*compose(composer, Session(), [r], seed=1)][-1] for r in (goes_on, taken_up)]

    assert [growing.n_bars for growing in last] == [(5,), (3,)]


def test_a_request_that_cannot_be_met_is_a_value_error(composer: Composer) -> None:
    odd = given(score_of([(0, 5, 60, 64), (5, 5, 62, 64)], signatures=((0, 5, 4),)))

    with pytest.raises(ValueError, match="5 quarter notes a bar"):
        [*compose(composer, Session(), [Request(None, given=odd)], seed=1)]


def test_nothing_is_there_before_the_first_bar() -> None:
    assert Growing((None, None), (4, 4), 0, None).whole == []


def test_a_later_candidate_alone_is_watched_too_and_kept_when_stopped(composer: Composer) -> None:
    session, request = Session(), Request(JOY, n_bars=200, candidate=3)
    growing = compose(composer, session, [request], seed=9)

    first = next(growing)
    assert first.pieces[0] is not None and first.n_bars == (200,)
    session.stopping.set()
    *_, last = growing

    assert last.is_stopped and len(last.whole) == 1
