"""Pictures of scores: the parts of piano rolls, and PNG files."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.files import write_atomically
from emomusic.music.notes import FloatColumn, Notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

DPI = 100
COLOURS = ("#8fc7e8", "#4a7fd0", "#6a3fb5", "#b3206b", "#7a0026")  # soft to loud, darker
ROW, BEAT, BAR, TEXT = "#f3f3f6", "#e3e3e8", "#a9a9b4", "#33333b"


@contextmanager
def picture(path: str | os.PathLike[str], *, size: tuple[float, float]) -> Iterator[Figure]:
    """Give a figure to draw on, then write it as a PNG file, whole or not at all.

    Args:
        path: A file that ends in .png.
        size: Width and height in inches of `DPI` dots.

    Raises:
        ValueError: If the path does not end in .png.
        ImportError: If matplotlib is not installed.
        OSError: If the folder is missing, not writable or full.
    """
    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"a picture must end in .png, got {str(path)!r}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "drawing needs matplotlib: pip install matplotlib", name="matplotlib"
        ) from error
    figure = Figure(size, dpi=DPI, layout="constrained", facecolor="white")
    yield figure
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    write_atomically(Path(path), lambda target: target.write(file.getvalue()))


def draw_notes(
    axes: Axes, notes: Notes, *, left: FloatColumn, right: FloatColumn, **look: Any
) -> PolyCollection:
    """Draw a box for each note, a semitone high, from left to right, darker the louder it is."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import LinearSegmentedColormap

    low, high = notes.pitch - 0.5, notes.pitch + 0.5
    corners = np.array([(left, low), (right, low), (right, high), (left, high)])  # (4, 2, n)
    roll = PolyCollection(
        list(corners.transpose(2, 0, 1)),
        array=notes.velocity,
        cmap=LinearSegmentedColormap.from_list("velocity", COLOURS),
        clim=(1, 127),
        zorder=3,
        **look,
    )
    axes.add_collection(roll, autolim=False)
    return roll


def name_octaves(axes: Axes, low: int, high: int) -> None:
    """Name each C from the lowest pitch to the highest on the vertical axis."""
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
