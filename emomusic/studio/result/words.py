"""Numbers and texts as the result shows them, and tags around them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping
from typing import Any

from emomusic.emotion import Emotion

# Gradio fills templates in the browser; these three never begin a placeholder if written so.
_PLACEHOLDERS = {"$": "&#36;", "{": "&#123;", "}": "&#125;"}


def escaped(text: object) -> str:
    """Return a text that is safe between tags and inside quoted attributes."""
    safe = html.escape(str(text), quote=True)
    return "".join(_PLACEHOLDERS.get(letter, letter) for letter in safe)


def number(value: object, name: str) -> float:
    """Return a finite number of a card.

    Raises:
        ValueError: If it is none; the message names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def signed(value: float) -> str:
    """Write a value of valence or arousal with its sign and two decimals, such as `−0.40`."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def spoken(value: float) -> str:
    """Write it as screen readers say it well, such as `-0.40`: they skip the typographic minus."""
    text = f"{value:.2f}"
    return "0.00" if float(text) == 0 else text


def said(emotion: Emotion) -> str:
    """Tell a point in words."""
    return f"valence {spoken(emotion.valence)}, arousal {spoken(emotion.arousal)}"


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
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


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


def shape(name: str, **attributes: object) -> str:
    """Return an SVG element without content."""
    return tag(name, "", **attributes)


def text_at(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return words in an SVG.

    Args:
        x: In units of the view box.
        y: The line on which they stand.
        words: As they are; escaped here.
        kind: Further classes.
        anchor: "start", "middle" or "end" lies at x.
    """
    return tag("text", escaped(words), x=x, y=y, class_=kind or None, text_anchor=anchor)


def joined(places: Iterable[tuple[float, float]]) -> str:
    """Write the corners of a line or a polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def drawing(inside: str, width: float, height: float, label: str, kind: str) -> str:
    """Return an SVG that screen readers take as one picture with a label."""
    box = f"0 0 {width:g} {height:g}"
    return tag("svg", inside, class_=kind, viewBox=box, role="img", aria_label=label)


def figure(title: str, inside: str, kind: str) -> str:
    """Return a figure under its title."""
    caption = tag("figcaption", escaped(title), class_="emo-title")
    return tag("figure", caption + inside, class_=f"emo-figure {kind}")


def section(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a card; an empty one if it is not there."""
    found = card.get(name)
    return found if isinstance(found, Mapping) else {}


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escaped(value)
