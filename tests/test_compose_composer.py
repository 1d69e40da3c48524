"""Clips: the same again, as asked, the best of several; while they are written; what follows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers.composing import JOY, band, bars_struck, curve_of, given, ids, struck, tune
from midi import score_of

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.derive import MOVES, continue_clip, shift_clip, shift_emotion, vary_clip
from emomusic.compose.parse import ClipSpec, parse_key, parse_settings_file
from emomusic.compose.plan import mean_tempo, plan_clip
from emomusic.compose.primer import read_primer
from emomusic.compose.request import VARY, Request
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.model.checkpoint import CheckpointError
from emomusic.model.int8.library import is_built
from emomusic.music.attributes import ATTRIBUTE_NAMES, measure, passage_of
from emomusic.music.chords import parse_chords
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import ScoreError, dump_score, notes_of, seconds_at
from emomusic.music.tokenizer import STEPS_PER_BEAT

RISING = curve_of((0, -0.6, -0.6), (8, 0.6, 0.6))


def clips(
    composer: Composer, request: Request | None = None, *, run: Any = None, **asked: Any
) -> list[Clip]:
    request = request or Request(asked.pop("emotion", JOY), **asked)
    return list(composer.compose(request, **{"seed": 1, **(run or {})}))


def data_of(found: list[Clip]) -> list[bytes]:
    return [dump_score(clip.score) for clip in found]


def bars_of(composer: Composer, **asked: Any) -> list[list[int]]:
    """Return the ids of each bar but for lengths, which a note of a later bar may cut short."""
    (clip,) = clips(composer, **asked)
    lengths = set(composer.tokenizer.vocabulary.kind_ids("Duration").tolist())
    bars = composer.tokenizer.encode(clip.score)
    return [[token for token in bar if token not in lengths] for bar in bars]


# the same clip


def test_a_clip_is_the_same_whatever_is_composed_with_it(composer: Composer) -> None:
    request = Request(JOY, n_bars=4)
    full = data_of(clips(composer, request, run={"count": 11, "batch_size": 8}))
    assert len(set(full)) == 11
    for start, batch_size in ((0, 3), (0, 11), (5, 1), (8, 2)):
        run = {"start": start, "count": 11 - start, "batch_size": batch_size}
        part = clips(composer, request, run=run)
        assert data_of(part) == full[start:]
        assert [clip.index for clip in part] == list(range(start, 11))
    assert data_of(clips(composer, request, run={"count": 2, "seed": 2})) != full[:2]


def test_each_request_is_as_if_alone(composer: Composer, steered_checkpoint: Path) -> None:
    curve = curve_of((0, -0.6, -0.6), (3, 0.6, 0.6))
    requests = [
        Request(JOY, n_bars=10),  # enough for bars that come back
        Request(None, n_bars=9, guidance=2.0),
        Request(JOY, n_bars=6, steering=False),
        Request(None, n_bars=3, per_bar={"register": [45.0, 80.0, 45.0]}, fixed={"mode": 0.3}),
        Request(Emotion(-0.5, -0.5), n_bars=3, time_signature="3/4", best_of=2),
        Request(JOY, seconds=9.0, tonic=11, is_major=False),
        Request(curve.mean(6), curve=curve, n_bars=6),
        Request(JOY, given=given(tune(6)), n_bars=3),
        Request(None, given=given(tune(4, beats=3, tonic=5), VARY)),
        Request(None, given=given(band()), n_bars=2),
    ]
    several, done = Composer(steered_checkpoint, threads=3), list[int]()
    found = list(composer.compose_each(requests, seed=1, batch_size=4, progress=done.append))
    assert data_of(list(several.compose_each(requests, seed=1))) == data_of(found)
    assert done == [1] * len(requests) and [clip.index for clip in found] == [*range(10)]
    for i, request in enumerate(requests):
        (alone,) = clips(composer, request, run={"start": i})
        assert data_of([found[i]]) == data_of([alone]) and found[i].card() == alone.card()


@pytest.mark.parametrize("curve", [None, RISING])
def test_a_take_has_the_plan_and_other_notes(
    composer: Composer, curve: EmotionCurve | None
) -> None:
    found = [clips(composer, curve=curve, n_bars=8, take=take)[0] for take in (0, 1, 2**31 - 1)]
    assert len(set(data_of(found))) == 3 and found[2].card()["take"] == 2**31 - 1

    def plan(clip: Clip) -> Any:
        tempos = [(t.time, t.mspq) for t in clip.score.tempos]
        return clip.targets, clip.key, clip.tempo, tempos

    assert plan(found[0]) == plan(found[1]) == plan(found[2])


def test_a_curve_of_one_point_is_the_emotion(composer: Composer) -> None:
    for bar, asked in ((2.5, {"n_bars": 5, "take": 1}), (300.0, {"seconds": 13.0})):
        stays = curve_of((bar, JOY.valence, JOY.arousal))
        (plain,), (moved,) = clips(composer, **asked), clips(composer, curve=stays, **asked)
        assert data_of([moved]) == data_of([plain])
        assert moved.targets == pytest.approx(plain.targets, rel=1e-12)
        assert (moved.key, moved.tempo) == (plain.key, plain.tempo)


# what is asked for is there


@pytest.mark.parametrize(("n_bars", "beats"), [(1, 3), (2, 4), (16, 3)])
def test_a_clip_has_the_bars_asked_for(composer: Composer, n_bars: int, beats: int) -> None:
    for clip in clips(composer, run={"count": 2}, n_bars=n_bars, time_signature=f"{beats}/4"):
        assert bars_struck(clip.score, 0.0, beats) == set(range(n_bars))
        assert clip.n_bars == n_bars and clip.score.time_signatures[0].numerator == beats


def test_tempo_key_and_chords_asked_for_are_those_of_the_clip(composer: Composer) -> None:
    for clip in clips(composer, run={"count": 3}, n_bars=2, tempo=93.0, tonic=2, is_major=False):
        (tempo,) = clip.score.tempos
        assert tempo.qpm == pytest.approx(93.0, abs=0.01)
        assert (clip.tempo, clip.key) == (93.0, "D minor")
        assert clip.targets["tempo"] == clip.achieved["tempo"] == 93.0
    for tonic in (None, 0, 7):
        (clip,) = clips(composer, n_bars=5, tonic=tonic, chords="Am F | C,G")
        assert clip.chords == "Am F C,G Am F"
        assert tonic is None or clip.key.split()[0] == TONIC_NAMES[tonic]
    (free,) = clips(composer, n_bars=5)
    assert len(parse_chords(free.chords)) == 5 and free.request.chords is None


def test_guidance_and_what_is_asked_bar_by_bar_hold_for_their_bars(composer: Composer) -> None:
    def bars(**settings: Any) -> list[list[int]]:
        return bars_of(composer, n_bars=8, steering=False, **settings)

    plain, short, long = bars(guidance=1.0), bars(guidance=4.0, guided_bars=3), bars(guidance=4.0)
    assert short[:3] == long[:3] != plain[:3] and short[3:] != long[3:]
    assert bars(guidance=4.0, guided_bars=0) == plain
    low, rises = (bars(per_bar={"register": [45.0] * 4 + [late] * 4}) for late in (45.0, 80.0))
    assert low[:4] == rises[:4] and low[4:] != rises[4:]


# the best of several


def merit(composer: Composer, clip: Clip, curve: EmotionCurve | None) -> float:
    """Return how near what is heard lies to JOY, or each half to its part of a curve."""
    if curve is None:
        heard = clip.verdict
        away = np.hypot(heard.valence - JOY.valence, heard.arousal - JOY.arousal)
        return float(heard.probabilities["Q1"] - 0.1 * away)
    notes, found = notes_of(clip.score), []
    for start in (0, 16):
        half = notes.where((notes.onset >= start) & (notes.onset < start + 16))
        own, asked = composer.verifier.verdict(half), curve.at(start / 4 + 2)
        found.append(np.hypot(own.valence - asked.valence, own.arousal - asked.arousal))
    return -float(np.mean(found))


@pytest.mark.parametrize("curve", [None, curve_of((0, -0.6, 0.6), (8, 0.6, -0.6))])
def test_the_best_of_several_is_the_one_that_is_heard_best(
    composer: Composer, curve: EmotionCurve | None
) -> None:
    request = Request(JOY, curve=curve, n_bars=8, best_of=4)
    best = clips(composer, request, run={"count": 3, "batch_size": 1})
    assert len(set(data_of(best))) == 3
    for index in range(3):
        news = list(composer.stream([request], seed=1, start=index))
        wholes = [own for own in news if isinstance(own, PartialClip) and own.is_whole]
        found = [merit(composer, composer.settle(own), curve) for own in wholes]
        (clip,) = [own for own in news if isinstance(own, Clip)]
        assert data_of([clip]) == data_of([best[index]])
        assert len(found) == 4 and merit(composer, clip, curve) == pytest.approx(max(found))


def test_steering_brings_clips_nearer(composer: Composer) -> None:
    def away(**asked: Any) -> float:
        requests = [
            Request(None, n_bars=8, tonic=0, fixed={"register": r, "velocity_mean": v}, **asked)
            for r, v in ((50.0, 90.0), (76.0, 45.0))
        ]
        return sum(
            abs(clip.achieved[name] - value)
            for clip in composer.compose_each(requests, seed=1)
            for name, value in clip.targets.items()
        )

    assert away() < 0.7 * away(steering=False)


# what is refused

RUN = ("seed", "count", "start", "batch_size")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("seed", -1, r"in \[0, 9223372036854775807\], got -1"),
        ("count", 0, r"in \[1, "),
        ("start", -2, r"in \[0, "),
        ("batch_size", 0, r"in \[1, "),
        ("seed", 2**63, r"in \[0, "),
        *((name, "3", "a whole number, got '3'") for name in RUN),
        *((name, 1.5, "a whole number, got 1.5") for name in RUN),
        *((name, True, "a whole number, got True") for name in RUN),
        *((name, np.True_, "a whole number, got True") for name in RUN),
        *((name, None, "a whole number, got None") for name in RUN),
    ],
)
def test_a_run_out_of_range_is_refused(
    composer: Composer, name: str, value: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be {words}"):
        clips(composer, run={name: value})


def test_a_run_of_a_table_is_plain_and_what_is_no_request_is_refused(composer: Composer) -> None:
    run = {
        "seed": np.int64(3),
        "count": np.int8(2),
        "start": np.array(4),
        "batch_size": np.uint16(1),
    }
    found = clips(composer, n_bars=np.int64(1), fixed={"register": np.float32(60)}, run=run)
    plain = {name: int(value) for name, value in run.items()}
    again = clips(composer, n_bars=1, fixed={"register": 60.0}, run=plain)
    cards = [json.dumps(clip.card()) for clip in found]
    assert cards == [json.dumps(clip.card()) for clip in again]
    assert [ClipSpec.of(clip).to_json() for clip in found] == [
        ClipSpec.of(clip).to_json() for clip in again
    ]
    wrong: tuple[Any, ...] = ("joy", None, JOY, {"emotion": "joy"})
    for request in wrong:
        with pytest.raises(ValueError, match=r"^request must be a Request, such as Request\(find_"):
            composer.compose(request, seed=1)
        with pytest.raises(ValueError, match=r"^request must be a Request, such as"):
            list(composer.compose_each([request], seed=1))
    with pytest.raises(
        ValueError, match=r"^requests must be a list or the like of them, got Request"
    ):
        composer.compose_each(Request(JOY), seed=1)  # type: ignore[arg-type]


PARTS = ("config.json", "tokenizer.json", "tables.json", "mapper.json", "verifier.safetensors",
         "model-01-of-01.safetensors")  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_or_damaged_part_is_told_in_one_line(own_checkpoint: Path, part: str) -> None:
    path = own_checkpoint / part
    damages = [
        path.read_bytes()[: path.stat().st_size // 2],
        b"",
        b"{}",
        b"[1, 2]",
        b"\x80\x04\x95",
    ]
    if part == "tables.json":
        bins: list[dict[str, Any]] = [
            {"attributes": ["tempo"]}, {"attributes": ["colour"] * 22}, {"attributes": None},
            {"edges": [[0.5] * 3] * 22, "n_bins": 4}, {"edges": [[float("nan")] * 11] * 22},
            {"edges": [["a"] * 11] * 22}, {"edges": None},
        ]  # fmt: skip
        content = json.loads(path.read_text())
        damages += [json.dumps({**content, **changes}).encode() for changes in bins]
    for damage in (*damages, None):
        path.unlink() if damage is None else path.write_bytes(damage)
        with pytest.raises(CheckpointError) as caught:
            Composer(own_checkpoint)
        assert "\n" not in str(caught.value)


def test_parts_of_others_are_refused(composer: Composer) -> None:
    for change, words in (
        ({"vocab_size": 9999}, "tokenizer and weights do not belong together"),
        ({"context": 255}, "the context must be at least 256, got 255"),
    ):
        engine: Any = SimpleNamespace(config=replace(composer.engine.config, **change))
        with pytest.raises(CheckpointError, match=words):
            Composer(composer.folder, engine=engine)


# A program in which the registry has one attribute more than when the checkpoint was trained.
ONE_MORE = """
import importlib.util, sys
from pathlib import Path

