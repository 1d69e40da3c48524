"""Rows of a job, as CSV or JSON lines: what each may say, and the request that it is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

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
from emomusic.files import UNREADABLE
from emomusic.music.attributes import ATTRIBUTE_NAMES

MAX_LINE = 24 * 2**20
"""Bytes of a line: settings may hold music."""
MAX_REASON = 400
BOM = b"\xef\xbb\xbf"
NOT_UTF8 = "is no UTF-8 text"
TOO_LONG = f"is longer than {MAX_LINE // 2**20} MiB"
_CUT = "\ud800"
"""Stands for a line of CSV that is too long; no bytes are read as it."""

EMOTIONS = ("emotion", "valence", "arousal", "mix", "curve", "free")
LENGTHS = ("bars", "seconds")
MUSIC = ("continue", "vary")
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
            yield _row(line, read(), defaults)
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
        check_columns(names)
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


def _row(line: int, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> JobRow:
    if values.get("format") == FORMAT:
        return JobRow(line, parse_settings_file(json.dumps(values)))
    options = options_of(values, defaults)
    count, name = options.pop("count", COUNT.default), options.pop("id", None)
    return JobRow(line, spec_from_options(options), count, name)


def check_columns(names: list[str]) -> None:
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
    check_columns(names)
    own = {
        name: COLUMNS[name].read_word(str(value) if name == "id" and type(value) is int else value)
        for name, value in zip(names, values.values(), strict=True)
        if value is not None and value != ""
    }
    attributes = _take_attributes(own)
    options = dict(defaults)
    for group in (EMOTIONS, LENGTHS, MUSIC):
        if any(own.get(name, False) is not False for name in group):  # not to be free says nothing
            options = {name: value for name, value in options.items() if name not in group}
    options |= own
    if attributes:
        options["set"] = {**defaults.get("set", {}), **attributes}
    return options


def _take_attributes(own: dict[str, Any]) -> dict[str, float]:
    """Take all attributes out of a row's values and return them."""
    parts = [own.pop(name, {}) for name in ("set", "attributes")]
    parts += [{name: own.pop(name)} for name in _ATTRIBUTES if name in own]
    attributes: dict[str, float] = {}
    for part in parts:
        for twice in sorted(set(part) & set(attributes)):
            raise ValueError(f"{twice} is given twice")
        attributes |= part
    return attributes
