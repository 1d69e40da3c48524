"""Pictures of the check of explanations, drawn from its plain values."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.files import write_atomically

NAME = "explaining.png"
ASKED = 0.8
AXIS, QUADRANT, LINE = "#2a6f97", "#e09f3e", "#777777"
DPI = 110


def draw_explaining(found: Mapping[str, Any], folder: Path) -> str:
    """Draw how often the verdict moved as said, for each place and each edit.

    Args:
        found: As `Explained.to_dict` holds it.
        folder: Where the PNG file goes; it is written whole or not at all.

    Returns:
        The file's name.

    Raises:
        ImportError: If matplotlib is not installed.
        OSError: If the file cannot be written.
    """
    from matplotlib.figure import Figure

    shares = [*found["shares"], *found["each"]]
    figure = Figure((7.5, 0.9 + 0.27 * len(shares)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    places = -np.arange(len(shares)) - 0.8 * (np.arange(len(shares)) >= len(found["shares"]))
    for what, offset, colour in (("axis", 0.12, AXIS), ("quadrant", -0.12, QUADRANT)):
        value, low, high = np.array([share[what] for share in shares]).T
        axes.errorbar(
            value,
            places + offset,
            xerr=np.maximum([value - low, high - value], 0.0),
            fmt="o",
            markersize=4,
            color=colour,
            label=f"{what} moves as said",
        )
    axes.axvline(ASKED, color=LINE, linestyle="--", linewidth=1)
    axes.text(ASKED, 0.9, "asked", color=LINE, fontsize=8, ha="center", va="bottom")
    axes.set_yticks(places, [f"{share['what']} ({share['n']})" for share in shares], fontsize=9)
    lowest = min([0.5, *(share[what][1] for share in shares for what in ("axis", "quadrant"))])
    axes.set(xlim=(lowest - 0.02, 1.01), ylim=(places[-1] - 0.6, 0.7))
    axes.set_xlabel("share of clips, 95 % interval", fontsize=9)
    axes.legend(loc="lower left", frameon=False, fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    write_atomically(folder / NAME, lambda out: out.write(file.getvalue()))
    return NAME
