"""Pieces made in code, for the tests of quality and variety."""

from __future__ import annotations

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.quality.music import Piece
from emomusic.music.notes import make_notes

Note = tuple[float, float, int, int]


def piece_of(notes: list[Note], *, n_bars: int, group: str = "a", beats_per_bar: int = 4) -> Piece:
    """Return a piece of notes given as (onset, duration, pitch, velocity), in beats."""
    onset, duration, pitch, velocity = (np.array(column) for column in zip(*notes, strict=True))
    return Piece(
        make_notes(onset.astype(float), duration.astype(float), pitch, velocity, tempo=120.0),
        group=group,
        n_bars=n_bars,
        beats_per_bar=beats_per_bar,
        tempo=120.0,
    )


def walks(
    n: int,
    *,
    seed: int,
    centre: int = 66,
    velocity: int = 60,
    gap: float = 0.5,
    same: bool = False,
    per_song: int = 1,
) -> list[Piece]:
    """Return melodies of eight bars that wander about a pitch over a bass.

    Args:
        n: How many.
        seed: Draws them.
        centre: Mean pitch they wander about.
        velocity: Mean velocity.
        gap: Beats between their notes; each has its own, up to three times as long.
        same: Whether all are the same piece but for one velocity.
        per_song: How many pieces in a row are of one song.
    """
    rng = np.random.default_rng(seed)
    pieces = []
    for index in range(n):
        own = np.random.default_rng(seed) if same else rng
        step = gap * float(own.integers(1, 4))
        home, loud = centre + int(own.integers(-6, 7)), velocity + int(own.integers(-15, 16))
        notes: list[Note] = []
        for place in range(int(32 / step)):
            pitch, hit = home + int(own.integers(-7, 8)), loud + int(own.integers(-8, 9))
            notes.append((place * step, step, pitch, hit))
        notes += [(4.0 * bar, 4.0, home - 20 + int(own.integers(0, 8)), loud) for bar in range(8)]
        notes[0] = (*notes[0][:3], notes[0][3] + index % 3)
        pieces.append(piece_of(notes, n_bars=8, group=f"{seed}/{index // per_song}"))
    return pieces


def with_quadrants(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with the four quadrants in turn."""
    return [
        Piece(p.notes, p.group, QUADRANTS[i % 4], p.n_bars, p.beats_per_bar, p.tempo)
        for i, p in enumerate(pieces)
    ]
