"""Bars that are written anew: what stands around them, and what is locked in them, stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from helpers.composing import JOY, TOKENIZER, band, struck, tune
from midi import score_of
from symusic.core import ScoreTick
from typer.testing import CliRunner

from emomusic.cli import app
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer, PartialClip
from emomusic.compose.parse import ClipSpec, parse_settings_file, spec_from_options
from emomusic.compose.primer import LOCKS, Primer, parse_bars
from emomusic.compose.request import INFILL, Request
from emomusic.compose.token_plan import to_script
from emomusic.emotion import Emotion
from emomusic.music.attributes import BASS, MELODY, RIGHT_HAND, parts_of
from emomusic.music.score import ScoreError, dump_score, notes_of, parse_score
from emomusic.music.smf import NOTE_OFF, NOTE_ON, MidiFile, events_of

Event = tuple[int, int, bytes]


def filled(
    composer: Composer, music: ScoreTick | bytes, at: str = "", lock: str = "", **asked: Any
) -> Clip:
    given = Primer(music, INFILL, at=at, lock=lock)
    seed = asked.pop("seed", 1)
    return next(
        composer.compose(Request(asked.pop("emotion", None), given=given, **asked), seed=seed)
    )


def events(track: bytes) -> list[Event]:
    return [(event.tick, event.status, event.data) for event in events_of(track)]


def is_note(event: Event) -> bool:
    return event[1] & 0xF0 in (NOTE_ON, NOTE_OFF) and event[1] & 0x0F != 9


def new_notes(clip: Clip) -> list[tuple[float, int]]:
    own = parse_score(clip.midi)
    own.tracks = [track for track in own.tracks if track.name == "emomusic"]
    return struck(own)


def song(n_bars: int = 12, *, beats: int = 4, lead: float = 0.0) -> ScoreTick:
    """Return a melody over held chords, after an upbeat of so many beats."""
    notes = [(beat, 0.5, 70 + int(beat * 5) % 7, 70) for beat in np.arange(0, lead, 0.5)]
    for bar in range(n_bars):
        start = lead + bar * beats
        notes += [(start, beats * 1.0, pitch, 50) for pitch in (41 + bar % 5, 53, 57)]
        notes += [
            (start + at / 2, 0.5, 67 + (3 * bar + 2 * at) % 12, 80) for at in range(beats * 2)
        ]
    signatures = ((0, round(lead), 4), (lead, beats, 4)) if lead else ((0, beats, 4),)
    return score_of(notes, signatures=signatures)


# what stays


@pytest.mark.parametrize("emotion", [None, JOY, Emotion(-0.7, -0.6)])
@pytest.mark.parametrize(
    ("make", "beats", "at"),
    [
        (lambda: song(), 4, "3-4"),
        (lambda: song(), 4, "1-2"),
        (lambda: song(), 4, "11-12"),
        (lambda: song(7, beats=3), 3, "2"),
        (lambda: band(480), 3, "2"),
        (lambda: band(25), 3, "1-2"),
    ],
)
def test_all_but_the_notes_of_these_bars_stays(
    composer: Composer, make: Callable[[], ScoreTick], beats: int, at: str, emotion: Emotion | None
) -> None:
    music = dump_score(make())
    clip = filled(composer, music, at, emotion=emotion)
    (first, last), before, after = (
        parse_bars(at)[0],
        MidiFile.parse(music),
        MidiFile.parse(clip.midi),
    )
    begin, end = ((bar * beats * before.division) for bar in (first - 1, last))
    assert len(after.tracks) == len(before.tracks) + 1
    for old, new in zip(map(events, before.tracks), map(events, after.tracks), strict=False):
        assert [event for event in old if event in new] == new
        for event in set(old) - set(new):
            assert is_note(event)
            assert event[1] & 0xF0 == NOTE_OFF or not event[2][1] or begin <= event[0] < end
        inside = [e for e in new if is_note(e) and e[1] & 0xF0 == NOTE_ON and e[2][1]]
        assert not [e for e in inside if begin <= e[0] < end]
    n_bars = last - first + 1
    begin_beat = (first - 1.0) * beats
    bars = {int((onset - begin_beat + 1e-6) // beats) for onset, _ in new_notes(clip)}
    assert bars == {*range(n_bars)}
    assert clip.n_bars - clip.n_given == n_bars and clip.heard_new and clip.heard_given
    assert clip.score == parse_score(clip.midi)


def test_what_rings_into_the_bars_rings_on_and_what_is_new_ends_with_them(
    composer: Composer,
) -> None:
    notes = [(float(beat), 1.0, 60 + beat % 5, 70) for beat in range(24)]
    clip = filled(composer, score_of([*notes, (6.0, 8.0, 40, 70)]), "3-4")
    whole = notes_of(parse_score(clip.midi))
    held = whole.where(whole.pitch == 40)
    assert 8.0 in held.duration.tolist()
    own = parse_score(clip.midi).tracks[-1]
    assert all(note.time >= 8 * 480 and note.end <= 16 * 480 for note in own.notes)
    by_pitch: dict[int, int] = {}
    for note in sorted(own.notes, key=lambda note: note.time):
        assert note.time >= by_pitch.get(note.pitch, 0)
        by_pitch[note.pitch] = note.end


@pytest.mark.parametrize("lock", [*LOCKS, "melody,bass", "left, chords", " Right "])
@pytest.mark.parametrize("at", ["", "4-7"])
def test_what_is_locked_stays_note_for_note(composer: Composer, lock: str, at: str) -> None:
    music = song()
    clip = filled(composer, music, at, lock, emotion=JOY)
    own, (first, last) = notes_of(music), parse_bars(at)[0] if at else (1, 12)
    begin, end = 4.0 * (first - 1), 4.0 * last
    parts, locks = parts_of(own, np.arange(13) * 4.0), lock.lower()
    stays = (own.onset < begin) | (own.onset >= end)
    for name, bit in (("melody", MELODY), ("right", RIGHT_HAND), ("bass", BASS)):
        stays |= (parts & bit > 0) & (name in locks)
    stays |= (parts & RIGHT_HAND == 0) & ("left" in locks)
    old, new = (dump_score(music), clip.midi)
    kept = parse_score(new)
    kept.tracks = [track for track in kept.tracks if track.name != "emomusic"]
    wanted = own.where(stays)
    stayed = struck(kept) if any(track.notes for track in kept.tracks) else []
    assert stayed == [*zip(wanted.onset.tolist(), wanted.pitch.tolist(), strict=True)]
    added = new_notes(clip)
    assert not {*added} & {*stayed}
    assert all(begin <= onset < end for onset, _ in added)
    if "chords" in locks:
        found = filled(composer, old, at, lock, emotion=JOY, seed=2)
        assert found.chords == clip.chords and new != found.midi
    n_bars = last - first + 1
    assert (clip.n_bars, clip.n_given) == (12, 12 - n_bars)


def test_several_ranges_are_one_after_another_what_one_is(composer: Composer) -> None:
    music = dump_score(song())
    clip = filled(composer, music, "2, 5-6,9", emotion=JOY, seed=3)
    assert clip.request.given == Primer(music, INFILL, at="2,5-6, 9")
    assert {int(onset // 4) + 1 for onset, _ in new_notes(clip)} == {2, 5, 6, 9}
    assert (clip.n_bars, clip.n_given) == (12, 8) and len(clip.chords.split()) == 4
    assert clip.card()["at"] == "2, 5-6, 9" and clip.card()["given"] == "infill"
    again = parse_settings_file(ClipSpec.of(clip).to_json()).request
    assert again == clip.request
    request = Request(JOY, given=Primer(music, INFILL, at="2,5-6,9"), best_of=2)
    for size in (1, 3):
        found = [*composer.compose(request, seed=7, count=3, batch_size=size)]
        assert [own.index for own in found] == [0, 1, 2]
        alone = [*composer.compose(request, seed=7, start=1)]
        assert alone[0].midi == found[1].midi and len({own.midi for own in found}) == 3
    last = [own for own in composer.stream([request], seed=7) if isinstance(own, Clip)]
    assert [own.midi for own in last] == [found[0].midi]


def test_what_is_stopped_has_the_bars_so_far_and_the_old_ones(composer: Composer) -> None:
    music = song()
    request = Request(None, given=Primer(music, INFILL, at="3-8"))
    stream = composer.stream([request], seed=1)
    partial = next(own for own in stream if isinstance(own, PartialClip) and len(own.segments) == 2)
    assert composer.score(partial) == composer.settle(partial).score
    clip = composer.settle(partial)
    assert {int(onset // 4) + 1 for onset, _ in new_notes(clip)} == {3, 4}
    assert struck(clip.score, 16.0) == struck(music, 16.0)


def test_what_is_new_is_played_within_its_bars_and_its_pedal_is_lifted_there(
    composer: Composer,
) -> None:
    for lock in ("", "melody"):
        clip = filled(composer, song(), "3-6", lock, emotion=JOY, performance=1.0)
        own = parse_score(clip.midi).tracks[-1]
        times = [note.time for note in own.notes]
        ends = [note.end for note in own.notes]
        assert min(times) >= 8 * 480 and max(ends) <= 24 * 480
        assert any(time % 40 for time in times), "what is played lies beside the grid"
        pedal = [(c.time, c.value) for c in own.controls if c.number == 64 and c.time > 8 * 480]
        assert max(value for _, value in pedal) >= 64
        assert pedal[-1][1] < 64 and pedal[-1][0] <= 24 * 480
        assert struck(clip.score, 24.0) == struck(song(), 24.0)
        assert clip.sheet and struck(clip.sheet) != struck(clip.score)


@pytest.mark.parametrize(
    ("at", "emotion", "n_before", "n_behind", "ends"),
    [
        ("1-2", None, 0, 8, False), ("3-4", None, 2, 8, False), ("9-10", None, 8, 2, False),
        ("11-12", None, 10, 0, True), ("9-10", Emotion(-0.7, -0.6), 0, 0, False),
        ("11-12", Emotion(-0.7, -0.6), 0, 0, True),
    ],
)  # fmt: skip
def test_both_neighbours_are_shown_and_only_the_last_bars_are_an_ending(
    composer: Composer, at: str, emotion: Emotion | None, n_before: int, n_behind: int, ends: bool
) -> None:
    request = Request(emotion, given=Primer(song(), INFILL, at=at))
    partial = next(composer.stream([request], seed=1))
    assert isinstance(partial, PartialClip)
    plan = partial.plan
    if emotion is not None:  # of another quadrant than is heard
        plan = replace(plan, primer=replace(plan.primer, quadrant="Q1"))
    tokens = plan.to_tokens(composer._tables)
    assert (len(tokens.before), len(tokens.behind)) == (n_before, n_behind)
    script = to_script(tokens, TOKENIZER.vocabulary, composer._grammar, context=2048)
    says_end = TOKENIZER.vocabulary.id_of("Ending_1") in script.bars[-1].head
    assert plan.ends is says_end is ends


# which bars


@pytest.mark.parametrize(
    ("score", "at", "beats"),
    [
        (song(6, lead=1.0), "0", (0.0, 1.0)),
        (song(6, lead=1.0), "1", (1.0, 5.0)),
        (song(6, lead=2.0), "2-3", (6.0, 14.0)),
        (tune(5, beats=3), "5", (12.0, 15.0)),
        (score_of([(b / 2, 0.5, 60 + b % 7, 60) for b in range(36)], signatures=((0, 6, 8),)),
         "2-3", (3.0, 9.0)),
        (score_of([(b / 2, 0.5, 60 + b % 7, 60) for b in range(24)], signatures=((0, 3, 8),)),
         "3-4", (3.0, 6.0)),
        (score_of([(b + 4.0, 1.0, 60 + b % 7, 60) for b in range(24)]), "3", (8.0, 12.0)),
    ],
)  # fmt: skip
def test_bars_are_those_that_the_file_counts(
    composer: Composer, score: ScoreTick, at: str, beats: tuple[float, float]
) -> None:
    clip = filled(composer, score, at)
    onsets = [onset for onset, _ in new_notes(clip)]
    assert beats[0] <= min(onsets) and max(onsets) < beats[1]
    old = [own for own in struck(score) if not beats[0] <= own[0] < beats[1]]
    assert [own for own in struck(clip.score) if not beats[0] <= own[0] < beats[1]] == old


@pytest.mark.parametrize(
    ("at", "lock", "words"),
    [
        ("13", "", "the music has bars 1 to 12, not 13"),
        ("0-2", "", "the music has bars 1 to 12"),
        ("3-99", "", "the music has bars 1 to 12"),
        ("8-5", "", "bars must be such as 5-8 or 5-8, 13, got '8-5'"),
        ("five", "", "bars must be such as"),
        ("1,,3", "", "bars must be such as"),
        ("1-2,3", "", "ranges of bars must rise with bars between them"),
        ("5,1", "", "ranges of bars must rise"),
        ("", "", r"music to infill needs bars \(at\) or parts that stay \(lock\)"),
        ("1", "drums", "lock must be of melody, right, left, bass, chords, got 'drums'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    composer: Composer, at: str, lock: str, words: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{words}"):
        filled(composer, song(), at, lock)


def test_bars_keep_number_tempo_and_metre(composer: Composer) -> None:
    for asked in ({"n_bars": 3}, {"seconds": 9.0}, {"tempo": 80.0}, {"fixed": {"tempo": 80.0}}):
        with pytest.raises(
            ValueError, match=r"^bars that are written anew keep their number, tempo"
        ):
            filled(composer, song(), "3-4", emotion=JOY, **asked)
    with pytest.raises(ScoreError, match=r"^the music is in 4/4"):
        filled(composer, song(), "3-4", time_signature="3/4")
    mixed = song(7)
    mixed.time_signatures.append(symusic.TimeSignature(16 * 480, 5, 4))
    with pytest.raises(ScoreError, match=r"^bars 4-5 are not all whole bars in 4/4"):
        filled(composer, mixed, "4-5")
    assert filled(composer, mixed, "1-2").n_given > 0


def test_options_say_it_and_are_refused_where_they_mean_nothing(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "tune.mid").write_bytes(dump_score(song()))
    run = [
        "generate",
        "--checkpoint",
        str(tiny_checkpoint),
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    told = CliRunner().invoke(
        app, [*run, "--infill", str(tmp_path / "tune.mid"), "--at", "5-6", "--lock", "left"]
    )
    line = json.loads(told.stdout.splitlines()[0])
    assert told.exit_code == 0 and (line["at"], line["lock"], line["bars"]) == ("5-6", "left", 12)
    for said in ({"at": "5"}, {"lock": "left"}, {"vary": str(tmp_path / "tune.mid"), "at": "5"}):
        with pytest.raises(ValueError, match=r"is about music to --infill$"):
            spec_from_options({"emotion": "joy"} | said)
    both = dict.fromkeys(("infill", "vary"), str(tmp_path / "tune.mid"))
    with pytest.raises(ValueError, match="one of them"):
        spec_from_options(both | {"at": "5"})
