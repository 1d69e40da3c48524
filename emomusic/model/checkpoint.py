"""Weights and shape of a model in a folder: safetensors and JSON, no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor

from emomusic.files import write_atomically, write_text
from emomusic.model.transformer import Transformer
from emomusic.model.weights import CONFIG_NAME, FORMAT, as_float32, read_shape, read_tensors
from emomusic.model.weights import CheckpointError as CheckpointError

MAX_FILE_BYTES = 15 * 2**20


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


def load_model(folder: Path) -> Transformer:
    """Load a model in float32, ready to predict.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not fit the config.
    """
    shape, names = read_shape(folder)
    tensors = {
        name: torch.from_numpy(as_float32(tensor).copy())
        for name, tensor in read_tensors(folder, shape, names)
    }
    with torch.device("meta"):
        model = Transformer(shape)
    model.to_empty(device="cpu")
    model.load_state_dict(tensors)
    model.reset_tables()
    return model.eval()
