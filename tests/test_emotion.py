"""Emotions: the plane, quadrants and names, the script of their table, curves and mixtures."""

import importlib.util
import json
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emomusic.emotion import (
    QUADRANT_CENTRES,
    QUADRANTS,
    CurvePoint,
    Emotion,
    EmotionCurve,
    UnknownEmotionError,
    emotion_families,
    emotion_names,
    find_emotion,
    mix,
    nearest_names,
    parse_curve,
    parse_mix,
    quadrant_of,
)
from emomusic.emotion.space import aliases

ROOT = Path(__file__).parent.parent
ENTRIES = json.loads((ROOT / "emomusic/emotion/emotions.json").read_text())["emotions"]
UNMISTAKABLE = {
    "Q1": "joy happy excited euphoria playful triumphant delighted hope pride power wonder",
    "Q2": "anger rage hatred fear anxiety distress tension frustration disgust terror",
    "Q3": "sadness grief melancholy loneliness boredom gloomy depressed tired longing",
    "Q4": "calm serene peacefulness relaxed tenderness content relief nostalgia dreaminess",
}


def test_quadrant_counts_zero_as_positive_and_centres_lie_well_inside() -> None:
    for valence, arousal, quadrant in (
        (0.5, 0.5, "Q1"), (-0.5, 0.5, "Q2"), (-0.5, -0.5, "Q3"), (0.5, -0.5, "Q4"),
        (0.0, 0.0, "Q1"), (-0.0, -0.0, "Q1"), (-1.0, 0.0, "Q2"), (0.0, -1.0, "Q4"),
    ):  # fmt: skip
        assert quadrant_of(valence, arousal) == quadrant == Emotion(valence, arousal).quadrant
    assert tuple(QUADRANT_CENTRES) == QUADRANTS
    for quadrant, centre in QUADRANT_CENTRES.items():
        assert quadrant_of(*centre) == quadrant
        assert all(abs(value) >= 0.5 for value in centre)


@pytest.mark.parametrize(
    "value",
    [1.2, -1.01, math.nan, -math.inf, "0.5", None, True, np.True_, 1j, [0.5], np.zeros(2),
     np.float32("nan"), np.array(1.5), 10**400, Decimal("0.5")],
)  # fmt: skip
def test_values_outside_the_plane_are_named(value: Any) -> None:
    for axis, make in (
        ("valence", lambda: Emotion(value, 0.0)),
        ("arousal", lambda: Emotion(0.0, value)),
        ("arousal", lambda: quadrant_of(0.0, value)),
    ):
        with pytest.raises(ValueError, match=rf"^{axis} must be .*in \[-1, 1\], got "):
            make()


def test_values_are_plain_floats_and_a_name_is_a_word_or_absent() -> None:
    emotion = Emotion(1, -0.0)
    assert isinstance(emotion.valence, float) and emotion.name is None
    assert math.copysign(1.0, emotion.arousal) == 1.0
    for value in (1, Fraction(1), np.int8(1), np.float32(1), np.array(1), np.array(1.0)):
        made: Any = (Emotion(value, value), CurvePoint(value, CALM), quadrant_of(value, value))
        assert json.dumps([*vars(made[0]).values(), made[1].bar]) == "[1.0, 1.0, null, 1.0]"
        assert mix([(CALM, value), (HOPE, value)]).name == "calm 0.50 + hope 0.50"
    for name in (" ", 3):
        words = rf"^name must be None, or a text that is not blank, got {name!r}$"
        with pytest.raises(ValueError, match=words):
            Emotion(0.0, 0.0, name)  # type: ignore[arg-type]


def test_intensity_is_the_distance_from_the_middle_capped_at_one() -> None:
    points = ((0.0, 0.0), (0.3, -0.4), (-1.0, 1.0))
    assert [Emotion(*point).intensity for point in points] == pytest.approx([0.0, 0.5, 1.0])


