from __future__ import annotations

from itertools import pairwise
from typing import Any

from studio_result_cases import card, numbers, of_class, text_of, window

from emomusic.studio.result.course import GAP, LEFT, PANEL, RIGHT, TOP, course
from emomusic.studio.result.reading import Run, asked_of, run_of

ASKED = asked_of(card())
RUN = run_of(card())
MIDDLE = (LEFT + RIGHT) / 2


def run_with(*windows: dict[str, Any]) -> Run:
    return run_of({"course": {"windows": list(windows)}})


def test_heard_is_a_step_for_each_window_and_axis() -> None:
    steps = of_class(course(ASKED, RUN), "emo-step")
    assert len(steps) == 4
    x1, x2, y1, y2 = numbers(steps[0], "x1", "x2", "y1", "y2")
    assert LEFT < x1 < x2 < MIDDLE and y1 == y2 == TOP + PANEL * 1.2 / 2
    assert numbers(steps[3], "y1") == (TOP + PANEL + GAP + PANEL * 1.4 / 2,)
    assert ["emo-q2" in (s.get("class") or "") for s in steps] == [True, False, True, False]


def test_asked_is_level_where_it_does_not_move() -> None:
    valence, arousal = of_class(course(ASKED, RUN), "emo-asked-line")
    left, right = (at.split(",") for at in str(valence.get("points")).split())
    assert left[1] == right[1] == f"{TOP + PANEL * 1.59 / 2:.1f}"
    assert (float(left[0]), float(right[0])) == (LEFT, RIGHT)
    assert len(str(arousal.get("points")).split()) == 2


def test_asked_follows_a_curve_with_its_corners() -> None:
    bars = ((0, 0.0), (6, 1.0), (8, -1.0))
    curve = asked_of({}, [{"bar": bar, "valence": v, "arousal": 0.0} for bar, v in bars])
    valence, _ = of_class(course(curve, RUN), "emo-asked-line")
    corner = LEFT + (RIGHT - LEFT) * 6 / 8
    assert str(valence.get("points")).split()[1] == f"{corner:.1f},{TOP:.1f}"


def test_nothing_asked_draws_what_is_heard_only() -> None:
    drawn = course(None, RUN)
    assert len(of_class(drawn, "emo-step")) == 4
    assert not of_class(drawn, "emo-asked-line") and not of_class(drawn, "emo-gap")
    assert "asked" not in text_of(drawn)


def test_a_window_that_was_not_heard_leaves_a_gap() -> None:
    run = run_with(window(1, 4, "Q1", 0.2, 0.2), window(9, 12, "Q1", 0.4, 0.4))
    drawn = course(None, run)
    assert not of_class(drawn, "emo-riser") and len(of_class(drawn, "emo-cell")) == 2
    assert len(of_class(course(None, RUN), "emo-riser")) == 2


def test_the_axis_counts_bars_and_the_row_names_quadrants() -> None:
    told = text_of(course(ASKED, RUN))
    assert "Q2Q3bar 158" in told
    assert [e.text for e in of_class(course(ASKED, RUN), "emo-cell-name")] == ["Q2", "Q3"]


def test_many_windows_keep_their_numbers_apart_and_their_names_out() -> None:
    windows = [window(20 * i + 1, 20 * (i + 1), "Q4", 0.1, -0.1) for i in range(24)]
    drawn = course(ASKED, run_with(*windows))
    assert not of_class(drawn, "emo-cell-name") and len(of_class(drawn, "emo-cell")) == 24
    ticks = [
        numbers(e, "x")[0] for e in of_class(drawn, "emo-faint") if e.get("text-anchor") == "start"
    ]
    assert len(ticks) > 5 and all(b - a >= 20 for a, b in pairwise(ticks))


def test_a_piece_without_bars_is_timed_and_a_curve_in_bars_left_out() -> None:
    timed = {**window(1, 4, "Q2", 0.1, 0.1), "bars": None, "start_s": 60.0, "end_s": 75.0}
    curve = asked_of({}, [{"bar": b, "valence": 1.0, "arousal": 0} for b in (0, 8)])
    drawn = course(curve, run_with(timed))
    assert "1:00" in text_of(drawn) and not of_class(drawn, "emo-asked-line")


def test_the_picture_is_told_in_words() -> None:
    (picture,) = of_class(course(ASKED, RUN), "emo-course-svg")
    assert picture.get("role") == "img"
    assert (picture.get("aria-label") or "").startswith(
        "Valence and arousal over the piece; bars 1 to 4: asked valence -0.59, arousal -0.81, "
        "heard Q2, valence -0.20, arousal 0.20; bars 5 to 8:"
    )


def test_no_windows_draw_nothing() -> None:
    assert course(ASKED, Run((), True, "")) == ""
