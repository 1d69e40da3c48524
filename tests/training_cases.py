"""Settings of runs that last a moment, and of how clips vary."""

from __future__ import annotations

from typing import Any

from synthetic import row_vocabulary

from emomusic.training.batches import STILL as STILL
from emomusic.training.batches import Augmentation

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
