"""The emotion over the bars of a piece, asked against heard, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emomusic.emotion import Emotion
from emomusic.studio.result.reading import Asked, HeardWindow, Run
from emomusic.studio.result.words import drawing, joined, said, shape, tag, text_at

WIDTH, LEFT, RIGHT = 340.0, 28.0, 334.0
PANEL, TOP, GAP = 100.0, 22.0, 34.0
BAND = 16.0
"""Height of the row that names the quadrant of each window."""
HEIGHT = TOP + 2 * PANEL + GAP + 10 + BAND + 20
AXES = ("valence", "arousal")
NARROW = 24.0
"""A window that is narrower than this shows its quadrant by colour alone."""
TICK_ROOM = 22.0
"""Numbers on the axis keep this far apart."""


@dataclass(frozen=True)
class _Scale:
    """Turn places of a piece and values of an axis into those of the picture."""

    end: float
    top: float

    def x(self, place: float) -> float:
        return LEFT + (RIGHT - LEFT) * place / self.end

    def y(self, value: float) -> float:
        return self.top + PANEL * (1 - value) / 2


def course(asked: Asked | None, run: Run) -> str:
    """Draw valence and arousal over the bars: asked as a line, heard as steps.

    Args:
        asked: None where nothing was asked; a curve counts bars, so it needs a run that does.
        run: The windows; without any, nothing is drawn.

    Returns:
        An SVG and its legend, or an empty text.
    """
    if not run.stretches:
        return ""
    wanted = asked if run.in_bars else _level(asked)
    tops = (TOP, TOP + PANEL + GAP)
    panels = "".join(
        _panel(axis, _Scale(run.end, top), wanted, run)
        for axis, top in zip(AXES, tops, strict=True)
    )
    foot = _Scale(run.end, tops[1] + PANEL + 10)
    inside = panels + _band(foot, run) + _ticks(foot, run)
    picture = drawing(inside, WIDTH, HEIGHT, _words(wanted, run), "emo-course-svg")
    return picture + _legend(wanted)


def _level(asked: Asked | None) -> Asked | None:
    """Return what was asked without what counts bars."""
    return None if asked is None or asked.emotion is None else Asked(asked.emotion)


def _panel(axis: str, scale: _Scale, wanted: Asked | None, run: Run) -> str:
    parts = [text_at(LEFT, scale.top - 7, axis, "emo-strong")]
    for value, words in ((1.0, "+1"), (0.0, "0"), (-1.0, "−1")):
        kind = "emo-axis" if value == 0 else "emo-grid"
        y = scale.y(value)
        parts.append(shape("line", class_=kind, x1=LEFT, x2=RIGHT, y1=y, y2=y))
        parts.append(text_at(LEFT - 5, y + 3.5, words, "emo-faint", "end"))
    if wanted is not None:
        parts.extend(_gap(axis, scale, wanted, stretch) for stretch in run.stretches)
    parts.extend(_risers(axis, scale, run.stretches))
    if wanted is not None:
        corners = _line(axis, scale, wanted, (wanted.start, run.end))
        parts.append(shape("polyline", class_="emo-asked-line", points=joined(corners)))
    parts.extend(_step(axis, scale, stretch) for stretch in run.stretches)
    return tag("g", "".join(parts), class_=f"emo-panel emo-panel-{axis}")


def _gap(axis: str, scale: _Scale, wanted: Asked, stretch: HeardWindow) -> str:
    """Shade what lies between asked and heard in a window."""
    start = max(stretch.start, wanted.start)
    if start >= stretch.end:
        return ""
    y = scale.y(_value(stretch.point, axis))
    corners = _line(axis, scale, wanted, (start, stretch.end))
    corners += [(scale.x(stretch.end), y), (scale.x(start), y)]
    return shape("polygon", class_=f"emo-gap {_kind(stretch)}", points=joined(corners))


def _step(axis: str, scale: _Scale, stretch: HeardWindow) -> str:
    y = scale.y(_value(stretch.point, axis))
    x1, x2 = scale.x(stretch.start) + 1.5, scale.x(stretch.end) - 1.5
    return shape("line", class_=f"emo-step {_kind(stretch)}", x1=x1, x2=x2, y1=y, y2=y)


def _risers(axis: str, scale: _Scale, stretches: Sequence[HeardWindow]) -> Iterator[str]:
    """Join windows in a row by thin lines, so that the eye follows."""
    for left, right in pairwise(stretches):
        if left.end == right.start:
            x = scale.x(left.end)
            y1, y2 = (scale.y(_value(side.point, axis)) for side in (left, right))
            yield shape("line", class_="emo-riser", x1=x, x2=x, y1=y1, y2=y2)


def _line(
    axis: str, scale: _Scale, wanted: Asked, span: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return the corners of the asked line between two places."""
    places = wanted.corners(*span)
    return [(scale.x(place), scale.y(_value(wanted.at(place), axis))) for place in places]


