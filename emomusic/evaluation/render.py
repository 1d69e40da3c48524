"""Rows as Markdown tables and as pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.rows import Found, Plot, Row, Section, chosen
from emomusic.files import write_atomically, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2a6f97", "#e09f3e", "#6a994e", "#c0392b")
LINE = "#777777"
DPI = 110
PANELS = 3
"""Panels side by side."""
ABOUT_GOALS = (
    "With 95 % intervals where there are any; `within chance`: the interval reaches what is "
    "asked, the number itself does not. A mean ρ takes its interval from those of its "
    "attributes, each measured on clips of its own."
)
NEEDS_MATPLOTLIB = "no pictures: matplotlib is not installed (pip install 'emomusic[pictures]')"


def number(value: float) -> str:
    """Return two digits behind the point, three where those would be noughts; counts whole."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if 0 < abs(value) < 0.01 else f"{value:.2f}"


def cell(row: Row) -> str:
    """Return a row's value with the ends of its interval."""
    if row.low is None or row.high is None:
        return number(row.value)
    between = " to " if row.low < 0 else "–"
    return f"{number(row.value)} ({number(row.low)}{between}{number(row.high)})"


def table(rows: Sequence[Row], *, across: str = "", most: int = 0) -> str:
    """Return rows as one Markdown table, a line for each combination of what they are of.

    Args:
        rows: At least one.
        across: The key whose values are the columns; rows without it stand in a column of their
            name. `name` makes a column of each measure, "" one column of all.
        most: Lines at most; 0 is all.
    """
    with_key = {row.name for row in rows if across in row.by or across == ""}
    lines: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        by = {"measure": row.name} if across != "name" and len(with_key) > 1 else {}
        by |= {key: value for key, value in row.by.items() if key != across}
        column = "value" if across == "" else row.by.get(across, row.name)
        columns[column] = None
        line = lines.setdefault(tuple(by.items()), {})
        line[column] = cell(row)
        if row.n is not None:
            line["n"] = str(row.n)
    heads = list(dict.fromkeys(key for line in lines for key, _ in line))
    heads_n = ["n"] if any("n" in own for own in lines.values()) else []
    shown = [
        [dict(line).get(key, "") for key in heads] + [own.get(c, "") for c in [*heads_n, *columns]]
        for line, own in lines.items()
    ]
    return markdown([*heads, *heads_n, *columns], shown[: most or None])


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    head = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*head, *(f"| {' | '.join(line)} |" for line in lines)])


def goals_table(rows: Sequence[Row]) -> str:
    """Return what is asked beside what was measured, of the rows that have a goal."""
    lines = [
        (" ".join([row.name, *row.by.values()]), str(row.goal), cell(row), row.met,
         "" if row.n is None else str(row.n))
        for row in rows if row.goal is not None
    ]  # fmt: skip
    return markdown(("what", "asked", "measured", "met", "n"), lines)


