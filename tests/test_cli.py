"""The command line but for composing: help, mistakes, verdicts, training, lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import symusic
from helpers.shell import Shell, lines
from model_cases import TEXTS
from synthetic import make_model, make_rows, make_score

import emomusic
from emomusic.commands.research import SAMPLE_BARS, write_samples
from emomusic.model.checkpoint import save_model
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.music.tokenizer import Tokenizer, built_vocabulary, special_tokens
from emomusic.verify import report
from emomusic.verify.report import examine
from emomusic.verify.verifier import Verdict, Verifier

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("generate", "quadrants", "studio", "verify", "attributes", "emotions", "prepare",
            "train", "fit", "evaluate", "check-verifier")  # fmt: skip
SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of one good and one bad file."""
    (tmp_path / "music").mkdir()
    write_score(make_score(SCALE, tempo=90.0), tmp_path / "music" / "good.mid")
    (tmp_path / "music" / "bad.mid").write_bytes(b"MThd")
    return tmp_path / "music"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(shell: Shell, command: str) -> None:
    said = shell(*command.split(), "--help")
    assert said.status == 0 and "Usage" in said.out and "--help" in said.out and not said.err
    assert command or (said.out == shell().out and all(name in said.out for name in COMMANDS))


def ran(*arguments: object) -> str:
    """Return what a new process says."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_the_package_and_scripts_are_commands_and_the_help_is_shown_at_once() -> None:
    before = os.times()
    assert "Usage" in ran("-m", "emomusic", "--help")
    after = os.times()
    took = after.children_user - before.children_user
    assert took + after.children_system - before.children_system < 1.0
    assert ran("-m", "emomusic", "--version").strip() == emomusic.__version__
    for name in ("prepare", "train", "fit", "evaluate"):
        assert f" {name} " in ran(f"scripts/{name}.py", "--help")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["genrate"], "'generate'"),
        (["generate", "--emoton"], "--emotion"),
        (["generate"], ""), (["verify"], ""), (["fly"], ""), (["--loud"], ""), (["fit"], ""),
        (["train"], "set minutes or max_steps"),
        (["train", "--max-steps", "3", "--config", "none.toml"], "cannot read settings from"),
        (["train", "--max-steps", "3", "--device", "moon"], "device must be auto, cpu or cuda"),
        (["prepare", "--source", "none"], "no such folder"),
        (["check-verifier"], "name --source, to measure by folds, or --data, or both"),
        (["attributes"], "give MIDI files, or --list"),
        (["attributes", "a.mid", "--list"], "give MIDI files, or --list"),
        (["attributes", "empty"], "no MIDI files (.mid, .midi) found"),
        (["verify", "a.mid", "--checkpoint", "nowhere"], "no such checkpoint folder: nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_a_mistyped_word_is_answered_with_the_nearest(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert words in shell.refused(*arguments)


def test_verdicts_and_attributes_are_told(
    shell: Shell, tiny_checkpoint: Path, folder: Path
) -> None:
    asked = ("--checkpoint", tiny_checkpoint)
    said = shell("verify", folder / "good.mid", *asked)
    assert said.status == 0 and not said.err
    assert said.out.startswith(f"{folder / 'good.mid'}  Q") and "tempo=90" in said.out
    said = shell("verify", folder, *asked)
    assert said.status == 3
    assert said.out.count("\n") == 1 and "good.mid" in said.out
    assert said.err.count("\n") == 1 and "bad.mid: damaged MIDI file" in said.err
    said = shell("verify", folder / "bad.mid", folder / "none.mid", *asked)
    assert said.status == 1 and not said.out and said.err.count("\n") == 2
    for command, keys in ((("verify", *asked), {"verdict", "attributes"}),
                          (("attributes",), {"attributes"})):  # fmt: skip
        said = shell(*command, "--json", folder)
        bad, good = lines(said.out)
        assert said.status == 3 and not said.err
        assert set(bad) == {"file", "error"} and set(good) == {"file", *keys}
        assert good["file"] == str(folder / "good.mid")


def test_what_can_be_asked_is_listed(shell: Shell) -> None:
    for command, n, first in ((("emotions",), 102, "admiration"),
                              (("attributes", "--list"), 22, "tempo")):  # fmt: skip
        rows = lines(shell(*command, "--json").out)
        assert len(rows) == n and rows[0]["name"] == first
        assert len(shell(*command).out.splitlines()) == n + 1


def test_a_verifier_that_is_missing_or_damaged_fails(
    shell: Shell, own_checkpoint: Path, folder: Path
) -> None:
    path = own_checkpoint / "verifier.safetensors"
    for damage in (lambda: path.write_bytes(b"{}"), path.unlink):
        damage()
        shell.refused("verify", folder, "--checkpoint", own_checkpoint, status=1)


@pytest.mark.skipif(os.name == "nt", reason="names are text, and pipes close otherwise there")
def test_a_name_that_is_no_text_and_a_reader_that_leaves_early_are_no_traceback(
    shell: Shell, tmp_path: Path
) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\n.mid"
    write_score(make_score(SCALE), Path(os.fsdecode(path)))
    said = shell("attributes", tmp_path)
    assert said.status == 0 and said.out.count("\n") == 1 and "\\udcff" in said.out
    (record,) = lines(shell("attributes", "--json", tmp_path).out)
    assert os.fsencode(record["file"]) == path
    for name in range(300):
        write_score(make_score(SCALE), tmp_path / f"{name}.mid")
    command = f"{sys.executable} -m emomusic attributes --json {tmp_path} | head -n 1"
    said = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert said.stdout.count("\n") == 1 and "Traceback" not in said.stderr


def test_a_model_is_trained(shell: Shell, tmp_path: Path) -> None:
    make_rows().save(tmp_path / "rows.npz")
    (tmp_path / "run.toml").write_text("context = 128\neval_minutes = 0\n", encoding="utf-8")
    asked = ("train", "--config", tmp_path / "run.toml", "--size", "tiny", "--device", "cpu",
             "--threads", 1, "--max-steps", 3, "--micro-batches", 1)  # fmt: skip
    said = shell(*asked, "--rows", tmp_path / "rows.npz", "--out", tmp_path / "out")
    assert said.status == 0, said.err
    assert "nats_per_note" in said.out and (tmp_path / "out" / "config.json").is_file()
    branch = ("--branch-from", tmp_path / "lost", "--out", tmp_path / "x")
    assert "lost" in shell.refused(*asked, *branch, "--rows", tmp_path / "rows.npz", status=1)
    shell.refused(*asked, "--rows", tmp_path / "no.npz", "--out", tmp_path / "x", status=1)


def test_what_is_missing_to_fit_prepare_or_evaluate_fails_in_one_line(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    said = shell.refused("fit", "--source", tmp_path, "--checkpoint", tmp_path / "out", status=1)
    assert "labels.csv" in said
    said = shell.refused("prepare", "--source", tmp_path, "--out", tmp_path / "rows.npz", status=1)
    assert "no MIDI files" in said
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


# why a verdict is so


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return twelve bars of a walk over C major, a note a beat."""
    steps = np.cumsum(np.random.default_rng(0).integers(-2, 3, 48)) % 8
    write_score(make_score([SCALE[step] for step in steps]), tmp_path / "song.mid")
    return tmp_path / "song.mid"


