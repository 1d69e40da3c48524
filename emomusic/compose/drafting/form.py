"""Form: which bars of a clip take up earlier ones."""

from __future__ import annotations

import numpy as np

PHRASE_BARS = 4
RETURNS = 0.75
"""Chance that a phrase takes up an earlier one."""
AGO = {1: 0.35, 2: 0.45, 4: 0.2}
"""How many phrases ago that one was, and how likely."""
TURNS = 0.5
"""Chance that a phrase's last bar goes its own way."""
FREE_ENDING = 2
"""Last bars of a clip that take up nothing: an ending is an ending."""
Form = tuple[int | None, ...]


def draw_form(n_bars: int, rng: np.random.Generator) -> Form:
    """Draw which earlier bar each bar takes up, None where it is free.

    Phrases have four bars; one may take up an earlier one, bar by bar, but for its last bar,
    which may turn elsewhere. The number of numbers drawn depends on the length alone.

    Args:
        n_bars: Bars of the clip.
        rng: Decides; the same state gives the same form.
    """
    form: list[int | None] = []
    for first in range(0, n_bars, PHRASE_BARS):
        returns, which, turns = rng.random(3).tolist()
        ago = _ago(first // PHRASE_BARS, which) if returns < RETURNS else 0
        for bar in range(first, min(first + PHRASE_BARS, n_bars)):
            is_turn = bar == first + PHRASE_BARS - 1 and turns < TURNS
            is_free = not ago or is_turn or bar >= n_bars - FREE_ENDING
            form.append(None if is_free else bar - ago * PHRASE_BARS)
    return tuple(form)


def _ago(n_before: int, which: float) -> int:
    """Return how many phrases ago one is taken up, 0 where there is none before."""
    known = {ago: chance for ago, chance in AGO.items() if ago <= n_before}
    until = which * sum(known.values())
    for ago, chance in known.items():
        until -= chance
        if until < 0:
            return ago
    return max(known, default=0)


def follow(n_bars: int, n_given: int) -> Form:
    """Return the form of a variation: each bar takes up the given one at its place."""
    return tuple(bar if bar < n_given else None for bar in range(n_bars))
