"""What all features of a clip start from, in seconds: onsets, outer voices, key, chords."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn, Notes

Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]

GROUP_S = 0.045
"""Notes struck within this many seconds are one onset: the spread of a played chord lies below."""
WINDOW_S = 1.0
"""Width of the windows in which chords are named: about one chord in pop music at 60 to 120."""
LONGEST_S = 4.0
"""A note's weight grows with its duration up to here: a piano tone has died away by then."""
BASS_WEIGHT = 1.5
"""How much more the lowest note of an onset counts for the key (chosen on out-of-fold clips)."""

MAJOR_KEY = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR_KEY = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""Probe-tone ratings of the twelve pitch classes (Krumhansl and Kessler 1982)."""

CHORDS = {
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "suspended": (0, 5, 7),
    "dominant7": (0, 4, 7, 10),
    "major7": (0, 4, 7, 11),
    "minor7": (0, 3, 7, 10),
}
"""Chord qualities told apart, as semitones above the root."""


@dataclass(frozen=True)
class Analysis:
    """Intermediate results that the features of a clip share: n notes, m onsets, w windows.

    Attributes:
        notes: The notes, sorted by onset in seconds.
        first: Index of the first note of each onset, shape (m,).
        start_s: Time of each onset, seconds, shape (m,).
        span_s: Seconds from the first onset to the end of the last note.
        size: Notes struck at each onset, shape (m,).
        top, bottom: Highest and lowest pitch struck at each onset, shape (m,).
        sounding: Notes that sound just after each onset by pitch class above the lowest pitch,
            shape (m, 12).
        profile: Weight of each pitch class above `tonic`, summing to 1, shape (12,).
        tonic: Tonic of the major key that shares the signature (C for A minor), 0 (C) to 11.
        major, minor: Correlation of the profile with the key on each of its degrees, shape (12,).
        chord: Index into CHORDS of each window's chord, shape (w,).
        root: Pitch class of each window's root above `tonic`, shape (w,).
        chord_fit: Cosine of each window's pitch classes with its chord, shape (w,).
    """

    notes: Notes
    first: IntColumn
    start_s: FloatColumn
    span_s: float
    size: IntColumn
    top: IntColumn
    bottom: IntColumn
    sounding: FloatColumn
    profile: FloatColumn
    tonic: int
    major: FloatColumn
    minor: FloatColumn
    chord: IntColumn
    root: IntColumn
    chord_fit: FloatColumn

    @property
    def gaps_s(self) -> FloatColumn:
        """Seconds between onsets; of a single onset, the span of the clip."""
        return np.diff(self.start_s) if len(self.start_s) > 1 else np.array([self.span_s])


def analyse(notes: Notes) -> Analysis:
    """Group the onsets of a clip and find its key and its chords.

    Raises:
        ValueError: If there are no notes, or their seconds do not rise or are not finite.
    """
    if not len(notes):
        raise ValueError("notes must hold at least one note, got 0")
    if not (np.isfinite(notes.onset_s).all() and np.isfinite(notes.duration_s).all()):
        raise ValueError("onset_s and duration_s must be finite")
    if (np.diff(notes.onset_s) < 0).any() or (notes.duration_s <= 0).any():
        raise ValueError("onset_s must not fall, and duration_s must be above 0")
    first = group_starts(notes.onset_s)
    size = np.diff(np.append(first, len(notes)))
    top = np.maximum.reduceat(notes.pitch, first)
    bottom = np.minimum.reduceat(notes.pitch, first)
    start_s = notes.onset_s[first]
    weight = np.minimum(notes.duration_s, LONGEST_S)
    weight = weight * np.where(notes.pitch == np.repeat(bottom, size), BASS_WEIGHT, 1.0)
    # Pitch classes count from the lowest pitch, so that a transposed clip gives the same bits.
    classes = (notes.pitch - notes.pitch.min()) % 12
    heard = np.bincount(classes, weights=weight, minlength=12).astype(np.float64)
    heard /= heard.sum()
    major, minor = key_correlations(heard)
    tonic = int(np.argmax(np.maximum(major, np.roll(minor, 3)).round(9)))
    chord, root, chord_fit = _chords(notes, classes, start_s, tonic)
    return Analysis(
        notes=notes,
        first=first,
        start_s=start_s,
        span_s=float((notes.onset_s + notes.duration_s).max() - notes.onset_s[0]),
        size=size,
        top=top,
        bottom=bottom,
        sounding=_sounding(notes, classes, start_s + GROUP_S),
        profile=np.roll(heard, -tonic),
        tonic=int((tonic + notes.pitch.min()) % 12),
        major=np.roll(major, -tonic),
        minor=np.roll(minor, -tonic),
        chord=chord,
        root=root,
        chord_fit=chord_fit,
    )


def group_starts(onset_s: FloatColumn) -> IntColumn:
    """Find the index of the first note of each onset, of one note or more in rising order."""
    times = onset_s.tolist()
    starts, index = [], 0
    while index < len(times):
        starts.append(index)
        index = bisect_right(times, times[index] + GROUP_S, index + 1)
    return np.array(starts, dtype=np.int64)


def _rotations(templates: Sequence[Sequence[float]]) -> Matrix:
    """Rotate each template to each of the twelve roots, shape (n_templates, 12, 12)."""
    return np.array([[np.roll(t, root) for root in range(12)] for t in templates], dtype=np.float64)


def _normalised(rows: Matrix) -> Matrix:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _standardised(rows: Matrix) -> Matrix:
    return _normalised(rows - rows.mean(axis=-1, keepdims=True))


_KEYS = _standardised(_rotations([MAJOR_KEY, MINOR_KEY]))
_CHORDS = _normalised(_rotations([[pc in own for pc in range(12)] for own in CHORDS.values()]))


def key_correlations(heard: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """Correlate the weights of pitch classes, C first, with the twelve major and minor keys.

    Returns:
        Pearson correlations in [-1, 1] by tonic, C first: major, minor; 0 where all classes
        weigh the same.

    Reference:
        Krumhansl and Kessler (1982); Krumhansl (1990), Cognitive Foundations of Musical Pitch.
        Weights are durations up to 4 s, and lowest notes count half as much again.
    """
    correlations = _KEYS @ _standardised(heard)
    return correlations[0], correlations[1]


def _sounding(notes: Notes, classes: IntColumn, at_s: FloatColumn) -> FloatColumn:
    """Count the notes of each pitch class that sound at each time, shape (len(at_s), 12).

    Notes struck and released within the 45 ms before are counted too: they were heard.
    """
    begun = np.searchsorted(at_s, notes.onset_s)
    ended = np.searchsorted(at_s - GROUP_S, notes.onset_s + notes.duration_s)
    size = 12 * (len(at_s) + 1)
    changes = np.bincount(12 * begun + classes, minlength=size)
    changes -= np.bincount(12 * ended + classes, minlength=size)
    # (12 * (m + 1),) -> (m + 1, 12); the last row is past all times.
    return np.cumsum(changes.reshape(-1, 12), axis=0)[:-1].astype(np.float64)


def _chords(
    notes: Notes, classes: IntColumn, start_s: FloatColumn, tonic: int
) -> tuple[IntColumn, IntColumn, FloatColumn]:
    """Name the chord, its root above the tonic and its fit in each window with an onset."""
    left = np.unique((start_s - start_s[0]) // WINDOW_S)
    heard = _seconds_in_windows(notes, (classes - tonic) % 12, left)
    # (w, 12) @ (12, 7 * 12): quality major, root minor
    fits = _normalised(heard) @ _CHORDS.reshape(-1, 12).T
    best = np.argmax(fits.round(9), axis=1)
    return best // 12, best % 12, fits[np.arange(len(best)), best]


def _seconds_in_windows(notes: Notes, classes: IntColumn, left: FloatColumn) -> FloatColumn:
    """Measure how long each pitch class sounds in each window, shape (w, 12).

    Seconds up to an edge are its time times the notes begun, less the sum of their onsets, less
    the same of those ended; so the cost does not grow with how long notes are. Windows begin at
    `left`, whole numbers of windows from the first onset, rising.
    """
    edges = np.union1d(left, left + 1.0)
    on = (notes.onset_s - notes.onset_s[0]) / WINDOW_S
    off = on + notes.duration_s / WINDOW_S
    size = 12 * (len(edges) + 1)
    counts, sums = np.zeros(size), np.zeros(size)
    for times, sign in ((on, 1.0), (off, -1.0)):
        cells = 12 * np.searchsorted(edges, times, side="right") + classes
        counts += sign * np.bincount(cells, minlength=size)
        sums += sign * np.bincount(cells, times, size)
    # (12 * (e + 1),) -> (e + 1, 12), running totals at each of the e edges
    counts, sums = (np.cumsum(of.reshape(-1, 12), axis=0)[:-1] for of in (counts, sums))
    until = edges[:, None] * counts - sums
    at = np.searchsorted(edges, left)
    return WINDOW_S * np.maximum(until[at + 1] - until[at], 0.0)


def quantiles(values: FloatColumn | IntColumn, *shares: float) -> list[float]:
    """Compute quantiles of one number or more as `np.quantile` does, but several times faster."""
    ordered = np.sort(values)
    found = []
    for share in shares:
        place = (len(ordered) - 1) * share
        at = int(place)
        part, below = place - at, float(ordered[at])
        above = float(ordered[min(at + 1, len(ordered) - 1)])
        step = above - below
        found.append(below + step * part if part < 0.5 else above - step * (1 - part))
    return found


def share_of(mask: NDArray[np.bool_]) -> float:
    """Compute the share of true values; 0 of none."""
    return float(np.count_nonzero(mask)) / max(mask.size, 1)


def entropy(shares: FloatColumn) -> float:
    """Compute the entropy of shares in bits."""
    used = shares[shares > 0]
    return float(-(used * np.log2(used)).sum())
