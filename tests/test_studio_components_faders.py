from __future__ import annotations

import math
from typing import Any

import gradio as gr
import pytest
from gradio_client.utils import json_schema_to_python_type

from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.studio.components.assets import asset
from emomusic.studio.components.faders import Faders, FaderValues, attribute_rows


@pytest.fixture(scope="module")
def faders() -> Faders:
    return Faders(suggested={"register": 61.5}, render=False)


def test_each_attribute_has_one_fader() -> None:
    rows = attribute_rows()
    assert sorted(row["name"] for row in rows) == sorted(ATTRIBUTE_NAMES)
    assert len({row["group"] for row in rows}) == 4
    density = next(row for row in rows if row["name"] == "note_density")
    assert density["label"] == "note density" and density["unit"] == "notes a beat"
    assert (density["low"], density["high"]) == (0.5, 10) and density["explanation"]


def test_what_is_set_comes_back(faders: Faders) -> None:
    payload = {"set": {"register": 60, "mode": -0.2}, "suggested": {"silence": 0.1}}
    assert faders.preprocess(payload) == {"register": 60.0, "mode": -0.2}
    assert faders.preprocess({"set": {}, "suggested": {}}) == {}
    assert faders.preprocess({"suggested": {"silence": 0.1}}) == {}


def test_suggestions_alone_leave_what_is_set(faders: Faders) -> None:
    sent = faders.postprocess(FaderValues(suggested={"register": 50, "tempo": 120}))
    assert sent == {"suggested": {"register": 50.0, "tempo": 120.0}}


def test_what_python_sets_leaves_the_suggestions(faders: Faders) -> None:
    assert faders.postprocess({"mode": 0.1}) == {"set": {"mode": 0.1}}
    assert faders.postprocess(FaderValues(fixed={"mode": 0.1})) == {"set": {"mode": 0.1}}
    assert faders.postprocess(None) == {"set": {}}


def test_the_first_value_holds_both_parts(faders: Faders) -> None:
    assert faders.value == {"set": {}, "suggested": {"register": 61.5}}
    given = Faders({"mode": 0.1}, render=False)
    assert given.value == {"set": {"mode": 0.1}, "suggested": {}}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "",
        [],
        {"set": []},
        {"set": "register"},
        {"set": {"loudness": 100}},
        {"set": {"<script>": 1}},
        {"set": {"x" * 100_000: 1}},
        {"set": {f"name{i}": 1 for i in range(10_000)}},
        {"set": {"register": "60"}},
        {"set": {"register": True}},
        {"set": {"register": None}},
        {"set": {"register": [60]}},
        {"set": {"register": math.nan}},
        {"set": {"register": math.inf}},
        {"set": {"register": 10**400}},
        {"set": {"register": 1000}},
    ],
)
def test_what_is_out_of_shape_is_refused_with_a_sentence(faders: Faders, payload: Any) -> None:
    with pytest.raises(gr.Error) as refused:
        faders.preprocess(payload)
    sentence = str(refused.value.message)
    assert 10 < len(sentence) < 250 and "\n" not in sentence and "Traceback" not in sentence


def test_python_cannot_set_what_is_out_of_reason() -> None:
    for fixed in ({"register": 1000.0}, {"colour": 1.0}):
        with pytest.raises(ValueError, match=r"register|colour"):
            FaderValues(fixed=fixed)


def test_the_client_can_read_the_schema(faders: Faders) -> None:
    assert "set" in json_schema_to_python_type(faders.api_info())
    assert faders.preprocess(faders.example_payload()) == faders.example_value()


@pytest.mark.parametrize("name", ["faders.html", "faders.css"])
def test_no_value_is_written_into_markup_or_style(name: str) -> None:
    assert not any(mark in asset(name) for mark in ("${", "`", "{{", "\\"))


def test_the_script_writes_text_as_text() -> None:
    for mark in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "http://", "https://"):
        assert mark not in asset("faders.js")


def test_what_is_on_the_screen_may_be_kept(faders: Faders) -> None:
    sent = faders.postprocess(FaderValues({"mode": 0.1}, {"register": 50}, keep=True))
    assert sent == {"set": {"mode": 0.1}, "suggested": {"register": 50.0}, "keep": True}
    assert faders.preprocess(sent) == {"mode": 0.1}
