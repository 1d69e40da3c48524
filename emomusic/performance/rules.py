"""The rules of the KTH in Stockholm for how a score is played: they play where nothing is fitted.

Friberg, Bresin and Sundberg (2006), Overview of the KTH rule system for musical performance,
Advances in Cognitive Psychology 2, 145-161; k = 1, simpler where an analysis is not at hand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emomusic.emotion import Emotion
from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.performance.features import CELL, STEPS, Reading

PHRASE_BARS = 4
MELODIC_CHARGE = np.array((0, 6.5, 2, 4.5, 4, 2.5, 7, 1, 5.5, 3, 3.5, 5))
"""Of each degree above the chord's root: how remarkable it is on the circle of fifths."""
DB = 0.35
"""Standard deviations of velocity in a decibel: 11 velocities are one, 4 a decibel on a piano
(Goebl and Bresin 2003)."""


@dataclass(frozen=True)
class Touch:
    """Say how a score is played, before it is put into effect.

    Attributes:
        velocity: Standard deviations off the mean, shape (n,).
        late_ms: How much later than the tempo has it each note is struck, shape (n,).
        held_ms: How much longer than written its key is held, shape (n,).
        ragged_ms: How much longer than those that end with it, shape (n,).
        slow: How much longer each half beat lasts, as a share, shape (n_cells,).
        lift: Chance that the pedal is lifted around the beginning of each half beat, (n_cells,).
        down: Chance that it is down in the middle of each, (n_cells,).
        lift_ms: How long after the beginning it is lifted, (n_cells,).
    """

    velocity: FloatColumn
    late_ms: FloatColumn
    held_ms: FloatColumn
    ragged_ms: FloatColumn
    slow: FloatColumn
    lift: FloatColumn
    down: FloatColumn
    lift_ms: FloatColumn


def play_by_rules(
    reading: Reading, emotion: Emotion | None = None, rng: np.random.Generator | None = None
) -> Touch:
    """Play by rules, always alike, as `Pianist.play`; calm music has deeper arches and a longer
    end (Bresin and Friberg 2000)."""
    calm = 1.0 - 0.5 * (0.0 if emotion is None else emotion.arousal)
    notes, cells = reading.of_notes, reading.of_cells
    length_ms = reading.notes.duration * 60_000.0 / reading.tempo
    velocity = DB * (
        4.0 * calm * _arch(reading, reading.step)  # phrase arch: louder towards the middle
        + (notes["pitch"] - 60) / 4.0  # high loud: 3 dB an octave
        + 0.2 * np.where(notes["degree"] < 0, 0.0, MELODIC_CHARGE[notes["degree"]])
        + 1.0 * notes["new_chord"]  # harmonic charge, simplified
        - 1.5 * np.clip((400.0 - length_ms) / 400.0, 0.0, 1.0)  # duration contrast
        + 3.0 * notes["melody"] * notes["right"]  # with melody lead (Goebl 2001)
    )
    leads = (notes["melody"] == 1) & (notes["other_hand"] > 0)
    follows_short = (notes["gap_before"] < STEPS) & (notes["in_beat"] == 0)
    # Punctuation: air before a leap or a longer rest; repeated notes are parted (Bresin 2001).
    is_parted = (np.abs(notes["step_after"]) > 7) | (notes["hand_after"] >= 2 * STEPS)
    is_parted |= notes["step_after"] == 0
    slow = 0.06 * calm * (0.5 - _arch(reading, reading.cells))
    return Touch(
        velocity=velocity,
        late_ms=-15.0 * leads - 4.0 * follows_short,  # melody lead, duration contrast
        held_ms=-np.minimum(0.25 * length_ms, 60.0) * is_parted,
        ragged_ms=np.zeros(len(velocity)),
        slow=slow + final_ritard(reading, depth=0.4 * calm),
        # Changed with the harmony, else down (Banowetz 1985, The Pianist's Guide to Pedaling).
        lift=np.minimum(cells["new_chord"], 1).astype(np.float64),
        down=np.full(len(slow), 0.9),
        lift_ms=np.zeros(len(slow)),
    )


def _arch(reading: Reading, steps: IntColumn) -> FloatColumn:
    """Return how far from the ends of its phrase of four bars each step lies, 0 to 1, a parabola
    (Todd 1992, The dynamics of dynamics)."""
    ends = np.unique(np.append(reading.line[::PHRASE_BARS], reading.line[-1]))
    which = np.clip(np.searchsorted(ends, steps, side="right") - 1, 0, len(ends) - 2)
    at = (steps - ends[which]) / (ends[which + 1] - ends[which])
    return 4.0 * at * (1.0 - at)


def final_ritard(reading: Reading, *, depth: float) -> FloatColumn:
    """Return how much longer half beats last over the last three beats, shape (n_cells,).

    The tempo falls as the speed of a runner who stops, with the square root of what is left, until
    half beats last `depth` longer (Friberg and Sundberg 1999).
    """
    left = (int(reading.line[-1]) - reading.cells - CELL / 2) / (3.0 * STEPS)
    end = 1.0 / (1.0 + depth) ** 2
    speed: FloatColumn = np.sqrt(end + (1.0 - end) * np.clip(left, 0.0, 1.0))
    return 1.0 / speed - 1.0 if not reading.n_after else np.zeros_like(speed)
