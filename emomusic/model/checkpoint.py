"""Weights and shape of a model in a folder: safetensors and JSON, no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from emomusic.files import write_atomically, write_text
from emomusic.model.shape import ModelConfig
from emomusic.model.transformer import Transformer

CONFIG_NAME = "config.json"
FORMAT = "emomusic-model-1"
MAX_FILE_BYTES = 15 * 2**20
MAX_CONFIG_BYTES = 2**20
MAX_BYTES_PER_PARAMETER = 8


class CheckpointError(ValueError):
    """Tell in one line why a checkpoint cannot be used."""


def save_model(
    folder: Path,
    model: Transformer,
    *,
    recipe: Mapping[str, Any],
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write the weights in files of at most 15 MiB, then the config that names them.

    Args:
        folder: Made if it is not there.
        model: The model.
        recipe: How it was trained; kept in the config.
        dtype: Of the stored weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to("cpu", dtype) for name, t in model.state_dict().items()}
    shards = _shards(tensors)
    names = [f"model-{i + 1:02d}-of-{len(shards):02d}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        write_atomically(folder / name, partial(_write_shard, shard))
    config = {
        "format": FORMAT,
        "model": model.config.to_dict(),
        "weights": names,
        "recipe": dict(recipe),
    }
    write_text(folder / CONFIG_NAME, json.dumps(config, indent=1) + "\n")
    for stale in set(folder.glob("model-*.safetensors")) - {folder / name for name in names}:
        stale.unlink()


def _write_shard(shard: dict[str, Tensor], file: BinaryIO) -> None:
    file.write(save_tensors(shard))


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        n_bytes = tensor.numel() * tensor.element_size()
        if size + n_bytes > MAX_FILE_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        size += n_bytes
    return shards


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a checkpoint.

    Raises:
        CheckpointError: If it is missing, damaged or of another format.
    """
    path = folder / CONFIG_NAME
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{path} is too large to be a config")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"no checkpoint in {folder}: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}")
    return config


def load_model(folder: Path) -> Transformer:
    """Load a model in float32, ready to predict.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not fit the config.
    """
    config = read_config(folder)
    try:
        shape = ModelConfig.from_dict(config["model"])
        names = [str(name) for name in config["weights"]]
        _check_sizes(folder, names, shape)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from error
    tensors: dict[str, Tensor] = {}
    for name in names:
        tensors |= _read_shard(folder, name)
    with torch.device("meta"):
        model = Transformer(shape)
    _check_tensors(folder, tensors, model.state_dict())
    model.to_empty(device="cpu")
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.reset_tables()
    return model.eval()


def _check_sizes(folder: Path, names: Sequence[str], shape: ModelConfig) -> None:
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"not the name of a weights file: {name!r}")
    n_bytes = sum((folder / name).stat().st_size for name in names if (folder / name).is_file())
    if n_bytes > MAX_BYTES_PER_PARAMETER * shape.n_parameters + MAX_CONFIG_BYTES:
        raise ValueError(f"{n_bytes} bytes of weights are too many for {shape.n_parameters}")


def _read_shard(folder: Path, name: str) -> dict[str, Tensor]:
    try:
        return load_tensors((folder / name).read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"cannot read the weights {folder / name}: {error}") from error


def _check_tensors(folder: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    if set(found) != set(wanted):
        odd = sorted(set(found) ^ set(wanted))[0]
        raise CheckpointError(f"the weights in {folder} do not fit its config: {odd}")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape or not tensor.is_floating_point():
            raise CheckpointError(
                f"the weights in {folder} do not fit its config: {name} has shape "
                f"{tuple(tensor.shape)}, expected {tuple(wanted[name].shape)}"
            )
        if not bool(torch.isfinite(tensor.float()).all()):
            raise CheckpointError(f"the weights in {folder} hold numbers that are not finite")
