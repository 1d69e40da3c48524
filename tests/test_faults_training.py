"""Training that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from faults_cases import contents, is_one_sentence, nursery
from safetensors.torch import load_file
from synthetic import make_rows
from training_cases import SMALL

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


def curve(out: Path) -> list[dict[str, Any]]:
    """Return what was logged but for what another host, or another moment, tells otherwise."""
    records = map(json.loads, (out / "run" / "log.jsonl").read_text().splitlines())
    other = ("seconds", "notes_per_s")
    return [
        {name: value for name, value in record.items() if name not in other}
        for record in records
        if "precision" not in record  # each start says on what it runs
    ]


def same_end(out: Path, other: Path) -> bool:
    one, two = (load_file(folder / "run" / STATE_NAME) for folder in (out, other))
    models = [(folder / "model-01-of-01.safetensors").read_bytes() for folder in (out, other)]
    same = one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    return same and models[0] == models[1]


@pytest.mark.parametrize("seed", [0, 1])
def test_training_killed_again_and_again_ends_as_if_undisturbed(
    rows: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    arguments = command(rows, tmp_path / "out", tmp_path / "run.json")
    for kill in range(6):
        half_way = chance.randrange(1, 15) if kill % 2 else 0
        process = nursery().start(*arguments, die_in_save=half_way)
        if not half_way:
            time.sleep(chance.uniform(0.0, 0.6))
            os.kill(process, signal.SIGKILL)
        assert nursery().wait(process) in (-signal.SIGKILL, 0)
    status, said = nursery().run(*arguments)
    assert status == 0, said
    assert curve(tmp_path / "out") == curve(undisturbed)
    assert same_end(tmp_path / "out", undisturbed)
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_state_that_was_being_saved_leaves_the_one_before_it(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(rows, out, tmp_path / "run.json")
    assert nursery().wait(nursery().start(*arguments, die_in_save=4)) == -signal.SIGKILL
    assert [path.name[:7] for path in (out / "run").glob("*.part")] == [".state."]
    assert load_file(out / "run" / STATE_NAME)["optimiser.1.0.step"] == 3


def test_a_second_process_is_kept_out_until_the_first_is_dead(rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = command(rows, out, tmp_path / "run.json", max_steps=100_000)
    first = nursery().start(*arguments)
    until = time.monotonic() + 60
    while not (out / "run" / STATE_NAME).is_file() and time.monotonic() < until:
        time.sleep(0.02)
    config = make_config(None, {**SETTINGS, "max_steps": 1})
    with pytest.raises(ValueError, match=r"another process is at work in .*run; wait for it, or"):
        train(rows, out, config)
    os.kill(first, signal.SIGKILL)
    assert nursery().wait(first) == -signal.SIGKILL
    assert "nats_per_note" in train(rows, out, config)


def test_a_damaged_state_is_told_and_left_as_it_is(
    rows: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(undisturbed, tmp_path / "out"))
    data = bytearray((out / "run" / STATE_NAME).read_bytes())
    data[-1000] ^= 1
    (out / "run" / STATE_NAME).write_bytes(data)
    before = contents(out)
    status, said = nursery().run(*command(rows, out, tmp_path / "run.json"))
    assert status == 1 and is_one_sentence(said) and "cannot resume from" in said, said
    assert contents(out) == before
