"""A model in a folder: its shape as JSON, its weights as safetensors, no code; torch only to save
a `Transformer` or to load one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from emomusic.files import UNREADABLE, open_plain, write_atomically, write_text
from emomusic.model.events import EventLayout

if TYPE_CHECKING:
    import torch

    from emomusic.model.transformer import Transformer

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden": 128, "inner": 32},
    "half": {"dim": 384, "n_layers": 3, "n_heads": 4, "hidden": 1024, "inner": 256},
    "small": {"dim": 384, "n_layers": 6, "n_heads": 4, "hidden": 1024, "inner": 256},
    "base": {"dim": 512, "n_layers": 8, "n_heads": 4, "hidden": 1376, "inner": 512},
}
MAX_PARAMETERS = 500_000_000
MAX_LAYERS, MAX_CONTEXT = 128, 16_384
CONFIG_NAME = "config.json"
FORMAT = "emomusic-model-2"
MAX_FILE_BYTES = 15 * 2**20
"""Of a file of weights that is written."""
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


@dataclass(frozen=True)
class ModelConfig:
    """Hold the shape of a transformer.

    Attributes:
        vocab_size: Number of ids.
        layout: Which ids enter together, and which are chosen.
        dim: Width of the residual stream; a multiple of n_heads.
        n_layers: Blocks.
        n_heads: Query heads; a multiple of n_kv_heads.
        n_kv_heads: Key and value heads.
        hidden: Width inside the feed-forward.
        inner: Width inside the slots that write an event.
        context: Most events that attention looks back on, this one included.
        rope_base: Base of the rotary angles.
    """

    vocab_size: int
    layout: EventLayout
    dim: int = 384
    n_layers: int = 6
    n_heads: int = 4
    n_kv_heads: int = 2
    hidden: int = 1024
    inner: int = 256
    context: int = 2048
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        self.layout.check(self.vocab_size)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "layout":
                continue
            kind = float if field.name == "rope_base" else int
            number = isinstance(value, (int, kind)) and not isinstance(value, bool)
            if not (number and 1 <= value <= 1_000_000):
                raise ValueError(f"{field.name} must be a number in 1 to 1000000, got {value!r}")
        if self.dim % self.n_heads or (self.dim // self.n_heads) % 2:
            raise ValueError(f"dim / n_heads must be even, got {self.dim} / {self.n_heads}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_heads must be a multiple of n_kv_heads, got {self.n_heads}, {self.n_kv_heads}"
            )
        if self.n_layers > MAX_LAYERS or self.context > MAX_CONTEXT:
            raise ValueError(
                f"a model has at most {MAX_LAYERS} layers and a context of {MAX_CONTEXT}, "
                f"got {self.n_layers}, {self.context}"
            )
        if self.n_parameters > MAX_PARAMETERS:
            raise ValueError(
                f"a model has at most {MAX_PARAMETERS} parameters, these are {self.n_parameters}"
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def n_parameters(self) -> int:
        return sum(math.prod(shape) for shape in tensor_shapes(self).values())

    @property
    def n_told(self) -> tuple[int, ...]:
        """Return how many choices of each slot the later ones are told of, 0 of the last ones."""
        advance, pitch, velocity, _, chord, _ = self.layout.n_choices
        return advance, pitch, velocity, 0, chord, 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from plain values; a key that is unknown or missing is a ValueError, too."""
        known = {field.name for field in fields(cls)}
        unknown = set(values) - known or {"vocab_size", "layout"} - set(values)
        if unknown:
            raise ValueError(
                f"unknown or missing keys in the model's shape: {', '.join(sorted(unknown))}; "
                f"known are {', '.join(sorted(known))}"
            )
        return cls(**{**values, "layout": EventLayout.from_dict(values["layout"])})


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor that a model of this shape has, by name."""
    c = config
    block = {
        "attention_norm": (c.dim,),
        "attention.gain": (c.n_heads,),
        "attention.qkv.weight": ((c.n_heads + 2 * c.n_kv_heads) * c.head_dim, c.dim),
        "attention.out.weight": (c.dim, c.n_heads * c.head_dim),
        "hidden_norm": (c.dim,),
        "gate_up.weight": (2 * c.hidden, c.dim),
        "down.weight": (c.dim, c.hidden),
    }
    slot = {
        "norm": (c.dim,),
        "gate_up.weight": (2 * c.inner, c.dim),
        "down.weight": (c.dim, c.inner),
        "head_norm": (c.dim,),
    }
    shapes: dict[str, tuple[int, ...]] = {"embedding": (c.vocab_size + 1, c.dim)}
    for layer in range(c.n_layers):
        shapes |= {f"blocks.{layer}.{name}": shape for name, shape in block.items()}
    for at, (n_choices, n_told) in enumerate(zip(c.layout.n_choices, c.n_told, strict=True)):
        shapes |= {f"slots.{at}.{name}": shape for name, shape in slot.items()}
        shapes[f"slots.{at}.head.weight"] = (n_choices, c.dim)
        if n_told:
            shapes[f"slots.{at}.told.weight"] = (n_told, c.dim)
    return shapes | {"norm": (c.dim,)}


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Say in one line what cannot be used, and why."""
    try:
        yield
    except CheckpointError:
        raise
    except (*UNREADABLE, SafetensorError) as error:
        raise CheckpointError(f"{what}: {str(error)[:MAX_TOLD]}") from error


