from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path

import pytest
from helpers.composing import curve_of, given, struck, tune
from midi import score_of

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.generate import PartialClip
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.primer import USES
from emomusic.compose.request import VARY, Request
from emomusic.emotion import Emotion
from emomusic.model.int8.library import is_built
from emomusic.music.score import ScoreError, dump_score

JOY = Emotion(0.8, 0.6, "joy")
REQUESTS = (
    Request(JOY, n_bars=4, curve=curve_of((0, -0.6, 0.6), (4, 0.6, -0.6))),
    Request(None, given=given(tune(5)), n_bars=3),
    Request(JOY, given=given(tune(3, beats=3), VARY)),
    Request(JOY, n_bars=2, best_of=3),
    Request(JOY, n_bars=3, take=2, guidance=2.0),
)
FEW = REQUESTS[:2]
ENGINES = [("torch", 2)]
if is_built():
    ENGINES += [("int8", 1), ("int8", 3)]


@pytest.fixture(scope="module")
def composer(steered_checkpoint: Path) -> Composer:
    return Composer(steered_checkpoint)


@pytest.fixture(scope="module", params=ENGINES, ids=lambda p: f"{p[0]}-{p[1]}")
def any_composer(request: pytest.FixtureRequest, steered_checkpoint: Path) -> Composer:
    engine, threads = request.param
    return Composer(steered_checkpoint, engine=engine, threads=threads)


def parted(
    stream: Iterator[PartialClip | Clip],
) -> tuple[dict[tuple[int, int], list[PartialClip]], list[Clip]]:
    """Return the partials of each candidate in their order, and the clips."""
    partials, found = defaultdict(list), []
    for news in stream:
        if isinstance(news, Clip):
            found.append(news)
        else:
            partials[news.plan.index, news.plan.candidate].append(news)
    return dict(partials), found


def file_of(clip: Clip) -> bytes:
    return dump_score(clip.score)


def files(found: list[Clip]) -> dict[int, bytes]:
    return {clip.index: file_of(clip) for clip in found}


def first(composer: Composer, request: Request, n_bars: int) -> PartialClip:
    """Return the partial of a clip of which so many bars are written, and stop there."""
    stream = composer.stream([request], seed=1)
    for news in stream:
        is_first = isinstance(news, PartialClip) and news.plan.candidate == 0
        if is_first and news.n_written >= n_bars:
            stream.close()
            return news
    raise AssertionError("no such sketch")


def test_clips_are_those_that_are_composed_in_order(any_composer: Composer) -> None:
    composed = list(any_composer.compose_each(REQUESTS, seed=1, start=4, batch_size=3))
    for batch_size in (1, 32):
        _, found = parted(any_composer.stream(REQUESTS, seed=1, start=4, batch_size=batch_size))
        assert files(found) == files(composed)
        cards = {clip.index: clip.card() for clip in found}
        assert cards == {clip.index: clip.card() for clip in composed}


def test_sketches_grow_bar_by_bar(any_composer: Composer) -> None:
    partials, found = parted(any_composer.stream(REQUESTS, seed=1, batch_size=4))
    assert len(found) == len(REQUESTS)
    wanted = {(i, c) for i, request in enumerate(REQUESTS) for c in range(request.best_of)}
    assert set(partials) == wanted
    for grown in partials.values():
        assert grown[-1].is_whole and not any(partial.is_whole for partial in grown[:-1])
        for before, after in pairwise(grown):
            assert before.n_written < after.n_written
            assert before.segments == after.segments[: before.n_written]
    assert sum(len(grown) > 2 for grown in partials.values()) > 2


