"""What was asked and what is heard, drawn as SVG: in the plane, and over the bars."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emomusic.emotion import QUADRANTS, Emotion, EmotionCurve, nearest_names
from emomusic.verify.explain import Window
from emomusic.verify.verifier import Verdict

Point = Emotion | Verdict | Window
AXES = ("valence", "arousal")
# Gradio fills templates in the browser; these three never begin a placeholder if written so.
_PLACEHOLDERS = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;"})

SIZE = 340.0
CENTRE, RADIUS = complex(SIZE / 2, SIZE / 2), 130.0
"""The circle is one unit of valence and of arousal in radius."""
CORNERS = {
    "Q1": (1, 1, "happy"),
    "Q2": (-1, 1, "tense"),
    "Q3": (-1, -1, "sad"),
    "Q4": (1, -1, "calm"),
}
RING, DOT = 6.0, 5.5
BEAD, SMALL = 7.5, 3.5
MAX_NUMBERED = 4
"""On a path of more windows than these only the first and the last are numbered."""

WIDTH, LEFT, RIGHT = 340.0, 28.0, 334.0
PANEL, TOP, GAP = 100.0, 22.0, 34.0
BAND = 16.0
"""Height of the row that names the quadrant of each window."""
NARROW = 24.0
"""A window that is narrower than this shows its quadrant by colour alone."""
TICK_ROOM = 22.0
"""Numbers on the axis keep this far apart."""


@dataclass(frozen=True)
class Asked:
    """Hold the emotion that was asked for, how it was to move, and in which bar that begins."""

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


# Words and tags


def escaped(words: object) -> str:
    """Return a text that is safe between tags and inside quoted attributes."""
    return html.escape(str(words), quote=True).translate(_PLACEHOLDERS)


def percent(share: float) -> str:
    """Write a share as whole per cent; what is neither nothing nor all is not called so."""
    if 0 < share < 0.005:
        return "< 1 %"
    return "> 99 %" if 0.995 <= share < 1 else f"{share:.0%}".replace("%", " %")


def tag(name: str, inside: str = "", **attributes: object) -> str:
    """Return an element around markup that is safe already.

    Of its attributes `class_` stands for class and `_` for a hyphen; values are escaped, numbers
    rounded to a hundredth, and None leaves one out.
    """
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{name}{''.join(parts)}>{inside}</{name}>"


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escaped(value)


def legend(keys: Sequence[tuple[str, str]]) -> str:
    """Explain marks, each given by its classes and its words."""
    parts = [
        tag("span", tag("span", class_=f"emo-key {kind}", aria_hidden="true") + words)
        for kind, words in keys
    ]
    return tag("p", "".join(parts), class_="emo-legend")


def _spoken(point: Point) -> str:
    """Tell a point in words; screen readers skip the typographic minus."""
    return f"valence {point.valence:z.2f}, arousal {point.arousal:z.2f}"


def _told(window: Window, asked: Asked | None, heard: str) -> str:
    """Tell a window to those who do not see it."""
    words = f"{heard}{_spoken(window)}"
    if asked is not None and _middle(window) > asked.start:
        words = f"asked {_spoken(asked.at(_middle(window)))}, {words}"
    return f"{window.name_to(window)}: {words}"


def _span(window: Window) -> tuple[float, float]:
    """Return where a window begins and ends: in bars from the beginning, else in seconds."""
    if window.bars is None:
        return window.start_s, window.end_s
    return window.bars[0] - 1.0, float(window.bars[1])


def _middle(window: Window) -> float:
    return sum(_span(window)) / 2


# Marks: places are complex numbers, x to the right and y down, in units of the view box


def _line(kind: str, start: complex, end: complex) -> str:
    return tag("line", class_=kind, x1=start.real, y1=start.imag, x2=end.real, y2=end.imag)


def _circle(kind: str, at: complex, r: float) -> str:
    return tag("circle", class_=kind, cx=at.real, cy=at.imag, r=r)


def _path(name: str, kind: str, corners: Iterable[complex]) -> str:
    points = " ".join(f"{corner.real:.1f},{corner.imag:.1f}" for corner in corners)
    return tag(name, class_=kind, points=points)


def _text(at: complex, words: str, kind: str, anchor: str = "start") -> str:
    return tag("text", escaped(words), x=at.real, y=at.imag, class_=kind, text_anchor=anchor)


def _drawing(inside: str, height: float, label: str, kind: str) -> str:
    """Return an SVG that screen readers take as one picture with a label."""
    box = f"0 0 {WIDTH:g} {height:g}"
    return tag("svg", inside, class_=kind, viewBox=box, role="img", aria_label=label)


def _colour(heard: Verdict | Window) -> str:
    return f"emo-{heard.quadrant.lower()}"


# The plane of valence and arousal


def plane(asked: Asked | None, heard: Verdict, windows: Sequence[Window]) -> str:
    """Draw what was asked and what is heard, and write the points in a table under it.

    What was to move is drawn as paths, window by window; without windows in bars, as points.
    """
    shares = ", ".join(f"{name} {percent(share)}" for name, share in heard.probabilities.items())
    if asked is not None and asked.curve is not None and windows and windows[0].bars is not None:
        end = _span(windows[-1])[1]
        marks = _paths(asked, windows, end)
        told = "; ".join(_told(window, asked, "heard ") for window in windows)
        label = f"The emotion's path: {told}; the whole: {shares}"
        rows = [_row("from", asked.at(asked.start)), _row("to", asked.at(end))]
    else:
        point = None if asked is None else asked.emotion
        marks = _points(point, heard)
        label = f"heard {_spoken(heard)}, give or take {heard.valence_sd:.2f}"
        label += f" and {heard.arousal_sd:.2f}; {shares}"
        label = label.capitalize() if point is None else f"Asked {_spoken(point)}; {label}"
        rows = [] if point is None else [_row("asked", point)]
    picture = _drawing(_ground(heard) + marks, SIZE, label, "emo-plane-svg")
    titles = [tag("span", "point", class_="emo-sr"), *AXES, "near"]
    head = tag("thead", tag("tr", "".join(tag("th", title, scope="col") for title in titles)))
    body = tag("tbody", "".join([*rows, _row("heard", heard)]))
    return picture + tag("table", head + body, class_="emo-points")


def _place(point: Point) -> complex:
    return CENTRE + RADIUS * complex(point.valence, -point.arousal)


def _ground(heard: Verdict) -> str:
    """Draw the quadrants, each tinted as it is probable, and the axes."""
    right, down = complex(RADIUS, 0), complex(0, RADIUS)
    words = (
        (-down - 8j, "arousal +", "middle"),
        (down + 17j, "−", "middle"),
        (right + 6 + 4j, "+", "start"),
        (right + 4 + 18j, "valence", "start"),
        (-right - 8 + 4j, "−", "end"),
    )
    return "".join(
        [
            *(_sector(name, heard) for name in QUADRANTS),
            _circle("emo-rim", CENTRE, RADIUS),
            *(_line("emo-axis", CENTRE - end, CENTRE + end) for end in (right, down)),
            *(_text(CENTRE + at, word, "emo-faint", anchor) for at, word, anchor in words),
        ]
    )


def _sector(name: str, heard: Verdict) -> str:
    right, up, feel = CORNERS[name]
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
    words = _text(corner, f"{name}  {percent(share)}", kind, anchor)
    words += _text(corner + 15j, feel, "emo-faint", anchor)
    return tag("g", tint + words, class_=f"emo-{name.lower()}")


def _points(asked: Emotion | None, heard: Verdict) -> str:
    """Draw what is heard, with one and two standard deviations inside the plane, and asked."""
    there, corner, side = _place(heard), CENTRE - complex(RADIUS, RADIUS), 2 * RADIUS
    ellipses = "".join(
        tag(
            "ellipse", class_=f"emo-sd emo-sd{times}",
            cx=there.real - corner.real, cy=there.imag - corner.imag,
            rx=times * heard.valence_sd * RADIUS, ry=times * heard.arousal_sd * RADIUS,
        )
        for times in (2, 1)
    )  # fmt: skip
    cloud = tag("svg", ellipses, x=corner.real, y=corner.imag, width=side, height=side)
    cloud = tag("g", cloud + _circle("emo-heard", there, DOT), class_=_colour(heard))
    if asked is None:
        return cloud + _text(there - 12j, "heard", "emo-tag", "middle")
    here = _place(asked)
    way = there - here
    towards = way / abs(way) if abs(way) >= 1 else 1j
    away = -towards
    if math.hypot(asked.valence, asked.arousal) > 1.1:  # a quadrant's name stands in the corner
        away = complex(-math.copysign(1.0, asked.valence), 0.0)
    names = _name(here, away, "asked") + _name(there, towards, "heard")
    return cloud + _arrow(here, there) + _circle("emo-asked", here, RING) + names


def _arrow(start: complex, end: complex) -> str:
    """Draw an arrow between the rims of two marks; none where they are close."""
    if abs(end - start) < 3 * (RING + DOT):
        return ""
    unit = (end - start) / abs(end - start)
    tip = end - unit * (DOT + 3)
    neck, wing = tip - 7 * unit, 3.5j * unit
    head = _path("polygon", "emo-arrowhead", [tip, neck + wing, neck - wing])
    return _line("emo-arrow", start + unit * RING, neck) + head


def _name(place: complex, side: complex, words: str) -> str:
    """Write a word beside a mark, on the side given, inside the picture."""
    anchor = "middle" if abs(side.real) < 0.5 else "start" if side.real > 0 else "end"
    x = place.real + 12 * side.real
    x += {"start": min(0.0, SIZE - 36 - x), "end": max(0.0, 36 - x), "middle": 0.0}[anchor]
    return _text(complex(x, place.imag + 14 * side.imag + 4), words, "emo-tag", anchor)


def _paths(asked: Asked, windows: Sequence[Window], end: float) -> str:
    """Draw the asked and the heard path, with a thread between what belongs together."""
    heard = {i: _place(window) for i, window in enumerate(windows)}
    middles = {i: _middle(window) for i, window in enumerate(windows)}
    wanted = {i: _place(asked.at(at)) for i, at in middles.items() if at > asked.start}
    corners = [_place(asked.at(place)) for place in asked.corners(asked.start, end)]
    return "".join(
        [
            *(_line("emo-thread", place, heard[i]) for i, place in wanted.items()),
            _path("polyline", "emo-asked-path", corners),
            _path("polyline", "emo-heard-path", heard.values()),
            *_beads(windows, wanted, "asked"),
            *_beads(windows, heard, "heard"),
        ]
    )


def _beads(windows: Sequence[Window], places: Mapping[int, complex], kind: str) -> Iterator[str]:
    """Draw a bead for each window, those without a number first: they lie below."""
    numbered = {*places} if len(places) <= MAX_NUMBERED else {min(places), max(places)}
    for i in sorted(places, key=lambda i: i in numbered):
        bead = _circle(f"emo-{kind}", places[i], BEAD if i in numbered else SMALL)
        if i in numbered:
            bead += _text(places[i] + 3.5j, str(i + 1), f"emo-bead emo-bead-{kind}", "middle")
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
    cells = [tag("th", mark + title, scope="row")]
    for value, spread in zip((point.valence, point.arousal), spreads, strict=True):
        signed = f"{value:+z.2f}".replace("-", "−").replace("+0.00", "0.00")
        cells.append(tag("td", signed + tag("span", spread, class_="emo-dim")))
    near = ", ".join(nearest_names(Emotion(point.valence, point.arousal), 2))
    return tag("tr", "".join(cells) + tag("td", near, class_="emo-near"))


# Valence and arousal over the bars


@dataclass(frozen=True)
class _Panel:
    """Turn places of a piece, and values of valence or arousal, into places of the picture."""

    axis: str
    end: float
    top: float

    def x(self, place: float) -> float:
        return LEFT + (RIGHT - LEFT) * place / self.end

    def at(self, place: float, point: Point) -> complex:
        value = point.valence if self.axis == "valence" else point.arousal
        return complex(self.x(place), self.top + PANEL * (1 - value) / 2)

    def asked(self, asked: Asked, start: float, end: float) -> list[complex]:
        """Return the corners of the asked line between two places."""
        return [self.at(place, asked.at(place)) for place in asked.corners(start, end)]


def course(asked: Asked | None, windows: Sequence[Window]) -> str:
    """Draw valence and arousal over the bars: asked as a line, heard as steps.

    Without windows nothing is drawn; a curve counts bars, so it needs windows that do.
    """
    if not windows:
        return ""
    if asked is not None and windows[0].bars is None:
        asked = Asked(asked.emotion)
    end, top, parts = _span(windows[-1])[1], TOP, list[str]()
    for axis in AXES:
        parts.append(_axis(_Panel(axis, end, top), asked, windows))
        top += PANEL + GAP
    foot = _Panel("", end, top - GAP + 10)
    parts += [*(_cell(foot, window) for window in windows), *_ticks(foot, windows)]
    told = "; ".join(_told(window, asked, f"heard {window.quadrant}, ") for window in windows)
    label = f"Valence and arousal over the piece; {told}"
    picture = _drawing("".join(parts), foot.top + BAND + 20, label, "emo-course-svg")
    keys = [("emo-key-line", "asked")] if asked is not None else []
    return picture + legend([*keys, ("emo-key-step", "heard, in the colour of its quadrant")])


def _axis(panel: _Panel, asked: Asked | None, windows: Sequence[Window]) -> str:
    parts = [_text(complex(LEFT, panel.top - 7), panel.axis, "emo-strong")]
    for value, words in ((1.0, "+1"), (0.0, "0"), (-1.0, "−1")):
        left = complex(LEFT, panel.top + PANEL * (1 - value) / 2)
        kind = "emo-axis" if value == 0 else "emo-grid"
        parts.append(_line(kind, left, complex(RIGHT, left.imag)))
        parts.append(_text(left - 5 + 3.5j, words, "emo-faint", "end"))
    if asked is not None:
        parts += [_gap(panel, asked, window) for window in windows]
    for before, after in pairwise(windows):  # joined by thin lines, so that the eye follows
        place = _span(before)[1]
        if place == _span(after)[0]:
            parts.append(_line("emo-riser", panel.at(place, before), panel.at(place, after)))
    if asked is not None:
        corners = panel.asked(asked, asked.start, panel.end)
        parts.append(_path("polyline", "emo-asked-line", corners))
    for window in windows:
        start, end = (panel.at(place, window) for place in _span(window))
        parts.append(_line(f"emo-step {_colour(window)}", start + 1.5, end - 1.5))
    return tag("g", "".join(parts), class_=f"emo-panel emo-panel-{panel.axis}")


def _gap(panel: _Panel, asked: Asked, window: Window) -> str:
    """Shade what lies between asked and heard in a window."""
    start, end = max(_span(window)[0], asked.start), _span(window)[1]
    if start >= end:
        return ""
    corners = panel.asked(asked, start, end)
    corners += [panel.at(end, window), panel.at(start, window)]
    return _path("polygon", f"emo-gap {_colour(window)}", corners)


def _cell(foot: _Panel, window: Window) -> str:
    """Name the quadrant heard in a window, in the row under the panels."""
    start, end = (foot.x(place) for place in _span(window))
    x, width = start + 0.75, end - start - 1.5
    inside = tag("rect", class_="emo-cell", x=x, y=foot.top, width=width, height=BAND, rx=2)
    if width >= NARROW:
        middle = complex(x + width / 2, foot.top + 12)
        inside += _text(middle, window.quadrant, "emo-cell-name", "middle")
    return tag("g", inside, class_=_colour(window))


def _ticks(foot: _Panel, windows: Sequence[Window]) -> Iterator[str]:
    """Number the first bar of each window, or write its time, as far as there is room."""
    y, reach, in_bars = foot.top + BAND + 14, -TICK_ROOM, windows[0].bars is not None
    for i, window in enumerate(windows):
        start, _ = _span(window)
        x = foot.x(start)
        if x - reach < (TICK_ROOM if i else 0):
            continue
        words = f"{start + 1:g}" if in_bars else "{}:{:02d}".format(*divmod(round(start), 60))
        yield _text(complex(x + 1, y), f"bar {words}" if in_bars and i == 0 else words, "emo-faint")
        reach = x + (0.0 if in_bars and i else 10.0)
    if in_bars and RIGHT - reach >= 1.5 * TICK_ROOM:
        yield _text(complex(RIGHT, y), f"{foot.end:g}", "emo-faint", "end")
