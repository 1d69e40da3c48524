"""Run the sections of an evaluation, each kept as soon as it is done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emomusic.evaluation.report.context import Context, LeftOutError
from emomusic.evaluation.report.sections import SECTIONS, Section
from emomusic.files import write_text

SECTIONS_DIR = "sections"
NAMES = tuple(section.name for section in SECTIONS)
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Evaluation:
    """Hold what was found.

    Attributes:
        about: What was evaluated and how.
        sections: The result of each section, in their order.
        left_out: Why each other section is missing.
    """

    about: dict[str, Any]
    sections: dict[str, dict[str, Any]]
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return dict(vars(self))


def run_sections(
    context: Context,
    *,
    only: Sequence[str] = (),
    baselines: bool | None = None,
    progress: Progress = lambda name, done, total: None,
) -> Evaluation:
    """Measure the sections asked for, or go on where an earlier run stopped.

    A section is kept with the sums of the checkpoint's files and the settings that it depends
    on; one that is kept and was made with the same is not made again. Of the sections not asked
    for, those kept are in the result too.

    Args:
        context: What they work on.
        only: Names of sections; none means all but those measured by name only.
        baselines: Whether simpler systems are heard, which takes minutes; None hears them where
            they are asked for by name, and in all runs that are not quick.
        progress: Called with a section, what is done of it and how much there is, if known.

    Raises:
        ValueError: If a section is unknown, or something cannot be measured.
    """
    check_names(only)
    if baselines is None:
        baselines = not context.settings.quick or "baselines" in only
    sections: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for section in SECTIONS:
        path = context.out / SECTIONS_DIR / f"{section.name}.json"
        kept = _kept(path, context.made_with(section.uses))
        if section.needs_rows and context.rows_path is None:
            left_out[section.name] = "it needs packed rows (--rows)"
        elif kept is not None:
            sections[section.name] = kept
            progress(section.name, 1, 1)
        elif only and section.name not in only:
            left_out[section.name] = "it was not asked for"
        elif section.by_name and section.name not in only:
            left_out[section.name] = f"it takes minutes (--only {section.name})"
        elif section.name == "baselines" and not baselines:
            left_out[section.name] = "it was not asked for (--baselines)"
        else:
            try:
                sections[section.name] = _measured(context, section, path, progress)
            except LeftOutError as error:
                left_out[section.name] = str(error)
    return Evaluation(about_run(context), sections, left_out)


def check_names(names: Sequence[str]) -> None:
    """Check that there are such sections.

    Raises:
        ValueError: If one is unknown; the message lists those known.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"unknown section {unknown[0]!r}; known are {', '.join(NAMES)}")


def about_run(context: Context) -> dict[str, Any]:
    """Return what is evaluated, for the head of the report."""
    s = context.settings
    about = {
        "checkpoint": context.composer.name,
        "clips": f"{s.count} first draws a quadrant, {s.bars} bars, seed {s.seed}",
        "judges": "fitted on the half of the labelled songs that the mapper never saw",
        "steering": "as the checkpoint has it" if s.steering else "off",
    }
    if s.quick:
        about["quick"] = "few clips, to see whether all works: no numbers to show"
    return about


def _kept(path: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return the result kept in a file if it was made with what is wanted."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content["made_with"] == wanted
        result: dict[str, Any] | None = dict(content["result"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return result


def _measured(context: Context, section: Section, path: Path, progress: Progress) -> dict[str, Any]:
    begun = time.monotonic()
    context.tell = lambda done, total: progress(section.name, done, total)
    context.tell(0, None)
    result = section.measure(context)
    result["seconds"] = round(time.monotonic() - begun, 1)
    content = {"made_with": context.made_with(section.uses), "result": result}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, indent=1) + "\n")
    progress(section.name, 1, 1)
    # As read again from the file, so that a run that went on reports what a whole one does.
    return dict(json.loads(json.dumps(result)))
