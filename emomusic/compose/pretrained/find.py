"""Where the checkpoint is that is named, and where the one is that is used when none is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import emomusic

NAME = "emomusic-12m"
VARIABLE = "EMOMUSIC_CHECKPOINT"
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
_ON_A_HUB = re.compile(rf"(?P<repository>{_PART}/{_PART})(@(?P<revision>[A-Za-z0-9][\w./-]*))?")


def find_checkpoint(
    named: str | os.PathLike[str] | None,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: bool | str | None = None,
) -> Path:
    """Return the folder of a checkpoint.

    Args:
        named: A folder, or `owner/name` or `owner/name@revision` of one on a model hub; what is
            there as a folder is a folder, and so is what would lie in one. None looks into the
            environment's EMOMUSIC_CHECKPOINT, which says either, then for
            `checkpoints/emomusic-12m` below the current folder, beside the package and in it.
        revision: Branch, tag or commit on the hub, as the four that follow.
        cache_dir: Where files from the hub are kept; None takes the hub's own cache.
        local_files_only: Take what was fetched before.
        token: For what is not public; None takes the one that is stored, if there is one.

    Raises:
        ValueError: If there is none; `CheckpointError` if it cannot be had from the hub.
    """
    if named is None and not (named := os.environ.get(VARIABLE)):
        return _default()
    folder = Path(named)
    if folder.is_dir():
        return folder
    on_a_hub = _ON_A_HUB.fullmatch(folder.as_posix())
    if on_a_hub is None or folder.parent.is_dir():
        raise ValueError(f"no such checkpoint folder: {folder}")
    from emomusic.compose.pretrained.hub import fetch_checkpoint

    return fetch_checkpoint(
        on_a_hub["repository"],
        revision=revision or on_a_hub["revision"],
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        token=token,
    )


def _default() -> Path:
    package = Path(emomusic.__file__).resolve().parent
    for root in (Path(), package.parent, package):
        if (root / "checkpoints" / NAME).is_dir():
            return root / "checkpoints" / NAME
    raise ValueError(f"no checkpoint found; name one with --checkpoint or the variable {VARIABLE}")


def checkpoint_name(folder: Path) -> str:
    """Return what a checkpoint is called: `owner/name` in a hub's cache, else its folder's name."""
    whole = folder.resolve()
    kind, *parts = whole.parent.parent.name.split("--")
    if whole.parent.name == "snapshots" and kind == "models" and len(parts) == 2:
        return "/".join(parts)
    return whole.name
