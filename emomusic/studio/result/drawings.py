"""What was asked and what is heard, drawn as SVG: in the plane, and over the bars."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emomusic.emotion import QUADRANTS, Emotion, EmotionCurve, nearest_names
from emomusic.studio.result.markup import (
    Point,
    circle,
    drawing,
    line,
    path,
    percent,
    signed,
    spoken,
    tag,
    text,
)
from emomusic.verify.explain import Window
from emomusic.verify.verifier import Verdict

AXES = ("valence", "arousal")

SIZE = 340.0
CENTRE, RADIUS = complex(SIZE / 2, SIZE / 2), 130.0
"""The circle is one unit of valence and of arousal in radius."""
FEELS = {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "calm"}
SIDES = {"Q1": (1, 1), "Q2": (-1, 1), "Q3": (-1, -1), "Q4": (1, -1)}
RING, DOT = 6.0, 5.5
BEAD, SMALL = 7.5, 3.5
MAX_NUMBERED = 4
"""On a path of more windows than these only the first and the last are numbered."""

WIDTH, LEFT, RIGHT = 340.0, 28.0, 334.0
PANEL, TOP, GAP = 100.0, 22.0, 34.0
BAND = 16.0
"""Height of the row that names the quadrant of each window."""
HEIGHT = TOP + 2 * PANEL + GAP + 10 + BAND + 20
NARROW = 24.0
"""A window that is narrower than this shows its quadrant by colour alone."""
TICK_ROOM = 22.0
"""Numbers on the axis keep this far apart."""


@dataclass(frozen=True)
class Asked:
    """Hold what was asked of the emotion.

    Attributes:
        emotion: Of the whole.
        curve: How it was to move; None where it stays.
        start: Bars that were there already: the curve begins after them.
    """

    emotion: Emotion
    curve: EmotionCurve | None = None
    start: float = 0.0

    def at(self, place: float) -> Emotion:
        """Return what was asked at a place of the piece, in bars from its beginning."""
        return self.emotion if self.curve is None else self.curve.at(place - self.start)

    def corners(self, start: float, end: float) -> list[float]:
        """Return the places from one to another between which it runs straight."""
        points = () if self.curve is None else self.curve.points
        places = [point.bar + self.start for point in points]
        return [start, *(place for place in places if start < place < end), end]


def span(window: Window) -> tuple[float, float]:
    """Return where a window begins and ends: in bars from the beginning, else in seconds."""
    if window.bars is None:
        return window.start_s, window.end_s
    return window.bars[0] - 1.0, float(window.bars[1])


def _middle(window: Window) -> float:
    return sum(span(window)) / 2


def _told(window: Window, asked: Asked | None, heard: str) -> str:
    """Tell a window to those who do not see it."""
    words = f"{heard}{spoken(window)}"
    if asked is not None and _middle(window) > asked.start:
        words = f"asked {spoken(asked.at(_middle(window)))}, {words}"
    return f"{window.name_to(window)}: {words}"


def _colour(heard: Verdict | Window) -> str:
    return f"emo-{heard.quadrant.lower()}"


# The plane of valence and arousal


def plane(asked: Asked | None, heard: Verdict, windows: Sequence[Window]) -> str:
    """Draw what was asked and what is heard, with how sure it is.

    Args:
        asked: None where nothing was asked. Where it was to move, paths are drawn, window by
            window; without windows in bars, points.
        heard: The verdict on the whole.
        windows: In the order of time; there may be gaps.

    Returns:
        An SVG, and a table of the points under it.
    """
    shares = ", ".join(f"{name} {percent(share)}" for name, share in heard.probabilities.items())
    point = None if asked is None else asked.emotion
    if asked is not None and asked.curve is not None and windows and windows[0].bars is not None:
        end = span(windows[-1])[1]
        marks = _paths(asked, windows, end)
        told = "; ".join(_told(window, asked, "heard ") for window in windows)
        label = f"The emotion's path: {told}; the whole: {shares}"
        rows = [_row("from", asked.at(asked.start)), _row("to", asked.at(end))]
    else:
        marks = _points(point, heard)
        label = f"heard {spoken(heard)}, give or take {heard.valence_sd:.2f}"
        label += f" and {heard.arousal_sd:.2f}; {shares}"
        label = label.capitalize() if point is None else f"Asked {spoken(point)}; {label}"
        rows = [] if point is None else [_row("asked", point)]
    picture = drawing(_ground(heard) + marks, complex(SIZE, SIZE), label, "emo-plane-svg")
    titles = "".join(tag("th", name, scope="col") for name in (*AXES, "near"))
    corner = tag("th", tag("span", "point", class_="emo-sr"), scope="col")
    body = tag("tbody", "".join([*rows, _row("heard", heard)]))
    return picture + tag(
        "table", tag("thead", tag("tr", corner + titles)) + body, class_="emo-points"
    )


def _place(point: Point) -> complex:
    return CENTRE + RADIUS * complex(point.valence, -point.arousal)


def _ground(heard: Verdict) -> str:
    """Draw the quadrants, each tinted as it is probable, and the axes."""
    right, down = complex(RADIUS, 0), complex(0, RADIUS)
    return "".join(
        [
            *(_sector(name, heard) for name in QUADRANTS),
            circle("emo-rim", CENTRE, RADIUS),
            line("emo-axis", CENTRE - right, CENTRE + right),
            line("emo-axis", CENTRE - down, CENTRE + down),
            text(CENTRE - down - 8j, "arousal +", "emo-faint", anchor="middle"),
            text(CENTRE + down + 17j, "−", "emo-faint", anchor="middle"),
            text(CENTRE + right + 6 + 4j, "+", "emo-faint"),
            text(CENTRE + right + 4 + 18j, "valence", "emo-faint"),
            text(CENTRE - right - 8 + 4j, "−", "emo-faint", anchor="end"),
        ]
    )


def _sector(name: str, heard: Verdict) -> str:
    right, up = SIDES[name]
    share, sweep = heard.probabilities[name], int(right * up < 0)
    x, y = CENTRE.real + right * RADIUS, CENTRE.imag - up * RADIUS
    outline = (
        f"M{CENTRE.real:g} {CENTRE.imag:g}L{x:g} {CENTRE.imag:g}"
        f"A{RADIUS:g} {RADIUS:g} 0 0 {sweep} {CENTRE.real:g} {y:g}Z"
    )
    tint = tag("path", class_="emo-tint", d=outline, fill_opacity=round(0.04 + 0.3 * share, 3))
    anchor, at = ("end", SIZE - 4) if right > 0 else ("start", 4.0)
    corner = complex(at, 20 if up > 0 else SIZE - 22)
    kind = "emo-share emo-most" if name == heard.quadrant else "emo-share"
    words = text(corner, f"{name}  {percent(share)}", kind, anchor=anchor)
    feel = text(corner + 15j, FEELS[name], "emo-faint", anchor=anchor)
    return tag("g", tint + words + feel, class_=f"emo-{name.lower()}")


def _points(asked: Emotion | None, heard: Verdict) -> str:
    there = _place(heard)
    dot = circle("emo-heard", there, DOT)
    cloud = tag("g", _cloud(heard) + dot, class_=_colour(heard))
    if asked is None:
        return cloud + text(there - 12j, "heard", "emo-tag", anchor="middle")
    here = _place(asked)
    way = there - here
    towards = way / abs(way) if abs(way) >= 1 else 1j
    names = _name(here, _free_side(asked, -towards), "asked") + _name(there, towards, "heard")
    return cloud + _arrow(here, there) + circle("emo-asked", here, RING) + names


def _cloud(heard: Verdict) -> str:
    """Draw one and two standard deviations round the heard point, inside the plane."""
    corner = CENTRE - complex(RADIUS, RADIUS)
    at = _place(heard) - corner
    ellipses = "".join(
        tag(
            "ellipse", class_=f"emo-sd emo-sd{times}", cx=at.real, cy=at.imag,
            rx=times * heard.valence_sd * RADIUS, ry=times * heard.arousal_sd * RADIUS,
        )
        for times in (2, 1)
    )  # fmt: skip
    side = 2 * RADIUS
    return tag("svg", ellipses, x=corner.real, y=corner.imag, width=side, height=side)


def _arrow(start: complex, end: complex) -> str:
    """Draw an arrow between the rims of two marks; none where they are close."""
    if abs(end - start) < 3 * (RING + DOT):
        return ""
    unit = (end - start) / abs(end - start)
    tip = end - unit * (DOT + 3)
    neck, wing = tip - 7 * unit, 3.5j * unit
    head = path("polygon", "emo-arrowhead", [tip, neck + wing, neck - wing])
    return line("emo-arrow", start + unit * RING, neck) + head


def _free_side(asked: Emotion, away: complex) -> complex:
    """Return the side for a word: inwards in a corner, where the quadrant's name stands."""
    in_corner = math.hypot(asked.valence, asked.arousal) > 1.1
    return complex(-math.copysign(1.0, asked.valence), 0.0) if in_corner else away


