from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from helpers.composing import curve_of, given, tune
from hypothesis import HealthCheck, example, strategies
from hypothesis import given as drawn
from hypothesis import settings as limits

import emomusic
from emomusic.compose.parse import (
    MAX_CHARACTERS,
    MAX_SEED,
    ClipSpec,
    SettingsError,
    parse_settings_file,
)
from emomusic.compose.primer import USES
from emomusic.compose.request import MAX_TAKE, VARY, Request
from emomusic.emotion import CurvePoint, Emotion, EmotionCurve, find_emotion
from emomusic.music.attributes import ATTRIBUTES, BAR_ATTRIBUTE_NAMES, attribute
from emomusic.music.score import dump_score
from emomusic.music.tokenizer import BEATS_PER_BAR

JOY = Emotion(0.8, 0.6, "joy")
EVERYTHING = Request(
    find_emotion("nostalgia"),
    given=given(tune(2), VARY),
    n_bars=3,
    tempo=93.25,
    tonic=6,
    is_major=False,
    beats_per_bar=3,
    fixed={"mode": -0.25, "register": 61.0},
    per_bar={"register": (50.0, 61.5, 70.0), "polyphony": (1.0, 2.0, 3.0)},
    temperature=0.75,
    top_p=0.5,
    guidance=2.5,
    guided_bars=0,
    steering=False,
    best_of=3,
    diversity=0.0,
    take=7,
    n_kept=2,
)
CURVED = Request(JOY, curve=curve_of((0, 0.1, -0.2), (3.5, -1, 1)), seconds=12.5)


def again(settings: ClipSpec) -> ClipSpec:
    return parse_settings_file(settings.to_json())


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings_file(text)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 1000 and told.isprintable()
    return told


# round trips

values = strategies.floats(-1, 1)
emotions = strategies.builds(
    Emotion,
    values,
    values,
    strategies.none() | strategies.text(min_size=1, max_size=20).filter(lambda n: bool(n.strip())),
)
curves = strategies.lists(strategies.floats(0, 512), min_size=1, max_size=5, unique=True).flatmap(
    lambda bars: strategies.lists(emotions, min_size=len(bars), max_size=len(bars)).map(
        lambda found: EmotionCurve(tuple(map(CurvePoint, sorted(bars), found)))
    )
)
MUSIC = [given(tune(2, beats=beats), use) for beats in (3, 4) for use in USES]


@strategies.composite
def requests(draw: Any) -> Request:
    """Draw a request with any of its parts."""

    def some(strategy: Any) -> Any:
        return draw(strategies.none() | strategy)

    def within(low: float, high: float) -> Any:
        return strategies.floats(low, high)

    n_bars = some(strategies.integers(1, 512))
    named = strategies.sampled_from([a.name for a in ATTRIBUTES if a.name != "tempo"])
    fixed = {n: draw(within(attribute(n).low, attribute(n).high)) for n in draw(strategies.sets(
        named, max_size=3))}  # fmt: skip
    emotion = some(emotions)
    curve = None if emotion is None else some(curves)
    per_bar = {}
    if curve is None and n_bars is not None and n_bars < 9:
        for name in draw(strategies.sets(strategies.sampled_from(BAR_ATTRIBUTE_NAMES), max_size=2)):
            span = within(attribute(name).low, attribute(name).high)
            per_bar[name] = tuple(draw(strategies.lists(span, min_size=n_bars, max_size=n_bars)))
    return Request(
        emotion,
        curve=curve,
        given=some(strategies.sampled_from(MUSIC)),
        n_bars=n_bars,
        seconds=None if n_bars else some(within(0.5, 1800)),
        tempo=some(within(20, 300)),
        tonic=some(strategies.integers(0, 11)),
        is_major=some(strategies.booleans()),
        beats_per_bar=draw(strategies.sampled_from(BEATS_PER_BAR)),
        fixed=fixed,
        per_bar=per_bar,
        temperature=draw(within(0.01, 5)),
        top_p=draw(within(0.01, 1)),
        guidance=draw(within(1, 5)),
        guided_bars=draw(strategies.integers(0, 512)),
        steering=draw(strategies.booleans()),
        best_of=1 if emotion is None else draw(strategies.integers(1, 64)),
        diversity=draw(within(0, 1)),
        take=draw(strategies.integers(0, MAX_TAKE)),
        n_kept=some(strategies.integers(1, n_bars or 512)),
    )


