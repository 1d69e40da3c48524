"""One table of refusals: what is amiss in a request is told in the same words at every door."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from helpers.jobs import read
from helpers.shell import Shell

from emomusic.compose.composer import Composer
from emomusic.compose.fields import Door, Field, Kind
from emomusic.compose.jobs.table import COLUMNS, BadRow
from emomusic.compose.parse import (
    ENDPOINT,
    OPTIONS,
    ROW,
    ClipSpec,
    SettingsError,
    parse_settings_file,
)
from emomusic.compose.request import VALUES, Request
from emomusic.emotion import Emotion
from emomusic.studio.launch import endpoint
from emomusic.studio.page import FINE, read_form

JOY = Emotion(0.8, 0.6)
TOO_LONG = "x" * 4001
WHOLES = {
    **dict.fromkeys(("bars", "kept_bars"), "[1, 512]"), "guided_bars": "[0, 512]",
    "best_of": "[1, 64]", **dict.fromkeys(("take", "candidate"), "[0, 2147483647]"),
    "count": "[1, 10000000]", **dict.fromkeys(("seed", "index"), "[0, 9223372036854775807]"),
}  # fmt: skip
NUMBERS = {
    **dict.fromkeys(("valence", "arousal"), "[-1, 1]"), "seconds": "[0.5, 1800]",
    "tempo": "[20, 300]", "temperature": "(0, 5]", "top_p": "(0, 1]", "guidance": "[1, 5]",
    **dict.fromkeys(("diversity", "performance"), "[0, 1]"), "register": "[10, 115] MIDI pitch",
}  # fmt: skip
REFUSED: list[tuple[str, Any, str]] = [
    ("emotion", "joyy", "unknown emotion 'joyy', nearest are: joy"),
    ("emotion", 7, "emotion must be a text, got 7"),
    ("emotion", TOO_LONG, "emotion must be at most 4000 characters long, got 4001"),
    ("mix", "joy:x", "weight"),
    ("curve", "joy", "'joy' is not a point of a curve; write BAR:NAME"),
    ("curve", "4:joy 0:fear", "bars of a curve must rise from point to point"),
    ("curve", "0:joy 600:fear", "bar must be in [0, 512], got 600"),
    ("free", 0.5, "free must be true or false, got 0.5"),
    ("free", "maybe", "free must be true or false, got 'maybe'"),
    ("continue", "none.mid", "none.mid: cannot read the file"),
    ("vary", "none.mid", "none.mid: cannot read the file"),
    ("vary", 7, "vary must be a text, got 7"),
    ("infill", "none.mid", "none.mid: cannot read the file"),
    ("at", "5-8", "--at is about music to --infill"),
    ("lock", "melody", "--lock is about music to --infill"),
    ("key", "H dur", "key must be a note name, alone or with major or minor, such as D, Eb"),
    ("key", 3, "key must be a text, got 3"),
    ("time_signature", "5/4", "time_signature must be one of "),
    ("tracks", "three", "tracks must be one of two, one, got 'three'"),
    ("grid", "bars", "grid must be one of auto, file, tracked, got 'bars'"),
    ("time_signature", 4, "time_signature must be one of "),
    ("set", {"loud": 1}, "unknown attribute 'loud'; known are tempo, note_density"),
    ("set", {"mode": 9}, "mode must be in [-1.2, 1.2] correlation margin, got 9"),
    ("set", {"tempo": 10}, "tempo must be in [20, 300], got 10"),
    ("set", {"register": math.nan}, "register must be in [10, 115] MIDI pitch, got nan"),
    ("set", {"register": "high"}, "register must be a number, got 'high'"),
    ("set", 5, "must be attributes with their values, got 5"),
    ("set", dict.fromkeys(map(str, range(65)), 1), "must be attributes with their values"),
    ("chords", "Am H", "'H'"),
    ("steering", "perhaps", "steering must be true or false, got 'perhaps'"),
    ("two_hands", 1, "two_hands must be true or false, got 1"),
    ("tracks", "2", "tracks must be one of two, one, got '2'"),
    ("mode", "dorian", "mode must be one of major, minor, got 'dorian'"),
    ("id", {}, "id must be a text, got {}"),
    ("id", "x" * 201, "id must be at most 200 characters long, got 201"),
    ("checkpoint", 5, "checkpoint must be a text, got 5"),
    ("temperature", 0, "temperature must be in (0, 5], got 0"),
    ("top_p", 0.0, "top_p must be in (0, 1], got 0"),
    *((name, "few", f"{name} must be a whole number, got 'few'") for name in WHOLES),
    *((name, 2.5, f"{name} must be a whole number, got 2.5") for name in WHOLES),
    *((name, True, f"{name} must be a whole number, got True") for name in WHOLES),
    *((name, -1, f"{name} must be in {span}, got -1") for name, span in WHOLES.items()),
    *((name, 2**64, f"{name} must be in {span}, got 1844") for name, span in WHOLES.items()),
    *((name, "few", f"{name} must be a number, got 'few'") for name in NUMBERS),
    *((name, [1], f"{name} must be a number, got [1]") for name in NUMBERS),
    *((name, True, f"{name} must be a number, got True") for name in NUMBERS),
    *((name, 10**400, f"{name} must be a number, got 1000") for name in NUMBERS),
    *((name, -2, f"{name} must be in {span}, got -2") for name, span in NUMBERS.items()),
    *((name, 1e9, f"{name} must be in {span}, got 1e+09") for name, span in NUMBERS.items()),
    *((name, math.nan, f"{name} must be in {span}, got nan") for name, span in NUMBERS.items()),
    *((name, math.inf, f"{name} must be in {span}, got inf") for name, span in NUMBERS.items()),
]
TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({}, "say what to feel: --emotion NAME, or --valence V and --arousal A, or --mix, or --curve"),
    ({"valence": 0.5}, "say what to feel"),
    ({"emotion": "joy", "valence": 0.0}, "give one of --emotion, --valence with --arousal"),
    ({"emotion": "joy", "mix": "joy"}, "give one of --emotion, --valence with --arousal"),
    ({"free": True, "emotion": "joy"}, "give one of --emotion, --valence with --arousal"),
    ({"curve": "0:joy", "emotion": "joy"}, "a curve says what to feel: give no other emotion"),
    ({"curve": "0:joy", "free": True}, "a curve says what to feel: give no other emotion"),
    ({"emotion": "joy", "bars": 4, "seconds": 9.0}, "give bars or seconds, not both"),
    ({"free": True, "best_of": 2}, "best_of needs an emotion by which the best is found"),
    (
        {"emotion": "joy", "continue": "a.mid", "vary": "a.mid"},
        "give --continue, --vary or --infill",
    ),
    ({"emotion": "joy", "tempo": 90, "set": {"tempo": 90}}, "give the tempo once, not also as"),
]


def fits(field: Field, value: Any) -> bool:
    """Tell whether a value is of a field's kind, so that a command's parser lets it pass."""
    if field.kind in (Kind.TEXT, Kind.PATH):
        return isinstance(value, str) and len(value) < 99_999
    if field.kind is Kind.ATTRIBUTES:
        return isinstance(value, dict) and all(isinstance(v, int | float) for v in value.values())
    number = (type(value) is int and abs(value) < 2**99) or type(value) is float
    if field.kind is Kind.WHOLE:
        return number and value == value // 1
    return number and field.kind is Kind.NUMBER


def beside(name: str) -> dict[str, Any]:
    """Return what is said beside a value so that nothing but it is amiss."""
    point = {"valence": 0.0, "arousal": 0.0}
    if name in point:
        return {other: value for other, value in point.items() if other != name}
    return {} if name in ("emotion", "mix", "curve") else {"emotion": "joy"}


def table(door: dict[str, Field], *, parsed: bool = False) -> list[tuple[str, Any, str]]:
    """Return the part of the table that a door can say."""
    return [
        (name, value, words)
        for name, value, words in REFUSED
        if name in door
        and (not parsed or fits(door[name], value))
        and (door is not COLUMNS or name != "mode")  # there it is the attribute
    ]


def as_options(said: dict[str, Any]) -> list[str]:
    found = []
    for name, value in said.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            found.append(option)
        elif isinstance(value, dict):
            found += [part for own in value.items() for part in (option, "{}={}".format(*own))]
        else:
            found.append(f"{option}={value}")
    return found


def test_the_table_has_all_that_may_be_asked() -> None:
    offered = {*OPTIONS, *ROW, *ENDPOINT, *COLUMNS, *(own.name for own in VALUES.values())}
    attributes = {name for name in COLUMNS if name not in ROW} - {"id", "count"}
    alone = {"tonic", "is_major", "attributes"}
    assert offered - attributes - alone <= {name for name, _, _ in REFUSED}


FILED = {own.name: own for own in VALUES.values() if Door.FILE in own.doors} | {
    name: Field(Kind.TEXT, name=name) for name in ("mode", "time_signature", "set", "index", "seed")
}
ONLINE = {"bars": "[1, 128]", "best_of": "[1, 16]", "seed": "[0, 9007199254740991]"}
TABLE = [
    *(("option", *own) for own in table(OPTIONS, parsed=True)),
    *(("row", *own) for own in table(COLUMNS)),
    *(("file", *own) for own in table(FILED)),
    *(("page", *own) for own in table(FINE)),
    *(("request", *own) for own in table({own.name: own for own in VALUES.values()})),
    *(("endpoint", name, value, words.replace(WHOLES.get(name, "-"), ONLINE.get(name, "-")))
      for name, value, words in table(ENDPOINT)),
    *(("endpoint", "attributes", *own) for name, *own in REFUSED if name == "set"),
    ("endpoint", "bars", 129, "bars must be in [1, 128], got 129"),
    ("endpoint", "bars", None, "bars must be a whole number, got None"),
    ("endpoint", "best_of", 17, "best_of must be in [1, 16], got 17"),
    ("endpoint", "seed", 2**53, "seed must be in [0, 9007199254740991], got 9007199254740992"),
    ("page", "length", 2.5, "bars must be a whole number, got 2.5"),
    ("page", "length", None, "bars must be a whole number, got None"),
    ("page", "length", 600, "bars must be in [1, 512], got 600"),
    ("page", "unit", "miles", "unit must be one of bars, seconds, got 'miles'"),
    ("page", "key", None, "key must be one of any, C, "),
    ("page", "mode", "dorian", "mode must be one of any, major, minor, got 'dorian'"),
    ("page", "time_signature", None, "time_signature must be one of 4/4, 3/4, 2/4, 6/8,"),
    ("page", "fixed", {"register": 1e9}, "register must be in [10, 115] MIDI pitch, got 1e+09"),
    ("page", "fixed", {"beauty": 1.0}, "unknown attribute 'beauty'"),
    ("request", "tonic", 12, "tonic must be in [0, 11], got 12"),
    ("request", "is_major", "minor", "is_major must be true or false, got 'minor'"),
]  # fmt: skip


def as_json(said: dict[str, Any]) -> str:
    return json.dumps(said).replace("NaN", "1e999").replace("Infinity", "1e999")


@pytest.fixture
def doors(shell: Shell, tiny_composer: Composer, tmp_path: Path) -> Doors:
    return Doors(shell, tiny_composer, tmp_path)


@dataclass
class Doors:
    """Say things at each door that must be refused there, and return what is told."""

    shell: Shell
    composer: Composer
    folder: Path

    def option(self, said: dict[str, Any]) -> str:
        return self.shell.refused("generate", "--out", self.folder / "out", *as_options(said))

    def row(self, said: dict[str, Any]) -> str:
        (row,) = read(as_json(said))
        assert isinstance(row, BadRow)
        return row.reason

    def file(self, said: dict[str, Any]) -> str:
        with pytest.raises(SettingsError) as error:
            parse_settings_file(as_json({**ClipSpec(Request(JOY), 1).to_dict(), **said}))
        assert str(error.value).startswith("these settings cannot be used: ")
        return str(error.value)

    def endpoint(self, said: dict[str, Any]) -> str:
        with pytest.raises(gr.Error) as error:
            endpoint(self.composer)(**said)
        told = str(error.value.message)
        assert told.endswith(".") and "\n" not in told and len(told) < 700
        assert not error.value.print_exception
        return told

    def page(self, said: dict[str, Any]) -> str:
        with pytest.raises(ValueError) as error:
            read_form(JOY, said)
        return str(error.value)

    def request(self, said: dict[str, Any]) -> str:
        values = {own: said[field.name] for own, field in VALUES.items() if field.name in said}
        with pytest.raises(ValueError) as error:
            Request(JOY, **values)
        return str(error.value)


@pytest.mark.parametrize(("door", "name", "value", "words"), TABLE)
def test_what_is_amiss_is_told_in_the_same_words_at_every_door(
    doors: Doors, door: str, name: str, value: Any, words: str
) -> None:
    others = beside(name) if door in ("option", "row", "endpoint") else {}
    told = getattr(doors, door)({**others, name: value})
    words = words.replace("got nan", "got inf") if door in ("row", "file") else words
    assert words in told


@pytest.mark.parametrize("door", ["option", "row", "endpoint"])
@pytest.mark.parametrize(("said", "words"), TOGETHER)
def test_what_does_not_go_together_is_told(
    doors: Doors, door: str, said: dict[str, Any], words: str
) -> None:
    if door != "endpoint" or set(said) <= {*ENDPOINT}:
        assert words in getattr(doors, door)(said)
