"""Clips while they are being written: what a partial sounds like, is worth, and becomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, curve_of, given, ids, struck, tune
from midi import score_of

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.plan import mean_tempo, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import VARY, Request
from emomusic.emotion import Emotion
from emomusic.model.int8.library import is_built
from emomusic.music.attributes import ATTRIBUTE_NAMES, measure, passage_of
from emomusic.music.score import ScoreError, dump_score, notes_of, seconds_at
from emomusic.music.tokenizer import STEPS_PER_BEAT

CURVE = curve_of((0, -0.6, -0.6), (4, 0.6, 0.6))
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


@pytest.fixture(scope="module", params=ENGINES, ids=lambda p: f"{p[0]}-{p[1]}")
def any_composer(request: pytest.FixtureRequest, steered_checkpoint: Path) -> Composer:
    engine, threads = request.param
    return Composer(steered_checkpoint, engine=engine, threads=threads)


def partial(
    composer: Composer, n_written: int, emotion: Emotion | None = JOY, **asked: Any
) -> PartialClip:
    """Return a partial of four bars, of which some are written: a note each, and two chords."""
    request = Request(emotion, **{"n_bars": 4, "tonic": 0, **asked})
    primer = None if request.given is None else read_primer(request.given.score, composer.tokenizer)
    plan = plan_clip(request, composer.mapper, seed=1, index=2, primer=primer)
    bars = [
        ids(f"ChordA_0:maj ChordB_7:7 Position_{step} Pitch_{pitch} Velocity_63 Duration_1.0.12")
        for step, pitch in ((0, 60), (12, 62), (24, 64), (6, 65))[:n_written]
    ]
    return PartialClip(plan, bars)


def test_what_is_written_sounds_in_its_key(composer: Composer) -> None:
    places = [(0.0, 60), (5.0, 62), (10.0, 64), (12.5, 65)]
    for tonic, shift, told in ((0, 0, "C,G7"), (2, 2, "D,A7"), (6, -6, "Gb,Db7")):
        clip = composer.settle(partial(composer, 4, tonic=tonic))
        assert struck(clip.score) == [(onset, pitch + shift) for onset, pitch in places]
        assert clip.chords == " ".join([told] * 4)
        asked = composer.settle(partial(composer, 3, tonic=tonic, chords="Am F"))
        assert asked.chords == asked.card()["chords"] == "Am F Am"


def test_a_part_sounds_as_it_will_in_the_whole(composer: Composer) -> None:
    whole = notes_of(composer.score(partial(composer, 4, curve=CURVE)))
    for n in (1, 2, 3):
        part = notes_of(composer.score(partial(composer, n, curve=CURVE)))
        for own, other in zip(part.columns, whole.columns, strict=True):
            np.testing.assert_array_equal(own, other[:n])


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({}, [0]),
        ({"curve": CURVE, "tempo": 80.0}, [0]),
        ({"curve": curve_of((2, -0.6, -0.6), (4, 0.6, 0.6))}, [0, 2, 3]),
        ({"curve": CURVE, "beats_per_bar": 3}, [0, 1, 2, 3]),
    ],
)
def test_bars_last_as_their_tempi_say(composer: Composer, asked: Any, changes: list[int]) -> None:
    own = partial(composer, 4, **asked)
    score, beats = composer.score(own), own.plan.request.beats_per_bar
    assert [t.time for t in score.tempos] == [bar * beats * STEPS_PER_BEAT for bar in changes]
    lasts = np.diff(seconds_at(score, np.arange(5) * beats * STEPS_PER_BEAT))
    np.testing.assert_allclose(lasts, 60 * beats / np.array(own.plan.tempi), rtol=1e-4)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_a_clip_says_what_is_there_and_where_it_stopped(composer: Composer, n: int) -> None:
    own = partial(composer, n, curve=CURVE, best_of=3)
    assert own.is_whole == (n == 4)
    assert partial(composer, n, n_kept=3).is_whole == (n == 3)
    clip = composer.settle(own)
    assert (clip.index, clip.seed, clip.checkpoint) == (2, 1, composer.name)
    assert (clip.n_bars, clip.n_given, clip.request.n_bars) == (n, 0, 4)
    stopped = (clip.request.n_kept, clip.request.best_of)
    assert stopped == ((n, 1) if n < 4 else (None, 3))
    assert clip.targets == own.plan.targets and clip.tempo == mean_tempo(own.plan.tempi[:n])
    assert tuple(clip.achieved) == ATTRIBUTE_NAMES
    notes = notes_of(clip.score)
    assert clip.achieved == measure(passage_of(notes, n_beats=4.0 * n, tempo=clip.tempo))
    assert clip.verdict == composer.verifier.verdict(notes)


def test_the_mode_is_that_aimed_at_or_else_heard(composer: Composer) -> None:
    for is_major in (False, True):
        mode = "major" if is_major else "minor"
        assert composer.settle(partial(composer, 4, is_major=is_major)).key == f"C {mode}"
        own = partial(composer, 2, chords="C")  # that which sounds on the tonic
        third = ids(f"Pitch_{63 + is_major}")
        bars = [own.segments[0], [*own.segments[0][:3], *third, *own.segments[0][4:]]]
        assert composer.settle(replace(own, segments=bars)).key == f"C {mode}"
    free = composer.settle(partial(composer, 4, None))
    assert free.key == f"C {'major' if free.achieved['mode'] >= 0 else 'minor'}"


def test_what_was_given_comes_first_but_is_not_measured(composer: Composer) -> None:
    music, alone = given(tune(3)), partial(composer, 4)
    own = partial(composer, 4, given=music)
    clip, written = composer.settle(own), notes_of(composer.score(alone))
    assert struck(clip.score, 0.0, 12.0) == struck(music.score)
    assert struck(clip.score, 12.0) == struck(composer.score(alone))
    assert (clip.n_bars, clip.n_given) == (7, 3)
    assert clip.achieved == measure(passage_of(written, n_beats=16.0, tempo=clip.tempo))
    assert clip.verdict == composer.verifier.verdict(notes_of(clip.score))
    varied = composer.settle(partial(composer, 4, given=given(tune(3), VARY)))
    assert (varied.n_bars, varied.n_given) == (4, 0) and len(notes_of(varied.score)) == 4


# streams


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


def files(found: list[Clip]) -> dict[int, tuple[bytes, Any]]:
    return {clip.index: (dump_score(clip.score), clip.card()) for clip in found}


def first(composer: Composer, request: Request, n_bars: int) -> PartialClip:
    """Return the partial of a clip of which so many bars are written, and stop there."""
    for news in composer.stream([request], seed=1):
        if isinstance(news, PartialClip) and len(news.segments) >= n_bars:
            return news
    raise AssertionError("no such partial")


def test_clips_are_those_that_are_composed_and_grow_bar_by_bar(any_composer: Composer) -> None:
    composed = files(list(any_composer.compose_each(REQUESTS, seed=1, start=4, batch_size=3)))
    partials, found = parted(any_composer.stream(REQUESTS, seed=1, start=4, batch_size=32))
    assert files(found) == composed and len(found) == len(REQUESTS)
    wanted = {(4 + i, c) for i, own in enumerate(REQUESTS) for c in range(own.best_of)}
    assert set(partials) == wanted
    for grown in partials.values():
        assert grown[-1].is_whole and not any(own.is_whole for own in grown[:-1])
        for before, after in pairwise(grown):
            n = len(before.segments)
            assert n < len(after.segments) and before.segments == after.segments[:n]
    assert sum(len(grown) > 2 for grown in partials.values()) > 2


@pytest.mark.parametrize("asked", [*REQUESTS[:3], REQUESTS[4], Request(JOY, n_bars=6, best_of=3)])
def test_what_is_stopped_comes_back(composer: Composer, asked: Request) -> None:
    own = first(composer, asked, 2)
    settled = composer.settle(own)
    assert settled.request.n_kept == (None if own.is_whole else len(own.segments))
    assert settled.n_bars == settled.n_given + len(own.segments)
    spec = parse_settings_file(ClipSpec.of(settled).to_json())
    again = list(composer.compose(spec.request, seed=spec.seed, start=spec.index))
    assert files(again) == files([settled])
    assert files(parted(composer.stream([spec.request], seed=1))[1]) == files([settled])


def test_bars_that_are_kept_are_those_of_the_whole(composer: Composer) -> None:
    def clip(**asked: Any) -> Clip:
        return next(composer.compose(Request(JOY, **asked), seed=1))

    whole = clip(n_bars=8)
    for n_kept in (1, 5, 8):
        part = clip(n_bars=8, n_kept=n_kept)
        assert struck(part.score) == struck(whole.score, 0.0, 4.0 * n_kept)
        assert (part.targets, part.key, part.n_bars) == (whole.targets, whole.key, n_kept)
    for asked in ({"seconds": 6.0}, {"given": given(tune(2), VARY)}):
        every, many = (clip(**asked, n_kept=n_kept) for n_kept in (None, 512))
        assert dump_score(many.score) == dump_score(every.score)


def test_a_stream_that_is_closed_or_cannot_go_on_stops_alone(any_composer: Composer) -> None:
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
        assert list(stream) == [] and len(taken) < 500
        assert files(parted(any_composer.stream(FEW, seed=1))[1]) == wanted
    odd = Request(JOY, given=given(score_of([(0, 1, 60, 60)], signatures=((0, 5, 4),))))
    for n_before in (0, 2):
        with pytest.raises(ScoreError, match="music with 5 quarter notes a bar"):
            list(any_composer.stream([*REQUESTS[:n_before], odd, *FEW], seed=1, batch_size=2))
        assert files(parted(any_composer.stream(FEW, seed=1))[1]) == wanted


def test_several_at_once_get_what_each_gets_alone(any_composer: Composer) -> None:
    def streamed(seed: int) -> dict[int, tuple[bytes, Any]]:
        return files(parted(any_composer.stream(FEW, seed=seed, batch_size=3))[1])

    def left(seed: int) -> dict[int, tuple[bytes, Any]]:
        stream = any_composer.stream(FEW, seed=seed, batch_size=3)
        list(islice(stream, 3))
        stream.close()
        return {}

    alone = [streamed(seed) for seed in range(2)]
    assert alone[0] != alone[1]
    with ThreadPoolExecutor(max_workers=5) as pool:
        running = [pool.submit(does, seed) for does in (streamed, left) for seed in range(2)]
        assert [task.result() for task in running] == [*alone, {}, {}]
