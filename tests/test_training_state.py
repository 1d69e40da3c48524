"""What a run keeps: its state, of which no damage goes unnoticed, and its log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_cases import TEXTS

from emomusic.model.checkpoint import SIZES, ModelConfig
from emomusic.model.events import EventLayout
from emomusic.model.transformer import Transformer
from emomusic.training.config import TrainConfig
from emomusic.training.distributed import Ranks
from emomusic.training.state import LOG_NAME, STATE_NAME, Log, load_state, save_state
from emomusic.training.train import make_optimisers

SAME, ALONE = {"seed": 1}, Ranks(torch.device("cpu"))


class Run:
    """Hold a tiny model and its optimisers, and take steps on fixed events."""

    def __init__(self, seed: int = 0, **shape: int) -> None:
        torch.manual_seed(seed)
        layout = EventLayout.from_texts(TEXTS)
        config = ModelConfig(len(TEXTS), layout, context=16, **{**SIZES["tiny"], **shape})
        self.model = Transformer(config)
        settings = TrainConfig(max_steps=1, lr=0.01)
        self.optimisers = make_optimisers(self.model, settings, torch.float32)

    def steps(self, n: int) -> None:
        for _ in range(n):
            x = self.model.embed(torch.arange(32), torch.arange(0, 32, 2))
            state, chosen = self.model(x[None])[0], torch.zeros(16, 6, dtype=torch.int64)
            loss = self.model.logits(0, state, chosen).square().mean()
            loss.backward()  # type: ignore[no-untyped-call] # torch's
            for optimiser in self.optimisers:
                optimiser.step()
                optimiser.zero_grad()

    def load(self, folder: Path, **same: Any) -> dict[str, Any]:
        same = SAME | same
        return load_state(folder, self.model, self.optimisers, same=same, ranks=ALONE)

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], tensor) for name, tensor in other.items())


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Run]:
    run = Run()
    run.steps(2)
    torch.manual_seed(99)
    save_state(tmp_path, run.model, run.optimisers, {"step": 2, "elapsed": 0.5, **SAME})
    return tmp_path, run


def test_a_run_goes_on_as_if_it_had_not_stopped(saved: tuple[Path, Run]) -> None:
    (folder, run), other = saved, Run(seed=5)
    assert other.load(folder) == {"step": 2, "elapsed": 0.5, "seed": 1}
    assert [path.name for path in folder.iterdir()] == [STATE_NAME]
    drawn = torch.rand(3)
    torch.manual_seed(99)
    assert torch.equal(torch.rand(3), drawn)  # random numbers go on, too
    run.steps(3)
    other.steps(3)
    assert equal(run.weights(), other.weights())


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_no_damage_goes_unnoticed_and_none_is_taken_in(saved: tuple[Path, Run], kind: str) -> None:
    path = saved[0] / STATE_NAME
    whole, chance, other = path.read_bytes(), np.random.default_rng(0), Run(seed=5)
    before = other.weights()
    for place in map(int, [*range(40), *chance.integers(0, len(whole), 60)]):
        data = bytearray(whole)
        if kind == "cut":
            del data[place:]
        else:
            data[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(data)
        refused(saved[0], other, "")
    assert equal(before, other.weights())
    assert not any(optimiser.state for optimiser in other.optimisers)


def refused(folder: Path, run: Run, words: str, **same: Any) -> None:
    with pytest.raises(ValueError, match=rf"cannot resume from .*{words}") as caught:
        run.load(folder, **same)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_state_of_another_run_or_kind_is_refused_in_one_line(
    saved: tuple[Path, Run], tmp_path: Path
) -> None:
    folder, run = saved
    before = run.weights()
    refused(tmp_path / "none", run, "No such file")
    refused(folder, run, "it is a run of seed 1, not 2; take the same again, or", seed=2)
    refused(folder, run, "it is a run of rows None, not 7; take the same again, or", rows="7")
    refused(folder, Run(n_layers=3), "")
    tensors = load_file(folder / STATE_NAME)
    save_file(tensors, folder / STATE_NAME, metadata={"scalars": json.dumps(SAME)})  # no digest
    refused(folder, run, "it is damaged, or of an earlier version; take another")
    assert equal(before, run.weights())


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / LOG_NAME).read_text().splitlines()]


def logged(folder: Path, step: int, *at: int) -> None:
    log = Log(folder, step)
    for place in at:
        log.write({"step": place}, {"loss": 1 / 3})


def test_a_log_holds_each_record_once_and_none_from_after_the_state(tmp_path: Path) -> None:
    record = Log(tmp_path, 0).write({"step": 3, "epoch": 1}, {"loss": 2 / 3, "lr": 0.1})
    assert record == {"step": 3, "epoch": 1, "loss": 0.666667, "lr": 0.1}
    assert json.loads((tmp_path / LOG_NAME).read_text()) == record
    logged(tmp_path, 0, 0, 10, 20, 30)
    logged(tmp_path, 20, 30, 40)
    assert steps(tmp_path) == [0, 10, 20, 30, 40]
    logged(tmp_path, 0, 10)
    for _ in range(2):
        log = Log(tmp_path, 10)
        for values in ({"loss": 1.0}, {"validation_advance": 1.0}, {"precision": "fp32"}) * 2:
            log.write({"step": 10}, values)
    assert steps(tmp_path) == [10, 10, 10]


@pytest.mark.parametrize("tail", ['{"step": 3', "[1]\n", '{"loss": 1}\n', "\n", "\xff"])
def test_a_line_cut_short_is_dropped(tmp_path: Path, tail: str) -> None:
    logged(tmp_path, 0, 1, 2)
    with (tmp_path / LOG_NAME).open("a", encoding="latin-1") as file:
        file.write(tail)
    logged(tmp_path, 5, 6)
    assert steps(tmp_path) == [1, 2, 6]


def test_tensorboard_has_what_is_logged_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    logged(tmp_path, 0, 1)
    assert [path for path in tmp_path.iterdir() if "tfevents" in path.name]
