from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.begin import make_optimisers
from emomusic.training.config import TrainConfig
from emomusic.training.record.state import STATE_NAME, load_state, save_state

SAME = {"seed": 1}


class Run:
    """Hold a tiny model and its optimisers, and take steps on fixed ids."""

    def __init__(self, size: str = "tiny", seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = Transformer(ModelConfig(vocab_size=30, context=16, **SIZES[size]))
        self.optimisers = make_optimisers(self.model, TrainConfig(max_steps=1, lr=0.01))

    def step(self) -> None:
        ids = torch.arange(16)[None] % 30
        self.model(ids).square().mean().backward()
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
    scalars = load_state(folder, other.model, other.optimisers, same=SAME)
    assert scalars == {"step": 2, "elapsed": 0.5, "seed": 1}
    for _ in range(3):
        run.step()
        other.step()
    for name, tensor in run.weights().items():
        assert torch.equal(other.weights()[name], tensor), name


def test_random_numbers_go_on_too(saved: tuple[Path, Run]) -> None:
    folder, _ = saved
    torch.manual_seed(99)
    expected = torch.rand(3)
    other = Run(seed=5)
    load_state(folder, other.model, other.optimisers, same=SAME)
    assert torch.equal(torch.rand(3), expected)


def test_only_whole_files_are_left(saved: tuple[Path, Run]) -> None:
    assert [path.name for path in saved[0].iterdir()] == [STATE_NAME]


@pytest.mark.parametrize("keep", [0, 7, 300, -10])
def test_a_damaged_state_gives_one_line(saved: tuple[Path, Run], keep: int) -> None:
    folder, run = saved
    path = folder / STATE_NAME
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cannot resume from .*state.safetensors: ") as caught:
        load_state(folder, run.model, run.optimisers, same=SAME)
    assert "\n" not in str(caught.value)


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
        with pytest.raises(ValueError, match="cannot resume from") as caught:
            load_state(folder, other.model, other.optimisers, same=SAME)
        assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in other.weights().items())
    assert not any(optimiser.state for optimiser in other.optimisers)


def test_a_state_without_a_digest_is_refused(saved: tuple[Path, Run]) -> None:
    folder, run = saved
    tensors = load_file(folder / STATE_NAME)
    save_file(tensors, folder / STATE_NAME, metadata={"scalars": json.dumps(SAME)})
    with pytest.raises(ValueError, match="it is damaged, or of an earlier version; take another"):
        load_state(folder, run.model, run.optimisers, same=SAME)


def test_a_missing_state_gives_one_line(tmp_path: Path) -> None:
    run = Run()
    with pytest.raises(ValueError, match=r"cannot resume from .*: .*No such file"):
        load_state(tmp_path, run.model, run.optimisers, same=SAME)


def test_a_state_of_another_run_is_refused_and_changes_nothing(saved: tuple[Path, Run]) -> None:
    folder, _ = saved
    other = Run(seed=5)
    before = other.weights()
    with pytest.raises(ValueError, match="it is a run of seed 1, not 2; take the same settings"):
        load_state(folder, other.model, other.optimisers, same={"seed": 2})
    assert all(torch.equal(before[name], tensor) for name, tensor in other.weights().items())


def test_a_state_of_another_model_is_refused_in_one_line(saved: tuple[Path, Run]) -> None:
    folder, _ = saved
    other = Run("half")
    with pytest.raises(ValueError, match=r"cannot resume from") as caught:
        load_state(folder, other.model, other.optimisers, same=SAME)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
