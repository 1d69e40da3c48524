"""The evaluation as Markdown, from its plain values alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.control.measures import Fader, Following, Leak
from emomusic.evaluation.control.report import AttributeControl, ControlReport
from emomusic.evaluation.control.tables import control_section
from emomusic.evaluation.judged.grid import AXES
from emomusic.evaluation.judged.hearing import HALVES, Hearing
from emomusic.evaluation.judged.run import COMPOSED
from emomusic.evaluation.judged.tables import systems_table
from emomusic.evaluation.moving.tables import moving_markdown
from emomusic.evaluation.report.music_tables import (
    loss_markdown,
    memory_markdown,
    quality_markdown,
    shape_markdown,
)
from emomusic.evaluation.report.rendering import table, told_interval
from emomusic.evaluation.report.summary import demands, summary_table

Result = Mapping[str, Any]
TITLES = {
    "emotion": "Emotion: asked against heard",
    "grid": "Emotion over the plane",
    "control": "Control of each attribute",
    "quality": "Quality and variety",
    "memory": "Overlap with the training songs",
    "loss": "Unseen songs foretold",
    "baselines": "Simpler systems under the same judges",
    "shape": "Bars and endings",
    "moving": "Curves, moods changed, music taken up",
}


def report_markdown(evaluation: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Return the whole report.

    Args:
        evaluation: `about`, `sections` and `left_out`, as `evaluation.json` holds them.
        pictures: File name of each picture that was drawn; a section shows those whose names
            begin with its own.
    """
    sections = evaluation["sections"]
    parts = ["# Evaluation", "\n".join(f"- {k}: {v}" for k, v in evaluation["about"].items())]
    if found := demands(sections):
        parts += [
            "## Asked and measured",
            summary_table(found),
            "With 95 % intervals where there are any; `within chance`: the interval reaches what "
            "is asked, the number itself does not. A mean ρ takes its interval from those of "
            "its attributes, each measured on clips of its own.",
        ]
    for name, title in TITLES.items():
        if name in sections:
            parts += [f"## {title}", _MARKDOWN[name](sections[name])]
            own = [file for picture, file in pictures.items() if picture.startswith(name)]
            parts += [f"![{title}]({file})" for file in own]
    if evaluation["left_out"]:
        left = [f"- {name}: {why}" for name, why in evaluation["left_out"].items()]
        parts += ["## Left out", "\n".join(left)]
    return "\n\n".join(parts) + "\n"


def hearing_of(plain: Result) -> Hearing:
    """Return what a judge heard from its plain values."""
    confusion = np.array(plain["confusion"], dtype=np.int64)
    return Hearing(plain["judge"], plain["what"], confusion)


def hearing_table(hearings: Sequence[Hearing]) -> str:
    """Return accuracies with their intervals as a Markdown table."""
    heads = ("clips", "judge", "n", *HALVES, "macro F1")
    return table(
        heads,
        [
            (
                hearing.what,
                hearing.judge,
                str(int(hearing.confusion.sum())),
                *(told_interval(hearing.share(axis)) for axis in HALVES),
                f"{hearing.macro_f1:.2f}",
            )
            for hearing in hearings
        ],
    )


def confusion_table(hearing: Hearing) -> str:
    """Return asked against heard as a Markdown table."""
    rows = zip(QUADRANTS, hearing.confusion.tolist(), strict=True)
    heads = ("asked", *(f"heard {quadrant}" for quadrant in QUADRANTS))
    return table(heads, [(quadrant, *map(str, row)) for quadrant, row in rows])


def _emotion(found: Result) -> str:
    hearings = [hearing_of(plain) for plain in found["hearings"]]
    best = [hearing_of(plain) for plain in found["best_of"]]
    composed = [h for h in hearings if h.what == COMPOSED]
    together = next((h for h in composed if h.judge == "both"), composed[0])
    ordered = sorted(found["rank_correlations"].items(), key=lambda item: -item[1])
    shuffled = [
        (one["what"], str(one["n_shuffles"]), *(told_interval(one[axis]) for axis in HALVES))
        for one in found["shuffled"]
    ]
    return "\n\n".join(
        [
            hearing_table(hearings),
            "Share right with its 95 % Wilson interval; `both` is the judges' mean probability, "
            "`no velocity` a judge of features that hears none, `majority` answers always the "
            "commonest quadrant of what judges learn from. Nothing is picked.",
            confusion_table(together),
            f"As `{together.judge}` heard it.",
            hearing_table(best),
            "The best of several, as one judge chose and another heard, on clips of another seed.",
            table(("clips", "shuffles", *HALVES), shuffled),
            "Judges fitted on shuffled labels: mean, least and greatest share.",
            table([f"`{name}`" for name, _ in ordered], [[f"{rho:.2f}" for _, rho in ordered]]),
            "Spearman's ρ between asked and achieved values over the first draws; the mapper "
            "moves several attributes at once.",
        ]
    )


def _grid(found: Result) -> str:
    heads = [f"{axis}, over {what}" for axis in AXES for what in ("clips", "points")]
    rows = [
        (judge, *(told_interval(own[judge][axis])
                  for axis in AXES for own in (found["rho"], found["rho_of_cells"])))
        for judge in found["rho"]
    ]  # fmt: skip
    judge = "both" if "both" in found["cells"] else next(iter(found["cells"]))
    parts = [
        table(("judge", *heads), rows),
        "Spearman's ρ between what was asked and what was judged (the probability of the "
        "quadrants on that side), over single clips and over the mean of each point.",
    ]
    for axis in AXES:
        parts += [f"Judged {axis}, by `{judge}`:", _heat(found, judge, axis)]
    return "\n\n".join(parts)


def _heat(found: Result, judge: str, axis: str) -> str:
    levels = [f"{level:+.2f}" for level in found["levels"]]
    rows = reversed(list(zip(levels, found["cells"][judge][axis], strict=True)))
    heads = ("arousal \\ valence", *levels)
    return table(heads, [(level, *(f"{x:.2f}" for x in row)) for level, row in rows])


def control_report_of(plain: Result) -> ControlReport:
    """Return how a checkpoint is controlled from its plain values."""
    attributes = tuple(
        AttributeControl(
            own["name"],
            own["per_bar"],
            Following(**{name: own[name] for name in Following.__dataclass_fields__}),
            Fader(**{name: own[name] for name in Fader.__dataclass_fields__})
            if "linearity" in own
            else None,
            own["leakage"],
        )
        for own in plain["attributes"]
    )
    groups = [tuple(group) for group in plain["groups"]]
    grouped = {name for group in groups for name in group}
    groups += [(own.name,) for own in attributes if own.name not in grouped]
    pairs = tuple(Leak(**pair) for pair in plain["pairs"])
    return ControlReport(plain["per_bar"], plain["n_clips"], attributes, pairs, tuple(groups))


def _control(found: Result) -> str:
    return control_section(control_report_of(found["clip"]), control_report_of(found["bar"]))


def _baselines(found: Result) -> str:
    hearings = [hearing_of(plain) for plain in found["hearings"]]
    parts = []
    for axis in HALVES:
        parts += [f"{axis.capitalize()} heard right:", systems_table(hearings, axis=axis)]
    return "\n\n".join(parts)


_MARKDOWN: dict[str, Callable[[Result], str]] = {
    "emotion": _emotion,
    "grid": _grid,
    "control": _control,
    "quality": quality_markdown,
    "memory": memory_markdown,
    "loss": loss_markdown,
    "baselines": _baselines,
    "shape": shape_markdown,
    "moving": moving_markdown,
}
