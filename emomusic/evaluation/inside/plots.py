"""Pictures of what was found inside the network, drawn from its plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.inside.tables import AXES
from emomusic.evaluation.pictures import LINE, OURS, THEIRS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
PALE = "#bbbbbb"
NETWORKS = {
    "trained": (OURS, "-", "trained"),
    "untrained": (THEIRS, "--", "random weights"),
    "shuffled": (LINE, ":", "shuffled labels"),
}
EMOTIONS = (("valence", "AUC"), ("arousal", "AUC"), ("quadrant", "accuracy"))
BESIDE = (
    ("controls", "plain"),
    ("controls, tempo of free", "same\ntempo"),
    ("controls and feedback", "with\nfeedback"),
)
N_COLUMNS = 6


def _depth(figure: Figure, found: Result) -> bool:
    """Draw valence, arousal and quadrant over depth."""
    own = {(curve["target"], curve["measure"]): curve for curve in found["curves"]}
    shown = [own[key] for key in EMOTIONS if key in own]
    if not shown:
        return False
    figure.set_size_inches(3.4 * len(shown), 3.3)
    every = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, curve in zip(every, shown, strict=True):
        _curves(axes, curve)
        axes.axhline(curve["chance"], color=PALE, linewidth=0.8)
        axes.set(title=curve["target"], ylabel=curve["measure"], ylim=(0.2, 1.0))
        _depths(axes, curve)
    every[0].legend(fontsize="small", loc="lower right", frameon=False)
    return True


def _attributes(figure: Figure, found: Result) -> bool:
    """Draw each attribute over depth, those that depth makes clearer first."""
    curves = [curve for curve in found["curves"] if curve["measure"] == "R2"]
    if not curves:
        return False
    curves.sort(key=_gain, reverse=True)
    n_rows = -(-(len(curves) + 1) // N_COLUMNS)
    figure.set_size_inches(2.0 * N_COLUMNS, 1.75 * n_rows)
    every = list(figure.subplots(n_rows, N_COLUMNS, sharex=True, sharey=True).flat)
    for axes, curve in zip(every, curves, strict=False):
        _curves(axes, curve)
        axes.axhline(0, color=PALE, linewidth=0.8)
        name = curve["target"].replace("_", " ")
        axes.set_title(f"{name}  {_gain(curve):+.2f}", fontsize="small")
        axes.set(ylim=(-0.25, 1.05), yticks=(0, 0.5, 1))
        _depths(axes, curve)
    for axes in every[len(curves) :]:
        axes.set_axis_off()
    handles, labels = every[0].get_legend_handles_labels()
    every[len(curves)].legend(handles, labels, fontsize="small", loc="center", frameon=False)
    for axes in every:
        axes.set_xlabel("")
    figure.supxlabel("depth (0: bag of tokens)", fontsize="medium")
    figure.supylabel("R² on songs the probe did not see", fontsize="medium")
    return True


def _gain(curve: Result) -> float:
    values = [value for value, _, _ in curve["trained"]]
    return float(max(values[1:]) - values[0])


def _curves(axes: Axes, curve: Result) -> None:
    for network, (colour, style, label) in NETWORKS.items():
        value, low, high = np.array(curve[network]).T
        at = np.arange(len(value))
        axes.fill_between(at, low, high, color=colour, alpha=0.16, linewidth=0)
        axes.plot(at, value, style, color=colour, label=label, linewidth=1.6, markersize=3.5,
                  marker="o" if network == "trained" else None)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)


def _depths(axes: Axes, curve: Result) -> None:
    axes.set_xticks(range(len(curve["trained"])))
    axes.set_xlabel("depth (0: bag of tokens)")


def _doses(figure: Figure, found: Result) -> bool:
    """Draw the judged emotion against the dose, chance directions and controls beside it."""
    trials = [trial for trial in found["trials"] if trial["what"] in AXES]
    if not trials:
        return False
    figure.set_size_inches(10, 4.1)
    pairs = figure.subplots(1, 4, width_ratios=(3, 2, 3, 2), sharey=True)
    for axis, left, right in zip(AXES, pairs[::2], pairs[1::2], strict=True):
        own = [trial for trial in trials if trial["what"] == axis]
        _dose_panel(left, own, axis, found["about"]["depths"][axis])
        _control_panel(right, own)
    pairs[0].set_ylabel("rise of judged log odds\nagainst free clips of the same seeds")
    for axes in pairs[:2]:
        axes.legend(fontsize="small", loc="lower right", frameon=False, borderaxespad=0)
    return True


def _dose_panel(axes: Axes, trials: Sequence[Result], axis: str, depth: int) -> None:
    styles = (
        ("random", PALE, "s", "random direction", -0.07),
        ("halves", LINE, "D", "random halves of songs", 0.07),
        ("push", OURS, "o", "direction of the axis", 0.0),
    )
    for by, colour, marker, label, aside in styles:
        own = sorted((t for t in trials if t["by"] == by), key=lambda t: t["dose"])
        points = [(t["dose"], *t["shift"]) for t in own]
        if by == "push":
            points = sorted([*points, (0.0, 0.0, 0.0, 0.0)])
        _whiskers(axes, points, colour, marker, label, aside=aside, line=by == "push")
    axes.axhline(0, color=PALE, linewidth=0.8)
    axes.set(title=f"{axis}: pushed at depth {depth}", xlabel="dose", xticks=(-2, -1, 0, 1, 2))
    axes.spines[["top", "right"]].set_visible(False)


def _control_panel(axes: Axes, trials: Sequence[Result]) -> None:
    for side, colour, label in ((1.0, OURS, "asked high"), (-1.0, THEIRS, "asked low")):
        points = [
            (float(i), *trial["shift"])
            for i, (by, _) in enumerate(BESIDE)
            for trial in trials
            if trial["by"] == by and trial["dose"] == side
        ]
        _whiskers(axes, points, colour, "o", label, line=False)
    axes.axhline(0, color=PALE, linewidth=0.8)
    axes.set(title="asked by controls", xlim=(-0.6, len(BESIDE) - 0.4), xticks=range(len(BESIDE)))
    axes.set_xticklabels([label for _, label in BESIDE], fontsize="small")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _whiskers(
    axes: Axes,
    points: Sequence[Sequence[float]],
    colour: str,
    marker: str,
    label: str,
    *,
    aside: float = 0.0,
    line: bool,
) -> None:
    if not points:
        return
    at, value, low, high = np.array(points).T
    ends = [np.maximum(value - low, 0), np.maximum(high - value, 0)]
    axes.errorbar(
        at + aside, value, ends, fmt=f"{marker}-" if line else marker, color=colour, label=label,
        markersize=5, linewidth=1.6, elinewidth=1.2, capsize=2.5,
    )  # fmt: skip


def _drift(figure: Figure, found: Result) -> bool:
    """Draw what pushes and controls do to every attribute."""
    columns = [
        (axis, by, dose, name)
        for axis in AXES
        for by, dose, name in (
            ("push", -2.0, "push −"), ("push", 2.0, "push +"),
            ("controls", -1.0, "controls −"), ("controls", 1.0, "controls +"),
        )
    ]  # fmt: skip
    own = {(t["what"], t["by"], t["dose"]): t["drift"] for t in found["trials"]}
    if not all(column[:3] in own for column in columns):
        return False
    names = list(own[columns[0][:3]])
    drift = np.array([[own[column[:3]][name] for column in columns] for name in names])
    order = np.argsort(-(drift[:, 5] - drift[:, 4]), kind="stable")
    figure.set_size_inches(6.4, 7.2)
    axes = figure.subplots()
    shown = axes.imshow(drift[order], vmin=-2, vmax=2, cmap="RdBu_r", aspect="auto")
    for i, j in np.ndindex(drift.shape):
        value = drift[order][i, j]
        axes.text(j, i, f"{value:+.1f}", ha="center", va="center", fontsize=7,
                  color="white" if abs(value) > 1.3 else "black")  # fmt: skip
    axes.axvline(3.5, color="white", linewidth=4)
    axes.set(xticks=range(len(columns)), yticks=range(len(names)))
    axes.set_xticklabels([column[3] for column in columns], rotation=40, ha="right")
    axes.set_yticklabels([names[i].replace("_", " ") for i in order])
    for i, axis in enumerate(AXES):
        axes.text(4 * i + 1.5, -0.8, axis, ha="center", fontweight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, shrink=0.5, label="rise, in deviations of real music")
    return True


PICTURES: dict[str, Callable[[Figure, Result], bool]] = {
    "inside_depth": _depth,
    "inside_attributes": _attributes,
    "inside_doses": _doses,
    "inside_drift": _drift,
}
"""What is drawn."""
