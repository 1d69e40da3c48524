"""Pieces of music with what of them is known: whole clips, and real windows to match them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emomusic.evaluation.memory.events import Line
from emomusic.evaluation.memory.runs import Runs
from emomusic.music.notes import FloatColumn, IntColumn

GRAMS = (4, 8, 16, 32)


@dataclass(frozen=True)
class Piece:
    """Hold part of a line, and what of it is known.

    Attributes:
        line: The line.
        runs: What of the whole line is known.
        first: First event of the part.
        end: The event after its last.
    """

    line: Line
    runs: Runs
    first: int
    end: int

    def lengths(self) -> IntColumn:
        """Return the longest known run from each event that ends in the part."""
        left = np.arange(self.end - self.first, 0, -1)
        return np.minimum(self.runs.length[self.first : self.end], left)

    def best(self) -> tuple[int, int]:
        """Return the event at which the longest run begins, and its length."""
        lengths = self.lengths()
        if not len(lengths):
            return self.first, 0
        at = int(lengths.argmax())
        return self.first + at, int(lengths[at])

    def measures(self) -> dict[str, float]:
        """Return the measures by name; a share of more events than there are is NaN."""
        lengths, (at, longest) = self.lengths(), self.best()
        found = {"longest_events": float(longest), "longest_beats": self.line.beats(at, longest)}
        for n in GRAMS:
            whole = lengths[: max(len(lengths) - n + 1, 0)] >= n
            found[f"share_{n}"] = float(whole.mean()) if len(whole) else np.nan
        return found


def columns_of(pieces: Sequence[Piece]) -> dict[str, FloatColumn]:
    """Return each measure over pieces, at least one, shape (n_pieces,)."""
    found = [piece.measures() for piece in pieces]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


def draw_windows(
    pieces: Sequence[Piece],
    lines: Sequence[Line],
    runs: Sequence[Runs],
    song: IntColumn,
    *,
    n_windows: int,
    seed: int,
) -> tuple[list[Piece], IntColumn]:
    """Draw windows as long as each piece: first a song, then a place in it, all places alike.

    Where no song is as long as a piece, the longest stretch of all stands in whole.

    Args:
        pieces: What windows are drawn for.
        lines: Lines to draw from, at least one.
        runs: What of them is known.
        song: The song of each line.
        n_windows: Windows for each piece.
        seed: Of the draw.

    Returns:
        The windows and the song of each.
    """
    rng = np.random.default_rng(seed)
    size = np.array([len(line) for line in lines])
    drawn, songs = [], []
    for piece in pieces:
        n = min(piece.end, int(size.max()))
        places = np.maximum(size - n + 1, 0)
        for one in rng.choice(np.unique(song[places > 0]), n_windows):
            own = np.flatnonzero((song == one) & (places > 0))
            place = int(rng.integers(places[own].sum()))
            ends = np.cumsum(places[own])
            which = int(np.searchsorted(ends, place, side="right"))
            line = int(own[which])
            first = place - int(ends[which] - places[line])
            drawn.append(Piece(lines[line], runs[line], first, first + n))
            songs.append(int(one))
    return drawn, np.array(songs)