def test_the_names_are_102_in_order_and_each_alias_leads_to_one() -> None:
    names = emotion_names()
    assert len(set(names)) == 102 and list(names) == sorted(names)
    assert set(aliases().values()) <= set(names) and not set(names) & aliases().keys()
    assert find_emotion("Scared").name == "afraid"
    for text in ("Joyful-Activation", " JOYFUL_activation "):
        assert find_emotion(text) == find_emotion("joyful activation")
    for text in ("Q2", "q2", " Q2 "):
        assert find_emotion(text) == Emotion(-0.6, 0.6, "Q2")


def test_unmistakable_emotions_lie_in_their_quadrant_and_all_fill_the_circle() -> None:
    for quadrant, names in UNMISTAKABLE.items():
        found = {name: find_emotion(name).quadrant for name in names.split()}
        assert set(found.values()) == {quadrant}, found
    emotions = [find_emotion(name) for name in emotion_names()]
    assert all(math.hypot(e.valence, e.arousal) <= 1.005 for e in emotions)
    assert sum(e.intensity > 0.6 for e in emotions) > len(emotions) / 2
    assert min(sum(e.quadrant == q for e in emotions) for q in QUADRANTS) >= 15


def test_an_unknown_name_is_offered_the_nearest_or_told_what_is_accepted() -> None:
    for text, offered in (
        ("hapiness", "happiness"), ("anxios", "anxious"), ("MELANCHOLIA", "melancholy"),
        ("nostalgc", "nostalgia"), ("melancholly", "melancholy"), ("very sad", "sad"),
        ("really angry!", "angry"), ("sad, lonely", "sad"), ("joyfull and calm", "calm"),
        *((text, "") for text in ("", "q5", "zzzz\nzzzz", "w" * 5000)),
    ):  # fmt: skip
        with pytest.raises(UnknownEmotionError) as caught:
            find_emotion(text)
        message = str(caught.value)
        assert "\n" not in message and len(message) < 200
        if offered:
            words = message.removeprefix(f"unknown emotion {text!r}, nearest are: ").split(", ")
            assert offered in words and all(find_emotion(word) for word in words)
            assert len(set(words)) == len(words) <= 3
        else:
            assert "accepted are Q1 to Q4 and 102 names" in message


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse_mix, "very sad:0.7 hope:0.3"), (parse_mix, "hope very sad"), (parse_mix, "very sad"),
     (parse_mix, "joy:1,very sad"), (parse_curve, "0:very sad 8:joy"),
     (parse_curve, "0:joy 8:very-sad")],
)  # fmt: skip
def test_a_mixture_or_curve_names_all_of_what_is_unknown(parse: Any, text: str) -> None:
    with pytest.raises(UnknownEmotionError, match=r"'very.sad', nearest are: sad$"):
        parse(text)


def test_nearest_names_start_with_the_emotion_itself() -> None:
    for name in emotion_names():
        here = find_emotion(name)
        assert find_emotion(nearest_names(here, 1)[0]).valence == here.valence
    assert nearest_names(find_emotion("calm"), 2) == ("calm", "relaxed")
    assert nearest_names(find_emotion("satisfied"), 2) == ("satisfaction", "satisfied")
    assert len(nearest_names(Emotion(0.0, 0.0), 500)) == 102
    with pytest.raises(ValueError, match=r"^k must be at least 1, got 0$"):
        nearest_names(Emotion(0.0, 0.0), 0)
    families = emotion_families()
    kinds = "adjective ekman-6 gems-9 typology-negative typology-positive"
    assert list(families) == kinds.split()
    assert (len(families["gems-9"]), len(families["ekman-6"])) == (9, 6)
    assert {name for names in families.values() for name in names} == set(emotion_names())


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", ROOT / "scripts/build_emotions.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write_ratings(path: Path, builder: ModuleType) -> None:
    lines = ["emotion,family,valence_1to9,arousal_1to9", "low,a,3,4", "high,a,7,6", "high,b,7,6"]
    path.write_text("\n".join(lines + [f"{name},c,5,5" for name in builder.CORRECTIONS]))


