"""A job: every clip that its rows ask for, numbered, in batches that are composed and kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import emomusic
from emomusic.compose.checkpoint import checkpoint_files, file_checksum
from emomusic.compose.jobs.rows import BadRow, JobRow, read_rows
from emomusic.compose.parse import ClipSpec
from emomusic.extras import need

SMALLEST_BATCH, LARGEST_BATCH, MANY_BATCHES = 16, 512, 64
PACKS = ("files", "tar", "parquet")
MAX_CLIPS = 2**40


@dataclass(frozen=True)
class Item:
    """One clip of a job: its number from 0 on, which names its files, what it is to be, its row."""

    number: int
    settings: ClipSpec
    row: int | None = None
    id: str | None = None


@dataclass(frozen=True)
class Batch:
    """Consecutive items that are composed and kept together: at least one."""

    index: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Output:
    """What is kept of each clip: its files by suffix, how they are packed, what its card says."""

    formats: tuple[str, ...] = ("mid",)
    pack: str = "files"
    explained: bool = False

    def __post_init__(self) -> None:
        if self.pack not in PACKS:
            raise ValueError(f"pack must be one of {', '.join(PACKS)}, got {self.pack!r}")
        if self.pack == "parquet":
            need("parquet")


class Job:
    """Every clip that is asked for; the same rows make the same job, wherever it runs.

    Attributes:
        n_rows: Usable rows.
        n_bad: Unusable ones.
        n_clips: Clips of all rows.
        digest: Identifies the job: a hash of all settings, in order.
    """

    def __init__(
        self, rows: Sequence[JobRow] | BinaryIO, defaults: Mapping[str, Any] | None = None
    ):
        """Read all rows once; a file is copied, so that its rows cannot change underneath.

        `defaults` are options for what the rows of a file leave open.

        Raises:
            SpecError: If a file holds no rows, or has unknown columns.
            OSError: If there is no room for the copy.
        """
        self._defaults = defaults or {}
        self._rows: BinaryIO | tuple[JobRow, ...]
        if isinstance(rows, Sequence):
            self._rows = tuple(rows)
        else:
            self._rows = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the job
            shutil.copyfileobj(rows, self._rows)
        self.n_rows = self.n_bad = self.n_clips = 0
        self._music: dict[int, bytes] = {}
        digest = hashlib.sha256()
        for at, row in enumerate(self._read()):
            if isinstance(row, BadRow):
                self.n_bad += 1
                continue
            if music := _music_digest(row):
                self._music[at] = music
            self.n_rows, self.n_clips = self.n_rows + 1, self.n_clips + row.count
            content = [row.line, row.id, row.count, row.settings.to_dict()]
            digest.update(json.dumps(content).encode())
        if self.n_clips > MAX_CLIPS:
            raise ValueError(f"a job has at most 2**40 clips, got {self.n_clips}")
        self.digest = digest.hexdigest()

    @property
    def items_per_batch(self) -> int:
        """Return the size of a batch: 16 to 512, so that there are about 64 of them."""
        return min(max(-(-self.n_clips // MANY_BATCHES), SMALLEST_BATCH), LARGEST_BATCH)

    @property
    def n_batches(self) -> int:
        return -(-self.n_clips // self.items_per_batch)

    def count_clips(self, chosen: Sequence[bool]) -> int:
        """Count the clips of the batches that are chosen."""
        size = self.items_per_batch
        return sum(min(size, self.n_clips - i * size) for i, is_in in enumerate(chosen) if is_in)

    def _read(self) -> Iterator[JobRow | BadRow]:
        if isinstance(self._rows, tuple):
            yield from self._rows
        else:
            self._rows.seek(0)
            yield from read_rows(self._rows, self._defaults)

    def bad_rows(self) -> Iterator[BadRow]:
        """Yield the rows that cannot be used."""
        return (row for row in self._read() if isinstance(row, BadRow)) if self.n_bad else iter(())

    def items(self) -> Iterator[Item]:
        """Yield all clips, in order; a single row keeps the numbers that its settings say.

        Raises:
            OSError: If music that a row names has changed since the job was read.
        """
        rows, number = self._rows, 0
        if isinstance(rows, tuple) and len(rows) == 1:
            number = rows[0].settings.index
        for at, row in enumerate(self._read()):
            if self._music.get(at, b"") != _music_digest(row):
                raise OSError(f"the music that line {row.line} names is no longer what it was")
            if isinstance(row, JobRow):
                first = row.settings.index
                for index in range(first, first + row.count):
                    yield Item(number, replace(row.settings, index=index), row.line, row.id)
                    number += 1

    def batches(self, chosen: Sequence[bool]) -> Iterator[Batch]:
        """Yield the chosen batches, in order; `chosen` says of each batch whether it is one."""
        items, size = self.items(), self.items_per_batch
        for index in range(self.n_batches):
            own = tuple(islice(items, size))
            if chosen[index]:
                yield Batch(index, own)

    def identity(self, output: Output, *, checkpoint: Path, engine: str) -> dict[str, Any]:
        """Return what must be the same for a job to be resumed."""
        files = [(path.name, *file_checksum(path)) for path in checkpoint_files(checkpoint)]
        return {
            "format": "emomusic job 1",
            "version": emomusic.__version__,
            "clips": self.n_clips,
            "rows": self.n_rows,
            "bad_rows": self.n_bad,
            "block": self.items_per_batch,
            "formats": list(output.formats),
            "pack": output.pack,
            "explained": output.explained,
            "checkpoint": hashlib.sha256(json.dumps(files).encode()).hexdigest(),
            "engine": engine,
            "settings": self.digest,
        }


def _music_digest(row: JobRow | BadRow) -> bytes:
    given = row.settings.request.given if isinstance(row, JobRow) else None
    return b"" if given is None else hashlib.sha256(given.midi).digest()
