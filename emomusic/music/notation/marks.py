"""What is written over and under the notes: tempo, dynamics, clefs and octaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.notation.grid import Bar
from emomusic.music.notation.rhythm import Sign
from emomusic.music.notes import Notes
from emomusic.music.score import seconds_at
from emomusic.music.tokenizer import STEPS_PER_BEAT

TEMPO_CHANGE = 0.05
"""Share by which the tempo must differ from the last mark, in a bar and the next."""
LEVELS = ("ppp", "pp", "p", "mp", "mf", "f", "ff", "fff")
LEVEL_WIDTH = 16
"""Velocities of one level."""
LEVEL_HOLD = 12.0
"""Velocities from the middle of the marked level, in two bars, before another is marked."""


def tempo_marks(score: ScoreTick, bars: Sequence[Bar]) -> dict[int, float]:
    """Return the tempo to write at bars, by their index, in quarter notes a minute.

    The first bar has one; another where the tempo of a bar and of the next is over 5 % off.
    """
    steps = np.array([*(bar.start for bar in bars), bars[-1].end])
    ticks = np.round(steps * score.ticks_per_quarter / STEPS_PER_BEAT).astype(np.int64)
    beats = np.diff(ticks) / score.ticks_per_quarter
    tempos = 60.0 * beats / np.maximum(np.diff(seconds_at(score, ticks)), 1e-6)
    marks = {0: float(tempos[0])}
    current = marks[0]
    for index, tempo in enumerate(tempos[1:], start=1):
        ahead = tempos[index : index + 2]
        if np.all(np.abs(ahead / current - 1) > TEMPO_CHANGE):
            marks[index] = current = float(tempo)
    return marks


def dynamic_marks(notes: Notes, bars: Sequence[Bar]) -> dict[int, str]:
    """Return the dynamics to write at bars, by their index: few, only where they stay.

    A level spans sixteen velocities, `mf` from 64.
    """
    starts = np.array([bar.start for bar in bars]) / STEPS_PER_BEAT
    own = np.searchsorted(starts, notes.onset + 0.1, side="right") - 1
    means = [(int(b), float(notes.velocity[own == b].mean())) for b in np.unique(own)]
    first = _level(float(np.mean([mean for _, mean in means[:2]])))
    marks, current = {means[0][0]: LEVELS[first]}, first
    for (bar, mean), (_, ahead) in pairwise(means):
        middle = (current + 0.5) * LEVEL_WIDTH
        level = _level((mean + ahead) / 2)
        is_off = min(abs(mean - middle), abs(ahead - middle)) > LEVEL_HOLD
        if bar != means[0][0] and is_off and (mean > middle) == (ahead > middle):
            marks[bar], current = LEVELS[level], level
    return marks


def _level(velocity: float) -> int:
    return min(int(velocity) // LEVEL_WIDTH, len(LEVELS) - 1)


@dataclass(frozen=True)
class Place:
    """Hold where on a staff a sign is written.

    Attributes:
        clef: `treble` or `bass`.
        octave: Octaves that it sounds above what is written.
    """

    clef: str
    octave: int = 0


PLACES = (Place("bass", -1), Place("bass"), Place("treble"), Place("treble", 1))
STAFF = {"bass": (42.0, 58.5), "treble": (62.5, 78.5)}
"""Pitches below and above which a clef needs ledger lines."""
LINE_SEMITONES = 3.5
LEDGER, NEW_CLEF, NEW_OCTAVE, ODD_OCTAVE, UNUSUAL = 0.25, 8.0, 8.0, 0.3, 0.1
"""Prices of the square of a sign's ledger lines, of another clef, of another octave, and for
each sign of an octave other than it sounds and of the other hand's clef."""
IN_BAR, NEVER = 1.5, 1e6
"""Factors of a change inside a bar, and of one on a tie or off the beat."""


def places_of(signs: Sequence[Sequence[Sign]], *, is_right: bool) -> list[list[Place]]:
    """Return clef and octave of each sign of each bar: few ledger lines, few changes.

    The cheapest way through the signs is taken (by dynamic programming); changes fall on beats,
    none on a tie.
    """
    usual = PLACES[2 if is_right else 1]
    total = np.array([0.0 if place == usual else NEW_CLEF for place in PLACES])
    ways: list[list[int]] = []
    for sign in (sign for bar in signs for sign in bar):
        is_fixed = sign.tied_from or sign.start % STEPS_PER_BEAT
        factor = NEVER if is_fixed else IN_BAR if sign.start else 1.0
        moved = total[None, :] + factor * _MOVES
        ways.append(moved.argmin(axis=1).tolist())
        total = moved.min(axis=1) + _prices(sign.pitches, usual)
    at, path = int(total.argmin()), []
    for way in reversed(ways):
        path.append(PLACES[at])
        at = way[at]
    return [[path.pop() for _ in bar] for bar in signs]


_MOVES = np.array(
    [
        [NEW_CLEF * (a.clef != b.clef) + NEW_OCTAVE * (a.octave != b.octave) for b in PLACES]
        for a in PLACES
    ]
)
"""The price of each place after each other, shape (to, from)."""


def _prices(pitches: Sequence[int], usual: Place) -> list[float]:
    prices = []
    for place in PLACES:
        low, high = STAFF[place.clef]
        written = [pitch - 12 * place.octave for pitch in pitches]
        beyond = max([0.0, *(low - w for w in written), *(w - high for w in written)])
        lines = LEDGER * (beyond / LINE_SEMITONES) ** 2
        prices.append(lines + ODD_OCTAVE * abs(place.octave) + UNUSUAL * (place.clef != usual.clef))
    return prices
