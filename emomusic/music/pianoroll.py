"""Pictures of scores: piano rolls over bars, as PNG files."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from symusic.core import ScoreTick

from emomusic.files import write_atomically
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import grid_of, notes_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

DPI = 100
MAX_PIXELS = 8000  # of width and height
MAX_BEATS = 20_000
MIN_PITCH_SPAN = 24  # two octaves: a narrow range is not blown up
LABEL_PIXELS = 45  # a bar number and the space around it
LINE_PIXELS = 7  # lines closer than this would grey the panel
BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes
COLOURS = ("#8fc7e8", "#4a7fd0", "#6a3fb5", "#b3206b", "#7a0026")  # soft to loud, darker
ROW, BEAT, BAR, TEXT = "#f3f3f6", "#e3e3e8", "#a9a9b4", "#33333b"


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    notes: Notes
    bars: FloatColumn  # beats at which each bar starts, and at which the last one ends
    beats: FloatColumn  # beats of the time signature, in quarter notes
    first_bar: int  # number of the first bar shown, counted from 1


def draw_piano_roll(
    score: ScoreTick,
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    bars: tuple[int, int] | None = None,
    width: int = 1200,
    height: int = 400,
) -> None:
    """Draw the piano roll of one score.

    Args:
        score: A score in ticks, as for `draw_piano_rolls`, like the other arguments.
        path: A file that ends in .png.
        title: Text above the roll.
        bars: First and last bar to show, counted from 1; all by default.
        width: Pixels.
        height: Pixels.

    Raises:
        ScoreError: As `draw_piano_rolls`, like the other errors.
        ValueError: If an argument is out of its range, or the score too long.
        ImportError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    titles = None if title is None else [title]
    draw_piano_rolls([score], path, titles=titles, bars=bars, width=width, panel_height=height)