def _band(scale: _Scale, run: Run) -> str:
    """Name the quadrant heard in each window, in a row under the panels."""
    return "".join(_cell(scale, stretch) for stretch in run.stretches)


def _cell(scale: _Scale, stretch: HeardWindow) -> str:
    x, width = scale.x(stretch.start) + 0.75, scale.x(stretch.end) - scale.x(stretch.start) - 1.5
    box = shape("rect", class_="emo-cell", x=x, y=scale.top, width=width, height=BAND, rx=2)
    words = ""
    if width >= NARROW:
        words = text_at(x + width / 2, scale.top + 12, stretch.quadrant, "emo-cell-name", "middle")
    return tag("g", box + words, class_=_kind(stretch))


def _ticks(scale: _Scale, run: Run) -> str:
    """Number the first bar of each window, or write its time, as far as there is room."""
    y, reach, parts = scale.top + BAND + 14, -TICK_ROOM, []
    for i, stretch in enumerate(run.stretches):
        x = scale.x(stretch.start)
        if x - reach < (TICK_ROOM if i else 0):
            continue
        words = f"{stretch.start + 1:g}" if run.in_bars else _clock(stretch.start)
        parts.append(text_at(x + 1, y, f"bar {words}" if _first(run, i) else words, "emo-faint"))
        reach = x + (0.0 if run.in_bars and i else 10.0)
    if run.in_bars and RIGHT - reach >= 1.5 * TICK_ROOM:
        parts.append(text_at(RIGHT, y, f"{run.end:g}", "emo-faint", "end"))
    return "".join(parts)


def _first(run: Run, i: int) -> bool:
    return i == 0 and run.in_bars


def _clock(at_s: float) -> str:
    minutes, seconds = divmod(round(at_s), 60)
    return f"{minutes}:{seconds:02d}"


def _legend(wanted: Asked | None) -> str:
    heard = tag("span", class_="emo-key emo-key-step", aria_hidden="true")
    parts = [tag("span", f"{heard}heard, in the colour of its quadrant")]
    if wanted is not None:
        line = tag("span", class_="emo-key emo-key-line", aria_hidden="true")
        parts.insert(0, tag("span", f"{line}asked"))
    return tag("p", "".join(parts), class_="emo-legend")


def _words(wanted: Asked | None, run: Run) -> str:
    """Tell the picture to those who do not see it."""
    parts = []
    for stretch in run.stretches:
        told = f"heard {stretch.quadrant}, {said(stretch.point)}"
        if wanted is not None and stretch.middle > wanted.start:
            told = f"asked {said(wanted.at(stretch.middle))}, {told}"
        parts.append(f"{run.where(stretch)}: {told}")
    return f"Valence and arousal over the piece; {'; '.join(parts)}"


def _value(point: Emotion, axis: str) -> float:
    return point.valence if axis == "valence" else point.arousal


def _kind(stretch: HeardWindow) -> str:
    return f"emo-{stretch.quadrant.lower()}"
