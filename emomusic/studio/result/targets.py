"""What was asked of each attribute against what came out, as a table of small bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from emomusic.music.attributes import ATTRIBUTES, Attribute
from emomusic.studio.result.words import (
    escaped,
    number,
    percent,
    rounded,
    section,
    shape,
    tag,
)

CAUSED: Mapping[str, str] = {
    "mode": "mode",
    "tempo": "tempo",
    "loudness": "velocity_mean",
    "register": "register",
    "density": "note_density",
}
"""The attribute that stands for each cause of an explanation."""
N_SHOWN = 8
CLOSE, FAR = 0.1, 0.25
"""Shares of an attribute's range up to which it counts as met, and from which as missed."""
NAMED = ("for", "against")


@dataclass(frozen=True)
class TargetRow:
    """Hold one attribute of a clip.

    Attributes:
        attribute: Its entry in the registry.
        achieved: Measured.
        asked: Its target; None where it was free.
    """

    attribute: Attribute
    achieved: float
    asked: float | None

    @property
    def width(self) -> float:
        """Return the width of the attribute's natural range."""
        return self.attribute.high - self.attribute.low

    @property
    def apart(self) -> float | None:
        """Return how far asked and achieved lie apart, as a share of the range; None if free."""
        return None if self.asked is None else abs(self.achieved - self.asked) / self.width

    @property
    def closeness(self) -> str:
        """Return "free", "close", "off" or "far"."""
        if self.apart is None:
            return "free"
        return "close" if self.apart <= CLOSE else "off" if self.apart < FAR else "far"


def rows_of(achieved: Mapping[str, Any], targets: Mapping[str, Any]) -> tuple[TargetRow, ...]:
    """Return the attributes that were measured, in the order of the registry.

    Raises:
        ValueError: If a value is no finite number.
    """
    return tuple(
        TargetRow(
            attribute=entry,
            achieved=number(achieved[entry.name], entry.name),
            asked=number(targets[entry.name], entry.name) if entry.name in targets else None,
        )
        for entry in ATTRIBUTES
        if entry.name in achieved
    )


def targets(card: Mapping[str, Any], *, fixed: Collection[str] = ()) -> str:
    """Write asked against achieved for each attribute.

    Eight stand open: those that were fixed, those that the explanation names, those that stand
    for its other causes, then in the order of the registry; more only if more were fixed or
    named. The rest is folded.

    Args:
        card: With `achieved` (or `attributes`, as verification calls them) and maybe `targets`.
        fixed: Names of the attributes that were asked for by themselves.

    Returns:
        One table, or two, the second in `<details>`; an empty text if nothing was measured.

    Raises:
        ValueError: If a value is no finite number.
    """
    rows = rows_of(
        section(card, "achieved") or section(card, "attributes"), section(card, "targets")
    )
    if not rows:
        return ""
    open_names = _first(rows, card, fixed)
    shown = [row for row in rows if row.attribute.name in open_names]
    folded = [row for row in rows if row.attribute.name not in open_names]
    asked = any(row.asked is not None for row in rows)
    parts = [_table(shown, asked, fixed, "the attributes that matter most")]
    if folded:
        summary = tag("summary", f"{len(folded)} more attributes")
        table = _table(folded, asked, fixed, "the other attributes")
        parts.append(tag("details", summary + table, class_="emo-more"))
    return "".join([*parts, _legend(asked)])


def _first(
    rows: tuple[TargetRow, ...], card: Mapping[str, Any], fixed: Collection[str]
) -> set[str]:
    """Choose the attributes that stand open."""
    effects = section(card, "explanation").get("effects") or ()
    named = [CAUSED.get(str(e.get("cause"))) for e in effects if e.get("role") in NAMED]
    there = [row.attribute.name for row in rows]
    must = [name for name in there if name in fixed or name in named]
    rest = [name for name in (*CAUSED.values(), *there) if name in there and name not in must]
    n_more = max(0, N_SHOWN - len(must))
    return {*must, *list(dict.fromkeys(rest))[:n_more]}


