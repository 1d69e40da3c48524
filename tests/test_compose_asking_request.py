from __future__ import annotations

from typing import Any

import pytest

from emomusic.compose.asking.request import (
    Request,
    make_emotion,
    parse_formats,
    parse_key,
    parse_settings,
)
from emomusic.emotion import Emotion
from emomusic.music.attributes import BAR_ATTRIBUTE_NAMES, attribute

JOY = Emotion(0.8, 0.6)


def test_all_but_the_emotion_may_be_left_free() -> None:
    request = Request(JOY)
    assert request.n_bars is request.seconds is request.tempo is request.tonic is None
    assert request.best_of == 1 and request.fixed == {} == request.per_bar
    assert request.steering


def test_the_emotion_may_be_left_free_too() -> None:
    assert Request(None).emotion is None
    request = Request(None, n_bars=2, fixed={"register": 60}, per_bar={"polyphony": (1, 2.5)})
    assert request.fixed == {"register": 60} and request.per_bar == {"polyphony": (1, 2.5)}


def test_the_best_cannot_be_found_without_an_emotion() -> None:
    with pytest.raises(ValueError, match="best_of needs an emotion by which the best is found"):
        Request(None, best_of=2)
    assert Request(None, best_of=1).best_of == 1


@pytest.mark.parametrize("name", BAR_ATTRIBUTE_NAMES)
def test_bars_may_be_asked_for_what_bars_have(name: str) -> None:
    low, high = attribute(name).low, attribute(name).high
    for emotion in (JOY, None):
        request = Request(emotion, n_bars=3, per_bar={name: [low, high, (low + high) / 2]})
        assert request.per_bar[name][1] == high


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"tempo": [100.0] * 3},
            "tempo cannot be asked for bar by bar, only note_density, onset_density, polyphony, "
            "velocity_mean, register, articulation, chord_mode$",
        ),
        ({"loudness": [1.0] * 3}, "loudness cannot be asked for bar by bar, only note_density"),
        (
            {"register": [60.0] * 2},
            "register needs a value for each of the bars asked for, got 2 for 3",
        ),
        ({"register": []}, "register needs a value for each of the bars asked for, got 0 for 3"),
        ({"register": [60.0, 60.0, 500.0]}, r"register must be in \[10, 115\] MIDI pitch, got 500"),
        ({"polyphony": [1.0, float("nan"), 1.0]}, "polyphony must be in .* notes, got nan"),
        (
            {"polyphony": [1.0] * 3, "chord_mode": [0.0, float("-inf"), 0.0]},
            "chord_mode must be in .* got -inf",
        ),
    ],
)
def test_bars_that_are_asked_for_amiss_are_named(values: dict[str, Any], words: str) -> None:
    for emotion in (JOY, None):
        with pytest.raises(ValueError, match=words):
            Request(emotion, n_bars=3, per_bar=values)


