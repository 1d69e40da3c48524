"""The command line: help, mistakes, composing, jobs, verdicts, training, lists."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import symusic
from helpers.composing import struck, tune
from helpers.jobs import tree
from helpers.shell import Said, Shell, lines
from midi import score_of
from model_cases import TEXTS
from synthetic import make_model, make_rows, make_score

import emomusic
from emomusic import terminal
from emomusic.commands.research import SAMPLE_BARS, write_samples
from emomusic.compose.composer import Composer
from emomusic.compose.request import CONTINUE
from emomusic.emotion import QUADRANTS, parse_mix
from emomusic.files import rounded
from emomusic.model.checkpoint import save_model
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.music.tokenizer import Tokenizer, built_vocabulary, special_tokens
from emomusic.verify import report
from emomusic.verify.report import examine
from emomusic.verify.verifier import Verdict, Verifier

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("generate", "quadrants", "studio", "verify", "perform", "attributes", "emotions",
            "prepare", "train", "fit", "evaluate", "check-verifier")  # fmt: skip
SCALE = [60, 62, 64, 65, 67, 69, 71, 72]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of one good and one bad file."""
    (tmp_path / "music").mkdir()
    write_score(make_score(SCALE, tempo=90.0), tmp_path / "music" / "good.mid")
    (tmp_path / "music" / "bad.mid").write_bytes(b"MThd")
    return tmp_path / "music"


@pytest.fixture
def music(tmp_path: Path) -> Path:
    write_score(tune(12, tempo=93.0), tmp_path / "tune.mid")
    return tmp_path / "tune.mid"


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
        (["attributes", "empty"], "no MIDI files (.mid, .midi, .kar, .rmi, .smf) found"),
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


def test_a_verdict_is_explained_by_bars_of_the_time_signature(
    shell: Shell, tiny_checkpoint: Path, music: Path
) -> None:
    asked = ("verify", music, "--checkpoint", tiny_checkpoint)
    (plain,) = lines(shell(*asked, "--json").out)
    (explained,) = lines(shell(*asked, "--json", "--explain").out)
    assert explained["verdict"] == plain["verdict"] and "explanation" not in plain
    bars = [tuple(window["bars"]) for window in explained["course"]["windows"]]
    assert bars == [(1, 4), (5, 8), (9, 12)]
    assert explained["explanation"]["sentence"] in shell(*asked, "--explain").out
    waltz = read_score(music)
    waltz.time_signatures[0] = symusic.TimeSignature(0, 3, 4)
    write_score(waltz, music)
    (record,) = lines(shell(*asked, "--json", "--explain").out)
    assert record["course"]["windows"][-1]["bars"] == [13, 16]


