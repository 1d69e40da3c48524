"""A job: its rows, as CSV or JSON lines, and every clip that they ask for, in batches."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import emomusic
from emomusic.compose.checkpoint import checkpoint_files, file_checksum
from emomusic.compose.fields import Door, Field, Kind, shown
from emomusic.compose.parse import (
    COUNT,
    FORMAT,
    ROW,
    ClipSpec,
    parse_settings_file,
    reason_of,
    refuse_constant,
    spec_from_options,
)
from emomusic.compose.request import attribute_field
from emomusic.extras import need
from emomusic.files import UNREADABLE
from emomusic.music.attributes import ATTRIBUTE_NAMES

SMALLEST_BATCH, LARGEST_BATCH, MANY_BATCHES = 16, 512, 64
PACKS = ("files", "tar", "parquet")
MAX_CLIPS = 2**40
MAX_LINE = 24 * 2**20
"""Bytes of a line: settings may hold music."""
MAX_REASON = 400
BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "is no UTF-8 text"
TOO_LONG = f"is longer than {MAX_LINE // 2**20} MiB"
_CUT = "\ud800"
"""Stands for a line of CSV that is too long; no bytes are read as it."""

GROUPS = (
    ("emotion", "valence", "arousal", "mix", "curve", "free"),
    ("bars", "seconds"),
    ("continue", "vary"),
)
"""Ways to say one thing: a row that takes one leaves nothing of the others to the defaults."""
ID = Field(
    Kind.TEXT,
    "Whatever you call it; the manifest repeats it.",
    name="id",
    longest=200,
    doors=Door.ROW,
)
_ATTRIBUTES = {name: attribute_field(name) for name in ATTRIBUTE_NAMES if name not in ROW}
COLUMNS: dict[str, Field] = {field.name: field for field in (ID, COUNT)} | ROW | _ATTRIBUTES
"""Each column, and what its values are; `attributes` is another name of `set`."""
Unread = tuple[int, Callable[[], Mapping[str, Any]]]
"""Number of a row's line, and what reads its values."""


class SpecError(ValueError):
    """Say in one line why no row of a job can be read."""


@dataclass(frozen=True)
class JobRow:
    """A row that asks for clips: its line from 1 on, if any, what the first is to be, its id."""

    line: int | None
    settings: ClipSpec
    count: int = 1
    id: str | None = None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    reason: str


def read_rows(file: BinaryIO, defaults: Mapping[str, Any]) -> Iterator[JobRow | BadRow]:
    """Read the rows of a job, one after another, in little memory.

    JSON lines begin with `{`; all else is CSV with a line of column names.

    Args:
        file: At its beginning, seekable.
        defaults: Options for what rows leave open.

    Raises:
        SpecError: If there are no rows, or the columns of CSV are not those of a job.
    """
    start = file.read(4096)
    file.seek(0)
    if not start.strip(BOM + b" \t\r\n\0"):
        raise SpecError("the job has no rows")
    is_json = start.removeprefix(BOM).lstrip().startswith(b"{")
    for line, read in (_json_rows if is_json else _csv_rows)(file):
        try:
            values = read()
            if values.get("format") == FORMAT:
                yield JobRow(line, parse_settings_file(json.dumps(values)))
                continue
            options = options_of(values, defaults)
            count, name = options.pop("count", COUNT.default), options.pop("id", None)
            yield JobRow(line, spec_from_options(options), count, name)
        except UNREADABLE as error:
            yield BadRow(line, reason_of(error)[:MAX_REASON])


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield the bytes of each line, None for one that is too long."""
    is_first = True
    while line := file.readline(MAX_LINE + 1):
        is_long = len(line) > MAX_LINE
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE + 1)
        yield None if is_long else line.removeprefix(BOM) if is_first else line
        is_first = False


def _json_rows(file: BinaryIO) -> Iterator[Unread]:
    for number, line in enumerate(_lines(file), 1):
        if line is None or line.strip():
            yield number, partial(_json_values, line)


def _json_values(line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise ValueError(f"the row {TOO_LONG}")
    try:
        values = json.loads(line.decode(), parse_constant=refuse_constant)
        if b"\\ud" in line.lower():  # half a character can be written so, and not kept as text
            json.dumps(values, ensure_ascii=False).encode()
    except UnicodeError:
        raise ValueError(f"the row {NOT_UTF8}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the row is no JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("the row is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("the row is no JSON object")  # noqa: TRY004 - of a file
    return values


def _csv_rows(file: BinaryIO) -> Iterator[Unread]:
    lines = (
        _CUT if own is None else own.decode("utf-8", "surrogateescape") for own in _lines(file)
    )
    reader = csv.reader(lines, strict=True)
    try:
        names: list[str] = []
        while not any(names):
            cells = _checked(next(reader, None), "its line of column names")
            names = [name.strip().lower().replace("-", "_") for name in cells]
        _check_columns(names)
    except (csv.Error, ValueError) as error:
        raise SpecError(f"the job cannot be read: {error}") from error
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield first, partial(_csv_values, names, error)
            continue
        if any(cell.strip() for cell in cells):
            yield first, partial(_csv_values, names, cells)


def _checked(cells: list[str] | None, what: str) -> list[str]:
    """Return cells whose bytes are a text of a length within reason."""
    if cells is None:
        raise ValueError("it has no line of column names")
    if any(_CUT in cell for cell in cells):
        raise ValueError(f"{what} {TOO_LONG}")
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise ValueError(f"{what} {NOT_UTF8}")
    return cells


def _csv_values(names: list[str], cells: list[str] | csv.Error) -> dict[str, str]:
    if isinstance(cells, csv.Error):
        raise ValueError(f"the row is no CSV: {cells}")  # noqa: TRY004 - of a file
    if len(_checked(cells, "the row")) > len(names):
        raise ValueError(f"the row has {len(cells)} cells for {len(names)} columns")
    return {name: cell.strip() for name, cell in zip(names, cells, strict=False)}


def _check_columns(names: list[str]) -> None:
    """Check that columns are known and come once."""
    for at, name in enumerate(names):
        if name not in COLUMNS:
            raise ValueError(f"unknown column {shown(name)}; known are {', '.join(COLUMNS)}")
        if name in names[:at]:
            raise ValueError(f"the column {name} comes twice")


def options_of(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a row asks for; None and empty texts count as not given.

    Where it says what to feel, how long, or which music to take up, nothing of that is taken from
    the defaults.
    """
    names = [str(name).replace("-", "_") for name in values]
    _check_columns(names)
    own = {
        name: COLUMNS[name].read_word(str(value) if name == "id" and type(value) is int else value)
        for name, value in zip(names, values.values(), strict=True)
        if value is not None and value != ""
    }
    parts = [own.pop(name, {}) for name in ("set", "attributes")]
    parts += [{name: own.pop(name)} for name in _ATTRIBUTES if name in own]
    attributes: dict[str, float] = {}
    for part in parts:
        for twice in sorted(set(part) & set(attributes)):
            raise ValueError(f"{twice} is given twice")
        attributes |= part
    options = dict(defaults)
    for group in GROUPS:
        if any(own.get(name, False) is not False for name in group):  # not to be free says nothing
            options = {name: value for name, value in options.items() if name not in group}
    options |= own
    if attributes:
        options["set"] = {**defaults.get("set", {}), **attributes}
    return options


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
