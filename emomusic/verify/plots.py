"""Pictures of explanations: what moved the verdict, and where in the piece, as PNG files."""

from __future__ import annotations

import os
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.music.notes import Notes
from emomusic.music.pianoroll import BAR, BEAT, ROW, TEXT, draw_notes, name_octaves, picture
from emomusic.verify.calibration import AXES
from emomusic.verify.explain import AGAINST, FOR, Effect, Explanation, Trajectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

ROLE_COLOURS = {FOR: "#6a3fb5", AGAINST: "#e09f3e"}
PALE = "#d3d3da"
AXIS_COLOURS = {"valence": "#b3206b", "arousal": "#4a7fd0"}
LEGEND = {FOR: "for the verdict", AGAINST: "against it", "": "not sure, or no matter"}
LEGEND_LOOK: dict[str, Any] = {"loc": "lower right", "frameon": False, "fontsize": 9}
SCALE = "← lowers          log odds added          raises →"
MIN_ODDS = 1.0
"""The bars' scale reaches at least this many log odds, so that small effects look small."""
SIZE, LINE = (12, 9), 150  # inches of `DPI` dots; letters a line


def plot_explanation(
    path: str | os.PathLike[str], notes: Notes, *, explanation: Explanation, trajectory: Trajectory
) -> None:
    """Draw the causes of a verdict as bars, and valence and arousal over the piano roll.

    A bar is the log odds that a cause adds to its axis: to the right it raises it. The thin line
    across its end runs from the least to the most, over the ways of undoing the cause.

    Args:
        path: A file that ends in .png; it is written whole or not at all.
        notes, explanation, trajectory: Of one clip, by `explain` and `trace_emotion`.

    Raises:
        ValueError: If the path does not end in .png.
        ImportError: If matplotlib is not installed.
        OSError: If the folder is missing, not writable or full.
    """
    with picture(path, size=SIZE) as figure:
        rows = np.array(figure.subfigures(3, 1, height_ratios=(0.9, 2.2, 3.6)), dtype=object)
        head, middle, bottom = rows.tolist()
        _draw_words(head, explanation, trajectory)
        _draw_bars(middle, explanation)
        curve, roll = bottom.subplots(2, 1, sharex=True, height_ratios=(1, 1.5))
        _draw_curve(curve, trajectory)
        _draw_roll(roll, notes, trajectory)


def _draw_words(figure: SubFigure, explanation: Explanation, trajectory: Trajectory) -> None:
    lines = [*wrap(explanation.sentence, LINE), *wrap(trajectory.sentence, LINE)]
    if len(lines) > 4:
        lines = [*lines[:3], f"{lines[3][: LINE - 2]} …"]
    look: dict[str, Any] = {"color": TEXT, "va": "top", "parse_math": False}
    figure.text(0.012, 0.95, explanation.headline, fontsize=15, weight="bold", **look)
    figure.text(0.012, 0.62, "\n".join(lines), fontsize=10, linespacing=1.4, **look)


def _draw_bars(figure: SubFigure, explanation: Explanation) -> None:
    from matplotlib.patches import Patch

    effects = explanation.effects[::-1]
    reach = max([MIN_ODDS, *(abs(x) for e in effects for x in (*e.valence, *e.arousal))]) * 1.08
    panels = figure.subplots(1, 2, sharey=True)
    for axes, axis in zip(panels, AXES, strict=True):
        axes.set(xlim=(-reach, reach), ylim=(-0.6, len(effects) - 0.4))
        axes.axvline(0, color=BAR, linewidth=1, zorder=1)
        for place, effect in enumerate(effects):
            _draw_bar(axes, place, effect, axis)
        axes.set_yticks(range(len(effects)), [effect.words for effect in effects])
        axes.grid(axis="x", color=BEAT, linewidth=0.8)
        axes.set_axisbelow(True)
        _plain(axes)
        axes.tick_params(axis="y", labelsize=11)
        unsure = ", undecided" if axis in explanation.undecided else ""
        axes.set_title(f"{axis}{unsure}", loc="left", fontsize=12, color=TEXT)
        axes.set_xlabel(SCALE, fontsize=9, color=TEXT)
    colours = (ROLE_COLOURS.get(role, PALE) for role in LEGEND)
    kinds = [Patch(color=c, label=label) for c, label in zip(colours, LEGEND.values(), strict=True)]
    spacing = {"handlelength": 1, "columnspacing": 1.2}
    panels[1].legend(
        handles=kinds, bbox_to_anchor=(1, 1), ncols=3, labelcolor=TEXT, **spacing, **LEGEND_LOOK
    )


