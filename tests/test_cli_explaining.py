from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from symusic.core import ScoreTick
from synthetic import make_score
from typer.testing import CliRunner

from emomusic.cli import app
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.verify import report
from emomusic.verify.report import examine, free_path
from emomusic.verify.verifier import Verdict, Verifier


def walk(*, beats_per_bar: int = 4) -> Any:
    """Return twelve bars of 4/4, or sixteen of 3/4, of a walk over C major, a note a beat."""
    steps = np.cumsum(np.random.default_rng(0).integers(-2, 3, 48)) % 8
    score = make_score([int((60, 62, 64, 65, 67, 69, 71, 72)[step]) for step in steps])
    score.time_signatures[0] = symusic.TimeSignature(0, beats_per_bar, 4)
    return score


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "song.mid"
    write_score(walk(), path)
    return path


def record_of(result: Any) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    record: dict[str, Any] = json.loads(result.stdout)
    return record


def test_a_verdict_is_explained(tiny_checkpoint: Path, file: Path) -> None:
    asked = ("verify", file, "--checkpoint", tiny_checkpoint)
    plain = record_of(run(*asked, "--json"))
    assert "explanation" not in plain and "picture" not in plain
    explained = record_of(run(*asked, "--json", "--explain"))
    assert explained["verdict"] == plain["verdict"]
    assert explained["explanation"]["quadrant"] == plain["verdict"]["quadrant"]
    bars = [tuple(window["bars"]) for window in explained["course"]["windows"]]
    assert bars == [(1, 4), (5, 8), (9, 12)]
    told = run(*asked, "--explain")
    assert explained["explanation"]["sentence"] in told.stdout


def test_bars_are_those_of_the_time_signature(tiny_checkpoint: Path, tmp_path: Path) -> None:
    write_score(walk(beats_per_bar=3), tmp_path / "waltz.mid")
    asked = ("verify", tmp_path / "waltz.mid", "--checkpoint", tiny_checkpoint, "--json")
    windows = record_of(run(*asked, "--explain"))["course"]["windows"]
    assert windows[-1]["bars"] == [13, 16]


def test_pictures_are_drawn_and_none_is_lost(tiny_checkpoint: Path, file: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = file.parent / "why"
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--json", "--pictures", folder)
    first, second = (record_of(run(*asked))["picture"] for _ in range(2))
    assert [Path(first).name, Path(second).name] == ["song.png", "song_2.png"]
    assert all(Path(one).read_bytes().startswith(b"\x89PNG") for one in (first, second))
    assert free_path(folder / "song.png").name == "song_3.png"


def test_without_matplotlib_one_line_says_so(
    tiny_checkpoint: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--pictures", file.parent / "why")
    result = run(*asked)
    assert result.exit_code == 1
    assert "matplotlib" in result.stderr and result.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_line(tiny_checkpoint: Path, file: Path) -> None:
    pytest.importorskip("matplotlib")
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--pictures", file)
    result = run(*asked)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1


def test_cards_are_explained_where_asked(tiny_checkpoint: Path, tmp_path: Path) -> None:
    asked = ("generate", "--emotion", "calm", "--bars", 4, "--count", 2, "--out", tmp_path)
    result = run(*asked, "--checkpoint", tiny_checkpoint, "--explain")
    assert result.exit_code == 0, result.output
    cards = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert all(card["explanation"]["sentence"] in result.stdout for card in cards)
    assert all(card["course"]["quadrant"] == card["verdict"]["quadrant"] for card in cards)


@pytest.mark.parametrize("how", [{}, {"explained": True}, {"pictures": Path("why")}])
def test_a_file_is_read_once_and_judged_once(
    tiny_checkpoint: Path, file: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    n_read, judged = 0, []

    class Counting(Verifier):
        def verdict(self, notes: Notes) -> Verdict:
            judged.append(notes.columns)
            return super().verdict(notes)

    def read(path: Path) -> ScoreTick:
        nonlocal n_read
        n_read += 1
        return read_score(path)

    monkeypatch.chdir(file.parent)
    monkeypatch.setattr(report, "read_score", read)
    assert examine(file, Counting.load(tiny_checkpoint), **how).error is None
    own = notes_of(read_score(file)).columns
    whole = [all(map(np.array_equal, own, columns)) for columns in judged]
    assert n_read == 1 and sum(whole) == 1
