"""The state that an interrupted run goes on from: tensors and JSON, written whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from emomusic.files import write_atomically

STATE_NAME = "state.safetensors"


def save_state(
    folder: Path,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    scalars: dict[str, Any],
) -> None:
    """Write model, optimisers, torch's random state and scalars to one file."""
    tensors = {f"model.{name}": t.detach().cpu() for name, t in model.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for key, values in optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:
                    tensors[f"optimiser.{i}.{key}.{name}"] = torch.as_tensor(value).detach().cpu()
    tensors["random"] = torch.get_rng_state()
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    data = save_tensors(contiguous, metadata={"scalars": json.dumps(scalars)})
    write_atomically(folder / STATE_NAME, lambda file: file.write(data))


def load_state(
    folder: Path,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    *,
    same: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a saved state into model and optimisers, and return the scalars.

    Args:
        folder: Where `save_state` wrote it.
        model: Takes the saved weights.
        optimisers: As they were when saved.
        same: Scalars that must be those of the saved run.

    Raises:
        ValueError: If the file is damaged or of another run.
    """
    path = folder / STATE_NAME
    try:
        data = path.read_bytes()
        tensors = load_tensors(data)
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        scalars: dict[str, Any] = json.loads(head["__metadata__"]["scalars"])
        for name, value in same.items():
            if scalars[name] != value:
                raise ValueError(
                    f"it is a run of {name} {scalars[name]}, not {value}; "
                    "take the same settings or another folder"
                )
        model.load_state_dict(_below(tensors, "model."))
        for i, optimiser in enumerate(optimisers):
            _fill(optimiser, _below(tensors, f"optimiser.{i}."))
        torch.set_rng_state(tensors["random"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot resume from {path}: {reason}") from error
    return scalars


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _fill(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        key, field = name.split(".", 1)
        state.setdefault(int(key), {})[field] = tensor
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