def _name(place: complex, side: complex, words: str) -> str:
    """Write a word beside a mark, on the side given, inside the picture."""
    anchor = "middle" if abs(side.real) < 0.5 else "start" if side.real > 0 else "end"
    x = place.real + 12 * side.real
    x += {"start": min(0.0, SIZE - 36 - x), "end": max(0.0, 36 - x), "middle": 0.0}[anchor]
    return text(complex(x, place.imag + 14 * side.imag + 4), words, "emo-tag", anchor=anchor)


def _paths(asked: Asked, windows: Sequence[Window], end: float) -> str:
    """Draw the asked and the heard path, with a thread between what belongs together."""
    wanted = {
        i: _place(asked.at(_middle(window)))
        for i, window in enumerate(windows)
        if _middle(window) > asked.start
    }
    heard = {i: _place(window) for i, window in enumerate(windows)}
    corners = [_place(asked.at(place)) for place in asked.corners(asked.start, end)]
    return "".join(
        [
            *(line("emo-thread", place, heard[i]) for i, place in wanted.items()),
            path("polyline", "emo-asked-path", corners),
            path("polyline", "emo-heard-path", heard.values()),
            *_beads(windows, wanted, "asked"),
            *_beads(windows, heard, "heard"),
        ]
    )


def _beads(windows: Sequence[Window], places: Mapping[int, complex], kind: str) -> Iterator[str]:
    """Draw a bead for each window, those without a number first: they lie below."""
    ends = {min(places, default=0), max(places, default=0)}
    numbered: Collection[int] = places if len(places) <= MAX_NUMBERED else ends
    for i in sorted(places, key=lambda i: i in numbered):
        bead = circle(f"emo-{kind}", places[i], BEAD if i in numbered else SMALL)
        if i in numbered:
            label = f"emo-bead emo-bead-{kind}"
            bead += text(places[i] + 3.5j, str(i + 1), label, anchor="middle")
        yield tag("g", bead, class_=_colour(windows[i]))