def _draw_bar(axes: Axes, place: int, effect: Effect, axis: str) -> None:
    mean, low, high = getattr(effect, axis)
    colour = ROLE_COLOURS.get(effect.role, PALE)
    # The axis that the explanation names is drawn full, the other one lightly.
    alpha = 1.0 if effect.axis == axis or effect.role not in ROLE_COLOURS else 0.35
    axes.barh(place, mean, height=0.62, color=colour, alpha=alpha, zorder=2)
    axes.plot([low, high], [place, place], color=TEXT, linewidth=1.2, alpha=0.7, zorder=3)


def _draw_curve(axes: Axes, trajectory: Trajectory) -> None:
    axes.axhline(0, color=BAR, linewidth=1)
    columns = [(w.start_s, w.end_s, w.valence, w.arousal) for w in trajectory.windows]
    start, end, *both = np.array(columns).reshape(-1, 4).T
    for (axis, colour), values in zip(AXIS_COLOURS.items(), both, strict=True):
        axes.bar(start, values, end - start, align="edge", color=colour, alpha=0.12, linewidth=0)
        axes.hlines(values, start, end, color=colour, linewidth=2.5, label=axis)
        axes.plot((start + end) / 2, values, color=colour, linewidth=1, alpha=0.5)
    most = float(np.max(np.abs(both), initial=0.5))
    axes.set(ylim=(-1.1 * most, 1.1 * most))
    axes.set_ylabel("heard", fontsize=9, color=TEXT)
    axes.grid(axis="y", color=BEAT, linewidth=0.8)
    axes.legend(bbox_to_anchor=(1, 0.97), ncols=2, labelcolor="linecolor", **LEGEND_LOOK)
    axes.set_title("over the piece", loc="left", fontsize=12, color=TEXT)
    _plain(axes)


def _draw_roll(axes: Axes, notes: Notes, trajectory: Trajectory) -> None:
    end_s = float((notes.onset_s + notes.duration_s).max())
    left, right = notes.onset_s, notes.onset_s + np.maximum(notes.duration_s, end_s / 400)
    draw_notes(axes, notes, left=left, right=right, linewidths=0)
    typical = trajectory.most_typical
    if typical is not None:
        axes.axvspan(typical.start_s, typical.end_s, color=ROW, zorder=0)
        middle = (typical.start_s + typical.end_s) / 2
        look: dict[str, Any] = {"ha": "center", "fontsize": 9, "color": TEXT}
        above = axes.get_xaxis_transform()
        axes.text(middle, 1.02, f"most {trajectory.emotion}", transform=above, **look)
    for window in trajectory.windows:
        axes.axvline(window.start_s, color=BEAT, linewidth=0.8, zorder=1)
    axes.set(xlim=(0, end_s), ylim=(notes.pitch.min() - 2, notes.pitch.max() + 2))
    name_octaves(axes, int(notes.pitch.min()), int(notes.pitch.max()))
    _plain(axes)
    # Windows are numbered by their first bars, or by seconds where bars are not known.
    bars = [(w.start_s, str(w.bars[0])) for w in trajectory.windows if w.bars is not None]
    if bars:
        axes.set_xticks([at for at, _ in bars], [name for _, name in bars])
    axes.set_xlabel("bar" if bars else "seconds", loc="left", fontsize=9, color=TEXT)


def _plain(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=TEXT)