def test_builder_standardises_squashes_and_corrects(tmp_path: Path, builder: ModuleType) -> None:
    _write_ratings(tmp_path / "r.csv", builder)
    assert builder.squash([1.0, 3.0]) == pytest.approx([-math.tanh(0.6), math.tanh(0.6)])
    assert builder.into_circle(3.0, 4.0) == (0.6, 0.8)
    built = builder.build(builder.read_ratings(tmp_path / "r.csv"))
    low, high = built["emotions"]["low"], built["emotions"]["high"]
    assert high["families"] == ["a", "b"] and low["valence"] == -high["valence"] < 0
    assert built["emotions"]["anxiety"]["arousal"] == 0.5
    assert json.loads(builder.dump(built)) == built


def test_the_shipped_table_is_the_builders(builder: ModuleType) -> None:
    columns = ("valence", "arousal", "corrected")
    corrected = {n: tuple(map(e.get, columns)) for n, e in ENTRIES.items() if "corrected" in e}
    assert corrected == builder.CORRECTIONS and "anxiety" in corrected
    for entry in ENTRIES.values():
        assert entry["families"] and entry.keys() <= {*columns, "families"}


def test_builder_refuses_a_bad_table_in_one_line(
    tmp_path: Path, builder: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    out, bad = tmp_path / "out.json", "must be in"
    for row, words in (("joy,a,12,5", bad), ("low,a,4,4", "two rows rate 'low'"), ("joy,a,5", bad)):
        _write_ratings(tmp_path / "r.csv", builder)
        with (tmp_path / "r.csv").open("a") as file:
            file.write("\n" + row)
        assert builder.main(["--ratings", str(tmp_path / "r.csv"), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
        assert not out.exists()


EXAMPLE = "0:calm 8:tense 16:relief"
RISE = EmotionCurve((CurvePoint(2, Emotion(0, -1)), CurvePoint(6, Emotion(1, 1, "up"))))
CALM, HOPE, SAD = (find_emotion(name) for name in ("calm", "hope", "sad"))

axis = st.floats(-1, 1)
emotions = st.builds(Emotion, axis, axis) | st.sampled_from(
    [*emotion_names(), "Q1", "Q2", "Q3", "Q4"]
).map(find_emotion)
curves = st.lists(st.floats(0, 512), min_size=1, max_size=64, unique=True).flatmap(
    lambda bars: st.lists(emotions, min_size=len(bars), max_size=len(bars)).map(
        lambda points: EmotionCurve(tuple(map(CurvePoint, sorted(bars), points)))
    )
)
weights = st.floats(0, 1e308, exclude_min=True)
parts = st.lists(st.tuples(emotions, weights), min_size=1, max_size=8)
quietly = settings(max_examples=60, deadline=None)


def test_an_emotion_moves_in_straight_lines_and_holds_before_and_after() -> None:
    assert (RISE.at(3), RISE.at(5)) == (Emotion(0.25, -0.5), Emotion(0.75, 0.5))
    assert RISE.at(-3) == RISE.at(0) == RISE.at(2) == Emotion(0, -1)
    assert RISE.at(6) == RISE.at(600) == Emotion(1, 1, "up")
    assert (RISE.n_bars, RISE.moves) == (6, True)
    still = parse_curve("0:calm 0.5:calm")
    assert (still.n_bars, still.moves) == (1, False)


def test_each_bar_has_the_emotion_of_its_middle_and_all_have_their_mean() -> None:
    curve = parse_curve("0:-1,0; 4:1,0.5")
    assert [e.valence for e in curve.over(6)] == [-0.75, -0.25, 0.25, 0.75, 1.0, 1.0]
    assert [e.valence for e in curve.over(1)] == [-0.75]
    mean = curve.mean(8)
    assert (mean.valence, mean.arousal) == pytest.approx((0.5, 0.375))
    assert mean.name == "0:-1.00,0.00 4:1.00,0.50"


@quietly
@given(curves, st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 512))
def test_a_curve_stays_among_its_points_and_is_read_back(
    curve: EmotionCurve, bar: float, n_bars: int
) -> None:
    points = [point.emotion for point in curve.points]
    for axis in ("valence", "arousal"):
        values = [getattr(emotion, axis) for emotion in points]
        assert min(values) <= getattr(curve.at(bar), axis) <= max(values)
    assert len(curve.over(n_bars)) == n_bars and curve.mean(n_bars).name == curve.text
    again = parse_curve(curve.text)
    assert parse_curve(again.text) == again
    assert [point.bar for point in again.points] == [point.bar for point in curve.points]
    for own, other in zip(points, (point.emotion for point in again.points), strict=True):
        assert other.name == own.name
        assert (other.valence, other.arousal) == pytest.approx(
            (own.valence, own.arousal), abs=5.1e-5
        )


def test_a_curve_may_be_written_in_several_ways_and_is_written_in_one() -> None:
    for text in (
        "0:joyful-activation 4.5:0.2,-0.3",
        " 0 : Joyful Activation\n 4.50 : 0.2 , -0.3 ",
        "0:joyful activation;4.5:+.2,-.3",
    ):
        assert parse_curve(text).text == "0:joyful-activation 4.5:0.20,-0.30"
    assert parse_curve(EXAMPLE).text == EXAMPLE
    points = (Emotion(0.1, 0.2, "calm"), Emotion(0.1, 0.25, "my own"), find_emotion("Q3"),
              Emotion(-0.00001, 0.33333))  # fmt: skip
    curve = EmotionCurve(tuple(CurvePoint(bar, own) for bar, own in enumerate(points)))
    # by its name only where the name leads back
    assert curve.text == "0:0.10,0.20 1:0.10,0.25 2:Q3 3:0.00,0.3333"


def test_the_mean_of_a_mixture_is_that_of_the_weights() -> None:
    mixed = mix([(Emotion(1.0, 0.0, "up"), 3.0), (Emotion(-1.0, 0.4), 1.0)])
    assert (mixed.valence, mixed.arousal) == pytest.approx((0.5, 0.1))
    assert mixed.name == "up 0.75 + (-1.00, 0.40) 0.25"
    mixed = mix([(Emotion(-0.001, 0.2), 1.0), (Emotion(0.5, 0.5, "up"), 1.0)])
    assert mixed.name == "(0.00, 0.20) 0.50 + up 0.50"
    assert mix([(HOPE, 3.0), (SAD, 7.0)]) == mix([(SAD, 7.0), (HOPE, 3.0)])
    assert mix([(HOPE, 3.0), (SAD, 7.0)]).name == "sad 0.70 + hope 0.30"
    for one in ([(HOPE, 0.2)], [(HOPE, 1.0), (SAD, 0.0)], [(HOPE, 1.0), (HOPE, 2.0)]):
        assert mix(one) == HOPE


@quietly
@given(parts)
def test_a_mixture_stays_among_its_parts_whatever_the_weights(
    parts: list[tuple[Emotion, float]],
) -> None:
    mixed = mix(parts)
    for axis in ("valence", "arousal"):
        values = [getattr(emotion, axis) for emotion, _ in parts]
        assert min(values) - 1e-9 <= getattr(mixed, axis) <= max(values) + 1e-9
    corners = [Emotion(1, 1, f"n{at}") for at in range(len(parts))]
    mix([(corner, weight) for corner, (_, weight) in zip(corners, parts, strict=True)])


def test_a_mixture_may_be_written_in_several_ways() -> None:
    nostalgic, active = "nostalgia 0.70 + hope 0.30", "joyful activation 0.75 + calm 0.25"
    for text, name in (
        ("nostalgia:0.7 hope:0.3", nostalgic),
        (" Nostalgia : 7 ,  HOPE :3 ", nostalgic),
        ("hope:3 nostalgia:7", nostalgic),
        ("nostalgic:70, hopeful:30,", nostalgic),
        ("joyful activation:3 calm", active),
        ("calm, joyful_activation : 3", active),
        ("joyful:1 calm:2 joy:1", "calm 0.50 + joy 0.50"),  # weights of one emotion add up
        ("hope sad:1", "hope 0.50 + sad 0.50"),
        ("hope", "hope"),
    ):
        assert parse_mix(text).name == name
    assert parse_mix("hope:3 sad:7") == mix([(HOPE, 3.0), (SAD, 7.0)])


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_curve, "", r"^a curve must have 1 to 64 points, got none; write BAR:NAME or BAR:VA"),
        (parse_curve, "calm", r"^'calm' is not a point of a curve; write BAR:NAME"),
        (parse_curve, "0:", "'0:' is not a point of a curve"),
        (parse_curve, "one:calm", r"^bar must be a number in 'one:calm', got 'one'; write BAR:NA"),
        (parse_curve, "0:calm 8:0.4,", r"^arousal must be a number in '8:0.4,', got ''"),
        (parse_curve, "0:1.2,0", r"^valence must be in \[-1, 1\], got 1.2$"),
        (parse_curve, "-1:calm", r"^bar must be in \[0, 512\], got -1.0$"),
        (parse_curve, "nan:calm", r"^bar must be in \[0, 512\], got nan$"),
        (parse_curve, "8:calm 8:tense", r"^bars of a curve must rise .*, got 8 after 8$"),
        (parse_curve, " ".join(f"{bar}:calm" for bar in range(65)), "1 to 64 points, got 65$"),
        (parse_curve, "0:calm " * 600, r"^a curve must have at most 4000 characters, got 4200;"),
        (parse_mix, "", r"^a mixture must name 1 to 8 emotions, got none; write NAME:WEIGHT, such"),
        (parse_mix, "hope:1:2", r"^weight of 'hope' must be a number, got '1:2'; write NAME:WEI"),
        (parse_mix, "hope:-1 sad", r"^weight of hope must be finite and 0 or more, got -1.0$"),
        (parse_mix, "hope:inf sad", "must be finite and 0 or more, got inf"),
        (parse_mix, "hope:0 sad:0", r"^weights of a mixture must not all be 0"),
        (parse_mix, "hope sad " * 5, r"^a mixture must have 1 to 8 parts, got 10$"),
        (parse_mix, "hope " * 500, r"^a mixture must have at most 1000 characters, got 2500;"),
        (parse_mix, None, "a mixture must be a text, got None"),
        (parse_curve, [], r"a curve must be a text, got \[\]"),
        (find_emotion, 3, "the name of an emotion must be a text, got 3"),
        (find_emotion, CALM, "the name of an emotion must be a text, got Emotion"),
        (RISE.over, 0, r"n_bars must be in \[1, 512\], got 0"),
        (RISE.over, 513, r"n_bars must be in .* got 513"),
        (RISE.at, math.nan, "bar must be finite, got nan"),
        (EmotionCurve, (), "a curve must have 1 to 64 points, got 0"),
        (RISE.over, 2.5, "n_bars must be a whole number"),
        (RISE.mean, "16", "n_bars must be a number in .* '16'"),
        (RISE.at, "1", "bar must be finite, got '1'"),
        (lambda bar: CurvePoint(bar, CALM), True, r"bar must be a number in .*, got True"),
        (lambda emotion: CurvePoint(0, emotion), "calm", "must be an Emotion, got 'calm'"),
        (EmotionCurve, ((0, CALM),), "must be CurvePoints, got"),
        (EmotionCurve, 5, "points of a curve must be CurvePoints, got 5"),
        *((mix, [(HOPE, own)], "weight of hope must be a number") for own in ("1", True)),
        (mix, [("hope", 1)], "must be an Emotion, got 'hope'"),
        (mix, [], "must have 1 to 8 parts, got 0"),
    ],
)
def test_what_is_no_curve_or_mixture_is_refused_in_a_sentence(
    parse: Callable[[Any], object], text: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
