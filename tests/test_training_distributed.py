"""Two processes train as one does: started by torchrun, on the CPU."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import make_rows
from training_cases import SMALL, curve, state

from emomusic.training.config import make_config
from emomusic.training.train import train

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {**SMALL, "max_steps": 20, "warmup_steps": 5, "micro_batches": 3, "lr": 0.003}
"""Three batches a step: one process has two of them, the other one."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows().save(path)
    return path


@pytest.fixture(scope="module")
def alone(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    train(rows, out, make_config(None, SETTINGS))
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


END = "validation_nats_per_note"


def test_two_processes_train_as_one_and_go_on_where_one_stopped(
    rows: Path, alone: Path, tmp_path: Path
) -> None:
    out, settings = tmp_path / "out", tmp_path / "run.json"
    said = torchrun(rows, out, settings, max_steps=10)
    assert said.count("nats_per_note") == 1
    train(rows, out, make_config(None, {**SETTINGS, "max_steps": 13}))  # one reads what two saved
    torchrun(rows, out, settings)
    for key, n_records in (("loss", 2), (END, 1)):
        assert len(curve(alone, key)) == n_records
        for step, value in curve(alone, key).items():
            assert curve(out, key)[step] == pytest.approx(value, abs=1e-4)
    one, two = state(out), state(alone)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if name.startswith("model."):
            torch.testing.assert_close(tensor, two[name], atol=1e-3, rtol=1e-2)


FAILING = """
import os, signal, sys
from emomusic.training import train as room

taken = room._Run._step

def step(self, stream):
    if self.ranks.rank and self.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return taken(self, stream)

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
        said = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [1, -signal.SIGKILL]
    assert said[0].splitlines()[-1] == (
        "Error: process 0 of 2 stops, because another one ended; the reason stands where that "
        "one's messages go"
    )
    assert "Traceback" not in said[0]
