"""Weights and shape of a checkpoint's folder, read without torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from emomusic.model.shape import ModelConfig, tensor_shapes

CONFIG_NAME = "config.json"
FORMAT = "emomusic-model-2"
MAX_CONFIG_BYTES = 2**20
MAX_HEAD_BYTES = 2**20
"""Of a file of weights: names and shapes of its tensors, ten times those of the deepest model."""
MAX_FILES = 1_000
MAX_BYTES_PER_PARAMETER = 8
MAX_TOLD = 200
BFLOAT16 = np.dtype(np.uint16)
"""How bfloat16 is held in numpy, which has no such type: its bits."""
_STORED: dict[str, np.dtype[Any]] = {
    "BF16": BFLOAT16,
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
Array = NDArray[Any]


class CheckpointError(ValueError):
    """Tell in one line why a checkpoint cannot be used."""


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Say in one line what cannot be used, and why."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{what}: {str(error)[:MAX_TOLD]}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a checkpoint.

    Raises:
        CheckpointError: If it is missing, damaged or of another format.
    """
    path = folder / CONFIG_NAME
    with _refusing(f"no checkpoint in {folder}"):
        with open_plain(path) as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
        if len(text) > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{path} is too large to be a config")
        config = json.loads(text.decode("utf-8"))
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}")
    return config


def open_plain(path: Path) -> BinaryIO:
    """Open a file that has an end: no pipe, no device.

    Raises:
        OSError: If it is missing, cannot be read, or is no plain file.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path.name} is no plain file")
    return path.open("rb")


def read_shape(folder: Path) -> tuple[ModelConfig, list[str]]:
    """Return the shape of a checkpoint's model and the names of its files of weights.

    Raises:
        CheckpointError: If the config is missing or damaged or the files are too large for it.
    """
    config = read_config(folder)
    with _refusing(f"{folder / CONFIG_NAME}"):
        shape = ModelConfig.from_dict(config["model"])
        names = [str(name) for name in config["weights"]]
        _check_sizes(folder, names, shape)
    return shape, names


def _check_sizes(folder: Path, names: list[str], shape: ModelConfig) -> None:
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"not the name of a weights file: {name!r}")
    if len(names) > MAX_FILES or len(set(names)) < len(names):
        raise ValueError(f"weights are in at most {MAX_FILES} files, each named once")
    n_bytes = sum((folder / name).stat().st_size for name in names if (folder / name).is_file())
    if n_bytes > MAX_BYTES_PER_PARAMETER * shape.n_parameters + MAX_CONFIG_BYTES:
        raise ValueError(f"{n_bytes} bytes of weights are too many for {shape.n_parameters}")


def read_tensors(folder: Path, shape: ModelConfig, names: list[str]) -> Iterator[tuple[str, Array]]:
    """Read the tensors of a checkpoint, one file after another.

    Args:
        folder: The checkpoint.
        shape: As its config says.
        names: Of its files of weights.

    Yields:
        Name and values of each tensor: float32, or the bits of bfloat16 as uint16.

    Raises:
        CheckpointError: If a file is missing or damaged, or the tensors do not fit the shape.
    """
    wanted = tensor_shapes(shape)
    missing, misfit = set(wanted), f"the weights in {folder} do not fit its config"
    for file in names:
        with _refusing(f"cannot read the weights {folder / file}"):
            for name, (kind, own) in _head(folder / file).items():  # before any of them is read
                if kind not in _STORED:
                    raise ValueError(f"{name} holds {kind}")
                if own != wanted.get(name):
                    shapes = f" has shape {own}, expected {wanted[name]}" if name in wanted else ""
                    raise CheckpointError(f"{misfit}: {name[:MAX_TOLD]}{shapes[: 2 * MAX_TOLD]}")
                missing.discard(name)
            for name, tensor in _read_file(folder / file):
                if not is_finite(tensor):
                    told = f"the weights in {folder} hold numbers that are not finite"
                    raise CheckpointError(told)
                yield name, tensor
    if missing:
        raise CheckpointError(f"{misfit}: {min(missing)}")


def _head(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each tensor of a file, as its head says."""
    with open_plain(path) as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        if n_bytes > MAX_HEAD_BYTES:
            raise ValueError(f"its head claims {n_bytes} bytes, at most {MAX_HEAD_BYTES} are read")
        head = json.loads(file.read(n_bytes).decode("utf-8"))
    if not isinstance(head, dict):
        raise TypeError("its head is no table")
    head.pop("__metadata__", None)
    return {name: (str(own["dtype"]), tuple(own["shape"])) for name, own in head.items()}


def _read_file(path: Path) -> Iterator[tuple[str, Array]]:
    with open_plain(path) as file:
        data = file.read()
    for name, entry in deserialize(data):  # type: ignore[no-untyped-call]
        values = np.frombuffer(entry["data"], _STORED[entry["dtype"]]).reshape(entry["shape"])
        is_half = values.dtype == BFLOAT16
        yield name, values if is_half else values.astype(np.float32, copy=False)


def is_finite(tensor: Array) -> bool:
    """Tell whether all values, float32 or the bits of bfloat16, are finite."""
    if tensor.dtype == BFLOAT16:
        return bool(((tensor & 0x7F80) != 0x7F80).all())
    return bool(np.isfinite(tensor).all())


def as_float32(tensor: Array) -> NDArray[np.float32]:
    """Return the values as float32, from float32 or the bits of bfloat16."""
    if tensor.dtype != BFLOAT16:
        return tensor.astype(np.float32, copy=False)
    return (tensor.astype(np.uint32) << 16).view(np.float32)
