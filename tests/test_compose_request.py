"""Requests, from words and settings files; what each value may be is in the table of refusals."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of, given, tune

import emomusic
from emomusic.compose.parse import (
    MAX_CHARACTERS,
    MAX_SEED,
    ClipSpec,
    SettingsError,
    parse_formats,
    parse_key,
    parse_settings_file,
    spec_from_options,
)
from emomusic.compose.request import MAX_TAKE, VARY, Request
from emomusic.emotion import Emotion, find_emotion
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, attribute
from emomusic.music.score import dump_score

JOY = Emotion(0.8, 0.6, "joy")
EXAMPLES = (
    Request(
        find_emotion("nostalgia"), given=given(tune(2), VARY), n_bars=3, tempo=93.25, tonic=6,
        is_major=False, time_signature="3/4", fixed={"mode": -0.25, "register": 61.0},
        per_bar={"register": (50.0, 61.5, 70.0), "polyphony": (1.0, 2.0, 3.0)}, temperature=0.75,
        top_p=0.5, guidance=2.5, guided_bars=0, steering=False, two_hands=False,
        chords="Am F C,G7", best_of=3, diversity=0.0, take=7, n_kept=2, tracks="one",
        performance=0.5,
    ),
    Request(JOY, curve=curve_of((0, 0.1, -0.2), (3.5, -1, 1)), seconds=12.5),
    Request(None, is_major=True),
    Request(JOY, given=given(tune(2, beats=3)), n_bars=512, candidate=MAX_TAKE),
)  # fmt: skip


def test_values_become_plain_and_the_emotion_may_be_left_free() -> None:
    request = Request(JOY, n_bars=np.int64(4), tempo=90, top_p=np.float32(0.5), best_of=2.0)  # type: ignore[arg-type]
    assert [type(v) for v in (request.n_bars, request.tempo, request.best_of)] == [int, float, int]
    assert type(request.top_p) is float and request == Request(
        JOY, n_bars=4, tempo=90.0, top_p=0.5, best_of=2
    )
    free = Request(None, n_bars=2, fixed={"register": 60}, per_bar={"polyphony": [1, 2.5]})
    assert free.emotion is None and free.fixed == {"register": 60}
    assert free.per_bar == {"polyphony": (1, 2.5)}
    for name in BAR_ATTRIBUTE_NAMES:
        span = (attribute(name).low, attribute(name).high)
        assert Request(JOY, n_bars=2, per_bar={name: list(span)}).per_bar == {name: span}
    assert "tempo: Quarter notes a minute. In [20, 300]." in str(Request.__doc__)


PLAIN: dict[str, Any] = {
    "n_bars": 3, "tempo": 90.0, "tonic": 5, "is_major": True, "time_signature": "3/4", "take": 2,
    "temperature": 0.5, "steering": False, "fixed": {"register": 60.0}, "best_of": 2,
    "per_bar": {"polyphony": [2.0, 2.5, 3.0]},
}  # fmt: skip


@pytest.mark.parametrize(
    "read", [np.array, np.float32, np.float64, lambda value: np.asarray(value)[()], Fraction]
)
def test_numbers_of_a_table_are_as_good_as_plain_ones(read: Callable[[Any], Any]) -> None:
    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {np.str_(name): moved(own) for name, own in value.items()}
        if isinstance(value, str):
            return np.str_(value)
        if isinstance(value, list):
            return np.array(value, np.float32)
        return np.bool_(value) if isinstance(value, bool) else read(value)

    joy = Emotion(read(0.5), read(-0.25), "odd")
    values = {name: moved(value) for name, value in PLAIN.items()}
    spec = ClipSpec(Request(joy, **values), np.int64(3), np.uint8(2))  # type: ignore[arg-type]
    plain = ClipSpec(Request(Emotion(0.5, -0.25, "odd"), **PLAIN), 3, 2)
    assert spec == plain and spec.to_json() == plain.to_json()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"emotion": "Q1"}, r"emotion must be an Emotion or None, such as find_emotion\('joy'\),"),
        ({"emotion": (0.5, 0.5)}, r"emotion must be an Emotion or None.*, got \(0.5, 0.5\)"),
        ({"curve": "0:joy"}, r"curve must be an EmotionCurve or None, such as parse_curve\("),
        ({"given": "x.mid"}, r"given must be a Given, such as Given\('x.mid', 'continue'\), got"),
        ({"given": b"MThd"}, "given must be a Given"),
        ({"fixed": [("register", 60)]}, "fixed must be a dict of attributes with their values"),
        ({"fixed": None}, "fixed must be a dict"),
        ({"fixed": {5: 1}}, "unknown attribute 5"),
        ({"fixed": {"register": True}}, "register must be a number, got True"),
        ({"per_bar": [60]}, "per_bar must be a dict of attributes with lists of values"),
        ({"per_bar": {"register": 60}, "n_bars": 1}, "register must be a list of values, one for"),
        ({"per_bar": {"register": np.ones((1, 2))}, "n_bars": 1}, "register must be a number, got"),
        ({"n_bars": "8"}, "bars must be a whole number, got '8'"),
        ({"n_bars": np.array([8, 8])}, r"bars must be a whole number, got array\(\[8, 8\]\)"),
        ({"n_bars": np.float32(8.5)}, "bars must be a whole number, got 8.5"),
        ({"tempo": np.float64("nan")}, "tempo must be in .*, got nan"),
        ({"is_major": 1}, "is_major must be true or false, got 1"),
        ({"tonic": np.True_}, "tonic must be a whole number, got True"),
        ({"chords": ["C"]}, "chords must be a text"),
    ],
)
def test_what_is_of_another_type_is_refused_by_its_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}") as caught:
        Request(values.pop("emotion", JOY), **values)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("length", "values", "words"),
    [
        ({"n_bars": 3}, {"tempo": [100.0] * 3}, "tempo cannot be asked for bar by bar, only note_"),
        ({"n_bars": 3}, {"register": [60.0] * 2}, "for each of the bars asked for, got 2 for 3"),
        ({"n_bars": 3}, {"register": []}, "for each of the bars asked for, got 0 for 3"),
        ({}, {"register": [60.0] * 16}, "register needs a value for each of the bars asked for"),
        ({"n_bars": 3}, {"register": [60.0, 60.0, 500.0]}, r"in \[10, 115\] MIDI pitch, got 500"),
        ({"n_bars": 3}, {"polyphony": [1.0, float("nan"), 1.0]}, "polyphony must be in .* got nan"),
    ],
)
def test_bars_that_are_asked_for_amiss_are_named(
    length: dict[str, Any], values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Request(None, per_bar=values, **length)


@pytest.mark.parametrize(
    ("text", "tonic", "is_major"),
    [
        ("C", 0, None), ("c", 0, None), ("D", 2, None), ("F#", 6, None), ("Gb", 6, None),
        ("Bb", 10, None), ("bb", 10, None), ("Bm", 11, False), ("bm", 11, False),
        ("Bbm", 10, False), ("F# minor", 6, False), ("F#_minor", 6, False), ("c major", 0, True),
        ("Eb MAJOR", 3, True), ("A min", 9, False), ("A maj", 9, True), (" E  minor ", 4, False),
        ("B#", 0, None), ("Cb", 11, None),
    ],
)  # fmt: skip
def test_keys_are_understood(text: str, tonic: int, is_major: bool | None) -> None:
    assert parse_key(text) == (tonic, is_major)


def test_an_emotion_is_named_placed_or_free_and_what_is_no_key_or_format_is_refused() -> None:
    for options, emotion in (
        ({"emotion": "q2"}, Emotion(-0.6, 0.6, "Q2")),
        ({"valence": 0.0, "arousal": -0.5}, Emotion(0.0, -0.5)),
        ({"free": True}, None),
    ):
        assert spec_from_options(options).request.emotion == emotion
    for text in ("", "m", "H", "C dur", "C C", "C major minor", "minor", "C##", "3", "Cx"):
        with pytest.raises(ValueError, match="key must be a note name, alone or with major or min"):
            parse_key(text)
    assert parse_formats("mid") == ("mid",)
    assert parse_formats(" MP3, mid,mp3 ,") == ("mp3", "mid")
    for text in ("", ",", "ogg", "mid,xyz"):
        with pytest.raises(ValueError, match=f"format must be of mid, wav, .*, got '{text}'"):
            parse_formats(text)


# settings files


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings_file(text)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 1000 and told.isprintable()
    return told


@pytest.mark.parametrize("asked", EXAMPLES)
def test_settings_survive_their_file(asked: Request) -> None:
    for numbers in ((0, 0, None), (MAX_SEED, MAX_SEED, "é" * 4000)):
        settings = ClipSpec(asked, *numbers)
        again = parse_settings_file(settings.to_json())
        assert again == settings and again.to_json() == settings.to_json()


def test_what_is_not_said_is_neither_written_nor_needed_and_examples_say_all() -> None:
    free = Request(None)
    for own in fields(Request):
        assert any(getattr(e, own.name) != getattr(free, own.name) for e in EXAMPLES), own.name
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
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"kept_bars": 4}, r"kept_bars must be in \[1, 3\], got 4"),
        ({"key": "D minor"}, "tonic must be a note name such as C, F# or Bb, got 'D minor'"),
        ({"key": 3}, "a value is of the wrong kind"),
        ({"checkpoint": "x" * 5000}, "checkpoint must be at most 4000 characters"),
        ({"emotion": "joy"}, "a value is of the wrong kind"),
        ({"emotion": {}}, "a value is of the wrong kind"),
        ({"emotion": {"valence": 2, "arousal": 0}}, r"valence must be in \[-1, 1\], got 2"),
        ({"emotion": {"valence": 0, "arousal": "low"}}, "arousal must be a number, got 'low'"),
        ({"emotion": {**POINT, "name": 3}}, "a value is of the wrong kind"),
        ({"emotion": {**POINT, "name": " "}}, "name must be None, or a text that is not blank"),
        ({"emotion": {**POINT, "name": "x" * 4001}}, "a name is at most 4000"),
        ({"curve": []}, "a curve must have 1 to 64 points, got 0"),
        ({"curve": {"bar": 0}}, "a value is of the wrong kind"),
        ({"curve": [{"bar": 600, **POINT}]}, r"bar must be in \[0, 512\]"),
        ({"curve": [{"bar": 1, **POINT}] * 2}, "bars of a curve must rise"),
        ({"curve": [{"bar": 0, **POINT}], "bar_by_bar": {"register": [60] * 3}}, "a curve needs"),
        ({"bar_by_bar": {"register": 60}}, "register must be a list of values, one for each bar"),
        ({"bar_by_bar": {"a\n\nb": [1, 2, 3]}}, "a b cannot be asked for bar by bar"),
        ({"bar_by_bar": {"register": ["a", "b", "c"]}}, "register must be a number"),
        (midi("%%%"), "base64|Only"),
        (midi(""), "the file is empty"),
        (midi(base64.b64encode(b"RIFF").decode()), "not a MIDI file"),
        (midi(base64.b64encode(b"MThd").decode()), "damaged MIDI file"),
        (midi(None), "a value is of the wrong kind"),
        (midi(MUSIC, "copy"), "to continue, vary, infill"),
        ({"given": "MThd"}, "a value is of the wrong kind"),
    ],
)
def test_settings_that_are_amiss_are_named(changes: dict[str, Any], words: str) -> None:
    told = refused(changed(**changes))
    assert told.startswith("these settings cannot be used: ") and re.search(words, told), told


def test_what_is_no_settings_file_has_strange_numbers_or_is_huge_is_refused() -> None:
    for text in ("", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"a":' * 50_000, "\x00", "MThd",
                 "\ufeff{}", '{"seed": 1}', "9" * 5000):  # fmt: skip
        refused(text)
    for number in ("NaN", "Infinity", "-Infinity"):
        text = changed(tempo="here").replace('"here"', number)
        assert f"numbers must be finite, got {number}" in refused(text)
    refused(changed(tempo="here").replace('"here"', "1e999"))
    assert "at most 16 MiB long" in refused(" " * (MAX_CHARACTERS + 1))
    keys = refused(changed(**{"x" * 500: 1})).split("known: ")[1].split(", ")
    assert keys == sorted(keys) and {"seed", "emotion", "curve", "take"} <= set(keys)
