"""A job: every clip that its rows ask for, in batches."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import emomusic
from emomusic.compose.checkpoint import checkpoint_files, file_checksum
from emomusic.compose.jobs.table import Asked, BadRow, JobRow, JobTable, row_of
from emomusic.compose.parse import COUNT, ClipSpec
from emomusic.extras import need

SMALLEST_BATCH, LARGEST_BATCH, MANY_BATCHES = 16, 512, 64
PACKS = ("files", "tar", "parquet")
MAX_CLIPS = 2**40
SHOW_EVERY = 2**12
"""Rows after which it is told how many are read."""


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
        music: The files that rows take music from.
        digest: Identifies the job: a hash of all that its rows ask for, in order.
        counted: What the numbers of rows count, as a table says.
    """

    def __init__(
        self,
        rows: Sequence[JobRow] | JobTable,
        show: Callable[[int, int], None] = lambda n_read, n_bytes: None,
    ) -> None:
        """Read all rows once; `show` is told how far a long table is read.

        Raises:
            SpecError: If a table cannot be told apart into rows, or has unknown columns.
        """
        self._rows = rows if isinstance(rows, JobTable) else [(row.line or 0, row) for row in rows]
        self.counted = rows.counted if isinstance(rows, JobTable) else "row"
        self.n_rows = self.n_bad = self.n_clips = 0
        self._music: dict[int, bytes] = {}
        self.music: set[Path] = set()
        digest = hashlib.sha256()
        for at, (line, asked) in enumerate(self._rows):
            if at % SHOW_EVERY == SHOW_EVERY - 1 and isinstance(rows, JobTable):
                show(*rows.how_far)
            if isinstance(asked, BadRow):
                self.n_bad += 1
                continue
            if music := _music_digest(asked):
                self._music[at] = music
            self.n_rows, self.n_clips = self.n_rows + 1, self.n_clips + _count_of(asked)
            if isinstance(asked, JobRow):
                self.music |= {asked.music} if asked.music else set()
                own = [asked.line, asked.id, asked.count, asked.settings.to_dict()]
                digest.update(json.dumps(own).encode())
            else:
                digest.update(f"{line}{asked}".encode())
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

    @property
    def _first(self) -> int:
        is_one = isinstance(self._rows, list) and len(self._rows) == 1
        return self._rows[0][1].settings.index if is_one else 0  # type: ignore[index]

    def writes(self, name: str, output: Output) -> bool:
        """Tell whether a file of this name is one of the job's clips or packs."""
        kind, first, n = ("clip", self._first, self.n_clips)
        if output.pack != "files":
            kind, first, n = "pack", 0, self.n_batches
        suffixes = output.formats if output.pack == "files" else [output.pack]
        found = re.fullmatch(rf"{kind}_([0-9]{{5,19}})\.({'|'.join(suffixes)})", name)
        return found is not None and 0 <= int(found[1]) - first < n

    def bad_rows(self) -> Iterator[BadRow]:
        """Yield the rows that cannot be used."""
        return (row for _, row in self._rows if isinstance(row, BadRow)) if self.n_bad else iter(())

    def items(self) -> Iterator[Item]:
        """Yield all clips, in order; a single row keeps the numbers that its settings say.

        Raises:
            OSError: If music that a row names has changed since the job was read.
        """
        return (item for _, item in self._items([True] * self.n_batches))

    def batches(self, chosen: Sequence[bool]) -> Iterator[Batch]:
        """Yield the chosen batches, in order; `chosen` says of each batch whether it is one."""
        for index, found in groupby(self._items(chosen), key=itemgetter(0)):
            yield Batch(index, tuple(item for _, item in found))

    def _items(self, chosen: Sequence[bool]) -> Iterator[tuple[int, Item]]:
        """Yield the clips of the chosen batches, each with the index of its batch."""
        size, end, number = self.items_per_batch, 0, self._first
        for at, (line, asked) in enumerate(self._rows):
            if self._music.get(at, b"") != _music_digest(asked):
                raise OSError(
                    f"the music that {self.counted} {line} names is no longer what it was"
                )
            if isinstance(asked, BadRow):
                continue
            start, end = end, end + _count_of(asked)
            if any(chosen[start // size : (end - 1) // size + 1]):
                row = row_of(line, asked) if isinstance(asked, dict) else asked
                for place in range(start, end):
                    if chosen[place // size]:
                        index = row.settings.index + place - start
                        own = replace(row.settings, index=index)
                        yield place // size, Item(number + place, own, row.line, row.id)

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


def _count_of(asked: Asked) -> int:
    return asked.count if isinstance(asked, JobRow) else int(asked.get("count", COUNT.default))


def _music_digest(row: Asked | BadRow) -> bytes:
    given = row.settings.request.given if isinstance(row, JobRow) else None
    return b"" if given is None else hashlib.sha256(given.midi + (given.written or b"")).digest()
