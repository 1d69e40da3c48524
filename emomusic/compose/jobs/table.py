"""The rows of a job: read from CSV, or from JSON, into what each asks for."""

from __future__ import annotations

import codecs
import csv
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from itertools import chain
from pathlib import Path
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
from emomusic.compose.request import CONTINUE, INFILL, VARY, attribute_field
from emomusic.files import NOT_UTF8, UNREADABLE, as_utf8
from emomusic.music.attributes import ATTRIBUTE_NAMES

MAX_LINE = 24 * 2**20
"""Bytes of a line, or of an element of an array: settings may hold music."""
MAX_REASON = 400
MAX_ALIKE, LONGEST_ALIKE = 2**14, 2**10
"""So many kinds of rows are remembered, of so many characters each."""
TOO_LONG = f"is longer than {MAX_LINE // 2**20} MiB"
WORKBOOKS = (b"PK\3\4", b"\xd0\xcf\x11\xe0")
"""How .xlsx and .ods begin, and .xls."""
SEPARATORS = ",;\t|"
_CHUNK = 2**18
_CUT = "\ud800"
"""Stands for a line of CSV that is too long; no bytes are read as it."""
_SEPARATOR_LINE = re.compile(r"""\s*"?sep=([^"\w\s]|\t)""", re.IGNORECASE)
_UNNAMED = re.compile(r"(unnamed:_\d+(_level_\d+)?(\.\d+)*)?")
_GAP = re.compile(r"[\s,]*")
_SCAN = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).raw_decode

