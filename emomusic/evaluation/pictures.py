"""Pictures of results, drawn from plain values: how all of them look and are written."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emomusic.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS, THEIRS, LINE = "#2a6f97", "#e09f3e", "#777777"
DPI = 110
NEEDS_MATPLOTLIB = "no pictures: matplotlib is not installed (pip install matplotlib)"
Draw = Callable[["Figure", Mapping[str, Any]], bool]
"""Draws a result into an empty figure, and tells whether there was something to draw."""


def draw_all(
    pictures: Iterable[tuple[str, Draw, Mapping[str, Any] | None]], folder: Path
) -> dict[str, str]:
    """Draw pictures, each written whole or not at all.

    Args:
        pictures: Names, what draws them, and the result that is drawn; None is left out.
        folder: Where the PNG files go, named as the pictures.

    Returns:
        File name of each picture that was drawn.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If a file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(NEEDS_MATPLOTLIB, name="matplotlib") from error
    drawn = {}
    for name, draw, found in pictures:
        figure = Figure(dpi=DPI, layout="constrained", facecolor="white")
        if found is None or not draw(figure, found):
            continue
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
        data = file.getvalue()
        drawn[name] = f"{name}.png"
        write_atomically(folder / drawn[name], lambda out, data=data: out.write(data))  # type: ignore[misc]
    return drawn
