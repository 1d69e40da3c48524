"""Settings of runs that last a moment, of how clips vary, and what runs leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from synthetic import row_vocabulary

from emomusic.training.batches import Augmentation
from emomusic.training.state import STATE_NAME

SMALL: dict[str, Any] = {
    "size": "tiny",
    "context": 128,
    "batch_events": 130,
    "micro_batches": 2,
    "precision": "fp32",
    "warmup_steps": 2,
    "eval_minutes": 0,
    "device": "cpu",
    "threads": 1,
    "seed": 3,
}
LIVELY = Augmentation(bar_controls=0.7, chords=0.8, form=0.9, given=0.6, gap=0.5, octave=0.5)
TEXTS = row_vocabulary()


def state(out: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a run's state."""
    return load_file(out / "run" / STATE_NAME)


def scalars(out: Path) -> dict[str, Any]:
    """Return the scalars of a run's state."""
    data = (out / "run" / STATE_NAME).read_bytes()
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = json.loads(head["__metadata__"]["scalars"])
    return found


def alike(one: Path, other: Path) -> bool:
    """Tell whether two runs have the same state, to the bit."""
    a, b = state(one), state(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def records(out: Path) -> list[dict[str, Any]]:
    """Return what a run logged."""
    return [*map(json.loads, (out / "run" / "log.jsonl").read_text().splitlines())]


def curve(out: Path, key: str = "loss") -> dict[int, float]:
    """Return a logged value by its step."""
    return {record["step"]: record[key] for record in records(out) if key in record}
