"""What judges heard as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from emomusic.evaluation.judged.hearing import Hearing


def systems_table(hearings: Sequence[Hearing], *, axis: str = "quadrant") -> str:
    """Return one row for each system and one column for each judge.

    Args:
        hearings: Of several systems; the judges' columns come as they are met.
        axis: `quadrant`, `arousal` or `valence`: what must agree.
    """
    judges = list(dict.fromkeys(hearing.judge for hearing in hearings))
    systems = list(dict.fromkeys(hearing.what for hearing in hearings))
    found = {(hearing.what, hearing.judge): hearing for hearing in hearings}
    lines = [f"| clips | n | {' | '.join(judges)} |", "|---" * (len(judges) + 2) + "|"]
    for system in systems:
        own = [found.get((system, judge)) for judge in judges]
        n = next(int(hearing.confusion.sum()) for hearing in own if hearing is not None)
        cells = ["" if hearing is None else _share(hearing, axis) for hearing in own]
        lines.append(f"| {system} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(hearing: Hearing, axis: str) -> str:
    share, low, high = hearing.share(axis)
    return f"{share:.2f} ({low:.2f}–{high:.2f})"
