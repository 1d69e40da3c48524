from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import tree
from synthetic import make_score
from test_cli import Said, Shell, lines
from test_cli import shell as shell

from emomusic import terminal
from emomusic.compose.composer import Composer
from emomusic.music.score import write_score

TABLE = "id,emotion,bars,count,seed\na,joy,1,18,1\nb,foo,1,,\nc,calm,1,22,5\n"
BAD = "line 3: unknown emotion 'foo', nearest are: fond, mood\n"


class Jobs:
    """Run `generate --spec` with a checkpoint."""

    def __init__(self, shell: Shell, checkpoint: Path, folder: Path) -> None:
        self.shell, self.folder = shell, folder
        self.always = ("--checkpoint", checkpoint, "--threads", 1)
        self.spec = folder / "jobs.csv"
        self.spec.write_text(TABLE, encoding="utf-8")

    def __call__(self, out: str, *arguments: object, spec: object = None) -> Said:
        asked = ("generate", "--spec", spec or self.spec, "--out", self.folder / out)
        return self.shell(*asked, *self.always, *arguments)

    def tree(self, out: str) -> dict[str, bytes]:
        return tree(self.folder / out)

    def cards(self, out: str, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
        return lines((self.folder / out / name).read_text(encoding="utf-8"))


@pytest.fixture
def jobs(shell: Shell, tiny_checkpoint: Path, tmp_path: Path) -> Jobs:
    return Jobs(shell, tiny_checkpoint, tmp_path)


def test_a_job_is_composed_and_told(jobs: Jobs) -> None:
    said = jobs("out")
    assert said.status == 3
    assert len(said.out.splitlines()) == 40 and said.out.startswith("clip_00000.mid  asked joy")
    assert said.err.startswith(BAD.split(",")[0])
    assert " clips in " in said.err and "40 are there" in said.err and "heard as asked" in said.err
    assert "failed 1: unknown emotion 'foo'" in said.err
    cards = jobs.cards("out")
    assert [(c["row"], c["id"], c["seed"], c["index"]) for c in cards] == [
        *((2, "a", 1, index) for index in range(18)), *((4, "c", 5, index) for index in range(22)),
    ]  # fmt: skip
    (failed,) = jobs.cards("out", "failures.jsonl")
    assert failed["row"] == 3 and failed["reason"].startswith("unknown emotion 'foo'")
    music = {f"clip_{n:05d}.mid" for n in range(40)}
    others = {"manifest.jsonl", "failures.jsonl", ".emomusic/job.json"}
    assert set(jobs.tree("out")) == music | others


def test_lines_of_json_can_be_read_by_a_program(jobs: Jobs) -> None:
    said = jobs("out", "--json")
    *found, last = lines(said.out)
    assert said.status == 3 and [card["file"] for card in found] == [
        card["file"] for card in jobs.cards("out")
    ]
    summary = last["summary"]
    assert summary.pop("seconds") > 0 and summary.pop("clips_per_second") > 0
    assert 0 <= summary.pop("heard_as_asked") <= 1 and sum(summary.pop("failures").values()) == 1
    assert summary == {"clips": 40, "composed": 40, "complete": True}


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(jobs: Jobs, tmp_path: Path) -> None:
    before = tree(tmp_path)
    said = jobs("out", "--dry-run", "--format", "mid,wav")
    assert said.status == 3 and said.err.startswith("line 3: unknown emotion 'foo'")
    assert said.out == (
        "40 clips of 2 rows in 3 blocks of up to 16, 80 files in all; 1 rows cannot be used\n"
    )
    said = jobs("out", "--dry-run", "--json", "--shard", "2/3", "--pack", "tar", "--resume")
    assert json.loads(said.out) == {"plan": {"clips": 8, "rows": 2, "bad_rows": 1, "blocks": 1,
                                             "block_size": 16, "files": 8}}  # fmt: skip
    assert tree(tmp_path) == before and not (tmp_path / "out").exists()
    jobs.spec.write_text("emotion\njoy\n")
    assert jobs("out", "--dry-run").status == 0
    jobs.spec.write_text("emotion\nfoo\n")
    assert jobs("out", "--dry-run").status == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--spec", "none.csv"], "cannot read none.csv: No such file or directory"),
        (["--spec", "bad.csv"], "the job cannot be read: unknown column 'colour'; known are id"),
        (["--spec", "jobs.csv", "--settings", "x.json"], "give --settings or --spec, not both"),
        (["--spec", "jobs.csv", "--shard", "3/3"], "shard must be I/K with I from 0 to K - 1"),
        (["--spec", "jobs.csv", "--pack", "zip"], "pack must be one of files, tar, parquet"),
        (["--spec", "jobs.csv", "--workers", "0"], "'--workers'"),
    ],
)
def test_a_mistake_is_one_line(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    (tmp_path / "bad.csv").write_text("emotion,colour\n")
    monkeypatch.chdir(tmp_path)
    assert words in jobs.shell.refused("generate", *arguments, "--out", "out", *jobs.always)
    assert not (tmp_path / "out").exists()


def test_where_no_row_can_be_used_nothing_is_done(jobs: Jobs, tmp_path: Path) -> None:
    jobs.spec.write_text("emotion\n" + "foo\n" * 30)
    said = jobs("out")
    told = said.err.splitlines()
    assert said.status == 2 and told[-1] == "Error: no row of the job can be used"
    assert told[0].startswith("line 2: ") and len(told) == 22
    assert told[20] == "and 10 more rows that cannot be used, all are in failures.jsonl"
    assert not (tmp_path / "out").exists()


def test_what_all_rows_share_may_be_said_once(jobs: Jobs) -> None:
    jobs.spec.write_text("seed,emotion\n1,\n2,calm\n")
    assert (
        jobs("out", "--emotion", "joy", "--bars", 1, "--count", 2, "--set", "mode=0.1").status == 0
    )
    assert [(c["emotion"], c["seed"], c["targets"]["mode"]) for c in jobs.cards("out")] == [
        ("joy", 1, 0.1), ("joy", 1, 0.1), ("calm", 2, 0.1), ("calm", 2, 0.1),
    ]  # fmt: skip


def test_rows_may_be_piped_in(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    assert jobs("file").status == 3
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    assert jobs("piped", spec="-").status == 3
    assert jobs.tree("piped") == jobs.tree("file")


def test_a_run_without_rows_can_be_stopped_and_gone_on_with_too(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_17(composer: Composer, *arguments: Any, **more: Any) -> Iterator[Any]:
        yield from itertools.islice(composed(composer, *arguments, **more), 17)
        raise KeyboardInterrupt

    composed = Composer.compose_all
    asked = ("generate", "--emotion", "joy", "--bars", 1, *jobs.always, "--count")
    with monkeypatch.context() as patch:
        patch.setattr(Composer, "compose_all", stop_after_17)
        said = jobs.shell(*asked, 20, "--out", jobs.folder / "out")
    assert said.status == 130 and "Traceback" not in said.err
    assert "; 17 of 20 clips are there, the same with --resume goes on" in said.err
    assert len(jobs.cards("out")) == 17
    said = jobs.shell(*asked, 20, "--out", jobs.folder / "out", "--resume")
    assert said.status == 0 and len(said.out.splitlines()) == 4
    assert jobs.shell(*asked, 20, "--out", jobs.folder / "whole").status == 0
    assert jobs.tree("out") == jobs.tree("whole")


def test_a_clip_that_cannot_be_composed_is_told_and_does_not_stop_the_others(
    jobs: Jobs, tmp_path: Path
) -> None:
    odd = make_score([60, 62, 64, 65, 67] * 2)
    odd.time_signatures[0].numerator = 5
    write_score(odd, tmp_path / "odd.mid")
    jobs.spec.write_text(
        f"emotion,bars,vary,count\njoy,1,,2\ncalm,,{tmp_path / 'odd.mid'},\njoy,1,,\n"
    )
    said = jobs("out", "--json")
    assert said.status == 3 and len(jobs.cards("out")) == 3
    failed = lines(said.out)[2]
    assert failed["number"] == 2 and failed["row"] == 3 and "5 quarter notes" in failed["reason"]
    assert jobs.cards("out", "failures.jsonl") == [failed]
    jobs.spec.write_text(f"emotion,vary\ncalm,{tmp_path / 'odd.mid'}\n")
    said = jobs("none")
    assert said.status == 1 and said.err.startswith("clip 0: music with 5 quarter notes")


def test_on_the_way_it_is_told_how_far_it_is(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_TOLD_S", "LAST_TOLD_S"):
        monkeypatch.setattr(terminal, name, -1.0)
    said = jobs("out", "--json")
    (last, *_) = [text for text in said.err.splitlines() if text.startswith("20 of 40 clips, ")]
    assert " a second, 0:" in last and last.endswith(" left")
    assert all(text.startswith("{") for text in said.out.splitlines())


def test_names_are_shown_on_one_line(jobs: Jobs, tmp_path: Path) -> None:
    assert jobs("first", "--format", "json").status == 3
    settings = json.loads((tmp_path / "first" / "clip_00000.json").read_text())
    settings["emotion"]["name"] = "jo\n\x1b[31my"
    jobs.spec.write_text(json.dumps(settings) + "\n")
    said = jobs("out")
    assert said.status == 0, said.err
    assert len(said.out.splitlines()) == 1 and "\x1b" not in said.out
    assert jobs.cards("out")[0]["emotion"] == "jo\n\x1b[31my"