def _table(rows: list[TargetRow], asked: bool, fixed: Collection[str], words: str) -> str:
    kind = "Asked and achieved: " if asked else "Measured: "
    caption = tag("caption", kind + words, class_="emo-sr")
    values = ("asked", "achieved") if asked else ("measured",)
    titles = [tag("th", tag("span", "attribute", class_="emo-sr"), scope="col")]
    titles.append(tag("td", class_="emo-bar-cell", aria_hidden="true"))
    titles.extend(tag("th", title, scope="col", class_="emo-num") for title in values)
    head = tag("thead", tag("tr", "".join(titles)))
    body = tag("tbody", "".join(_row(row, asked, row.attribute.name in fixed) for row in rows))
    return tag("table", caption + head + body, class_="emo-targets")


def _row(row: TargetRow, asked: bool, is_fixed: bool) -> str:
    entry = row.attribute
    unit = tag("span", f" {escaped(entry.unit)}", class_="emo-unit")
    own = tag("span", " fixed", class_="emo-fixed") if is_fixed else ""
    name = escaped(entry.name.replace("_", " "))
    cells = [
        tag("th", name + own + unit, scope="row", title=entry.explanation),
        tag("td", _bar(row), class_="emo-bar-cell", aria_hidden="true"),
    ]
    if asked:
        wanted = "free" if row.asked is None else rounded(row.asked, row.width)
        kind = "emo-num emo-dim" if row.asked is None else "emo-num"
        cells.append(tag("td", wanted, class_=kind))
    value = rounded(row.achieved, row.width) + _miss(row)
    cells.append(tag("td", value, class_="emo-num emo-value"))
    kind = f"emo-row emo-{row.closeness}"
    return tag("tr", "".join(cells), class_=kind, data_attribute=entry.name)


def _miss(row: TargetRow) -> str:
    """Tell those who see no colour how far a value is off."""
    if row.apart is None or row.closeness == "close":
        return ""
    words = f", {percent(row.apart)} of the range {'above' if _above(row) else 'below'}"
    return tag("span", words, class_="emo-sr")


def _above(row: TargetRow) -> bool:
    return row.asked is not None and row.achieved > row.asked


def _bar(row: TargetRow) -> str:
    """Draw the range as a line, what was asked as a ring, what came out as a dot."""
    here, parts = _share(row, row.achieved), []
    parts.append(shape("line", class_="emo-range", x1="0%", x2="100%", y1=8, y2=8))
    if row.asked is not None:
        there = _share(row, row.asked)
        parts.append(shape("line", class_="emo-miss", x1=there, x2=here, y1=8, y2=8))
    is_inside = row.attribute.low <= row.achieved <= row.attribute.high
    parts.append(shape("circle", class_="emo-dot", cx=here, cy=8, r=4) if is_inside else _end(row))
    if row.asked is not None:
        parts.append(shape("line", class_="emo-tick", x1=there, x2=there, y1=2, y2=14))
    return tag("svg", "".join(parts), class_="emo-bar", focusable="false")


def _end(row: TargetRow) -> str:
    """Draw an arrowhead at the end of the range beyond which the value lies."""
    side = 1 if row.achieved > row.attribute.high else -1
    head = shape(
        "path", class_="emo-dot emo-beyond", d=f"M{-3 * side} -4.5L{5 * side} 0L{-3 * side} 4.5Z"
    )
    return tag("svg", head, x="100%" if side > 0 else "0%", y=8)


def _share(row: TargetRow, value: float) -> str:
    """Return the place of a value in its range, in per cent; beyond an end counts as the end."""
    share = (value - row.attribute.low) / row.width
    return f"{100 * min(1.0, max(0.0, share)):.1f}%"


def _legend(asked: bool) -> str:
    if not asked:
        return ""
    keys = (
        ("emo-key-tick", "", "asked"),
        ("emo-key-dot", "emo-close", "achieved"),
        ("emo-key-dot", "emo-off", f"{percent(CLOSE)} of its range off"),
        ("emo-key-dot", "emo-far", f"{percent(FAR)} or more"),
    )
    parts = [
        tag("span", tag("span", class_=f"emo-key {key} {kind}", aria_hidden="true") + words)
        for key, kind, words in keys
    ]
    return tag("p", "".join(parts), class_="emo-legend")