@dataclass(frozen=True)
class Report:
    """Hold what was found and how, and why other sections are missing, to be written."""

    about: Mapping[str, str]
    found: Mapping[Section, Found]
    left_out: Mapping[str, str] = field(default_factory=dict)
    title: str = "Evaluation"

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        sections = {section.name: found.to_dict() for section, found in self.found.items()}
        return {"about": self.about, "sections": sections, "left_out": self.left_out}

    def markdown(self, pictures: Mapping[str, str]) -> str:
        """Return all as Markdown; a section shows the pictures whose names begin with its own."""
        parts = [f"# {self.title}", "\n".join(f"- {k}: {v}" for k, v in self.about.items())]
        if rows := [row for own in self.found.values() for row in own.rows if row.goal is not None]:
            parts += ["## Asked and measured", goals_table(rows), ABOUT_GOALS]
        for section, found in self.found.items():
            parts.append(f"## {section.title}")
            for own in section.tables:
                if rows := chosen(found.rows, own.names, own.where):
                    parts += [table(rows, across=own.across, most=own.most), own.note]
            parts += found.remarks
            parts += [f"![{section.title}]({file})" for name, file in pictures.items()
                      if name.startswith(f"{section.name}_")]  # fmt: skip
        if self.left_out:
            left = [f"- {name}: {why}" for name, why in self.left_out.items()]
            parts += ["## Left out", "\n".join(left)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, folder: Path, stem: str = "evaluation") -> str:
        """Write JSON, Markdown and pictures, each whole or not at all, and return the Markdown."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{stem}.json", json.dumps(self.to_dict(), indent=1) + "\n")
        plots = {
            f"{section.name}_{plot.name}".replace(" ", "_"): (plot, found.rows)
            for section, found in self.found.items()
            for plot in section.plots
        }
        try:
            report, pictures = self, draw(plots, folder)
        except ImportError as error:
            report = replace(self, left_out={**self.left_out, "pictures": str(error)})
            pictures = {}
        text = report.markdown(pictures)
        write_text(folder / f"{stem}.md", text)
        return text


def draw(plots: Mapping[str, tuple[Plot, Sequence[Row]]], folder: Path) -> dict[str, str]:
    """Draw PNG files, each whole or not at all; return the name of each that had something to show.

    `plots` are, by name, what to draw, and the rows of its section. An ImportError says that
    matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(NEEDS_MATPLOTLIB, name="matplotlib") from error
    drawn = {}
    for name, (plot, rows) in plots.items():
        facets = grouped(chosen(rows, [plot.name], plot.where), plot.facet)
        if not facets:
            continue
        n_across = min(PANELS, len(facets))
        n_down = -(-len(facets) // n_across)
        longest = max(len({row.by[plot.along] for row in own}) for own in facets.values())
        height = 1.2 + 0.28 * longest if plot.kind == "bars" else 3.6
        figure = Figure(dpi=DPI, layout="constrained", facecolor="white")
        figure.set_size_inches(4.4 * n_across, height * n_down)
        every = figure.subplots(n_down, n_across, squeeze=False).flat
        for axes, (title, own) in zip(every, facets.items(), strict=False):
            KINDS[plot.kind](axes, plot, own)
            axes.set(title=title)
        for axes in list(every)[len(facets) :]:
            axes.remove()
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
        drawn[name] = f"{name}.png"
        data = file.getvalue()
        write_atomically(folder / drawn[name], lambda out, data=data: out.write(data))  # type: ignore[misc]
    return drawn


def grouped(rows: Sequence[Row], key: str) -> dict[str, list[Row]]:
    """Return rows by what they are of under a key, "" where they have none."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.by.get(key, ""), []).append(row)
    return found


def _bars(axes: Axes, plot: Plot, rows: Sequence[Row]) -> None:
    """Draw horizontal bars with their intervals, and the first goal."""
    names, series = list(grouped(rows, plot.along)), grouped(rows, plot.series)
    wide = 0.8 / len(series)
    for at, ((label, own), colour) in enumerate(zip(series.items(), COLOURS, strict=False)):
        beside = (at - (len(series) - 1) / 2) * wide
        places = [names.index(row.by[plot.along]) + beside for row in own]
        value, low, high = np.array([(row.value, row.low, row.high) for row in own], float).T
        ends = np.nan_to_num(np.maximum([value - low, high - value], 0))  # of None, NaN
        axes.barh(places, value, wide, xerr=ends, color=colour, ecolor=LINE, label=label or None)
    goal = next((row.goal for row in rows if row.goal is not None), None)
    if goal is not None:
        axes.axvline(goal.limit, color=LINE, linestyle=":", label="asked")
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=plot.name)
    axes.invert_yaxis()
    if goal is not None or "" not in series:
        axes.legend(fontsize="small")


def _heat(axes: Axes, plot: Plot, rows: Sequence[Row]) -> None:
    """Draw a matrix, each number in its cell; counts are coloured by their share of a line."""
    lines, columns = (list(grouped(rows, key)) for key in (plot.series, plot.along))
    values = np.zeros((len(lines), len(columns)))
    for row in rows:
        values[lines.index(row.by[plot.series]), columns.index(row.by[plot.along])] = row.value
    counts = all(isinstance(row.value, int) for row in rows)
    shades = values / np.maximum(values.sum(axis=1, keepdims=True), 1) if counts else values
    axes.imshow(shades, vmin=0, vmax=1, cmap="Blues")
    for (i, j), shade in np.ndenumerate(shades):
        text = f"{values[i, j]:.0f}" if counts else f"{values[i, j]:.2f}"
        colour = "white" if shade > 0.5 else "black"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize="small")
    axes.set(xticks=range(len(columns)), xticklabels=columns, xlabel=plot.along)
    axes.set(yticks=range(len(lines)), yticklabels=lines, ylabel=plot.series)


def _curve(axes: Axes, plot: Plot, rows: Sequence[Row]) -> None:
    """Draw values over a number, with a band where there are intervals."""
    for (label, own), colour in zip(grouped(rows, plot.series).items(), COLOURS, strict=False):
        x = np.array([float(row.by[plot.along]) for row in own])
        axes.plot(x, [row.value for row in own], ".-", color=colour, label=label or None)
        ends = np.array([(row.low, row.high) for row in own], float).T  # NaN draws no band
        axes.fill_between(x, *ends, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel=plot.along, ylabel=plot.name)
    if plot.series:
        axes.legend(fontsize="small")


KINDS = {"bars": _bars, "heat": _heat, "curve": _curve}
