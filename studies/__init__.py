"""Questions once asked of the system, each with its page of results; no part of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emomusic.evaluation.render import Report
from emomusic.evaluation.rows import Found, LeftOutError, Section


def run_study(
    title: str,
    sections: Sequence[Section],
    given: Any,
    *,
    about: Mapping[str, str],
    out: Path,
    only: Sequence[str] = (),
) -> str:
    """Measure sections one after the other and write `study.md`, `study.json` and pictures.

    Args:
        title: Of the report.
        sections: What can be measured.
        given: What they are measured on.
        about: What was measured and how.
        out: Folder for the report.
        only: Names of sections; none means all.

    Returns:
        The Markdown.

    Raises:
        ValueError: If a section is unknown, or cannot be measured.
    """
    known = [section.name for section in sections]
    if unknown := [name for name in only if name not in known]:
        raise ValueError(f"unknown part {unknown[0]!r}; known: {', '.join(known)}")
    found, left_out = {}, {}
    for section in sections:
        if only and section.name not in only:
            continue
        print(f"{section.name} …", flush=True)
        try:
            found[section] = Found.of(section, given)
        except LeftOutError as error:
            left_out[section.name] = str(error)
    return Report(about, found, left_out, title).write(out, "study")
