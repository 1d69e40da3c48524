"""Two processes train as one does: started by torchrun, on the CPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from synthetic import make_rows
from training_cases import SMALL

from emomusic.model.checkpoint import load_model
from emomusic.training.config import make_config
from emomusic.training.record.state import STATE_NAME
from emomusic.training.train import train

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {**SMALL, "max_steps": 30, "batch_ids": 1400, "warmup_steps": 5, "precision": "fp32"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows(n_songs=48).save(path)
    return path


@pytest.fixture(scope="module")
def alone(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    train(rows, out, make_config(None, SETTINGS))
    return out


@pytest.fixture(scope="module")
def in_parts(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run of one process that takes its steps in two parts, as two ranks do."""
    out = tmp_path_factory.mktemp("in_parts")
    train(rows, out, make_config(None, {**SETTINGS, "gradient_accumulation_steps": 2}))
    return out


class Stopped(Exception):  # noqa: N818 - no error
    """A run stops here."""


@pytest.fixture(scope="module")
def half_way(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of one process, as `in_parts`, that was stopped behind its ninth step."""

    def stop(record: dict[str, float]) -> None:
        raise Stopped

    out = tmp_path_factory.mktemp("half_way")
    changes = {"gradient_accumulation_steps": 2, "save_minutes": 1e-6}
    with pytest.raises(Stopped):
        train(rows, out, make_config(None, {**SETTINGS, **changes}), report=stop)
    assert load_file(out / "run" / STATE_NAME)["optimiser.1.0.step"] == 9
    return out


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def torchrun(rows: Path, out: Path, settings: Path, **changes: Any) -> str:
    settings.write_text(json.dumps({**SETTINGS, **changes}))
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
         "--master-port", str(free_port()), str(ROOT / "scripts" / "train.py"), "--rows", str(rows),
         "--out", str(out), "--config", str(settings)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def losses(out: Path) -> dict[tuple[int, str], float]:
    found = {}
    for line in (out / "run" / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        kind = "loss" if "loss" in record else "validation_loss"
        found[record["step"], kind] = record[kind]
    return found


def check_alike(out: Path, alone: Path, in_parts: Path) -> None:
    expected = losses(alone)
    assert len(expected) == 4
    assert losses(out) == pytest.approx(expected, abs=1e-3)
    assert losses(out) == pytest.approx(losses(in_parts), abs=1e-4)
    one, two = (load_file(folder / "run" / STATE_NAME) for folder in (out, in_parts))
    assert {n: t.shape for n, t in one.items()} == {n: t.shape for n, t in two.items()}
    model, other = (load_model(folder).state_dict() for folder in (out, in_parts))
    for name, tensor in model.items():
        torch.testing.assert_close(tensor, other[name], atol=2e-3, rtol=1e-2)


def test_two_processes_train_as_one(
    rows: Path, alone: Path, in_parts: Path, tmp_path: Path
) -> None:
    said = torchrun(rows, tmp_path / "out", tmp_path / "run.json")
    assert said.count("validation_loss") == 1
    check_alike(tmp_path / "out", alone, in_parts)


def test_two_processes_with_shards_go_on_where_one_stopped(
    rows: Path, alone: Path, in_parts: Path, half_way: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(half_way, tmp_path / "out"))
    torchrun(rows, out, tmp_path / "run.json", parallel="fully_shard", save_minutes=1e-6)
    check_alike(out, alone, in_parts)
    again = train(rows, out, make_config(None, SETTINGS))  # one process reads what two saved
    assert again["validation_loss"] == pytest.approx(losses(out)[30, "validation_loss"], abs=1e-5)


FAILING = """
import os, signal, sys
from emomusic.training import train as room

taken = room._Run._step

def step(self, batch):
    if self.ranks.rank and self.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return taken(self, batch)

room._Run._step = step
from emomusic.cli import main
main()
"""


def test_a_process_that_dies_ends_the_other_in_one_sentence(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**SETTINGS, "max_steps": 100_000}))
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", FAILING, "train", "--rows", str(rows), "--out",
             str(tmp_path / "out"), "--config", str(tmp_path / "run.json")],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank),
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [1, -signal.SIGKILL]
    assert said[0].splitlines()[-1] == (
        "Error: process 0 of 2 stops, because another one ended; the reason stands where that "
        "one's messages go"
    )
    assert "Traceback" not in said[0]
