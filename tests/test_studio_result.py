"""What is heard against what was asked, as HTML and SVG."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from helpers.composing import curve_of

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import Emotion, parse_curve
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES
from emomusic.studio.drawings import CENTRE, GAP, LEFT, PANEL, RADIUS, RIGHT, SIZE, TOP, percent
from emomusic.studio.result import N_SHOWN, Asked, Result, explained, result_page
from emomusic.studio.session import StudioPiece
from emomusic.verify.explain import AGAINST, FOR, USUAL, Effect, Explanation, Trajectory, Window
from emomusic.verify.verifier import Verdict

EVIL = "<script>alert(1)</script>\"' onload=x ${1+1} {{value}}"
SADNESS = Emotion(-0.59, -0.81, "sadness")
TURN = curve_of((0, 0.5, -0.5), (8, -0.5, 0.5))
MIDDLES = {own.name: (own.low + own.high) / 2 for own in ATTRIBUTES}
SHARES = {"Q1": 0.02, "Q2": 0.07, "Q3": 0.81, "Q4": 0.1}
VERDICT = Verdict("Q3", SHARES, -0.4, -0.3, valence_sd=0.23, arousal_sd=0.18, trust=1.0)


def window(
    first: int, last: int, quadrant: str, valence: float, arousal: float, *, in_bars: bool = True
) -> Window:
    times, bars = (2.0 * (first - 1), 2.0 * last), (first, last) if in_bars else None
    return Window(*times, bars, quadrant, valence, arousal, fit=1.0, pull=0.0)


WINDOWS = (window(1, 4, "Q2", -0.2, 0.2), window(5, 8, "Q3", -0.5, -0.4))


def why(**roles: str) -> Explanation:
    """Return an explanation that names causes as for the verdict, against it, or usual."""
    none = (0.0,) * 3
    effects = tuple(
        Effect(cause, f"odd {cause}", 0.0, 0.0, 0.5, role, "valence", 1.0, none, none, none)
        for cause, role in roles.items()
    )
    return Explanation("Q3", 0.81, "sad", -0.4, -0.3, (), effects)


def heard(*windows: Window) -> Trajectory:
    return Trajectory("Q3", "sad", windows)


def drawn(**changes: Any) -> str:
    given: dict[str, Any] = {
        "verdict": VERDICT, "explanation": why(mode=FOR, tempo=USUAL), "course": heard(*WINDOWS),
        "achieved": MIDDLES, "targets": MIDDLES, "asked": Asked(SADNESS), "best_of": 1,
    }  # fmt: skip
    return result_page(Result(**{**given, **changes}))


BROUGHT: dict[str, Any] = {"targets": {}, "asked": None, "best_of": None, "file": "song.mid"}


def read(markup: str) -> ElementTree.Element:
    """Parse markup strictly: every tag closed, every attribute quoted and escaped."""
    return ElementTree.fromstring(f"<all>{markup}</all>")


def of_class(markup: str, name: str) -> list[ElementTree.Element]:
    return [e for e in read(markup).iter() if name in (e.get("class") or "").split()]


def words(markup: str) -> str:
    return " ".join("".join(read(markup).itertext()).split())


def label(markup: str, name: str) -> str:
    (picture,) = of_class(markup, name)
    assert picture.get("role") == "img"
    return str(picture.get("aria-label"))


def numbers(element: ElementTree.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.get(name, "nan").rstrip("%")) for name in names)


def places(markup: str, name: str, *names: str) -> list[tuple[float, ...]]:
    """Return numbers of each mark of a kind."""
    return [numbers(e, *names) for e in of_class(markup, f"emo-{name}")]


# The page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "Heard as Q3, 81 % sure: sad Asked for sadness, in Q3."),
        ({"asked": Asked(Emotion(-0.59, -0.81))}, "Asked for Q3."),
        ({"asked": Asked(Emotion(0.7, 0.4, "joy"))}, "joy, in Q1: heard in another quadrant."),
        ({"asked": None}, "No emotion was asked for."),
        ({"asked": Asked(SADNESS, parse_curve("0:calm 4:tense 8:sad"))}, "calm → tense → sad."),
        ({"asked": Asked(SADNESS, parse_curve("0:calm 1:joy 2:calm 3:joy 4:calm 5:sad"))},
         "Asked to move: calm → … → sad."),
        ({"asked": Asked(SADNESS, curve_of((0, 0.9, -0.9)))}, "Asked to move: near "),
        ({}, "Odd mode lowers valence."),  # without what the headline says already
        ({}, "Most sad: bars 1 to 4. Heard as Q2: bars 1 to 4."),
        ({}, "First draw: nothing was picked."),
        ({"best_of": 4}, "Best of 4 draws"),
        ({"asked": Asked(SADNESS, start=4)}, "Given, not composed: bars 1 to 4."),
        ({"verdict": replace(VERDICT, trust=0.12)}, "Low trust (0.12)"),
        # The drawings, to those who see none
        ({}, "asked−0.59−0.81sadness"),
        ({}, "heard−0.40 ± 0.23−0.30 ± 0.18"),
        ({"asked": Asked(SADNESS, TURN)}, "asked to−0.50+0.50"),
        ({}, f"{len(ATTRIBUTES) - N_SHOWN} more attributes"),
    ],
)  # fmt: skip
def test_a_clip_is_told_in_words(changes: dict[str, Any], told: str) -> None:
    page = words(drawn(**changes).replace("</h3>", " </h3>"))
    assert told in page and "0.81 sure" not in page


def test_what_was_brought_shows_what_is_heard_and_its_name() -> None:
    page = drawn(**BROUGHT)
    told = words(page)
    assert [name.text for name in of_class(page, "emo-file")] == ["song.mid"]
    assert not of_class(page, "emo-asked") and "sked for" not in told and "First draw" not in told
    assert "in the music" in told and "measured" in told and "asked" not in told
    assert label(page, "emo-plane-svg").startswith("Heard valence -0.40")


@pytest.mark.parametrize("changes", [{"asked": Asked(replace(SADNESS, name=EVIL))}, BROUGHT])
def test_no_text_becomes_markup(changes: dict[str, Any]) -> None:
    evil = {"explanation": replace(why(mode=FOR), emotion=EVIL), "fixed": [EVIL]}
    course = replace(heard(*WINDOWS), emotion=EVIL)
    page = drawn(**{**changes, **evil, "file": EVIL, "course": course})
    assert "<script" not in page and "${" not in page and "{{" not in page
    assert not [e for e in read(page).iter() if e.tag == "script" or e.get("onload")]
    assert EVIL in words(page)
    assert not [e for e in read(page).iter() if e.get("id")]  # results may stand side by side


def test_the_style_sheet_knows_every_class_and_styles_nothing_else() -> None:
    pages = [drawn(fixed=["silence"]), drawn(asked=Asked(SADNESS, TURN)), drawn(**BROUGHT)]
    pages.append(drawn(verdict=replace(VERDICT, trust=0.0)))
    every = [e for page in pages for e in read(page).iter()]
    used = {name for e in every for name in str(e.get("class") or "").split()}
    assert used and all(name.startswith("emo-") for name in used)
    sheet = files("emomusic.studio").joinpath("assets/result.css").read_text("utf-8")
    known = set(re.findall(r"\.(emo-[\w-]+)", sheet))
    assert known <= used | {"emo-off", "emo-far", "emo-beyond", "emo-free"}
    for selector in re.findall(r"([^{};]+)\{", re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)):
        assert selector.strip().startswith("@") or ".emo-" in selector, selector


def test_a_piece_is_shown_with_what_was_asked_and_what_was_fixed(tiny_composer: Composer) -> None:
    joy, verifier = Emotion(0.8, 0.6, "joy"), tiny_composer.verifier
    asked = Request(joy, n_bars=2, tonic=2, is_major=True, tempo=90.0)
    (clip,) = tiny_composer.compose(asked, seed=5)
    result = explained(StudioPiece.of(clip), verifier)
    assert (result.verdict, result.asked) == (clip.verdict, Asked(joy, start=0.0))
    assert (result.targets, result.achieved) == (clip.targets, clip.achieved)
    assert result.best_of == 1 and set(result.fixed) == {"tempo", "mode"}
    plain = replace(asked, tempo=None, is_major=None, fixed={"register": 60.0}, emotion=None)
    other = explained(StudioPiece.of(replace(clip, request=plain)), verifier)
    assert (other.fixed, other.asked) == (("register",), None)
    brought = StudioPiece(clip.score, "D major", 90.0, clip.verdict, name="<b>tune.mid")
    result = explained(brought, verifier)
    assert (result.file, result.best_of, result.asked) == ("<b>tune.mid", None, None)
    assert result.achieved["tempo"] == 90.0 and not result.targets


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"asked": None},
         {"step": 4, "asked-line": 0, "gap": 0, "sd": 2, "asked": 0, "arrow": 0}),
        ({"asked": Asked(Emotion(-0.41, -0.3))}, {"asked": 1, "arrow": 0}),  # it needs room
        ({"asked": Asked(Emotion(-0.4, -0.3))}, {"asked": 1}),
        ({"asked": Asked(SADNESS, TURN)}, {"sd": 0, "arrow": 0}),
        ({"asked": Asked(SADNESS, start=4)}, {"gap": 2}),  # nothing was asked of given bars
        ({"asked": Asked(SADNESS, TURN, start=4)}, {"thread": 1}),
        ({}, {"riser": 2, "cell": 2, "trust": 0}),
        ({"course": heard(window(1, 4, "Q1", 0.2, 0.2), window(9, 12, "Q1", 0.4, 0.4))},
         {"riser": 0, "cell": 2}),  # between these nothing was heard
        ({"course": heard()}, {"course": 0}),
        ({"verdict": replace(VERDICT, trust=0.12)}, {"trust": 1}),
        ({"targets": {"tempo": 120.0}, "achieved": {"tempo": 120.0, "silence": 0.1}},
         {"free": 1, "tick": 1, "row": 2}),
        ({"achieved": {"tempo": 80.0}}, {"row": 1, "more": 0}),  # few are not folded
        ({"achieved": {}}, {"attributes": 0}),
        (BROUGHT, {"course-svg": 1}),
    ],
)  # fmt: skip
def test_marks_are_drawn_where_they_say_something(
    changes: dict[str, Any], counts: dict[str, int]
) -> None:
    page = drawn(**changes)
    assert {name: len(of_class(page, f"emo-{name}")) for name in counts} == counts


# The plane


def test_points_stand_where_they_are_asked_and_heard_and_an_arrow_leads_over() -> None:
    page = drawn()
    x, y = CENTRE.real, CENTRE.imag
    asked, heard = (x - 0.59 * RADIUS, y + 0.81 * RADIUS), (x - 0.4 * RADIUS, y + 0.3 * RADIUS)
    assert places(page, "asked", "cx", "cy") == [pytest.approx(asked)]
    assert places(page, "heard", "cx", "cy") == [pytest.approx(heard)]
    ((x1, y1, x2, y2),) = places(page, "arrow", "x1", "y1", "x2", "y2")
    assert asked[0] < x1 < x2 < heard[0] and asked[1] > y1 > y2 > heard[1]
    for times in (1, 2):  # standard deviations
        wide = times * 0.23 * RADIUS, times * 0.18 * RADIUS
        assert places(page, f"sd{times}", "rx", "ry") == [pytest.approx(wide)]
    told = label(page, "emo-plane-svg")
    assert re.findall(r"-?\d\.\d\d", told) == ["-0.59", "-0.81", "-0.40", "-0.30", "0.23", "0.18"]
    assert "Q1 2 %, Q2 7 %, Q3 81 %, Q4 10 %" in told


def test_quadrants_say_how_probable_they_are_and_the_surest_stands_out() -> None:
    page = drawn()
    assert len(of_class(page, "emo-share")) == 4
    (most,) = of_class(page, "emo-most")
    assert "Q3" in (most.text or "") and "81 %" in (most.text or "")
    depth = places(page, "tint", "fill-opacity")
    assert max(depth) == depth[2] and min(depth) == depth[0] > (0,)
    told = [percent(s) for s in (0.0, 0.0001, 0.43, 0.9999, 1.0)]
    assert told == ["0 %", "< 1 %", "43 %", "> 99 %", "100 %"]  # none or all only if it is


@pytest.mark.parametrize("corner", [(1, 1), (-1, 1), (-1, -1), (1, -1)])
def test_words_stay_inside_the_picture_at_every_corner(corner: tuple[int, int]) -> None:
    verdict = replace(VERDICT, valence=0.9 * corner[0], arousal=0.9 * corner[1])
    page = drawn(verdict=verdict, asked=Asked(Emotion(*corner)))
    ((ring,),) = places(page, "asked", "cy")
    for word in of_class(page, "emo-tag"):
        x, y = numbers(word, "x", "y")
        if word.text == "asked":  # beside its ring: the quadrant's name stands further out
            assert abs(y - ring) < 5
        left = {"start": 0, "middle": 18, "end": 36}[word.get("text-anchor", "")]
        assert left <= x <= SIZE - 36 + left and 10 <= y <= SIZE


def test_a_curve_is_drawn_as_paths_and_a_long_one_is_numbered_at_its_ends() -> None:
    page = drawn(asked=Asked(SADNESS, TURN))
    for kind, valences in (("asked", (0.25, -0.25)), ("heard", (-0.2, -0.5))):
        assert places(page, kind, "cx") == [(CENTRE.real + v * RADIUS,) for v in valences]
    told = "bars 5 to 8: asked valence -0.25, arousal 0.25, heard valence -0.50"
    assert told in label(page, "emo-plane-svg")
    windows = [window(i + 1, i + 1, "Q1", 0.1 * i, 0.2) for i in range(10)]
    page = drawn(course=heard(*windows), asked=Asked(SADNESS, curve_of((0, 0, 0), (10, 0, 0))))
    assert [e.text for e in of_class(page, "emo-bead")] == ["1", "10", "1", "10"]


# Over the bars


def test_heard_is_a_step_for_each_window_and_axis_and_asked_a_line_along_its_curve() -> None:
    steps = places(drawn(), "step", "x1", "x2", "y1", "y2")
    x1, x2, y1, y2 = steps[0]
    assert LEFT < x1 < x2 < (LEFT + RIGHT) / 2 and y1 == y2 == TOP + PANEL * 1.2 / 2
    assert steps[3][2] == TOP + PANEL + GAP + PANEL * 1.4 / 2
    assert [e.text for e in of_class(drawn(), "emo-cell-name")] == ["Q2", "Q3"]
    told = label(drawn(), "emo-course-svg")
    assert "bars 1 to 4: asked valence -0.59, arousal -0.81, heard Q2, valence -0.20" in told
    assert "bars 5 to 8: " in told
    y = TOP + PANEL * 1.59 / 2
    assert asked_line(drawn()) == [(LEFT, pytest.approx(y, abs=0.05)), (RIGHT, pytest.approx(y))]
    bent = Asked(SADNESS, curve_of((0, 0.0, 0), (6, 1.0, 0), (8, -1.0, 0)))
    assert asked_line(drawn(asked=bent))[1] == (LEFT + (RIGHT - LEFT) * 6 / 8, TOP)


def asked_line(page: str) -> list[tuple[float, ...]]:
    """Return the corners of what was asked of valence."""
    points = str(of_class(page, "emo-asked-line")[0].get("points")).split()
    return [tuple(map(float, corner.split(","))) for corner in points]


def test_many_windows_keep_their_numbers_apart_and_their_names_out() -> None:
    many = [window(20 * i + 1, 20 * (i + 1), "Q4", 0.1, -0.1) for i in range(24)]
    page = drawn(course=heard(*many))
    assert not of_class(page, "emo-cell-name") and len(of_class(page, "emo-cell")) == 24
    (picture,) = of_class(page, "emo-course-svg")
    faint = [e for e in picture.iter("text") if e.get("class") == "emo-faint"]
    ticks = [numbers(e, "x")[0] for e in faint if e.get("text-anchor") == "start"]
    assert len(ticks) > 5 and all(b - a >= 20 for a, b in pairwise(ticks))


def test_a_piece_without_bars_is_timed_and_a_curve_in_bars_stands_still() -> None:
    timed = heard(window(31, 37, "Q2", 0.1, 0.1, in_bars=False))
    page = drawn(course=timed, asked=Asked(SADNESS, TURN))
    assert "1:00" in words(page) and of_class(page, "emo-sd1")
    assert len({y for _, y in asked_line(page)}) == 1


# The attributes


def only(name: str, achieved: float, asked: float) -> str:
    return drawn(achieved={name: achieved}, targets={name: asked})


@pytest.mark.parametrize(
    ("achieved", "kind", "end"),
    [(120, "close", 50), (136, "close", 60), (140, "off", 62.5), (80, "far", 25), (200, "far", 100),
     (250, "far", 100), (20, "far", 0)],
)  # fmt: skip
def test_a_row_shows_how_far_apart_they_are_also_beyond_the_range(
    achieved: float, kind: str, end: float
) -> None:
    page = only("tempo", achieved, 120.0)  # its range is 40 to 200
    (row,), told = of_class(page, "emo-row"), words(page)
    assert f"emo-{kind}" in str(row.get("class")).split()
    assert ("of the range" in told) == (kind != "close")
    assert kind == "close" or ("above" if achieved > 120 else "below") in told
    assert "tempo quarter notes a minute" in told and f"120{achieved}" in told
    assert places(page, "tick", "x1", "x2") == [(50.0, 50.0)]
    assert places(page, "miss", "x1", "x2") == [(50.0, end)]
    if 40 <= achieved <= 200:
        assert places(page, "dot", "cx") == [(end,)]
    else:  # an arrowhead that points to where it lies
        assert f"L{5 if end else -5} 0" in of_class(page, "emo-beyond")[0].get("d", "")


def test_a_number_has_as_many_decimals_as_its_range_is_wide() -> None:
    numbers = (("tempo", 100.26), ("note_density", 2.345), ("mode", -0.345), ("mode", -0.001))
    pages = (only(name, value, value) for name, value in numbers)
    told = [of_class(page, "emo-value")[0].text for page in pages]
    assert told == ["100", "2.3", "−0.34", "0.00"]


@pytest.mark.parametrize("fixed", [(), ATTRIBUTE_NAMES[-9:]])
def test_what_was_fixed_or_named_stands_open_then_the_causes_up_to_eight(fixed: Any) -> None:
    page = drawn(explanation=why(mode=FOR, tempo=AGAINST, register=USUAL), fixed=fixed)
    rows = [str(row.get("data-attribute")) for row in of_class(page, "emo-row")]
    folded = {e.get("data-attribute") for d in read(page).iter("details") for e in d.iter("tr")}
    shown = [name for name in rows if name not in folded]
    assert sorted(rows) == sorted(ATTRIBUTE_NAMES)
    assert shown == [name for name in ATTRIBUTE_NAMES if name in shown]
    assert len(of_class(page, "emo-fixed")) == len(fixed)
    if fixed:
        assert set(shown) == {*fixed, "mode", "tempo"}
    else:
        assert len(shown) == N_SHOWN
        assert {"mode", "tempo", "velocity_mean", "register", "note_density"} <= set(shown)


def test_tables_have_captions_and_headings_for_screen_readers() -> None:
    tables = of_class(drawn(), "emo-targets")
    assert len(tables) == 2
    for table in tables:
        scopes = [e.get("scope") for e in table.iter("th")]
        assert scopes.count("col") == 3 and set(scopes) == {"col", "row"}
        assert table.find("caption") is not None
        assert all(e.get("aria-hidden") for e in table.iter("td") if e.find("svg") is not None)
    (table,) = of_class(drawn(), "emo-points")
    assert [e.text for e in table.iter("th")][1:4] == ["valence", "arousal", "near"]
