from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_score

from emomusic.compose import export
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.export import OutputError, check_folder, write_clips
from emomusic.compose.parse import ClipSpec, parse_settings_file
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.score import ScoreError, notes_of, read_score, write_score

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def clips(tiny_checkpoint: Path) -> list[Clip]:
    request = Request(Emotion(0.5, 0.5), n_bars=2)
    return list(Composer(tiny_checkpoint).compose(request, seed=1, count=3))


def manifest(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_clip_has_its_file_and_its_line(clips: list[Clip], tmp_path: Path) -> None:
    cards = list(write_clips(clips, tmp_path))
    assert names(tmp_path) == ["clip_00000.mid", "clip_00001.mid", "clip_00002.mid",
                               "manifest.jsonl"]  # fmt: skip
    assert manifest(tmp_path) == cards
    for clip, card in zip(clips, cards, strict=True):
        assert card["file"] == f"clip_{clip.index:05d}.mid" and card["files"] == [card["file"]]
        written = notes_of(read_score(tmp_path / card["file"]))
        assert written.pitch.tolist() == notes_of(clip.score).pitch.tolist()


def test_other_formats_are_written_beside(clips: list[Clip], tmp_path: Path) -> None:
    (card,) = write_clips(clips[:1], tmp_path, formats=("wav", "mid", "mp3"))
    assert card["file"] == "clip_00000.wav"
    assert card["files"] == ["clip_00000.wav", "clip_00000.mid", "clip_00000.mp3"]
    assert set(card["files"]) < set(names(tmp_path))
    assert (tmp_path / "clip_00000.wav").read_bytes()[:4] == b"RIFF"
    list(write_clips(clips[:1], tmp_path / ".", formats=("mp3",)))
    assert manifest(tmp_path)[0]["files"] == ["clip_00000.mp3"]


def test_notation_and_settings_are_written_beside(clips: list[Clip], tmp_path: Path) -> None:
    (card,) = write_clips(clips[:1], tmp_path, formats=("mid", "musicxml", "svg", "json"))
    assert card["files"] == [f"clip_00000.{s}" for s in ("mid", "musicxml", "svg", "json")]
    assert set(card["files"]) < set(names(tmp_path))
    assert "<score-partwise" in (tmp_path / "clip_00000.musicxml").read_text(encoding="utf-8")
    assert "<svg" in (tmp_path / "clip_00000.svg").read_text(encoding="utf-8")


def test_settings_that_are_written_are_the_clips(clips: list[Clip], tmp_path: Path) -> None:
    cards = list(write_clips(clips, tmp_path, formats=("json",)))
    for clip, card in zip(clips, cards, strict=True):
        text = (tmp_path / card["file"]).read_text(encoding="utf-8")
        assert parse_settings_file(text) == ClipSpec.of(clip)


def test_a_clip_is_there_as_soon_as_its_card_is(clips: list[Clip], tmp_path: Path) -> None:
    for card in write_clips(clips, tmp_path):
        assert (tmp_path / card["file"]).is_file()


def test_a_run_that_is_stopped_leaves_a_manifest(clips: list[Clip], tmp_path: Path) -> None:
    running = write_clips(clips, tmp_path)
    assert isinstance(running, Iterator)
    next(running)
    next(running)
    running.close()  # type: ignore[attr-defined]
    assert [card["index"] for card in manifest(tmp_path)] == [0, 1]


def test_the_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == []


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for folder in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(OutputError, match=r"cannot write into .*: (File exists|Not a d)"):
            check_folder(folder)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_disk_that_fills_up_leaves_whole_clips_only(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_score
    left = [2]

    def fill(score: Any, path: Path) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= 1
        real(score, path)

    monkeypatch.setattr(export, "write_score", fill)
    with pytest.raises(OutputError, match=r"cannot write into .*: No space left on device"):
        list(write_clips(clips, tmp_path))
    assert names(tmp_path) == ["clip_00000.mid", "clip_00001.mid", "manifest.jsonl"]
    assert [card["index"] for card in manifest(tmp_path)] == [0, 1]


def test_a_sheet_that_cannot_be_written_takes_its_clip_along(
    clips: list[Clip], tmp_path: Path
) -> None:
    long = replace(clips[1], score=make_score([60] * 6000))
    with pytest.raises(ScoreError, match="6000 notes"):
        list(write_clips([clips[0], long], tmp_path, formats=("mid", "json", "musicxml")))
    assert [card["index"] for card in manifest(tmp_path)] == [0]
    assert names(tmp_path) == ["clip_00000.json", "clip_00000.mid", "clip_00000.musicxml",
                               "manifest.jsonl"]  # fmt: skip


def test_a_sound_that_cannot_be_written_takes_its_clip_along(
    clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "clip_00001.wav").mkdir()  # in the way of the second clip's sound
    with pytest.raises(OutputError, match=r"cannot write into"):
        list(write_clips(clips, tmp_path, formats=("mid", "wav")))
    assert names(tmp_path) == ["clip_00000.mid", "clip_00000.wav", "clip_00001.wav",
                               "manifest.jsonl"]  # fmt: skip
