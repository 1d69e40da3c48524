"""Composed MIDI as sequencers and notation programs take it: hands, key, metre, chords, length."""

from __future__ import annotations

import io

import mido
import numpy as np
import pretty_midi
import pytest
from helpers.composing import JOY, tune
from hypothesis import given, settings
from hypothesis import strategies as st
from midi import score_of
from symusic.core import ScoreTick

from emomusic.compose.composer import Composer
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.music.bars import Metre
from emomusic.music.chords import parse_chords
from emomusic.music.key import Signature, signature_of
from emomusic.music.notes import LEFT, RIGHT, hands_of
from emomusic.music.score import dump_score, notes_of, parse_score
from emomusic.music.smf import (
    KEY_SIGNATURE,
    MARKER,
    MidiFile,
    continue_midi,
    events_of,
    meta,
    metas,
    piano_midi,
)

music21 = pytest.importorskip("music21")


def two_hands(metre: Metre, n_bars: int = 4) -> ScoreTick:
    """Return eighths of the right hand over a note a bar of the left."""
    size = metre.quarters
    notes = [(bar * size, size, 40 + bar, 60) for bar in range(n_bars)]
    notes += [(at / 2, 0.5, 72 + at % 8, 80) for at in range(round(n_bars * size * 2))]
    sign = (0, metre.numerator, metre.denominator)
    return score_of(notes, signatures=(sign,), tempo=90.0)


def ends_of(midi: bytes) -> set[int]:
    return {[*events_of(track)][-1].tick for track in MidiFile.parse(midi).tracks}


@pytest.mark.parametrize(
    ("key", "named", "metre", "chords", "spelled"),
    [
        ("C major", "C", "4/4", "C Am Dbdim,G7 N", "C Am C#dim G7 N.C."),
        ("Gb minor", "F#m", "3/4", "Gbm D,Db7 Gbm Bm7b5", "F#m D C#7 F#m Bm7b5"),
        ("Db minor", "C#m", "6/8", "Dbm Ab7 Dbm Eb", "C#m G#7 C#m D#"),
        ("Ab minor", "G#m", "2/4", "Abm Eb7 B Gb", "G#m D#7 B F#"),
        ("Eb minor", "Ebm", "12/8", "Ebm Bb7 B Gb", "Ebm Bb7 Cb Gb"),
        ("A minor", "Am", "9/8", "Am Abdim,E7 Am Am", "Am G#dim E7 Am"),
        ("Bb major", "Bb", "3/8", "Bb Eb Eb Ab", "Bb Eb Ab"),
        ("F# major", "F#", "2/2", "Gb Db7 B F", "F# C#7 B E#"),
    ],
)
def test_programs_read_hands_key_metre_tempo_chords_and_length(
    key: str, named: str, metre: str, chords: str, spelled: str
) -> None:
    own = Metre.parse(metre)
    score, end = two_hands(own), round(4 * own.quarters * 480)
    signature = signature_of(key)
    data = piano_midi(
        score, n_beats=4 * own.quarters, signature=signature, chords=parse_chords(chords)
    )
    file = mido.MidiFile(file=io.BytesIO(data))
    assert (file.type, file.ticks_per_beat, ends_of(data)) == (1, 480, {end})
    assert [track.name for track in file.tracks] == ["", "Right hand", "Left hand"]
    said = {kind: [m for m in file.tracks[0] if m.type == kind] for kind in
            ("key_signature", "time_signature", "set_tempo", "marker")}  # fmt: skip
    assert [m.key for m in said["key_signature"]] == [named]
    (sign,) = said["time_signature"]
    assert f"{sign.numerator}/{sign.denominator}" == metre
    beat = own.beat if own.denominator == 8 else 4 / own.denominator
    assert sign.clocks_per_click == 24 * beat
    assert [mido.tempo2bpm(m.tempo) for m in said["set_tempo"]] == [pytest.approx(90, abs=0.01)]
    assert " ".join(m.text for m in said["marker"]) == spelled
    halves = [number for bar in parse_chords(chords) for number in bar]
    new = [at for at in range(8) if at == 0 or halves[at] != halves[at - 1]]
    assert [tick for tick, _ in metas(MidiFile.parse(data), MARKER)] == [
        at * end // 8 for at in new
    ]

    notes, read = notes_of(score), parse_score(data)
    for column, same in zip(notes.columns, notes_of(read).columns, strict=True):
        np.testing.assert_allclose(column, same, rtol=1e-12)
    hands = hands_of(notes)
    for track, hand, channel in zip(file.tracks[1:], (RIGHT, LEFT), (0, 1), strict=True):
        struck = [m for m in track if m.type == "note_on"]
        assert [m.note for m in struck] == notes.pitch[hands == hand].tolist()
        assert {m.channel for m in track if not m.is_meta} == {channel}
    pretty = pretty_midi.PrettyMIDI(io.BytesIO(data))
    assert [(i.name, i.program) for i in pretty.instruments] == [
        ("Right hand", 0), ("Left hand", 0),
    ]  # fmt: skip
    assert len(pretty.key_signature_changes) == len(pretty.time_signature_changes) == 1
    sheet = music21.converter.parseData(data, format="midi")
    assert [part.partName for part in sheet.parts] == ["Right hand", "Left hand"]
    for part in sheet.parts:
        (found,) = part.recurse().getElementsByClass(music21.key.KeySignature)
        assert (found.sharps, found.mode == "minor") == (signature.fifths, signature.is_minor)
        (said_metre,) = part.recurse().getElementsByClass(music21.meter.TimeSignature)
        assert said_metre.ratioString == metre and part.highestTime == 4 * own.quarters


