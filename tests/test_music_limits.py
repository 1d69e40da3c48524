"""What a MIDI file may hold: each limit, and the files that would cost much before one is met."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from symusic.core import NoteTick, ScoreTick, TempoTick, TimeSignatureTick, TrackTick

from emomusic.music.score import (
    MAX_FILE_BYTES,
    MAX_MEMORY,
    ScoreError,
    check_bytes,
    grid_of,
    notes_of,
    parse_score,
)
from fuzz.midi import END, Event, File, dumped, meta

ROOT = Path(__file__).resolve().parents[1]
NOTE: list[Event] = [(0, b"\x90\x3c\x40"), (480, b"\x80\x3c\x00")]
LAST: list[Event] = [(0, END)]
PROGRAMS: list[Event] = [
    event
    for program in range(128)
    for channel in range(16)
    for event in (
        (0, bytes([0xC0 | channel, program])),
        (0, bytes([0x90 | channel, 60, 64])),
        (1, bytes([0x80 | channel, 60, 0])),
    )
]


def file_of(*tracks: list[Event], ticks: int = 480) -> bytes:
    return dumped(File(1, ticks, [[*track, *LAST] for track in tracks]))


def refused(data: bytes, words: str) -> None:
    with pytest.raises(ScoreError, match=words) as told:
        parse_score(data)
    assert "\n" not in str(told.value) and len(str(told.value)) < 200


def filled(event: bytes) -> bytes:
    """Return a file of the greatest size that holds one event over and over, and a note."""
    n_events = (MAX_FILE_BYTES - 100) // (len(event) + 1)
    body = (b"\0" + event) * n_events + b"\0\x90\x3c\x40\1\x80\x3c\0\0" + END
    head = b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk"
    return head + len(body).to_bytes(4, "big") + body


def test_five_hundred_and_twelve_tracks_are_read_and_one_more_is_refused() -> None:
    assert len(notes_of(parse_score(file_of(*[NOTE] * 512)))) == 512
    refused(file_of(*[NOTE] * 513), r"^the file holds over 512 tracks$")


def test_chunks_that_are_no_tracks_are_passed_over_and_not_without_end() -> None:
    whole = file_of(NOTE)
    alien = b"XXXX\0\0\0\2ab"
    assert len(notes_of(parse_score(whole[:14] + alien * 100 + whole[14:]))) == 1
    refused(whole[:14] + alien * 100_000 + whole[14:], "holds over 512 tracks")


def test_each_program_of_a_channel_counts_as_a_track() -> None:
    refused(file_of(PROGRAMS), "holds 2048 tracks, at most 512 are accepted")


def test_programs_that_would_make_thousands_of_tracks_are_refused_before_they_are_made() -> None:
    refused(file_of(*[PROGRAMS] * 9), "cut the file into up to 18576 tracks, at most 512")


def test_a_name_that_would_be_copied_into_each_track_is_refused() -> None:
    name = (0, meta(3, b"A" * 60_000))
    refused(file_of([name, *PROGRAMS]), "a name of a track is 60000 bytes long")
    assert parse_score(file_of([name, *NOTE])).tracks[0].name == "A" * 60_000
    refused(file_of([(0, b"\xff\x03\xff\xff\xff\xff\xff"), *PROGRAMS * 20]), "too long for its|cut")


def test_tempos_and_time_signatures_are_counted() -> None:
    for kind, one, most, words in (
        (0x51, b"\x07\xa1\x20", 20_000, "tempos"),
        (0x58, b"\x04\x02\x18\x08", 5_000, "time signatures"),
    ):
        changes: list[Event] = [(1, meta(kind, one))] * most
        assert len(notes_of(parse_score(file_of([*changes, *NOTE])))) == 1
        refused(
            file_of([*changes, changes[0], *NOTE]),
            f"holds {most + 1} {words}, at most {most} are accepted",
        )


def long(n_beats: int, *, beats_a_bar: int = 4, unit: int = 4, tempo: float = 120.0) -> bytes:
    """Return a file of two notes, so far apart."""
    score, track = ScoreTick(96), TrackTick("", 0, False)
    score.tempos.append(TempoTick(0, tempo))
    score.time_signatures.append(TimeSignatureTick(0, beats_a_bar, unit))
    for beat in (0, n_beats - 1):
        track.notes.append(NoteTick(beat * 96, 96, 60, 64))
    score.tracks.append(track)
    return bytes(score.dumps_midi())


def test_a_piece_may_last_a_hundred_thousand_beats_and_a_day() -> None:
    assert len(notes_of(parse_score(long(100_000)))) == 2
    refused(long(100_001), "is 100001 quarter notes long, at most 100000 are accepted")
    assert len(notes_of(parse_score(long(86_400, tempo=60.0)))) == 2
    refused(long(86_401, tempo=60.0), "lasts 86401 seconds, at most 86400 are accepted")


def test_bars_and_beats_of_the_time_signature_are_counted() -> None:
    bars, beats = grid_of(parse_score(long(50_000, beats_a_bar=1)), 50_000.0)
    assert len(bars) == 50_001 and len(beats) == 50_000
    refused(long(50_001, beats_a_bar=1), "holds 50001 bars, at most 50000 are accepted")
    refused(long(25_001, beats_a_bar=16, unit=16), "holds 100004 beats, at most 100000")


def test_a_head_that_claims_more_tracks_than_there_are_is_believed_no_further() -> None:
    data = bytearray(file_of(NOTE))
    data[10:12] = b"\xff\xff"
    assert len(notes_of(parse_score(bytes(data)))) == 1
    refused(bytes(data) + b"MTr", "^damaged MIDI file: it ends inside chunk 2$")
    refused(bytes(data[:13]), "^damaged MIDI file: it ends inside its head$")


@pytest.mark.parametrize("kind", [0x51, 0x58, 0x59])
def test_an_event_cut_short_at_the_end_reads_nothing_beyond_the_file(kind: int) -> None:
    for length in range(4):
        body = b"\0\x90\x3c\x40\1\x80\x3c\0\0" + meta(kind, b"\1" * length)
        data = b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + body
        assert check_bytes(data)[len(data) :] == bytes(8)
        try:
            score = parse_score(data)
        except ScoreError as error:
            assert "tempo of 0" in str(error)
            continue
        padded = int.from_bytes((b"\1" * length + bytes(3))[:3], "big")
        assert [tempo.mspq for tempo in score.tempos] == ([padded] if kind == 0x51 else [])


FILLERS = [
    b"\x90\x3c\x40", b"\xb0\x40\x7f", b"\xc0\x05", b"\xff\x03\x01A",
    b"\xff\x51\x03\x07\xa1\x20", b"\xff\x58\x04\x04\x02\x18\x08",
]  # fmt: skip
GROWN = """
import pathlib
from contextlib import suppress
from emomusic.music.score import ScoreError, notes_of, parse_score
from fuzz.trial import peak_kib
files = [path.read_bytes() for path in sorted(pathlib.Path().glob("*.mid"))]
notes_of(parse_score(files[0]))
before = peak_kib()
for data in files[1:]:
    with suppress(ScoreError):
        notes_of(parse_score(data))
print((peak_kib() - before) * 1024)
"""


def test_the_largest_files_stay_within_the_memory_that_is_stated(tmp_path: Path) -> None:
    (tmp_path / "0.mid").write_bytes(file_of(NOTE))
    for number, event in enumerate(FILLERS, 1):
        (tmp_path / f"{number}.mid").write_bytes(filled(event))
    (tmp_path / "programs.mid").write_bytes(file_of(*[PROGRAMS] * 7))
    (tmp_path / "names.mid").write_bytes(file_of([(0, meta(3, b"A" * 15_000)), *PROGRAMS]))
    told = subprocess.run(
        [sys.executable, "-c", GROWN],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 0 < int(told.stdout) < MAX_MEMORY
