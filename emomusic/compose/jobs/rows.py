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
MAX_ID = 200
ID = Field(Kind.TEXT, "Whatever you call it; the manifest repeats it.", name="id", doors=Door.ROW)
_ATTRIBUTES = {name: attribute_field(name) for name in ATTRIBUTE_NAMES if name not in ROW}
COLUMNS: dict[str, Field] = {field.name: field for field in (ID, COUNT)} | ROW | _ATTRIBUTES
"""Each column, and what its values are; `attributes` is another name of `set`."""


class SpecError(ValueError):
    """Say in one line why no row of a job can be read."""


@dataclass(frozen=True)
class JobRow:
    """A row that asks for clips.

    Attributes:
        line: Its line in the file, from 1; None where there is no file.
        settings: Of its first clip.
        count: Clips.
        id: What the file calls it, if anything.
    """

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
    return _json_rows(file, defaults) if is_json else _csv_rows(file, defaults)


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Yield number and bytes of each line, None for one that is too long."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        is_long = len(line) > MAX_LINE
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE + 1)
        yield number, None if is_long else line.removeprefix(BOM) if number == 1 else line


def _json_rows(file: BinaryIO, defaults: Mapping[str, Any]) -> Iterator[JobRow | BadRow]:
    for number, line in _lines(file):
        if line is None:
            yield BadRow(number, f"the row {TOO_LONG}")
        elif line.strip():
            yield _row(number, partial(_json_values, line), defaults)


def _json_values(line: bytes) -> dict[str, Any]:
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


def _csv_rows(file: BinaryIO, defaults: Mapping[str, Any]) -> Iterator[JobRow | BadRow]:
    at = 0

    def texts() -> Iterator[str]:
        nonlocal at
        for number, line in _lines(file):
            at = number
            yield _CUT if line is None else line.decode("utf-8", "surrogateescape")

    reader = csv.reader(texts(), strict=True)
    names = _column_names(reader)
    while True:
        first = at + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield BadRow(first, f"the row is no CSV: {error}")
            continue
        if any(cell.strip() for cell in cells):
            yield _row(first, partial(_csv_values, names, cells), defaults)


def _column_names(reader: Iterator[list[str]]) -> list[str]:
    try:
        names: list[str] = []
        while not any(names):
            cells = next(reader)
            _check_text(cells, what="its line of column names")
            names = [name.strip().lower().replace("-", "_") for name in cells]
        check_columns(names)
    except (csv.Error, StopIteration, ValueError) as error:
        reason = str(error) or "it has no line of column names"
        raise SpecError(f"the job cannot be read: {reason}") from error
    return names


def _check_text(cells: list[str], *, what: str = "the row") -> None:
    if any(_CUT in cell for cell in cells):
        raise ValueError(f"{what} {TOO_LONG}")
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise ValueError(f"{what} {NOT_UTF8}")


def _csv_values(names: list[str], cells: list[str]) -> dict[str, str]:
    _check_text(cells)
    if len(cells) > len(names):
        raise ValueError(f"the row has {len(cells)} cells for {len(names)} columns")
    return {name: cell.strip() for name, cell in zip(names, cells, strict=False)}


def _row(
    number: int, read: Callable[[], Mapping[str, Any]], defaults: Mapping[str, Any]
) -> JobRow | BadRow:
    try:
        values = read()
        if values.get("format") == FORMAT:
            return JobRow(number, parse_settings_file(json.dumps(values)))
        options = options_of(values, defaults)
        count, name = options.pop("count", COUNT.default), options.pop("id", None)
        return JobRow(number, spec_from_options(options), count, name)
    except UNREADABLE as error:
        reason = str(error) if isinstance(error, ValueError) else "a value is of the wrong kind"
        text = "".join(c if c.isprintable() else " " for c in reason[: 2 * MAX_REASON])
        return BadRow(number, " ".join(text.split())[:MAX_REASON])


# What a row may say, and how its words become options


def check_columns(names: list[str]) -> None:
    """Check the names of columns.

    Raises:
        ValueError: If one is unknown, or comes twice.
    """
    for at, name in enumerate(names):
        if name not in COLUMNS:
            raise ValueError(f"unknown column {shown(name)}; known are {', '.join(COLUMNS)}")
        if name in names[:at]:
            raise ValueError(f"the column {name} comes twice")


def options_of(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a row asks for.

    Args:
        values: By column; None and empty texts count as not given.
        defaults: Options for what the row leaves open. Where it says what to feel, how long, or
            which music to take up, nothing of that is taken from them.

    Raises:
        ValueError: If a value is of another kind or out of range.
    """
    names = [str(name).replace("-", "_") for name in values]
    check_columns(names)
    own = {
        name: _read(name, value)
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


def _read(name: str, value: Any) -> Any:
    if name != ID.name:
        return COLUMNS[name].read_word(value)
    text: str = ID.read(str(value) if type(value) is int else value)
    if len(text) > MAX_ID:
        raise ValueError(f"{name} must be at most {MAX_ID} characters long, got {len(text)}")
    return text


def _take_attributes(own: dict[str, Any]) -> dict[str, float]:
    """Take all attributes out of a row's values and return them."""
    parts = [own.pop(name, {}) for name in ("set", "attributes")]
    parts += [{name: own.pop(name)} for name in _ATTRIBUTES if name in own]
    attributes: dict[str, float] = {}
    for part in parts:
        twice = sorted(set(part) & set(attributes))
        if twice:
            raise ValueError(f"{twice[0]} is given twice")
        attributes |= part
    return attributes
