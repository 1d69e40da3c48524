"""A job: all clips that rows ask for, numbered, in blocks that are composed and kept together."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import emomusic
from emomusic.compose.asking.settings import Settings, parse_settings_file
from emomusic.compose.jobs.spec import BadRow, Row, read_rows
from emomusic.compose.pretrained.hub import checked_files, sum_of

SMALLEST_BLOCK, LARGEST_BLOCK, MANY_BLOCKS = 16, 512, 64
PACKS = ("files", "tar", "parquet")
MAX_CLIPS = 2**40


@dataclass(frozen=True)
class Order:
    """Hold one clip of a job that is to be composed.

    Attributes:
        number: Of the clip in the job, from 0; its files are called after it.
        settings: What it is to be.
        row: Line of its row, where there is one.
        id: What its row calls it.
    """

    number: int
    settings: Settings
    row: int | None = None
    id: str | None = None

    @property
    def told(self) -> dict[str, Any]:
        """Return what the manifest says of it beside its card."""
        named = {"row": self.row, "id": self.id}
        return {name: value for name, value in named.items() if value is not None}

    def to_json(self) -> str:
        """Return it as a line that another process reads."""
        return json.dumps({**asdict(replace(self, settings=None)),  # type: ignore[arg-type]
                           "settings": self.settings.to_dict()})  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Order:
        """Return the order of such a line.

        Raises:
            ValueError: If it is another text.
        """
        values = json.loads(text)
        settings = parse_settings_file(json.dumps(values.pop("settings")))
        return cls(**{**values, "settings": settings})


@dataclass(frozen=True)
class Block:
    """Hold orders in a row that are composed and kept together.

    Attributes:
        index: Its number in the job.
        orders: At least one.
    """

    index: int
    orders: tuple[Order, ...]


@dataclass(frozen=True)
class Output:
    """Hold what is kept of each clip.

    Attributes:
        formats: Endings of its files, at least one.
        pack: `files`, `tar` or `parquet`.
        explained: Whether its card tells what moved the verdict.
    """

    formats: tuple[str, ...] = ("mid",)
    pack: str = "files"
    explained: bool = False

    def __post_init__(self) -> None:
        """Check the pack.

        Raises:
            ValueError: If it is another word.
        """
        if self.pack not in PACKS:
            raise ValueError(f"pack must be one of {', '.join(PACKS)}, got {self.pack!r}")


class Job:
    """Know all clips that are asked for; the same rows make the same job, wherever it runs.

    Attributes:
        n_rows: Rows that can be used.
        n_bad: Rows that cannot.
        n_clips: Clips of all rows.
        digest: Tells jobs apart: of all settings, in order.
    """

    def __init__(self, rows: Sequence[Row] | BinaryIO, defaults: Mapping[str, Any] | None = None):
        """Read all rows once; a file's are copied, so that they stay as they are.

        Args:
            rows: Rows, or a file of them.
            defaults: Options for what a file's rows leave open.

        Raises:
            SpecError: If a file holds no rows, or other columns.
            OSError: If there is no room for the copy.
        """
        self._defaults = defaults or {}
        self._rows: BinaryIO | tuple[Row, ...]
        if isinstance(rows, Sequence):
            self._rows = tuple(rows)
        else:
            self._rows = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the job
            shutil.copyfileobj(rows, self._rows)
        self.n_rows = self.n_bad = self.n_clips = 0
        self._music: dict[int, bytes] = {}
        digest = hashlib.sha256()
        for at, row in enumerate(self._read()):
            if music := _music_of(row):
                self._music[at] = music
            if isinstance(row, BadRow):
                self.n_bad += 1
                continue
            self.n_rows, self.n_clips = self.n_rows + 1, self.n_clips + row.count
            told = [row.line, row.id, row.count, row.settings.to_dict()]
            digest.update(json.dumps(told).encode())
        if self.n_clips > MAX_CLIPS:
            raise ValueError(f"a job has at most 2**40 clips, got {self.n_clips}")
        self.digest = digest.hexdigest()

    @property
    def block_size(self) -> int:
        """Return the clips of a block: so many that there are about 64 blocks, 16 to 512."""
        return min(max(-(-self.n_clips // MANY_BLOCKS), SMALLEST_BLOCK), LARGEST_BLOCK)

    @property
    def n_blocks(self) -> int:
        """Return how many blocks there are."""
        return -(-self.n_clips // self.block_size)

    def _read(self) -> Iterator[Row | BadRow]:
        if isinstance(self._rows, tuple):
            yield from self._rows
        else:
            self._rows.seek(0)
            yield from read_rows(self._rows, self._defaults)

    def bad_rows(self) -> Iterator[BadRow]:
        """Yield the rows that cannot be used."""
        return (row for row in self._read() if isinstance(row, BadRow)) if self.n_bad else iter(())

    def orders(self) -> Iterator[Order]:
        """Yield all clips, in order; those of a row that is alone keep their numbers in its run.

        Raises:
            OSError: If music that a row names is no longer what it was.
        """
        rows, number = self._rows, 0
        if isinstance(rows, tuple) and len(rows) == 1:
            number = rows[0].settings.index
        for at, row in enumerate(self._read()):
            if self._music.get(at, b"") != _music_of(row):
                raise OSError(f"the music that line {row.line} names is no longer what it was")
            if isinstance(row, Row):
                own = row.settings
                for index in range(own.index, own.index + row.count):
                    yield Order(number, replace(own, index=index), row.line, row.id)
                    number += 1

    def blocks(self, chosen: Sequence[bool]) -> Iterator[Block]:
        """Yield the blocks that are chosen, in order.

        Args:
            chosen: For each block whether it is.
        """
        orders, size = self.orders(), self.block_size
        for index in range(self.n_blocks):
            own = tuple(islice(orders, size))
            if chosen[index]:
                yield Block(index, own)

    def identity(self, output: Output, *, checkpoint: Path, engine: str) -> dict[str, Any]:
        """Return what must be the same for a job to go on where it stopped.

        Args:
            output: What is kept of each clip.
            checkpoint: Its folder.
            engine: Name of what writes the notes.

        Raises:
            OSError: If the checkpoint cannot be read.
        """
        return {
            "format": "emomusic job 1",
            "version": emomusic.__version__,
            "clips": self.n_clips,
            "rows": self.n_rows,
            "bad_rows": self.n_bad,
            "block": self.block_size,
            "formats": list(output.formats),
            "pack": output.pack,
            "explained": output.explained,
            "checkpoint": _digest(checkpoint),
            "engine": engine,
            "settings": self.digest,
        }


def _music_of(row: Row | BadRow) -> bytes:
    given = row.settings.request.given if isinstance(row, Row) else None
    return b"" if given is None else hashlib.sha256(given.midi).digest()


def _digest(checkpoint: Path) -> str:
    """Return what tells a checkpoint from others."""
    sums = [(path.name, *sum_of(path)) for path in checked_files(checkpoint)]
    return hashlib.sha256(json.dumps(sums).encode()).hexdigest()
