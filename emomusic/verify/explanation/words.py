"""The words of an explanation."""

from __future__ import annotations

from collections.abc import Sequence

NO_CAUSE = "no single cause by itself"
Reason = tuple[str, str, bool]
"""What the clip is like, the axis that this moves, and whether it raises it."""


def headline(reasons: Sequence[str], emotion: str) -> str:
    """Return `minor mode, fast → tense`, strongest reason first."""
    return f"{', '.join(reasons) or NO_CAUSE} → {emotion}"


def sentence(
    heard: str,
    reasons: Sequence[Reason],
    objections: Sequence[Reason],
    *,
    undecided: Sequence[str] = (),
) -> str:
    """Tell what is heard, what speaks for it and what against it, in sentences.

    Args:
        heard: Such as `Tense (Q2, 0.71 sure)`.
        reasons: Causes for it, strongest first.
        objections: Causes against it.
        undecided: Axes on which it is not sure.
    """
    parts = [f"{heard}: {_clauses(reasons) or NO_CAUSE + ' carries it'}."]
    if objections:
        parts.append(f"Against it: {_clauses(objections)}.")
    if undecided:
        verb = "is" if len(undecided) == 1 else "are"
        parts.append(f"{_listed(list(undecided)).capitalize()} {verb} undecided.")
    return " ".join(parts)


def span(first: int, last: int) -> str:
    """Name bars, counted from 1, such as `bars 9 to 12` or `bar 9`."""
    return f"bar {first}" if first == last else f"bars {first} to {last}"


def seconds(start_s: float, end_s: float) -> str:
    """Name a stretch of time, such as `0:08 to 0:16`."""
    start, end = (divmod(round(at), 60) for at in (start_s, end_s))
    return f"{start[0]}:{start[1]:02d} to {end[0]}:{end[1]:02d}"


def _clauses(reasons: Sequence[Reason]) -> str:
    """Return `minor mode lowers valence; fast and loud raise arousal`."""
    moved: dict[tuple[str, bool], list[str]] = {}
    for words, axis, raises in reasons:
        moved.setdefault((axis, raises), []).append(words)
    return "; ".join(
        f"{_listed(words)} {_verb(raises, len(words))} {axis}"
        for (axis, raises), words in moved.items()
    )


def _verb(raises: bool, n: int) -> str:
    return ("raise" if raises else "lower") + ("s" if n == 1 else "")


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
