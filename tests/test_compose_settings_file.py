"""Settings files: round trips, and what is refused beyond the table of refusals."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import fields
from typing import Any

import pytest
from helpers.composing import curve_of, given, tune

import emomusic
from emomusic.compose.parse import (
    MAX_CHARACTERS,
    MAX_SEED,
    ClipSpec,
    SettingsError,
    parse_settings_file,
)
from emomusic.compose.request import MAX_TAKE, VARY, Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.music.score import dump_score

JOY = Emotion(0.8, 0.6, "joy")
EXAMPLES = (
    Request(
        find_emotion("nostalgia"), given=given(tune(2), VARY), n_bars=3, tempo=93.25, tonic=6,
        is_major=False, beats_per_bar=3, fixed={"mode": -0.25, "register": 61.0},
        per_bar={"register": (50.0, 61.5, 70.0), "polyphony": (1.0, 2.0, 3.0)}, temperature=0.75,
        top_p=0.5, guidance=2.5, guided_bars=0, steering=False, two_hands=False,
        chords="Am F C,G7", best_of=3, diversity=0.0, take=7, n_kept=2,
    ),
    Request(JOY, curve=curve_of((0, 0.1, -0.2), (3.5, -1, 1)), seconds=12.5),
    Request(None, is_major=True),
    Request(JOY, given=given(tune(2, beats=3)), n_bars=512, candidate=MAX_TAKE),
)  # fmt: skip


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings_file(text)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 1000 and told.isprintable()
    return told


def test_each_field_of_a_request_is_in_an_example() -> None:
    free = Request(None)
    for own in fields(Request):
        assert any(getattr(e, own.name) != getattr(free, own.name) for e in EXAMPLES), own.name


@pytest.mark.parametrize("asked", EXAMPLES)
def test_settings_survive_their_file(asked: Request) -> None:
    for numbers in ((0, 0, None), (MAX_SEED, MAX_SEED, "é" * 4000)):
        settings = ClipSpec(asked, *numbers)
        again = parse_settings_file(settings.to_json())
        assert again == settings and again.to_json() == settings.to_json()


def test_what_is_not_said_is_neither_written_nor_needed() -> None:
    told = ClipSpec(Request(JOY), 3).to_dict()
    assert told["emotion"] == {"valence": 0.8, "arousal": 0.6, "name": "joy"}
    assert (told["seed"], told["version"]) == (3, emomusic.__version__)
    assert not {"curve", "given", "bars", "key", "set", "checkpoint", "seconds"} & set(told)
    little = {"format": "emomusic settings 1", "seed": 4}
    assert parse_settings_file(json.dumps(little)) == ClipSpec(Request(None), 4)
    nulls = dict.fromkeys(("best_of", "take", "guided_bars", "temperature", "seconds", "curve"))
    assert parse_settings_file(json.dumps(little | nulls)) == ClipSpec(Request(None), 4)
    assert parse_settings_file(json.dumps(little | {"key": "f#"})).request.tonic == 6


def changed(**changes: Any) -> str:
    return json.dumps(ClipSpec(Request(JOY, n_bars=3), 1).to_dict() | changes)


def midi(data: Any, use: Any = "vary") -> dict[str, Any]:
    return {"given": {"midi": data, "use": use}}


MUSIC = base64.b64encode(dump_score(tune(1))).decode()
POINT = {"valence": 0, "arousal": 0}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "unknown are colour; known: "),
        ({"format": "emomusic settings 2"}, "do not say that they are emomusic settings 1"),
        ({"format": ["emomusic settings 1"]}, "do not say that they are"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"kept_bars": 4}, r"kept_bars must be in \[1, 3\], got 4"),
        ({"seconds": 9.0}, "give bars or seconds, not both"),
        ({"emotion": None, "best_of": 2}, "best_of needs an emotion"),
        ({"mode": ["major"]}, "mode must be one of major, minor, got"),
        ({"key": "D minor"}, "tonic must be a note name such as C, F# or Bb, got 'D minor'"),
        ({"key": 3}, "a value is of the wrong kind"),
        ({"checkpoint": "x" * 5000}, "checkpoint must be at most 4000 characters"),
        ({"emotion": "joy"}, "a value is of the wrong kind"),
        ({"emotion": {}}, "a value is of the wrong kind"),
        ({"emotion": {"valence": 2, "arousal": 0}}, r"valence must be in \[-1, 1\], got 2"),
        ({"emotion": {"valence": 0, "arousal": "low"}}, "arousal must be a number, got 'low'"),
        ({"emotion": {**POINT, "name": 3}}, "a value is of the wrong kind"),
        ({"emotion": {**POINT, "name": " "}}, "name must be None or not blank"),
        ({"emotion": {**POINT, "name": "x" * 4001}}, "a name is at most 4000"),
        ({"curve": []}, "a curve must have 1 to 64 points, got 0"),
        ({"curve": {"bar": 0}}, "a value is of the wrong kind"),
        ({"curve": [{"bar": 600, **POINT}]}, r"bar must be in \[0, 512\]"),
        ({"curve": [{"bar": 1, **POINT}] * 2}, "bars of a curve must rise"),
        ({"curve": [{"bar": 0, **POINT}], "bar_by_bar": {"register": [60] * 3}}, "a curve needs"),
        ({"set": {"mode": None}}, "mode must be a number, got None"),
        ({"set": {"tempo": 90}, "tempo": 90}, "give the tempo once"),
        ({"bar_by_bar": {"register": 60}}, "a value is of the wrong kind"),
        ({"bar_by_bar": {"a\n\nb": [1, 2, 3]}}, "a b cannot be asked for bar by bar"),
        ({"bar_by_bar": {"x" * 5000: []}}, "xxx"),
        ({"bar_by_bar": {"register": ["a", "b", "c"]}}, "register must be a number"),
        (midi("%%%"), "base64|Only"),
        (midi("AAA"), "padding"),
        (midi("é"), "ASCII"),
        (midi(""), "the file is empty"),
        (midi(base64.b64encode(b"RIFF").decode()), "not a MIDI file"),
        (midi(base64.b64encode(b"MThd").decode()), "damaged MIDI file"),
        (midi(None), "a value is of the wrong kind"),
        (midi(MUSIC, "copy"), "to continue or to vary"),
        (midi(MUSIC, []), "to continue or to vary"),
        ({"given": "MThd"}, "a value is of the wrong kind"),
    ],
)
def test_settings_that_are_amiss_are_named(changes: dict[str, Any], words: str) -> None:
    told = refused(changed(**changes))
    assert told.startswith("these settings cannot be used: ") and re.search(words, told), told


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"a":' * 50_000, "\x00", "MThd",
     "\ufeff{}", '{"seed": 1}', "9" * 5000],
)  # fmt: skip
def test_what_is_no_settings_file_is_refused(text: str) -> None:
    refused(text)


def test_numbers_that_are_not_finite_and_huge_texts_are_refused() -> None:
    for number in ("NaN", "Infinity", "-Infinity"):
        text = changed(tempo="here").replace('"here"', number)
        assert f"numbers must be finite, got {number}" in refused(text)
    refused(changed(tempo="here").replace('"here"', "1e999"))
    assert "at most 16 MiB long" in refused(" " * (MAX_CHARACTERS + 1))


def test_the_known_keys_are_told() -> None:
    keys = refused(changed(**{"x" * 500: 1})).split("known: ")[1].split(", ")
    assert keys == sorted(keys) and {"seed", "emotion", "curve", "take"} <= set(keys)
