from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from helpers.composing import band, bars_struck, given, in_file, struck, tune
from midi import score_of
from symusic.core import ScoreTick
from synthetic import make_checkpoint, make_response

from emomusic.compose import steerer as echo
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.generate import PartialClip
from emomusic.compose.primer import USES, Primer, PrimerContext, join_scores, read_primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import QUADRANT_CENTRES, CurvePoint, Emotion, EmotionCurve
from emomusic.music.attributes import measure
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import ScoreError, dump_score, notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT, Tokenizer

JOY = Emotion(0.8, 0.6, "joy")
TOKENIZER = Tokenizer()
TEXTS = TOKENIZER.vocabulary.texts


@pytest.fixture(scope="module")
def composer(steered_checkpoint: Path) -> Composer:
    return Composer(steered_checkpoint)


def clip_of(
    composer: Composer,
    music: Primer,
    emotion: Emotion | None = None,
    *,
    seed: int = 1,
    **asked: Any,
) -> Clip:
    request = Request(emotion, given=music, **asked)
    return next(composer.compose(request, seed=seed))


def primer(score: ScoreTick, **settings: Any) -> PrimerContext:
    return read_primer(in_file(score), TOKENIZER, **settings)


def bare(score: ScoreTick) -> list[Any]:
    """Return all that the tracks of a score hold, as plain values."""
    return [
        (
            track.name,
            track.program,
            track.is_drum,
            [(n.time, n.duration, n.pitch, n.velocity) for n in track.notes],
            [(p.time, p.duration) for p in track.pedals],
            [(c.time, c.number, c.value) for c in track.controls],
            [(b.time, b.value) for b in track.pitch_bends],
        )
        for track in score.tracks
    ]


# what is kept


@pytest.mark.parametrize("emotion", [None, JOY])
def test_what_one_track_holds_stays_and_the_rest_follows_in_it(
    composer: Composer, emotion: Emotion | None
) -> None:
    music = given(tune(5))
    clip = clip_of(composer, music, emotion, n_bars=3)
    whole = in_file(clip.score)
    assert len(whole.tracks) == 1 and whole.ticks_per_quarter == music.score.ticks_per_quarter
    kept = whole.tracks[0].notes.filter(lambda note: note.time < 20 * 480, inplace=False)
    told = sorted((n.time, n.pitch, n.duration, n.velocity) for n in kept)
    wanted = sorted((n.time, n.pitch, n.duration, n.velocity) for n in music.score.tracks[0].notes)
    assert told == wanted
    assert bars_struck(whole, 20.0, 4) == {0, 1, 2}
    assert (clip.n_given, clip.n_bars) == (5, 8)


@pytest.mark.parametrize("per_beat", [96, 384, 25])
def test_tracks_pedals_and_drums_stay_as_they_are(composer: Composer, per_beat: int) -> None:
    music = given(band(per_beat))
    clip = clip_of(composer, music, n_bars=2)
    whole = in_file(clip.score)
    assert whole.ticks_per_quarter == per_beat
    assert bare(whole)[:3] == bare(music.score)
    assert len(whole.tracks) == 4 and not whole.tracks[3].is_drum
    assert min(note.time for note in whole.tracks[3].notes) >= 6 * per_beat
    assert bars_struck(whole, 6.0, 3) == {0, 1}


def test_given_music_is_not_changed_by_what_is_made_of_it(composer: Composer) -> None:
    for use in USES:
        for score in (band(), tune(3)):
            music = given(score, use)
            before = bare(music.score)
            clip_of(composer, music, n_bars=2)
            assert bare(music.score) == before and music.midi == dump_score(score)


def test_a_variation_holds_none_of_the_given_tracks(composer: Composer) -> None:
    clip = clip_of(composer, given(band(), VARY))
    assert (clip.n_given, clip.n_bars) == (0, 2) and len(clip.score.tracks) == 1
    assert bars_struck(clip.score, 0.0, 3) == {0, 1}


def test_tempos_and_metres_before_the_end_stay_and_later_ones_go() -> None:
    before = band()
    before.tempos.append(symusic.Tempo(7 * 96, 33.0))
    before.time_signatures.append(symusic.TimeSignature(9 * 96, 5, 4))
    added = score_of([(0, 1, 60, 60)], signatures=((0, 3, 4),), tempo=77.0)
    whole = join_scores(before, added, at=6.0)
    assert [(t.time, round(t.qpm, 2)) for t in whole.tempos] == [(0, 80), (288, 100), (576, 77)]
    assert [(s.time, s.numerator) for s in whole.time_signatures] == [(0, 3), (576, 3)]
    assert len(before.tempos) == 3 and len(before.tracks) == 3