@limits(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@drawn(requests(), strategies.integers(0, MAX_SEED), strategies.integers(0, MAX_SEED),
       strategies.none() | strategies.text(max_size=9))  # fmt: skip
@example(EVERYTHING, MAX_SEED, MAX_SEED, "name")
@example(CURVED, 0, 0, None)
def test_settings_survive_their_file(
    request: Request, seed: int, index: int, checkpoint: str | None
) -> None:
    settings = ClipSpec(request, seed, index, checkpoint)
    assert again(settings) == settings
    assert again(settings).to_json() == settings.to_json()


def test_what_is_not_said_is_not_written() -> None:
    told = ClipSpec(Request(JOY), 3).to_dict()
    assert told["emotion"] == {"valence": 0.8, "arousal": 0.6, "name": "joy"}
    assert (told["seed"], told["version"]) == (3, emomusic.__version__)
    assert not {"curve", "given", "bars", "key", "set", "checkpoint", "seconds"} & set(told)


def test_a_file_may_say_little() -> None:
    little = {"format": "emomusic settings 1", "seed": 4}
    assert parse_settings_file(json.dumps(little)) == ClipSpec(Request(None), 4)
    nulls = dict.fromkeys(("best_of", "take", "guided_bars", "temperature", "seconds", "curve"))
    assert parse_settings_file(json.dumps(little | nulls)) == ClipSpec(Request(None), 4)
    assert parse_settings_file(json.dumps(little | {"key": "f#"})).request.tonic == 6


# what is refused


def changed(**changes: Any) -> str:
    return json.dumps(ClipSpec(Request(JOY, n_bars=3), 1).to_dict() | changes)


def midi(data: Any, use: Any = "vary") -> dict[str, Any]:
    return {"given": {"midi": data, "use": use}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "red"}, "unknown are colour; known: arousal|unknown are colour; known: "),
        ({"format": "emomusic settings 2"}, "do not say that they are emomusic settings 1"),
        ({"format": None}, "do not say that they are"),
        ({"format": ["emomusic settings 1"]}, "do not say that they are"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"kept_bars": 4}, r"kept_bars must be in \[1, 3\], got 4"),
        ({"seconds": 9.0}, "give bars or seconds, not both"),
        ({"emotion": None, "best_of": 2}, "best_of needs an emotion"),
        ({"mode": ["major"]}, "mode must be one of major, minor, got"),
        ({"key": "H"}, "tonic must be a note name"),
        ({"key": "D minor"}, "tonic must be a note name such as C, F# or Bb, got 'D minor'"),
        ({"key": 3}, "a value is of the wrong kind"),
        ({"checkpoint": {"name": 1}}, "checkpoint must be a text"),
        ({"checkpoint": "x" * 5000}, "checkpoint must be at most 4000 characters"),
        ({"emotion": "joy"}, "a value is of the wrong kind"),
        ({"emotion": {}}, "a value is of the wrong kind"),
        ({"emotion": {"valence": 2, "arousal": 0}}, r"valence must be in \[-1, 1\], got 2"),
        ({"emotion": {"valence": 0, "arousal": "low"}}, "arousal must be a number, got 'low'"),
        ({"emotion": {"valence": 0, "arousal": 0, "name": 3}}, "a value is of the wrong kind"),
        ({"emotion": {"valence": 0, "arousal": 0, "name": " "}}, "name must be None or not blank"),
        ({"emotion": {"valence": 0, "arousal": 0, "name": "x" * 4001}}, "a name is at most 4000"),
        ({"curve": []}, "a curve must have 1 to 64 points, got 0"),
        ({"curve": 3}, "a value is of the wrong kind"),
        ({"curve": {"bar": 0}}, "a value is of the wrong kind"),
        ({"curve": [{"bar": 0}]}, "a value is of the wrong kind"),
        ({"curve": [{"bar": 600, "valence": 0, "arousal": 0}]}, r"bar must be in \[0, 512\]"),
        ({"curve": [{"bar": 1, "valence": 0, "arousal": 0}] * 2}, "bars of a curve must rise"),
        ({"curve": [{"bar": i, "valence": 0, "arousal": 0} for i in range(65)]}, "1 to 64 points"),
        ({"set": ["mode"]}, "set must be attributes with their values"),
        ({"set": {"mode": None}}, "mode must be a number, got None"),
        ({"set": {"tempo": 90}, "tempo": 90}, "give the tempo once"),
        ({"bar_by_bar": {"register": [60]}}, "register needs a value for each of the bars"),
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
        (midi(3), "a value is of the wrong kind"),
        (midi(None), "a value is of the wrong kind"),
        (midi(base64.b64encode(dump_score(tune(1))).decode(), "copy"), "to continue or to vary"),
        (midi(base64.b64encode(dump_score(tune(1))).decode(), []), "to continue or to vary"),
        ({"given": "MThd"}, "a value is of the wrong kind"),
    ],
)  # fmt: skip
def test_settings_that_are_amiss_are_named(changes: dict[str, Any], words: str) -> None:
    told = refused(changed(**changes))
    assert told.startswith("these settings cannot be used: ") and re.search(words, told), told


@pytest.mark.parametrize(
    "text",
    ["", " ", "{", "[]", "3", "null", '"x"', "{}", "[" * 100_000, '{"a":' * 50_000, "\x00",
     "MThd", "\ufeff{}", '{"seed": 1}', "9" * 5000],
)  # fmt: skip
def test_what_is_no_settings_file_is_refused(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_finite_are_refused(number: str) -> None:
    for name in ("tempo", "seed", "bars", "diversity"):
        text = changed(**{name: "here"}).replace('"here"', number)
        assert f"numbers must be finite, got {number}" in refused(text)
    refused(changed(tempo="here").replace('"here"', "1e999"))


def test_a_huge_text_is_refused() -> None:
    assert "at most 16 MiB long" in refused(" " * (MAX_CHARACTERS + 1))


def test_the_known_keys_are_told() -> None:
    told = refused(changed(**{"x" * 500: 1}))
    keys = told.split("known: ")[1].split(", ")
    assert keys == sorted(keys) and {"seed", "emotion", "curve", "take"} <= set(keys)
