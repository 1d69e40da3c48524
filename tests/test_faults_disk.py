"""Where nothing more can be written, commands say so in a sentence, and what was there stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from faults_cases import NO_RIGHTS, contents, is_one_sentence, run, small_disk
from midi import write_songs
from synthetic import make_mapper, make_rows, make_verifier
from test_fit import write_folder

from emomusic.model.checkpoint import load_model
from emomusic.training.rows import Rows

SETTINGS = {"size": "tiny", "context": 128, "max_steps": 4, "batch_events": 130,
            "precision": "fp32", "eval_minutes": 0, "device": "cpu", "threads": 1}  # fmt: skip
FULL = "File too large"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows, settings, and a run that has ended."""
    folder = tmp_path_factory.mktemp("trained")
    make_rows(n_songs=24).save(folder / "rows.npz")
    (folder / "run.json").write_text(json.dumps(SETTINGS))
    done(*training(folder))
    return folder


def training(folder: Path, *more: object) -> list[object]:
    return ["train", "--rows", folder / "rows.npz", "--out", folder / "out",
            "--config", folder / "run.json", *more]  # fmt: skip


def done(*arguments: object) -> None:
    status, said = run(*arguments)
    assert status == 0, said


def refused(words: str, *arguments: object, **how: Any) -> None:
    status, said = run(*arguments, **how)
    if status == NO_RIGHTS:
        pytest.skip("root's rights cannot be given up here")
    assert status == 1, said
    assert is_one_sentence(said), said
    assert words in said


def without_log(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if "log.jsonl" not in name}


@pytest.mark.parametrize("n_bytes", [1_000, 300_000])
def test_a_run_on_a_full_disk_keeps_its_state_and_its_model(
    trained: Path, tmp_path: Path, n_bytes: int
) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "copy"))
    before = without_log(folder)
    refused(FULL, *training(folder, "--max-steps", 30), n_bytes=n_bytes)
    assert without_log(folder) == before
    load_model(folder / "out")
    done(*training(folder, "--max-steps", 30))
    records = [json.loads(line) for line in (folder / "out" / "run" / "log.jsonl").open()]
    steps = [record["step"] for record in records if "precision" not in record]
    assert steps == [4, 10, 20, 30, 30]


def test_a_run_that_fills_its_disk_goes_on_elsewhere(trained: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", mib=3) as mounted:
        if not mounted:
            pytest.skip("a small disk can be mounted by root only")
        folder = Path(shutil.copytree(trained, tmp_path / "small" / "copy"))
        before = without_log(folder)
        words = "No space left on device"
        refused(words, *training(folder, "--max-steps", 9))
        assert without_log(folder) == before
        shutil.copytree(folder, tmp_path / "large")
    done(*training(tmp_path / "large", "--max-steps", 9))


def test_preparing_where_nothing_can_be_written_keeps_the_rows_and_goes_on(tmp_path: Path) -> None:
    write_songs(tmp_path / "music", range(4))
    folder = tmp_path / "packed"
    folder.mkdir()
    rows = folder / "rows.npz"
    arguments = ["prepare", "--source", tmp_path / "music", "--out", rows, "--workers", 1]
    make_rows().save(rows)
    before = rows.read_bytes()
    for n_bytes in (1_000, 3_000):
        refused(FULL, *arguments, n_bytes=n_bytes)
        assert rows.read_bytes() == before
        assert not list(tmp_path.rglob("*.part"))
    parts = folder / "rows.parts"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    folder.chmod(0o555)  # the part can be written, the rows cannot
    try:
        refused("Permission denied", *arguments, powerless=True)
    finally:
        folder.chmod(0o755)
    (part,) = parts.iterdir()
    part.write_bytes(part.read_bytes()[:-30])
    refused("was damaged and is removed; the same command", *arguments)
    done(*arguments)
    assert Rows.load(rows).meta["song_names"]
    assert [path.name for path in folder.iterdir()] == ["rows.npz"]


@pytest.mark.parametrize("how", [{"n_bytes": 1_000}, {"n_bytes": 20_000}, {"powerless": True}])
def test_fitting_where_nothing_can_be_written_keeps_mapper_and_verifier(
    tmp_path: Path, how: dict[str, Any]
) -> None:
    labelled = write_folder(tmp_path / "labelled", 136)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    make_mapper().save(folder)
    make_verifier().save(folder)
    before = contents(folder)
    folder.chmod(0o555 if "powerless" in how else 0o755)
    words = "Permission denied" if "powerless" in how else FULL
    arguments = ["fit", "--source", labelled, "--checkpoint", folder, "--steering-clips", 0,
                 "--all-songs"]  # fmt: skip
    try:
        refused(words, *arguments, **how)
    finally:
        folder.chmod(0o755)
    assert contents(folder) == before
