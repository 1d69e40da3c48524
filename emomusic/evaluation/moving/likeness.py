"""How alike two pieces in one key are, bar by bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.evaluation.moving.hearing import BEATS, Matrix
from emomusic.music.notes import Notes
from emomusic.music.tokenizer import STEPS_PER_BEAT

VIEWS = ("events", "onsets", "pitch classes")
"""What may be shared: onset with pitch class, onset alone, pitch class alone."""
SAME_DEGREE = {3: 4, 8: 9, 10: 11}
"""Third, sixth and seventh of minor count as those of major."""
Bar = frozenset[tuple[int, int]]


def bars_heard(notes: Notes, *, tonic: int, n_bars: int) -> list[Bar]:
    """Return what begins in each bar: steps of the grid and semitones above the tonic.

    Args:
        notes: Bars of four beats.
        tonic: Pitch class.
        n_bars: Bars to look at.
    """
    step = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
    degree = (notes.pitch - tonic) % 12
    in_bar = BEATS * STEPS_PER_BEAT
    found: list[set[tuple[int, int]]] = [set() for _ in range(n_bars)]
    for at, above in zip(step.tolist(), degree.tolist(), strict=True):
        if at // in_bar < n_bars:
            found[at // in_bar].add((at % in_bar, SAME_DEGREE.get(above, above)))
    return [frozenset(bar) for bar in found]


def likeness(one: Sequence[Bar], other: Sequence[Bar]) -> Matrix:
    """Return the mean share of what bars at the same place have in common, shape (3,).

    Twice what is shared over what both have (Dice), for each of `VIEWS`; bars in which either
    has nothing do not count. NaN where no bar counts.
    """
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a and b]
    if not pairs:
        return np.full(len(VIEWS), np.nan)
    shares = [
        [_dice(a, b), *(_dice(frozenset(x[i] for x in a), frozenset(x[i] for x in b))
                        for i in (0, 1))]
        for a, b in pairs
    ]  # fmt: skip
    mean: Matrix = np.mean(shares, axis=0)
    return mean


def _dice(a: frozenset[object], b: frozenset[object]) -> float:
    return 2.0 * len(a & b) / (len(a) + len(b))
