"""Questions once asked of the system, each with its page of results; no part of the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
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


def main_of(
    doc: str,
    measure: Callable[[argparse.Namespace], str],
    *,
    needs: Mapping[str, str],
    composes: bool = True,
    **numbers: int,
) -> Callable[[], None]:
    """Return the command of a study: it parses, measures and prints; mistakes are one line.

    Args:
        doc: Its first line says what is asked.
        measure: Returns the report.
        needs: What each folder or file that must be named is.
        composes: Whether a checkpoint composes; else `--quick` makes few fits.
        numbers: Defaults of further options.
    """

    def main() -> None:
        parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
        for name, what in {**needs, "out": "folder for the report"}.items():
            parser.add_argument(f"--{name}", type=Path, required=True, help=what)
        parser.add_argument("--only", action="append", default=[], metavar="PART")
        if composes:
            parser.add_argument("--checkpoint", type=Path)
        else:
            parser.add_argument("--quick", action="store_true", help="few fits, to see all work")
        for name, default in numbers.items():
            parser.add_argument(f"--{name}", type=int, default=default)
        try:
            print(measure(parser.parse_args()))
        except (OSError, ValueError) as error:
            sys.exit(f"Error: {error}")

    return main
