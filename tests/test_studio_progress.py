"""Composing for one person: growing, stopping, leaving."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.composing import given, tune

import emomusic.studio.progress as own
from emomusic.compose.composer import Composer
from emomusic.compose.request import VARY, Request
from emomusic.emotion import Emotion
from emomusic.music.score import dump_score
from emomusic.studio.progress import Progress, compose
from emomusic.studio.session import Session

JOY = Emotion(0.8, 0.6, "joy")


@pytest.fixture(autouse=True)
def every_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "EVERY_S", 0.0)


def scores(progress: Progress) -> list[bytes]:
    return [dump_score(piece.score) for piece in progress.whole]


def test_a_piece_grows_bar_by_bar_into_the_clip_of_its_seed(tiny_composer: Composer) -> None:
    request = Request(JOY, n_bars=20)
    grown = [*compose(tiny_composer, Session(), [request], seed=9, start=3)]
    heights = [piece.n_bars for progress in grown for piece in progress.pieces if piece is not None]
    (clip,) = tiny_composer.compose(request, seed=9, start=3)
    assert heights == sorted(heights) and heights[0] < heights[-1] == 20
    assert [progress.is_over for progress in grown] == [False] * (len(grown) - 1) + [True]
    assert not grown[-1].is_stopped and scores(grown[-1]) == [dump_score(clip.score)]


def test_variations_are_those_of_the_seed_and_are_heard_once_they_are_whole(
    tiny_composer: Composer,
) -> None:
    request = Request(JOY, n_bars=2, best_of=2)
    *growing, last = compose(tiny_composer, Session(), [request] * 3, seed=1)
    clips = tiny_composer.compose(request, seed=1, count=3)
    assert scores(last) == [dump_score(clip.score) for clip in clips]
    for progress in growing:
        assert all(piece.n_bars == 2 for piece in progress.whole) and len(progress.whole) < 3


def test_what_is_there_when_somebody_stops_is_kept_and_heard(tiny_composer: Composer) -> None:
    session = Session()
    stream = compose(tiny_composer, session, [Request(JOY, n_bars=30)], seed=2)
    first = next(stream)
    session.stopping.set()
    *_, last = stream
    (piece,) = last.whole
    assert first.n_bars == (30,)
    assert last.is_over and last.is_stopped
    assert 1 <= piece.n_bars < 30
    assert piece.clip is not None and piece.verdict == piece.clip.verdict


def test_a_later_candidate_alone_is_watched_too_and_kept_when_stopped(
    tiny_composer: Composer,
) -> None:
    session, request = Session(), Request(JOY, n_bars=200, candidate=3)
    growing = compose(tiny_composer, session, [request], seed=9)
    assert next(growing).pieces[0] is not None
    session.stopping.set()
    *_, last = growing
    assert last.is_stopped and len(last.whole) == 1


def test_who_stops_one_session_stops_no_other(tiny_composer: Composer) -> None:
    mine, yours = Session(), Session()
    here = compose(tiny_composer, mine, [Request(JOY, n_bars=12)], seed=2)
    there = compose(tiny_composer, yours, [Request(JOY, n_bars=12)], seed=3)
    next(here), next(there)
    mine.stopping.set()
    *_, my_last = here
    *_, your_last = there
    assert my_last.is_stopped and not your_last.is_stopped
    assert your_last.whole[0].n_bars == 12


def test_who_leaves_stops_the_engine(
    tiny_composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []
    stream = tiny_composer.stream

    def watched(*arguments: object, **named: object) -> Iterator[object]:
        try:
            yield from stream(*arguments, **named)  # type: ignore[arg-type]
        finally:
            ended.append(True)

    monkeypatch.setattr(tiny_composer, "stream", watched)
    growing = compose(tiny_composer, Session(), [Request(JOY, n_bars=30)], seed=2)
    next(growing)
    assert not ended
    growing.close()  # type: ignore[attr-defined]
    assert ended


@pytest.mark.parametrize(
    ("request_", "n_bars"),
    [
        (Request(None, given=given(tune(3)), n_bars=2), 5),
        (Request(JOY, given=given(tune(3), VARY)), 3),
    ],
    ids=["goes on", "taken up"],
)
def test_bars_that_are_there_already_are_shown_where_a_piece_goes_on(
    tiny_composer: Composer, request_: Request, n_bars: int
) -> None:
    for progress in compose(tiny_composer, Session(), [request_], seed=1):
        assert progress.n_bars in ((n_bars,), (request_.n_bars,))
    assert progress.n_bars == (n_bars,)