def test_a_note_that_rings_on_ends_where_its_pitch_is_taken_up() -> None:
    before = score_of([(0, 1, 60, 60), (3, 9, 64, 61), (3, 9, 67, 62)])
    added = score_of([(1, 1, 64, 80), (2, 3, 64, 81)])
    whole = in_file(join_scores(before, added, at=4.0))
    notes = sorted((n.time / 480, n.duration / 480, n.pitch) for n in whole.tracks[0].notes)
    assert notes == [(0, 1, 60), (3, 2, 64), (3, 9, 67), (5, 1, 64), (6, 3, 64)]


# metre, key and tempo


@pytest.mark.parametrize(
    ("metre", "beats", "n_bars"),
    [((4, 4), 4, 3), ((2, 2), 4, 3), ((3, 4), 3, 3), ((6, 8), 3, 3), ((2, 4), 2, 3),
     ((12, 8), 3, 3), ((4, 8), 2, 3)],
)  # fmt: skip
@pytest.mark.parametrize("use", USES)
def test_the_metre_of_the_given_music_holds(
    composer: Composer, metre: tuple[int, int], beats: int, n_bars: int, use: str
) -> None:
    length = metre[0] * 4 / metre[1]
    notes = [(bar * length, 1.0, 60 + bar, 60) for bar in range(n_bars)]
    clip = clip_of(composer, given(score_of(notes, signatures=((0, *metre),)), use), n_bars=2)
    assert clip.request.beats_per_bar == beats and clip.card()["time_signature"] == f"{beats}/4"
    start = n_bars * length if use == CONTINUE else 0.0
    assert bars_struck(clip.score, start, beats) == {0, 1}
    signature = [s for s in in_file(clip.score).time_signatures if s.time == start * 480][-1]
    assert (signature.numerator, signature.denominator) == (beats, 4)
    assert clip.n_given == (n_bars if use == CONTINUE else 0)


def test_the_last_metre_is_the_one_that_holds(composer: Composer) -> None:
    notes = [(float(beat), 0.5, 60 + beat, 60) for beat in range(14)]
    clip = clip_of(composer, given(score_of(notes, signatures=((0, 4, 4), (8, 3, 4)))), n_bars=2)
    assert (clip.request.beats_per_bar, clip.n_given) == (3, 4)
    assert bars_struck(clip.score, 14.0, 3) == {0, 1}


@pytest.mark.parametrize(("tonic", "is_minor"), [(0, False), (7, False), (9, True), (3, True)])
@pytest.mark.parametrize("use", USES)
def test_the_key_holds_unless_another_is_asked_for(
    composer: Composer, use: str, tonic: int, is_minor: bool
) -> None:
    music = given(tune(8, tonic=tonic, is_minor=is_minor), use)
    mode = "minor" if is_minor else "major"
    assert clip_of(composer, music, n_bars=2).key == f"{TONIC_NAMES[tonic]} {mode}"
    assert clip_of(composer, music, JOY, n_bars=2).key.startswith(f"{TONIC_NAMES[tonic]} ")
    other = clip_of(composer, music, n_bars=2, tonic=6, is_major=is_minor)
    assert other.key == f"Gb {'major' if is_minor else 'minor'}"


def test_the_tempo_holds_unless_another_is_asked_for(composer: Composer) -> None:
    music = given(tune(4, tempo=93.4))
    for emotion in (None, JOY):
        clip = clip_of(composer, music, emotion, n_bars=2)
        assert clip.tempo == pytest.approx(93.4, abs=0.1)
        assert {round(t.qpm, 1) for t in clip.score.tempos} == {93.4}
    for asked in ({"tempo": 70.0}, {"fixed": {"tempo": 70.0}}):
        clip = clip_of(composer, music, n_bars=2, **asked)
        times = [(t.time, round(t.qpm, 1)) for t in clip.score.tempos]
        assert clip.tempo == 70.0 and times == [(0, 93.4), (16 * 480, 70.0)]


def test_a_variation_for_an_emotion_takes_the_emotions_tempo(composer: Composer) -> None:
    music = given(tune(4, tempo=93.4), VARY)
    assert clip_of(composer, music).tempo == pytest.approx(93.4, abs=0.1)
    plain = next(composer.compose(Request(JOY, n_bars=4), seed=1))
    assert clip_of(composer, music, JOY).tempo == plain.tempo


@pytest.mark.parametrize(("use", "n_bars"), [(CONTINUE, 8), (VARY, 5)])
def test_where_no_length_is_said_it_follows_from_the_use(
    composer: Composer, use: str, n_bars: int
) -> None:
    clip = clip_of(composer, given(tune(5), use))
    assert clip.n_bars - clip.n_given == n_bars
    timed = clip_of(composer, given(tune(5, tempo=120.0), use), seconds=8.0)
    assert timed.n_bars - timed.n_given == 4


