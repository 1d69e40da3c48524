"""The form of a piece: which bars take up which earlier ones, and forms drawn like real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.music.chords import N_QUALITIES, NO_CHORD, UNKNOWN
from emomusic.music.notes import FloatColumn, Notes

FORM_KINDS = ("whole", "rhythm")
FORM_BARS = (1, 2, 4, 8, 16)
"""How many bars back the bar may lie that a bar takes up, whole or in its rhythm only."""
N_FORMS = 1 + len(FORM_KINDS) * len(FORM_BARS)
"""Codes of a bar's form: 0 none, then whole at each distance, then rhythm at each."""
STEPS = 12
SAME_NOTES, SAME_ONSETS = 0.8, 0.9
"""Shares of two bars' notes, or onsets, that both have (Jaccard), from which they are alike."""
MIN_ALIKE = 3
HARMONY_BARS = (4, 8, 16, 2, 1)
"""How many bars back the chords may lie that a bar repeats, the likeliest of pop first."""
NEAR_COPY = 0.7
"""Cosine of two bars' sets of (sixteenth, pitch class) from which one is a near copy."""
SAME_FIGURE, MIN_FIGURE = 0.8, 2
"""Share (Dice) of two bars' onsets in the left hand from which its figure is the same, and how
many onsets a figure has."""
IS_MINOR = np.array([False, True, True, False, False, False, False, True, True])
"""Of each chord quality, whether its third is minor."""
TAKEN_UP = 0.25
"""Part of the bars of a drawn form that take up another: else it tells nothing."""
FORM_COLUMNS = ("forms", "harmonies", "copies", "figures")
_DIGITS = "0123456789a"


