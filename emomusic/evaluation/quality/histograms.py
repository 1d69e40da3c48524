"""How each piece spreads over pitches, textures, lengths and loudness, on shared grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from emomusic.evaluation.quality.music import Piece
from emomusic.evaluation.quality.resampling import Column
from emomusic.music.key import estimate_key
from emomusic.music.passage import SAME_ONSET_BEATS

STEPS_PER_BEAT = 12
N_LENGTHS = 28
LENGTHS_PER_OCTAVE = 4
MAX_POLYPHONY = 16
MAX_DENSITY = 12.0
VELOCITIES_PER_BIN = 8


def _pitch(piece: Piece) -> Column:
    """Count the notes at each MIDI pitch."""
    return _counted(piece.notes.pitch, 128)


def _pitch_class(piece: Piece) -> Column:
    """Count the notes at each pitch class above the tonic of the key heard."""
    return _counted((piece.notes.pitch - estimate_key(piece.notes).tonic) % 12, 12)


def _polyphony(piece: Piece) -> Column:
    """Count the twelfths of a beat at which 1, 2, … 16 or more notes sound."""
    n = piece.n_beats * STEPS_PER_BEAT
    start = np.clip(np.rint(piece.notes.onset * STEPS_PER_BEAT), 0, n - 1)
    end = np.rint((piece.notes.onset + piece.notes.duration) * STEPS_PER_BEAT)
    end = np.clip(np.maximum(end, start + 1), 0, n)
    change = np.bincount(start.astype(np.int64), minlength=n + 1) - np.bincount(
        end.astype(np.int64), minlength=n + 1
    )
    sounding = np.cumsum(change)[:n]
    return _counted(sounding[sounding > 0] - 1, MAX_POLYPHONY)


def _density(piece: Piece) -> Column:
    """Count the bars by their notes a beat, in steps of a half up to 12 or more."""
    last = piece.bars - 1
    bar = np.clip((piece.notes.onset // piece.beats_per_bar).astype(np.int64), 0, last)
    per_beat = np.bincount(bar, minlength=piece.bars) / piece.beats_per_bar
    return _counted(np.floor(per_beat * 2.0), int(MAX_DENSITY * 2) + 1)


def _duration(piece: Piece) -> Column:
    """Count the notes by their length, a quarter of an octave a bin from a twelfth of a beat."""
    return _lengths(piece.notes.duration)


def _gap(piece: Piece) -> Column:
    """Count the gaps between distinct onsets, in the bins of durations."""
    gaps = np.diff(piece.notes.onset)
    return _lengths(gaps[gaps > SAME_ONSET_BEATS])


def _velocity(piece: Piece) -> Column:
    """Count the notes by velocity, eight to a bin."""
    return _counted(piece.notes.velocity // VELOCITIES_PER_BIN, 128 // VELOCITIES_PER_BIN)


QUANTITIES: dict[str, Callable[[Piece], Column]] = {
    "pitch": _pitch,
    "pitch_class": _pitch_class,
    "polyphony": _polyphony,
    "density": _density,
    "duration": _duration,
    "onset_gap": _gap,
    "velocity": _velocity,
}


def histograms(pieces: Sequence[Piece], name: str) -> Column:
    """Return the histogram of each piece, each summing to 1, shape (n_pieces, n_bins).

    A piece that has nothing to count (one onset has no gap) is spread evenly.

    Args:
        pieces: At least one, with bars.
        name: One of QUANTITIES.

    Raises:
        ValueError: If a piece has no bars.
    """
    counts = np.array([QUANTITIES[name](piece) for piece in pieces])
    counts[~counts.any(axis=1)] = 1.0
    shares: Column = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _lengths(beats: Column) -> Column:
    octaves = np.log2(np.maximum(beats * STEPS_PER_BEAT, 1.0))
    return _counted(np.floor(octaves * LENGTHS_PER_OCTAVE + 1e-6), N_LENGTHS)


def _counted(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], n_bins: int) -> Column:
    """Count whole numbers from 0; the last bin takes all above it."""
    own = np.minimum(values.astype(np.int64), n_bins - 1)
    return np.bincount(own, minlength=n_bins).astype(np.float64)
