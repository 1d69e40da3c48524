"""Unpack an archive from elsewhere with care: only what is wanted, and nothing outside."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

CHUNK = 1 << 20
WANTED_SUFFIXES = frozenset({".mid", ".midi", ".mxl", ".csv", ".json"})
# Far above what the sources hold (the largest label file has 4 MB), far below what would fill
# a disk.
MAX_MEMBER_BYTES = 64 << 20
MAX_TOTAL_BYTES = 2 << 30
MAX_MEMBERS = 100_000


class ArchiveError(Exception):
    """Tell in one line why an archive is not unpacked."""


class DamagedArchiveError(ArchiveError):
    """Tell that an archive is not whole, so that it is worth fetching again."""


def unpack(
    archive: Path, folder: Path, *, keep: tuple[str, ...] = ("*",)
) -> tuple[int, dict[str, int]]:
    """Unpack the MIDI, score and label files of a zip archive, all or nothing.

    Args:
        archive: A zip file.
        folder: Where the files appear, once all are unpacked; what was there is replaced.
        keep: Patterns of the members to take, matched from the right.

    Returns:
        The number of files written, and how many members were left out for each reason.

    Raises:
        DamagedArchiveError: If the archive is not whole.
        ArchiveError: If a member would leave the folder, the archive needs a password, exceeds
            the limits of this module, or holds nothing to keep.
    """
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members, skipped = _chosen(opened, keep)
            _extract(opened, members, part)
        _replace_folder(part, folder)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DamagedArchiveError(f"not a whole zip archive: {error}") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, an unknown compression
        raise ArchiveError(f"the archive cannot be unpacked: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return len(members), dict(skipped)


def _chosen(
    opened: zipfile.ZipFile, keep: tuple[str, ...]
) -> tuple[list[zipfile.ZipInfo], Counter[str]]:
    members, skipped = [], Counter[str]()
    for member in opened.infolist():
        path = _safe_path(member.filename)
        if member.is_dir():
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            skipped["link"] += 1
        elif path.suffix.lower() not in WANTED_SUFFIXES:
            skipped["neither MIDI, score nor labels"] += 1
        elif not any(path.match(pattern) for pattern in keep):
            skipped["not part of the recipe"] += 1
        else:
            members.append(member)
    if not members:
        raise ArchiveError(f"no file in the archive matches {', '.join(keep)}")
    if len(members) > MAX_MEMBERS:
        raise ArchiveError(f"the archive holds more than {MAX_MEMBERS} files to keep")
    return members, skipped


def _safe_path(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name.split("/")[0]:
        raise ArchiveError(f"the archive names a file outside its folder: {name[:80]!r}")
    return path


def _extract(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> None:
    total = 0
    for member in members:
        target = folder / _safe_path(member.filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(member) as packed, target.open("wb") as file:
            for block in _limited(packed, member.filename):
                total += file.write(block)
                if total > MAX_TOTAL_BYTES:
                    raise ArchiveError(f"the archive unpacks to over {MAX_TOTAL_BYTES >> 30} GiB")


def _limited(packed: IO[bytes], name: str) -> Iterator[bytes]:
    n_bytes = 0
    while block := packed.read(CHUNK):
        n_bytes += len(block)
        if n_bytes > MAX_MEMBER_BYTES:
            raise ArchiveError(f"{name[:80]!r} unpacks to over {MAX_MEMBER_BYTES >> 20} MiB")
        yield block


def _replace_folder(part: Path, folder: Path) -> None:
    with _moved_away(folder):
        part.replace(folder)


@contextmanager
def _moved_away(folder: Path) -> Iterator[None]:
    """Move a folder aside while another takes its place; put it back if that fails."""
    old = folder.with_name(f"{folder.name}.old-{os.getpid()}")
    existed = folder.exists()
    if existed:
        folder.replace(old)
    try:
        yield
    except OSError:
        if existed:
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)
