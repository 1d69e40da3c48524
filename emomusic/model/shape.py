"""The shape of a transformer: how wide, how deep, how far it looks back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from emomusic.model.events import EventLayout

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden": 128, "inner": 32},
    "half": {"dim": 384, "n_layers": 3, "n_heads": 4, "hidden": 1024, "inner": 256},
    "small": {"dim": 384, "n_layers": 6, "n_heads": 4, "hidden": 1024, "inner": 256},
    "base": {"dim": 512, "n_layers": 8, "n_heads": 4, "hidden": 1376, "inner": 512},
}
MAX_PARAMETERS = 500_000_000
MAX_LAYERS, MAX_CONTEXT = 128, 16_384


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
        """Check the shape.

        Raises:
            ValueError: If a number is out of range or does not divide another.
        """
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
        """Return the width of one head."""
        return self.dim // self.n_heads

    @property
    def n_parameters(self) -> int:
        """Return how many parameters such a model has."""
        return sum(math.prod(shape) for shape in tensor_shapes(self).values())

    @property
    def n_told(self) -> tuple[int, ...]:
        """Return how many choices of each slot the later ones are told of, 0 of the last ones."""
        advance, pitch, velocity, _, chord, _ = self.layout.n_choices
        return advance, pitch, velocity, 0, chord, 0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from plain values.

        Raises:
            ValueError: If a key is unknown or missing, or a value out of range.
        """
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
