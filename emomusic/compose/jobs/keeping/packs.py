"""Many clips in one file: tar, parquet. The same clips give the same bytes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

MISSING = (
    "--pack parquet needs pyarrow: install it with pip install 'emomusic[parquet]', or take tar"
)
GROUP = 16
"""Clips of a row group of parquet."""
Lines = Sequence[Mapping[str, Any]]


class PackError(ValueError):
    """Tell in one line why a kind of pack cannot be written here."""


def pack_name(block: int, pack: str) -> str:
    """Return how the file of a block is called."""
    return f"pack_{block:05d}.{pack}"


def check_pack(pack: str) -> None:
    """Check that a kind of pack can be written here.

    Raises:
        PackError: If a library is missing.
    """
    if pack == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise PackError(MISSING) from error


def write_tar(path: Path, lines: Lines, folder: Path) -> None:
    """Write the files of clips into a tar file, one clip after another.

    Args:
        path: The tar file.
        lines: Of the manifest.
        folder: Where the files are.
    """
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in (name for line in lines for name in line["files"]):
            entry = tarfile.TarInfo(name)  # neither time nor owner: the same clips, the same bytes
            entry.size, entry.mode = (folder / name).stat().st_size, 0o644
            with (folder / name).open("rb") as file:
                archive.addfile(entry, file)


def write_parquet(path: Path, lines: Lines, folder: Path) -> None:
    """Write clips into a parquet file: a row a clip, a column a format, and the card as JSON.

    Args:
        path: The parquet file.
        lines: Of the manifest.
        folder: Where the files are.
    """
    from pyarrow import parquet

    tables = (
        _table(lines[at : at + GROUP], folder) for at in range(0, len(lines), GROUP)
    )  # one after another: with sound, a block may not fit into memory
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)


def _table(lines: Lines, folder: Path) -> Any:
    import pyarrow as pa

    kinds = {"file": pa.string(), "row": pa.int64(), "id": pa.string(), "seed": pa.int64(),
             "index": pa.int64(), "emotion": pa.string(), "valence": pa.float64(),
             "arousal": pa.float64(), "bars": pa.int64(), "tempo": pa.float64(),
             "key": pa.string()}  # fmt: skip
    columns = {name: pa.array([line.get(name) for line in lines], t) for name, t in kinds.items()}
    heard = [line["verdict"]["quadrant"] for line in lines]
    columns |= {"heard": pa.array(heard, pa.string()),
                "card": pa.array(map(json.dumps, lines), pa.string())}  # fmt: skip
    for suffix in dict.fromkeys(Path(name).suffix[1:] for line in lines for name in line["files"]):
        files = (next(n for n in line["files"] if n.endswith(f".{suffix}")) for line in lines)
        columns[suffix] = pa.array([(folder / name).read_bytes() for name in files], pa.binary())
    return pa.table(columns)


PACKERS: dict[str, Callable[[Path, Lines, Path], None]] = {
    "tar": write_tar,
    "parquet": write_parquet,
}