spec = importlib.util.find_spec("emomusic.music.attributes")
module = importlib.util.module_from_spec(spec)
source = Path(spec.origin).read_text(encoding="utf-8")
mark = ")  # fmt: skip\\nATTRIBUTE_NAMES"
assert mark in source
own = '    Attribute("colour", "notes", 0, 9, "ours", "Black keys.", lambda p: len(p.notes)),\\n'
sys.modules[spec.name] = module
exec(compile(source.replace(mark, own + mark), spec.origin, "exec"), module.__dict__)

from emomusic.compose.request import Request
from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion

composer = Composer(Path(sys.argv[1]))
(clip,) = composer.compose(Request(Emotion(0.8, 0.6), n_bars=4, fixed={"register": 60}), seed=1)
print("colour" in clip.targets, clip.achieved["colour"] > 0, len(clip.card()["achieved"]))
try:
    list(composer.compose(Request(None, fixed={"colour": 3}), seed=1))
except ValueError as error:
    print(error)
"""


def test_one_more_attribute_is_measured(steered_checkpoint: Path) -> None:
    command = [sys.executable, "-c", ONE_MORE, str(steered_checkpoint)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert told[0] == f"False True {len(ATTRIBUTE_NAMES) + 1}"
    assert told[1].startswith("the checkpoint was trained without colour; it can be asked for temp")


# what can be made of a clip

HERE = Emotion(0.8, 0.3)


@pytest.fixture(scope="module")
def clip(composer: Composer) -> Clip:
    request = Request(HERE, n_bars=3, best_of=3, fixed={"register": 62.0})
    return next(composer.compose(request, seed=3))


def test_a_clip_goes_on_with_what_it_carries_or_is_told(clip: Clip) -> None:
    same, other = (continue_clip(clip, 2, emotion=own) for own in (None, Emotion(-1, -1)))
    assert (same.emotion, same.n_bars, same.best_of) == (HERE, 2, 3)
    assert other.emotion == Emotion(-1, -1)
    for request in (same, other):
        assert request.continues and request.given is not None
        assert request.given.tonic == request.tonic == parse_key(clip.key)[0]
        assert request.fixed == {"register": 62.0}


def test_along_a_curve_it_goes_on_from_the_end(clip: Clip) -> None:
    curve = curve_of((0, 0.5, 0.5), (3, -0.5, -0.4))
    moving = replace(clip, request=replace(clip.request, emotion=curve.mean(3), curve=curve))
    assert continue_clip(moving, 2).emotion == curve.points[-1].emotion
    assert continue_clip(moving, 2).curve is None
    assert vary_clip(moving, take=1).curve == curve
    moved = shift_clip(moving, "calmer")
    assert moved.curve is not None and moved.emotion == moved.curve.mean(3)
    assert [p.emotion.arousal for p in moved.curve.points] == pytest.approx([0.1, -0.8])


def test_a_variation_has_the_plan_of_what_was_kept(clip: Clip, composer: Composer) -> None:
    varied = next(composer.compose(vary_clip(clip, take=4), seed=clip.seed, start=clip.index))
    for name in ("targets", "tempo", "key", "n_bars"):
        assert getattr(varied, name) == getattr(clip, name)
    assert data_of([varied]) != data_of([clip])


def test_a_move_is_a_step_from_the_emotion_asked_for_within_the_plane(clip: Clip) -> None:
    for move, (valence, arousal) in MOVES.items():
        request = shift_clip(clip, move)
        assert request.emotion is not None and not request.continues
        assert request.emotion.valence == pytest.approx(min(0.8 + valence, 1.0))
        assert request.emotion.arousal == pytest.approx(0.3 + arousal)
        assert (request.best_of, request.is_major) == (3, None)
    assert shift_emotion(Emotion(0.0, -0.9), "calmer") == Emotion(0.0, -1.0)
    assert shift_emotion(Emotion(-0.9, 0.0), "sadder") == Emotion(-1.0, 0.0)
    free = replace(clip, request=replace(clip.request, emotion=None, best_of=1))
    with pytest.raises(ValueError, match="composed for no emotion"):
        shift_clip(free, "happier")
    assert continue_clip(free, 2).emotion is None


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
    primer = None if request.given is None else read_primer(request.given, composer.tokenizer)
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
        ({"curve": CURVE, "time_signature": "3/4"}, [0, 1, 2, 3]),
    ],
)
def test_bars_last_as_their_tempi_say(composer: Composer, asked: Any, changes: list[int]) -> None:
    own = partial(composer, 4, **asked)
    score, beats = composer.score(own), own.plan.metre.beats
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
        with pytest.raises(ScoreError, match="music in 5/4 cannot be written"):
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
