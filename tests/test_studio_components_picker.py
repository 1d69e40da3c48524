from __future__ import annotations

import math
from typing import Any

import gradio as gr
import pytest
from gradio_client.utils import json_schema_to_python_type

from emomusic.emotion import Emotion, emotion_names, find_emotion, mix, parse_curve
from emomusic.emotion.names import aliases
from emomusic.studio.components.assets import asset
from emomusic.studio.components.picker import (
    MAX_POINTS,
    SCRIPTS,
    EmotionPicker,
    Feeling,
    curved_feeling,
    feeling_of,
    mixed_feeling,
    name_rows,
    point_feeling,
    value_of,
)

HOPE, GRIEF = find_emotion("hope"), find_emotion("grief")
HERE = {"valence": 0.2, "arousal": -0.4, "name": None}


@pytest.fixture(scope="module")
def picker() -> EmotionPicker:
    return EmotionPicker(render=False)


def test_a_point_comes_back_as_its_emotion(picker: EmotionPicker) -> None:
    told = picker.preprocess({"mode": "point", "point": {**HERE, "name": "nostalgia"}})
    assert told == Feeling("point", find_emotion("nostalgia"))
    assert picker.preprocess({"mode": "point", "point": HERE}).emotion == Emotion(0.2, -0.4)


def test_a_name_that_lies_elsewhere_is_dropped(picker: EmotionPicker) -> None:
    told = picker.preprocess({"mode": "point", "point": {**HERE, "name": "joy"}})
    assert told.emotion == Emotion(0.2, -0.4)


def test_a_mixture_comes_back_mixed_with_its_parts(picker: EmotionPicker) -> None:
    rows = [{"name": "hope", "weight": 0.75}, {"name": "grief", "weight": 0.25}]
    told = picker.preprocess({"mode": "mix", "mix": rows})
    assert told.emotion == mix([(HOPE, 0.75), (GRIEF, 0.25)])
    assert told.parts == ((HOPE, 0.75), (GRIEF, 0.25)) and told.curve is None


def test_a_curve_comes_back_point_by_point(picker: EmotionPicker) -> None:
    points = [{"bar": 0, **HERE}, {"bar": 8.5, "valence": 0.6, "arousal": 0.28, "name": "hope"}]
    told = picker.preprocess({"mode": "curve", "curve": points})
    assert told.emotion is None and told.curve is not None
    assert [(p.bar, p.emotion) for p in told.curve.points] == [
        (0.0, Emotion(0.2, -0.4)),
        (8.5, HOPE),
    ]


def test_what_belongs_to_another_mode_is_not_looked_at(picker: EmotionPicker) -> None:
    told = picker.preprocess({"mode": "point", "point": HERE, "mix": "no", "curve": [None]})
    assert told.mode == "point"


@pytest.mark.parametrize(
    "feeling",
    [
        point_feeling(HOPE),
        point_feeling(Emotion(-0.31, 0.05)),
        mixed_feeling([(HOPE, 0.7), (GRIEF, 0.3)]),
        mixed_feeling([(HOPE, 0.7)]),
        curved_feeling(parse_curve("0:calm 8:tension 12:-0.10,0.20 16:relief")),
    ],
)
def test_a_feeling_survives_the_way_to_the_browser_and_back(feeling: Feeling) -> None:
    assert feeling_of(value_of(feeling)) == feeling


def test_weights_beyond_one_are_scaled_for_the_browser() -> None:
    feeling = mixed_feeling([(HOPE, 3.0), (GRIEF, 1.0)])
    sent = value_of(feeling)["mix"]
    assert sent[0] == {"name": "hope", "weight": 1.0}
    assert sent[1]["weight"] == pytest.approx(1 / 3)


def test_python_may_set_an_emotion_a_curve_or_nothing(picker: EmotionPicker) -> None:
    curve = parse_curve("0:calm 16:relief")
    assert picker.postprocess(HOPE) == value_of(point_feeling(HOPE))
    assert picker.postprocess(curve) == value_of(curved_feeling(curve))
    assert picker.postprocess(None)["point"]["name"] == "hope"


