"""Files that people bring: what is read of them, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from helpers.composing import tune
from midi import score_of

from emomusic.compose.parse import ClipSpec, SettingsError
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.music.score import ScoreError, dump_score
from emomusic.studio.desk.bringing import read_piece, read_settings
from emomusic.verify.verifier import Verifier

END = b"\x00\xff\x2f\x00"
BEAT = 480


@pytest.fixture(scope="module")
def verifier(tiny_checkpoint: Path) -> Verifier:
    return Verifier.load(tiny_checkpoint)


def length(ticks: int) -> bytes:
    """Return ticks as MIDI writes them: seven bits a byte."""
    found = [ticks & 127]
    while ticks := ticks >> 7:
        found.append(128 | (ticks & 127))
    return bytes(reversed(found))


def file(events: bytes, *, form: int = 0, division: int = BEAT) -> bytes:
    track = b"MTrk" + struct.pack(">I", len(events) + len(END)) + events + END
    return b"MThd" + struct.pack(">IHHH", 6, form, 1, division) + track


def note(ticks: int = BEAT, pitch: int = 60, *, after: int = 0) -> bytes:
    return length(after) + bytes([0x90, pitch, 64]) + length(ticks) + bytes([0x80, pitch, 0])


def tempo(microseconds: int) -> bytes:
    return b"\x00\xff\x51\x03" + microseconds.to_bytes(3, "big")


def signature(beats: int, power: int, *, after: int = 0) -> bytes:
    return length(after) + b"\xff\x58\x04" + bytes([beats, power, 24, 8])


NOTES = b"".join(note(pitch=60 + at % 12) for at in range(64))
RUNNING = b"\x00\x90\x3c\x40" + b"\x01\x3c\x00\x00\x3c\x40" * 100_000
TURNS = b"".join(signature(3 + at % 2, 2, after=1) for at in range(3_000))
BOMBS = {
    "running status": (file(RUNNING), "holds 100000 notes, at most 50000"),
    "over eight megabytes": (file(RUNNING * 14), "larger than 8 MiB"),
    "50,001 notes": (file(note(1) * 50_001), "holds 50001 notes, at most 50000"),
    "20,001 notes": (file(note(1) * 20_001), "holds 20001 notes, at most 20000"),
    "the longest pause": (file(note(after=2**28 - 1)), "559241 quarter notes long"),
    "pauses past 32 bits": (file(note(2**28 - 1, after=2**28 - 1) * 20), "note times must lie in"),
    "tempo 0": (file(tempo(0) + NOTES), "a tempo of 0"),
    "a microsecond a beat": (file(tempo(1) + NOTES), "a bar must last 0.01 s at least"),
    "an hour": (file(tempo(2**24 - 1) + NOTES * 4), "lasts 4295 seconds, at most 1800"),
    "bars of 1/128": (file(signature(1, 7) + NOTES), "has 2017 bars, at most 2000"),
    "a metre a tick": (file(TURNS + NOTES), "bars, at most 2000"),
    "no ticks": (file(NOTES, division=0), "ticks a quarter note must be above 0"),
    "a tick a beat": (file(NOTES, division=1), "lasts 15360 seconds"),
    "film time": (file(NOTES, division=0xE728), "damaged MIDI file"),
    "format 9": (file(NOTES, form=9), "damaged MIDI file"),
    "cut off": (file(NOTES)[:90], "damaged MIDI file"),
    "head alone": (file(NOTES)[:14], "holds no notes"),
    "a track of 4 GiB": (file(NOTES)[:18] + b"\xff" * 4 + NOTES, "damaged MIDI file"),
    "a text of 256 MiB": (file(b"\x00\xff\x01" + length(2**28 - 1) + NOTES), "damaged MIDI file"),
    "a message of 256 MiB": (file(b"\x00\xf0" + length(2**28 - 1) + NOTES), "damaged MIDI file"),
    "notes that never end": (file(b"\x01\x90\x3c\x40" * 5_000), "holds no notes"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1_000), "not a MIDI file"),
    "nothing": (b"", "the file is empty"),
    "drums": (file(b"\x00\x99\x26\x40\x60\x89\x26\x00" * 8), "drums only"),
}
ODD = {
    "255/2^255": file(signature(255, 255) + NOTES),
    "1/2^255": file(signature(1, 255) + NOTES),
    "0/1": file(signature(0, 0) + NOTES),
    "the slowest": file(tempo(2**24 - 1) + NOTES),
    "format 2": file(NOTES, form=2),
    "a note": file(note(1)),
    "all pitches": file(note(1, 0) + note(1, 127)),
    "a long text": file(b"\x00\xff\x01" + length(2**20) + bytes(2**20) + NOTES),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_a_sentence(bomb: str, tmp_path: Path, verifier: Verifier) -> None:
    data, words = BOMBS[bomb]
    path = tmp_path / "bomb.mid"
    path.write_bytes(data)

    with pytest.raises(ScoreError) as refusal:
        read_piece(path, verifier)

    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_file_is_heard_all_the_same(odd: str, tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / "odd.mid"
    path.write_bytes(ODD[odd])

    piece = read_piece(path, verifier)

    assert piece.verdict is not None
    assert piece.n_bars >= 1


def test_a_missing_file_is_refused(tmp_path: Path, verifier: Verifier) -> None:
    with pytest.raises(ScoreError, match="cannot read the file"):
        read_piece(tmp_path / "gone.mid", verifier)


def test_a_piece_is_heard_and_measured(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / "tune.mid"
    path.write_bytes(dump_score(tune(4, tonic=2, tempo=96.0)))

    piece = read_piece(path, verifier)

    assert (piece.name, piece.key, piece.n_bars) == ("tune.mid", "D major", 4)
    assert piece.tempo == pytest.approx(96.0, rel=1e-3)
    assert piece.verdict == verifier.verdict(piece.notes)
    assert piece.clip is None


def test_a_name_is_short_and_printable(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / ("line\nbreak\x1b" + "x" * 200 + ".mid")
    path.write_bytes(dump_score(score_of([(0, 4, 60, 64)])))

    name = read_piece(path, verifier).name

    assert name.startswith("line?break?xxx")
    assert len(name) == 60


def test_settings_are_read_from_a_file(tmp_path: Path) -> None:
    settings = ClipSpec(Request(find_emotion("joy"), n_bars=3), 7, 2, "tiny")
    path = tmp_path / "settings.json"
    path.write_text(settings.to_json())

    assert read_settings(path) == settings


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "these settings cannot be used"),
        (b"\xff\xfe\x00", "these settings cannot be used"),
        (b"[" * 100_000, "these settings cannot be used"),
        (b'{"format": "another"}', "do not say that they are emomusic settings"),
        (b'{"seed": NaN}', "numbers must be finite"),
        (b" " * (16 * 2**20 + 1), "at most 16 MiB long"),
    ],
)
def test_damaged_settings_are_refused_with_a_sentence(
    data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(data)

    with pytest.raises(SettingsError, match=words):
        read_settings(path)
