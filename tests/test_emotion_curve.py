import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emomusic.emotion import (
    CurvePoint,
    Emotion,
    EmotionCurve,
    emotion_names,
    find_emotion,
    parse_curve,
)

EXAMPLE = "0:calm 8:tense 16:relief"

axis = st.floats(-1, 1)
emotions = st.builds(Emotion, axis, axis) | st.sampled_from(
    [*emotion_names(), "Q1", "Q2", "Q3", "Q4"]
).map(find_emotion)
curves = st.lists(st.floats(0, 512), min_size=1, max_size=64, unique=True).flatmap(
    lambda bars: st.lists(emotions, min_size=len(bars), max_size=len(bars)).map(
        lambda points: EmotionCurve(tuple(map(CurvePoint, sorted(bars), points)))
    )
)


def test_the_example_is_read_and_written_alike() -> None:
    curve = parse_curve(EXAMPLE)
    assert [point.bar for point in curve.points] == [0, 8, 16]
    assert [point.emotion.name for point in curve.points] == ["calm", "tense", "relief"]
    assert curve.text == EXAMPLE


def test_an_emotion_moves_in_a_straight_line_between_points() -> None:
    curve = EmotionCurve((CurvePoint(2, Emotion(0, -1)), CurvePoint(6, Emotion(1, 1, "up"))))
    assert curve.at(3) == Emotion(0.25, -0.5)
    assert curve.at(5) == Emotion(0.75, 0.5)


def test_a_curve_holds_before_its_first_point_and_after_its_last() -> None:
    curve = EmotionCurve((CurvePoint(2, Emotion(0, -1)), CurvePoint(6, Emotion(1, 1, "up"))))
    assert curve.at(-3) == curve.at(0) == curve.at(2) == Emotion(0, -1)
    assert curve.at(6) == curve.at(600) == Emotion(1, 1, "up")


def test_each_bar_has_the_emotion_of_its_middle() -> None:
    curve = parse_curve("0:-1,0; 4:1,0")
    assert [emotion.valence for emotion in curve.over(4)] == [-0.75, -0.25, 0.25, 0.75]
    assert [emotion.valence for emotion in curve.over(6)][4:] == [1.0, 1.0]
    assert [emotion.valence for emotion in curve.over(1)] == [-0.75]


def test_the_mean_is_over_the_bars_and_named_after_the_curve() -> None:
    mean = parse_curve("0:-1,0 4:1,0.5").mean(8)
    assert (mean.valence, mean.arousal) == pytest.approx((0.5, 0.375))
    assert mean.name == "0:-1.00,0.00 4:1.00,0.50"


@given(curves)
def test_what_is_written_is_read_back(curve: EmotionCurve) -> None:
    again = parse_curve(curve.text)
    assert [point.bar for point in again.points] == [point.bar for point in curve.points]
    for point, other in zip(curve.points, again.points, strict=True):
        assert other.emotion.name == point.emotion.name
        assert other.emotion.valence == pytest.approx(point.emotion.valence, abs=5.1e-5)
        assert other.emotion.arousal == pytest.approx(point.emotion.arousal, abs=5.1e-5)
    assert parse_curve(again.text) == again


@given(curves, st.floats(allow_nan=False, allow_infinity=False))
def test_a_curve_stays_among_its_points(curve: EmotionCurve, bar: float) -> None:
    emotion = curve.at(bar)
    valences = [point.emotion.valence for point in curve.points]
    arousals = [point.emotion.arousal for point in curve.points]
    assert min(valences) <= emotion.valence <= max(valences)
    assert min(arousals) <= emotion.arousal <= max(arousals)


@given(curves, st.integers(1, 512))
def test_every_curve_has_a_mean_over_any_bars(curve: EmotionCurve, n_bars: int) -> None:
    assert len(curve.over(n_bars)) == n_bars
    assert curve.mean(n_bars).name == curve.text


