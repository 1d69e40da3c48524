"""Requests: what is plain, and what words mean; what is refused is in the table of refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emomusic.compose.fields import parse_attributes
from emomusic.compose.parse import parse_formats, parse_key, spec_from_options
from emomusic.compose.request import Request
from emomusic.emotion import Emotion
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, attribute

JOY = Emotion(0.8, 0.6)


def test_values_become_plain_and_the_emotion_may_be_left_free() -> None:
    request = Request(JOY, n_bars=np.int64(4), tempo=90, top_p=np.float32(0.5), best_of=2.0)  # type: ignore[arg-type]
    assert [type(v) for v in (request.n_bars, request.tempo, request.best_of)] == [int, float, int]
    assert type(request.top_p) is float and request == Request(
        JOY, n_bars=4, tempo=90.0, top_p=0.5, best_of=2
    )
    free = Request(None, n_bars=2, fixed={"register": 60}, per_bar={"polyphony": [1, 2.5]})
    assert free.emotion is None and free.fixed == {"register": 60}
    assert free.per_bar == {"polyphony": (1, 2.5)}


@pytest.mark.parametrize("name", BAR_ATTRIBUTE_NAMES)
def test_bars_may_be_asked_for_what_bars_have(name: str) -> None:
    low, high = attribute(name).low, attribute(name).high
    request = Request(JOY, n_bars=3, per_bar={name: [low, high, (low + high) / 2]})
    assert request.per_bar[name][1] == high


@pytest.mark.parametrize(
    ("length", "values", "words"),
    [
        ({"n_bars": 3}, {"tempo": [100.0] * 3}, "tempo cannot be asked for bar by bar, only note_"),
        ({"n_bars": 3}, {"loudness": [1.0] * 3}, "loudness cannot be asked for bar by bar"),
        ({"n_bars": 3}, {"register": [60.0] * 2}, "for each of the bars asked for, got 2 for 3"),
        ({"n_bars": 3}, {"register": []}, "for each of the bars asked for, got 0 for 3"),
        ({}, {"register": [60.0] * 16}, "register needs a value for each of the bars asked for"),
        ({"seconds": 8.0}, {"register": [60.0] * 16}, "for each of the bars asked for, got 16"),
        ({"n_bars": 3}, {"register": [60.0, 60.0, 500.0]}, r"in \[10, 115\] MIDI pitch, got 500"),
        ({"n_bars": 3}, {"polyphony": [1.0, float("nan"), 1.0]}, "polyphony must be in .* got nan"),
    ],
)
def test_bars_that_are_asked_for_amiss_are_named(
    length: dict[str, Any], values: dict[str, Any], words: str
) -> None:
    for emotion in (JOY, None):
        with pytest.raises(ValueError, match=words):
            Request(emotion, per_bar=values, **length)


def test_the_docstring_lists_every_value_with_its_range() -> None:
    assert Request.__doc__ is not None
    assert "tempo: Quarter notes a minute. In [20, 300]." in Request.__doc__


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


@pytest.mark.parametrize(
    "text", ["", "m", "H", "C dur", "C C", "C major minor", "minor", "C##", "3", "Cx"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key must be a note name, alone or with major or minor"):
        parse_key(text)


def test_an_emotion_is_named_placed_or_free() -> None:
    def asked(**options: Any) -> Emotion | None:
        return spec_from_options(options).request.emotion

    assert asked(emotion="q2") == Emotion(-0.6, 0.6, "Q2")
    assert asked(valence=0.0, arousal=-0.5) == Emotion(0.0, -0.5)
    assert asked(free=True) is None


def test_attributes_and_formats_are_understood() -> None:
    assert parse_attributes([]) == {}
    assert parse_attributes(["note-density=2", " mode = -0.5"]) == {"note_density": 2, "mode": -0.5}
    assert parse_formats("mid") == ("mid",)
    assert parse_formats(" MP3, mid,mp3 ,") == ("mp3", "mid")
    for text in ("", ",", "ogg", "mid,xyz"):
        with pytest.raises(ValueError, match=f"format must be of mid, wav, .*, got '{text}'"):
            parse_formats(text)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["tempo"], "--set takes ATTRIBUTE=VALUE with a number, got 'tempo'"),
        (["tempo=fast"], "--set takes ATTRIBUTE=VALUE with a number, got 'tempo=fast'"),
        (["mode=1", "mode=0"], "--set gives mode twice"),
    ],
)
def test_attributes_of_another_form_are_refused(settings: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_attributes(settings)
