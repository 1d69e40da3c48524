from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import symusic
from symusic.core import ScoreTick
from synthetic import make_score
from test_cli import Shell, lines
from test_cli import shell as shell

from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.verify import report
from emomusic.verify.report import examine
from emomusic.verify.verifier import Verdict, Verifier


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return twelve bars of a walk over C major, a note a beat."""
    steps = np.cumsum(np.random.default_rng(0).integers(-2, 3, 48)) % 8
    score = make_score([int((60, 62, 64, 65, 67, 69, 71, 72)[step]) for step in steps])
    write_score(score, tmp_path / "song.mid")
    return tmp_path / "song.mid"


def test_a_verdict_is_explained(shell: Shell, tiny_checkpoint: Path, file: Path) -> None:
    asked = ("verify", file, "--checkpoint", tiny_checkpoint)
    (plain,) = lines(shell(*asked, "--json").out)
    assert "explanation" not in plain and "picture" not in plain
    (explained,) = lines(shell(*asked, "--json", "--explain").out)
    assert explained["verdict"] == plain["verdict"]
    assert explained["explanation"]["quadrant"] == plain["verdict"]["quadrant"]
    bars = [tuple(window["bars"]) for window in explained["course"]["windows"]]
    assert bars == [(1, 4), (5, 8), (9, 12)]
    assert explained["explanation"]["sentence"] in shell(*asked, "--explain").out


def test_bars_are_those_of_the_time_signature(
    shell: Shell, tiny_checkpoint: Path, file: Path
) -> None:
    waltz = read_score(file)
    waltz.time_signatures[0] = symusic.TimeSignature(0, 3, 4)
    write_score(waltz, file)
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--json", "--explain")
    (record,) = lines(shell(*asked).out)
    assert record["course"]["windows"][-1]["bars"] == [13, 16]


def test_pictures_are_drawn_and_none_is_lost(
    shell: Shell, tiny_checkpoint: Path, file: Path
) -> None:
    pytest.importorskip("matplotlib")
    folder = file.parent / "why"
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--json", "--pictures", folder)
    drawn = [Path(lines(shell(*asked).out)[0]["picture"]) for _ in range(2)]
    assert [path.name for path in drawn] == ["song.png", "song_2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_without_matplotlib_or_a_folder_one_line_says_so(
    shell: Shell, tiny_checkpoint: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    asked = ("verify", file, "--checkpoint", tiny_checkpoint, "--pictures")
    shell.refused(*asked, file, status=1)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "matplotlib" in shell.refused(*asked, file.parent / "why", status=1)


def test_cards_are_explained_where_asked(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    asked = ("generate", "--emotion", "calm", "--bars", 4, "--count", 2, "--out", tmp_path)
    said = shell(*asked, "--checkpoint", tiny_checkpoint, "--explain")
    assert said.status == 0, said.err
    cards = lines((tmp_path / "manifest.jsonl").read_text())
    assert all(card["explanation"]["sentence"] in said.out for card in cards)
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
