from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emomusic.model.checkpoint import save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.training.begin import make_optimisers, start_from
from emomusic.training.config import TrainConfig


def model(n_layers: int, seed: int, **changes: int) -> Transformer:
    torch.manual_seed(seed)
    shape = {**SIZES["tiny"], "vocab_size": 40, "context": 16, "n_layers": n_layers, **changes}
    return Transformer(ModelConfig(**shape))


@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (4, 2), (6, 2), (3, 1)])
def test_fewer_layers_are_stacked_in_turn(tmp_path: Path, mine: int, theirs: int) -> None:
    source, target = model(theirs, 1), model(mine, 2)
    save_model(tmp_path, source, recipe={}, dtype=torch.float32)
    start_from(target, tmp_path)
    found = source.state_dict()
    for name, tensor in target.state_dict().items():
        parts = name.split(".")
        if parts[0] == "blocks":
            parts[1] = str(int(parts[1]) % theirs)
        assert torch.equal(tensor, found[".".join(parts)]), name


@pytest.mark.parametrize(
    ("mine", "theirs", "changes"),
    [(2, 4, {}), (3, 2, {}), (2, 2, {"dim": 32}), (2, 2, {"vocab_size": 41})],
)
def test_a_model_of_another_shape_is_refused(
    tmp_path: Path, mine: int, theirs: int, changes: dict[str, int]
) -> None:
    save_model(tmp_path, model(theirs, 1, **changes), recipe={})
    with pytest.raises(ValueError, match=r"a model of .* cannot start from .*, which is "):
        start_from(model(mine, 2), tmp_path)


def test_a_longer_context_may_start_from_a_shorter_one(tmp_path: Path) -> None:
    save_model(tmp_path, model(2, 1), recipe={})
    start_from(model(2, 2, context=32), tmp_path)


def test_each_parameter_has_one_optimiser() -> None:
    made = model(2, 0)
    muon, adam = make_optimisers(made, TrainConfig(max_steps=1))
    held = [p for optimiser in (muon, adam) for g in optimiser.param_groups for p in g["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(made.parameters()))
    assert {p.dim() for g in muon.param_groups for p in g["params"]} == {2}
    assert any(p is made.embedding.weight for g in adam.param_groups for p in g["params"])
