"""Pictures of the check of the verifier, drawn from its plain values."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.explaining.plots import draw_explaining
from emomusic.evaluation.pictures import LINE, OURS, Draw, draw_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
COLOURS = {"quadrant": OURS, "arousal": "#e09f3e", "valence": "#6a994e"}


def draw_check(parts: Mapping[str, Result], folder: Path) -> dict[str, str]:
    """Draw the pictures of the parts that there are, each written whole or not at all.

    Args:
        parts: Results by name, as `Check.to_dict` gives them.
        folder: Where the PNG files go.

    Returns:
        File name of each picture.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    return draw_all(
        ((name, draw, parts.get(part)) for name, (part, draw) in PICTURES.items()), folder
    )


def _reliability(figure: Figure, found: Result) -> bool:
    """Draw confidence against the share that is right, with counts below, for each source."""
    rows = [
        row
        for row in found["rows"]
        if row["what"] == "verifier" and row["learned"].endswith(", by song")
        and row["calibration"] is not None
    ]  # fmt: skip
    first = rows[0]["learned"] if rows else ""
    rows = [row for row in rows if row["learned"] == first]
    figure.set_size_inches(4.2 * max(len(rows), 1), 4.6)
    for column, row in enumerate(rows):
        above = figure.add_subplot(4, len(rows), (column + 1, column + 1 + 2 * len(rows)))
        below = figure.add_subplot(4, len(rows), column + 1 + 3 * len(rows), sharex=above)
        bins = row["calibration"]["bins"]
        x, y, low, high, n = (
            np.array([own[key] for own in bins])
            for key in ("confidence", "right", "right_low", "right_high", "n")
        )
        ends = [np.maximum(y - low, 0), np.maximum(high - y, 0)]
        above.plot([0, 1], [0, 1], color=LINE, linestyle=":")
        above.errorbar(x, y, yerr=ends, fmt="o-", color=OURS, ecolor=LINE, capsize=2)
        error = row["calibration"]["error"]
        above.set(xlim=(0.2, 1), ylim=(0, 1), ylabel="share right",
                  title=f"{row['source']}: ECE {error:.3f}")  # fmt: skip
        below.bar(x, n, 0.06, color=OURS)
        below.set(xlabel="confidence", ylabel="clips")
    return bool(rows)


def _ablation(figure: Figure, found: Result) -> bool:
    """Draw the share right without each sense and with it alone, for each source."""
    sources = list(dict.fromkeys(row["source"] for row in found["rows"]))
    kinds = list(dict.fromkeys(row["what"] for row in found["rows"]))
    figure.set_size_inches(4.4 * len(sources) + 1, 1.2 + 0.5 * len(kinds))
    every = figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]
    for axes, source in zip(every, sources, strict=True):
        own = {row["what"]: row["shares"] for row in found["rows"] if row["source"] == source}
        for at, (kind, colour) in enumerate(COLOURS.items()):
            shares = [own[what][kind] for what in kinds]
            mean = np.array([share["mean"] for share in shares])
            low, high = np.array([share["songs"] for share in shares]).T
            ends = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
            place = np.arange(len(kinds)) + 0.27 * (at - 1)
            axes.barh(place, mean, 0.25, xerr=ends, color=colour, ecolor=LINE, label=kind)
            axes.axvline(mean[0], color=colour, linestyle=":")
        axes.set(yticks=range(len(kinds)), xlim=(0, 1), xlabel="share right", title=source)
        axes.set_yticklabels(kinds)
    every[0].invert_yaxis()
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return True


def _learning(figure: Figure, found: Result) -> bool:
    """Draw the share right over the share of songs that are labelled, for each source."""
    sources = list(dict.fromkeys(row["source"] for row in found["rows"]))
    figure.set_size_inches(4.4 * len(sources), 3.8)
    every = figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]
    for axes, source in zip(every, sources, strict=True):
        own = [row for row in found["rows"] if row["source"] == source]
        x = [row["percent"] for row in own]
        for kind, colour in COLOURS.items():
            shares = [row["shares"][kind] for row in own]
            mean, sd = (np.array([share[key] for share in shares]) for key in ("mean", "sd"))
            axes.plot(x, mean, "o-", color=colour, label=kind)
            axes.fill_between(x, mean - sd, mean + sd, color=colour, alpha=0.2, linewidth=0)
            chance = 0.25 if kind == "quadrant" else 0.5
            axes.axhline(chance, color=colour, linestyle=":", linewidth=0.8)
        axes.set(xscale="log", xticks=x, ylim=(0.2, 1), title=source)
        axes.set_xticklabels([f"{percent}" for percent in x])
        axes.set_xlabel("songs labelled, %")
    every[0].set_ylabel("share right (band: sd over draws)")
    figure.legend(*every[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return True


PICTURES: dict[str, tuple[str, Draw]] = {
    "verifier_reliability": ("crossed", _reliability),
    "verifier_ablation": ("ablation", _ablation),
    "verifier_learning": ("learning", _learning),
    "verifier_explanations": ("explanations", draw_explaining),
}
"""What is drawn, by name: the part it shows, and how."""
