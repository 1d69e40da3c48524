"""What a training run is told; the defaults and their meaning stand here."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from emomusic.model.checkpoint import SIZES
from emomusic.training.batches import Augmentation

CHOICES = {
    "size": tuple(SIZES),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "bf16", "fp32"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Hold the settings of a run.

    Attributes:
        size: `small` (about 12 M parameters), `base` (about 29 M), `half` (the width of
            `small` with half its layers, to start it from) or `tiny` (for tests).
        init_from: A checkpoint to start from; empty starts from random weights. One of fewer
            layers is stacked upon itself.
        branch_from: The folder of another run, to begin from its state, optimisers and all;
            empty begins anew. This run's steps are counted from there.
        same_rows: Whether a branch must have the rows of the run it leaves.
        context: Longest sequence in events.
        minutes: Time budget. 0: none.
        max_steps: Most optimiser steps. 0: none. At least one of the two must be set.
        decay_steps: Last of `max_steps`, over which the learning rate falls to 0; 0 keeps it.
        batch_events: Most events computed at once, padding counted in.
        micro_batches: So many of those make an optimiser step, of all processes together.
        lr: Learning rate, once it has risen.
        warmup_steps: Steps over which it rises.
        weight_decay: On matrices.
        dropout: Share of the blocks' outputs that is dropped.
        clip_norm: Largest gradient norm.
        seed: Of weights, order and augmentation.
        save_minutes: Time between saves of the state that a resumed run starts from.
        eval_minutes: Time between evaluations; 0 evaluates at the end only.
        eval_events: Most events of the held-back songs in an evaluation.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads; 0 leaves torch's choice.
        precision: Of matrix products: `bf16`, `fp32`, or `auto`, the faster of them here.
        compile: Whether to use torch.compile.
        source_weights: How often a source's clips come in an epoch; 1 where not named.
        augmentation: How clips vary.
    """

    size: str = "small"
    init_from: str = ""
    branch_from: str = ""
    same_rows: bool = True
    context: int = 2048
    minutes: float = 0.0
    max_steps: int = 0
    decay_steps: int = 0
    batch_events: int = 2_048
    micro_batches: int = 3
    lr: float = 5e-3
    warmup_steps: int = 200
    weight_decay: float = 0.05
    dropout: float = 0.0
    clip_norm: float = 1.0
    seed: int = 1
    save_minutes: float = 3.0
    eval_minutes: float = 10.0
    eval_events: int = 60_000
    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    compile: bool = False
    source_weights: dict[str, float] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: If one is of the wrong type or out of range.
        """
        for entry in fields(self):
            _check_type(entry.name, getattr(self, entry.name), str(entry.type))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                accepted = f"{', '.join(known[:-1])} or {known[-1]}"
                raise ValueError(f"{name} must be {accepted}, got {getattr(self, name)!r}")
        if self.minutes <= 0 and self.max_steps <= 0:
            raise ValueError("set minutes or max_steps, so that the run ends")
        if self.decay_steps > self.max_steps:
            raise ValueError(
                f"decay_steps must be at most max_steps, got {self.decay_steps}, {self.max_steps}"
            )
        if self.init_from and self.branch_from:
            raise ValueError("init_from and branch_from exclude each other")
        for name in ("context", "batch_events", "micro_batches", "lr", "clip_norm",
                     "save_minutes", "eval_events"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("minutes", "max_steps", "decay_steps", "warmup_steps", "weight_decay",
                     "dropout", "eval_minutes", "threads", "seed"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be below 0, got {getattr(self, name)}")
        if self.dropout >= 1:
            raise ValueError(f"dropout must be below 1, got {self.dropout}")
        for source, weight in self.source_weights.items():
            if not (_is(weight, "float") and 0 <= weight < math.inf):
                raise ValueError(f"the weight of {source} must be 0 or above, got {weight!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "dict[str, float]": (dict,),
    "Augmentation": (Augmentation,),
}


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _KINDS[kind])


def _check_type(name: str, value: Any, kind: str) -> None:
    finite = not isinstance(value, float) or math.isfinite(value)
    if not (_is(value, kind) and finite):
        raise ValueError(f"{name} must be of type {kind}, got {value!r}")


def make_config(path: Path | None, overrides: Mapping[str, Any]) -> TrainConfig:
    """Build the settings from defaults, a TOML or JSON file, and overrides, in that order.

    Raises:
        ValueError: If the file cannot be read, or a key is unknown, or a value out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read(path)
    values |= {name: value for name, value in overrides.items() if value is not None}
    known = {f.name for f in fields(TrainConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
    augmentation = values.pop("augmentation", {})
    if isinstance(augmentation, Mapping):
        odd = sorted(set(augmentation) - {f.name for f in fields(Augmentation)})
        if odd:
            raise ValueError(f"unknown setting {odd[0]!r} in augmentation")
        for name, value in augmentation.items():
            _check_type(name, value, "float")
        augmentation = Augmentation(**augmentation)
    return TrainConfig(**values, augmentation=augmentation)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        read = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"cannot read settings from {path}: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{path} must hold a table of settings")  # noqa: TRY004 - a bad file
    return read
