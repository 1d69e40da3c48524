"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

UNREADABLE = (
    OSError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    ValueError,
)
"""What reading a missing, damaged or foreign table of JSON may raise."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name beside `path`, then rename it.

    Args:
        path: Where the file is to be; an existing one is replaced only by a whole one.
        write: Called with the open binary file.

    Raises:
        OSError: If the folder is not writable or full; nothing is left behind then.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_atomically` does.

    Raises:
        OSError: As `write_atomically`.
    """
    write_atomically(path, lambda file: file.write(text.encode()))
