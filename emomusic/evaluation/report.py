"""The evaluation as Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.hearing import HALVES, Hearing
from emomusic.evaluation.shape import Shape
from emomusic.files import write_text


def hearing_table(hearings: Sequence[Hearing]) -> str:
    """Return accuracies with their intervals as a Markdown table."""
    lines = [
        "| clips | judge | n | quadrant | arousal | valence | macro F1 |",
        "|---|---|---|---|---|---|---|",
    ]
    for hearing in hearings:
        cells = []
        for axis in HALVES:
            share, low, high = hearing.share(axis)
            cells.append(f"{share:.2f} ({low:.2f}–{high:.2f})")
        cells.append(f"{hearing.macro_f1:.2f}")
        n = int(hearing.confusion.sum())
        lines.append(f"| {hearing.what} | {hearing.judge} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def confusion_table(hearing: Hearing) -> str:
    """Return asked against heard as a Markdown table."""
    lines = [f"| asked | {' | '.join(f'heard {q}' for q in QUADRANTS)} |", "|---|---|---|---|---|"]
    for quadrant, row in zip(QUADRANTS, hearing.confusion, strict=True):
        lines.append(f"| {quadrant} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def control_table(control: Mapping[str, float]) -> str:
    """Return rank correlations, best first, as a Markdown table of two rows."""
    ordered = sorted(control.items(), key=lambda item: -item[1])
    names = " | ".join(f"`{name}`" for name, _ in ordered)
    values = " | ".join(f"{value:.2f}" for _, value in ordered)
    return f"| {names} |\n|{'---|' * len(ordered)}\n| {values} |"


def shape_table(shapes: Sequence[Shape]) -> str:
    """Return how bars and endings are filled as a Markdown table."""
    lines = [
        "| clips | n | empty bars | overlong | notes a bar | in the last bar | its longest note |",
        "|---|---|---|---|---|---|---|",
    ]
    for shape in shapes:
        cells = [" / ".join(f"{x:g}" for x in q) for q in (shape.bar, shape.last_bar)]
        cells.append(" / ".join(f"{x:g}" for x in shape.last_length))
        lines.append(
            f"| {shape.what} | {shape.n_clips} | {shape.n_empty} | {shape.n_overlong} | "
            f"{' | '.join(cells)} |"
        )
    return "\n".join(lines)


def write_report(
    out_dir: Path,
    hearings: Sequence[Hearing],
    control: Mapping[str, float],
    shapes: Sequence[Shape],
    about: Mapping[str, Any],
) -> str:
    """Write `evaluation.json` and `evaluation.md` into a folder, and return the latter."""
    together = next(h for h in hearings if h.what == "composed" and h.judge == "both")
    text = "\n\n".join(
        [
            "# Evaluation",
            "\n".join(f"- {name}: {value}" for name, value in about.items()),
            "## Emotion: asked against heard",
            hearing_table(hearings),
            "Share right with its 95 % Wilson interval; `both` is the judges' mean probability.",
            confusion_table(together),
            "## Attributes: asked against achieved",
            control_table(control),
            "Spearman's ρ over the same clips; the mapper moves several attributes at once.",
            "## Shape",
            shape_table(shapes),
            "Quantiles 5 / 25 / 50 / 75 / 95 %.",
        ]
    )
    content = {
        "about": dict(about),
        "hearings": [hearing.to_dict() for hearing in hearings],
        "control": {name: round(value, 4) for name, value in control.items()},
        "shapes": [shape.to_dict() for shape in shapes],
    }
    write_text(out_dir / "evaluation.json", json.dumps(content, indent=1) + "\n")
    write_text(out_dir / "evaluation.md", text + "\n")
    return text
