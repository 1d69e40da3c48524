from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from helpers.composing import JOY, TOKENIZER, band, bars_struck, given, in_file, struck, tune
from midi import score_of
from symusic.core import ScoreTick
from synthetic import make_checkpoint, make_response

from emomusic.compose import steerer
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.plan import ClipPlan
from emomusic.compose.primer import Primer, PrimerContext, read_primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.emotion import QUADRANT_CENTRES, CurvePoint, Emotion, EmotionCurve
from emomusic.music.attributes import measure
from emomusic.music.bars import Metre
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import ScoreError, dump_score, notes_of
from emomusic.music.smf import MidiFile
from emomusic.music.tokenizer import STEPS_PER_BEAT

TEXTS = TOKENIZER.vocabulary.texts


def clip_of(
    composer: Composer, music: Primer, emotion: Emotion | None = None, **asked: Any
) -> Clip:
    return next(composer.compose(Request(emotion, given=music, **asked), seed=1))


def plan_of(composer: Composer, music: Primer, emotion: Any = None, **asked: Any) -> ClipPlan:
    own = next(composer.stream([Request(emotion, given=music, **asked)], seed=1))
    assert isinstance(own, PartialClip)
    return own.plan


def primer(score: ScoreTick, **settings: Any) -> PrimerContext:
    return read_primer(given(score), TOKENIZER, **settings)


# what is kept


@pytest.mark.parametrize("emotion", [None, JOY])
def test_what_one_track_holds_stays(composer: Composer, emotion: Emotion | None) -> None:
    music = given(tune(5))
    clip = clip_of(composer, music, emotion, n_bars=3)
    whole = in_file(clip.score)
    assert whole.ticks_per_quarter == music.score.ticks_per_quarter
    assert list(whole.tracks)[:-1] == list(music.score.tracks)
    assert MidiFile.parse(clip.midi).tracks[:-1] == MidiFile.parse(music.midi).tracks
    assert bars_struck(clip.score, 20.0, 4) == {0, 1, 2} and (clip.n_given, clip.n_bars) == (5, 8)


@pytest.mark.parametrize("per_beat", [96, 384, 25])
def test_tracks_pedals_and_drums_stay_as_they_are(composer: Composer, per_beat: int) -> None:
    music = given(band(per_beat))
    whole = in_file(clip_of(composer, music, n_bars=2).score)
    assert whole.ticks_per_quarter == per_beat
    assert list(whole.tracks)[:3] == list(music.score.tracks)
    assert len(whole.tracks) == 4 and not whole.tracks[3].is_drum
    assert min(note.time for note in whole.tracks[3].notes) >= 15 * per_beat  # it rings so long
    assert bars_struck(whole, 15.0, 3) == {0, 1}
    varied = clip_of(composer, given(band(per_beat), VARY))
    assert (varied.n_given, varied.n_bars) == (0, 5) and len(varied.score.tracks) == 1
    assert bars_struck(varied.score, 0.0, 3) == set(range(5))


@pytest.mark.parametrize("use", (CONTINUE, VARY))
def test_given_music_is_not_changed_by_what_is_made_of_it(composer: Composer, use: str) -> None:
    for score in (band(), tune(3)):
        music = given(score, use)
        before = music.score.copy()
        clip_of(composer, music, n_bars=2)
        assert music.score == before and music.midi == dump_score(score)


# metre, key, tempo and length


