"""The files of a piece that a person takes away."""

from __future__ import annotations

import errno
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import soundfile
from helpers.composing import tune
from midi import score_of

import emomusic.studio.desk.saving as saving
from emomusic.compose.composer import Composer
from emomusic.compose.parse import parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.score import dump_score, read_score
from emomusic.studio.desk.saving import save, settings_text, stem_of
from emomusic.studio.desk.session import StudioPiece

REQUEST = Request(Emotion(0.8, 0.6, "joy"), n_bars=2)
BROUGHT = StudioPiece(tune(2), "C major", 96.0, name="../../tune.mid")


@pytest.fixture(scope="module")
def composed(tiny_checkpoint: Path) -> StudioPiece:
    (clip,) = Composer(tiny_checkpoint).compose(REQUEST, seed=5)
    return StudioPiece.of(clip)


@pytest.fixture(scope="module")
def files(composed: StudioPiece, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(save(composed, tmp_path_factory.mktemp("saved")))


def test_what_is_heard_first_is_written_first(files: dict[str, Path]) -> None:
    assert [*files] == ["mid", "json", "flac", "mp3", "wav", "musicxml", "svg", "zip"]
    assert {path.name for path in files.values()} == {f"emomusic-joy-5-0.{s}" for s in files}


def test_each_file_is_what_its_name_says(files: dict[str, Path], composed: StudioPiece) -> None:
    assert dump_score(read_score(files["mid"])) == files["mid"].read_bytes()
    assert parse_settings_file(files["json"].read_text()).request == REQUEST
    for suffix in ("flac", "mp3", "wav"):
        samples, rate = soundfile.read(files[suffix])
        assert len(samples) / rate == pytest.approx(composed.bars_s[-1] + 2.0, abs=4.0)
        assert abs(samples).max() > 0.1
    assert ElementTree.parse(files["musicxml"]).getroot().tag == "score-partwise"
    assert ElementTree.parse(files["svg"]).getroot().tag.endswith("svg")


def test_the_zip_holds_all_but_the_sound_of_the_page(files: dict[str, Path]) -> None:
    with zipfile.ZipFile(files["zip"]) as archive:
        assert archive.testzip() is None
        held = {name.rpartition(".")[2]: archive.read(name) for name in archive.namelist()}

    assert held == {
        suffix: path.read_bytes() for suffix, path in files.items() if suffix not in ("flac", "zip")
    }


def test_what_was_brought_has_no_settings_and_a_plain_name(tmp_path: Path) -> None:
    files = dict(save(BROUGHT, tmp_path))

    assert "json" not in files and settings_text(BROUGHT) == ""
    assert {path.stem for path in files.values()} == {"emomusic-brought"}
    assert {path.parent for path in files.values()} == {tmp_path}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("nostalgia:0.7 hope:0.3", "emomusic-nostalgia-0-7-hope-0-3-5-0"),
        ("../../etc/passwd", "emomusic-etc-passwd-5-0"),
        ("<script>", "emomusic-script-5-0"),
        ("x" * 500, f"emomusic-{'x' * 48}-5-0"),
        (None, "emomusic-q1-5-0"),
    ],
)
def test_names_are_of_plain_letters(composed: StudioPiece, name: str | None, stem: str) -> None:
    assert composed.clip is not None
    request = replace(REQUEST, emotion=Emotion(0.5, 0.5, name))

    assert stem_of(replace(composed, clip=replace(composed.clip, request=request))) == stem


def test_music_of_over_ten_minutes_is_not_rendered(tmp_path: Path) -> None:
    long = StudioPiece(
        score_of([(0, 1, 60, 64), (1_300, 1, 60, 64)], tempo=120.0), "C major", 120.0
    )

    files = dict(save(long, tmp_path))

    assert {"mid", "zip"} <= set(files)
    assert not {"flac", "mp3", "wav"} & set(files)


def test_a_full_disk_is_an_os_error_and_leaves_no_part_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving.zipfile, "ZipFile", lambda *_: Full().write(b""))
    written = []

    with pytest.raises(OSError, match="No space left"):
        for _, path in save(BROUGHT, tmp_path):
            written.append(path)

    assert sorted(tmp_path.iterdir()) == sorted(written)
