"""What people bring and what they take away: read, refused, written."""

from __future__ import annotations

import errno
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import soundfile
from helpers.composing import tune
from midi import score_of

import emomusic.studio.view as own
from emomusic.compose.composer import Composer
from emomusic.compose.parse import parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.score import ScoreError, dump_score, read_score
from emomusic.studio.session import StudioPiece
from emomusic.studio.view import save, settings_text, stem_of
from emomusic.verify.verifier import Verifier

BEAT = 480
REQUEST = Request(Emotion(0.8, 0.6, "joy"), n_bars=2)
BROUGHT = StudioPiece(tune(2), "C major", 96.0, name="../../tune.mid")


@pytest.fixture(scope="module")
def verifier(tiny_composer: Composer) -> Verifier:
    return tiny_composer.verifier


@pytest.fixture(scope="module")
def composed(tiny_composer: Composer) -> StudioPiece:
    (clip,) = tiny_composer.compose(REQUEST, seed=5)
    return StudioPiece.of(clip)


# What is brought


def length(ticks: int) -> bytes:
    """Return ticks as MIDI writes them: seven bits a byte."""
    found = [ticks & 127]
    while ticks := ticks >> 7:
        found.append(128 | (ticks & 127))
    return bytes(reversed(found))


def file(events: bytes, *, form: int = 0, division: int = BEAT) -> bytes:
    track = b"MTrk" + struct.pack(">I", len(events) + 4) + events + b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, form, 1, division) + track


def note(ticks: int = BEAT, pitch: int = 60) -> bytes:
    return bytes([0, 0x90, pitch, 64]) + length(ticks) + bytes([0x80, pitch, 0])


def tempo(microseconds: int) -> bytes:
    return b"\x00\xff\x51\x03" + microseconds.to_bytes(3, "big")


def signature(beats: int, power: int, *, after: int = 0) -> bytes:
    return length(after) + b"\xff\x58\x04" + bytes([beats, power, 24, 8])


NOTES = b"".join(note(pitch=60 + at % 12) for at in range(64))
TURNS = b"".join(signature(3 + at % 2, 2, after=1) for at in range(3_000))
BOMBS = {
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(1_000), "not a MIDI file"),
    "20,001 notes": (file(note(1) * 20_001), "holds 20001 notes, at most 20000"),
    "a microsecond a beat": (file(tempo(1) + NOTES), "a bar must last 0.01 s at least"),
    "an hour": (file(tempo(2**24 - 1) + NOTES * 4), "lasts 4295 seconds, at most 1800"),
    "a tick a beat": (file(NOTES, division=1), "lasts 15360 seconds"),
    "bars of 1/128": (file(signature(1, 7) + NOTES), "has 2017 bars, at most 2000"),
    "a metre a tick": (file(TURNS + NOTES), "bars, at most 2000"),
    "a text of 256 MiB": (file(b"\x00\xff\x01" + length(2**28 - 1) + NOTES), "damaged MIDI file"),
    "notes that never end": (file(b"\x01\x90\x3c\x40" * 5_000), "holds no notes"),
}
ODD = (
    file(signature(255, 255) + NOTES),
    file(signature(1, 255) + NOTES),
    file(signature(0, 0) + NOTES),
    file(tempo(2**24 - 1) + NOTES),  # the slowest
    file(NOTES, form=2),
    file(note(1)),
    file(note(1, 0) + note(1, 127)),
    file(b"\x00\xff\x01" + length(2**20) + bytes(2**20) + NOTES),  # a long text
)


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_with_a_sentence(bomb: str, tmp_path: Path, verifier: Verifier) -> None:
    data, words = BOMBS[bomb]
    path = tmp_path / "bomb.mid"
    path.write_bytes(data)
    with pytest.raises(ScoreError, match=words) as refusal:
        StudioPiece.read(path, verifier)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250


def test_an_odd_file_is_heard_all_the_same(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / "odd.mid"
    for data in ODD:
        path.write_bytes(data)
        piece = StudioPiece.read(path, verifier)
        assert piece.verdict is not None and piece.n_bars >= 1


def test_a_piece_is_heard_and_measured(tmp_path: Path, verifier: Verifier) -> None:
    path = tmp_path / ("line\nbreak\x1b" + "x" * 200 + ".mid")
    path.write_bytes(dump_score(tune(4, tonic=2, tempo=96.0)))
    piece = StudioPiece.read(path, verifier)
    assert piece.name.startswith("line?break?xxx") and len(piece.name) == 60
    assert (piece.key, piece.n_bars, piece.clip) == ("D major", 4, None)
    assert piece.tempo == pytest.approx(96.0, rel=1e-3)
    assert piece.verdict == verifier.verdict(piece.notes)


# What is taken away


def test_each_file_is_what_its_name_says_and_what_is_heard_first_is_written_first(
    composed: StudioPiece, tmp_path: Path
) -> None:
    files = dict(save(composed, tmp_path))
    assert [*files] == ["mid", "json", "flac", "mp3", "wav", "musicxml", "svg", "zip"]
    assert {path.name for path in files.values()} == {f"emomusic-joy-5-0.{s}" for s in files}
    assert dump_score(read_score(files["mid"])) == files["mid"].read_bytes()
    assert parse_settings_file(files["json"].read_text()).request == REQUEST
    for suffix in ("flac", "mp3", "wav"):
        samples, rate = soundfile.read(files[suffix])
        assert len(samples) / rate == pytest.approx(composed.bars_s[-1] + 2.0, abs=4.0)
        assert abs(samples).max() > 0.1
    assert ElementTree.parse(files["musicxml"]).getroot().tag == "score-partwise"
    assert ElementTree.parse(files["svg"]).getroot().tag.endswith("svg")
    with zipfile.ZipFile(files["zip"]) as archive:
        held = {name.rpartition(".")[2]: archive.read(name) for name in archive.namelist()}
    others = [suffix for suffix in files if suffix not in ("flac", "zip")]
    assert held == {suffix: files[suffix].read_bytes() for suffix in others}


def test_what_was_brought_has_no_settings_and_over_ten_minutes_no_sound(tmp_path: Path) -> None:
    long = score_of([(0, 1, 60, 64), (1_300, 1, 60, 64)], tempo=120.0)
    files = dict(save(StudioPiece(long, "C major", 120.0, name="../../tune.mid"), tmp_path))
    assert {"mid", "zip"} <= set(files) and not {"json", "flac", "mp3", "wav"} & set(files)
    assert {path.stem for path in files.values()} == {"emomusic-brought"}
    assert {path.parent for path in files.values()} == {tmp_path}
    assert settings_text(BROUGHT) == ""


def test_names_are_of_plain_letters(composed: StudioPiece) -> None:
    assert composed.clip is not None
    for name, stem in (
        ("nostalgia:0.7 hope:0.3", "emomusic-nostalgia-0-7-hope-0-3-5-0"),
        ("../../etc/passwd", "emomusic-etc-passwd-5-0"),
        ("x" * 500, f"emomusic-{'x' * 48}-5-0"),
        (None, "emomusic-q1-5-0"),
    ):
        request = replace(REQUEST, emotion=Emotion(0.5, 0.5, name))
        assert stem_of(replace(composed, clip=replace(composed.clip, request=request))) == stem


def test_a_full_disk_is_an_os_error_and_leaves_no_part_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(own.zipfile, "ZipFile", full)
    with pytest.raises(OSError, match="No space left"):
        [*save(BROUGHT, tmp_path)]
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".mid", ".flac", ".mp3", ".wav", ".musicxml", ".svg",
    }  # fmt: skip
