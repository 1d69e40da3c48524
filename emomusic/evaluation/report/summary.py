"""What is asked of a checkpoint beside what was measured, one row for each demand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.hearing import NO_VELOCITY
from emomusic.evaluation.judged.run import COMPOSED

# What a checkpoint that ships must show.
FIRST_DRAWS = {"quadrant": 0.90, "arousal": 0.97, "valence": 0.92}
"""Share of first draws heard right, by each judge."""
DEAF = 0.85
"""Share of quadrants heard right by the judge that hears no velocity."""
BEST_OF = 0.95
"""The same of the best of several, chosen by one judge and heard by another."""
MEAN_RHO, WORST_RHO, MODE_RHO = 0.95, 0.85, 0.90
"""Control, clip-wide and bar by bar: mean ρ over attributes, the worst one's, the mode's."""
LEAKAGE = 0.10
"""Mean |ρ| between one attribute as asked and another as achieved, at most."""
GRID = {"valence": 0.90, "arousal": 0.95}
"""ρ between asked and judged over the grid."""
PRECISION_EXCESS = 0.0
"""Precision of the clips less that of other real music."""
DIVERSITY = 0.95
"""Distances inside each quadrant, as a ratio to those of real clips."""
OVERLAP_EXCESS = 0.0
"""Overlap with the training songs less that of held-back songs, at most."""
OVERLAPS = ("longest_events", "longest_beats", "share_8")
"""Its measures that have a row of their own; the first row counts all of them."""
WHOLE = 1.0
"""Share of clips that decode, have the bars asked for and end on time."""

YES, CHANCE, NO = "yes", "within chance", "no"
Sections = Mapping[str, Mapping[str, Any]]
Triple = Sequence[float]
"""A value, and the lower and the upper end of its interval."""


@dataclass(frozen=True)
class Demand:
    """Hold what is asked and what was measured.

    Attributes:
        what: The measure.
        asked: The number asked for.
        value: As measured.
        low: Lower end of its 95 % interval; the value where there is none.
        high: Upper end.
        at_most: Whether the number is to be reached from above.
        note: What else must be known to read it.
    """

    what: str
    asked: float
    value: float
    low: float
    high: float
    at_most: bool = False
    note: str = ""

    @property
    def met(self) -> str:
        """Return `yes`, `no`, or `within chance` where only the interval reaches what is asked."""
        sign = -1.0 if self.at_most else 1.0
        if sign * self.value >= sign * self.asked:
            return YES
        best = self.low if self.at_most else self.high
        return CHANCE if sign * best >= sign * self.asked else NO

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {**vars(self), "met": self.met}


def demands(sections: Sections) -> list[Demand]:
    """Return all demands of which something was measured.

    Args:
        sections: Results by the names of their sections, plain values.
    """
    makers = {
        "emotion": _emotion,
        "control": _control,
        "grid": _grid,
        "quality": _quality,
        "memory": _memory,
        "shape": _shape,
    }
    return [
        demand
        for name, make in makers.items()
        if name in sections
        for demand in make(sections[name])
    ]


def _emotion(found: Mapping[str, Any]) -> Iterator[Demand]:
    own = {h["judge"]: h for h in found["hearings"] if h["what"] == COMPOSED}
    for judge, heard in own.items():
        if judge in ("majority", "both"):
            continue
        note = f"{heard['n']} clips"
        for axis in ["quadrant"] if judge == NO_VELOCITY else FIRST_DRAWS:
            asked = DEAF if judge == NO_VELOCITY else FIRST_DRAWS[axis]
            yield _demand(f"first draws: {axis}, judge {judge}", asked, heard[axis], note=note)
    for heard in found["best_of"]:
        what = f"{heard['what']}: quadrant, judge {heard['judge']}"
        yield _demand(what, BEST_OF, heard["quadrant"], note=f"{heard['n']} clips")


def _control(found: Mapping[str, Any]) -> Iterator[Demand]:
    for kind, name in (("clip", "clip-wide"), ("bar", "bar by bar")):
        report = found[kind]
        own, summary = {a["name"]: a for a in report["attributes"]}, report["summary"]
        counted = _counted(report)
        mean = mean_rho([(own[name], weight) for name, weight in counted.items()])
        n = f"{summary['n_counted']} attributes"
        yield _demand(f"control {name}: mean ρ", MEAN_RHO, mean, note=n)
        worst = mean_rho([(own[one], 1.0) for one in summary["worst"].split(" = ")])
        yield _demand(f"control {name}: worst ρ", WORST_RHO, worst, note=summary["worst"])
        if "mode" in own:
            mode = mean_rho([(own["mode"], 1.0)])
            yield _demand(f"control {name}: ρ of the mode", MODE_RHO, mode)
        if summary["n_pairs"]:
            leakage = [summary["leakage"]] * 3
            note = f"{summary['n_pairs']} pairs; {summary['chance']:.2f} by chance"
            yield _demand(f"leakage {name}", LEAKAGE, leakage, at_most=True, note=note)


def _counted(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the weight of each attribute that counts; those nearly the same share one."""
    names = [a["name"] for a in report["attributes"] if not a["given"]]
    group_of = {name: tuple(group) for group in report["groups"] for name in group}
    return {
        name: 1.0 / len([n for n in group_of.get(name, (name,)) if n in names]) for name in names
    }


