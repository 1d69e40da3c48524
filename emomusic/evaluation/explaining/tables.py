"""The check of explanations as Markdown, from its plain values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from emomusic.evaluation.report.rendering import table, told_interval

HEAD = ["undone", "clips", "axis moves as said", "quadrant moves as said", "median", "flips"]


def explaining_markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of a check, as `Explained.to_dict` holds it."""
    return "\n\n".join(
        [
            f"{found['n_named']} of {found['n_clips']} clips have a cause by itself. Each is "
            "undone by edits that the explanation does not use, one drawn for each clip.",
            table(HEAD, _rows(found["shares"])),
            "Axis and quadrant: share of clips with its 95 % Wilson interval; median: log odds by "
            "which the axis moved as said; flips: share then heard as another quadrant. The "
            "control undoes what the explanation does not name, and counts the axis that moves "
            "more: any edit makes a sure verdict less sure, so this, not a half, is the level of "
            "chance.",
            "Each edit, wherever its cause is named for the verdict:",
            table(HEAD, _rows(found["each"])),
        ]
    )


def _rows(shares: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            share["what"],
            str(share["n"]),
            told_interval(share["axis"]),
            told_interval(share["quadrant"]),
            f"{share['median']:+.2f}",
            f"{share['flipped']:.2f}",
        ]
        for share in shares
    ]
