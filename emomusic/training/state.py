"""The state that an interrupted run goes on from: tensors and JSON, written whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from emomusic.files import write_atomically
from emomusic.training.distributed import Ranks

STATE_NAME = "state.safetensors"


def save_state(
    folder: Path,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    scalars: Mapping[str, Any],
) -> None:
    """Write model, optimisers, torch's random state and scalars to one file, with their digest.

    Args:
        folder: Where to.
        model: The model.
        optimisers: Of its parameters.
        scalars: What JSON can say.
    """
    tensors = {n: t.detach().cpu().contiguous() for n, t in sorted(_named(model, optimisers))}
    tensors["random"] = torch.get_rng_state()
    told = json.dumps(scalars)
    metadata = {"scalars": told, "digest": _digest(tensors, told)}
    data = save_tensors(tensors, metadata=metadata)
    write_atomically(folder / STATE_NAME, lambda file: file.write(data))


def _named(
    model: nn.Module, optimisers: list[torch.optim.Optimizer]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in model.state_dict().items():
        yield f"model.{name}", tensor
    for i, optimiser in enumerate(optimisers):
        for key, values in optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:
                    yield f"optimiser.{i}.{key}.{name}", torch.as_tensor(value)


def _digest(tensors: Mapping[str, Tensor], told: str) -> str:
    found = hashlib.blake2b(told.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_state(
    folder: Path,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    *,
    same: Mapping[str, Any],
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Put a saved state into model and optimisers, and return the scalars.

    Args:
        folder: Where `save_state` wrote it.
        model: Takes the saved weights.
        optimisers: As they were when saved.
        same: Scalars that must be those of the saved run.
        ranks: The processes that train together, of which the first reads for all.

    Raises:
        ValueError: If the file is damaged or of another run.
    """
    path = folder / STATE_NAME
    with _refusal(path):
        data = path.read_bytes() if ranks is None or ranks.rank == 0 else b""
    if ranks is not None:
        data = ranks.share(data)
    with _refusal(path):
        tensors, scalars = _parse(data)
        for name, value in same.items():
            if scalars.get(name) != value:
                raise ValueError(
                    f"it is a run of {name} {scalars.get(name)}, not {value}; "
                    "take the same again, or another folder"
                )
        model.load_state_dict(_below(tensors, "model."))
        for i, optimiser in enumerate(optimisers):
            _fill(optimiser, _below(tensors, f"optimiser.{i}."))
        torch.set_rng_state(tensors["random"])
    return scalars


@contextmanager
def _refusal(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot resume from {path}: {told}") from error


def _parse(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = load_tensors(data)
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    if head.get("digest") != _digest(tensors, head["scalars"]):
        raise ValueError(
            "it is damaged, or of an earlier version; take another folder, or remove it to begin "
            "anew"
        )
    scalars: dict[str, Any] = json.loads(head["scalars"])
    return tensors, scalars


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
