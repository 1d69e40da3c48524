"""What a row of a job may say, and how its words become values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from emomusic.compose.asking.options import EMOTIONS, LENGTHS, MUSIC, OPTIONS
from emomusic.music.attributes import ATTRIBUTE_NAMES

MAX_COUNT = 10_000_000
MAX_TEXT = 4_000
MAX_ID = 200
_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class RowError(ValueError):
    """Tell in one line why a row cannot be used."""


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RowError(f"{name} must be a text, got {_shown(value)}")
    if len(value) > MAX_TEXT:
        raise RowError(f"{name} must be at most {MAX_TEXT} characters long, got {len(value)}")
    return value


def _number(name: str, value: Any) -> float:
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise RowError
        number = float(value)
        if not math.isfinite(number):
            raise RowError
    except (OverflowError, ValueError):
        raise RowError(f"{name} must be a number, got {_shown(value)}") from None
    return number


def _whole(name: str, value: Any) -> int:
    if isinstance(value, str) and value.strip().lstrip("-").isascii():
        digits = value.strip()
        if digits.removeprefix("-").isdigit() and len(digits) <= 20:
            return int(digits)
    number = _number(name, value)
    if not number.is_integer():
        raise RowError(f"{name} must be a whole number, got {_shown(value)}")
    return value if isinstance(value, int) else int(number)


def _flag(name: str, value: Any) -> bool:
    found = value if isinstance(value, bool) else _YES.get(str(value).strip().lower())
    if found is None:
        raise RowError(f"{name} must be true or false, got {_shown(value)}")
    return found


def _set(name: str, value: Any) -> dict[str, float]:
    """Return attribute values of a table, or of a text such as `register=60 mode=-0.2`."""
    if isinstance(value, str):
        pairs = [part.partition("=")[::2] for part in value.replace(",", " ").split()]
        if len({key for key, _ in pairs}) < len(pairs):
            raise RowError(f"{name} gives an attribute twice")
        value = dict(pairs)
    if not isinstance(value, Mapping):
        raise RowError(f"{name} must be attributes with their values, got {_shown(value)}")
    return {str(key).replace("-", "_"): _number(str(key), own) for key, own in value.items()}


def _id(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, int) else _text(name, value)
    if len(text) > MAX_ID:
        raise RowError(f"{name} must be at most {MAX_ID} characters long, got {len(text)}")
    return text


Reader = Callable[[str, Any], Any]
_ATTRIBUTES = tuple(name for name in ATTRIBUTE_NAMES if name not in OPTIONS)
COLUMNS: dict[str, Reader] = {
    "id": _id,
    "count": _whole,
    **dict.fromkeys(("emotion", "mix", "curve", *MUSIC, "key", "time_signature", "chords"), _text),
    **dict.fromkeys(("bars", "seed", "take", "guided_bars", "best_of"), _whole),
    **dict.fromkeys(("valence", "arousal", "seconds", "tempo"), _number),
    **dict.fromkeys(("temperature", "top_p", "guidance", "diversity"), _number),
    **dict.fromkeys(("free", "steering", "two_hands"), _flag),
    **dict.fromkeys(("set", "attributes"), _set),
    **dict.fromkeys(_ATTRIBUTES, _number),
}
"""Each column, and what reads its values; `attributes` is another name of `set`."""


def check_columns(names: list[str]) -> None:
    """Check the names of columns.

    Raises:
        RowError: If one is unknown, or comes twice.
    """
    for at, name in enumerate(names):
        if name not in COLUMNS:
            raise RowError(f"unknown column {_shown(name)}; known are {', '.join(COLUMNS)}")
        if name in names[:at]:
            raise RowError(f"the column {name} comes twice")


def options_of(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a row asks for.

    Args:
        values: By column; None and empty texts count as not given.
        defaults: Options for what the row leaves open. Where it says what to feel, how long, or
            which music to take up, nothing of that is taken from them.

    Raises:
        RowError: If a value is of the wrong kind.
    """
    names = [str(name).replace("-", "_") for name in values]
    check_columns(names)
    own = {
        name: COLUMNS[name](name, value)
        for name, value in zip(names, values.values(), strict=True)
        if value is not None and value != ""
    }
    attributes = _joined(own)
    options = dict(defaults)
    for group in (EMOTIONS, LENGTHS, MUSIC):
        if any(own.get(name, False) is not False for name in group):  # not to be free says nothing
            options = {name: value for name, value in options.items() if name not in group}
    options |= own
    if attributes:
        options["set"] = {**defaults.get("set", {}), **attributes}
    return options


def _joined(own: dict[str, Any]) -> dict[str, float]:
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


def count_of(options: dict[str, Any]) -> int:
    """Take the number of clips out of a row's options and return it.

    Raises:
        RowError: If it is out of range.
    """
    count = int(options.pop("count", 1))
    if not 1 <= count <= MAX_COUNT:
        raise RowError(f"count must be in [1, {MAX_COUNT}], got {count}")
    return count


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
