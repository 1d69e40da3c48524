"""Pictures of how music moves as it is asked to, drawn from plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.moving.hearing import WINDOW_BARS
from emomusic.evaluation.pictures import OURS, THEIRS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result = Mapping[str, Any]
INK, FAINT = "#333333", "#cccccc"
AXES = ("valence", "arousal")
TITLES = {
    "events": "onset and pitch class",
    "onsets": "onset alone",
    "pitch classes": "pitch class alone",
}
COLOURS = {
    "happier": "#d98a00",
    "sadder": "#2a6f97",
    "livelier": "#c0392b",
    "calmer": "#3a8f5c",
    "another take": "#777777",
}
IN_ROW = 3
"""Curves side by side."""
END = 4.8
"""Log odds at which the plane of moves ends."""


def draw_courses(figure: Figure, found: Result) -> bool:
    """Draw the first curves as asked for, and what is heard along them."""
    shown = found["shown"]
    if not shown:
        return False
    n_rows = -(-len(shown) // IN_ROW)
    figure.set_size_inches(3.4 * IN_ROW, 3.9 * n_rows + 0.3)
    every = figure.subplots(2 * n_rows, IN_ROW, squeeze=False, sharey=True)
    for at in range(n_rows * IN_ROW):
        pair = every[2 * (at // IN_ROW) :, at % IN_ROW][:2]
        if at >= len(shown):
            for axes in pair:
                axes.remove()
            continue
        for k, axes in enumerate(pair):
            _draw_course(axes, shown[at], k)
            if at % IN_ROW == 0:
                axes.set_ylabel(AXES[k], color=INK)
        pair[0].set_title(_names(shown[at]), fontsize=9, color=INK)
        pair[1].set_xlabel("bar", color=INK)
    handles = every[0, 0].get_legend_handles_labels()
    figure.legend(*handles, frameon=False, fontsize=9, ncols=3, loc="outside lower center")
    return True


def _names(own: Result) -> str:
    names = [point["name"] or "({:+.1f}, {:+.1f})".format(*point["at"]) for point in own["points"]]
    lines = [" → ".join(names[:2]), " → ".join(["", *names[2:]]).strip()]
    return "\n".join(line for line in lines if line)


def _draw_course(axes: Axes, own: Result, k: int) -> None:
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    for at, heard in enumerate(own["heard"]):
        places = np.array(heard, dtype=np.float64)[:, k]
        middle = np.arange(len(places)) + WINDOW_BARS / 2.0
        axes.plot(
            middle, places, color=OURS, linewidth=1.8, alpha=0.85 if at == 0 else 0.45,
            solid_capstyle="round", label="heard" if at == 0 else "heard, another draw",
        )  # fmt: skip
    bars = [point["bar"] for point in own["points"]]
    asked = [point["at"][k] for point in own["points"]]
    axes.plot(
        bars, asked, "o-", color=THEIRS, linewidth=1.4, ms=6, mfc="white", mew=1.5, label="asked"
    )
    axes.set(ylim=(-1.08, 1.08), xlim=(-0.6, own["n_bars"] + 0.6), yticks=[-1, 0, 1])
    axes.set_xticks(bars)
    axes.tick_params(length=0, colors=INK)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)


def draw_moves(figure: Figure, found: Result) -> bool:
    """Draw each piece's way in the plane, and the mean of all, for each move."""
    moves = found["moves"]
    figure.set_size_inches(2.9 * len(moves), 3.5)
    every = figure.subplots(1, len(moves), squeeze=False, sharey=True)[0]
    for axes, own in zip(every, moves, strict=True):
        before, after = (np.array(own[key], dtype=np.float64) for key in ("before", "after"))
        colour = COLOURS.get(own["move"], OURS)
        axes.plot([-END, END], [0, 0], color=FAINT, linewidth=0.8, zorder=0)
        axes.plot([0, 0], [-END, END], color=FAINT, linewidth=0.8, zorder=0)
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "color": colour}
        axes.quiver(
            *before.T, *(after - before).T, **arrows, alpha=0.35, width=0.006, headwidth=4,
            headlength=5,
        )  # fmt: skip
        mean = (after - before).mean(axis=0)
        axes.quiver(
            0, 0, *mean, **arrows, width=0.022, headwidth=3, headlength=3, headaxislength=2.8,
            edgecolor="white", linewidth=1, zorder=5,
        )  # fmt: skip
        axes.set(xlim=(-END, END), ylim=(-END, END), aspect="equal", xticks=[-4, 0, 4])
        axes.set(yticks=[-4, 0, 4])
        axes.set_title(own["move"], color=colour, fontweight="bold")
        axes.set_xlabel("valence, log odds", color=INK)
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
    every[0].set_ylabel("arousal, log odds", color=INK)
    return True


def draw_likeness(figure: Figure, found: Result) -> bool:
    """Draw what results share with their pieces, and unrelated clips with them."""
    moves = found["moves"]
    views = list(moves[0]["likeness"])
    figure.set_size_inches(3.0 * len(views) + 1.2, 0.9 + 0.42 * len(moves))
    every = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
    places = np.arange(len(moves))
    for axes, view in zip(every, views, strict=True):
        own = [move["likeness"][view] for move in moves]
        _dots(axes, places, [one["unrelated"] for one in own], THEIRS, "unrelated clip")
        _dots(axes, places, [one["source"] for one in own], OURS, "taken up")
        later = found["phrases"][view]
        if later:
            axes.axvline(later[0], color=INK, linewidth=0.9, linestyle=":",
                         label="the piece, four bars later")  # fmt: skip
        axes.set(xlim=(0, 1), yticks=places, ylim=(len(moves) - 0.4, -0.6))
        axes.set_yticklabels([move["move"] for move in moves])
        axes.set_title(f"{TITLES.get(view, view)} shared", color=INK, fontsize=10)
        axes.grid(axis="x", color=FAINT, linewidth=0.5)
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
    figure.legend(*every[0].get_legend_handles_labels(), frameon=False, fontsize=8.5, ncols=3,
                  loc="outside lower center")  # fmt: skip
    return True


def _dots(
    axes: Axes, places: Any, triples: Sequence[Sequence[float]], colour: str, label: str
) -> None:
    known = [(place, triple) for place, triple in zip(places, triples, strict=True) if triple]
    for at, (place, (value, low, high)) in enumerate(known):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, alpha=0.6)
        axes.plot(value, place, "o", color=colour, ms=6, mec="white", mew=0.6,
                  label=label if at == 0 else None)  # fmt: skip


PICTURES: dict[str, Callable[[Figure, Result], bool]] = {
    "moving_curves": draw_courses,
    "moving_moves": draw_moves,
    "moving_likeness": draw_likeness,
}
"""What is drawn, by file name."""
