"""Small files of JSON: rounded where they are ours, bounded in size where they are strangers'."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read_json(path: Path, *, max_bytes: int) -> Any:
    """Read what a file of JSON says.

    Args:
        path: A plain file: a pipe would never end, nor would a link to a device.
        max_bytes: Of the file.

    Raises:
        OSError: If it is missing or cannot be read.
        ValueError: If it is too large, no plain file, not UTF-8 or not JSON.
        RecursionError: If it is nested too deep.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no plain file")
    with path.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"it is too large, at most {max_bytes} bytes are read")
    return json.loads(data.decode("utf-8"))


def rounded(value: Any, digits: int) -> Any:
    """Round all floats of nested values, which become plain dicts and lists."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [rounded(item, digits) for item in value]
    return value
