"""Where the checkpoint is that is used when none is named."""

from __future__ import annotations

import os
from pathlib import Path

import emomusic

NAME = "emomusic-10m"
VARIABLE = "EMOMUSIC_CHECKPOINT"


def find_checkpoint(folder: Path | None) -> Path:
    """Return the folder of a checkpoint.

    Args:
        folder: The one asked for. None looks into the environment's EMOMUSIC_CHECKPOINT, then
            for `checkpoints/emomusic-10m` below the current folder and beside the package.

    Raises:
        ValueError: If there is none.
    """
    if folder is None and os.environ.get(VARIABLE):
        folder = Path(os.environ[VARIABLE])
    if folder is not None:
        if not folder.is_dir():
            raise ValueError(f"no such checkpoint folder: {folder}")
        return folder
    roots = (Path(), Path(emomusic.__file__).resolve().parent.parent)
    for root in roots:
        if (root / "checkpoints" / NAME).is_dir():
            return root / "checkpoints" / NAME
    raise ValueError(f"no checkpoint found; name one with --checkpoint or the variable {VARIABLE}")