GROUPS = (
    ("emotion", "valence", "arousal", "mix", "curve", "free"),
    ("bars", "seconds"),
    ("continue", "vary", "infill"),
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
    """A row that asks for clips: its line from 1 on, if any, what the first is to be, its id, and
    the file that it takes music from."""

    line: int | None
    settings: ClipSpec
    count: int = 1
    id: str | None = None
    music: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used, and why."""

    line: int
    reason: str


Asked = dict[str, Any] | JobRow
"""What a usable row asks for: its options, which are checked, or all of it."""


class JobTable:
    """The rows of a job, which are read as often as it is iterated over.

    What begins with `{` or `[` is JSON, line by line or as a document; all else is CSV with a line
    of column names.

    Attributes:
        counted: What the numbers of rows count: lines of the file, or rows where a line of JSON
            is none.
    """

    def __init__(
        self, file: BinaryIO, defaults: Mapping[str, Any] | None = None, *, folder: Path = Path()
    ) -> None:
        """Copy a file from where it is, so that its rows cannot change underneath.

        `defaults` are options for what rows leave open, `folder` is where their paths begin.

        Raises:
            SpecError: If there are no rows.
            OSError: If there is no room for the copy.
        """
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the table
        self._file.writelines(as_utf8(file))
        self._n_bytes = self._file.tell()
        self._defaults, self._folder = defaults or {}, folder
        self._alike: dict[str, dict[str, Any]] = {}
        self._file.seek(0)
        start = self._file.read(_CHUNK)
        if not start.strip(b" \t\r\n\0"):
            raise SpecError("the job has no rows")
        if start.startswith(WORKBOOKS):
            raise SpecError("the job is a workbook, not a table of text: save it as CSV")
        if start[:4].count(0) == 2:  # UTF-16 that has no mark
            raise SpecError(f"the job {NOT_UTF8}")
        self._rows, self.counted = _csv_rows, "line"
        if start.lstrip().startswith((b"{", b"[")):
            is_document = _is_document(self._file)
            self._rows, self.counted = (_elements, "row") if is_document else (_json_rows, "line")

    @property
    def how_far(self) -> tuple[int, int]:
        """Return how many bytes are read, and of how many."""
        return self._file.tell(), self._n_bytes

    def __iter__(self) -> Iterator[tuple[int, Asked | BadRow]]:
        """Yield the number of each row and what it asks for.

        Raises:
            SpecError: If what follows cannot be told apart into rows, or the columns of CSV are
                not those of a job.
        """
        line = 0
        self._file.seek(0)
        for line, read in self._rows(self._file):
            try:
                yield line, self._asked(line, read())
            except UNREADABLE as error:
                yield line, BadRow(line, reason_of(error)[:MAX_REASON])
        if not line:
            raise SpecError("the job has no rows")

    def _asked(self, line: int, values: Mapping[str, Any]) -> Asked:
        """Return what a row asks for.

        Rows that are alike but for their numbers and ids are checked once: beyond its range no
        rule looks at what such a value is, only at whether it is given.
        """
        if values.get("format") == FORMAT:
            return JobRow(line, parse_settings_file(json.dumps(values)))
        alike, numbers, fixed, key = {}, {}, {}, ""
        try:
            for name, value in values.items():
                if value is None or value == "":
                    continue
                if (read := _NUMBERS.get(name)) is None:
                    alike[name] = value
                elif name in _ATTRIBUTES:
                    fixed[name] = read(value)
                else:
                    numbers[name] = read(value)
            key = repr((alike, *numbers, *fixed))
        except UNREADABLE:  # what is wrong is told below
            pass
        if (known := self._alike.get(key)) is not None:
            options = known | numbers
            if fixed:
                options["set"] = known["set"] | fixed
            return options
        options = dict(sorted(options_of(values, self._defaults, folder=self._folder).items()))
        row = row_of(line, options)
        if row.settings.request.given is not None:
            return row
        if 0 < len(key) <= LONGEST_ALIKE:
            if len(self._alike) == MAX_ALIKE:
                self._alike.clear()
            self._alike[key] = options
        return options


def row_of(line: int | None, options: Mapping[str, Any]) -> JobRow:
    """Return the row that options ask for."""
    own = dict(options)
    count, name = COUNT.read(own.pop("count", COUNT.default)), own.pop("id", None)
    music = next((Path(own[use]) for use in (CONTINUE, VARY, INFILL) if own.get(use)), None)
    return JobRow(line, spec_from_options(own), count, name, music)


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Yield the bytes of each line, None for one that is too long."""
    while line := file.readline(MAX_LINE + 1):
        is_long = len(line) > MAX_LINE
        while len(line) > MAX_LINE and not line.endswith(b"\n"):
            line = file.readline(MAX_LINE + 1)
        yield None if is_long else line


def _is_document(file: BinaryIO) -> bool:
    """Tell whether JSON is an array, or objects over several lines each."""
    for size in (_CHUNK, MAX_LINE):
        file.seek(0)
        start = file.read(size).decode("utf-8", "surrogateescape").lstrip()
        if start.startswith("["):
            return True
        with suppress(ValueError, RecursionError):
            return "\n" in start[: _SCAN(start, 0)[1]]
    return False


def _elements(file: BinaryIO) -> Iterator[Unread]:
    """Read a JSON array, or objects one after the other, with the memory of one of them."""
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    text = decode(file.read(_CHUNK))
    at = len(text) - len(text.lstrip())
    is_array, number = text.startswith("[", at), 1
    at += is_array
    while True:
        at = _GAP.match(text, at).end()  # type: ignore[union-attr] # it always does
        if is_array and text.startswith("]", at):
            if (text[at + 1 :] + decode(file.read(_CHUNK))).strip():
                raise SpecError("the job cannot be read: it goes on after its array")
            return
        try:
            end = _SCAN(text, at)[1]
        except (ValueError, RecursionError) as error:
            more = file.read(max(len(text) - at, _CHUNK))
            if more and len(text) - at <= MAX_LINE:
                text, at = text[at:] + decode(more), 0
                continue
            if at == len(text) and not is_array:
                return
            what = f"no JSON, or {TOO_LONG}" if more else "no JSON"
            why = getattr(error, "msg", "nested too deeply").removesuffix(" at")
            raise SpecError(f"the job cannot be read: row {number} is {what}: {why}") from error
        yield number, partial(_json_values, text[at:end].encode("utf-8", "surrogateescape"))
        at, number = end, number + 1


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
    """Read a table; a column without a name is nothing, nor is one of which all is empty."""
    lines = (
        _CUT if own is None else own.decode("utf-8", "surrogateescape") for own in _lines(file)
    )
    try:
        reader, n_before = _csv_reader(lines)
        heads = _checked(next(reader, []), "its line of column names")
        names = [_name_of(head) for head in heads]
        for at, name in enumerate(names):
            if name in COLUMNS and name in names[:at]:
                raise ValueError(f"the column {name} comes twice")
    except (csv.Error, ValueError) as error:
        raise SpecError(f"the job cannot be read: {error}") from error
    unknown = [at for at, name in enumerate(names) if name and name not in COLUMNS]
    names = ["" if at in unknown else name for at, name in enumerate(names)]
    has_rows = False
    while True:
        first = n_before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield first, partial(_csv_values, names, error)
            continue
        _refuse_content(cells, heads, unknown)
        has_rows = True
        if any(cell.strip() for at, cell in enumerate(cells) if at >= len(names) or names[at]):
            yield first, partial(_csv_values, names, cells, reader.dialect.delimiter != ",")
    if not has_rows:
        _refuse_content(heads, heads, unknown)


def _csv_reader(lines: Iterator[str]) -> tuple[Any, int]:
    """Return what reads from the line of column names on, and how many lines come before it.

    It separates cells by what makes most columns known, or by what a line of Excel's says.
    """
    separator, n_before = "", -1
    for line in lines:
        n_before += 1
        if found := _SEPARATOR_LINE.match(line):
            separator = found[1]
        elif line.strip(SEPARATORS + '" \r\n'):
            break
    else:
        raise ValueError("it has no line of column names")

    def n_known(one: str) -> tuple[int, int]:
        cells = next(csv.reader([line], delimiter=one))
        return sum(_name_of(cell) in COLUMNS for cell in cells), len(cells)

    separator = separator or max(SEPARATORS, key=n_known)
    return csv.reader(chain([line], lines), delimiter=separator, strict=True), n_before


def _name_of(head: str) -> str:
    """Return how a column is called in COLUMNS; nothing where it has no name, as pandas' index."""
    name = re.sub(r"[\s-]+", "_", head.strip().lower())
    return "" if _UNNAMED.fullmatch(name) else name


def _refuse_content(cells: list[str], heads: list[str], unknown: list[int]) -> None:
    for at in unknown:
        if at < len(cells) and cells[at].strip():
            raise SpecError(f"the job cannot be read: {_unknown(heads[at].strip())}")


def _unknown(head: str) -> str:
    near = get_close_matches(_name_of(head[:64]), COLUMNS, n=1)
    told = f"nearest is {near[0]}" if near else f"known are {', '.join(COLUMNS)}"
    return f"unknown column {shown(head)}; {told}"


def _checked(cells: list[str], what: str) -> list[str]:
    """Return cells whose bytes are a text of a length within reason."""
    text = "".join(cells)
    if not text.isascii():
        if _CUT in text:
            raise ValueError(f"{what} {TOO_LONG}")
        if any("\udc80" <= character <= "\udcff" for character in text):
            raise ValueError(f"{what} {NOT_UTF8}")
    return cells


def _csv_values(
    names: list[str], cells: list[str] | csv.Error, has_commas: bool = False
) -> dict[str, str]:
    """Return the cells of a row by name; where commas do not part them, they part decimals."""
    if isinstance(cells, csv.Error):
        raise ValueError(f"the row is no CSV: {cells}")  # noqa: TRY004 - of a file
    if any(map(str.strip, _checked(cells, "the row")[len(names) :])):
        raise ValueError(f"the row has {len(cells)} cells for {len(names)} columns")
    values = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
    values.pop("", None)
    for name, value in values.items() if has_commas else ():
        is_number = COLUMNS[name].kind in (Kind.WHOLE, Kind.NUMBER, Kind.ATTRIBUTES)
        if is_number and "." not in value:
            values[name] = re.sub(r"(?<=\d),(?=\d)", ".", value)
    return values


def _reader_of(field: Field) -> Callable[[Any], Any]:
    """Return what reads a value as `field.read_word` does, and a usual number in no time."""
    low, high = field.bounds or (-sys.float_info.max, sys.float_info.max)
    low = math.nextafter(low, math.inf) if field.open_low else low

    def read_whole(value: Any) -> Any:
        if type(value) is str and len(value) < 19 and value.isdecimal():
            value = int(value)
        return value if type(value) is int and low <= value <= high else field.read_word(value)

    def read_number(value: Any) -> Any:
        try:
            number = float(value) if type(value) is str else value
        except ValueError:
            number = value
        is_usual = type(number) is float and low <= number <= high
        return number if is_usual else field.read_word(value)

    def read_id(value: Any) -> Any:
        return field.read_word(str(value) if type(value) is int else value)

    if field is ID:
        return read_id
    return {Kind.WHOLE: read_whole, Kind.NUMBER: read_number}.get(field.kind, field.read_word)


_READ = {name: _reader_of(field) for name, field in COLUMNS.items()}
_NUMBERS = {
    name: read
    for name, read in _READ.items()
    if name == ID.name or (COLUMNS[name].kind in (Kind.WHOLE, Kind.NUMBER) and name != "best_of")
}
"""What reads ids and numbers, but of `best_of`: of more than 1 an emotion must be known."""


def options_of(
    values: Mapping[str, Any], defaults: Mapping[str, Any], *, folder: Path = Path()
) -> dict[str, Any]:
    """Return the options that a row asks for; None and empty texts count as not given.

    Where it says what to feel, how long, or which music to take up, nothing of that is taken from
    the defaults. Paths of its own begin in `folder`.
    """
    own: dict[str, Any] = {}
    for head, value in values.items():
        name = _name_of(str(head))
        if value is None or value == "" or not name:
            continue
        if name not in COLUMNS:
            raise ValueError(_unknown(str(head)))
        if name in own:
            raise ValueError(f"the column {name} comes twice")
        own[name] = _READ[name](value)
    for name in {CONTINUE, VARY, INFILL} & own.keys():
        own[name] = folder / os.path.expanduser(own[name])  # noqa: PTH111 - Path's may raise
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
