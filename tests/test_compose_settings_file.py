from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.composing import curve_of, given, tune
from hypothesis import HealthCheck, example, strategies
from hypothesis import given as drawn
from hypothesis import settings as limits

import emomusic
from emomusic.compose.composer import Composer
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


@pytest.mark.parametrize(
    "request_",
    [
        Request(JOY, n_bars=3),
        Request(JOY, seconds=7.0, best_of=2, take=3),
        Request(JOY, curve=curve_of((0, -0.6, -0.6), (3, 0.6, 0.6)), n_bars=3),
        Request(JOY, curve=curve_of((0, -0.6, -0.6), (3, 0.6, 0.6)), seconds=11.0, beats_per_bar=3),
        Request(None, n_bars=2, fixed={"register": 70.0}, tonic=3),
        Request(None, n_bars=2, per_bar={"register": (50.0, 70.0)}),
        Request(None, given=given(tune(3)), n_bars=2),
        Request(JOY, given=given(tune(3, beats=3, tonic=4, tempo=93.37), VARY)),
        Request(JOY, given=given(tune(3), VARY), seconds=9.0),
        Request(JOY, n_bars=5, n_kept=2, best_of=2),
    ],
)
def test_the_settings_of_a_clip_bring_it_back(tiny_checkpoint: Path, request_: Request) -> None:
    composer = Composer(tiny_checkpoint)
    clip = list(composer.compose(request_, seed=8, count=3))[2]
    settings = again(ClipSpec.of(clip))
    assert (settings.seed, settings.index, settings.checkpoint) == (8, 2, "tiny")
    (found,) = composer.compose(settings.request, seed=settings.seed, start=settings.index)
    assert dump_score(found.score) == dump_score(clip.score) and found.card() == clip.card()
    assert ClipSpec.of(found).to_json() == ClipSpec.of(clip).to_json()


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


RUBBISH: list[Any] = [
    None, True, False, -1, 0, 1, 3, 2**63, 10**400, 1e308, -0.5, math.pi, "", "a", "major", "3/4",
    "\ud800", "é\n", [], [[]], [None] * 3, {}, {"a": []}, {"valence": 0, "arousal": 0},
    [{"bar": 1, "valence": 1, "arousal": -1}],
]  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return each container in a value with each key of it."""
    own = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in list(own):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


def mutated(rng: np.random.Generator) -> str:
    """Return the text of settings of which something was put out of order."""
    request = EVERYTHING if rng.random() < 0.5 else CURVED
    content = json.loads(ClipSpec(request, 1, 2, "name").to_json())
    for _ in range(int(rng.integers(1, 4))):
        known = places(content)
        holder, key = known[int(rng.integers(len(known)))]
        does = rng.integers(3)
        if does == 0:
            del holder[key]
        elif does == 1 and isinstance(holder, dict):
            holder[str(rng.choice(["a", "seed", "é", "set", "curve"]))] = holder.pop(key)
        else:
            holder[key] = RUBBISH[int(rng.integers(len(RUBBISH)))]
    text = json.dumps(content)
    if rng.random() < 0.3:
        at = int(rng.integers(len(text)))
        text = text[:at] + str(rng.choice(["", "9", '"', "}", "\\", "NaN"])) + text[at + 1 :]
    return text


def test_whatever_is_put_out_of_order_is_settings_or_refused_in_one_line() -> None:
    rng, n_good = np.random.default_rng(0), 0
    for _ in range(1500):
        text = mutated(rng)
        try:
            settings = parse_settings_file(text)
        except SettingsError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
        else:
            n_good += 1
            assert again(settings) == settings
            request = settings.request
            assert all(type(n) is int for n in (request.best_of, request.take, settings.seed))
    assert 0 < n_good < 750


def test_a_good_file_is_not_refused_for_what_is_far_out() -> None:
    for request in (EVERYTHING, CURVED, Request(None)):
        settings = ClipSpec(request, MAX_SEED, MAX_SEED, "x" * 4000)
        assert again(settings) == settings
