"""Numbers and words as the result shows them, and the tags around them."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Protocol

# Gradio fills templates in the browser; these three never begin a placeholder if written so.
_PLACEHOLDERS = str.maketrans({"$": "&#36;", "{": "&#123;", "}": "&#125;"})


class Point(Protocol):
    """Lie in the plane of emotion: an emotion that was asked for, a verdict, a window."""

    @property
    def valence(self) -> float:
        """In [-1, 1]."""

    @property
    def arousal(self) -> float:
        """In [-1, 1]."""


def escaped(text: object) -> str:
    """Return a text that is safe between tags and inside quoted attributes."""
    return html.escape(str(text), quote=True).translate(_PLACEHOLDERS)


def signed(value: float) -> str:
    """Write a value of valence or arousal with its sign and two decimals, such as `−0.40`."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def spoken(point: Point) -> str:
    """Tell a point in words; screen readers skip the typographic minus."""
    valence, arousal = (f"{value + 0.0:z.2f}" for value in (point.valence, point.arousal))
    return f"valence {valence}, arousal {arousal}"


def percent(share: float) -> str:
    """Write a share as whole per cent; what is neither nothing nor all is not called so."""
    if 0 < share < 0.005:
        return "< 1 %"
    if 0.995 <= share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def rounded(value: float, width: float) -> str:
    """Write an attribute's value with as many decimals as the width of its range calls for."""
    decimals = 0 if width >= 50 else 1 if width >= 5 else 2
    return f"{value:z.{decimals}f}".replace("-", "−")


def tag(name: str, inside: str = "", **attributes: object) -> str:
    """Return an element.

    Args:
        name: Of the element.
        inside: Markup, already safe.
        **attributes: `class_` stands for class and `_` for a hyphen; values are escaped, and
            numbers rounded to a hundredth; None leaves an attribute out.
    """
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{name}{''.join(parts)}>{inside}</{name}>"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escaped(value)


# Drawings: places are complex numbers, x to the right and y down, in units of the view box.


def line(kind: str, start: complex, end: complex) -> str:
    """Return a straight line of a class."""
    return tag("line", class_=kind, x1=start.real, y1=start.imag, x2=end.real, y2=end.imag)


def circle(kind: str, at: complex, r: float) -> str:
    """Return a circle of a class."""
    return tag("circle", class_=kind, cx=at.real, cy=at.imag, r=r)


def path(name: str, kind: str, corners: Iterable[complex]) -> str:
    """Return a `polyline` or a `polygon` of a class."""
    points = " ".join(f"{corner.real:.1f},{corner.imag:.1f}" for corner in corners)
    return tag(name, class_=kind, points=points)


def text(at: complex, words: str, kind: str | None = None, *, anchor: str = "start") -> str:
    """Return words, escaped here; their `start`, `middle` or `end` lies at a place."""
    return tag("text", escaped(words), x=at.real, y=at.imag, class_=kind, text_anchor=anchor)


def drawing(inside: str, size: complex, label: str, kind: str) -> str:
    """Return an SVG that screen readers take as one picture with a label."""
    box = f"0 0 {size.real:g} {size.imag:g}"
    return tag("svg", inside, class_=kind, viewBox=box, role="img", aria_label=label)
