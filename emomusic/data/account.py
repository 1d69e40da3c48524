"""The account of a preparation as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("songs", "clips", "notes", "ids")


def told_account(account: Mapping[str, Any]) -> str:
    """Return a table with a line for each source, then what was skipped and why."""
    lines = [f"{'source':20}" + "".join(f"{name:>12}" for name in COLUMNS) + f"{'skipped':>12}"]
    total = dict.fromkeys((*COLUMNS, "skipped"), 0)
    reasons: list[str] = []
    for source, row in account.items():
        counts = {**{name: row[name] for name in COLUMNS}, "skipped": sum(row["skipped"].values())}
        lines.append(f"{source:20}" + "".join(f"{count:>12,}" for count in counts.values()))
        for name, count in counts.items():
            total[name] += count
        reasons += [f"  {source}: {why} ({n})" for why, n in row["skipped"].items()]
    lines.append(f"{'all':20}" + "".join(f"{count:>12,}" for count in total.values()))
    return "\n".join([*lines, *(["skipped:", *reasons] if reasons else [])])
