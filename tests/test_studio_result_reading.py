from __future__ import annotations

from typing import Any

import pytest
from studio_result_cases import card, verdict, window

from emomusic.emotion import Emotion, emotion_names
from emomusic.studio.result.reading import Asked, asked_of, heard_of, near, run_of

CURVE = [
    {"bar": 0, "valence": 0.5, "arousal": 0.0},
    {"bar": 8, "valence": -0.5, "arousal": 1.0},
]


def test_a_card_tells_what_was_asked() -> None:
    assert asked_of(card()) == Asked(Emotion(-0.59, -0.81, "sadness"))
    assert asked_of(card(emotion=None, valence=None, arousal=None)) is None
    assert asked_of({"verdict": verdict()}) is None


def test_the_nearest_names_are_those_of_the_emotions() -> None:
    first, second = near(Emotion(-0.59, -0.81)).split(", ")
    assert first == "sadness" and second in emotion_names()


def test_a_verdict_is_read_whole() -> None:
    heard = heard_of(card())
    assert (heard.quadrant, heard.word, heard.spread) == ("Q3", "sad", (0.23, 0.18))
    assert heard_of(card(explanation=None)).word == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valence": 1.5}, "valence must be in"),
        ({"quadrant": "Q5"}, "quadrant must be Q1 to Q4, got 'Q5'"),
        ({"probabilities": {"Q1": 1.0}}, "probability of Q2 must be a finite number"),
        ({"arousal_sd": float("nan")}, "arousal_sd must be a finite number"),
        ({"trust": "high"}, "trust must be a finite number, got 'high'"),
    ],
)
def test_a_wrong_verdict_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        heard_of({"verdict": verdict(**changes)})


def test_windows_lie_between_the_bars_they_name() -> None:
    run = run_of(card())
    assert [(s.start, s.end, s.middle) for s in run.stretches] == [(0, 4, 2), (4, 8, 6)]
    assert run.in_bars and run.end == 8


def test_windows_without_bars_lie_in_seconds() -> None:
    windows = [{**window(1, 4, "Q2", 0, 0), "bars": None}]
    run = run_of({"course": {"windows": windows}})
    assert not run.in_bars and (run.stretches[0].start, run.end) == (0.0, 8.0)


def test_no_course_is_no_windows() -> None:
    assert run_of({}).stretches == () and run_of({}).end == 0.0


def test_a_curve_runs_straight_between_its_corners() -> None:
    asked = asked_of(card(), CURVE)
    assert asked is not None and asked.corners(4.0, 12.0) == [4.0, 8.0, 12.0]
    assert [asked.at(bar).valence for bar in (0, 4, 99)] == [0.5, 0.0, -0.5]


def test_the_curve_of_a_card_is_read_from_its_text() -> None:
    asked = asked_of(card(curve="0:calm 8:sad"))
    assert asked is not None and asked.curve is not None
    assert [point.emotion.name for point in asked.curve.points] == ["calm", "sad"]


def test_a_curve_begins_after_the_bars_that_were_given() -> None:
    asked = asked_of(card(given_bars=4), CURVE)
    assert asked is not None
    assert asked.at(4.0).valence == 0.5 and asked.corners(4.0, 16.0) == [4.0, 12.0, 16.0]


def test_a_wrong_point_of_a_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="bar must be a finite number"):
        asked_of(card(), [{"valence": 0, "arousal": 0}])
    with pytest.raises(ValueError, match="bars of a curve must rise"):
        asked_of(card(), CURVE[::-1])
