"""What was asked of each attribute against what came out, as a table of small bars."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from emomusic.music.attributes import ATTRIBUTES, Attribute
from emomusic.studio.result.drawings import legend
from emomusic.studio.result.markup import escaped, percent, rounded, tag
from emomusic.verify.explain import AGAINST, FOR, Explanation

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


@dataclass(frozen=True)
class TargetRow:
    """Hold one attribute of a clip: what was measured, and its target, None where it was free."""

    attribute: Attribute
    achieved: float
    asked: float | None
    is_fixed: bool

    @property
    def width(self) -> float:
        """Return the width of the attribute's natural range."""
        return self.attribute.high - self.attribute.low

    @property
    def apart(self) -> float:
        """Return how far achieved lies above asked, as a share of the range; 0 if it was free."""
        return 0.0 if self.asked is None else (self.achieved - self.asked) / self.width

    @property
    def closeness(self) -> str:
        """Return `free`, `close`, `off` or `far`."""
        if self.asked is None:
            return "free"
        return "close" if abs(self.apart) <= CLOSE else "off" if abs(self.apart) < FAR else "far"

    def share(self, value: float) -> str:
        """Return where a value lies in the range, in per cent; beyond an end it is the end."""
        share = (value - self.attribute.low) / self.width
        return f"{100 * min(1.0, max(0.0, share)):.1f}%"


def targets(
    achieved: Mapping[str, float],
    asked: Mapping[str, float],
    *,
    fixed: Collection[str] = (),
    explanation: Explanation,
) -> str:
    """Write asked against achieved for each attribute, in the order of the registry.

    Eight stand open: those that were fixed, those that the explanation names, those that stand
    for its other causes, then in the order of the registry; more only if more were fixed or
    named. The rest is folded.

    Args:
        achieved: What was measured.
        asked: The targets; of what is missing nothing was asked.
        fixed: Names of the attributes that were asked for by themselves.
        explanation: Of the verdict.

    Returns:
        One table, or two, the second in `<details>`; an empty text if nothing was measured.
    """
    rows = [
        TargetRow(own, achieved[own.name], asked.get(own.name), own.name in fixed)
        for own in ATTRIBUTES
        if own.name in achieved
    ]
    if not rows:
        return ""
    open_names = _first(rows, explanation)
    shown = [row for row in rows if row.attribute.name in open_names]
    folded = [row for row in rows if row.attribute.name not in open_names]
    has_asked = any(row.asked is not None for row in rows)
    parts = [_table(shown, has_asked, "the attributes that matter most")]
    if folded:
        summary = tag("summary", f"{len(folded)} more attributes")
        table = _table(folded, has_asked, "the other attributes")
        parts.append(tag("details", summary + table, class_="emo-more"))
    if has_asked:
        off, far = f"{percent(CLOSE)} of its range off", f"{percent(FAR)} or more"
        dots = {"emo-close": "achieved", "emo-off": off, "emo-far": far}
        keys = [(f"emo-key-dot {kind}", words) for kind, words in dots.items()]
        parts.append(legend([("emo-key-tick", "asked"), *keys]))
    return "".join(parts)


def _first(rows: Sequence[TargetRow], explanation: Explanation) -> set[str]:
    """Choose the attributes that stand open."""
    named = {CAUSED.get(e.cause) for e in explanation.effects if e.role in (FOR, AGAINST)}
    there = [row.attribute.name for row in rows]
    must = [row.attribute.name for row in rows if row.is_fixed or row.attribute.name in named]
    rest = [name for name in (*CAUSED.values(), *there) if name in there and name not in must]
    return {*must, *list(dict.fromkeys(rest))[: max(0, N_SHOWN - len(must))]}


def _table(rows: Sequence[TargetRow], has_asked: bool, words: str) -> str:
    kind = "Asked and achieved: " if has_asked else "Measured: "
    caption = tag("caption", kind + words, class_="emo-sr")
    values = ("asked", "achieved") if has_asked else ("measured",)
    titles = [tag("th", tag("span", "attribute", class_="emo-sr"), scope="col")]
    titles.append(tag("td", class_="emo-bar-cell", aria_hidden="true"))
    titles.extend(tag("th", title, scope="col", class_="emo-num") for title in values)
    head = tag("thead", tag("tr", "".join(titles)))
    body = tag("tbody", "".join(_row(row, has_asked) for row in rows))
    return tag("table", caption + head + body, class_="emo-targets")


def _row(row: TargetRow, has_asked: bool) -> str:
    own = row.attribute
    name = escaped(own.name.replace("_", " "))
    name += tag("span", " fixed", class_="emo-fixed") if row.is_fixed else ""
    name += tag("span", f" {escaped(own.unit)}", class_="emo-unit")
    cells = [
        tag("th", name, scope="row", title=own.explanation),
        tag("td", _bar(row), class_="emo-bar-cell", aria_hidden="true"),
    ]
    if has_asked and row.asked is None:
        cells.append(tag("td", "free", class_="emo-num emo-dim"))
    elif row.asked is not None:
        cells.append(tag("td", rounded(row.asked, row.width), class_="emo-num"))
    value = rounded(row.achieved, row.width)
    if row.closeness in ("off", "far"):  # told to those who see no colour
        side = "above" if row.apart > 0 else "below"
        off = f", {percent(abs(row.apart))} of the range {side}"
        value += tag("span", off, class_="emo-sr")
    cells.append(tag("td", value, class_="emo-num emo-value"))
    kind = f"emo-row emo-{row.closeness}"
    return tag("tr", "".join(cells), class_=kind, data_attribute=own.name)


def _bar(row: TargetRow) -> str:
    """Draw the range as a line, what was asked as a tick, what came out as a dot."""
    here, own = row.share(row.achieved), row.attribute
    parts = [tag("line", class_="emo-range", x1="0%", x2="100%", y1=8, y2=8)]
    there = None if row.asked is None else row.share(row.asked)
    if there is not None:
        parts.append(tag("line", class_="emo-miss", x1=there, x2=here, y1=8, y2=8))
    if own.low <= row.achieved <= own.high:
        parts.append(tag("circle", class_="emo-dot", cx=here, cy=8, r=4))
    else:  # an arrowhead at the end beyond which it lies
        side = 1 if row.achieved > own.high else -1
        outline = f"M{-3 * side} -4.5L{5 * side} 0L{-3 * side} 4.5Z"
        head = tag("path", class_="emo-dot emo-beyond", d=outline)
        parts.append(tag("svg", head, x="100%" if side > 0 else "0%", y=8))
    if there is not None:
        parts.append(tag("line", class_="emo-tick", x1=there, x2=there, y1=2, y2=14))
    return tag("svg", "".join(parts), class_="emo-bar", focusable="false")
