"""Pictures of how finely emotions are told apart, drawn from plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from emomusic.emotion import QUADRANTS, quadrant_of
from emomusic.evaluation.granularity.separability import Rows, pairs_of
from emomusic.evaluation.granularity.sets import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
COLOURS = dict(zip(QUADRANTS, ("#d98a00", "#c0392b", "#2a6f97", "#3a8f5c"), strict=True))
"""Of the quadrants asked for."""
INK, FAINT, UNTESTED = "#333333", "#bbbbbb", "#dddddd"
EDGE, COLUMN = 1.04, 1.42
"""Where the plane ends, and where the names stand beside it."""


def around(asked: Matrix) -> Rows:
    """Return the order of emotions along the circle: calm, pleased, excited, angry, sad.

    Args:
        asked: Valence and arousal, shape (n, 2).
    """
    angle = np.arctan2(asked[:, 1], asked[:, 0])
    order: Rows = np.argsort((angle + np.pi / 2.0) % (2.0 * np.pi), kind="stable")
    return order


def draw_matrix(figure: Figure, found: Result) -> bool:
    """Draw the AUC of each pair, a dot where the pair is told apart."""
    emotions = found["emotions"]
    n = len(emotions)
    order = around(np.array([own["asked"] for own in emotions]))
    auc, apart = (_square(found["pairs"][key], n)[np.ix_(order, order)] for key in ("auc", "apart"))
    figure.set_size_inches(3.0 + 0.142 * n, 2.4 + 0.142 * n)
    axes = figure.subplots()
    axes.set_facecolor(UNTESTED)
    shown = axes.imshow(auc, vmin=0.5, vmax=1.0, cmap="YlGnBu")
    row, column = np.nonzero(apart == 1)
    axes.scatter(column, row, s=1.6, color="white", linewidths=0)
    asked = [emotions[i]["asked"] for i in order]
    _name_sides(axes, [emotions[i]["name"] for i in order], asked)
    share = found["views"]["both"]["apart"]
    axes.set_title(
        f"{share[0]:.0%} of {found['n_pairs']} pairs told apart "
        f"({found['n_clips']} clips each; dot: told apart)",
        color=INK,
    )
    bar = figure.colorbar(shown, ax=axes, shrink=0.5, aspect=30, pad=0.01)
    bar.set_label("AUC, 0.5 is chance", color=INK)
    bar.outline.set_visible(False)
    return True


def _square(values: Sequence[float], n: int) -> Matrix:
    matrix = np.full((n, n), np.nan)
    first, second = pairs_of(n).T
    matrix[first, second] = matrix[second, first] = values
    return matrix


def _name_sides(axes: Axes, names: Sequence[str], asked: Sequence[Sequence[float]]) -> None:
    """Write the names along both sides in the colours of their quadrants, and part these."""
    quadrants = [quadrant_of(*point) for point in asked]
    axes.set(xticks=range(len(names)), yticks=range(len(names)))
    axes.set_xticklabels(names, rotation=90, fontsize=7.5)
    axes.set_yticklabels(names, fontsize=7.5)
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        for label, quadrant in zip(labels, quadrants, strict=True):
            label.set_color(COLOURS[quadrant])
    for i in range(1, len(names)):
        if quadrants[i] != quadrants[i - 1]:
            axes.axhline(i - 0.5, color=INK, linewidth=0.8)
            axes.axvline(i - 0.5, color=INK, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def draw_map(figure: Figure, found: Result) -> bool:
    """Draw each emotion from where it was asked for to where it is heard, names beside it."""
    figure.set_size_inches(12, 10.5)
    axes = figure.subplots()
    axes.set(xlim=(-1.95, 1.95), ylim=(-1.12, 1.12), aspect="auto")
    _draw_plane(axes)
    emotions = found["emotions"]
    for own in emotions:
        colour = COLOURS[quadrant_of(*own["asked"])]
        arrow = {"arrowstyle": "-|>", "color": colour, "alpha": 0.6, "linewidth": 0.9,
                 "shrinkA": 2, "shrinkB": 3, "mutation_scale": 7}  # fmt: skip
        axes.annotate("", own["heard"], own["asked"], arrowprops=arrow)
        axes.plot(*own["asked"], "o", mfc="white", mec=colour, ms=4.5, mew=0.9, zorder=3)
        axes.plot(*own["heard"], "o", color=colour, ms=6, mec="white", mew=0.6, zorder=4)
    middle = float(np.median([own["heard"][0] for own in emotions]))
    split = min(max(middle, -0.05), 0.05)
    for side in (-1, 1):
        own = [e for e in emotions if (1 if e["heard"][0] >= split else -1) == side]
        _write_column(axes, own, side)
    axes.set_title("asked (rings) → heard (discs), mean of each emotion's clips", color=INK)
    return True


def _draw_plane(axes: Axes) -> None:
    from matplotlib.patches import Rectangle

    size = 2 * EDGE
    axes.add_patch(Rectangle((-EDGE, -EDGE), size, size, fill=False, ec=FAINT, lw=0.8))
    axes.plot([-EDGE, EDGE], [0, 0], color=FAINT, lw=0.8, zorder=0)
    axes.plot([0, 0], [-EDGE, EDGE], color=FAINT, lw=0.8, zorder=0)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[-1, -0.5, 0, 0.5, 1], yticks=[])
    axes.tick_params(length=0, colors=INK)
    axes.set_xlabel("valence", color=INK)
    axes.text(0.012, EDGE - 0.02, "arousal +1", va="top", fontsize=8, color="#777777")
    axes.text(0.012, 0.02 - EDGE, "arousal −1", va="bottom", fontsize=8, color="#777777")


def _write_column(axes: Axes, emotions: Sequence[Result], side: int) -> None:
    """Write names one below the other beside the plane, each with a line to where it is heard.

    Of all ways to give names to places the one of the shortest lines is taken: none cross.
    """
    if not emotions:
        return
    heard = np.array([own["heard"] for own in emotions])
    falling = np.sort(heard[:, 1])[::-1]
    heights = np.array(spread(falling.tolist(), gap=0.052, low=-1.08, high=1.08))
    start = side * (EDGE + 0.04)
    away = np.hypot(heard[:, :1] - start, heard[:, 1:] - heights)
    for i, place in zip(*linear_sum_assignment(away), strict=True):
        own, height = emotions[i], heights[place]
        colour = COLOURS[quadrant_of(*own["asked"])]
        ends = [side * (COLUMN - 0.02), start, heard[i, 0]], [height, height, heard[i, 1]]
        axes.plot(*ends, color=FAINT, lw=0.5, alpha=0.8, zorder=1)
        align = "left" if side > 0 else "right"
        axes.text(side * COLUMN, height, own["name"], ha=align, va="center", fontsize=9,
                  color=colour)  # fmt: skip


def spread(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return places moved no more than they must to lie a gap apart, between two ends.

    Args:
        places: Falling.
        gap: Made smaller where there is no room for it.
        low: The least place.
        high: The greatest.
    """
    n = len(places)
    if n < 2:
        return [min(max(place, low), high) for place in places]
    gap = min(gap, (high - low) / (n - 1))
    from sklearn.isotonic import IsotonicRegression

    steps = gap * np.arange(n)
    level = IsotonicRegression(increasing=False).fit(np.arange(n), np.array(places) + steps)
    moved = np.clip(level.predict(np.arange(n)), low + steps[-1], high) - steps
    return [float(place) for place in moved]