def _row(title: str, point: Emotion | Verdict) -> str:
    """Write a point, with the emotions that lie near."""
    key, spreads = "emo-key-asked", ("", "")
    if isinstance(point, Verdict):
        key = f"emo-key-heard {_colour(point)}"
        spreads = (f" ± {point.valence_sd:.2f}", f" ± {point.arousal_sd:.2f}")
    mark = tag("span", class_=f"emo-key {key}", aria_hidden="true")
    if title in ("from", "to"):
        mark += tag("span", "asked ", class_="emo-sr")
    cells = [
        tag("td", signed(value) + tag("span", spread, class_="emo-dim"))
        for value, spread in zip((point.valence, point.arousal), spreads, strict=True)
    ]
    near = ", ".join(nearest_names(Emotion(point.valence, point.arousal), 2))
    names = tag("td", near, class_="emo-near")
    return tag("tr", tag("th", mark + title, scope="row") + "".join(cells) + names)


# Valence and arousal over the bars


@dataclass(frozen=True)
class CoursePanel:
    """Turn places of a piece, and values of valence or arousal, into places of the picture."""

    axis: str
    end: float
    top: float

    def x(self, place: float) -> float:
        """Return the way to a place, in bars or seconds from the beginning."""
        return LEFT + (RIGHT - LEFT) * place / self.end

    def at(self, place: float, point: Point) -> complex:
        """Return where the value of a point lies."""
        value = point.valence if self.axis == "valence" else point.arousal
        return complex(self.x(place), self.top + PANEL * (1 - value) / 2)

    def asked(self, asked: Asked, start: float, end: float) -> list[complex]:
        """Return the corners of the asked line between two places."""
        return [self.at(place, asked.at(place)) for place in asked.corners(start, end)]


