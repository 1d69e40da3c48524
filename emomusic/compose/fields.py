"""Describe a value that may be asked of a clip: its kind, its range, and how it is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, replace
from enum import Enum, Flag, auto
from functools import cache
from pathlib import PurePath
from typing import Any

from emomusic.emotion.space import is_number, plain
from emomusic.emotion.space import shown as shown

MAX_TEXT = 4_000
"""Characters of a text."""
MAX_ATTRIBUTES = 64
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Kind(Enum):
    """What a value is, and what JSON Schema calls it."""

    TEXT = "string"
    WHOLE = "integer"
    NUMBER = "number"
    FLAG = "boolean"
    CHOICE = "enum"
    PATH = "path"
    ATTRIBUTES = "object"


class Door(Flag):
    """Where a value may be given, or is shown."""

    OPTION = auto()
    ROW = auto()
    FILE = auto()
    CARD = auto()
    ENDPOINT = auto()
    PAGE = auto()
    COMMAND = OPTION | ROW
    CLIP = COMMAND | FILE | CARD


@dataclass(frozen=True)
class Field:
    """Describe one value.

    Attributes:
        kind: What its values are.
        help: A sentence for whoever asks.
        name: What it is called outside, in options with hyphens; as in Python where it is empty.
        bounds: Least and greatest value; None where there is no range.
        open_low: Whether the least value itself is out of the range.
        unit: Of the range, as errors name it.
        choices: Words that are accepted.
        longest: Characters of a text.
        default: What holds where nothing is said.
        flag: How its option is written, where that does not follow from the name.
        metavar: What stands for its value in the help.
        panel: Under which title the help lists it.
        doors: Where it is offered.
        studio: Low, high and step in the studio, where many people share one machine.
        label: Its name on the page, where it has a control of its own there.
    """

    kind: Kind
    help: str = ""
    _: KW_ONLY
    name: str = ""
    bounds: tuple[float, float] | None = None
    open_low: bool = False
    unit: str = ""
    choices: tuple[str, ...] = ()
    longest: int = MAX_TEXT
    default: Any = None
    flag: str | None = None
    metavar: str | None = None
    panel: str | None = None
    doors: Door = Door.CLIP
    studio: tuple[float, float, float] | None = None
    label: str = ""

    def read(self, value: Any) -> Any:
        """Return a value as plain Python has it, within its range.

        Raises:
            ValueError: If it is of another kind or out of range.
        """
        value = plain(value)
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            return self._number(value)
        if self.kind is Kind.ATTRIBUTES:
            return self._attributes(value)
        if self.kind is Kind.FLAG and type(value) is not bool:
            raise self._refusal("true or false", shown(value))
        if self.kind is Kind.CHOICE:
            if value not in self.choices:
                raise self._refusal(f"one of {', '.join(self.choices)}", shown(value))
            return str(value)
        if self.kind in (Kind.TEXT, Kind.PATH):
            is_path = self.kind is Kind.PATH and isinstance(value, PurePath)
            if not is_path and type(value) is not str:
                raise self._refusal("a text", shown(value))
            if (n := len(str(value))) > self.longest:
                raise self._refusal(f"at most {self.longest} characters long", str(n))
        return value

    def read_word(self, value: Any) -> Any:
        """Return a value as `read` does; one of a table of texts is taken as what it says."""
        if not isinstance(value, str):
            return self.read(value)
        word = value.strip()
        if self.kind is Kind.FLAG:
            return self.read(_FLAGS.get(word.lower(), value))
        if self.kind is Kind.ATTRIBUTES:
            return parse_attributes(word.replace(",", " ").split(), name=self.name)
        if self.kind is Kind.WHOLE and word.removeprefix("-").isdecimal() and len(word) <= 20:
            return self.read(int(word))
        if self.kind in (Kind.WHOLE, Kind.NUMBER):
            try:
                number = float(word)
            except ValueError:
                number = math.inf
            return self.read(number if math.isfinite(number) else value)
        return self.read(value)

    @property
    def range(self) -> str:
        """Return its range, as it is written."""
        low, high = map(_written, self.bounds or (-math.inf, math.inf))
        return f"{'(' if self.open_low else '['}{low}, {high}]{self.unit and ' '}{self.unit}"

    @property
    def explanation(self) -> str:
        """Return its help with its form, for who sees no more of it than that."""
        form = " or ".join(self.choices)
        if self.metavar and self.metavar.startswith('"'):
            form = self.metavar
        return f"{self.help} Write {form}." if form else self.help

    def _refusal(self, wanted: str, got: str) -> ValueError:
        return ValueError(f"{self.name} must be {wanted}, got {got}")

    def _number(self, value: Any) -> float:
        is_one = is_number(value)
        try:
            number: float = float(value) if is_one else math.nan
        except OverflowError:
            is_one = False
        if not is_one or (self.kind is Kind.WHOLE and not number.is_integer()):
            what = "a whole number" if self.kind is Kind.WHOLE else "a number"
            raise self._refusal(what, shown(value))
        if self.kind is Kind.WHOLE:
            number = int(value)
        if self.bounds is not None:
            low, high = self.bounds
            is_in = low < number <= high if self.open_low else low <= number <= high
            if not is_in:  # nan never is
                raise self._refusal(f"in {self.range}", _written(number))
        return number

    def _attributes(self, value: Any) -> dict[str, float]:
        if not isinstance(value, Mapping) or len(value) > MAX_ATTRIBUTES:
            raise self._refusal("attributes with their values", shown(value))
        names = (str(name).replace("-", "_")[:64] for name in value)
        return {
            name: Field(Kind.NUMBER, name=name).read_word(own)
            for name, own in zip(names, value.values(), strict=True)
        }


def spec_field(
    default: Any, kind: Kind, help: str = "", *, spoken: tuple[Field, ...] = (), **more: Any
) -> Any:
    """Return a field of a dataclass that says what its value is, as `Field` does.

    `spoken` says how it is asked for where not as the value itself.
    """
    return field(default=default, metadata={"own": Field(kind, help, **more), "spoken": spoken})


@cache
def described(owner: type) -> Mapping[str, Field]:
    """Return what the values of a dataclass are, by name, with the defaults that it states."""
    found = {}
    for value in fields(owner):
        if (own := value.metadata.get("own")) is not None:
            default = None if value.default is MISSING else value.default
            found[value.name] = replace(own, name=own.name or value.name, default=default)
    return found


def make_plain(owner: Any) -> None:
    """Check the values of a frozen dataclass by what they are described as, and make them plain.

    Raises:
        ValueError: If one is of another kind or out of range; the message names it.
    """
    for name, known in described(owner.__class__).items():
        value = getattr(owner, name)
        if value is not None or known.default is not None:
            object.__setattr__(owner, name, known.read(value))


def offered(door: Door, *owners: type) -> dict[str, Field]:
    """Return what dataclasses let be asked for at a door, by the name it has outside."""
    found: list[Field] = []
    for owner in owners:
        values = described(owner)
        for value in fields(owner):
            found += [values[value.name]] if value.name in values else []
            found += value.metadata.get("spoken", ())
    return {own.name: own for own in found if door in own.doors}


def parse_attributes(texts: Iterable[str], *, name: str = "--set") -> dict[str, float]:
    """Return attribute values from texts of the form `attribute=value`.

    Raises:
        ValueError: If a text has another form, or an attribute comes twice.
    """
    found: dict[str, float] = {}
    for text in texts:
        attribute, equals, number = text.partition("=")
        attribute = attribute.strip().replace("-", "_")
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"{name} takes ATTRIBUTE=VALUE with a number, got {text!r}")
        if attribute in found:
            raise ValueError(f"{name} gives {attribute} twice")
        found[attribute] = value
    return found


def _written(number: float) -> str:
    if type(number) is int:
        return str(number) if abs(number) < 10**20 else f"{str(number)[:20]}..."
    return f"{number:g}"
