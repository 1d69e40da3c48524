from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_cases import TEXTS

from emomusic.model.events import EventLayout
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.config import TrainConfig
from emomusic.training.distributed import Ranks
from emomusic.training.state import STATE_NAME, load_state, save_state
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

    def step(self) -> None:
        x = self.model.embed(torch.arange(32), torch.arange(0, 32, 2))
        logits = self.model.logits(0, self.model(x[None])[0], torch.zeros(16, 6, dtype=torch.int64))
        logits.square().mean().backward()  # type: ignore[no-untyped-call] # torch's
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Run]:
    run = Run()
    run.step()
    run.step()
    torch.manual_seed(99)
    save_state(tmp_path, run.model, run.optimisers, {"step": 2, "elapsed": 0.5, **SAME})
    return tmp_path, run


def test_a_run_goes_on_as_if_it_had_not_stopped(saved: tuple[Path, Run]) -> None:
    folder, run = saved
    other = Run(seed=5)
    scalars = load_state(folder, other.model, other.optimisers, same=SAME, ranks=ALONE)
    assert scalars == {"step": 2, "elapsed": 0.5, "seed": 1}
    assert [path.name for path in folder.iterdir()] == [STATE_NAME]
    drawn = torch.rand(3)
    torch.manual_seed(99)
    assert torch.equal(torch.rand(3), drawn)  # random numbers go on, too
    for _ in range(3):
        run.step()
        other.step()
    for name, tensor in run.weights().items():
        assert torch.equal(other.weights()[name], tensor), name


@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_no_damage_goes_unnoticed_and_none_is_taken_in(saved: tuple[Path, Run], kind: str) -> None:
    folder, _ = saved
    path = folder / STATE_NAME
    whole, chance = path.read_bytes(), np.random.default_rng(0)
    other = Run(seed=5)
    before = other.weights()
    places = [*range(40), *chance.integers(0, len(whole), 60)]
    for place in map(int, places):
        data = bytearray(whole)
        if kind == "cut":
            del data[place:]
        else:
            data[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(data)
        refused(folder, other, "")
    assert all(torch.equal(before[name], tensor) for name, tensor in other.weights().items())
    assert not any(optimiser.state for optimiser in other.optimisers)


def refused(folder: Path, run: Run, words: str, **same: Any) -> None:
    with pytest.raises(ValueError, match=rf"cannot resume from .*{words}") as caught:
        load_state(folder, run.model, run.optimisers, same=SAME | same, ranks=ALONE)
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
    assert all(torch.equal(before[name], tensor) for name, tensor in run.weights().items())
