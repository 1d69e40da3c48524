"""Training that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from faults_cases import ended, run, start
from synthetic import make_rows
from training_cases import SMALL, alike, records, state

from emomusic.training.config import make_config
from emomusic.training.state import STATE_NAME
from emomusic.training.train import train

SETTINGS = {**SMALL, "max_steps": 60}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    make_rows(n_songs=24).save(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    train(rows, out, make_config(None, SETTINGS))
    return out


def command(rows: Path, out: Path, settings: Path, **changes: Any) -> list[object]:
    settings.write_text(json.dumps({**SETTINGS, "save_minutes": 1e-6, **changes}))
    return ["train", "--rows", rows, "--out", out, "--config", settings]


def logged(out: Path) -> list[dict[str, Any]]:
    """Return what was logged but for what another host, or another moment, tells otherwise."""
    other = ("seconds", "notes_per_s")
    return [
        {name: value for name, value in record.items() if name not in other}
        for record in records(out)
        if "precision" not in record  # each start says on what it runs
    ]


def test_training_killed_again_and_again_ends_as_if_undisturbed(
    rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    arguments = command(rows, tmp_path / "out", tmp_path / "run.json")
    for kill in range(6):
        half_way = chance.randrange(1, 15) if kill % 2 else 0
        process = start(*arguments, die_in_save=half_way)
        if not half_way:
            time.sleep(chance.uniform(0.0, 0.6))
            process.kill()
        assert ended(process) in (-signal.SIGKILL, 0)
    status, said = run(*arguments)
    assert status == 0, said
    out = tmp_path / "out"
    assert logged(out) == logged(undisturbed) and alike(out, undisturbed)
    name = "model-01-of-01.safetensors"
    assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not list(out.rglob("*.part"))


def test_a_state_that_was_being_saved_leaves_the_one_before_it(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(rows, out, tmp_path / "run.json")
    assert ended(start(*arguments, die_in_save=4)) == -signal.SIGKILL
    assert [path.name[:7] for path in (out / "run").glob("*.part")] == [".state."]
    assert state(out)["optimiser.1.0.step"] == 3


def test_a_second_process_is_kept_out_until_the_first_is_dead(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(rows, out, tmp_path / "run.json", max_steps=100_000)
    first = start(*arguments)
    until = time.monotonic() + 60
    while not (out / "run" / STATE_NAME).is_file() and time.monotonic() < until:
        time.sleep(0.02)
    config = make_config(None, {**SETTINGS, "max_steps": 1})
    with pytest.raises(ValueError, match=r"another process is at work in .*run; wait for it, or"):
        train(rows, out, config)
    first.kill()
    assert ended(first) == -signal.SIGKILL
    assert "nats_per_note" in train(rows, out, config)
