"""What was measured, as Markdown: every case, and how many times better ours is than theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.cases import OURS
from benchmarks.measure import Summary, by_round, is_rate, summarise, times_better
from benchmarks.run import MEASURED, Outcome


@dataclass(frozen=True)
class Ratio:
    """Hold how many times better ours is than a peer's best variant at the same work.

    Ours has so many threads, the peer at most so many; `low` and `high` are of the rounds in
    which both were measured; others kept `other_cpu` cores busy, of the noisier of both.
    """

    peer: str
    work: str
    threads: int
    ours: str
    theirs: str
    unit: str
    our_median: float
    their_median: float
    times: float
    low: float
    high: float
    other_cpu: float


def number(value: float) -> str:
    """Return a value with three digits that count, thousands parted by a space."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    table = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in table)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return everything that was measured, a table for each group of cases, and what was said."""
    heads = ("case", "what", "median", "quartiles", "n", "others' CPU")
    parts = []
    for group in dict.fromkeys(outcome.case.group for outcome in outcomes):
        rows = [row for own in outcomes if own.case.group == group for row in _rows(own)]
        parts.append(f"## {group.capitalize()}\n\n{markdown(heads, rows)}")
    told = []
    for own in outcomes:
        partly = [own.reason] if own.status == MEASURED and own.reason else []
        told += [f"- {own.case.name}: {remark}" for remark in (*own.remarks, *partly)]
    return "\n\n".join([*parts, *(["\n".join(told)] if told else [])])


def _rows(outcome: Outcome) -> list[tuple[str, ...]]:
    if outcome.status != MEASURED:
        return [(outcome.case.name, outcome.status, outcome.reason, "", "", "")]
    return [
        (
            outcome.case.name,
            found.metric,
            f"{number(found.median)} {found.unit}",
            f"{number(found.low)} – {number(found.high)}" if found.n > 1 else "",
            str(found.n) if found.n == found.n_all else f"{found.n} of {found.n_all}",
            "" if found.other_cpu is None else f"{found.other_cpu:.2f}",
        )
        for found in summarise(outcome.samples)
    ]


def ratios(outcomes: Sequence[Outcome]) -> list[Ratio]:
    """Return how ours stands to each peer, at each work and number of threads.

    Ours at some threads is held against the peer's best case of at most as many.
    """
    told = [(o, own) for o in outcomes if o.case.work and (own := o.headline()) is not None]
    found = []
    for ours, mine in told:
        if ours.case.peer != OURS:
            continue
        rivals: dict[str, tuple[Outcome, Summary]] = {}
        for theirs, own in told:
            peer, best = theirs.case.peer, rivals.get(theirs.case.peer)
            if theirs.case.work != ours.case.work or theirs.case.threads > ours.case.threads:
                continue
            if best is None or times_better(own.median, best[1].median, own.unit) > 1:
                rivals[peer] = theirs, own
        rivals.pop(OURS)
        found += [_ratio(ours, mine, theirs, own) for theirs, own in rivals.values()]
    return found


def _ratio(ours: Outcome, mine: Summary, theirs: Outcome, other: Summary) -> Ratio:
    first = by_round(ours.samples, mine.metric)
    second = by_round(theirs.samples, other.metric)
    unit = other.unit
    each = [times_better(first[n], second[n], unit) for n in sorted(set(first) & set(second))]
    times = times_better(mine.median, other.median, unit)
    return Ratio(
        theirs.case.peer, ours.case.work, ours.case.threads, ours.case.name, theirs.case.name,
        unit, mine.median, other.median, times, min(each, default=times), max(each, default=times),
        max(mine.other_cpu or 0.0, other.other_cpu or 0.0),
    )  # fmt: skip


def ratio_table(found: Sequence[Ratio]) -> str:
    """Return the ratios as Markdown; empty where there are none."""
    if not found:
        return ""
    rows = [
        (
            r.work, str(r.threads), r.peer, r.theirs,
            f"{number(r.our_median)} {r.unit}", f"{number(r.their_median)} {r.unit}",
            f"{number(r.times)} ×", f"{number(r.low)} – {number(r.high)}", f"{r.other_cpu:.2f}",
        )
        for r in found
    ]  # fmt: skip
    heads = ("work", "threads", "peer", "its best variant", "ours", "theirs", "times", "rounds",
             "others' CPU")  # fmt: skip
    return f"## Ours against each peer\n\n{markdown(heads, rows)}"


def report(
    outcomes: Sequence[Outcome], *, machine: dict[str, Any], versions: dict[str, Any]
) -> str:
    """Return the whole report as Markdown."""
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    head = (
        f"# Benchmark\n\n{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, {', '.join(machine['features'])}; {named}."
    )
    parts = [head, ratio_table(ratios(outcomes)), table(outcomes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def results(outcomes: Sequence[Outcome], **about: dict[str, Any]) -> dict[str, Any]:
    """Return everything as plain values: settings, every raw sample, medians and ratios."""
    cases = [
        {
            **asdict(own.case),
            **{key: value for key, value in asdict(own).items() if key != "case"},
            "summary": [
                {**asdict(found), "spread": found.spread, "more_is_better": is_rate(found.unit)}
                for found in summarise(own.samples)
            ],
        }
        for own in outcomes
    ]
    told = [asdict(ratio) for ratio in ratios(outcomes)]
    return {"format": "emomusic-benchmark-1", **about, "cases": cases, "ratios": told}