@pytest.mark.parametrize(
    ("metre", "tracks"), [("4/4", "two"), ("3/4", "one"), ("6/8", "two"), ("12/8", "one")]
)
def test_a_clip_has_the_tracks_asked_for_and_is_heard_from_them_as_it_was(
    composer: Composer, metre: str, tracks: str
) -> None:
    request = Request(JOY, n_bars=3, time_signature=metre, tonic=6, is_major=False, tracks=tracks)
    (clip,) = composer.compose(request, seed=2)
    names = [track.name for track in mido.MidiFile(file=io.BytesIO(clip.midi)).tracks]
    assert names == ["", *(("Piano",) if tracks == "one" else ("Right hand", "Left hand"))]
    assert ends_of(clip.midi) == {round(3 * Metre.parse(metre).quarters * 480)}
    assert metas(MidiFile.parse(clip.midi), KEY_SIGNATURE) == [(0, b"\3\1")]  # F# minor
    assert clip.card()["tracks"] == tracks
    notes = notes_of(parse_score(clip.midi))
    for column, same in zip(notes_of(clip.score).columns, notes.columns, strict=True):
        np.testing.assert_allclose(column, same, rtol=1e-12)
    verdict = composer.verifier.verdict(notes)
    assert verdict.probabilities == pytest.approx(clip.verdict.probabilities)

    (other,) = composer.compose(Request(None, given=Primer(clip.midi, VARY, 6)), seed=2)
    assert (other.n_bars, str(other.metre)) == (3, metre)
    goes_on = Request(None, given=Primer(clip.midi, CONTINUE, 6), n_bars=2, is_major=False)
    (longer,) = composer.compose(goes_on, seed=2)
    own = MidiFile.parse(longer.midi)
    assert own.tracks[:-1] == MidiFile.parse(clip.midi).tracks
    assert [*events_of(own.tracks[-1])][-1].tick == round(5 * clip.metre.quarters * 480)
    assert any(event.is_meta(MARKER) for event in events_of(own.tracks[-1]))


@pytest.mark.parametrize(
    ("said", "changes", "key", "heard"),
    [
        ((), False, "D major", []),  # of a file that says no key none is said
        ((), True, "D major", [(3_840, b"\2\0")]),
        ((), True, "F# minor", [(3_840, b"\3\1")]),
        (((0, b"\0\0"),), False, "C major", [(0, b"\0\0")]),
        (((0, b""),), False, "C major", [(0, b""), (3_840, b"\0\0")]),  # damaged
        (((0, b"\0\0"),), False, "A minor", [(0, b"\0\0")]),  # as heard, on the same staff
        (((0, b"\0\0"),), True, "A minor", [(0, b"\0\0"), (3_840, b"\0\1")]),
        (((0, b"\0\0"),), False, "Eb major", [(0, b"\0\0"), (3_840, b"\xfd\0")]),
        (((0, b"\0\0"), (1_920, b"\2\0")), False, "D major", [(0, b"\0\0"), (1_920, b"\2\0")]),
        (((0, b"\2\0"), (4_800, b"\0\0")), False, "E minor",
         [(0, b"\2\0"), (3_840, b"\1\1"), (4_800, b"\0\0"), (4_800, b"\1\1")]),
    ],
)  # fmt: skip
def test_a_key_is_said_at_the_join_where_it_changes(
    said: tuple[tuple[int, bytes], ...], changes: bool, key: str, heard: list[tuple[int, bytes]]
) -> None:
    plain = MidiFile.parse(dump_score(tune(2)))
    file = plain.with_conductor([(tick, meta(KEY_SIGNATURE, data)) for tick, data in said])
    longer = MidiFile.parse(
        continue_midi(
            file.dump(), tune(1), at=8.0, n_beats=4.0,
            signature=signature_of(key), changes_key=changes,
        )
    )  # fmt: skip
    assert metas(longer, KEY_SIGNATURE) == heard
    assert longer.tracks[1:-1] == file.tracks[1:]
    assert (longer.tracks[0] == file.tracks[0]) == (len(heard) == len(said))


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.integers(0, 500), st.integers(21, 108)),
        min_size=1, max_size=40,
    ),
    st.sampled_from([1, 7, 12, 16, 96, 480, 1_000]),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_no_pitch_overlaps_itself_and_all_ends_on_the_last_bar_line(
    notes: list[tuple[int, int, int]], division: int, by_hand: bool
) -> None:
    score = score_of([(a / 480, d / 480, p, 64) for a, d, p in notes])
    score = score.resample(division, min_dur=0)
    end = float((notes_of(score).onset + notes_of(score).duration).max())
    n_beats = 4.0 * (end // 4 + 1)
    data = piano_midi(score, n_beats=n_beats, signature=Signature(0, False), by_hand=by_hand)
    assert ends_of(data) == {round(n_beats * 480)}
    for track in MidiFile.parse(data).tracks:
        begun = dict[int, int]()
        for event in events_of(track):
            if event.status & 0xF0 == 0x90:
                assert event.data[0] not in begun
                begun[event.data[0]] = event.tick
            elif event.status & 0xF0 == 0x80:
                assert begun.pop(event.data[0]) < event.tick
        assert not begun


def test_a_key_asked_for_is_said_where_it_is_not_the_one_heard(composer: Composer) -> None:
    music = Primer(dump_score(tune(4)), CONTINUE)
    for tonic, is_major, said in ((None, None, []), (0, True, []), (9, False, [b"\0\1"]),
                                  (0, False, [b"\xfd\1"]), (6, False, [b"\3\1"])):  # fmt: skip
        request = Request(None, given=music, n_bars=1, tonic=tonic, is_major=is_major)
        (clip,) = composer.compose(request, seed=1)
        found = metas(MidiFile.parse(clip.midi), KEY_SIGNATURE)
        assert found == [(4 * 4 * 480, data) for data in said]
