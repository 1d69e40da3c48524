"""Training in processes of its own: killed it goes on as undisturbed; two train as one does."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from faults_cases import ended, run, start
from synthetic import make_rows
from training_cases import SMALL, alike, curve, records, state

from emomusic.training.config import make_config
from emomusic.training.state import STATE_NAME
from emomusic.training.train import train

SETTINGS = {**SMALL, "max_steps": 60}
SHARED = {**SMALL, "max_steps": 20, "warmup_steps": 5, "micro_batches": 3, "lr": 0.003}
"""Three batches a step: of two processes one has two of them, the other one."""
END = "validation_nats_per_note"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows(n_songs=24).save(path)
    return path


def command(rows: Path, out: Path, **settings: Any) -> list[str]:
    """Write the settings beside the folder of a run; return the words that ask for it."""
    path = out.with_suffix(".json")
    path.write_text(json.dumps(settings))
    return ["train", "--rows", str(rows), "--out", str(out), "--config", str(path)]


def logged(out: Path) -> list[dict[str, Any]]:
    """Return what was logged but for what another host, or another moment, tells otherwise."""
    other = ("seconds", "notes_per_s")
    return [
        {name: value for name, value in record.items() if name not in other}
        for record in records(out)
        if "precision" not in record  # each start says on what it runs
    ]


def test_training_killed_again_and_again_ends_as_if_undisturbed(rows: Path, tmp_path: Path) -> None:
    chance, out, undisturbed = random.Random(0), tmp_path / "out", tmp_path / "undisturbed"
    arguments = command(rows, out, **SETTINGS, save_minutes=1e-6)
    for kill in range(6):
        half_way = chance.randrange(1, 15) if kill % 2 else 0
        process = start(*arguments, die_in_save=half_way)
        if not half_way:
            time.sleep(chance.uniform(0.0, 0.6))
            process.kill()
        assert ended(process) in (-signal.SIGKILL, 0)
    status, said = run(*arguments)
    assert status == 0, said
    train(rows, undisturbed, make_config(None, SETTINGS))
    assert logged(out) == logged(undisturbed) and alike(out, undisturbed)
    name = "model-01-of-01.safetensors"
    assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not list(out.rglob("*.part"))


def test_a_state_that_was_being_saved_leaves_the_one_before_it(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(rows, out, **SETTINGS, save_minutes=1e-6)
    assert ended(start(*arguments, die_in_save=4)) == -signal.SIGKILL
    assert [path.name[:7] for path in (out / "run").glob("*.part")] == [".state."]
    assert state(out)["optimiser.1.0.step"] == 3


def test_a_second_process_is_kept_out_until_the_first_is_dead(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    endless = {**SETTINGS, "max_steps": 100_000, "save_minutes": 1e-6}
    first = start(*command(rows, out, **endless))
    until = time.monotonic() + 60
    while not (out / "run" / STATE_NAME).is_file() and time.monotonic() < until:
        time.sleep(0.02)
    config = make_config(None, {**SETTINGS, "max_steps": 1})
    with pytest.raises(ValueError, match=r"another process is at work in .*run; wait for it, or"):
        train(rows, out, config)
    first.kill()
    assert ended(first) == -signal.SIGKILL
    assert "nats_per_note" in train(rows, out, config)


def two_processes(code: str, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """Run code in two processes that train together, as torchrun starts them."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1])}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **address, "RANK": rank, "WORLD_SIZE": "2", "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()
    ended = zip(started, said, strict=True)
    return [subprocess.CompletedProcess(p.args, p.returncode, *own) for p, own in ended]


RUN = "from emomusic.cli import main; main()"
DYING = f"""
import os, signal
from emomusic.training import train as room

taken = room._Run._step

def step(self, stream):
    if self.ranks.rank and self.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return taken(self, stream)

room._Run._step = step
{RUN}
"""


def test_two_processes_train_as_one_and_go_on_where_one_stopped(rows: Path, tmp_path: Path) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    train(rows, alone, make_config(None, SHARED))
    first, second = two_processes(RUN, *command(rows, out, **{**SHARED, "max_steps": 10}))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (first.stdout + second.stdout).count("nats_per_note") == 1
    train(rows, out, make_config(None, {**SHARED, "max_steps": 13}))  # one reads what two saved
    two_processes(RUN, *command(rows, out, **SHARED))
    for key, n_records in (("loss", 2), (END, 1)):
        assert len(curve(alone, key)) == n_records
        for step, value in curve(alone, key).items():
            assert curve(out, key)[step] == pytest.approx(value, abs=1e-4)
    one, two = state(out), state(alone)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        if name.startswith("model."):
            torch.testing.assert_close(tensor, two[name], atol=1e-3, rtol=1e-2)


def test_a_process_that_dies_ends_the_other_in_one_sentence(rows: Path, tmp_path: Path) -> None:
    endless = {**SHARED, "max_steps": 100_000}
    first, second = two_processes(DYING, *command(rows, tmp_path / "out", **endless))
    assert (first.returncode, second.returncode) == (1, -signal.SIGKILL)
    assert first.stderr.splitlines()[-1].startswith("Error: process 0 of 2 stops, because another")
    assert "Traceback" not in first.stderr
