"""Draw piano rolls of MIDI files into one PNG: draw_rolls.py OUT.png FILE [FILE ...]."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.pianoroll import BAR, BEAT, DPI, ROW, TEXT, draw_notes, name_octaves, picture
from emomusic.music.score import ScoreError, grid_of, notes_of, read_score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, PANEL_HEIGHT = 1200, 300  # pixels
MAX_PANELS = 26  # 7,800 pixels high
MAX_BEATS = 20_000
MIN_PITCH_SPAN = 24  # two octaves: a narrow range is not blown up
LABEL_PIXELS = 45  # a bar number and the space around it
LINE_PIXELS = 7  # lines closer than this would grey the panel
BLACK_KEYS = (1, 3, 6, 8, 10)  # pitch classes


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    notes: Notes
    bars: FloatColumn  # beats at which each bar starts, and at which the last one ends
    beats: FloatColumn  # beats of the time signature, in quarter notes


def draw_piano_rolls(scores: Sequence[ScoreTick], path: Path, *, titles: Sequence[str]) -> None:
    """Draw the piano rolls of several scores as panels of one picture, one below the other.

    All panels share the pitch axis, the length of a beat and the colours of the velocities, so
    that they can be compared. Time is in beats: the tempo is not seen. Bars follow the time
    signatures of each score, 4/4 where there is none. Drums and the pedal are left out.

    Args:
        scores: 1 to 26, in ticks, of at most 20,000 beats each.
        path: A file that ends in .png; it is written whole or not at all.
        titles: One text for each score.

    Raises:
        ScoreError: If a score holds no notes.
        ValueError: If an argument is out of its range, or a score too long.
        ImportError: If matplotlib is not installed.
        OSError: If the folder is missing, not writable or full.
    """
    if not 1 <= len(scores) <= MAX_PANELS or len(titles) != len(scores):
        raise ValueError(
            f"scores must be 1 to {MAX_PANELS}, and one title for each, "
            f"got {len(scores)} scores, {len(titles)} titles"
        )
    panels = [_panel(score, title) for score, title in zip(scores, titles, strict=True)]
    with picture(path, size=(WIDTH / DPI, PANEL_HEIGHT * len(panels) / DPI)) as figure:
        _draw(figure, panels)


def _panel(score: ScoreTick, title: str) -> _Panel:
    notes = notes_of(score)
    end = float((notes.onset + notes.duration).max())
    if end > MAX_BEATS:
        raise ValueError(f"a score of at most {MAX_BEATS} beats can be drawn, got {end:.0f}")
    bars, beats = grid_of(score, end)
    return _Panel(title, notes, bars, beats[(beats > bars[0]) & (beats < bars[-1])])


def _draw(figure: Figure, panels: Sequence[_Panel]) -> None:
    span = max(float(panel.bars[-1] - panel.bars[0]) for panel in panels)
    pixels_per_beat = 0.9 * WIDTH / span
    low, high = _pitch_range(panels)
    rows = figure.subplots(len(panels), 1, sharey=True, squeeze=False).flat
    for axes, panel in zip(rows, panels, strict=True):
        axes.set(xlim=(panel.bars[0], panel.bars[0] + span), ylim=(low - 0.5, high + 0.5))
        _draw_keys(axes, low, high, float(panel.bars[-1] - panel.bars[0]) / span)
        _draw_grid(axes, panel, pixels_per_beat)
        notes, pixel = panel.notes, 1 / pixels_per_beat
        end = notes.onset + np.maximum(notes.duration, 3 * pixel)
        roll = draw_notes(
            axes, notes, left=notes.onset, right=end,
            edgecolors="white",  # so that repeated and overlapping notes are seen
            linewidths=0.5 if pixel * 2 * LINE_PIXELS < 1 else 0,
            snap=False,  # rounding to whole pixels would give the rows different heights
        )  # fmt: skip
    axes.set_xlabel("bar", loc="left", fontsize=9, color=TEXT)
    aspect = PANEL_HEIGHT * len(panels) / 16
    _draw_scale(figure.colorbar(roll, ax=figure.axes, fraction=0.05, aspect=aspect, pad=0.01).ax)


def _pitch_range(panels: Sequence[_Panel]) -> tuple[int, int]:
    pitches = np.concatenate([panel.notes.pitch for panel in panels])
    low, high = int(pitches.min()) - 1, int(pitches.max()) + 1
    missing = max(0, MIN_PITCH_SPAN - (high - low))
    return low - missing // 2, high + (missing + 1) // 2


def _draw_keys(axes: Axes, low: int, high: int, width: float) -> None:
    for pitch in range(low, high + 1):
        if pitch % 12 in BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, 0, width, color=ROW, linewidth=0, zorder=0)
        if pitch % 12 == 0:
            axes.axhline(pitch - 0.5, 0, width, color=BAR, linewidth=0.5, zorder=1)
    name_octaves(axes, low, high)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=TEXT)


def _draw_grid(axes: Axes, panel: _Panel, pixels_per_beat: float) -> None:
    bars = panel.bars
    pixels_per_bar = pixels_per_beat * float(np.diff(bars).mean())
    step = 2 ** max(0, math.ceil(math.log2(LABEL_PIXELS / pixels_per_bar)))
    numbered = range(0, len(bars) - 1, step)
    lines = [(bars[numbered], BAR), (bars[-1:], BAR)]
    if pixels_per_bar > LINE_PIXELS:
        lines.append((bars, BEAT))
    if len(panel.beats) and pixels_per_beat * float(np.diff(panel.beats).mean()) > LINE_PIXELS:
        lines.append((panel.beats, BEAT))
    for beats, colour in reversed(lines):
        axes.vlines(beats, 0, 1, colour, linewidth=0.8, transform=axes.get_xaxis_transform())
    axes.set_xticks(bars[numbered], [str(1 + i) for i in numbered])
    axes.tick_params(axis="x", length=3, color=BAR, labelsize=9, labelcolor=TEXT)
    axes.set_title(panel.title, loc="left", fontsize=11, color=TEXT, parse_math=False)
    axes.spines[:].set_visible(False)


def _draw_scale(axes: Axes) -> None:
    axes.set_title("velocity", fontsize=9, color=TEXT)
    axes.set_yticks([1, 32, 64, 96, 127])
    axes.tick_params(length=2, color=BAR, labelsize=8, labelcolor=TEXT)
    axes.spines[:].set_visible(False)


def main(arguments: list[str]) -> int:
    """Draw the files named after the picture's own name, with their names as titles."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    paths = [Path(argument) for argument in arguments[1:]]
    try:
        scores = [read_score(path) for path in paths]
        draw_piano_rolls(scores, Path(arguments[0]), titles=[path.stem for path in paths])
    except (OSError, ScoreError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
