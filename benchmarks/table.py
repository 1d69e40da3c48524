"""What was measured, as Markdown: every case, and how many times better ours is than theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.cases import OURS, Case
from benchmarks.measure import by_round, is_rate, summarise, times_better
from benchmarks.run import MEASURED, Outcome, best_of


@dataclass(frozen=True)
class Ratio:
    """Hold how many times better ours is than a peer's best variant.

    Attributes:
        peer: The peer.
        work: What is written.
        threads: Ours has so many, the peer at most so many.
        ours: The name of our case.
        theirs: The name of the peer's best case.
        unit: Of the medians.
        our_median: Our median.
        their_median: Theirs.
        times: One by the other, above 1 where ours is better.
        low: The least of the rounds in which both were measured.
        high: The most.
        other_cpu: Cores that others kept busy meanwhile, of the noisier of both.
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
    """Return a Markdown table whose columns are aligned."""
    table = [list(heads), *([cell.replace("|", "/") for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in table
    ]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def table(outcomes: Sequence[Outcome]) -> str:
    """Return everything that was measured, a table for each group of cases."""
    groups = dict.fromkeys(outcome.case.group for outcome in outcomes)
    parts = []
    for group in groups:
        rows = [
            row for outcome in outcomes if outcome.case.group == group for row in _rows(outcome)
        ]
        heads = ("case", "what", "median", "quartiles", "n", "others' CPU")
        parts.append(f"## {group.capitalize()}\n\n{markdown(heads, rows)}")
    told = [f"- {o.case.name}: {remark}" for o in outcomes for remark in _remarks(o)]
    return "\n\n".join([*parts, *(["\n".join(told)] if told else [])])


def _remarks(outcome: Outcome) -> list[str]:
    partly = [outcome.reason] if outcome.status == MEASURED and outcome.reason else []
    return [*outcome.remarks, *partly]


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


def ratios(outcomes: Sequence[Outcome], *, base: str = OURS) -> list[Ratio]:
    """Return how the base stands to each peer, at each work and number of threads.

    Ours at some threads is held against the peer's best case of at most as many.
    """
    found = []
    for ours in outcomes:
        if ours.case.peer != base or not ours.case.work or ours.headline() is None:
            continue
        peers = dict.fromkeys(o.case.peer for o in outcomes if o.case.work == ours.case.work)
        for peer in peers:
            rivals = [o for o in outcomes if _is_rival(o.case, peer, ours.case)]
            theirs = best_of(rivals)
            if peer != base and theirs is not None:
                found.append(_ratio(ours, theirs))
    return found


def _is_rival(case: Case, peer: str, ours: Case) -> bool:
    return case.peer == peer and case.work == ours.work and case.threads <= ours.threads


def _ratio(ours: Outcome, theirs: Outcome) -> Ratio:
    mine, other = ours.headline(), theirs.headline()
    assert mine is not None and other is not None
    first = by_round(ours.samples, ours.case.headline)
    second = by_round(theirs.samples, theirs.case.headline)
    unit = other[1]
    each = [times_better(first[n], second[n], unit) for n in sorted(set(first) & set(second))]
    times = times_better(mine[0], other[0], unit)
    return Ratio(
        theirs.case.peer, ours.case.work, ours.case.threads, ours.case.name, theirs.case.name,
        unit, mine[0], other[0], times, min(each, default=times), max(each, default=times),
        max(_load(ours), _load(theirs)),
    )  # fmt: skip


def _load(outcome: Outcome) -> float:
    found = [s for s in summarise(outcome.samples) if s.metric == outcome.case.headline]
    return found[0].other_cpu or 0.0


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


def results(
    outcomes: Sequence[Outcome],
    *,
    settings: dict[str, Any],
    machine: dict[str, Any],
    versions: dict[str, Any],
) -> dict[str, Any]:
    """Return everything as plain values: settings, every raw sample, medians and ratios."""
    return {
        "format": "emomusic-benchmark-1",
        "settings": settings,
        "machine": machine,
        "versions": versions,
        "cases": [_plain(outcome) for outcome in outcomes],
        "ratios": [asdict(ratio) for ratio in ratios(outcomes)],
    }


def _plain(outcome: Outcome) -> dict[str, Any]:
    return {
        **asdict(outcome.case),
        "status": outcome.status,
        "reason": outcome.reason,
        "remarks": list(outcome.remarks),
        "summary": [
            {**asdict(found), "spread": found.spread, "more_is_better": is_rate(found.unit)}
            for found in summarise(outcome.samples)
        ],
        "samples": [asdict(sample) for sample in outcome.samples],
    }