def mean_rho(attributes: Sequence[tuple[Mapping[str, Any], float]]) -> Triple:
    """Return the weighted mean of several ρ with its interval.

    Attributes are measured on clips of their own, so the squares of their intervals add up; a
    single one keeps its own interval.

    Args:
        attributes: Each with its weight.
    """
    if len(attributes) == 1:
        own = attributes[0][0]
        return own["rho"], own["low"], own["high"]
    total = sum(weight for _, weight in attributes)
    value = sum(own["rho"] * weight for own, weight in attributes) / total
    square = sum((weight * (own["high"] - own["low"]) / 2) ** 2 for own, weight in attributes)
    half = square**0.5 / total
    return value, value - half, min(value + half, 1.0)


def _grid(found: Mapping[str, Any]) -> Iterator[Demand]:
    n = f"{len(found['levels'])}² points, {next(iter(found['n_clips'].values()))} clips each"
    for key, over in (("rho", "clips"), ("rho_of_cells", "points")):
        judge = "both" if "both" in found[key] else next(iter(found[key]))
        for axis, asked in GRID.items():
            what = f"grid: ρ of {axis}, over {over}, judge {judge}"
            yield _demand(what, asked, found[key][judge][axis], note=n)


def _quality(found: Mapping[str, Any]) -> Iterator[Demand]:
    for name, own in found["manifold"].items():
        if "left_out" in own:
            continue
        mine, real = own["precision"]["composed"], own["precision"]["real"]
        note = f"{mine[0]:.2f} beside {real[0]:.2f} of real, {own['n']} pieces each"
        what = f"precision among {name}, less real music's"
        yield _demand(what, PRECISION_EXCESS, own["precision"]["difference"], note=note)
    for own in found["diversity"].get("each", ()):
        assert own["quadrant"] in QUADRANTS
        note = f"{own['n_composed']} clips, {own['n_real']} real"
        yield _demand(f"diversity inside {own['quadrant']}", DIVERSITY, own["ratio"], note=note)


def _memory(found: Mapping[str, Any]) -> Iterator[Demand]:
    above = found["above_real"]
    what = "measures of overlap with training songs above held-back songs' by more than chance"
    yield _demand(what, OVERLAP_EXCESS, [float(len(above))] * 3, at_most=True,
                  note=", ".join(above))  # fmt: skip
    for view, own in found["views"].items():
        for name in (name for name in OVERLAPS if name in own["measures"]):
            measure = own["measures"][name]
            mine, real = measure["composed"]["mean"], measure["real"]["mean"]
            excess = [measure["excess"][key] for key in ("difference", "low", "high")]
            what = f"overlap with training songs: {view} {name}, less held-back songs'"
            note = f"{mine:.3g} beside {real:.3g}"
            yield _demand(what, OVERLAP_EXCESS, excess, at_most=True, note=note)


def _shape(found: Mapping[str, Any]) -> Iterator[Demand]:
    own = found["whole"]
    what = "clips that decode, have the bars asked for and end on time"
    yield _demand(what, WHOLE, own["share"], note=f"{own['n_whole']} of {own['n_clips']}")


def _demand(
    what: str, asked: float, triple: Triple, *, at_most: bool = False, note: str = ""
) -> Demand:
    value, low, high = triple
    return Demand(what, asked, value, low, high, at_most=at_most, note=note)


def summary_table(found: Sequence[Demand]) -> str:
    """Return the demands as a Markdown table."""
    lines = ["| what | asked | measured | met | |", "|---|---|---|---|---|"]
    for own in found:
        sign = "≤" if own.at_most else "≥"
        interval = "" if own.low == own.high else f" ({_told(own.low)} to {_told(own.high)})"
        lines.append(
            f"| {own.what} | {sign} {own.asked:.2f} | {_told(own.value)}{interval} | {own.met} | "
            f"{own.note} |"
        )
    return "\n".join(lines)


def _told(value: float) -> str:
    """Return a number with two digits behind the point, or three where those would be noughts."""
    return f"{value:.3f}" if 0 < abs(value) < 0.01 else f"{value:.2f}"
