"""The asked and the heard point in the plane of valence and arousal, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from emomusic.emotion import QUADRANTS, Emotion
from emomusic.studio.result.reading import Asked, Heard, Run, near
from emomusic.studio.result.words import (
    drawing,
    joined,
    percent,
    said,
    shape,
    signed,
    tag,
    text_at,
)

SIZE = 340.0
CENTRE, RADIUS = SIZE / 2, 130.0
"""The circle is one unit of valence and of arousal in radius."""
FEELS = {"Q1": "happy", "Q2": "tense", "Q3": "sad", "Q4": "calm"}
SIDES = {"Q1": (1, 1), "Q2": (-1, 1), "Q3": (-1, -1), "Q4": (1, -1)}
RING, DOT = 6.0, 5.5
BEAD, SMALL = 7.5, 3.5
MAX_NUMBERED = 4
"""On a path of more windows than these only the first and the last are numbered."""


def plane(asked: Asked | None, heard: Heard, run: Run) -> str:
    """Draw what was asked and what is heard, with how sure it is.

    Args:
        asked: None where nothing was asked. Where it was to move, paths are drawn, window by
            window.
        heard: The verdict on the whole.
        run: The windows.

    Returns:
        An SVG, and a table of the points under it.
    """
    if asked is not None and asked.curve is not None and run.in_bars and run.stretches:
        marks, label = _paths(asked, run), _path_words(asked, run, heard)
        rows = [_row("from", asked.at(asked.start)), _row("to", asked.at(run.end))]
    else:
        point = None if asked is None else asked.emotion
        marks, label = _points(point, heard), _words(point, heard)
        rows = [] if point is None else [_row("asked", point)]
    picture = drawing(_ground(heard) + marks, SIZE, SIZE, label, "emo-plane-svg")
    return picture + _table([*rows, _row("heard", heard.point, heard)])


def _ground(heard: Heard) -> str:
    """Draw the quadrants, each tinted as it is probable, and the axes."""
    low, high = CENTRE - RADIUS, CENTRE + RADIUS
    return "".join(
        [
            *(_sector(name, heard) for name in QUADRANTS),
            shape("circle", class_="emo-rim", cx=CENTRE, cy=CENTRE, r=RADIUS),
            shape("line", class_="emo-axis", x1=low, x2=high, y1=CENTRE, y2=CENTRE),
            shape("line", class_="emo-axis", x1=CENTRE, x2=CENTRE, y1=low, y2=high),
            text_at(CENTRE, low - 8, "arousal +", "emo-faint", "middle"),
            text_at(CENTRE, high + 17, "−", "emo-faint", "middle"),
            text_at(high + 6, CENTRE + 4, "+", "emo-faint"),
            text_at(high + 4, CENTRE + 18, "valence", "emo-faint"),
            text_at(low - 8, CENTRE + 4, "−", "emo-faint", "end"),
        ]
    )


def _sector(name: str, heard: Heard) -> str:
    right, up = SIDES[name]
    x, y = CENTRE + right * RADIUS, CENTRE - up * RADIUS
    sweep = 1 if right * up < 0 else 0
    outline = (
        f"M{CENTRE:g} {CENTRE:g}L{x:g} {CENTRE:g}"
        f"A{RADIUS:g} {RADIUS:g} 0 0 {sweep} {CENTRE:g} {y:g}Z"
    )
    share = heard.probabilities[name]
    tint = shape("path", class_="emo-tint", d=outline, fill_opacity=round(0.04 + 0.3 * share, 3))
    anchor, at = ("end", SIZE - 4) if right > 0 else ("start", 4.0)
    top = 20.0 if up > 0 else SIZE - 22
    kind = "emo-share emo-most" if name == heard.quadrant else "emo-share"
    words = text_at(at, top, f"{name}  {percent(share)}", kind, anchor)
    feel = text_at(at, top + 15, FEELS[name], "emo-faint", anchor)
    return tag("g", tint + words + feel, class_=f"emo-{name.lower()}")


def _points(asked: Emotion | None, heard: Heard) -> str:
    x, y = _place(heard.point)
    dot = shape("circle", class_="emo-heard", cx=x, cy=y, r=DOT)
    cloud = tag("g", _cloud(heard) + dot, class_=f"emo-{heard.quadrant.lower()}")
    if asked is None:
        return cloud + text_at(x, y - 12, "heard", "emo-tag", "middle")
    away = _away(_place(asked), (x, y))
    ring = _ring(asked)
    names = _tag_at(_place(asked), _free_side(asked, away), "asked") + _tag_at(
        (x, y), (-away[0], -away[1]), "heard"
    )
    return cloud + _arrow(_place(asked), (x, y)) + ring + names


def _cloud(heard: Heard) -> str:
    """Draw one and two standard deviations round the heard point, inside the plane."""
    x, y = _place(heard.point)
    low = CENTRE - RADIUS
    ellipses = "".join(
        shape(
            "ellipse",
            class_=f"emo-sd emo-sd{times}",
            cx=x - low,
            cy=y - low,
            rx=times * heard.spread[0] * RADIUS,
            ry=times * heard.spread[1] * RADIUS,
        )
        for times in (2, 1)
    )
    return tag("svg", ellipses, x=low, y=low, width=2 * RADIUS, height=2 * RADIUS)


def _paths(asked: Asked, run: Run) -> str:
    """Draw the asked and the heard path, with a thread between what belongs together."""
    wanted = {
        i: _place(asked.at(stretch.middle))
        for i, stretch in enumerate(run.stretches)
        if stretch.middle > asked.start
    }
    heard = {i: _place(stretch.point) for i, stretch in enumerate(run.stretches)}
    threads = "".join(
        shape("line", class_="emo-thread", x1=x, y1=y, x2=heard[i][0], y2=heard[i][1])
        for i, (x, y) in wanted.items()
    )
    places = asked.corners(asked.start, run.end)
    line = [_place(asked.at(place)) for place in places]
    lines = shape("polyline", class_="emo-asked-path", points=joined(line))
    lines += shape("polyline", class_="emo-heard-path", points=joined(heard.values()))
    return threads + lines + "".join([*_beads(run, wanted, "asked"), *_beads(run, heard, "heard")])


def _beads(run: Run, places: Mapping[int, tuple[float, float]], kind: str) -> Iterator[str]:
    """Draw a bead for each window, those without a number first: they lie below."""
    ends = {min(places, default=0), max(places, default=0)}
    numbered = set(places) if len(places) <= MAX_NUMBERED else ends
    for i in sorted(places, key=lambda i: i in numbered):
        x, y = places[i]
        size = BEAD if i in numbered else SMALL
        dot = shape("circle", class_=f"emo-{kind}", cx=x, cy=y, r=size)
        label = f"emo-bead emo-bead-{kind}"
        words = text_at(x, y + 3.5, str(i + 1), label, "middle") if i in numbered else ""
        yield tag("g", dot + words, class_=f"emo-{run.stretches[i].quadrant.lower()}")


def _ring(asked: Emotion) -> str:
    x, y = _place(asked)
    return shape("circle", class_="emo-asked", cx=x, cy=y, r=RING)


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Draw an arrow between the rims of two marks; none where they are close."""
    length = math.dist(start, end)
    if length < 3 * (RING + DOT):
        return ""
    ux, uy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    tip = (end[0] - ux * (DOT + 3), end[1] - uy * (DOT + 3))
    neck = (tip[0] - 7 * ux, tip[1] - 7 * uy)
    wings = [(neck[0] - 3.5 * uy, neck[1] + 3.5 * ux), (neck[0] + 3.5 * uy, neck[1] - 3.5 * ux)]
    line = shape(
        "line",
        class_="emo-arrow",
        x1=start[0] + ux * RING,
        y1=start[1] + uy * RING,
        x2=neck[0],
        y2=neck[1],
    )
    return line + shape("polygon", class_="emo-arrowhead", points=joined([tip, *wings]))


