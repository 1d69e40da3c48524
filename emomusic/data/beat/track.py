"""Find beats and bars in performed piano music, and put its notes on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emomusic.data.beat.decode import DecodeParams
from emomusic.data.beat.features import FRAME_S, GROUP_S, beat_features
from emomusic.data.beat.net import default_net
from emomusic.data.beat.octave import find_beats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EMPTY_TEMPO = 120.0
"""Tempo of a grid over fewer than two distinct onsets: the default of standard MIDI files."""
EARLY_BEATS = 0.125
"""A first onset this little before a downbeat (half a sixteenth) is meant to be on it."""
_DEFAULTS = DecodeParams()


@dataclass(frozen=True, eq=False)
class BeatGrid:
    """The beats of a performance; a bar begins with the first, and every `beats_per_bar` beats.

    Attributes:
        beats_s: (n,) times of the quarter notes in seconds, strictly ascending, n >= 2; the first
            is a downbeat at or before the first onset, the last lies after the last onset.
        beats_per_bar: 3 or 4, the same in the whole piece.
        confidence: in [0, 1]; the probability that the beats reach an F-measure of 0.8 (±70 ms) in
            pop like that of Pop1K7; a wrong octave of the tempo, too, fails that.
    """

    beats_s: FloatArray
    beats_per_bar: int
    confidence: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        beats = self.beats_s
        if beats.ndim != 1 or len(beats) < 2 or not (np.diff(beats) > 0).all():
            raise ValueError(f"beats_s must be two or more ascending times, got {beats}")
        if self.beats_per_bar not in (3, 4):
            raise ValueError(f"beats_per_bar must be 3 or 4, got {self.beats_per_bar}")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence must be in [0, 1], got {self.confidence}")

    @property
    def downbeats(self) -> NDArray[np.bool_]:
        """Tell for each beat whether a bar begins there, (n,)."""
        return np.asarray(np.arange(len(self.beats_s)) % self.beats_per_bar == 0, dtype=np.bool_)

    @property
    def tempo(self) -> float:
        """Return the median tempo in quarter notes a minute."""
        return 60.0 / float(np.median(np.diff(self.beats_s)))


def track_beats(
    onset_s: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike,
    duration_s: ArrayLike | None = None,
    *,
    params: DecodeParams = _DEFAULTS,
) -> BeatGrid:
    """Find the beats and bars of performed piano notes.

    Fewer than two distinct onsets give a grid of 120 quarter notes a minute from the first onset
    (from zero without notes), with confidence 0.

    Args:
        onset_s: (n,) onset times in seconds, in any order.
        pitch: (n,) MIDI pitches.
        velocity: (n,) MIDI velocities; only their relation to their surroundings counts.
        duration_s: (n,) durations in seconds; if given, the beats reach to the last note's end.
        params: settings of the search.

    Returns:
        The beats, from the downbeat at or before the first onset to after the last.

    Raises:
        ValueError: if the columns differ in length or a time is not finite.

    Reference: Böck, Krebs and Widmer, "Joint beat and downbeat tracking with recurrent neural
        networks" (ISMIR 2016): a network's probabilities, decoded by a hidden Markov model. Ours
        reads notes instead of sound, and finds bars after beats.
    """
    onset, pitches, velocities, end_s = _columns(onset_s, pitch, velocity, duration_s)
    if len(onset) == 0 or onset[-1] - onset[0] < GROUP_S:
        return _steady(float(onset[0]) if len(onset) else 0.0, end_s)
    start, features = beat_features(onset, pitches, velocities)
    net = default_net()
    found = find_beats(features, (onset - start) / FRAME_S, net, params)
    if len(found.frames) < 2:
        return _steady(float(onset[0]), end_s)
    beats = _snap(start + FRAME_S * found.frames.astype(np.float64), onset, params.snap_s)
    beats = _cover(beats, found.phase, found.beats_per_bar, float(onset[0]), end_s)
    return BeatGrid(beats, found.beats_per_bar, net.trust(found.traits))


def to_beats(times_s: ArrayLike, grid: BeatGrid) -> FloatArray:
    """Convert seconds to beats.

    Args:
        times_s: times in seconds, of any shape.
        grid: the beats.

    Returns:
        Beats (quarter notes) of the same shape, 0 on the first downbeat, so that no onset that
        the grid was tracked from is negative. Between beats time is linear; outside the grid the
        mean tempo of the nearest four beats goes on.
    """
    times = np.asarray(times_s, dtype=np.float64)
    beats = grid.beats_s
    n = min(4, len(beats) - 1)
    before = (times - beats[0]) * n / (beats[n] - beats[0])
    after = len(beats) - 1 + (times - beats[-1]) * n / (beats[-1] - beats[-1 - n])
    inside = np.interp(times, beats, np.arange(len(beats), dtype=np.float64))
    outside = np.where(times < beats[0], before, after)
    return np.where((times < beats[0]) | (times > beats[-1]), outside, inside)


def _columns(
    onset_s: ArrayLike, pitch: ArrayLike, velocity: ArrayLike, duration_s: ArrayLike | None
) -> tuple[FloatArray, IntArray, IntArray, float]:
    """Check the columns; return them in the order of time, and the end of the last note."""
    onset = np.asarray(onset_s, dtype=np.float64)
    pitches, velocities = np.asarray(pitch, dtype=np.int64), np.asarray(velocity, dtype=np.int64)
    duration = np.zeros_like(onset) if duration_s is None else np.asarray(duration_s, np.float64)
    shapes = [column.shape for column in (onset, pitches, velocities, duration)]
    if onset.ndim != 1 or len(set(shapes)) > 1:
        raise ValueError(f"the note columns must be of one dimension and length, got {shapes}")
    if not np.isfinite(onset).all() or not np.isfinite(duration).all():
        raise ValueError("onset_s and duration_s must be finite, got NaN or infinity")
    order = np.lexsort((pitches, onset))
    end_s = float((onset + duration).max()) if len(onset) else 0.0
    return onset[order], pitches[order], velocities[order], end_s


def _steady(start: float, end_s: float) -> BeatGrid:
    """Return a grid of `EMPTY_TEMPO` for music that tells no tempo."""
    beats = start + np.array([0.0, 60.0 / EMPTY_TEMPO])
    return BeatGrid(_cover(beats, 0, 4, start, end_s), 4, 0.0)


def _snap(beats: FloatArray, onset: FloatArray, reach: float) -> FloatArray:
    """Move each beat to the mean of the onsets within `reach` seconds, weighted by nearness."""
    nearest = np.searchsorted((beats[1:] + beats[:-1]) / 2, onset)
    distance = onset - beats[nearest]
    weight = np.maximum(reach - np.abs(distance), 0.0)
    total = np.bincount(nearest, weight, len(beats))
    shift = np.bincount(nearest, weight * distance, len(beats)) / np.where(total > 0, total, 1.0)
    return np.asarray(beats + shift, dtype=np.float64)


def _cover(
    beats: FloatArray, phase: int, beats_per_bar: int, first_s: float, end_s: float
) -> FloatArray:
    """Make the beats begin with the downbeat at or before the first onset, and outlast the end."""
    n = min(4, len(beats) - 1)
    early, late = (beats[n] - beats[0]) / n, (beats[-1] - beats[-1 - n]) / n
    n_before = max(0, int(np.ceil((beats[0] - first_s) / early))) + beats_per_bar
    n_before += (-phase - n_before) % beats_per_bar  # so that beat 0 is a downbeat
    n_after = max(0, int(np.floor((end_s - beats[-1]) / late))) + 1
    before = beats[0] - early * np.arange(n_before, 0, -1)
    after = beats[-1] + late * np.arange(1, n_after + 1)
    covered = np.concatenate([before, beats, after])
    downbeats = covered[::beats_per_bar]
    begun = max(0, int(np.searchsorted(downbeats, first_s + early * EARLY_BEATS, "right")) - 1)
    covered = covered[begun * beats_per_bar :].copy()
    covered[0] = min(covered[0], first_s)
    return covered
