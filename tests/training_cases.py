"""Settings and rows of runs that last a moment."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, Any] = {
    "size": "tiny",
    "context": 128,
    "batch_ids": 700,
    "warmup_steps": 2,
    "eval_minutes": 0,
    "device": "cpu",
    "threads": 1,
    "seed": 3,
}