def test_only_known_names_at_their_own_place_reach_the_browser(picker: EmotionPicker) -> None:
    for name in ("<img src=x>", "joy", "Q1"):
        assert picker.postprocess(Emotion(0.6, 0.28, name))["point"]["name"] is None


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        [],
        7,
        {},
        {"mode": "dance"},
        {"mode": ["point"]},
        {"mode": "point"},
        {"mode": "point", "point": [0.1, 0.2]},
        {"mode": "point", "point": {"valence": 0.1}},
        {"mode": "point", "point": {**HERE, "valence": "0.1"}},
        {"mode": "point", "point": {**HERE, "valence": True}},
        {"mode": "point", "point": {**HERE, "valence": math.nan}},
        {"mode": "point", "point": {**HERE, "arousal": math.inf}},
        {"mode": "point", "point": {**HERE, "arousal": 1.01}},
        {"mode": "point", "point": {**HERE, "arousal": 10**400}},
        {"mode": "point", "point": {**HERE, "name": 3}},
        {"mode": "point", "point": {**HERE, "name": "x" * 1_000_000}},
        {"mode": "mix", "mix": []},
        {"mode": "mix", "mix": {"name": "hope", "weight": 1}},
        {"mode": "mix", "mix": [{"name": "hope", "weight": 1}] * 4},
        {"mode": "mix", "mix": ["hope"]},
        {"mode": "mix", "mix": [{"name": "<script>", "weight": 1}]},
        {"mode": "mix", "mix": [{"name": None, "weight": 1}]},
        {"mode": "mix", "mix": [{"name": "hope"}]},
        {"mode": "mix", "mix": [{"name": "hope", "weight": 0}]},
        {"mode": "mix", "mix": [{"name": "hope", "weight": math.nan}]},
        {"mode": "mix", "mix": [{"name": "hope", "weight": 10**400}]},
        {"mode": "curve", "curve": []},
        {"mode": "curve", "curve": [HERE]},
        {"mode": "curve", "curve": [{"bar": "0", **HERE}]},
        {"mode": "curve", "curve": [{"bar": math.nan, **HERE}]},
        {"mode": "curve", "curve": [{"bar": -1, **HERE}]},
        {"mode": "curve", "curve": [{"bar": 513, **HERE}]},
        {"mode": "curve", "curve": [{"bar": 4, **HERE}, {"bar": 4, **HERE}]},
        {"mode": "curve", "curve": [{"bar": b / 10, **HERE} for b in range(MAX_POINTS + 1)]},
    ],
)
def test_what_is_out_of_shape_is_refused_with_a_sentence(
    picker: EmotionPicker, payload: Any
) -> None:
    with pytest.raises(gr.Error) as refused:
        picker.preprocess(payload)
    sentence = str(refused.value.message)
    assert 10 < len(sentence) < 250 and "\n" not in sentence and "Traceback" not in sentence


@pytest.mark.parametrize(
    "made",
    [
        {"mode": "point"},
        {"mode": "walk", "emotion": HOPE},
        {"mode": "curve", "emotion": HOPE},
        {"mode": "mix", "emotion": HOPE},
    ],
)
def test_a_feeling_without_what_its_mode_needs_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mode"):
        Feeling(**made)


def test_a_mixture_takes_one_to_three_emotions() -> None:
    for parts in ([], [(HOPE, 1.0)] * 4):
        with pytest.raises(ValueError, match="1 to 3 emotions"):
            mixed_feeling(parts)


def test_all_names_reach_the_browser_and_the_printed_ones_come_first(
    picker: EmotionPicker,
) -> None:
    names = [row["name"] for row in name_rows()]
    assert sorted(map(str, names)) == list(emotion_names())
    assert names[:2] == ["joy", "calm"]
    props = picker.get_config()["props"]
    assert props["names"] == name_rows() and props["aliases"] == aliases()
    assert props["n_bars"] == 16


def test_the_client_can_read_the_schema(picker: EmotionPicker) -> None:
    assert "mode" in json_schema_to_python_type(picker.api_info())
    assert picker.preprocess(picker.example_payload()).emotion == picker.example_value()


@pytest.mark.parametrize("name", ["picker.html", "picker.css"])
def test_no_value_is_written_into_markup_or_style(name: str) -> None:
    assert not any(mark in asset(name) for mark in ("${", "`", "{{", "\\"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_write_text_as_text(name: str) -> None:
    for mark in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http://", "https://"):
        assert mark not in asset(name).replace("http://www.w3.org/2000/svg", "")
