"""The log of a run: a line of JSON for each record, and TensorBoard's events if it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emomusic.files import write_text

LOG_NAME = "log.jsonl"


class Log:
    """Append records to the log of a run, which holds each of them once however often it stops."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the log, and drop what was logged after the state that the run goes on from.

        Args:
            folder: The run's.
            step: Where the run stands; 0 begins a new log.
        """
        self.path = folder / LOG_NAME
        kept = [record for record in _read(self.path) if step and record["step"] <= step]
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))
        self.known = {_kind(record) for record in kept}
        self.board = _board(folder, step + 1)

    def write(self, record: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Log values, rounded, behind where they were measured, and return the whole record.

        Args:
            record: Where: the step and so on.
            values: What was measured.
        """
        rounded = {n: round(v, 6) if isinstance(v, float) else v for n, v in values.items()}
        full = {**record, **rounded}
        entry = _kind(full)
        if entry not in self.known:
            self.known.add(entry)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(full) + "\n")
            if self.board is not None:
                for name, value in values.items():
                    if isinstance(value, float):
                        self.board.add_scalar(name, value, full["step"])
        return full


def _kind(record: dict[str, Any]) -> tuple[int, bool, bool]:
    """Return what a record is of: a step has one of training, one of evaluation, one of how."""
    return record["step"], "loss" in record, "precision" in record


def _read(path: Path) -> list[dict[str, Any]]:
    records = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
                records.append({**record, "step": int(record["step"])})
            except (ValueError, TypeError, KeyError):
                continue  # a line that the end of a process cut short
    return records


def _board(folder: Path, first_step: int) -> Any:
    """Return TensorBoard's writer, None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_step)