def draw_piano_rolls(
    scores: Sequence[ScoreTick],
    path: str | os.PathLike[str],
    *,
    titles: Sequence[str] | None = None,
    bars: tuple[int, int] | None = None,
    n_columns: int = 1,
    width: int = 1200,
    panel_height: int = 300,
) -> None:
    """Draw the piano rolls of several scores as panels of one picture.

    All panels share the pitch axis, the length of a beat and the colours of the velocities, so
    that they can be compared. Time is in beats: the tempo is not seen. Bars follow the time
    signatures of each score, 4/4 where there is none. Drums and the pedal are left out.

    Args:
        scores: At least one, in ticks, of at most 20,000 beats each.
        path: A file that ends in .png; it is written whole or not at all.
        titles: One text for each score.
        bars: First and last bar to show, counted from 1; all by default.
        n_columns: Panels side by side.
        width: Pixels of the whole picture.
        panel_height: Pixels of each row of panels.

    Raises:
        ScoreError: If a score holds no notes.
        ValueError: If an argument is out of its range, or a score too long.
        ImportError: If matplotlib is not installed.
        OSError: If the folder is missing, not writable or full.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a picture must end in .png, got {str(path)!r}")
    names = [""] * len(scores) if titles is None else list(titles)
    if not scores or len(names) != len(scores) or n_columns < 1:
        raise ValueError(
            f"scores, titles and columns must be at least one, and one title for each score, "
            f"got {len(scores)} scores, {len(names)} titles, {n_columns} columns"
        )
    n_columns = min(n_columns, len(scores))
    height = panel_height * math.ceil(len(scores) / n_columns)
    if min(width, panel_height) < 100 or max(width, height) > MAX_PIXELS:
        raise ValueError(f"a picture has 100 to {MAX_PIXELS} pixels a side, got {width}×{height}")
    panels = [_panel(score, name, bars) for score, name in zip(scores, names, strict=True)]
    file = io.BytesIO()
    figure = _figure(panels, n_columns, width, height)
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    write_atomically(Path(path), lambda target: target.write(file.getvalue()))


def _panel(score: ScoreTick, title: str, shown: tuple[int, int] | None) -> _Panel:
    notes = notes_of(score)
    end = float((notes.onset + notes.duration).max())
    if end > MAX_BEATS:
        raise ValueError(f"a score of at most {MAX_BEATS} beats can be drawn, got {end:.0f}")
    bars, beats = grid_of(score, end)
    first, last = shown or (1, len(bars) - 1)
    if not 1 <= first <= last:
        raise ValueError(f"bars must be a first and a last one, counted from 1, got {shown}")
    if first >= len(bars):
        raise ValueError(f"bars must be in 1 to {len(bars) - 1} for this score, got {shown}")
    bars = bars[first - 1 : last + 1]
    inside = (notes.onset < bars[-1]) & (notes.onset + notes.duration > bars[0])
    beats = beats[(beats > bars[0]) & (beats < bars[-1])]
    return _Panel(title, notes.where(inside), bars, beats, first)


def _figure(panels: Sequence[_Panel], n_columns: int, width: int, height: int) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib: pip install matplotlib", name="matplotlib"
        ) from error
    figure = Figure((width / DPI, height / DPI), dpi=DPI, layout="constrained", facecolor="white")
    n_rows = math.ceil(len(panels) / n_columns)
    all_axes = list(figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).flat)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    span = max(float(panel.bars[-1] - panel.bars[0]) for panel in panels)
    pixels_per_beat = 0.9 * width / n_columns / span
    low, high = _pitch_range(panels)
    for i, (axes, panel) in enumerate(zip(all_axes, panels, strict=False)):
        axes.set(xlim=(panel.bars[0], panel.bars[0] + span), ylim=(low - 0.5, high + 0.5))
        _draw_keys(axes, low, high, float(panel.bars[-1] - panel.bars[0]) / span)
        _draw_grid(axes, panel, pixels_per_beat)
        roll = _draw_notes(axes, panel.notes, 1 / pixels_per_beat)
        if i + n_columns >= len(panels):
            axes.set_xlabel("bar", loc="left", fontsize=9, color=TEXT)
    _draw_scale(
        figure.colorbar(roll, ax=figure.axes, fraction=0.05, aspect=height / 16, pad=0.01).ax
    )
    return figure


def _pitch_range(panels: Sequence[_Panel]) -> tuple[int, int]:
    pitches = np.concatenate([panel.notes.pitch for panel in panels])
    if not len(pitches):
        return 48, 48 + MIN_PITCH_SPAN
    low, high = int(pitches.min()) - 1, int(pitches.max()) + 1
    missing = max(0, MIN_PITCH_SPAN - (high - low))
    return low - missing // 2, high + (missing + 1) // 2


def _draw_notes(axes: Axes, notes: Notes, pixel: float) -> PolyCollection:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LinearSegmentedColormap

    roll = PolyCollection(
        list(_rectangles(notes, pixel)),
        array=notes.velocity,
        cmap=LinearSegmentedColormap.from_list("velocity", COLOURS),
        clim=(1, 127),
        edgecolors="white",  # so that repeated and overlapping notes are seen
        linewidths=0.5 if pixel * 2 * LINE_PIXELS < 1 else 0,
        snap=False,  # rounding to whole pixels would give the rows different heights
        zorder=3,
    )
    axes.add_collection(roll, autolim=False)
    return roll


def _rectangles(notes: Notes, pixel: float) -> FloatColumn:
    """Return the corners of each note, at least three pixels wide, shape (n, 4, 2)."""
    left = notes.onset
    right = left + np.maximum(notes.duration, 3 * pixel)
    bottom, top = notes.pitch - 0.5, notes.pitch + 0.5
    corners = [(left, bottom), (right, bottom), (right, top), (left, top)]
    return np.array(corners, dtype=np.float64).transpose(2, 0, 1)


def _draw_keys(axes: Axes, low: int, high: int, width: float) -> None:
    pitches = range(low, high + 1)
    for pitch in pitches:
        if pitch % 12 in BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, 0, width, color=ROW, linewidth=0, zorder=0)
    octaves = [pitch for pitch in pitches if pitch % 12 == 0]
    for pitch in octaves:
        axes.axhline(pitch - 0.5, 0, width, color=BAR, linewidth=0.5, zorder=1)
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=TEXT)


def _draw_grid(axes: Axes, panel: _Panel, pixels_per_beat: float) -> None:
    bars = panel.bars
    pixels_per_bar = pixels_per_beat * float(np.diff(bars).mean())
    step = 2 ** max(0, math.ceil(math.log2(LABEL_PIXELS / pixels_per_bar)))
    numbered = [i for i in range(len(bars) - 1) if (panel.first_bar + i - 1) % step == 0]
    lines = [(bars[numbered], BAR), (bars[-1:], BAR)]
    if pixels_per_bar > LINE_PIXELS:
        lines.append((bars, BEAT))
    if len(panel.beats) and pixels_per_beat * float(np.diff(panel.beats).mean()) > LINE_PIXELS:
        lines.append((panel.beats, BEAT))
    for beats, colour in reversed(lines):
        axes.vlines(beats, 0, 1, colour, linewidth=0.8, transform=axes.get_xaxis_transform())
    axes.set_xticks(bars[numbered], [str(panel.first_bar + i) for i in numbered])
    axes.tick_params(axis="x", length=3, color=BAR, labelsize=9, labelcolor=TEXT)
    axes.set_title(panel.title, loc="left", fontsize=11, color=TEXT, parse_math=False)
    axes.spines[:].set_visible(False)


def _draw_scale(axes: Axes) -> None:
    axes.set_title("velocity", fontsize=9, color=TEXT)
    axes.set_yticks([1, 32, 64, 96, 127])
    axes.tick_params(length=2, color=BAR, labelsize=8, labelcolor=TEXT)
    axes.spines[:].set_visible(False)
