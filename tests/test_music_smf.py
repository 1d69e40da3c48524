"""Standard MIDI files as bytes: read as mido reads them, and nothing given is touched."""

from __future__ import annotations

import io

import mido
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi import score_of

from emomusic.music.key import Signature
from emomusic.music.score import ScoreError
from emomusic.music.smf import (
    END_OF_TRACK,
    KEY_SIGNATURE,
    SET_TEMPO,
    TIME_SIGNATURE,
    MidiFile,
    continue_midi,
    events_of,
    insert_events,
    meta,
    metas,
    number_bytes,
    track_bytes,
    with_part,
)

SLOW, FAST = ((60_000_000 // bpm).to_bytes(3, "big") for bpm in (60, 150))
NOTES = [(960, 1440, 60, 80), (1440, 1920, 64, 90)]


def head(kind: int, n_tracks: int, division: int = 480) -> bytes:
    return b"MThd" + b"".join(
        value.to_bytes(size, "big")
        for value, size in ((6, 4), (kind, 2), (n_tracks, 2), (division, 2))
    )


def file_of(*tracks: bytes, kind: int = 1) -> bytes:
    chunks = (b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)
    return head(kind, len(tracks)) + b"".join(chunks)


def track_of(*events: tuple[int, bytes]) -> bytes:
    return track_bytes([*events, (events[-1][0] if events else 0, meta(END_OF_TRACK, b""))])


RUNNING = b"\x00\x90\x3c\x50\x60\x3c\x00\x00\x40\x50\x60\x40\x00\x00\xff\x2f\x00"


@st.composite
def tracks(draw: st.DrawFn) -> bytes:
    """Draw a track of any events, with running status where it may stand."""
    parts, running = [], None
    for _ in range(draw(st.integers(0, 12))):
        parts.append(number_bytes(draw(st.integers(0, 2_000))))
        kind = draw(st.sampled_from([0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0, 0xF7, 0xFF]))
        if kind < 0xF0:
            status = kind | draw(st.integers(0, 15))
            size = 1 if kind in (0xC0, 0xD0) else 2
            data = bytes(draw(st.lists(st.integers(0, 127), min_size=size, max_size=size)))
            parts.append(
                data if status == running and draw(st.booleans()) else bytes([status]) + data
            )
            running = status
            continue
        body, running = draw(st.binary(max_size=200)), None
        if kind == 0xFF:
            parts.append(meta(draw(st.sampled_from([1, 3, 5, 0x7F])), body))
        else:
            body = bytes(byte & 0x7F for byte in body) + b"\xf7"
            parts.append(bytes([kind]) + number_bytes(len(body)) + body)
    return b"".join([*parts, number_bytes(draw(st.integers(0, 300))), meta(END_OF_TRACK, b"")])


@given(st.lists(tracks(), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_events_are_those_that_mido_reads(drawn: list[bytes]) -> None:
    read = mido.MidiFile(file=io.BytesIO(file_of(*drawn)), charset="latin1")
    for track, theirs in zip(drawn, read.tracks, strict=True):
        own = list(events_of(track))
        assert [event.tick for event in own] == [
            sum(m.time for m in theirs[: i + 1]) for i in range(len(theirs))
        ]
        for event, message in zip(own, theirs, strict=True):
            if event.status < 0xF0:
                assert bytes([event.status]) + event.data == bytes(message.bytes())


@given(st.lists(tracks(), min_size=1, max_size=4))
@settings(max_examples=200, deadline=None)
def test_a_part_leaves_every_given_byte(drawn: list[bytes]) -> None:
    file = MidiFile.parse(file_of(*drawn))
    longer, channel = with_part(file, NOTES, at=960, end=1_920)
    assert longer.tracks[:-1] == drawn
    used = {
        event.status & 15 for track in drawn for event in events_of(track) if event.status < 0xF0
    }
    assert channel not in {*used, 9}
    read = mido.MidiFile(file=io.BytesIO(longer.dump()), charset="latin1")
    strikes = [m for m in read.tracks[-1] if m.type == "note_on"]
    assert [m.note for m in strikes] == [60, 64]


@given(tracks(), st.lists(st.integers(0, 9_000), max_size=4).map(sorted))
@settings(max_examples=200, deadline=None)
def test_what_is_put_in_stands_where_it_was_put(track: bytes, ticks: list[int]) -> None:
    marks = [(tick, meta(6, bytes([65 + i]))) for i, tick in enumerate(ticks)]
    own = [
        (event.tick, event.status, event.data) for event in events_of(insert_events(track, marks))
    ]
    added = [(tick, 0xFF, data[:1] + data[2:]) for tick, data in ((t, m[1:]) for t, m in marks)]
    before = [(event.tick, event.status, event.data) for event in events_of(track)]
    assert [event for event in own if event[2][:1] == b"\6" and event[1] == 0xFF] == added
    kept = [event for event in own if event not in added]
    assert kept[:-1] == before[:-1] and kept[-1][0] == max([before[-1][0], *ticks])


@given(
    st.lists(tracks(), min_size=1, max_size=3),
    st.integers(1, 960),
    st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 30), st.integers(60, 63), st.integers(1, 127)),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=200, deadline=None)
def test_what_goes_on_lies_apart_whatever_the_ticks_of_a_beat(
    drawn: list[bytes], division: int, notes: list[tuple[int, int, int, int]]
) -> None:
    data = file_of(*drawn)
    data = data[:12] + division.to_bytes(2, "big") + data[14:]
    added = score_of([(t / 12, d / 12, p, v) for t, d, p, v in notes])
    longer = MidiFile.parse(
        continue_midi(data, added, at=8.0, n_beats=4.0, signature=Signature(0, False))
    )
    assert longer.tracks[:-1] == drawn and longer.division == division
    sounding: set[int] = set()
    for event in events_of(longer.tracks[-1]):
        if event.status & 0xF0 == 0x90:
            assert event.tick >= 8 * division and event.data[0] not in sounding
            sounding.add(event.data[0])
        elif event.status & 0xF0 == 0x80:
            sounding.remove(event.data[0])
    assert not sounding and event.tick >= 12 * division


def test_a_running_status_is_written_out_where_a_mark_breaks_it() -> None:
    marked = insert_events(RUNNING, [(50, meta(6, b"here"))])
    assert [event.status for event in events_of(marked)] == [0x90, 0xFF, 0x90, 0x90, 0x90, 0xFF]


def test_what_holds_already_is_not_said_again() -> None:
    file = MidiFile.parse(file_of(track_of((0, meta(SET_TEMPO, SLOW))), RUNNING))
    same = [(960, SET_TEMPO, SLOW), (960, TIME_SIGNATURE, bytes((4, 2, 24, 8)))]
    assert with_part(file, NOTES, at=960, end=1_920, conductor=same)[0].tracks[0] == file.tracks[0]
    other, _ = with_part(file, NOTES, at=960, end=1_920, conductor=[(960, SET_TEMPO, FAST)])
    assert metas(other, SET_TEMPO) == [(0, SLOW), (960, FAST)] and other.tracks[1] == RUNNING


def test_what_is_said_later_does_not_undo_what_is_new() -> None:
    late = track_of((0, meta(SET_TEMPO, FAST)), (1_000, meta(SET_TEMPO, b"\0\0\0")))
    longer, _ = with_part(
        MidiFile.parse(file_of(late)), NOTES, at=960, end=1_920, conductor=[(960, SET_TEMPO, FAST)]
    )
    assert metas(longer, SET_TEMPO)[-2:] == [(1_000, b"\0\0\0"), (1_000, FAST)]


def test_where_every_channel_is_taken_a_second_port_plays() -> None:
    full = track_of(*((0, bytes((0x90 | c, 60, 1))) for c in range(16)))
    longer, channel = with_part(MidiFile.parse(file_of(full)), NOTES, at=960, end=1_920)
    assert channel is None
    assert b"\xff\x21\x01\x01" in longer.tracks[-1] and b"\xff\x21" not in longer.tracks[0]


def test_a_file_of_one_track_becomes_one_of_two() -> None:
    longer, _ = with_part(MidiFile.parse(file_of(RUNNING, kind=0)), NOTES, at=960, end=1_920)
    assert longer.kind == 1 and len(longer.tracks) == 2


def test_foreign_chunks_are_kept() -> None:
    plain = file_of(RUNNING)
    foreign = plain + b"XFIH" + (3).to_bytes(4, "big") + b"abc"
    assert MidiFile.parse(foreign).dump() == foreign
    longer, _ = with_part(MidiFile.parse(foreign), NOTES, at=960, end=1_920)
    assert longer.dump().endswith(b"XFIH\0\0\0\3abc")


def test_the_key_goes_into_the_conductor_track() -> None:
    longer, _ = with_part(
        MidiFile.parse(file_of(track_of(), RUNNING)), NOTES, at=960, end=1_920,
        conductor=[(960, KEY_SIGNATURE, bytes((3, 1)))],
    )  # fmt: skip
    read = mido.MidiFile(file=io.BytesIO(longer.dump()))
    assert [m.key for m in read.tracks[0] if m.type == "key_signature"] == ["F#m"]


@pytest.mark.parametrize(
    "track", [b"\0\x90", b"\0\x3c\x50", b"\x81\x81\x81\x81\0", b"\0\xf4\0", b"\0\xff\x01\x05a"]
)
def test_damage_is_told_in_a_sentence(track: bytes) -> None:
    with pytest.raises(ScoreError, match="damaged MIDI file: no event at byte"):
        list(events_of(track))


@pytest.mark.parametrize("data", [b"", b"abc", file_of(RUNNING)[:-1]])
def test_no_midi_file_is_told(data: bytes) -> None:
    with pytest.raises(ScoreError, match=r"MIDI file|empty"):
        MidiFile.parse(data)
