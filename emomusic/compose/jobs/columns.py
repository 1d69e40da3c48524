"""What a row of a job may say, and how its words become options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomusic.compose.fields import Door, Field, Kind, shown
from emomusic.compose.parse import COUNT, ROW
from emomusic.compose.request import attribute_field
from emomusic.music.attributes import ATTRIBUTE_NAMES

EMOTIONS = ("emotion", "valence", "arousal", "mix", "curve", "free")
LENGTHS = ("bars", "seconds")
MUSIC = ("continue", "vary")
"""Ways to say one thing: a row that takes one leaves nothing of the others to the defaults."""
MAX_ID = 200
ID = Field(Kind.TEXT, "Whatever you call it; the manifest repeats it.", name="id", doors=Door.ROW)
_ATTRIBUTES = {name: attribute_field(name) for name in ATTRIBUTE_NAMES if name not in ROW}
COLUMNS: dict[str, Field] = {field.name: field for field in (ID, COUNT)} | ROW | _ATTRIBUTES
"""Each column, and what its values are; `attributes` is another name of `set`."""


class RowError(ValueError):
    """Tell in one line why a row cannot be used."""


def check_columns(names: list[str]) -> None:
    """Check the names of columns.

    Raises:
        RowError: If one is unknown, or comes twice.
    """
    for at, name in enumerate(names):
        if name not in COLUMNS:
            raise RowError(f"unknown column {shown(name)}; known are {', '.join(COLUMNS)}")
        if name in names[:at]:
            raise RowError(f"the column {name} comes twice")


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
        raise RowError(f"{name} must be at most {MAX_ID} characters long, got {len(text)}")
    return text


def _take_attributes(own: dict[str, Any]) -> dict[str, float]:
    """Take all attributes out of a row's values and return them."""
    parts = [own.pop(name, {}) for name in ("set", "attributes")]
    parts += [{name: own.pop(name)} for name in _ATTRIBUTES if name in own]
    attributes: dict[str, float] = {}
    for part in parts:
        twice = sorted(set(part) & set(attributes))
        if twice:
            raise RowError(f"{twice[0]} is given twice")
        attributes |= part
    return attributes
