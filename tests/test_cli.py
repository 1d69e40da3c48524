from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_rows, make_score

import emomusic
from emomusic.cli import main
from emomusic.emotion import QUADRANTS
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("generate", "quadrants", "verify", "attributes", "prepare", "train", "fit", "evaluate")
SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@dataclass(frozen=True)
class Said:
    """Hold what a command said and its exit status."""

    status: int
    out: str
    err: str


class Shell:
    """Run commands in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, *arguments: object) -> Said:
        self.patch.setattr(sys, "argv", ["emomusic", *map(str, arguments)])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capture.readouterr()
        return Said(int(end.value.code or 0), said.out, said.err)

    def refused(self, *arguments: object, status: int = 2) -> str:
        """Run a command that must fail; return the one line that it says of it."""
        said = self(*arguments)
        assert said.status == status, said
        assert said.err.startswith("Error: ") and said.err.count("\n") == 1, said.err
        return said.err


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("EMOMUSIC_CHECKPOINT", raising=False)
    return Shell(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("arguments", "words"), [(["genrate"], "'generate'"), (["generate", "--emoton"], "--emotion")]
)
def test_a_mistyped_word_is_answered_with_the_nearest(
    shell: Shell, arguments: list[str], words: str
) -> None:
    assert words in shell.refused(*arguments)


def test_the_package_is_a_command() -> None:
    command = [sys.executable, "-m", "emomusic", "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert said.stdout.strip() == emomusic.__version__


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of one good and one bad file."""
    (tmp_path / "music").mkdir()
    write_score(make_score(SCALE, tempo=90.0), tmp_path / "music" / "good.mid")
    (tmp_path / "music" / "bad.mid").write_bytes(b"MThd")
    return tmp_path / "music"


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(shell: Shell, command: str) -> None:
    said = shell(*([command] if command else []), "--help")
    assert said.status == 0 and "Usage" in said.out and "--help" in said.out
    assert not said.err


def test_without_a_command_the_help_is_shown(shell: Shell) -> None:
    said = shell()
    assert said.status == 0 and all(command in said.out for command in COMMANDS)


def test_help_comes_at_once() -> None:
    code = "import sys; sys.argv = ['emomusic', '--help']; from emomusic.cli import main; main()"
    before = os.times()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = os.times()
    took = after.children_user - before.children_user
    assert took + after.children_system - before.children_system < 1.0


