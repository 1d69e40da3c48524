"""What judges heard as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from emomusic.evaluation.judged.controls import Shuffled
from emomusic.evaluation.judged.grid import AXES, Sweep
from emomusic.evaluation.judged.hearing import HALVES, Hearing


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


def shuffled_table(shuffled: Sequence[Shuffled]) -> str:
    """Return mean, least and greatest share of judges that learnt nothing."""
    lines = [f"| clips | shuffles | {' | '.join(HALVES)} |", "|---|---|---|---|---|"]
    for one in shuffled:
        shares = [one.share(axis) for axis in HALVES]
        cells = [f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in shares]
        lines.append(f"| {one.what} | {len(one.hearings)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sweep_table(sweep: Sweep) -> str:
    """Return the rank correlations of asked and judged, a row for each judge."""
    over = [("clips", False), ("cells", True)]
    heads = [f"{axis}, over {what}" for axis in AXES for what, _ in over]
    lines = [f"| judge | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for judge in sweep.judged:
        found = [
            sweep.correlation(judge, axis, of_cells=of_cells)
            for axis in AXES
            for _, of_cells in over
        ]
        cells = [f"{rho:.2f} ({low:.2f}–{high:.2f})" for rho, low, high in found]
        lines.append(f"| {judge} | {' | '.join(cells)} |")
    return "\n".join(lines)


def heat_table(sweep: Sweep, *, judge: str, axis: str) -> str:
    """Return the mean judged value of each cell, the highest arousal first."""
    levels = [f"{level:+.2f}" for level in sweep.levels]
    lines = [f"| arousal \\ valence | {' | '.join(levels)} |", "|---" * (len(levels) + 1) + "|"]
    for level, row in reversed(list(zip(levels, sweep.cells(judge, axis), strict=True))):
        lines.append(f"| {level} | {' | '.join(f'{x:.2f}' for x in row)} |")
    return "\n".join(lines)
