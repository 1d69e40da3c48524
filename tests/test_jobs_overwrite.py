"""No output destroys what is there: what is refused, what goes, and what stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import tree
from synthetic import make_score
from typer.testing import CliRunner, Result

from emomusic.cli import app
from emomusic.music.score import dump_score

MUSIC = dump_score(make_score([60, 64, 67, 72] * 8))
HELD = "holds an earlier run: --resume goes on with the same job, --overwrite removes what that run"
STRANGE = "is there, and no earlier run made it: move it, or take another folder"
READ = "is read by this run, and would be written over: take another folder"
Run = Callable[..., Result]


@pytest.fixture
def run(tiny_checkpoint: Path, tmp_path: Path) -> Run:
    """Return what composes into a folder `out`, a bar a clip unless something else is said."""

    def run(*more: Any, command: str = "generate", out: str = "out") -> Result:
        asked = ("--checkpoint", tiny_checkpoint, "--out", tmp_path / out, *more)
        return CliRunner().invoke(app, [command, *map(str, asked)])

    return run


def joys(count: int, *more: Any) -> tuple[Any, ...]:
    return ("--emotion", "joy", "--bars", 1, "--count", count, *more)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".emomusic"}


def test_a_used_folder_is_gone_on_with_or_begun_anew_where_that_is_said(
    run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run(*joys(4, "--format", "mid,svg")).exit_code == 0
    (out / "notes.txt").write_text("mine")
    first = tree(out)
    for command, asked in (
        ("generate", joys(4, "--format", "mid,svg")),
        ("generate", joys(1)),
        ("generate", joys(1, "--dry-run")),
        ("quadrants", ("--bars", 1)),
    ):
        said = run(*asked, command=command)
        assert said.exit_code == 2 and HELD in said.stderr and len(said.stderr.splitlines()) == 1
        assert tree(out) == first
    assert run(*joys(4, "--format", "mid,svg", "--resume")).exit_code == 0
    assert tree(out) == first
    said = run(*joys(2, "--resume"))
    assert said.exit_code == 2 and "holds another job (clips 4 and not 2" in said.stderr
    assert tree(out) == first
    assert run(*joys(2, "--overwrite")).exit_code == 0
    assert names(out) == {"clip_00000.mid", "clip_00001.mid", "manifest.jsonl", "notes.txt"}
    assert run("--bars", 1, "--overwrite", command="quadrants").exit_code == 0
    assert len(names(out)) == 10 and (out / "notes.txt").read_text() == "mine"
    assert "not both" in run(*joys(1, "--overwrite", "--resume")).stderr


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",), ("--dry-run",)])
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("clip_00000.mid", joys(1)),
        ("clip_00002.mid", joys(3)),
        ("clip_00001.svg", joys(2, "--format", "mid,svg")),
        ("pack_00000.tar", joys(2, "--pack", "tar")),
        ("manifest.jsonl", joys(1)),
        ("failures.jsonl", joys(1)),
        ("clip_00000.mid", ("--vary", "out/clip_00000.mid", "--bars", 1)),
        ("clip_00000.mid", ("--continue", "out/clip_00000.mid", "--bars", 1)),
        ("clip_00000.mid", ("--infill", "out/clip_00000.mid", "--at", 1)),
    ],
)  # fmt: skip
def test_what_no_run_made_is_never_written_over(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked: Any, more: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(MUSIC)
    said = run(*asked, *more)
    assert said.exit_code == 2 and len(said.stderr.splitlines()) == 1
    assert any(
        own in said.stderr
        for own in (STRANGE, READ, "no list of clips", "an earlier run", "its job")
    )
    assert tree(tmp_path / "out") == {name: MUSIC}


@pytest.mark.parametrize("name", ["clip_00001.mid", "clip_00000.svg", "song.mid", "clip_x.mid"])
def test_other_files_of_the_user_stay(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(MUSIC)
    assert run(*joys(1)).exit_code == 0 and run(*joys(1, "--overwrite")).exit_code == 0
    assert names(tmp_path / "out") == {name, "clip_00000.mid", "manifest.jsonl"}
    assert (tmp_path / "out" / name).read_bytes() == MUSIC


def test_what_a_run_reads_is_no_output_of_it_under_any_name(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(*joys(2, "--format", "mid,json")).exit_code == 0
    (tmp_path / "link.mid").symlink_to(out / "clip_00001.mid")
    (tmp_path / "rows.csv").write_text("vary,bars\nlink.mid,1\n")
    first = tree(out)
    for asked in (
        ("--vary", out / "clip_00000.mid", "--bars", 1),
        ("--continue", tmp_path / "link.mid", "--bars", 1),
        ("--vary", out / ".." / "out" / "clip_00001.mid"),
        ("--settings", out / "clip_00000.json"),
        ("--spec", tmp_path / "rows.csv"),
        ("--spec", out / "manifest.jsonl"),
    ):
        said = run(*asked, "--overwrite")
        assert said.exit_code == 2 and tree(out) == first
        assert READ in said.stderr or "no row of the job can be used" in said.stderr
    assert run("--vary", out / "clip_00000.mid", "--bars", 1, out="other").exit_code == 0


def test_parts_of_a_job_share_a_folder_and_begin_it_anew_together(run: Run, tmp_path: Path) -> None:
    part = [joys(40, "--shard", f"{index}/2") for index in range(2)]
    assert run(*joys(3)).exit_code == 0
    assert HELD in run(*part[0]).stderr
    assert run(*part[0], "--overwrite").exit_code == 0
    assert "--resume" in run(*part[0]).stderr
    assert run(*part[1], "--overwrite").exit_code == 0
    assert len(names(tmp_path / "out")) == 41
    whole = tree(tmp_path / "out")
    assert run(*part[0], "--resume").exit_code == 0 and tree(tmp_path / "out") == whole
    assert run(*part[1], "--overwrite").exit_code == 0
    assert "clip_00000.mid" not in names(tmp_path / "out")
    assert run(*part[0]).exit_code == 0
    assert tree(tmp_path / "out") == whole


@pytest.mark.parametrize("at", range(6))
def test_what_is_stopped_while_it_removes_is_still_an_earlier_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    out = tmp_path / "out"
    assert run(*joys(3)).exit_code == 0
    (out / "clip_00009.mid").write_bytes(MUSIC)
    left, unlink = iter(range(at)), Path.unlink

    def killed(path: Path, **how: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, **how)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        run(*joys(2, "--overwrite"))
    assert run(*joys(2)).exit_code == 2 and run(*joys(3, "--resume")).exit_code == 2
    assert run(*joys(2, "--overwrite")).exit_code == 0
    assert names(out) == {"clip_00000.mid", "clip_00001.mid", "clip_00009.mid", "manifest.jsonl"}


def test_clips_of_a_block_that_was_killed_go_too(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from emomusic.compose.jobs import storage

    keep, kept = storage.BatchWriter.keep, []

    def killed(writer: storage.BatchWriter, line: storage.Line) -> storage.Line:
        kept.append(keep(writer, line))
        if len(kept) == 3:
            writer.lines.clear()  # as by kill -9: no line is written any more
            raise KeyboardInterrupt
        return kept[-1]

    with monkeypatch.context() as patch:
        patch.setattr(storage.BatchWriter, "keep", killed)
        patch.setattr("emomusic.compose.jobs.storage.write_manifest", lambda *_: storage.Summary())
        assert run(*joys(9)).exit_code == 130
    assert names(tmp_path / "out") == {f"clip_0000{n}.mid" for n in range(3)}
    assert HELD in run(*joys(9)).stderr
    assert run(*joys(1, "--overwrite")).exit_code == 0
    assert names(tmp_path / "out") == {"clip_00000.mid", "manifest.jsonl"}


def test_a_folder_of_an_earlier_version_is_known_by_its_manifest(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("clip_00000.mid", "clip_00001.mid", "clip_00002.mid"):
        (out / name).write_bytes(MUSIC)
    lines = [{"file": f"clip_0000{n}.mid", "files": [f"clip_0000{n}.mid"]} for n in (0, 2)]
    (out / "manifest.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert "does not say its job" in run(*joys(1, "--resume")).stderr
    assert HELD in run(*joys(1)).stderr
    assert run(*joys(1, "--overwrite")).exit_code == 0
    assert names(out) == {"clip_00000.mid", "clip_00001.mid", "manifest.jsonl"}
    assert (out / "clip_00001.mid").read_bytes() == MUSIC


@pytest.mark.parametrize(
    "name", ["song.mid", "notes.txt", "../x", "clip_00000.mid/../a", "jobs.csv"]
)
def test_a_list_that_no_run_wrote_names_nothing_that_goes(
    run: Run, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for own in ("song.mid", "notes.txt", "jobs.csv", "a", "../x"):
        (out / own).write_bytes(MUSIC)
    (out / "manifest.jsonl").write_text(json.dumps({"file": name, "files": [name]}) + "\n")
    first = tree(tmp_path)
    said = run(*joys(1, "--overwrite"))
    assert said.exit_code == 2 and "damaged, or no list of clips" in said.stderr
    assert tree(tmp_path) == first


def test_links_folders_and_notes_of_the_user_in_the_place_of_a_runs_stay(
    run: Run, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    kept.mkdir()

    def fresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        assert run(*joys(2)).exit_code == 0

    def link(name: str) -> None:
        (out / name).replace(kept / name)
        (out / name).symlink_to(kept / name)

    def note(name: str, text: str) -> None:
        (out / name).write_text(text)

    def folder(name: str) -> None:
        (out / name).unlink()
        (out / name).mkdir()

    changes: list[Callable[[], None]] = [
        lambda: link("clip_00000.mid"), lambda: link("manifest.jsonl"), lambda: link(".emomusic"),
        lambda: note("failures.jsonl", "mine\n"), lambda: note("failures.jsonl", '{"a": 1}\n'),
        lambda: folder("manifest.jsonl"), lambda: folder("clip_00001.mid"),
    ]  # fmt: skip
    for change in changes:
        fresh()
        change()
        first, linked = tree(out), {path for path in out.iterdir() if path.is_symlink()}
        for more in ((), ("--overwrite",), ("--resume",)):
            said = run(*joys(3), *more)
            assert said.exit_code == 2 and len(said.stderr.splitlines()) == 1, said.stderr
            assert tree(out) == first and all(path.is_symlink() for path in linked)
    shutil.rmtree(out)
    out.mkdir()
    note(".emomusic", "mine")
    assert run(*joys(1)).exit_code == 2 and tree(out) == {".emomusic": b"mine"}