def test_clips_are_written_with_a_manifest(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = shell("generate", "--emotion", "joy", "--bars", 2, "--count", 2, "--seed", 5,
                 "--out", out, "--checkpoint", tiny_checkpoint)  # fmt: skip
    assert said.status == 0, said.err
    assert sorted(p.name for p in out.iterdir()) == [
        "clip_00000.mid", "clip_00001.mid", "manifest.jsonl"
    ]  # fmt: skip
    cards = lines((out / "manifest.jsonl").read_text())
    assert [card["file"] for card in cards] == ["clip_00000.mid", "clip_00001.mid"]
    wanted = {
        "file", "index", "seed", "emotion", "valence", "arousal", "bars", "tempo", "key",
        "targets", "achieved", "verdict", "best_of", "checkpoint", "version",
    }  # fmt: skip
    for card in cards:
        assert wanted <= set(card)
        assert set(card["verdict"]) == {
            "quadrant", "probabilities", "valence", "arousal", "valence_sd", "arousal_sd", "trust"
        }  # fmt: skip
        assert tuple(card["targets"]) == tuple(card["achieved"]) == ATTRIBUTE_NAMES
    assert (cards[0]["seed"], cards[0]["emotion"], cards[0]["bars"]) == (5, "joy", 2)
    assert cards[0]["version"] == emomusic.__version__
    shown = said.out.splitlines()
    assert len(shown) == 2 and shown[0].startswith("clip_00000.mid  asked joy (")
    assert any(f"heard {quadrant}" in shown[0] for quadrant in QUADRANTS)


def test_same_command_same_bytes(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> None:
    def run(name: str, *more: object) -> dict[str, bytes]:
        asked = ("generate", "--valence", -0.4, "--arousal", 0.2, "--bars", 2, "--count", 3)
        said = shell(*asked, "--out", tmp_path / name, "--checkpoint", tiny_checkpoint, *more)
        assert said.status == 0, said.err
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    first = run("a")
    assert run("b") == first and run("c", "--batch-size", 2) == first
    assert run("d", "--seed", 1) != first


def test_sound_is_of_the_soundfont_that_is_named(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOMUSIC_SOUNDFONT", "")  # what the option sets is undone
    (tmp_path / "none.sf2").write_bytes(b"RIFF")
    asked = ("generate", "--emotion", "joy", "--bars", 1, "--format", "wav", "--out", tmp_path,
             "--checkpoint", tiny_checkpoint, "--soundfont")  # fmt: skip
    assert "'--soundfont'" in shell.refused(*asked, tmp_path / "lost.sf2")
    said = shell(*asked, tmp_path / "none.sf2")
    told = f"clip 0: the soundfont {tmp_path / 'none.sf2'} cannot be played: "
    assert said.status == 1 and said.err.startswith(told)


def test_what_is_fixed_is_kept(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> None:
    said = shell("generate", "--emotion", "calm", "--seconds", 6, "--tempo", 80,
                 "--key", "F# minor", "--time-signature", "3/4",
                 "--set", "note_density=2", "--set", "register=60",
                 "--best-of", 2, "--temperature", 0.8, "--top-p", 0.9, "--diversity", 0,
                 "--threads", 1, "--out", tmp_path, "--checkpoint", tiny_checkpoint)  # fmt: skip
    assert said.status == 0, said.err
    (card,) = lines((tmp_path / "manifest.jsonl").read_text())
    assert (card["tempo"], card["key"], card["bars"]) == (80.0, "Gb minor", 3)
    assert card["time_signature"] == "3/4" and card["best_of"] == 2
    assert card["targets"]["note_density"] == 2 and card["targets"]["register"] == 60


def test_without_an_emotion_what_is_set_is_all_that_is_asked(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    said = shell("generate", "--free", "--bars", 2, "--set", "register=60", "--tempo", 90,
                 "--count", 2, "--out", tmp_path, "--checkpoint", tiny_checkpoint)  # fmt: skip
    assert said.status == 0, said.err
    for card in lines((tmp_path / "manifest.jsonl").read_text()):
        assert card["emotion"] is card["valence"] is card["arousal"] is None
        assert card["targets"] == {"register": 60.0, "tempo": 90.0}
        assert tuple(card["achieved"]) == ATTRIBUTE_NAMES and card["tempo"] == 90.0
    assert len(said.out.splitlines()) == 2
    assert said.out.startswith("clip_00000.mid  ") and "None" not in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--emotion", "joy", "--format", "ogg"], "format must be of mid, wav, flac, mp3, "),
        (["--emotion", "joy", "--count", "many"], "'--count'"),
        (["--emotion", "joy", "--time-signature", "5/4"], "'--time-signature'"),
        (["--emotion", "joy", "--colour", "red"], "--colour"),
        (["--emotion", "joy", "--checkpoint", "nowhere"], "no such checkpoint folder: nowhere"),
    ],
)
def test_a_mistake_is_one_line(
    shell: Shell, tmp_path: Path, arguments: list[str], words: str
) -> None:
    assert words in shell.refused("generate", "--out", tmp_path / "out", *arguments)


@pytest.mark.parametrize(
    "arguments", [["generate"], ["verify"], ["fly"], ["--loud"], ["fit"], ["train"], ["prepare"]]
)
def test_mistakes_that_the_parser_finds_are_one_line_too(
    shell: Shell, arguments: list[str]
) -> None:
    shell.refused(*arguments)


@pytest.mark.parametrize(
    "part", ["config.json", "tables.json", "mapper.json", "tokenizer.json", "steering.json"]
)
def test_a_damaged_checkpoint_fails_in_one_line(
    shell: Shell, own_checkpoint: Path, tmp_path: Path, part: str
) -> None:
    (own_checkpoint / part).write_text("{")
    shell.refused("generate", "--emotion", "joy", "--out", tmp_path / "out",
                  "--checkpoint", own_checkpoint, status=1)  # fmt: skip


def test_quadrants_writes_one_clip_for_each(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = ("quadrants", "--bars", 2, "--format", "mid", "--out", tmp_path,
             "--checkpoint", tiny_checkpoint)  # fmt: skip
    said = shell(*asked)
    assert said.status == 0 and "each is the best of 4 draws" in said.out, said.err
    cards = lines((tmp_path / "manifest.jsonl").read_text())
    assert {card["best_of"] for card in cards} == {4}
    for line, card, quadrant in zip(said.out.splitlines()[1:], cards, QUADRANTS, strict=True):
        assert line.startswith(f"{card['file']}  asked {quadrant} (")
        assert f"heard {card['verdict']['quadrant']} (" in line and card["key"] in line
    assert {path.name for path in tmp_path.iterdir()} == {
        "manifest.jsonl", *(card["file"] for card in cards)
    }  # fmt: skip
    assert "best of" not in shell(*asked, "--best-of", 1).out


def test_verdicts_are_told(shell: Shell, tiny_checkpoint: Path, folder: Path) -> None:
    said = shell("verify", folder / "good.mid", "--checkpoint", tiny_checkpoint)
    assert said.status == 0 and not said.err
    assert said.out.startswith(f"{folder / 'good.mid'}  Q") and "tempo=90" in said.out


def test_good_and_bad_files_together_are_partly_done(
    shell: Shell, tiny_checkpoint: Path, folder: Path
) -> None:
    said = shell("verify", folder, "--checkpoint", tiny_checkpoint)
    assert said.status == 3
    assert said.out.count("\n") == 1 and "good.mid" in said.out
    assert said.err.count("\n") == 1 and "bad.mid: damaged MIDI file" in said.err


def test_only_bad_files_fail(shell: Shell, tiny_checkpoint: Path, folder: Path) -> None:
    said = shell("verify", folder / "bad.mid", folder / "none.mid", "--checkpoint", tiny_checkpoint)
    assert said.status == 1 and not said.out and said.err.count("\n") == 2


def test_verdicts_come_as_json(shell: Shell, tiny_checkpoint: Path, folder: Path) -> None:
    said = shell("verify", "--json", folder, "--checkpoint", tiny_checkpoint)
    bad, good = lines(said.out)
    assert said.status == 3 and not said.err
    assert set(bad) == {"file", "error"} and set(good) == {"file", "verdict", "attributes"}
    assert good["file"] == str(folder / "good.mid")


def test_attributes_are_measured_without_a_checkpoint(shell: Shell, folder: Path) -> None:
    said = shell("attributes", "--json", folder / "good.mid")
    (record,) = lines(said.out)
    assert said.status == 0 and set(record) == {"file", "attributes"}
    assert shell("attributes", folder).status == 3
    assert shell("attributes", folder / "bad.mid").status == 1


def test_a_folder_without_midi_files_is_a_mistake(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for command in (["attributes"], ["verify", "--checkpoint", tiny_checkpoint]):
        said = shell.refused(*command, tmp_path / "empty")
        assert "no MIDI files (.mid, .midi) found" in said


def test_a_verifier_that_is_missing_or_damaged_fails(
    shell: Shell, own_checkpoint: Path, folder: Path
) -> None:
    (own_checkpoint / "verifier.safetensors").write_bytes(b"{}")
    shell.refused("verify", folder, "--checkpoint", own_checkpoint, status=1)
    (own_checkpoint / "verifier.safetensors").unlink()
    shell.refused("verify", folder, "--checkpoint", own_checkpoint, status=1)
    shell.refused("verify", folder, "--checkpoint", folder / "nowhere")


def test_a_model_is_trained(shell: Shell, tmp_path: Path) -> None:
    make_rows().save(tmp_path / "rows.npz")
    (tmp_path / "run.toml").write_text("context = 128\neval_minutes = 0\n", encoding="utf-8")
    asked = ("train", "--rows", tmp_path / "rows.npz", "--config", tmp_path / "run.toml",
             "--size", "tiny", "--device", "cpu", "--threads", 1)  # fmt: skip
    said = shell(*asked, "--max-steps", 3, "--micro-batches", 1, "--out", tmp_path / "out")
    assert said.status == 0, said.err
    assert "nats_per_note" in said.out and (tmp_path / "out" / "config.json").is_file()
    assert "set minutes or max_steps" in shell.refused(*asked)
    words = shell.refused(*asked, "--max-steps", 3, "--config", tmp_path / "none.toml")
    assert "cannot read settings from" in words
    shell.refused("train", "--rows", tmp_path / "no.npz", "--max-steps", 3, "--out", tmp_path / "x",
                  "--size", "tiny", "--device", "cpu", status=1)  # fmt: skip


def test_fitting_without_labels_fails_in_one_line(shell: Shell, tmp_path: Path) -> None:
    said = shell.refused("fit", "--source", tmp_path, "--checkpoint", tmp_path / "out", status=1)
    assert "labels.csv" in said


def test_evaluating_without_labels_or_rows_fails_in_one_line(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = ("evaluate", "--source", tmp_path, "--out", tmp_path / "out", "--quick",
             "--checkpoint", tiny_checkpoint)  # fmt: skip
    assert "unknown section 'noise'; known are emotion" in shell.refused(*asked, "--only", "noise")
    shell.refused(*asked, "--only", "emotion", status=1)
    said = shell.refused(*asked, "--only", "shape", "--rows", tmp_path / "no.npz", status=1)
    assert "no.npz" in said


def test_one_section_is_evaluated(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = ("evaluate", "--source", tmp_path, "--out", tmp_path / "out", "--only", "shape",
             "--count", 1, "--bars", 2, "--no-steering",
             "--checkpoint", tiny_checkpoint)  # fmt: skip
    said = shell(*asked)
    assert said.status == 0, said.err
    assert "- clips: 1 first draws a quadrant, 2 bars, seed 0" in said.out
    assert "| files that hold the notes composed | 4 | 4 |" in said.out
    assert "- emotion: it was not asked for" in said.out
    assert {"clip_00003.mid", "manifest.jsonl", "evaluation.md", "evaluation.json", "sections"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    assert shell(*asked).out == said.out


def test_preparing_without_music_fails_in_one_line(shell: Shell, tmp_path: Path) -> None:
    assert "no such folder" in shell.refused("prepare", "--source", tmp_path / "none")
    said = shell.refused("prepare", "--source", tmp_path, "--out", tmp_path / "rows.npz", status=1)
    assert "no MIDI files" in said


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_shown_all_the_same(shell: Shell, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n.mid"
    write_score(make_score(SCALE), Path(os.fsdecode(path)))
    said = shell("attributes", tmp_path)
    assert said.status == 0 and said.out.count("\n") == 1 and "\\udcff" in said.out
    (record,) = lines(shell("attributes", "--json", tmp_path).out)
    assert os.fsencode(record["file"]) == path


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path) -> None:
    for name in range(300):
        write_score(make_score(SCALE), tmp_path / f"{name}.mid")
    code = "from emomusic.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "attributes", "--json", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.wait(timeout=30)


@pytest.mark.parametrize("name", ["prepare", "train", "fit", "evaluate"])
def test_scripts_are_the_commands(name: str) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "tests",
    )
    assert result.returncode == 0 and f" {name} " in result.stdout, result.stderr


def test_what_can_be_asked_is_listed(shell: Shell) -> None:
    for command, n, first in ((("emotions",), 102, "admiration"),
                              (("attributes", "--list"), 22, "tempo")):  # fmt: skip
        rows = lines(shell(*command, "--json").out)
        assert len(rows) == n and rows[0]["name"] == first
        assert len(shell(*command).out.splitlines()) == n + 1
    assert shell.refused("attributes") == shell.refused("attributes", "a.mid", "--list")