def bar_form(notes: Notes, lines: FloatColumn) -> NDArray[np.int8]:
    """Return the code of each bar's form, shape (n_bars,).

    A bar takes up an earlier one whole if four in five of the notes of both have the same
    place and pitch, in its rhythm if nine in ten of the onsets have the same place; both bars
    have at least three. Whole goes before rhythm, then the nearest bar before others.

    Args:
        notes: In beats, on a grid of twelfths.
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    n_bars, length = len(lines) - 1, np.diff(lines)
    bar = np.clip(np.searchsorted(lines, notes.onset + 1e-6, side="right") - 1, 0, n_bars - 1)
    step = np.rint((notes.onset - lines[bar]) * STEPS).astype(np.int64)
    whole: list[set[tuple[int, int]]] = [set() for _ in range(n_bars)]
    for at, *note in zip(bar.tolist(), step.tolist(), notes.pitch.tolist(), strict=True):
        whole[at].add((note[0], note[1]))
    rhythm = [{step for step, _ in own} for own in whole]

    def takes_up(at: int, code: int) -> bool:
        other = at - bars_back(code)
        if other < 0 or length[at] != length[other]:
            return False
        if code <= len(FORM_BARS):
            return _alike(whole[at], whole[other], SAME_NOTES)
        return _alike(rhythm[at], rhythm[other], SAME_ONSETS)

    codes = (next((c for c in range(1, N_FORMS) if takes_up(at, c)), 0) for at in range(n_bars))
    return np.fromiter(codes, dtype=np.int8, count=n_bars)


def _alike(own: Set[Any], other: Set[Any], share: float) -> bool:
    """Tell whether two bars have enough, and so much of what either has (Jaccard)."""
    both, fewer = len(own & other), min(len(own), len(other))
    return fewer >= MIN_ALIKE and both >= share * (len(own) + len(other) - both) - 1e-9


def bar_harmony(chords: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
    """Return whose chords each bar repeats, shape (n_bars,).

    Args:
        chords: Numbers of the chords of half bars, shape (n_bars, 2); those that nobody knows
            are repeated by none.

    Returns:
        0 for none, else one more than the place in `HARMONY_BARS` of how many bars back it lies:
        both half bars have the same root and the same third.
    """
    known = (chords != UNKNOWN) & (chords != NO_CHORD)
    numbers = np.where(known, chords, 0).astype(np.int64)
    heard = numbers // N_QUALITIES * 2 + IS_MINOR[numbers % N_QUALITIES]
    found = np.zeros(len(chords), dtype=np.int8)
    for place, back in reversed(list(enumerate(HARMONY_BARS))):
        same = (heard[back:] == heard[:-back]) & known[back:] & known[:-back]
        found[back:][same.all(axis=1)] = place + 1
    return found


def bar_copies(cells: Sequence[Set[tuple[int, int]]]) -> list[int]:
    """Return which earlier bar each bar is a near copy of: one more than the place in `FORM_BARS`
    of how many bars back the likest lies, 0 for none.

    Args:
        cells: The (sixteenth, pitch class) of the notes of each bar.
    """
    found = []
    for bar, own in enumerate(cells):
        others = [cells[bar - back] if back <= bar else frozenset() for back in FORM_BARS]
        alike = [len(own & other) / math.sqrt(max(len(own) * len(other), 1)) for other in others]
        best = max(alike)
        found.append(alike.index(best) + 1 if best >= NEAR_COPY - 1e-9 else 0)
    return found


def bar_figures(onsets: Sequence[Set[int]]) -> list[int]:
    """Return whose figure the left hand of each bar takes up, in the codes of `bar_copies`: that
    of the nearest bar whose is the same.

    Args:
        onsets: Where notes of the left hand begin in each bar.
    """

    def is_same(own: Set[int], other: Set[int]) -> bool:
        shared, both = len(own & other), len(own) + len(other)
        return min(len(own), len(other)) >= MIN_FIGURE and 2 * shared >= SAME_FIGURE * both - 1e-9

    return [
        next((code for code, back in enumerate(FORM_BARS, start=1)
              if back <= bar and is_same(own, onsets[bar - back])), 0)
        for bar, own in enumerate(onsets)
    ]  # fmt: skip


@dataclass(frozen=True)
class FormTable:
    """Hold the forms of real pieces, to draw forms from.

    Attributes:
        forms: Codes of `bar_form` of a stretch that begins with a piece, a digit a bar.
        harmonies: Of the same bars, codes of `bar_harmony`; empty where no piece's are known.
        copies: Of `bar_copies`, likewise.
        figures: Of `bar_figures`.
    """

    forms: tuple[str, ...]
    harmonies: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.forms or not all(form and set(form) <= set(_DIGITS) for form in self.forms):
            raise ValueError(f"forms must be texts of {_DIGITS}")
        known, lengths = _DIGITS[: len(FORM_BARS) + 1], list(map(len, self.forms))
        for name in FORM_COLUMNS[1:]:
            own = getattr(self, name)
            if own and list(map(len, own)) != lengths:
                raise ValueError(f"{name} must be as many and as long as forms")
            if not all(set(codes) <= set(known) for codes in own):
                raise ValueError(f"{name} must be texts of {known}")

    def draw(self, n_bars: int, rng: np.random.Generator) -> tuple[list[int], ...]:
        """Draw the codes of so many bars, for each of `FORM_COLUMNS`.

        One real piece's are taken, so that what returns late is what came early: one of which at
        least a quarter of the bars takes up another, if there is any. More bars than any piece
        has go on with another, as after a double bar.

        Args:
            n_bars: At least 1.
            rng: Decides which piece.
        """
        drawn, longest = [""] * len(FORM_COLUMNS), max(map(len, self.forms))
        while len(drawn[0]) < n_bars:
            n_left = min(n_bars - len(drawn[0]), longest)
            begun = [at for at, own in enumerate(self.forms) if len(own) >= n_left]
            most_free = (1 - TAKEN_UP) * n_left
            told = [at for at in begun if self.forms[at][:n_left].count("0") <= most_free] or begun
            piece = told[int(rng.integers(len(told)))]
            for at, name in enumerate(FORM_COLUMNS):
                column = getattr(self, name)
                drawn[at] += column[piece][:n_left] if column else "0" * n_left
        return tuple([_DIGITS.index(code) for code in own] for own in drawn)


def written_form(codes: Sequence[int]) -> str:
    """Return codes of bars as a text of `FormTable`; those that point before the first are 0."""
    return "".join(
        _DIGITS[code] if code and bars_back(code) <= bar else "0" for bar, code in enumerate(codes)
    )


def harmony_moves(back: Sequence[int], *, n_before: int = 0) -> list[bool]:
    """Tell which bars have other chords than the bar before; none where nothing is known of any.

    Args:
        back: Of each bar, how many bars back its chords come from, 0 for chords of its own.
        n_before: Bars before the first, all of chords of their own.
    """
    whose = list(range(n_before + len(back)))
    for bar, bars in enumerate(back, start=n_before):
        whose[bar] = whose[bar - bars]
    own = range(n_before, len(whose))
    return [any(back) and bar > 0 and whose[bar] != whose[bar - 1] for bar in own]


def bars_back(code: int) -> int:
    """Return how many bars back the bar lies that a code other than 0 takes up."""
    return FORM_BARS[(code - 1) % len(FORM_BARS)]