def test_pictures_are_drawn_and_none_is_lost(
    shell: Shell, tiny_checkpoint: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    asked = ("verify", music, "--checkpoint", tiny_checkpoint, "--json", "--pictures")
    drawn = [Path(lines(shell(*asked, music.parent / "why").out)[0]["picture"]) for _ in range(2)]
    assert [path.name for path in drawn] == ["tune.png", "tune_2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
    shell.refused(*asked, music, status=1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib" in shell.refused(*asked, music.parent / "why", status=1)


@pytest.mark.parametrize("how", [{}, {"explained": True}, {"pictures": Path("why")}])
def test_a_file_is_read_once_and_judged_once(
    tiny_checkpoint: Path, music: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    read, judged = Mock(side_effect=read_score), []
    plain = Verifier.verdict

    def verdict(verifier: Verifier, notes: Notes) -> Verdict:
        judged.append(notes.columns)
        return plain(verifier, notes)

    monkeypatch.chdir(music.parent)
    monkeypatch.setattr(report, "read_score", read)
    monkeypatch.setattr(Verifier, "verdict", verdict)
    assert examine(music, Verifier.load(tiny_checkpoint), **how).error is None
    own = notes_of(read_score(music)).columns
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


# composing


class Generate:
    """Run `generate` with a checkpoint, into a folder of its own each time."""

    def __init__(self, shell: Shell, checkpoint: Path, folder: Path) -> None:
        self.shell, self.folder, self.n = shell, folder, 0
        self.always = ("--checkpoint", checkpoint, "--threads", 1)
        self.spec = folder / "jobs.csv"

    def run(self, *arguments: object, out: str = "") -> Said:
        """Run it, however it ends; `out` names the folder."""
        self.n += 1
        self.out = self.folder / (out or f"run_{self.n}")
        return self.shell("generate", *arguments, "--out", self.out, *self.always)

    def job(self, out: str, *arguments: object, table: str = "", spec: str = "") -> Said:
        """Do a job of a table, or of the one before."""
        if table:
            self.spec.write_text(table, encoding="utf-8")
        return self.run("--spec", spec or self.spec, *arguments, out=out)

    def __call__(self, *arguments: object) -> tuple[Path, list[dict[str, Any]]]:
        """Return the folder of the clips, and their cards."""
        self.said = self.run(*arguments)
        assert self.said.status == 0, self.said.err
        return self.out, self.cards()

    def cards(self, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
        """Return the lines of the manifest of the last run."""
        return lines((self.out / name).read_text(encoding="utf-8"))

    def refused(self, *arguments: object) -> str:
        """Return the one line by which a mistake is told."""
        said = self.shell.refused("generate", *arguments, "--out", self.folder / "no", *self.always)
        assert not list(self.folder.glob("no/*"))
        return said


@pytest.fixture
def generate(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> Generate:
    return Generate(shell, tiny_checkpoint, tmp_path)


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """Return music that cannot be taken up."""
    write_score(score_of([(0, 1, 60, 60)], signatures=((0, 5, 4),)), tmp_path / "odd.mid")
    return tmp_path / "odd.mid"


def test_clips_are_written_with_a_manifest_and_the_same_command_writes_the_same_bytes(
    generate: Generate,
) -> None:
    asked = ("--valence", -0.4, "--arousal", 0.2, "--bars", 2, "--count", 3)
    out, cards = generate(*asked, "--seed", 5)
    shown, first = generate.said.out.splitlines(), tree(out)
    names = [f"clip_0000{n}.mid" for n in range(3)]
    assert sorted(first) == [".emomusic/job.json", *names, "manifest.jsonl"]
    assert [card["file"] for card in cards] == names
    for card in cards:
        assert {"file", "index", "key", "best_of", "checkpoint"} <= set(card)
        assert set(card["verdict"]) == {
            "quadrant", "probabilities", "valence", "arousal", "valence_sd", "arousal_sd", "trust"
        }  # fmt: skip
        assert tuple(card["targets"]) == tuple(card["achieved"]) == ATTRIBUTE_NAMES
        assert (card["seed"], card["emotion"], card["bars"]) == (5, "Q2", 2)
        assert (card["valence"], card["version"]) == (-0.4, emomusic.__version__)
    assert len(shown) == 3 and shown[0].startswith("clip_00000.mid  asked Q2 (-0.40, +0.20)")
    assert any(f"heard {quadrant}" in shown[0] for quadrant in QUADRANTS)
    assert tree(generate(*asked, "--seed", 5, "--batch-size", 2)[0]) == first
    assert tree(generate(*asked, "--seed", 1)[0]) != first


def test_sound_is_of_the_soundfont_that_is_named(
    generate: Generate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMOMUSIC_SOUNDFONT", "")  # what the option sets is undone
    (tmp_path / "none.sf2").write_bytes(b"RIFF")
    asked = ("--emotion", "joy", "--bars", 1, "--format", "wav", "--soundfont")
    assert "--soundfont names no file: " in generate.refused(*asked, tmp_path / "lost.sf2")
    said = generate.run(*asked, tmp_path / "none.sf2")
    told = f"clip 0: the soundfont {tmp_path / 'none.sf2'} cannot be played: "
    assert said.status == 1 and said.err.startswith(told)


def test_what_is_fixed_is_kept_and_a_verdict_is_explained(generate: Generate) -> None:
    _, (card,) = generate(
        "--emotion", "calm", "--seconds", 6, "--tempo", 80, "--key", "F# minor", "--explain",
        "--time-signature", "3/4", "--set", "note-density = 2", "--set", "register=60",
        "--best-of", 2, "--temperature", 0.8, "--top-p", 0.9, "--diversity", 0)  # fmt: skip
    assert (card["tempo"], card["key"], card["bars"]) == (80.0, "Gb minor", 3)
    assert card["time_signature"] == "3/4" and card["best_of"] == 2
    assert card["targets"]["note_density"] == 2 and card["targets"]["register"] == 60
    assert card["explanation"]["sentence"] in generate.said.out
    assert card["course"]["quadrant"] == card["verdict"]["quadrant"]


def test_without_an_emotion_what_is_set_is_all_that_is_asked(generate: Generate) -> None:
    asked = ("--free", "--bars", 2, "--set", "register=60", "--tempo", 90, "--count", 2)
    for card in generate(*asked)[1]:
        assert card["emotion"] is card["valence"] is card["arousal"] is None
        assert card["targets"] == {"register": 60.0, "tempo": 90.0}
        assert tuple(card["achieved"]) == ATTRIBUTE_NAMES and card["tempo"] == 90.0
    shown = generate.said.out
    assert shown.startswith("clip_00000.mid  asked nothing  heard Q") and "None" not in shown


def test_a_curve_or_a_mixture_is_composed(generate: Generate) -> None:
    out, (card,) = generate("--curve", "0:calm 3:-0.4,0.8", "--bars", 4)
    assert card["curve"] == "0:calm 3:-0.40,0.80" and card["emotion"] == card["curve"]
    moved = card["moved"]
    assert moved["bars"] == [[1, 2], [3, 4]] and generate.said.out.endswith(
        f"{card['key']}  {moved['sentence']}\n"
    )
    assert (card["heard_given"], card["heard_new"]) == (None, None)
    assert card["bars"] == 4 and len(read_score(out / "clip_00000.mid").tempos) > 1
    assert "asked 0:calm 3:-0.40,0.80 (" in generate.said.out
    _, (card,) = generate("--mix", "joy:2 fear:1", "--bars", 2)
    mixed = parse_mix("joy:2 fear:1")
    assert (card["emotion"], card["valence"]) == (mixed.name, mixed.valence)


def test_a_file_is_continued_or_varied(generate: Generate, music: Path) -> None:
    for asked in ((), ("--emotion", "joy")):
        out, (card,) = generate("--continue", music, "--bars", 3, *asked)
        assert (card["given"], card["given_bars"], card["bars"]) == (CONTINUE, 12, 15)
        assert (card["tempo"], card["key"].split()[0]) == (93.0, "C")
        assert struck(read_score(out / card["file"]), 0.0, 48.0) == struck(read_score(music))
        verifier = Verifier.load(generate.always[1])
        for name, path in (("verdict", out / card["file"]), ("heard_given", music)):
            heard = asdict(verifier.verdict(notes_of(read_score(path))))
            assert card[name] == rounded(heard, 4)
        assert card["heard_new"] not in (card["verdict"], card["heard_given"])
        for word, name in (("given bars", "heard_given"), ("new", "heard_new")):
            own = card[name]
            told = f"{word} {own['quadrant']} ({own['valence']:+.2f}, {own['arousal']:+.2f}, p="
            assert told in generate.said.out
    assert card["emotion"] == "joy"
    out, (card,) = generate("--vary", music, "--curve", "0:fear 4:joy")
    assert (card["given"], card["given_bars"], card["curve"]) == ("vary", 0, "0:fear 4:joy")
    assert struck(read_score(out / card["file"])) != struck(read_score(music))


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
    path = out / "clip_00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checkpoint": "other"}))
    generate("--settings", path)
    told = "the settings are of a clip by other: tiny writes another one\n"
    assert generate.said.err == told


def test_a_mistake_is_one_line_and_nothing_is_written(
    generate: Generate, tmp_path: Path, odd: Path
) -> None:
    write_score(score_of([(4.0 * 512, 1, 60, 60)]), tmp_path / "long.mid")
    (tmp_path / "bad.csv").write_text("emotion,colour\n")
    (tmp_path / "jobs.csv").write_text("emotion\njoy\n")
    joy, rows = ("--emotion", "joy"), ("--spec", tmp_path / "jobs.csv")
    said = (("--emotion", "joy"), ("--bars", 2), ("--seed", 0), ("--count", 1),
            ("--set", "mode=0"), ("--continue", "x.mid"), ("--best-of", 1))  # fmt: skip
    for option, value in said:
        words = f"--settings says all of a clip: leave out {option}\n"
        assert words in generate.refused("--settings", "own.json", option, value)
    for data in (b"", b"\xff\xfe\x00", b"{\n\n"):
        (tmp_path / "own.json").write_bytes(data)
        generate.refused("--settings", tmp_path / "own.json")
    for asked, words in (
        (("--settings", tmp_path), "cannot read"),
        ((*joy, "--format", "ogg"), "format must be of mid, wav, flac, mp3, "),
        ((*joy, "--count", "many"), "'--count'"),
        ((*joy, "--engine", "abacus"), "engine must be"),
        ((*joy, "--batch-size", 0), "batch_size must be in [1, 4096], got 0"),
        (("--continue", odd), "music in 5/4"),
        (("--continue", tmp_path / "long.mid"), "has 513 bars, at most 512"),
        (("--spec", "none.csv"), "cannot read none.csv: No such file or directory"),
        (("--spec", tmp_path / "bad.csv"), "the job cannot be read: unknown column 'colour'"),
        ((*rows, "--settings", "x.json"), "give --settings or --spec, not both"),
        ((*rows, "--shard", "3/3"), "shard must be I/K with I from 0 to K - 1"),
        ((*rows, "--pack", "zip"), "pack must be one of files, tar, parquet"),
        ((*rows, "--workers", "0"), "workers must be in [1, 4096], got 0"),
    ):
        assert words in generate.refused(*asked)


def test_a_damaged_checkpoint_fails_in_one_line(
    generate: Generate, own_checkpoint: Path, music: Path
) -> None:
    refused, asked = generate.shell.refused, ("--checkpoint", own_checkpoint)
    for part in ("mapper.json", "verifier.safetensors"):
        (own_checkpoint / part).write_text("{}")
        refused("generate", "--emotion", "joy", "--out", own_checkpoint / "out", *asked, status=1)
    refused("verify", music, *asked, status=1)


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
    assert "best of" not in shell(*asked, "--best-of", 1).out


# jobs

TABLE = "id,emotion,bars,count,seed\na,joy,1,18,1\nb,foo,1,,\nc,calm,1,22,5\n"


def test_a_job_is_composed_and_told(generate: Generate, monkeypatch: pytest.MonkeyPatch) -> None:
    said = generate.job("out", table=TABLE)
    assert said.status == 3
    assert len(said.out.splitlines()) == 40 and said.out.startswith("clip_00000.mid  asked joy")
    assert said.err.startswith("line 3: unknown emotion 'foo'")
    assert " clips in " in said.err and "40 are there" in said.err and "heard as asked" in said.err
    assert "failed 1: unknown emotion 'foo'" in said.err
    cards = generate.cards()
    assert [(c["row"], c["id"], c["seed"], c["index"]) for c in cards] == [
        *((2, "a", 1, index) for index in range(18)), *((4, "c", 5, index) for index in range(22)),
    ]  # fmt: skip
    (failed,) = generate.cards("failures.jsonl")
    assert failed["row"] == 3 and failed["reason"].startswith("unknown emotion 'foo'")
    whole = tree(generate.out)
    others = {"manifest.jsonl", "failures.jsonl", ".emomusic/job.json"}
    assert set(whole) == others | {f"clip_{n:05d}.mid" for n in range(40)}
    again = generate.job("out", "--resume", "--json")
    assert lines(again.out)[0]["summary"]["composed"] == 0 and tree(generate.out) == whole
    for name in ("FIRST_TOLD_S", "LAST_TOLD_S"):
        monkeypatch.setattr(terminal, name, -1.0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    said = generate.job("piped", "--json", spec="-")
    assert said.status == 3 and tree(generate.out) == whole
    *found, last = lines(said.out)
    assert [c["file"] for c in found] == [c["file"] for c in cards]
    summary = last["summary"]
    assert summary.pop("seconds") > 0 and summary.pop("clips_per_second") > 0
    assert 0 <= summary.pop("heard_as_asked") <= 1 and sum(summary.pop("failures").values()) == 1
    assert summary == {"clips": 40, "composed": 40, "complete": True}
    (how_far, *_) = [text for text in said.err.splitlines() if text.startswith("20 of 40 clips, ")]
    assert " a second, 0:" in how_far and how_far.endswith(" left")


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    generate: Generate, tmp_path: Path
) -> None:
    said = generate.job("out", "--dry-run", "--format", "mid,wav", table=TABLE)
    assert said.status == 3 and said.err.startswith("line 3: unknown emotion 'foo'")
    assert said.out == (
        "40 clips of 2 rows in 3 blocks of up to 16, 80 files in all; 1 rows cannot be used\n"
    )
    said = generate.job("out", "--dry-run", "--json", "--shard", "2/3", "--pack", "tar", "--resume")
    assert json.loads(said.out) == {"plan": {"clips": 8, "rows": 2, "bad_rows": 1, "blocks": 1,
                                             "block_size": 16, "files": 8}}  # fmt: skip
    assert list(tmp_path.iterdir()) == [generate.spec]
    assert generate.job("out", "--dry-run", table="emotion\njoy\n").status == 0
    said = generate.job("out", "--shard", "1/2")
    assert said.status == 0 and said.err.startswith("the job has no more than 1 parts: nothing is")
    assert generate.job("out", "--dry-run", table="emotion\n" + "foo\n" * 30).status == 1
    said = generate.job("none")
    told = said.err.splitlines()
    assert said.status == 2 and told[-1] == "Error: no row of the job can be used"
    assert told[0].startswith("line 2: ") and len(told) == 22
    assert told[20] == "and 10 more rows that cannot be used, all are in failures.jsonl"
    assert not (tmp_path / "none").exists()


def test_rows_and_settings_are_read_wherever_they_are_and_however_they_were_saved(
    generate: Generate, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "jobs").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    shutil.copy(music, home / "jobs" / "own.mid")
    shutil.copy(music, home / "given.mid")
    table = (
        "Unnamed: 0;Vary;Bars;Valence;Arousal\r\n0;own.mid;1,0;0,5;0,5\r\n1;~/given.mid;1;0;0\r\n"
    )
    (home / "jobs" / "jobs.csv").write_bytes(table.encode("utf-16"))
    said = generate.run("--spec=~/jobs/jobs.csv")
    assert said.status == 0, said.err
    assert [(c["given"], c["valence"], c["row"]) for c in generate.cards()] == [
        ("vary", 0.5, 2), ("vary", 0.0, 3),
    ]  # fmt: skip
    monkeypatch.chdir(home)
    end, begin = os.pipe()
    os.write(begin, b"vary\tbars\njobs/own.mid\t1\n")
    os.close(begin)
    assert generate.run("--spec", f"/dev/fd/{end}", "--dry-run").status == 0
    os.close(end)
    rows = b'[{"emotion": "joy", "bars": 1},\n{"emotion": "very sad"}]'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows)))
    said = generate.run("--spec", "-")
    assert said.status == 3 and said.err.startswith(
        "row 2: unknown emotion 'very sad', nearest are: sad\n"
    )
    out, _ = generate("--continue=~/given.mid", "--bars", 1, "--format", "mid,json")
    own = (out / "clip_00000.json").read_text("utf-8")
    (home / "own.json").write_text(own, "utf-16")
    again, _ = generate("--settings", "~/own.json", "--format", "mid,json")
    assert (again / "clip_00000.mid").read_bytes() == (out / "clip_00000.mid").read_bytes()
    (home / "own.json").write_bytes(b"{\xe9")
    for option, path, words in (
        ("--settings", "~/own.json", "it is no UTF-8 text: save it as UTF-8"),
        ("--spec", "~/book.xlsx", "the job is a workbook, not a table of text: save it as CSV"),
        ("--spec", "~/none.csv", f"cannot read {home}/none.csv: No such file"),
    ):
        (home / "book.xlsx").write_bytes(b"PK\3\4")
        assert words in generate.refused(option, path)


def test_what_all_rows_share_may_be_said_once(generate: Generate) -> None:
    asked = ("--emotion", "joy", "--bars", 1, "--count", 2, "--set", "mode=0.1")
    said = generate.job("out", *asked, table="seed,emotion\n1,\n2,calm\n")
    assert said.status == 0
    assert [(c["emotion"], c["seed"], c["targets"]["mode"]) for c in generate.cards()] == [
        ("joy", 1, 0.1), ("joy", 1, 0.1), ("calm", 2, 0.1), ("calm", 2, 0.1),
    ]  # fmt: skip


def test_a_run_without_rows_can_be_stopped_and_gone_on_with_too(
    generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_17(composer: Composer, *arguments: Any, **more: Any) -> Iterator[Any]:
        yield from itertools.islice(composed(composer, *arguments, **more), 17)
        raise KeyboardInterrupt

    composed = Composer.compose_all
    asked = ("--emotion", "joy", "--bars", 1, "--count", 20)
    with monkeypatch.context() as patch:
        patch.setattr(Composer, "compose_all", stop_after_17)
        said = generate.run(*asked, out="out")
    assert said.status == 130 and "Traceback" not in said.err and len(generate.cards()) == 17
    assert "; 17 of 20 clips are there, the same with --resume goes on" in said.err
    said = generate.run(*asked, "--resume", out="out")
    assert said.status == 0 and len(said.out.splitlines()) == 4
    assert tree(generate(*asked)[0]) == tree(generate.folder / "out")


def test_a_clip_that_cannot_be_composed_is_told_and_does_not_stop_the_others(
    generate: Generate, odd: Path
) -> None:
    table = f"emotion,bars,vary,count\njoy,1,,2\ncalm,,{odd},\njoy,1,,\n"
    said = generate.job("out", "--json", table=table)
    assert said.status == 3 and len(generate.cards()) == 3
    failed = lines(said.out)[2]
    assert failed["number"] == 2 and failed["row"] == 3 and "music in 5/4" in failed["reason"]
    assert generate.cards("failures.jsonl") == [failed]
    said = generate.job("none", table=f"emotion,vary\ncalm,{odd}\n")
    assert said.status == 1 and said.err.startswith("clip 0: music in 5/4 cannot be")


def test_names_are_shown_on_one_line(generate: Generate) -> None:
    name = "jo\n\x1b[31my"
    settings = {"format": "emomusic settings 1", "seed": 1, "bars": 1,
                "emotion": {"valence": 0.5, "arousal": 0.5, "name": name}}  # fmt: skip
    said = generate.job("out", table=json.dumps(settings))
    assert said.status == 0, said.err
    assert len(said.out.splitlines()) == 1 and "\x1b" not in said.out
    assert generate.cards()[0]["emotion"] == name
