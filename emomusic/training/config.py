"""What a training run is told; the defaults and their meaning stand here."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from emomusic.files import decode_text
from emomusic.model.checkpoint import SIZES
from emomusic.training.batches import Augmentation

CHOICES = {
    "size": tuple(SIZES),
    "device": ("auto", "cpu", "cuda"),
    "precision": ("auto", "bf16", "fp32"),
}
ABOVE_0 = ("context", "batch_events", "micro_batches", "lr", "clip_norm", "save_minutes",
           "eval_events")  # fmt: skip
MOST = 1e9
"""Of any setting with a point: beyond it torch overflows."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run, checked: a wrong type or value is a ValueError.

    Sizes have about 12 M (`small`) and 29 M (`base`) parameters; `half` has the width of `small`
    and half its layers, to start it from; `tiny` is for tests.
    """

    size: str = "small"
    init_from: str = ""  # checkpoint to start from; one of fewer layers is stacked upon itself
    branch_from: str = ""  # folder of a run to begin from, optimisers and all; steps count anew
    same_rows: bool = True  # whether a branch must have the rows of the run it leaves
    context: int = 2048  # longest sequence in events
    minutes: float = 0.0  # time budget; 0: none
    max_steps: int = 0  # of the optimiser; 0: no limit, but one of the two must be set
    decay_steps: int = 0  # last of `max_steps`, over which the rate falls to 0; 0 keeps it
    batch_events: int = 2_048  # most events computed at once, padding counted in
    micro_batches: int = 3  # so many of those make a step, of all processes together
    lr: float = 5e-3  # learning rate, once it has risen
    warmup_steps: int = 200  # over which it rises
    weight_decay: float = 0.05  # on matrices
    dropout: float = 0.0  # share of the blocks' outputs that is dropped
    clip_norm: float = 1.0  # largest gradient norm
    seed: int = 1  # of weights, order and augmentation
    save_minutes: float = 3.0  # between saves of the state that a resumed run starts from
    eval_minutes: float = 10.0  # between evaluations; 0 evaluates at the end only
    eval_events: int = 60_000  # most events of the held-back songs in an evaluation
    device: str = "auto"  # `auto`, `cpu` or `cuda`
    threads: int = 0  # of the CPU; 0 leaves torch's choice
    precision: str = "auto"  # of matrix products: `bf16`, `fp32`, or `auto`, the faster of them
    compile: bool = False  # whether to use torch.compile
    source_weights: dict[str, float] = field(default_factory=dict)  # clips an epoch; 1 if not named
    augmentation: Augmentation = field(default_factory=Augmentation)  # how clips vary

    def __post_init__(self) -> None:
        for entry in fields(self):
            name, value = entry.name, getattr(self, entry.name)
            _check_type(entry, value)
            if name in CHOICES and value not in CHOICES[name]:
                *others, last = CHOICES[name]
                raise ValueError(f"{name} must be {', '.join(others)} or {last}, got {value!r}")
            if name in ABOVE_0 and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}")
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{name} must not be below 0, got {value}")
            if isinstance(value, float) and value > MOST:
                raise ValueError(f"{name} must be at most {MOST:g}, got {value:g}")
        if not self.minutes and not self.max_steps:
            raise ValueError("set minutes or max_steps, so that the run ends")
        if self.decay_steps > self.max_steps:
            raise ValueError(
                f"decay_steps must be at most max_steps, got {self.decay_steps}, {self.max_steps}"
            )
        if self.init_from and self.branch_from:
            raise ValueError("init_from and branch_from exclude each other")
        if self.dropout >= 1:
            raise ValueError(f"dropout must be below 1, got {self.dropout}")
        for source, weight in self.source_weights.items():
            is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not is_number or not 0 <= weight < math.inf:
                raise ValueError(f"the weight of {source} must be 0 or above, got {weight!r}")


def _check_type(entry: Field[Any], value: Any) -> None:
    """Check that a value is of the type of a setting's default; whole numbers are floats, too."""
    made = entry.default_factory
    example = entry.default if made is MISSING else made()
    accepted = (int, float) if isinstance(example, float) else type(example)
    fits = isinstance(value, accepted) and isinstance(value, bool) == isinstance(example, bool)
    if not fits or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{entry.name} must be of type {entry.type}, got {value!r}")


def make_config(path: Path | None, overrides: Mapping[str, Any]) -> TrainConfig:
    """Build the settings from defaults, a TOML or JSON file, and overrides, in that order.

    Raises:
        ValueError: If the file cannot be read, or a key is unknown, or a value out of range.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            text = decode_text(path.read_bytes())
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot read settings from {path}: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold a table of settings")
    values |= {name: value for name, value in overrides.items() if value is not None}
    known = {f.name for f in fields(TrainConfig)}
    for name in sorted(set(values) - known):
        raise ValueError(f"unknown setting {name!r}; known are {', '.join(sorted(known))}")
    if isinstance(chances := values.get("augmentation"), Mapping):
        entries = {f.name: f for f in fields(Augmentation)}
        for name, value in chances.items():
            if name not in entries:
                raise ValueError(f"unknown setting {name!r} in augmentation")
            _check_type(entries[name], value)
        values["augmentation"] = Augmentation(**chances)
    return TrainConfig(**values)