def test_a_verdict_is_explained_by_bars_of_the_time_signature(
    shell: Shell, tiny_checkpoint: Path, file: Path
) -> None:
    asked = ("verify", file, "--checkpoint", tiny_checkpoint)
    (plain,) = lines(shell(*asked, "--json").out)
    (explained,) = lines(shell(*asked, "--json", "--explain").out)
    assert explained["verdict"] == plain["verdict"] and "explanation" not in plain
    bars = [tuple(window["bars"]) for window in explained["course"]["windows"]]
    assert bars == [(1, 4), (5, 8), (9, 12)]
    assert explained["explanation"]["sentence"] in shell(*asked, "--explain").out
    waltz = read_score(file)
    waltz.time_signatures[0] = symusic.TimeSignature(0, 3, 4)
    write_score(waltz, file)
    (record,) = lines(shell(*asked, "--json", "--explain").out)
    assert record["course"]["windows"][-1]["bars"] == [13, 16]


def test_pictures_are_drawn_and_none_is_lost(
    shell: Shell, tiny_checkpoint: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--json", "--pictures")
    drawn = [Path(lines(shell(*asked, file.parent / "why").out)[0]["picture"]) for _ in range(2)]
    assert [path.name for path in drawn] == ["song.png", "song_2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    shell.refused(*asked, file, status=1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib" in shell.refused(*asked, file.parent / "why", status=1)


@pytest.mark.parametrize("how", [{}, {"explained": True}, {"pictures": Path("why")}])
def test_a_file_is_read_once_and_judged_once(
    tiny_checkpoint: Path, file: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    read, judged = Mock(side_effect=read_score), []
    plain = Verifier.verdict

    def verdict(verifier: Verifier, notes: Notes) -> Verdict:
        judged.append(notes.columns)
        return plain(verifier, notes)

    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(report, "read_score", read)
    monkeypatch.setattr(Verifier, "verdict", verdict)
    assert examine(file, Verifier.load(tiny_checkpoint), **how).error is None
    own = notes_of(read_score(file)).columns
    assert read.call_count == sum(all(map(np.array_equal, own, found)) for found in judged) == 1


# samples of a checkpoint in training


def test_samples_of_a_checkpoint_are_music_and_the_same_for_a_step(own_checkpoint: Path) -> None:
    folder = own_checkpoint / "run" / "samples"
    found = []
    for step in (1200, 1200, 2):
        write_samples(own_checkpoint, step)
        found.append((folder / f"step_{step:06d}_free.mid").read_bytes())
    assert found[0] == found[1] != found[2]
    names = [f"step_{step}_{name}.mid" for step in ("000002", "001200")
             for name in ("free", "high", "low")]  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == names
    for path in folder.iterdir():
        notes = notes_of(read_score(path))
        assert len(notes) and notes.onset.max() < 4 * SAMPLE_BARS


def test_samples_are_of_the_attributes_in_the_tables_and_none_of_other_tokens(
    own_checkpoint: Path,
) -> None:
    path, tokenizer = own_checkpoint / "tables.json", own_checkpoint / "tokenizer.json"
    tables = json.loads(path.read_text("utf-8"))
    for key in ("attributes", "edges"):
        tables[key] = tables[key][:6]
    path.write_text(json.dumps(tables), encoding="utf-8")
    tokenizer.unlink()
    vocabulary = built_vocabulary(special_tokens(tables["attributes"], tables["bar_attributes"]))
    for texts in (TEXTS, vocabulary.texts):
        assert not (own_checkpoint / "run").exists() and not tokenizer.exists()
        save_model(own_checkpoint, make_model(texts), recipe={})
        write_samples(own_checkpoint, 1)
    assert Tokenizer(tokenizer).vocabulary == vocabulary
    assert len(list((own_checkpoint / "run" / "samples").iterdir())) == 3