@pytest.mark.parametrize(
    "text",
    [
        "0:joyful-activation 4.5:0.2,-0.3",
        "0:joyful_activation; 4.5:0.2,-0.3;",
        " 0 : Joyful Activation\n 4.50 : 0.2 , -0.3 ",
        "0:joyful activation;4.5:+.2,-.3",
    ],
)
def test_text_may_be_written_in_several_ways(text: str) -> None:
    assert parse_curve(text).text == "0:joyful-activation 4.5:0.20,-0.30"


def test_a_point_is_written_by_name_only_where_the_name_leads_back() -> None:
    points = (
        CurvePoint(0, Emotion(0.1, 0.2, "calm")),
        CurvePoint(1, Emotion(0.1, 0.25, "my own")),
        CurvePoint(2, find_emotion("Q3")),
        CurvePoint(3, Emotion(-0.00001, 0.33333)),
    )
    assert EmotionCurve(points).text == "0:0.10,0.20 1:0.10,0.25 2:Q3 3:0.00,0.3333"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"^a curve must have 1 to 64 points, got none; write BAR:NAME or BAR:VALENCE,AROUSAL"),
        (" ; ", "got none"),
        ("calm", r"^'calm' is not a point of a curve; write BAR:NAME"),
        ("0:calm,8:tense", r"^'0:calm,8:tense' is not a point of a curve"),
        ("0:", "'0:' is not a point of a curve"),
        ("one:calm", r"^bar must be a number in 'one:calm', got 'one'; write BAR:NAME"),
        (":calm", "bar must be a number in ':calm', got ''"),
        ("0:calm 8:0.4,", r"^arousal must be a number in '8:0.4,', got ''"),
        ("0:calm 8:x,0.4", r"^valence must be a number in '8:x,0.4', got 'x'"),
        ("0:1.2,0", r"^valence must be in \[-1, 1\], got 1.2$"),
        ("0:0,nan", r"^arousal must be in \[-1, 1\], got nan$"),
        ("-1:calm", r"^bar must be in \[0, 512\], got -1$"),
        ("513:calm", r"^bar must be in \[0, 512\], got 513$"),
        ("nan:calm", r"^bar must be in \[0, 512\], got nan$"),
        ("8:calm 8:tense", r"^bars of a curve must rise from point to point, got 8 after 8$"),
        ("8:calm 4:tense", "got 4 after 8"),
        (" ".join(f"{bar}:calm" for bar in range(65)), "must have 1 to 64 points, got 65$"),
        ("0:calm " * 600, r"^a curve must have at most 4000 characters, got 4200; write BAR:NAME"),
    ],
)
def test_what_is_no_curve_is_refused_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_curve(text)
    assert "\n" not in str(caught.value)


CALM = find_emotion("calm")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (
            lambda: CurvePoint(True, CALM),
            TypeError,
            r"bar must be a number in \[0, 512\], got True",
        ),
        (lambda: CurvePoint("1", CALM), TypeError, "bar must be a number"),  # type: ignore[arg-type]
        (lambda: CurvePoint(0, "calm"), TypeError, "must be an Emotion, got 'calm'"),  # type: ignore[arg-type]
        (lambda: EmotionCurve(((0, CALM),)), TypeError, "must be CurvePoints, got"),  # type: ignore[arg-type]
        (lambda: EmotionCurve(()), ValueError, "a curve must have 1 to 64 points, got 0"),
        (lambda: parse_curve(EXAMPLE).over(0), ValueError, r"n_bars must be in \[1, 512\], got 0"),
        (lambda: parse_curve(EXAMPLE).over(513), ValueError, r"n_bars must be in .* got 513"),
        (lambda: parse_curve(EXAMPLE).at(math.nan), ValueError, "bar must be finite, got nan"),
        (lambda: parse_curve(EXAMPLE).at(math.inf), ValueError, "bar must be finite, got inf"),
    ],
)
def test_other_values_are_refused(
    make: Callable[[], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()