@pytest.mark.parametrize("length", [{}, {"seconds": 8.0}])
def test_asking_bar_by_bar_needs_a_number_of_bars(length: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="register needs a value for each of the bars asked for"):
        Request(JOY, per_bar={"register": [60.0] * 16}, **length)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_bars": 0}, r"bars must be in \[1, 512\], got 0"),
        ({"n_bars": 513}, r"bars must be in \[1, 512\], got 513"),
        ({"n_bars": 2.5}, "bars must be a whole number, got 2.5"),
        ({"seconds": 0.4}, r"seconds must be in \[0.5, 1800\], got 0.4"),
        ({"seconds": float("nan")}, r"seconds must be in \[0.5, 1800\], got nan"),
        ({"n_bars": 4, "seconds": 10}, "give bars or seconds, not both"),
        ({"tempo": 19}, r"tempo must be in \[20, 300\], got 19"),
        ({"tempo": float("inf")}, r"tempo must be in \[20, 300\], got inf"),
        ({"tonic": 12}, r"tonic must be in \[0, 11\], got 12"),
        ({"best_of": 0}, r"best_of must be in \[1, 64\], got 0"),
        ({"best_of": 65}, r"best_of must be in \[1, 64\], got 65"),
        ({"diversity": 1.5}, r"diversity must be in \[0, 1\], got 1.5"),
        ({"beats_per_bar": 5}, "beats_per_bar must be one of 2, 3, 4, got 5"),
        ({"temperature": 0}, r"temperature must be in \(0, 5\], got 0"),
        ({"guidance": 0.5}, r"guidance must be in \[1, 5\], got 0.5"),
        ({"guided_bars": 513}, r"guided_bars must be in \[0, 512\], got 513"),
        ({"guided_bars": 1.5}, "guided_bars must be a whole number, got 1.5"),
        ({"best_of": float("inf")}, "best_of must be a whole number, got inf"),
        ({"top_p": 1.2}, r"top_p must be in \(0, 1\], got 1.2"),
        ({"fixed": {"loudness": 3}}, "unknown attribute 'loudness'; known are tempo, note_density"),
        ({"fixed": {"register": 500}}, r"register must be in \[10, 115\] MIDI pitch, got 500"),
        ({"fixed": {"mode": float("nan")}}, "mode must be in .* got nan"),
        ({"fixed": {"tempo": 100}, "tempo": 90}, "give the tempo once, not also as an attribute"),
        ({"fixed": {"tempo": 10}}, r"tempo must be in \[20, 300\], got 10"),
    ],
)
def test_what_is_out_of_range_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Request(JOY, **values)


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
    "text", ["", "m", "H", "C dur", "C major minor", "minor", "C##", "3", "Cx"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key must be a note name, alone or with major or minor"):
        parse_key(text)


def test_an_emotion_is_named_or_placed() -> None:
    assert make_emotion("q2", None, None) == Emotion(-0.6, 0.6, "Q2")
    assert make_emotion(None, 0.0, -0.5) == Emotion(0.0, -0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((None, None, None), "say what to feel: --emotion NAME, or --valence V and --arousal A"),
        ((None, 0.5, None), "say what to feel"),
        ((None, None, 0.5), "say what to feel"),
        (("joy", 0.0, None), "give one of --emotion, --valence with"),
        (("joi", None, None), "unknown emotion 'joi', nearest are: .*joy"),
        ((None, 1.5, 0.0), r"valence must be in \[-1, 1\], got 1.5"),
        ((None, 0.0, float("nan")), r"arousal must be in \[-1, 1\], got nan"),
    ],
)
def test_an_emotion_that_is_not_clear_is_refused(values: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_emotion(*values)


def test_no_emotion_is_made_where_none_is_wanted() -> None:
    assert make_emotion(None, None, None, free=True) is None


@pytest.mark.parametrize(
    "values", [("joy", None, None), (None, 0.5, None), (None, None, 0.0), (None, 0.0, 0.0)]
)
def test_an_emotion_and_none_cannot_be_had_at_once(values: Any) -> None:
    with pytest.raises(ValueError, match="give one of --emotion"):
        make_emotion(*values, free=True)


def test_settings_are_understood() -> None:
    assert parse_settings([]) == {}
    assert parse_settings(["note-density=2", " mode = -0.5"]) == {"note_density": 2, "mode": -0.5}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["tempo"], "--set takes ATTRIBUTE=VALUE with a number, got 'tempo'"),
        (["tempo=fast"], "--set takes ATTRIBUTE=VALUE with a number, got 'tempo=fast'"),
        (["tempo="], "--set takes ATTRIBUTE=VALUE"),
        (["mode=1", "mode=0"], "--set gives mode twice"),
    ],
)
def test_settings_of_another_form_are_refused(settings: list[str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_settings(settings)


def test_formats_are_understood() -> None:
    assert parse_formats("mid") == ("mid",)
    assert parse_formats(" MP3, mid,mp3 ,") == ("mp3", "mid")


@pytest.mark.parametrize("text", ["", ",", "ogg", "mid,xyz"])
def test_unknown_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"format must be of mid, wav, .*, got '{text}'"):
        parse_formats(text)