def draw_distance(figure: Figure, found: Result) -> bool:
    """Draw the share told apart and the AUC over the distance asked for."""
    figure.set_size_inches(7, 4)
    axes = figure.subplots()
    bins = [own for own in found["distance"]["bins"] if own["apart"]]
    widest = max(own["low"] for own in bins) + 0.3
    middle = [(own["low"] + min(own["high"], widest)) / 2.0 for own in bins]
    for key, colour, label in (("apart", COLOURS["Q3"], "share of pairs told apart"),
                               ("auc", COLOURS["Q1"], "mean AUC")):  # fmt: skip
        value, low, high = np.array([own[key] for own in bins]).T
        axes.fill_between(middle, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(middle, value, "o-", color=colour, ms=4, label=label)
    told, reach = found["distance"]["told"], found["distance"]["reach"]["both"]["distance"][0]
    axes.axhline(0.5, color=FAINT, linestyle=":", label="AUC by chance")
    if reach is not None:
        axes.plot([0, reach, reach], [told, told, 0], color=INK, lw=0.8, linestyle="--")
        axes.text(reach + 0.02, 0.03, f"{told:.0%} from {reach:.2f}", color=INK, fontsize=9)
    axes.set(xlabel="distance asked for (valence and arousal)", ylim=(0, 1.02), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    return True


PICTURES: dict[str, Callable[[Figure, Result], bool]] = {
    "granularity_matrix": draw_matrix,
    "granularity_map": draw_map,
    "granularity_distance": draw_distance,
}
"""What is drawn, by file name."""