def test_without_an_emotion_what_the_music_is_like_is_aimed_at(composer: Composer) -> None:
    music = given(tune(4))
    clip = clip_of(composer, music, n_bars=2, fixed={"register": 80.0})
    wanted = measure(primer(tune(4)).like) | {"register": 80.0}
    assert clip.targets == pytest.approx(wanted)


# what is refused


@pytest.mark.parametrize(("metre", "told"), [((5, 4), "5"), ((7, 8), "3.5"), ((1, 4), "1")])
def test_other_metres_are_refused(composer: Composer, metre: tuple[int, int], told: str) -> None:
    notes = [(float(beat), 1.0, 60, 60) for beat in range(8)]
    music = given(score_of(notes, signatures=((0, *metre),)))
    with pytest.raises(ScoreError, match=rf"^music with {told} quarter notes a bar cannot be "
                                         r"taken up, only with 2, 3, 4 or 6$"):  # fmt: skip
        clip_of(composer, music)
    assert clip_of(composer, given(tune(2))).n_bars == 10  # the composer is as good as before


def test_as_many_bars_as_can_be_taken_up_are(composer: Composer) -> None:
    def long(n_bars: int) -> Primer:
        return given(score_of([(bar * 4.0, 1.0, 60 + bar % 12, 60) for bar in range(n_bars)]))

    assert clip_of(composer, long(512), n_bars=1).n_bars == 513
    with pytest.raises(ScoreError, match=r"^the music has 513 bars, at most 512 can be taken up$"):
        clip_of(composer, long(513), n_bars=1)


def test_a_file_without_music_is_refused() -> None:
    for use in USES:
        with pytest.raises(ScoreError, match="the file holds no notes"):
            Primer(dump_score(score_of([])), use)


# what the composer knows of it


def test_a_theme_has_the_bars_in_c(composer: Composer) -> None:
    home, away = primer(tune(4)), primer(tune(4, tonic=3))
    assert (home.tonic, away.tonic) == (0, 3) and home.is_major and away.is_major
    assert home.bars == away.bars and len(home.bars) == home.n_bars == 4
    assert [TEXTS[token] for token in home.bars[0][:4]] == [
        "ChordA_0:maj", "ChordB_0:maj", "Position_0", "Pitch_48"
    ]  # fmt: skip
    assert (home.end, home.beats_per_bar, home.tempo) == (16.0, 4, pytest.approx(96.0, abs=0.01))


def test_a_tonic_that_is_asked_for_is_the_themes() -> None:
    asked = primer(tune(4, is_minor=True), tonic=7)
    assert asked.tonic == 7 and primer(tune(4, is_minor=True)).is_major is False
    assert asked.bars != primer(tune(4, is_minor=True)).bars


def test_what_comes_just_before_a_bar_line_begins_no_bar_at_the_end() -> None:
    late = score_of([(0, 1, 60, 60), (3.99, 1, 62, 60), (7.99, 1, 64, 60)])
    found = primer(late)
    assert len(found.bars) == found.n_bars == 2 and found.end == 8.0
    assert TEXTS[found.bars[1][-4]] == f"Position_{4 * STEPS_PER_BEAT - 1}"


@pytest.mark.parametrize(
    ("notes", "metre", "n_bars"),
    [
        ([(0, 1, 60, 60), (17, 1, 64, 60)], (4, 4), 5),  # three silent bars
        ([(0, 1, 60, 60), (6, 1, 64, 60)], (12, 8), 4),  # the last half of a bar is silent
        ([(0, 1, 60, 60), (4, 1, 2, 60)], (4, 4), 2),  # too low to be written
        ([(0, 1, 1, 60), (4, 1, 127, 60)], (4, 4), 2),
    ],
)
def test_silent_bars_count(composer: Composer, notes: Any, metre: Any, n_bars: int) -> None:
    score = score_of(notes, signatures=((0, *metre),))
    assert len(primer(score).bars) == n_bars
    for use in USES:
        clip = clip_of(composer, given(score, use), n_bars=n_bars + 1)
        beats = clip.request.beats_per_bar
        start = primer(score).end if use == CONTINUE else 0.0
        assert bars_struck(clip.score, start, beats) == set(range(n_bars + 1))


def test_the_last_sixteen_bars_say_what_it_is_like() -> None:
    slow = [(bar * 4.0, 1.0, 30, 20) for bar in range(40)]
    fast = [(160 + beat / 2, 0.5, 80, 100) for beat in range(16 * 8)]
    found = primer(score_of([*slow, *fast]))
    assert set(found.like.notes.pitch.tolist()) == {80} and found.like.n_beats == 64.0
    assert len(found.bars) == 56


# what is composed