@pytest.mark.parametrize("at", [i for i, request in enumerate(REQUESTS) if request.best_of == 1])
@pytest.mark.parametrize("n_bars", [1, 2])
def test_what_is_stopped_is_what_was_to_stop_there(
    composer: Composer, at: int, n_bars: int
) -> None:
    partial = first(composer, REQUESTS[at], n_bars)
    settled = composer.settle(partial)
    assert settled.request.n_kept == (None if partial.is_whole else partial.n_written)
    assert settled.n_bars == settled.n_given + partial.n_written
    settings = parse_settings_file(ClipSpec.of(settled).to_json())
    (again,) = composer.compose(settings.request, seed=settings.seed, start=settings.index)
    assert file_of(again) == file_of(settled) and again.card() == settled.card()
    _, (streamed,) = parted(composer.stream([settings.request], seed=1))
    assert file_of(streamed) == file_of(settled)


def test_what_is_stopped_of_the_first_of_several_candidates_comes_back(composer: Composer) -> None:
    partial = first(composer, Request(JOY, n_bars=6, best_of=3), 2)
    assert partial.plan.candidate == 0 and not partial.is_whole
    settled = composer.settle(partial)
    (again,) = composer.compose(settled.request, seed=1)
    assert file_of(again) == file_of(settled) and again.card() == settled.card()


def test_a_part_is_as_it_is_in_the_whole(composer: Composer) -> None:
    whole = next(composer.compose(Request(JOY, n_bars=8), seed=1))
    for n_kept in (1, 5, 8, 12):
        request = Request(JOY, n_bars=None if n_kept > 8 else 8, seconds=None, n_kept=n_kept)
        (part,) = composer.compose(request, seed=1)
        if n_kept <= 8:
            assert struck(part.score) == struck(whole.score, 0.0, 4.0 * n_kept)
            assert part.targets == whole.targets and part.key == whole.key
        assert part.n_bars == n_kept


def test_more_bars_to_keep_than_there_are_keep_all(composer: Composer) -> None:
    long, short = (
        next(composer.compose(Request(JOY, seconds=6.0, n_kept=n), seed=1)) for n in (512, None)
    )
    assert file_of(long) == file_of(short)
    for use in USES:
        all_, many = (
            next(composer.compose(Request(None, given=given(tune(2), use), n_kept=n), seed=1))
            for n in (None, 512)
        )
        assert file_of(many) == file_of(all_)


def test_a_stream_that_is_closed_stops_and_another_may_begin(any_composer: Composer) -> None:
    wanted = files(list(any_composer.compose_each(FEW, seed=1)))
    taken: list[int] = []

    def requests() -> Iterator[Request]:
        for at in range(10_000):
            taken.append(at)
            yield FEW[at % 2]

    for n_news in (0, 7):
        stream = any_composer.stream(requests(), seed=1, batch_size=4)
        assert len(list(islice(stream, n_news))) == n_news
        stream.close()
        assert list(stream) == []
        assert len(taken) < 500
        _, found = parted(any_composer.stream(FEW, seed=1))
        assert files(found) == wanted


def test_a_request_that_cannot_be_met_stops_the_stream_alone(any_composer: Composer) -> None:
    odd = Request(JOY, given=given(score_of([(0, 1, 60, 60)], signatures=((0, 5, 4),))))
    wanted = files(list(any_composer.compose_each(FEW, seed=1)))
    for n_before in (0, 2):
        with pytest.raises(ScoreError, match="music with 5 quarter notes a bar"):
            list(any_composer.stream([*REQUESTS[:n_before], odd, *FEW], seed=1, batch_size=2))
        _, found = parted(any_composer.stream(FEW, seed=1))
        assert files(found) == wanted


def test_several_at_once_get_what_each_gets_alone(any_composer: Composer) -> None:
    def streamed(seed: int) -> dict[int, bytes]:
        return files(parted(any_composer.stream(FEW, seed=seed, batch_size=3))[1])

    def left(seed: int) -> dict[int, bytes]:
        stream = any_composer.stream(FEW, seed=seed, batch_size=3)
        list(islice(stream, 3))
        stream.close()
        return {}

    alone = [streamed(seed) for seed in range(2)]
    assert len({tuple(sorted(found.items())) for found in alone}) == 2
    with ThreadPoolExecutor(max_workers=5) as pool:
        running = [pool.submit(does, seed) for does in (streamed, left) for seed in range(2)]
        assert [task.result() for task in running] == [*alone, {}, {}]
