"""The report of an evaluation as files: Markdown, JSON and PNG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emomusic.evaluation.report.plots import draw_pictures
from emomusic.evaluation.report.summary import demands
from emomusic.evaluation.report.tables import report_markdown
from emomusic.files import write_text

JSON_NAME, MARKDOWN_NAME = "evaluation.json", "evaluation.md"


def write_report(evaluation: Mapping[str, Any], folder: Path) -> str:
    """Write `evaluation.json`, the pictures and `evaluation.md` into a folder.

    Args:
        evaluation: `about`, `sections` and `left_out`, plain values. What was written to
            `evaluation.json` will do: a report can be written anew without measuring.
        folder: Where the files go.

    Returns:
        The Markdown.

    Raises:
        OSError: If a file cannot be written.
    """
    content = {name: dict(evaluation[name]) for name in ("about", "sections", "left_out")}
    summary = [demand.to_dict() for demand in demands(content["sections"])]
    whole = {"about": content["about"], "summary": summary, **content}
    write_text(folder / JSON_NAME, json.dumps(whole, indent=1) + "\n")
    try:
        pictures = draw_pictures(content["sections"], folder)
    except ImportError as error:
        pictures, content["left_out"]["pictures"] = {}, str(error)
    text = report_markdown(content, pictures)
    write_text(folder / MARKDOWN_NAME, text)
    return text
