"""Time signatures of raw scores, and where their beats lie on the clean grid."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.music.tokenizer import STEPS_PER_BEAT

SIMPLE = {(2, 4): 2, (3, 4): 3, (4, 4): 4, (2, 2): 4, (4, 8): 2, (6, 4): 3, (3, 2): 3, (4, 2): 4,
          (8, 4): 4, (8, 8): 4}  # fmt: skip
COMPOUND = {(3, 8): 1, (6, 8): 2, (9, 8): 3, (12, 8): 4, (6, 16): 2, (12, 16): 2}
Stretch = tuple[dict[int, tuple[int, int]], int | None]
"""Time signatures by the tick at which they begin, rising, and the tick after the stretch, None
where it lasts to the end."""


class SkippedError(ValueError):
    """Tell in a few words why a file is left out; files are counted by this reason."""


@dataclass(frozen=True)
class Metre:
    """Hold a stretch of one time signature, in raw beats and in clean ones."""

    start: float
    scale: float
    beats: int
    clean_start: float


def known_stretches(score: ScoreTick) -> list[Stretch]:
    """Return the stretches of a score that have known metres only.

    Raises:
        SkippedError: If no metre is known.
    """
    changes = {0: (4, 4)}
    for change in score.time_signatures:
        changes[int(change.time)] = (change.numerator, change.denominator)
    ticks = sorted(changes)
    unknown = [tick for tick in ticks if changes[tick] not in SIMPLE | COMPOUND]
    begins = [0, *(bisect_right(ticks, tick) for tick in unknown)]
    stretches: list[Stretch] = [
        ({tick: changes[tick] for tick in ticks[begin:] if stop is None or tick < stop}, stop)
        for begin, stop in zip(begins, [*unknown, None], strict=True)
    ]
    found = [(own, stop) for own, stop in stretches if own]
    if not found:
        top, bottom = changes[unknown[0]]
        raise SkippedError(f"time signature {top}/{bottom}")
    return found


def metres_of(changes: dict[int, tuple[int, int]], ticks_per_quarter: int) -> list[Metre]:
    """Return the metres of a stretch that has known ones only.

    Args:
        changes: Time signatures by the tick at which they begin, rising.
        ticks_per_quarter: Of the score.
    """
    found: list[Metre] = []
    for tick, signature in changes.items():
        start = tick / ticks_per_quarter
        beats, scale = _beats_of(signature)
        clean = 0.0
        if found:
            before = found[-1]
            length = (start - before.start) * before.scale
            clean = before.clean_start + np.ceil(length / before.beats - 1e-3) * before.beats
        found.append(Metre(start, scale, beats, float(clean)))
    return found


def _beats_of(signature: tuple[int, int]) -> tuple[int, float]:
    if signature in SIMPLE:
        return SIMPLE[signature], 1.0
    dotted = 12.0 / signature[1]
    return max(COMPOUND[signature], 2), 1.0 / dotted


def to_clean(beats: FloatColumn, metres: list[Metre], which: IntColumn) -> FloatColumn:
    """Return clean beats of raw ones, `which` being the index of each one's metre."""
    start = np.array([m.start for m in metres])[which]
    scale = np.array([m.scale for m in metres])[which]
    clean: FloatColumn = np.array([m.clean_start for m in metres])[which] + (beats - start) * scale
    return clean


def to_raw(beats: FloatColumn, metres: list[Metre]) -> FloatColumn:
    """Return the raw beats of clean ones."""
    starts = [m.clean_start for m in metres]
    which = np.searchsorted(starts, beats + 1e-6, side="right") - 1
    scale = np.array([m.scale for m in metres])[which]
    raw: FloatColumn = np.array([m.start for m in metres])[which] + (
        (beats - np.array(starts)[which]) / scale
    )
    return raw


def bar_lines(metres: list[Metre], end: int) -> IntColumn:
    """Return the clean tick of each bar line, up to the first at or after `end`."""
    lines: list[int] = []
    for i, m in enumerate(metres):
        start, bar = round(m.clean_start * STEPS_PER_BEAT), m.beats * STEPS_PER_BEAT
        last = i + 1 == len(metres) or metres[i + 1].clean_start * STEPS_PER_BEAT >= end
        stop = end if last else round(metres[i + 1].clean_start * STEPS_PER_BEAT)
        lines.extend(range(start, stop, bar))
        if last:
            lines.append(lines[-1] + bar)
            break
    return np.array(lines, dtype=np.int64)
