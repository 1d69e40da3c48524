"""Rows and numbers as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def told_interval(triple: Sequence[float]) -> str:
    """Return a value with the ends of its interval."""
    value, low, high = triple
    ends = f"{low:.2f} to {high:.2f}" if low < 0 else f"{low:.2f}–{high:.2f}"
    return f"{value:.2f} ({ends})"