def _away(place: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the direction, one long, that leads from another place to this one."""
    length = math.dist(place, other)
    if length < 1:
        return 0.0, -1.0
    return (place[0] - other[0]) / length, (place[1] - other[1]) / length


def _free_side(asked: Emotion, away: tuple[float, float]) -> tuple[float, float]:
    """Return the side for a tag: inwards in a corner, where the quadrant's name stands."""
    in_corner = math.hypot(asked.valence, asked.arousal) > 1.1
    return (-math.copysign(1.0, asked.valence), 0.0) if in_corner else away


def _tag_at(place: tuple[float, float], side: tuple[float, float], words: str) -> str:
    """Write a word beside a mark, on the side given, inside the picture."""
    anchor = "middle" if abs(side[0]) < 0.5 else "start" if side[0] > 0 else "end"
    x = place[0] + 12 * side[0]
    x += {"start": max(0.0, 36 + x - SIZE) * -1, "end": max(0.0, 36 - x), "middle": 0.0}[anchor]
    return text_at(x, place[1] + 14 * side[1] + 4, words, "emo-tag", anchor)


def _place(point: Emotion) -> tuple[float, float]:
    return CENTRE + point.valence * RADIUS, CENTRE - point.arousal * RADIUS


def _words(asked: Emotion | None, heard: Heard) -> str:
    """Tell the picture to those who do not see it."""
    told = f"heard {said(heard.point)}, give or take {heard.spread[0]:.2f}"
    told += f" and {heard.spread[1]:.2f}; {_shares(heard)}"
    return told.capitalize() if asked is None else f"Asked {said(asked)}; {told}"


def _path_words(asked: Asked, run: Run, heard: Heard) -> str:
    parts = []
    for stretch in run.stretches:
        wanted = f"asked {said(asked.at(stretch.middle))}, " if stretch.middle > asked.start else ""
        parts.append(f"{run.where(stretch)}: {wanted}heard {said(stretch.point)}")
    return f"The emotion's path: {'; '.join(parts)}; the whole: {_shares(heard)}"


def _shares(heard: Heard) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in heard.probabilities.items())


def _table(rows: list[str]) -> str:
    """Write the points as a table, with the emotions that lie near."""
    titles = "".join(tag("th", name, scope="col") for name in ("valence", "arousal", "near"))
    corner = tag("th", tag("span", "point", class_="emo-sr"), scope="col")
    head = tag("thead", tag("tr", corner + titles))
    return tag("table", head + tag("tbody", "".join(rows)), class_="emo-points")


def _row(title: str, point: Emotion, heard: Heard | None = None) -> str:
    key = "emo-key-asked" if heard is None else f"emo-key-heard emo-{heard.quadrant.lower()}"
    mark = tag("span", class_=f"emo-key {key}", aria_hidden="true")
    if title in ("from", "to"):
        mark += tag("span", "asked ", class_="emo-sr")
    spreads = ("", "") if heard is None else tuple(f" ± {sd:.2f}" for sd in heard.spread)
    cells = [
        tag("td", signed(value) + tag("span", spread, class_="emo-dim"))
        for value, spread in zip((point.valence, point.arousal), spreads, strict=True)
    ]
    names = tag("td", near(point), class_="emo-near")
    return tag("tr", tag("th", mark + title, scope="row") + "".join(cells) + names)
