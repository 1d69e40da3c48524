"""The shape of a transformer: how wide, how deep, how far it looks back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden": 128},
    "half": {"dim": 384, "n_layers": 3, "n_heads": 4, "hidden": 1024},
    "small": {"dim": 384, "n_layers": 6, "n_heads": 4, "hidden": 1024},
    "base": {"dim": 512, "n_layers": 8, "n_heads": 8, "hidden": 1376},
}
MAX_PARAMETERS = 500_000_000
MAX_LAYERS, MAX_CONTEXT = 128, 16_384


@dataclass(frozen=True)
class ModelConfig:
    """Hold the shape of a transformer.

    Attributes:
        vocab_size: Number of ids.
        dim: Width of the residual stream; a multiple of n_heads.
        n_layers: Blocks.
        n_heads: Query heads; a multiple of n_kv_heads.
        n_kv_heads: Key and value heads.
        hidden: Width inside the feed-forward.
        context: Most ids that attention looks back on, this one included.
        rope_base: Base of the rotary angles.
    """

    vocab_size: int
    dim: int = 384
    n_layers: int = 6
    n_heads: int = 6
    n_kv_heads: int = 2
    hidden: int = 1024
    context: int = 2048
    rope_base: float = 10_000.0

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            ValueError: If a number is out of range or does not divide another.
        """
        for field in fields(self):
            value = getattr(self, field.name)
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
        attention = self.dim * self.head_dim * 2 * (self.n_heads + self.n_kv_heads)
        block = attention + 3 * self.dim * self.hidden + 2 * self.dim
        return self.vocab_size * self.dim + self.n_layers * block + self.dim

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
        unknown = set(values) - known
        if unknown or "vocab_size" not in values:
            raise ValueError(
                f"unknown or missing keys in the model's shape: "
                f"{', '.join(sorted(unknown)) or 'vocab_size'}; "
                f"known are {', '.join(sorted(known))}"
            )
        return cls(**values)