def course(asked: Asked | None, windows: Sequence[Window]) -> str:
    """Draw valence and arousal over the bars: asked as a line, heard as steps.

    Args:
        asked: None where nothing was asked; a curve counts bars, so it needs windows that do.
        windows: In the order of time; without any, nothing is drawn.

    Returns:
        An SVG and its legend, or an empty text.
    """
    if not windows:
        return ""
    if asked is not None and windows[0].bars is None:
        asked = Asked(asked.emotion)
    end = span(windows[-1])[1]
    tops = (TOP, TOP + PANEL + GAP)
    parts = [
        _panel(CoursePanel(axis, end, top), asked, windows)
        for axis, top in zip(AXES, tops, strict=True)
    ]
    foot = CoursePanel("", end, tops[1] + PANEL + 10)
    parts += [*(_cell(foot, window) for window in windows), *_ticks(foot, windows)]
    told = "; ".join(_told(window, asked, f"heard {window.quadrant}, ") for window in windows)
    label = f"Valence and arousal over the piece; {told}"
    picture = drawing("".join(parts), complex(WIDTH, HEIGHT), label, "emo-course-svg")
    keys = [("emo-key-line", "asked")] if asked is not None else []
    keys.append(("emo-key-step", "heard, in the colour of its quadrant"))
    return picture + legend(keys)


def legend(keys: Sequence[tuple[str, str]]) -> str:
    """Explain marks, each given by its classes and its words."""
    parts = [
        tag("span", tag("span", class_=f"emo-key {kind}", aria_hidden="true") + words)
        for kind, words in keys
    ]
    return tag("p", "".join(parts), class_="emo-legend")


def _panel(panel: CoursePanel, asked: Asked | None, windows: Sequence[Window]) -> str:
    parts = [text(complex(LEFT, panel.top - 7), panel.axis, "emo-strong")]
    for value, words in ((1.0, "+1"), (0.0, "0"), (-1.0, "−1")):
        left = complex(LEFT, panel.top + PANEL * (1 - value) / 2)
        kind = "emo-axis" if value == 0 else "emo-grid"
        parts.append(line(kind, left, complex(RIGHT, left.imag)))
        parts.append(text(left - 5 + 3.5j, words, "emo-faint", anchor="end"))
    if asked is not None:
        parts += [_gap(panel, asked, window) for window in windows]
    for before, after in pairwise(windows):  # joined by thin lines, so that the eye follows
        place = span(before)[1]
        if place == span(after)[0]:
            parts.append(line("emo-riser", panel.at(place, before), panel.at(place, after)))
    if asked is not None:
        corners = panel.asked(asked, asked.start, panel.end)
        parts.append(path("polyline", "emo-asked-line", corners))
    for window in windows:
        start, end = (panel.at(place, window) for place in span(window))
        parts.append(line(f"emo-step {_colour(window)}", start + 1.5, end - 1.5))
    return tag("g", "".join(parts), class_=f"emo-panel emo-panel-{panel.axis}")


def _gap(panel: CoursePanel, asked: Asked, window: Window) -> str:
    """Shade what lies between asked and heard in a window."""
    start, end = max(span(window)[0], asked.start), span(window)[1]
    if start >= end:
        return ""
    corners = panel.asked(asked, start, end)
    corners += [panel.at(end, window), panel.at(start, window)]
    return path("polygon", f"emo-gap {_colour(window)}", corners)


def _cell(foot: CoursePanel, window: Window) -> str:
    """Name the quadrant heard in a window, in the row under the panels."""
    start, end = (foot.x(place) for place in span(window))
    width = end - start - 1.5
    inside = tag(
        "rect", class_="emo-cell", x=start + 0.75, y=foot.top, width=width, height=BAND, rx=2
    )
    if width >= NARROW:
        middle = complex(start + 0.75 + width / 2, foot.top + 12)
        inside += text(middle, window.quadrant, "emo-cell-name", anchor="middle")
    return tag("g", inside, class_=_colour(window))


def _ticks(foot: CoursePanel, windows: Sequence[Window]) -> Iterator[str]:
    """Number the first bar of each window, or write its time, as far as there is room."""
    y, reach, in_bars = foot.top + BAND + 14, -TICK_ROOM, windows[0].bars is not None
    for i, window in enumerate(windows):
        start, _ = span(window)
        x = foot.x(start)
        if x - reach < (TICK_ROOM if i else 0):
            continue
        words = f"{start + 1:g}" if in_bars else "{}:{:02d}".format(*divmod(round(start), 60))
        yield text(complex(x + 1, y), f"bar {words}" if in_bars and i == 0 else words, "emo-faint")
        reach = x + (0.0 if in_bars and i else 10.0)
    if in_bars and RIGHT - reach >= 1.5 * TICK_ROOM:
        yield text(complex(RIGHT, y), f"{foot.end:g}", "emo-faint", anchor="end")