def read_shape(folder: Path) -> tuple[ModelConfig, list[str]]:
    """Return the shape of a checkpoint's model and the names of its files of weights.

    Raises:
        CheckpointError: If the config is missing, damaged or of another format, or the files are
            too large for it.
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
    with _refusing(str(path)):
        shape = ModelConfig.from_dict(config["model"])
        names = [str(name) for name in config["weights"]]
        for name in names:
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise ValueError(f"not the name of a weights file: {name!r}")
        if len(names) > MAX_FILES or len(set(names)) < len(names):
            raise ValueError(f"weights are in at most {MAX_FILES} files, each named once")
        n_bytes = sum((folder / name).stat().st_size for name in names if (folder / name).is_file())
        if n_bytes > MAX_BYTES_PER_PARAMETER * shape.n_parameters + MAX_CONFIG_BYTES:
            raise ValueError(f"{n_bytes} bytes of weights are too many for {shape.n_parameters}")
    return shape, names


def read_tensors(folder: Path, shape: ModelConfig, names: list[str]) -> Iterator[tuple[str, Array]]:
    """Read the tensors of a checkpoint of this shape, one of the files after another.

    Yields:
        Name and values of each tensor: float32, or the bits of bfloat16 as uint16.

    Raises:
        CheckpointError: If a file is missing or damaged, or the tensors do not fit the shape.
    """
    wanted = tensor_shapes(shape)
    missing, misfit = set(wanted), f"the weights in {folder} do not fit its config"
    for file in names:
        with _refusing(f"cannot read the weights {folder / file}"):
            with open_plain(folder / file) as stored:
                data = stored.read()
            for name, (kind, own) in _head(data).items():
                if kind not in _STORED:
                    raise ValueError(f"{name} holds {kind}")
                if own != wanted.get(name):
                    shapes = f" has shape {own}, expected {wanted[name]}" if name in wanted else ""
                    raise CheckpointError(f"{misfit}: {name[:MAX_TOLD]}{shapes[: 2 * MAX_TOLD]}")
                missing.discard(name)
            for name, entry in deserialize(data):  # type: ignore[no-untyped-call]
                tensor = np.frombuffer(entry["data"], _STORED[entry["dtype"]])
                if tensor.dtype != BFLOAT16:
                    tensor = tensor.astype(np.float32, copy=False)
                if not is_finite(tensor):
                    told = f"the weights in {folder} hold numbers that are not finite"
                    raise CheckpointError(told)
                yield name, tensor.reshape(entry["shape"])
    if missing:
        raise CheckpointError(f"{misfit}: {min(missing)}")


def _head(data: bytes) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each tensor of a file, as its head says."""
    n_bytes = int.from_bytes(data[:8], "little")
    if n_bytes > MAX_HEAD_BYTES:
        raise ValueError(f"its head claims {n_bytes} bytes, at most {MAX_HEAD_BYTES} are read")
    head = json.loads(data[8 : 8 + n_bytes].decode("utf-8"))
    head.pop("__metadata__", None)
    return {name: (str(own["dtype"]), tuple(own["shape"])) for name, own in head.items()}


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


def save_model(
    folder: Path, model: Transformer, *, recipe: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write the weights in files of at most 15 MiB, then the config that names them.

    Args:
        folder: Made if it is not there.
        recipe: How it was trained; kept in the config.
        dtype: Of the stored weights; None takes bfloat16.
    """
    import torch
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, values in model.state_dict().items():
        tensor = values.detach().to("cpu", dtype or torch.bfloat16).contiguous()
        size += tensor.nbytes
        if size > MAX_FILE_BYTES and shards[-1]:
            shards.append({})
            size = tensor.nbytes
        shards[-1][name] = tensor
    names = [f"model-{i + 1:02d}-of-{len(shards):02d}.safetensors" for i in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        write_atomically(folder / name, methodcaller("write", save(shard)))
    config = {"format": FORMAT, "model": asdict(model.config), "weights": names}
    text = json.dumps({**config, "recipe": dict(recipe)}, indent=1)
    write_text(folder / CONFIG_NAME, f"{text}\n")
    for stale in set(folder.glob("model-*.safetensors")) - {folder / name for name in names}:
        stale.unlink()


def load_model(folder: Path) -> Transformer:
    """Load a model in float32, ready to predict.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not fit the config.
    """
    import torch

    from emomusic.model.transformer import Transformer

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
