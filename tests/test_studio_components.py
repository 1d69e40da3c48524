"""What the page's own components send to the browser, and what they read back of it."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

import gradio as gr
import pytest

from emomusic.emotion import Emotion, emotion_names, find_emotion, mix, parse_curve
from emomusic.emotion.curve import MAX_POINTS
from emomusic.emotion.space import aliases
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.studio.components import (
    Choice,
    EmotionPicker,
    Faders,
    PianoRoll,
    Variations,
    fader_rows,
)

HOPE = find_emotion("hope")
HERE = {"valence": 0.2, "arousal": -0.4, "name": None}
PLACE = {"valence": 0.6, "arousal": 0.28, "name": "hope"}


def point(**changes: Any) -> dict[str, Any]:
    return {"mode": "point", "point": {**HERE, **changes}}


def mixture(parts: Any) -> dict[str, Any]:
    return {"mode": "mix", "mix": parts}


def chosen(card: Any) -> dict[str, Any]:
    return {"cards": [{}], "selected": card}


def curve(*points: dict[str, Any]) -> dict[str, Any]:
    return {"mode": "curve", "curve": list(points)}


@pytest.fixture(scope="module")
def picker() -> EmotionPicker:
    return EmotionPicker(render=False)


# Read of the browser


def test_a_feeling_is_read_and_comes_back_as_it_was_sent(picker: EmotionPicker) -> None:
    parts = [{"name": "hope", "weight": 0.75}, {"name": "grief", "weight": 1}]
    for payload, felt in (
        (point(), Emotion(0.2, -0.4)),
        (point(name="nostalgia"), find_emotion("nostalgia")),
        (point(name="joy"), Emotion(0.2, -0.4)),  # it lies elsewhere
        ({**point(), "mix": "no", "curve": [None]}, Emotion(0.2, -0.4)),  # of other modes
        (mixture(parts), mix([(HOPE, 0.75), (find_emotion("grief"), 1.0)])),
        (curve({"bar": 0, **HERE}, {"bar": 8.5, **PLACE}), parse_curve("0:0.2,-0.4 8.5:hope")),
    ):
        assert picker.preprocess(payload) == felt
    for feeling in (HOPE, Emotion(-0.31, 0.05), parse_curve("0:calm 8:tension 12:-0.10,0.20")):
        assert picker.preprocess(picker.postprocess(feeling)) == feeling
    for name in ("<img src=x>", "joy", "Q1"):  # known names at their own place only
        assert picker.postprocess(Emotion(0.6, 0.28, name))["point"]["name"] is None


def test_what_is_set_and_what_is_chosen_are_read_and_nothing_of_the_roll() -> None:
    faders, read = Faders(render=False), Variations(render=False).preprocess
    payload = {"set": {"register": 60, "mode": -0.2}, "suggested": {"silence": 0.1}}
    assert faders.preprocess(payload) == {"register": 60.0, "mode": -0.2}
    assert faders.preprocess({"suggested": {"silence": 0.1}}) == {}
    assert faders.postprocess(None) == {"set": {}}
    cards = [{"favourite": kept} for kept in (True, "yes", 1, None, True)]
    assert read({"selected": 1, "cards": cards}) == Choice(1, (0, 4))
    assert read({"selected": None, "cards": cards}) == Choice(0, (0, 4))
    assert read(None) == read({"cards": []}) == Choice()
    for payload in (None, "text", {"until": "/etc/passwd"}, [1, 2]):
        assert PianoRoll(render=False).preprocess(payload) is None


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        *((EmotionPicker, own, "the feeling must be an object") for own in (None, "", [], 7)),
        *((EmotionPicker, {"mode": own}, "mode must be one of") for own in (None, "x", ["point"])),
        (EmotionPicker, {"mode": "point", "point": [0.1, 0.2]}, "a point must be an object"),
        (EmotionPicker, point(valence="0.1"), "valence must be a number"),
        (EmotionPicker, point(arousal=math.nan), "arousal must be in"),
        (EmotionPicker, point(arousal=10**400), "arousal must be a number"),
        (EmotionPicker, point(name=3), "name must be a string, got int"),
        (EmotionPicker, point(name="x" * 1_000_000), "unknown emotion"),
        (EmotionPicker, mixture({}), "a mixture must be a list"),
        (EmotionPicker, mixture([]), "a mixture must have 1 to 3 entries, got 0"),
        (EmotionPicker, mixture([{}] * 4), "a mixture must have 1 to 3 entries"),
        (EmotionPicker, mixture(["hope"]), "must be an object, got str"),
        (EmotionPicker, mixture([{"name": "hope"}]), "weight must be a number"),
        (EmotionPicker, mixture([{"name": "hope", "weight": 0}]), r"weight must be in \(0, 1\]"),
        (EmotionPicker, curve(HERE), "bar must be a number"),
        (EmotionPicker, curve({"bar": 513, **HERE}), r"bar must be in \[0, 512\]"),
        (EmotionPicker, curve(*[{"bar": 4, **HERE}] * 2), "bars of a curve must rise"),
        (EmotionPicker, curve(*[{}] * (MAX_POINTS + 1)), "1 to 64 entries, got 65"),
        *((Faders, own, "the faders must be an object") for own in (None, "", [])),
        (Faders, {"set": "register"}, "what is set must be an object"),
        (Faders, {"set": {"x" * 100_000: 1}}, "there is no fader for 'xxx"),
        (Faders, {"set": {f"name{i}": 1 for i in range(10_000)}}, "at most 22 attributes"),
        (Faders, {"set": {"register": "60"}}, "must be a number"),
        (Faders, {"set": {"register": 1000}}, "register must be in"),
        *((Variations, own, "the variations must be an object") for own in ("text", [1], 7)),
        (Variations, {"cards": "many"}, "the variations must be a list"),
        (Variations, {"cards": [1, 2]}, "must be an object, got int"),
        (Variations, {"cards": [{}] * 100_000}, "0 to 8 entries, got 100000"),
        *((Variations, chosen(own), "must be one of 1") for own in (1, -1)),
        *((Variations, chosen(own), "must be a whole") for own in (True, math.nan, "0", [0])),
    ],
)
def test_what_is_out_of_shape_is_refused_with_a_sentence(
    kind: type[Any], payload: Any, words: str
) -> None:
    with pytest.raises(gr.Error, match=words) as refused:
        kind(render=False).preprocess(payload)
    sentence = str(refused.value.message)
    assert sentence.endswith(".") and len(sentence) < 250 and "\n" not in sentence


# Sent to the browser


def test_all_names_and_faders_reach_the_browser(picker: EmotionPicker) -> None:
    props, rows = picker.get_config()["props"], fader_rows()
    names = [row["name"] for row in props["names"]]
    assert sorted(names) == list(emotion_names())
    assert names[:2] == ["joy", "calm"]  # which are printed, in this order
    assert props["names"][5] == PLACE and props["aliases"] == aliases()
    assert props["n_bars"] == 16 and picker.value == picker.postprocess(HOPE)
    assert sorted(row["name"] for row in rows) == sorted(ATTRIBUTE_NAMES)
    density = next(row for row in rows if row["name"] == "note_density")
    assert density["label"] == "note density" and density["unit"] == "notes a beat"
    assert (density["low"], density["high"]) == (0.5, 10) and density["explanation"]


def test_no_value_becomes_markup_and_nothing_is_loaded() -> None:
    for path in files("emomusic.studio").joinpath("assets").iterdir():
        text = path.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        marks = ["http://", "https://", "url(http", "@import"]
        if path.name.endswith(".js"):
            marks += ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval("]
        else:
            marks += ["${", "`", "{{", "\\"]
        assert not [mark for mark in marks if mark in text], path