def test_what_is_heard_in_another_quadrant_is_not_shown_to_the_model(composer: Composer) -> None:
    music = given(tune(4))
    quadrant = composer.verifier.verdict(notes_of(music.score)).quadrant
    for name, point in QUADRANT_CENTRES.items():
        for curve in (None, EmotionCurve((CurvePoint(0, Emotion(*point)),))):
            request = Request(Emotion(*point), given=music, curve=curve)
            partial = next(composer.stream([request], seed=1))
            assert isinstance(partial, PartialClip)
            assert partial.plan.shows_primer == (name == quadrant)
            assert partial.plan.primer is not None
            head = partial.script.bars[0].head
            assert (head.count(head[0]) > 1) == (name == quadrant)
            assert any(f is not None for f in partial.plan.follows) <= (name != quadrant)
    free = next(composer.stream([Request(None, given=music)], seed=1))
    assert isinstance(free, PartialClip) and free.plan.shows_primer


@pytest.mark.parametrize("use", USES)
def test_music_longer_than_the_context_is_taken_up(tmp_path: Path, use: str) -> None:
    make_checkpoint(tmp_path / "short", context=300)
    make_response().save(tmp_path / "short")
    composer = Composer(tmp_path / "short")
    first = next(composer.compose(Request(JOY, n_bars=40), seed=1))
    assert len(notes_of(first.score)) > 300
    clip = clip_of(composer, given(first.score, use), JOY, n_bars=40)
    start = 160.0 if use == CONTINUE else 0.0
    assert bars_struck(clip.score, start, 4) == set(range(40))
    if use == CONTINUE:
        assert struck(clip.score, 0.0, 160.0) == struck(first.score)


@pytest.fixture
def led(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lead bars so strongly along others that a model of random weights follows."""
    for name in ("REPEAT_ONSET", "REPEAT_PITCH", "REPEAT_LENGTH", "REPEAT_VELOCITY"):
        monkeypatch.setattr(echo, name, 8.0)


def alike(one: list[tuple[float, int]], other: list[tuple[float, int]]) -> float:
    """Return the share of onsets with their pitches that two clips have in common."""
    return len({*one} & {*other}) / len({*one} | {*other})


@pytest.mark.usefixtures("led")
def test_a_variation_is_nearer_to_the_original_than_another_clip_is(composer: Composer) -> None:
    original = struck(tune(8))
    varied, unrelated = (
        [struck(clip.score) for clip in composer.compose(request, seed=4, count=4)]
        for request in (
            Request(None, given=given(tune(8), VARY)),
            Request(None, n_bars=8, tonic=0, tempo=96.0),
        )
    )
    assert all(clip != original for clip in varied) and len({tuple(clip) for clip in varied}) == 4
    assert min(alike(clip, original) for clip in varied) > 0.3
    assert max(alike(clip, original) for clip in unrelated) < 0.1


@pytest.mark.usefixtures("led")
def test_a_continuation_in_another_mood_is_led_along_what_was_given(composer: Composer) -> None:
    music = given(tune(16))
    heard = composer.verifier.verdict(notes_of(music.score)).quadrant
    other = next(Emotion(*point) for q, point in QUADRANT_CENTRES.items() if q != heard)
    known = {(onset % 4, pitch) for onset, pitch in struck(music.score)}

    def common(**asked: Any) -> float:
        request = Request(other, given=music, n_bars=12, **asked)
        found = [struck(c.score, 64.0) for c in composer.compose(request, seed=1, count=4)]
        return float(np.mean([(o % 4, p) in known for clip in found for o, p in clip]))

    assert common() > 2 * common(steering=False)


def test_a_variation_is_moved_to_the_key_that_is_asked_for(composer: Composer) -> None:
    def known(given: Primer, tonic: int | None = None) -> tuple[int, tuple[tuple[int, ...], ...]]:
        request = Request(None, given=given, tonic=tonic)
        plan = next(composer.stream([request], seed=1)).plan  # type: ignore[union-attr]
        assert plan.primer is not None
        return plan.tonic, plan.primer.bars

    in_d = given(tune(4, tonic=2), VARY)
    assert known(in_d)[0] == 2
    assert known(in_d, 7) == (7, known(in_d)[1])
    told = Primer(in_d.midi, VARY, tonic=4)
    assert known(told)[0] == 4 and known(told)[1] != known(in_d)[1]


def test_what_is_continued_counts_as_being_in_the_key_that_is_asked_for() -> None:
    midi = given(tune(2)).midi
    assert Primer(midi, CONTINUE).known_tonic(5) == 5
    assert Primer(midi, CONTINUE, tonic=3).known_tonic(5) == 3
    assert Primer(midi, VARY).known_tonic(5) is None
    with pytest.raises(ValueError, match=r"tonic must be in \[0, 11\], got 12"):
        Primer(midi, CONTINUE, tonic=12)
