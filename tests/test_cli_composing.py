from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.composing import struck, tune
from midi import score_of
from test_cli import Shell, lines
from test_cli import shell as shell

from emomusic.compose.request import CONTINUE
from emomusic.emotion import find_emotion, parse_mix
from emomusic.music.score import read_score, write_score


class Generate:
    """Run `generate` with a checkpoint, into a folder of its own each time."""

    def __init__(self, shell: Shell, checkpoint: Path, folder: Path) -> None:
        self.shell, self.folder, self.n = shell, folder, 0
        self.always = ("--checkpoint", checkpoint, "--threads", 1)

    def __call__(self, *arguments: object) -> tuple[Path, list[dict[str, Any]]]:
        """Return the folder of the clips, and their cards."""
        self.n += 1
        out = self.folder / f"run_{self.n}"
        self.said = self.shell("generate", *arguments, "--out", out, *self.always)
        assert self.said.status == 0, self.said.err
        return out, lines((out / "manifest.jsonl").read_text(encoding="utf-8"))

    def refused(self, *arguments: object) -> str:
        """Return the one line by which a mistake is told."""
        said = self.shell.refused("generate", *arguments, "--out", self.folder / "no", *self.always)
        assert not list(self.folder.glob("no/*"))
        return said


@pytest.fixture
def generate(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> Generate:
    return Generate(shell, tiny_checkpoint, tmp_path)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    write_score(tune(4, tempo=93.0), tmp_path / "tune.mid")
    return tmp_path / "tune.mid"


def test_a_curve_is_composed(generate: Generate) -> None:
    out, (card,) = generate("--curve", "0:calm 3:-0.4,0.8", "--bars", 4)
    assert card["curve"] == "0:calm 3:-0.40,0.80" and card["emotion"] == card["curve"]
    assert card["bars"] == 4 and len(read_score(out / "clip_00000.mid").tempos) > 1
    assert "asked 0:calm 3:-0.40,0.80 (" in generate.said.out
    again, _ = generate("--curve", "0:calm; 3:-0.4,0.8", "--bars", 4, "--batch-size", 2)
    assert (again / "clip_00000.mid").read_bytes() == (out / "clip_00000.mid").read_bytes()


def test_a_mixture_is_composed(generate: Generate) -> None:
    _, (card,) = generate("--mix", "joy:2 fear:1", "--bars", 2)
    mixed = parse_mix("joy:2 fear:1")
    assert (card["emotion"], card["valence"]) == (mixed.name, mixed.valence)
    _, (alone,) = generate("--mix", "joy", "--bars", 2)
    assert alone["valence"] == find_emotion("joy").valence


def test_a_file_is_continued(generate: Generate, music: Path) -> None:
    for asked in ((), ("--emotion", "joy")):
        out, (card,) = generate("--continue", music, "--bars", 3, *asked)
        assert (card["given"], card["given_bars"], card["bars"]) == (CONTINUE, 4, 7)
        assert (card["tempo"], card["key"].split()[0]) == (93.0, "C")
        whole = read_score(out / "clip_00000.mid")
        assert struck(whole, 0.0, 16.0) == struck(read_score(music))
        assert {int(o // 4) for o, _ in struck(whole, 16.0)} == {0, 1, 2}
    assert card["emotion"] == "joy"


def test_a_file_is_varied(generate: Generate, music: Path) -> None:
    out, (card,) = generate("--vary", music)
    assert (card["given"], card["given_bars"], card["bars"], card["tempo"]) == ("vary", 0, 4, 93.0)
    assert struck(read_score(out / "clip_00000.mid")) != struck(read_score(music))
    _, (moved,) = generate("--vary", music, "--emotion", "fear", "--bars", 2)
    assert (moved["emotion"], moved["bars"]) == ("fear", 2)
    _, (curved,) = generate("--vary", music, "--curve", "0:fear 4:joy")
    assert curved["curve"] == "0:fear 4:joy" and curved["given"] == "vary"


@pytest.mark.parametrize(
    "asked",
    [("--emotion", "joy", "--bars", 2, "--best-of", 2),
     ("--curve", "0:joy 3:fear", "--seconds", 9, "--take", 4),
     ("--mix", "joy fear", "--bars", 1, "--key", "F# minor", "--time-signature", "3/4"),
     ("--free", "--set", "register=70", "--bars", 2, "--no-steering")],
)  # fmt: skip
def test_settings_bring_a_clip_back(generate: Generate, asked: tuple[object, ...]) -> None:
    out, cards = generate(*asked, "--count", 3, "--seed", 9, "--format", "mid,json")
    assert cards[2]["files"] == ["clip_00002.mid", "clip_00002.json"]
    again, (card,) = generate("--settings", out / "clip_00002.json", "--format", "mid,json")
    for name in cards[2]["files"]:
        assert (again / name).read_bytes() == (out / name).read_bytes()
    assert card == cards[2] and not generate.said.err


def test_settings_of_another_checkpoint_are_told_and_used(generate: Generate) -> None:
    out, _ = generate("--emotion", "joy", "--bars", 1, "--format", "json")
    path = out / "clip_00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint": "other"}))
    generate("--settings", path)
    assert generate.said.err == (
        "the settings are of a clip by other: tiny writes another one\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value"),
    [("--emotion", "joy"), ("--curve", "0:joy"), ("--mix", "joy"), ("--bars", 2), ("--seed", 0),
     ("--take", 0), ("--count", 1), ("--set", "mode=0"), ("--key", "C"), ("--tempo", 90),
     ("--continue", "x.mid"), ("--vary", "x.mid"), ("--best-of", 1), ("--time-signature", "4/4")],
)  # fmt: skip
def test_what_settings_say_is_said_by_no_option(
    generate: Generate, option: str, value: object
) -> None:
    said = generate.refused("--settings", "own.json", option, value)
    assert f"--settings says all of a clip: leave out {option}\n" in said


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe\x00", b"[" * 99_999, b"MThd", b"{\n\n"])
def test_settings_that_are_damaged_are_refused(
    generate: Generate, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "own.json").write_bytes(data)
    generate.refused("--settings", tmp_path / "own.json")
    generate.refused("--settings", tmp_path)


def test_music_that_cannot_be_taken_up_is_refused(
    generate: Generate, tmp_path: Path, shell: Shell
) -> None:
    write_score(score_of([(0, 1, 60, 60)], signatures=((0, 5, 4),)), tmp_path / "five.mid")
    write_score(score_of([(4.0 * 512, 1, 60, 60)]), tmp_path / "long.mid")
    for name, words in (("five", "5 quarter notes a bar"), ("long", "has 513 bars, at most 512")):
        assert words in generate.refused("--continue", tmp_path / f"{name}.mid")