@pytest.mark.parametrize(
    ("metre", "written"),
    [
        *((own, own) for own in ("4/4", "2/2", "4/8", "6/8", "9/8", "12/8", "6/16")),
        ("6/4", "3/4"), ("3/2", "3/4"), ("8/4", "4/4"), ("3/8", "6/8"), ("12/16", "6/16"),
        ("2/8", "2/4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("use", (CONTINUE, VARY))
def test_the_given_metre_holds(composer: Composer, metre: str, written: str, use: str) -> None:
    own, new = Metre.parse(metre), Metre.parse(written)
    length, n_given = own.quarters, 4 if use == CONTINUE else 0
    notes = [(bar * length, length / 2, 60 + bar, 60) for bar in range(4)]
    signature = (0, own.numerator, own.denominator)
    clip = clip_of(composer, given(score_of(notes, signatures=(signature,)), use), n_bars=2)
    assert clip.metre == new and clip.card()["time_signature"] == written
    assert clip.card()["given_time_signature"] == metre and clip.n_given == n_given
    start = n_given * length
    assert bars_struck(clip.score, start, new.quarters) == {0, 1}
    last = [s for s in in_file(clip.score).time_signatures if s.time <= start * 480][-1]
    assert (last.numerator, last.denominator) == (new.numerator, new.denominator)


def test_a_time_signature_beside_given_music_is_obeyed_or_refused(composer: Composer) -> None:
    says_4_4, says_nothing = (
        score_of([(float(beat), 0.5, 60 + beat % 7, 60) for beat in range(24)], signatures=own)
        for own in (((0, 4, 4),), ())
    )
    clip = clip_of(composer, given(says_4_4), n_bars=2, time_signature="6/8")
    assert (str(clip.metre), clip.n_given, clip.n_bars) == ("6/8", 6, 8)
    assert bars_struck(clip.score, 24.0, 3.0) == {0, 1}
    plan = plan_of(composer, given(says_4_4), time_signature="3/4")
    assert plan.metre.beats == 3 and plan.shown == ()
    for use in (CONTINUE, VARY):  # bars of music that says nothing are counted so
        plan = plan_of(composer, given(says_nothing, use), time_signature="3/4")
        assert plan.primer is not None and len(plan.primer.bars) == 8
    with pytest.raises(
        ScoreError, match="the music is in 4/4, and so is what varies it: it cannot be in 3/4"
    ):
        plan_of(composer, given(says_4_4, VARY), time_signature="3/4")


@pytest.mark.parametrize(("tonic", "is_minor"), [(0, False), (7, False), (9, True), (3, True)])
@pytest.mark.parametrize("use", (CONTINUE, VARY))
def test_the_key_holds(composer: Composer, use: str, tonic: int, is_minor: bool) -> None:
    music = given(tune(8, tonic=tonic, is_minor=is_minor), use)
    mode = "minor" if is_minor else "major"
    assert clip_of(composer, music, n_bars=2).key == f"{TONIC_NAMES[tonic]} {mode}"
    assert plan_of(composer, music, JOY).tonic == tonic
    other = plan_of(composer, music, tonic=6, is_major=is_minor)
    assert (other.tonic, other.is_major) == (6, is_minor)


def test_the_tempo_holds_unless_another_is_asked_for(composer: Composer) -> None:
    music, varied = (given(tune(4, tempo=93.4), use) for use in (CONTINUE, VARY))
    for own, emotion in ((music, None), (music, JOY), (varied, None)):
        assert plan_of(composer, own, emotion).tempo == pytest.approx(93.4, abs=0.1)
    for asked in ({"tempo": 70.0}, {"fixed": {"tempo": 70.0}}):
        score = clip_of(composer, music, n_bars=2, **asked).score
        times = [(t.time, round(t.qpm, 1)) for t in score.tempos]
        assert times == [(0, 93.4), (16 * 480, 70.0)]
    plain = next(composer.compose(Request(JOY, n_bars=4), seed=1))
    assert plan_of(composer, varied, JOY).tempo == plain.tempo


@pytest.mark.parametrize(("use", "n_bars"), [(CONTINUE, 8), (VARY, 5)])
def test_the_length_follows_from_the_use(composer: Composer, use: str, n_bars: int) -> None:
    assert plan_of(composer, given(tune(5), use)).n_bars == n_bars
    assert plan_of(composer, given(tune(5, tempo=120.0), use), seconds=8.0).n_bars == 4


def test_a_variation_is_moved_to_the_key_that_is_asked_for(composer: Composer) -> None:
    in_d, on = given(tune(4, tonic=2), VARY), given(tune(4, tonic=2))
    goes_on = plan_of(composer, on, tonic=7)
    assert goes_on.primer is not None and goes_on.tonic == goes_on.primer.tonic == 7
    plain, moved, told = (
        plan_of(composer, own, tonic=tonic)
        for own, tonic in ((in_d, None), (in_d, 7), (Primer(in_d.midi, VARY, tonic=4), None))
    )
    assert (plain.tonic, moved.tonic, told.tonic) == (2, 7, 4)
    bars = [plan.primer and plan.primer.bars for plan in (plain, moved, told)]
    assert bars[0] == bars[1] != bars[2]


def test_without_an_emotion_what_the_music_is_like_is_aimed_at(composer: Composer) -> None:
    plan = plan_of(composer, given(tune(4)), fixed={"register": 80.0})
    assert plan.targets == pytest.approx(measure(primer(tune(4)).like) | {"register": 80.0})


# what is refused


def test_other_metres_and_too_many_bars_are_refused(composer: Composer) -> None:
    for n_bars, metre, words in (
        (
            2,
            (5, 4),
            "music in 5/4 cannot be written, only in 4/4, 3/4, 2/4, 6/8, 9/8, 12/8; a time",
        ),
        (2, (7, 8), "music in 7/8 cannot be written"),
        (2, (1, 4), "music in 1/4 cannot be written"),
        (513, (4, 4), "the music has 513 bars, at most 512 can be taken up"),
    ):
        music = given(score_of([(bar * 4.0, 1.0, 60 + bar % 12, 60) for bar in range(n_bars)],
                               signatures=((0, *metre),)))  # fmt: skip
        with pytest.raises(ScoreError, match=f"^{words}"):
            clip_of(composer, music, n_bars=1)
    most = given(score_of([(bar * 4.0, 1.0, 60 + bar % 12, 60) for bar in range(512)]))
    assert clip_of(composer, most, n_bars=1).n_bars == 513


def test_a_primer_is_checked_when_it_is_made() -> None:
    midi = given(tune(2)).midi
    for own, words in (
        ((dump_score(score_of([])), VARY), "the file holds no notes"),
        ((midi, "like"), "given music is used to continue, vary, infill, got 'like'"),
        ((midi, CONTINUE, 12), r"tonic must be in \[0, 11\], got 12"),
        ((midi, CONTINUE, True), "tonic must be a whole number, got True"),
        ((midi, 5), "given music is used to continue, vary, infill, got 5"),
        (("none.mid", VARY), "^none.mid: cannot read the file: No such file"),
        ((Path(__file__), VARY), r"^.*test_compose_primer.py: not a MIDI file"),
        ((symusic.Score(480), VARY), "the file holds no notes"),
        ((symusic.Score(480, ttype="second"), VARY), "the file holds no notes"),
        ((None, VARY), "music must be a path, the bytes of a MIDI file or a symusic score"),
        (([midi], VARY), "music must be a path, the bytes"),
    ):
        with pytest.raises(ValueError, match=words):
            Primer(*own)


def test_music_is_taken_from_a_path_bytes_or_a_score_of_any_unit(tmp_path: Path) -> None:
    score = band(480)
    midi, path = dump_score(score), tmp_path / "a.mid"
    path.write_bytes(midi)
    for music in (path, str(path), midi, bytearray(midi), memoryview(midi), score):
        own = Primer(music, VARY, np.int8(3))  # type: ignore[arg-type]
        assert own == Primer(midi, VARY, 3) and hash(own) == hash(Primer(midi, VARY, 3))
        assert type(own.midi) is bytes and type(own.tonic) is int
        assert replace(own, use=CONTINUE).midi == midi
    for unit in ("quarter", "second"):
        moved = score.to(unit)
        before = moved.copy()
        found = Primer(moved, CONTINUE).score
        assert moved == before and struck(found) == struck(score)
        pedals = [pedal for track in found.tracks for pedal in track.pedals]
        assert [(pedal.time, pedal.duration) for pedal in pedals] == [(0, 6 * 480)]


# what the composer knows of it


def test_it_has_the_bars_in_c_of_the_key_that_is_found_or_told() -> None:
    home, away = primer(tune(4)), primer(tune(4, tonic=3))
    assert (home.tonic, away.tonic) == (0, 3) and home.is_major and away.is_major
    assert home.bars == away.bars and len(home.bars) == home.n_bars == 4
    texts = "ChordA_0:maj ChordB_0:maj Position_0 Pitch_48"
    assert " ".join(TEXTS[token] for token in home.bars[0][:4]) == texts
    assert (home.end, home.metre.beats, home.tempo) == (16.0, 4, pytest.approx(96.0, abs=0.01))
    minor, told = (primer(tune(4, is_minor=True), tonic=tonic) for tonic in (None, 7))
    assert told.tonic == 7 and not minor.is_major and told.bars != minor.bars


def test_what_comes_just_before_a_bar_line_begins_no_bar_at_the_end() -> None:
    found = primer(score_of([(0, 1, 60, 60), (3.98, 1, 62, 60), (7.98, 0.02, 64, 60)]))
    assert len(found.bars) == found.n_bars == 2 and found.end == 8.0
    assert TEXTS[found.bars[1][-4]] == f"Position_{4 * STEPS_PER_BEAT - 1}"


@pytest.mark.parametrize(
    ("notes", "metre", "n_bars"),
    [
        ([(0, 1, 60, 60), (17, 1, 64, 60)], (4, 4), 5),  # three silent bars
        ([(0, 1, 60, 60), (6, 1, 64, 60)], (6, 4), 4),  # the last half of a bar is silent
        ([(0, 1, 60, 60), (4, 1, 2, 60)], (4, 4), 2),  # too low to be written
        ([(0, 1, 1, 60), (4, 1, 127, 60)], (4, 4), 2),
    ],
)
def test_silent_bars_count(composer: Composer, notes: Any, metre: Any, n_bars: int) -> None:
    score = score_of(notes, signatures=((0, *metre),))
    found = primer(score)
    assert len(found.bars) == n_bars
    for use in (CONTINUE, VARY):
        clip = clip_of(composer, given(score, use), n_bars=n_bars + 1)
        start = found.end if use == CONTINUE else 0.0
        assert bars_struck(clip.score, start, found.metre.quarters) == set(range(n_bars + 1))


def test_the_last_sixteen_bars_say_what_it_is_like() -> None:
    slow = [(bar * 4.0, 1.0, 30, 20) for bar in range(40)]
    fast = [(160 + beat / 2, 0.5, 80, 100) for beat in range(16 * 8)]
    found = primer(score_of([*slow, *fast]), hear=lambda notes: f"{notes.pitch.max()}")
    assert set(found.like.notes.pitch.tolist()) == {80} and found.like.n_beats == 64.0
    assert len(found.bars) == 56 and found.quadrant == "80"


# what is composed


def test_what_is_heard_in_another_quadrant_is_not_shown_to_the_model(composer: Composer) -> None:
    music = given(tune(4))
    quadrant = composer.verifier.verdict(notes_of(music.score)).quadrant
    for name, point in QUADRANT_CENTRES.items():
        for curve in (None, EmotionCurve((CurvePoint(0, Emotion(*point)),))):
            plan = plan_of(composer, music, Emotion(*point), curve=curve)
            assert plan.primer is not None
            assert plan.shown == (plan.primer.bars if name == quadrant else ())
            assert any(f is not None for f in plan.follows) <= (name != quadrant)
    assert plan_of(composer, music).shown and not plan_of(composer, given(tune(4), VARY)).shown


@pytest.mark.parametrize("use", (CONTINUE, VARY))
def test_music_longer_than_the_context_is_taken_up(tmp_path: Path, use: str) -> None:
    make_checkpoint(tmp_path / "short", context=300)
    make_response().save(tmp_path / "short")
    composer = Composer(tmp_path / "short")
    first = next(composer.compose(Request(JOY, n_bars=40), seed=1))
    assert len(notes_of(first.score)) > 300 and bars_struck(first.score, 0.0, 4) == {*range(40)}
    clip = clip_of(composer, given(first.score, use), JOY, n_bars=40)
    start = 160.0 if use == CONTINUE else 0.0
    assert bars_struck(clip.score, start, 4) == set(range(40))
    if use == CONTINUE:
        assert struck(clip.score, 0.0, 160.0) == struck(first.score)


def test_a_variation_is_nearer_to_the_original_than_another_clip_is(
    composer: Composer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REPEAT_ONSET", "REPEAT_PITCH", "REPEAT_LENGTH", "REPEAT_VELOCITY"):
        monkeypatch.setattr(steerer, name, 8.0)  # a model of random weights follows
    original = struck(tune(8))

    def alike(**asked: Any) -> list[float]:
        """Return the shares of onsets and pitches that clips have in common with it."""
        request = Request(None, **asked)
        found = [struck(clip.score) for clip in composer.compose(request, seed=4, count=4)]
        assert original not in found and len({tuple(own) for own in found}) == 4
        return [len({*own} & {*original}) / len({*own} | {*original}) for own in found]

    assert min(alike(given=given(tune(8), VARY))) > 0.3
    assert max(alike(n_bars=8, tonic=0, tempo=96.0)) < 0.1
