"""The one door for MIDI files: what is refused in which words, each limit, what comes through."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from midi import TPQ, score_of
from symusic.core import ControlChangeTick, NoteTick, PedalTick, ScoreTick, TempoTick, TrackTick

from emomusic.music.score import (
    MAX_FILE_BYTES,
    MAX_MEMORY,
    ScoreError,
    add_pedal_controls,
    check_bytes,
    grid_of,
    notes_of,
    parse_score,
    read_score,
    seconds_at,
    tempo_of,
    write_score,
)
from fuzz.midi import END, Event, File, dumped, meta

ROOT = Path(__file__).resolve().parents[1]
NOTE: list[Event] = [(0, b"\x90\x3c\x40"), (480, b"\x80\x3c\x00")]  # a quarter note on middle C
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
NAME = (0, meta(3, b"A" * 60_000))
FAR = 2**28 - 1  # the longest delta time


def midi(*tracks: list[Event], ticks: int = TPQ) -> bytes:
    """Return the bytes of a MIDI file of tracks of (delta time, event)."""
    return dumped(File(1, ticks, [[*track, (0, END)] for track in tracks]))


def long(n_beats: int, *, beats_a_bar: int = 4, unit: int = 4, tempo: float = 120.0) -> bytes:
    """Return a file of two notes, so far apart."""
    rows = [(0, 1, 60, 64), (n_beats - 1, 1, 60, 64)]
    score = score_of(rows, signatures=((0, beats_a_bar, unit),), tempo=tempo)
    return bytes(score.dumps_midi())


def changes(kind: int, one: bytes, n: int) -> bytes:
    return midi([(1, meta(kind, one))] * n + NOTE)


def some_score(n_notes: int = 8) -> ScoreTick:
    """Return eighth notes up from middle C, with three tempi."""
    rows = [(i / 2, 200 / TPQ, 60 + i % 12, 40 + i % 80) for i in range(n_notes)]
    score = score_of(rows, tempo=100.0)
    for time, tempo in ((700, 60.0), (1200, 187.5)):
        score.tempos.append(TempoTick(time, tempo))
    return score


TEMPO, SIGNATURE = b"\x07\xa1\x20", b"\x04\x02\x18\x08"
ALIEN = b"XXXX\0\0\0\2ab"
WHOLE = midi(NOTE)
MANY = WHOLE[:10] + b"\xff\xff" + WHOLE[12:]  # claims more tracks than there are


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty$"),
        (b"hello", "not a MIDI file, nor an .rmi that holds one$"),
        (b"MThd", "damaged MIDI file: "),
        (midi([]), "the file holds no notes$"),
        (midi([(0, b"\x99\x3c\x40"), (480, b"\x89\x3c\x00")]), "all notes are on channel 10, "),
        (midi([(0, meta(0x51, bytes(3))), *NOTE]), "a note of the file sounds at a tempo of 0, "),
        (midi(NOTE, ticks=0), "ticks a quarter note must be above 0, got 0$"),
        (midi([(0, b"\x90\xc8\x40"), (9, b"\x80\xc8\x00")]), "damaged MIDI file: "),  # pitch 200
        (midi([(FAR, NOTE[0][1]), NOTE[1]], ticks=96), "the file is 2796207 quarter notes long"),
        (midi([(FAR, b"\xb0\x01\x00")] * 4 + NOTE), "note times must lie in 0 to 1073741824"),
        (WHOLE + bytes(8 * 2**20), "the file is larger than 8 MiB$"),
        (some_score(50_001).dumps_midi(), "the file holds 50001 notes, at most 50000 are"),
        (WHOLE[:14] + ALIEN * 100_000 + WHOLE[14:], "the file holds over 512 tracks$"),
        (midi(PROGRAMS), "the file holds 2048 tracks, at most 512 are accepted$"),
        (midi(*[PROGRAMS] * 9), "programs and channels cut the file into up to 18576 tracks"),
        (midi([NAME, *PROGRAMS]), "a name of a track is 60000 bytes long, too long for its tr"),
        (changes(0x51, TEMPO, 20_001), "the file holds 20001 tempos, at most 20000 are acc"),
        (changes(0x58, SIGNATURE, 5_001), "the file holds 5001 time signatures, at most 5000 are"),
        (long(100_001), "the file is 100001 quarter notes long, at most 100000 are accepted$"),
        (long(86_401, tempo=60.0), "the file lasts 86401 seconds, at most 86400 are accepted$"),
        (long(50_001, beats_a_bar=1), "the file holds 50001 bars, at most 50000 are accepted$"),
        (long(25_001, beats_a_bar=16, unit=16), "the file holds 100004 beats, at most 100000"),
        (MANY + b"MTr", "damaged MIDI file: it ends inside chunk 2$"),
    ],
    ids=lambda value: value.replace(" ", "-")[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_bad_file_is_told_in_one_line(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.mid").write_bytes(data)
    with pytest.raises(ScoreError, match=f"^{words}") as told:
        read_score(tmp_path / "bad.mid")
    assert "\n" not in str(told.value) and len(str(told.value)) < 200


@pytest.mark.parametrize(
    ("data", "n_notes"),
    [
        (midi(*[NOTE] * 512), 512),
        (WHOLE[:14] + ALIEN * 100 + WHOLE[14:], 1),  # chunks that are no tracks
        (changes(0x51, TEMPO, 20_000), 1),
        (changes(0x58, SIGNATURE, 5_000), 1),
        (long(100_000), 2),
        (long(86_400, tempo=60.0), 2),
        (long(50_000, beats_a_bar=1), 2),
        (MANY, 1),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else "",
)
def test_what_just_keeps_to_a_limit_is_read(data: bytes, n_notes: int) -> None:
    assert len(notes_of(parse_score(data))) == n_notes


def test_a_long_name_of_few_tracks_is_kept_and_other_failures_are_told(tmp_path: Path) -> None:
    assert parse_score(midi([NAME, *NOTE])).tracks[0].name == "A" * 60_000
    for path, words in ((tmp_path / "none.mid", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ScoreError, match=f"^cannot read the file: {words}"):
            read_score(path)
    data = some_score().dumps_midi()
    for n_bytes in range(len(data)):
        with pytest.raises(ScoreError):
            parse_score(data[:n_bytes])


@pytest.mark.parametrize("kind", [0x51, 0x58, 0x59])
def test_an_event_cut_short_at_the_end_reads_nothing_beyond_the_file(kind: int) -> None:
    for length in range(4):
        body = b"\0\x90\x3c\x40\1\x80\x3c\0\0" + meta(kind, b"\1" * length)
        data = b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + body
        assert check_bytes(data)[len(data) :] == bytes(8)
        score = ScoreTick.from_midi(check_bytes(data))  # which keeps tempi of 0
        padded = int.from_bytes((b"\1" * length + bytes(3))[:3], "big")
        assert [tempo.mspq for tempo in score.tempos] == ([padded] if kind == 0x51 else [])


def filled(event: bytes) -> bytes:
    """Return a file of the greatest size that holds one event over and over, and a note."""
    n_events = (MAX_FILE_BYTES - 100) // (len(event) + 1)
    body = (b"\0" + event) * n_events + b"\0\x90\x3c\x40\1\x80\x3c\0\0" + END
    return b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk" + len(body).to_bytes(4, "big") + body


FILLERS = [b"\x90\x3c\x40", b"\xb0\x40\x7f", b"\xc0\x05", b"\xff\x03\x01A", meta(0x51, TEMPO),
           meta(0x58, SIGNATURE)]  # fmt: skip
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
    names = (0, meta(3, b"A" * 15_000))
    files = [WHOLE, *map(filled, FILLERS), midi(*[PROGRAMS] * 7), midi([names, *PROGRAMS])]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.mid").write_bytes(data)
    told = subprocess.run(
        [sys.executable, "-c", GROWN],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 0 < int(told.stdout) < MAX_MEMORY


def test_all_tracks_but_the_drums_are_notes_and_no_note_is_without_length() -> None:
    score = some_score(2)
    for name, note, is_drum in (("left", (0, 0, 40, 50), False), ("drums", (0, 10, 35, 50), True)):
        track = TrackTick(name, 0, is_drum)
        track.notes.append(NoteTick(*note))
        score.tracks.append(track)
    notes = notes_of(score)
    assert notes.pitch.tolist() == [40, 60, 61]
    assert notes.onset.tolist() == [0, 0, 0.5]
    assert notes.duration == pytest.approx([1 / 480, 200 / 480, 200 / 480])
    assert notes.velocity.tolist() == [50, 40, 41]


def test_seconds_agree_with_pretty_midi(tmp_path: Path) -> None:
    score = some_score(24)
    write_score(score, tmp_path / "a.mid")
    oracle = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    ticks = np.array([0, 1, 699, 700, 701, 1200, 5000])
    found = seconds_at(score, ticks)
    assert found == pytest.approx([oracle.tick_to_time(int(tick)) for tick in ticks], abs=1e-9)
    notes = notes_of(score)
    played = sorted(oracle.instruments[0].notes, key=lambda note: note.start)
    assert notes.onset_s == pytest.approx([note.start for note in played], abs=1e-9)
    assert notes.onset_s + notes.duration_s == pytest.approx([n.end for n in played], abs=1e-9)


def test_seconds_follow_the_tempo_map_and_tempo_of_is_their_mean() -> None:
    for tempos, tick, seconds in (
        ([], 960, 1.0),  # 120 where none holds
        ([(960, 60.0)], 1440, 2.0),
        ([(0, 30.0), (0, 60.0)], 480, 1.0),  # of two at one time, the last
    ):
        score = ScoreTick(TPQ)
        for own in tempos:
            score.tempos.append(TempoTick(*own))
        assert seconds_at(score, np.array([tick])) == pytest.approx([seconds])
    score = score_of([(1, 1, 60, 64), (2, 2, 60, 64)], tempo=60.0)  # 1 s, then two of 0.5 s
    score.tempos.append(TempoTick(2 * TPQ, 120.0))
    assert tempo_of(score) == pytest.approx(60 * 3 / 2)


@pytest.mark.parametrize(("signatures", "end", "bars", "n_beats"), [
    ((), 7.0, [0, 4, 8], 8),
    (((0, 6, 8),), 5.0, [0, 3, 6], 12),
    (((0, 4, 4), (8, 3, 4)), 12.0, [0, 4, 8, 11, 14], 14),
    (((0, 4, 4), (1, 4, 4)), 5.0, [0, 4, 8], 8),  # says the same again
    (((0, 4, 4), (6, 2, 4)), 8.0, [0, 4, 6, 8], 8),  # a change cuts the bar
    (((9, 3, 4),), 4.0, [0, 4], 4),
])  # fmt: skip
def test_the_grid_follows_the_time_signatures(
    signatures: tuple[tuple[float, int, int], ...], end: float, bars: list[float], n_beats: int
) -> None:
    found, beats = grid_of(score_of([(0, end, 60, 80)], signatures=signatures), end)
    assert found.tolist() == bars
    assert len(beats) == n_beats


def test_pedals_are_written_as_controls_once(tmp_path: Path) -> None:
    score = some_score()
    for pedal in ((100, 380), (480, 500)):
        score.tracks[0].pedals.append(PedalTick(*pedal))
    write_score(score, tmp_path / "a.mid")
    track = read_score(tmp_path / "a.mid").tracks[0]
    assert [(p.time, p.duration) for p in track.pedals] == [(100, 380), (480, 500)]
    assert not len(score.tracks[0].controls)  # the given score stays as it was
    write_score(read_score(tmp_path / "a.mid"), tmp_path / "b.mid")
    assert (tmp_path / "b.mid").read_bytes() == (tmp_path / "a.mid").read_bytes()
    score.tracks[0].controls.append(ControlChangeTick(0, 64, 127))
    add_pedal_controls(score.tracks[0])
    assert len(score.tracks[0].controls) == 1
