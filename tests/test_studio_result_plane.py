from __future__ import annotations

import math

import pytest
from studio_result_cases import card, numbers, of_class, read, text_of, verdict, window

from emomusic.emotion import Emotion
from emomusic.studio.result.plane import CENTRE, RADIUS, SIZE, plane
from emomusic.studio.result.reading import Asked, Run, asked_of, heard_of, run_of

HEARD = heard_of(card())
ASKED = asked_of(card())
NO_RUN = Run((), True, "")


def ask(valence: float, arousal: float) -> Asked:
    return Asked(Emotion(valence, arousal))


def test_points_stand_where_they_are_asked_and_heard() -> None:
    drawn = plane(ASKED, HEARD, NO_RUN)
    (ring,), (dot,) = of_class(drawn, "emo-asked"), of_class(drawn, "emo-heard")
    place = CENTRE - 0.59 * RADIUS, CENTRE + 0.81 * RADIUS
    assert numbers(ring, "cx", "cy") == pytest.approx(place)
    assert numbers(dot, "cx", "cy") == pytest.approx((CENTRE - 0.4 * RADIUS, CENTRE + 0.3 * RADIUS))


def test_ellipses_are_one_and_two_standard_deviations_wide() -> None:
    drawn = plane(None, HEARD, NO_RUN)
    (one,), (two,) = of_class(drawn, "emo-sd1"), of_class(drawn, "emo-sd2")
    assert numbers(one, "rx", "ry") == pytest.approx((0.23 * RADIUS, 0.18 * RADIUS))
    assert numbers(two, "rx", "ry") == pytest.approx((0.46 * RADIUS, 0.36 * RADIUS))


def test_the_arrow_points_from_asked_to_heard_and_needs_room() -> None:
    drawn = plane(ASKED, HEARD, NO_RUN)
    (line,) = of_class(drawn, "emo-arrow")
    x1, y1, x2, y2 = numbers(line, "x1", "y1", "x2", "y2")
    assert x1 < x2 and y1 > y2
    assert math.dist((x1, y1), (x2, y2)) < math.dist((-0.59, -0.81), (-0.4, -0.3)) * RADIUS
    assert not of_class(plane(ask(-0.41, -0.3), HEARD, NO_RUN), "emo-arrow")
    assert of_class(plane(Asked(HEARD.point), HEARD, NO_RUN), "emo-asked")


def test_quadrants_say_how_probable_they_are_and_the_surest_stands_out() -> None:
    drawn = plane(ASKED, HEARD, NO_RUN)
    shares = ["".join(e.itertext()) for e in of_class(drawn, "emo-share")]
    assert [" ".join(s.split()) for s in shares] == ["Q1 2 %", "Q2 7 %", "Q3 81 %", "Q4 10 %"]
    (most,) = of_class(drawn, "emo-most")
    assert "Q3" in (most.text or "")
    depth = [numbers(e, "fill-opacity")[0] for e in of_class(drawn, "emo-tint")]
    assert max(depth) == depth[2] and min(depth) == depth[0] > 0


def test_words_stay_inside_the_picture_at_every_corner() -> None:
    for valence, arousal in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
        heard = heard_of({"verdict": verdict(valence=0.9 * valence, arousal=0.9 * arousal)})
        drawn = plane(ask(valence, arousal), heard, NO_RUN)
        for word in of_class(drawn, "emo-tag"):
            x, y = numbers(word, "x", "y")
            left = {"start": 0, "middle": 18, "end": 36}[word.get("text-anchor", "")]
            assert left <= x <= SIZE - 36 + left and 10 <= y <= SIZE


def test_the_picture_is_told_in_words() -> None:
    (picture,) = of_class(plane(ASKED, HEARD, NO_RUN), "emo-plane-svg")
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == (
        "Asked valence -0.59, arousal -0.81; heard valence -0.40, arousal -0.30, give or take "
        "0.23 and 0.18; Q1 2 %, Q2 7 %, Q3 81 %, Q4 10 %"
    )
    (alone,) = of_class(plane(None, HEARD, NO_RUN), "emo-plane-svg")
    assert (alone.get("aria-label") or "").startswith("Heard valence -0.40")


def test_the_table_holds_both_points_and_what_lies_near() -> None:
    told = text_of(plane(ASKED, HEARD, NO_RUN))
    assert "asked−0.59−0.81sadness" in told and "heard−0.40 ± 0.23−0.30 ± 0.18" in told
    rows = [e.text for e in read(plane(None, HEARD, NO_RUN)).iter("th") if e.get("scope")]
    assert rows[1:4] == ["valence", "arousal", "near"] and len(rows) == 5


def test_a_curve_is_drawn_as_paths_window_by_window() -> None:
    curve = asked_of(
        card(),
        [
            {"bar": 0, "valence": 0.5, "arousal": -0.5},
            {"bar": 8, "valence": -0.5, "arousal": 0.5},
        ],
    )
    drawn = plane(curve, HEARD, run_of(card()))
    assert not of_class(drawn, "emo-sd1") and not of_class(drawn, "emo-arrow")
    asked = [numbers(e, "cx") for e in of_class(drawn, "emo-asked")]
    heard = [numbers(e, "cx") for e in of_class(drawn, "emo-heard")]
    assert asked == [(CENTRE + 0.25 * RADIUS,), (CENTRE - 0.25 * RADIUS,)]
    assert heard == [(CENTRE - 0.2 * RADIUS,), (CENTRE - 0.5 * RADIUS,)]
    (picture,) = of_class(drawn, "emo-plane-svg")
    assert "bars 5 to 8: asked valence -0.25, arousal 0.25, heard valence -0.50" in (
        picture.get("aria-label") or ""
    )
    assert "asked from+0.50−0.50" in text_of(drawn) and "asked to−0.50+0.50" in text_of(drawn)


def test_a_long_path_numbers_its_ends_only() -> None:
    windows = [window(i + 1, i + 1, "Q1", 0.1 * i, 0.2) for i in range(10)]
    curve = asked_of(card(), [{"bar": b, "valence": 0, "arousal": 0} for b in (0, 10)])
    drawn = plane(curve, HEARD, run_of({"course": {"windows": windows}}))
    assert [e.text for e in of_class(drawn, "emo-bead")] == ["1", "10", "1", "10"]


def test_a_curve_without_windows_in_bars_falls_back_to_points() -> None:
    curve = asked_of(card(), [{"bar": b, "valence": 0, "arousal": 0} for b in (0, 8)])
    assert of_class(plane(curve, HEARD, NO_RUN), "emo-sd1")
