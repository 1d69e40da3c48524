"""Clips into a folder: files whole or not at all, and a manifest of what is there."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import tree
from helpers.shell import lines
from synthetic import make_score

from emomusic.compose import clip as clip_module
from emomusic.compose.clip import Clip, write_clips
from emomusic.compose.composer import Composer
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.files import OutputError, check_folder
from emomusic.music.score import ScoreError


@pytest.fixture(scope="module")
def clips(tiny_composer: Composer) -> list[Clip]:
    return list(tiny_composer.compose(Request(Emotion(0.5, 0.5), n_bars=2), seed=1, count=3))


def manifest(folder: Path) -> list[dict[str, Any]]:
    return lines((folder / "manifest.jsonl").read_text(encoding="utf-8"))


def test_each_clip_has_its_files_and_its_line(clips: list[Clip], tmp_path: Path) -> None:
    formats = ("mid", "json", "wav", "mp3", "musicxml", "svg")
    (card,) = write_clips(clips[:1], tmp_path, formats=formats)
    files = tree(tmp_path)
    del files["manifest.jsonl"]
    assert manifest(tmp_path) == [card] and card["file"] == "clip_00000.mid"
    assert card["files"] == [f"clip_00000.{suffix}" for suffix in formats]
    assert set(files) == set(card["files"])
    mid, settings, wav, _, sheet, picture = (files[name] for name in card["files"])
    assert mid == clips[0].midi
    assert parse_settings_file(settings.decode()) == ClipSpec.of(clips[0])
    assert wav.startswith(b"RIFF") and b"<score-partwise" in sheet and b"<svg" in picture
    cards = write_clips(clips, tmp_path)
    assert manifest(tmp_path) == cards and [card["index"] for card in cards] == [0, 1, 2]


def test_the_folder_is_made_and_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    for _ in range(2):
        check_folder(tmp_path / "a" / "b")
    assert not list((tmp_path / "a" / "b").iterdir())
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OutputError, match=r"cannot write into .*: (File exists|Not a d)"):
            check_folder(folder)
    assert (tmp_path / "out").read_text() == "mine"


def full_disk(path: Path, data: bytes) -> None:
    if "00001" in path.name:
        raise OSError(errno.ENOSPC, "No space left on device")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("formats", "told"),
    [
        (("mid", "json"), "cannot write into .*: No space left on device"),
        (("mid", "json", "musicxml"), "6000 notes"),
        (("mid", "wav"), "cannot write into"),
    ],
)
def test_a_file_that_cannot_be_written_takes_its_clip_along(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    formats: tuple[str, ...], told: str,
) -> None:  # fmt: skip
    asked = clips
    if "musicxml" in formats:
        asked = [clips[0], replace(clips[1], score=make_score([60] * 6000))]
    elif "wav" in formats:
        (tmp_path / "clip_00001.wav").mkdir()
    else:
        monkeypatch.setattr(clip_module, "write_bytes", full_disk)
    with pytest.raises((OutputError, ScoreError), match=told):
        write_clips(asked, tmp_path, formats=formats)
    assert [card["index"] for card in manifest(tmp_path)] == [0]
    assert set(tree(tmp_path)) == {"manifest.jsonl", *(f"clip_00000.{s}" for s in formats)}
