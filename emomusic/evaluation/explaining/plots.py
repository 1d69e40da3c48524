"""Pictures of the check of explanations, drawn from its plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.pictures import LINE, OURS, THEIRS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASKED = 0.8


def draw_explaining(figure: Figure, found: Mapping[str, Any]) -> bool:
    """Draw how often the verdict moved as said, for each place and each edit.

    Args:
        figure: Empty.
        found: As `Explained.to_dict` holds it.

    Returns:
        Whether there was something to draw.
    """
    shares = [*found["shares"], *found["each"]]
    if not shares:
        return False
    figure.set_size_inches(7.5, 0.9 + 0.27 * len(shares))
    axes = figure.subplots()
    places = -np.arange(len(shares)) - 0.8 * (np.arange(len(shares)) >= len(found["shares"]))
    for what, offset, colour in (("axis", 0.12, OURS), ("quadrant", -0.12, THEIRS)):
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
    return True
