"""Pictures of an evaluation, drawn from its plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.grid import AXES
from emomusic.evaluation.judged.run import COMPOSED, REAL
from emomusic.evaluation.moving import plots as moving
from emomusic.evaluation.pictures import LINE, OURS, THEIRS, draw_all
from emomusic.evaluation.report.summary import DIVERSITY, WORST_RHO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]


def draw_pictures(sections: Mapping[str, Result], folder: Path) -> dict[str, str]:
    """Draw the pictures of the sections that there are, each written whole or not at all.

    Args:
        sections: Results by the names of their sections.
        folder: Where the PNG files go.

    Returns:
        File name of each picture.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    return draw_all(
        ((name, draw, sections.get(name.partition("_")[0])) for name, draw in PICTURES.items()),
        folder,
    )


def _confusion(figure: Figure, found: Result) -> bool:
    """Draw asked against heard, composed and real."""
    judge = "both" if any(h["judge"] == "both" for h in found["hearings"]) else None
    own = {h["what"]: h for h in found["hearings"] if h["judge"] in (judge or h["judge"],)}
    kinds = [what for what in (COMPOSED, REAL) if what in own]
    figure.set_size_inches(3.6 * len(kinds), 3.6)
    for axes, what in zip(np.atleast_1d(figure.subplots(1, len(kinds))), kinds, strict=True):
        counts = np.array(own[what]["confusion"])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        for i in range(4):
            for j in range(4):
                shade = "white" if shares[i, j] > 0.5 else "black"
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=shade)
        axes.set(xticks=range(4), yticks=range(4), xlabel="heard", ylabel="asked", title=what)
        axes.set_xticklabels(QUADRANTS)
        axes.set_yticklabels(QUADRANTS)
    return True


def _control(figure: Figure, found: Result) -> bool:
    """Draw each attribute's ρ with its interval, clip-wide and bar by bar."""
    own = sorted(found["clip"]["attributes"], key=lambda a: a["rho"])
    place = {a["name"]: i for i, a in enumerate(own)}
    bars = [a for a in found["bar"]["attributes"] if a["name"] in place]
    figure.set_size_inches(7, 1.2 + 0.3 * len(own))
    axes = figure.subplots()
    for attributes, shift, colour, label in (
        (own, 0.2, OURS, "clip-wide"),
        (bars, -0.2, THEIRS, "bar by bar"),
    ):
        at = [place[a["name"]] + shift for a in attributes]
        _bars_across(axes, at, [(a["rho"], a["low"], a["high"]) for a in attributes], colour, label)
    axes.axvline(WORST_RHO, color=LINE, linestyle=":", label="asked of the worst")
    axes.set(yticks=range(len(own)), xlabel="ρ between asked and achieved", xlim=(None, 1.02))
    axes.set_yticklabels([a["name"] for a in own])
    axes.legend(loc="lower right", fontsize="small")
    return True


def _bars_across(axes: Axes, at: Any, triples: Any, colour: str, label: str) -> None:
    if not len(at):
        return
    value, low, high = np.array(triples).T
    ends = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
    axes.barh(at, value, 0.38, xerr=ends, color=colour, ecolor=LINE, label=label)


def _grid(figure: Figure, found: Result) -> bool:
    """Draw the judged valence and arousal over the plane of those asked for."""
    judge = "both" if "both" in found["cells"] else next(iter(found["cells"]))
    figure.set_size_inches(8, 3.8)
    for axes, axis in zip(figure.subplots(1, 2), AXES, strict=True):
        shown = axes.imshow(
            np.array(found["cells"][judge][axis]), origin="lower", extent=(-1, 1, -1, 1), vmin=0,
            vmax=1, cmap="RdYlBu_r",
        )  # fmt: skip
        axes.set(xlabel="valence asked", ylabel="arousal asked", title=f"judged {axis}")
        figure.colorbar(shown, ax=axes, shrink=0.8)
    return True


def _distributions(figure: Figure, found: Result) -> bool:
    """Draw the mean histograms of composed and real pieces."""
    if "left_out" in found["histograms"]:
        return False
    figure.set_size_inches(9, 7)
    every = list(figure.subplots(3, 3).flat)
    for axes, (name, pair) in zip(every, found["histograms"].items(), strict=False):
        for shares, colour, label in zip(pair, (OURS, THEIRS), ("composed", "real"), strict=True):
            used = np.flatnonzero(np.sum(pair, axis=0) > 1e-4)
            first, end = int(used[0]), int(used[-1]) + 1
            axes.stairs(
                shares[first:end], np.arange(first, end + 1), fill=True, color=colour, alpha=0.5,
                label=label,
            )  # fmt: skip
        axes.set(title=name, yticks=[])
    every[0].legend(fontsize="small")
    for axes in every[len(found["histograms"]) :]:
        axes.remove()
    return True


def _overlap(figure: Figure, found: Result) -> bool:
    """Draw how far distributions overlap with real music, beside other real music."""
    own = found["overlap"]
    if "left_out" in own:
        return False
    figure.set_size_inches(8, 3.8)
    names = [q["name"] for q in own["each"]]
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("pooled", "distances"), strict=True):
        for key, shift, colour in (("composed", 0.2, OURS), ("real", -0.2, THEIRS)):
            triples = [q[kind][key] for q in own["each"]]
            _bars_across(axes, np.arange(len(names)) + shift, triples, colour, key)
        axes.set(xlim=(0, 1), yticks=range(len(names)), xlabel=f"overlap, {kind}")
        axes.set_yticklabels(names)
    axes.legend(fontsize="small", loc="lower left")
    return True


def _diversity(figure: Figure, found: Result) -> bool:
    """Draw the diversity inside each quadrant as a ratio to real clips."""
    each = found["diversity"].get("each")
    if not each:
        return False
    figure.set_size_inches(5, 3)
    axes = figure.subplots()
    _bars_across(axes, range(len(each)), [own["ratio"] for own in each], OURS, "composed")
    axes.axvline(DIVERSITY, color=LINE, linestyle=":", label="asked")
    axes.set(yticks=range(len(each)), xlabel="mean distance, ratio to real clips")
    axes.set_yticklabels([own["quadrant"] for own in each])
    axes.invert_yaxis()
    axes.legend(fontsize="small")
    return True


PICTURES: dict[str, Callable[[Figure, Result], bool]] = {
    "emotion_confusion": _confusion,
    "grid": _grid,
    "control": _control,
    "quality_distributions": _distributions,
    "quality_overlap": _overlap,
    "quality_diversity": _diversity,
    **moving.PICTURES,
}
"""What is drawn, named by section."""
