"""How often tones, steps, gaps and durations follow each other: histograms of one clip.

The features of the registry summarise; these keep the shape. Each block is the square root of
shares that sum to 1, so that a distance between two clips is Hellinger's. Tones count from the
tonic of the key, so a transposed clip gives the same values, except in "bands" and
"loudness_by_octave".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.verify.features.analysis import CHORDS, LONGEST_S, Analysis, quantiles

SHORTEST_LOG2, LONGEST_LOG2 = -5.5, 4.0
"""log2 seconds between which gaps and durations are told apart: 22 ms to 16 s."""
N_TIMES, N_GAPS, N_MOVES, N_SIZES, N_RATES = 20, 8, 27, 8, 11
GAP_EDGES = np.linspace(-4.0, 1.0, N_GAPS - 1)
"""log2 seconds between onsets where one kind of gap ends and the next begins."""
LOWEST, SEMITONES_A_BAND, N_BANDS = 21, 4, 22
OCTAVES, LOUDNESSES = 8, 11
N_CHORDS = len(CHORDS)
_PAIRS = np.triu_indices(12)
_Floats = NDArray[np.floating[Any]]
_RATE_SHARES = np.linspace(0.0, 1.0, N_RATES).tolist()


@dataclass(frozen=True)
class Pattern:
    """One block of numbers: its unique name, its length, and what measures it, shape (size,)."""

    name: str
    size: int
    measure: Callable[[Analysis], FloatColumn]


def measure_patterns(analysis: Analysis) -> FloatColumn:
    """Measure all blocks of a clip, one after the other in the order of PATTERNS."""
    return np.concatenate([pattern.measure(analysis) for pattern in PATTERNS])


def _rooted(counts: NDArray[np.generic]) -> FloatColumn:
    """Take the square roots of counts as shares, flat; zeros where there are none."""
    column = counts.astype(np.float64).ravel()
    return np.sqrt(column / max(float(column.sum()), 1e-9))


def _together(first: IntColumn, second: IntColumn, n_first: int, n_second: int) -> FloatColumn:
    """Count how often two kinds come together, shape (n_first * n_second,)."""
    return _rooted(np.bincount(first * n_second + second, minlength=n_first * n_second))


def _soft_bins(places: _Floats, size: int) -> tuple[IntColumn, _Floats]:
    """Find the bin centre below each place, and the share that the one above it takes.

    A small shift then moves small shares, where hard bins would move whole ones.
    """
    places = np.clip(places, 0.0, size - 1.0)
    below = np.minimum(places.astype(np.int64), size - 2)
    return below, places - below


def _spread(places: FloatColumn, size: int) -> FloatColumn:
    """Count values in bins, each shared by the two nearest bin centres."""
    below, part = _soft_bins(places, size)
    counts = np.bincount(below, 1.0 - part, size).astype(np.float64)
    return counts + np.bincount(below + 1, part, size)


def _degrees(pitch: IntColumn, a: Analysis) -> IntColumn:
    return (pitch - a.tonic) % 12


def _follow(pitch: IntColumn, a: Analysis) -> FloatColumn:
    degrees = _degrees(pitch, a)
    return _together(degrees[:-1], degrees[1:], 12, 12)


def _sounding_pairs(a: Analysis) -> FloatColumn:
    above_lowest = (a.tonic - int(a.notes.pitch.min())) % 12
    heard = (np.roll(a.sounding, -above_lowest, axis=1) > 0).astype(np.float64)
    return _rooted((heard.T @ heard)[_PAIRS])  # (12, m) @ (m, 12) -> upper triangle (78,)


def _moves(pitch: IntColumn) -> FloatColumn:
    most = N_MOVES // 2
    return _rooted(np.bincount(np.clip(np.diff(pitch), -most, most) + most, minlength=N_MOVES))


def _log2_gaps(a: Analysis) -> FloatColumn:
    return np.log2(np.clip(a.gaps_s, 2.0**SHORTEST_LOG2, 2.0**LONGEST_LOG2))


def _times(log2_s: FloatColumn) -> FloatColumn:
    width = (LONGEST_LOG2 - SHORTEST_LOG2) / (N_TIMES - 1)
    return _rooted(_spread((log2_s - SHORTEST_LOG2) / width, N_TIMES))


def _gap_pairs(a: Analysis) -> FloatColumn:
    kinds = np.digitize(_log2_gaps(a), GAP_EDGES)
    return _together(kinds[:-1], kinds[1:], N_GAPS, N_GAPS)


def _rates(a: Analysis) -> FloatColumn:
    """Take quantiles of log2(1 + notes) in whole seconds, scaled to about 1."""
    seconds = (a.notes.onset_s - a.notes.onset_s[0]) // 1.0
    counts = np.diff(np.flatnonzero(np.diff(seconds, prepend=-1.0, append=np.inf)))
    return np.array(quantiles(np.log2(1.0 + counts), *_RATE_SHARES)) / 8.0


def _loudness_by_octave(a: Analysis) -> FloatColumn:
    """Count velocities in each octave, both shared by the nearest bin centres."""
    octave, part = _soft_bins((a.notes.pitch - LOWEST - 6.0) / 12.0, OCTAVES)
    level, more = _soft_bins(a.notes.velocity / 12.0, LOUDNESSES)
    counts = np.zeros(OCTAVES * LOUDNESSES)
    for up, high in ((0, 1.0 - part), (1, part)):
        for louder, much in ((0, 1.0 - more), (1, more)):
            cell = (octave + up) * LOUDNESSES + level + louder
            counts += np.bincount(cell, high * much, len(counts))
    return _rooted(counts)


def _degree_weights(a: Analysis) -> FloatColumn:
    weight = np.minimum(a.notes.duration_s, LONGEST_S)
    return _rooted(np.bincount(_degrees(a.notes.pitch, a), weight, 12))


PATTERNS = (
    Pattern("top_follow", 144, lambda a: _follow(a.top, a)),
    Pattern("bottom_follow", 144, lambda a: _follow(a.bottom, a)),
    Pattern("outer_pairs", 144,
            lambda a: _together(_degrees(a.top, a), _degrees(a.bottom, a), 12, 12)),
    Pattern("sounding_pairs", 78, _sounding_pairs),
    Pattern("chords", 12 * N_CHORDS, lambda a: _together(a.chord, a.root, N_CHORDS, 12)),
    Pattern("roots_follow", 144, lambda a: _together(a.root[:-1], a.root[1:], 12, 12)),
    Pattern("degrees", 12, _degree_weights),
    Pattern("top_moves", N_MOVES, lambda a: _moves(a.top)),
    Pattern("bottom_moves", N_MOVES, lambda a: _moves(a.bottom)),
    Pattern("gaps", N_TIMES, lambda a: _times(_log2_gaps(a))),
    Pattern("gap_pairs", N_GAPS * N_GAPS, _gap_pairs),
    Pattern("durations", N_TIMES,
            lambda a: _times(np.log2(np.maximum(a.notes.duration_s, 2.0**SHORTEST_LOG2)))),
    Pattern("onset_sizes", N_SIZES,
            lambda a: _rooted(np.bincount(np.minimum(a.size, N_SIZES) - 1, minlength=N_SIZES))),
    Pattern("rates", N_RATES, _rates),
    Pattern("bands", N_BANDS,
            lambda a: _rooted(_spread((a.notes.pitch - LOWEST) / SEMITONES_A_BAND, N_BANDS))),
    Pattern("loudness", 16, lambda a: _rooted(_spread(a.notes.velocity / 8.0, 16))),
    Pattern("loudness_by_octave", OCTAVES * LOUDNESSES, _loudness_by_octave),
)  # fmt: skip
"""All blocks, in the order of their columns."""
