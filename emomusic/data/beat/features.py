"""What a beat tracker sees of a performance: one row of onset features every 20 ms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FRAME_S = 0.02
"""Length of a frame in seconds; a third of the usual ±70 ms evaluation window's half."""
LEAD_S = 1.0
"""Silence before the first and after the last onset, so that a beat fits there."""
GROUP_S = 0.03
"""Onsets closer than this are one chord (Goebl 2001: hands and melody leads lie within 30 ms)."""
PITCH_EDGES = (41, 53, 65, 77)
"""First pitches of the upper four of the five register bands (octaves around middle C)."""
MAX_GAP_S = 2.0
N_FEATURES = 6 + len(PITCH_EDGES) + 5
"""Columns of `beat_features`."""


def beat_features(
    onset_s: FloatArray, pitch: IntArray, velocity: IntArray
) -> tuple[float, FloatArray]:
    """Describe a performance frame by frame, without a beat grid.

    Velocities count only against the mean of their surroundings, so a transcription's scale
    does not matter; transposing by a few semitones changes little.

    Args:
        onset_s: (n,) onset times in seconds, ascending, n >= 1.
        pitch: (n,) MIDI pitches.
        velocity: (n,) MIDI velocities.

    Returns:
        The time of frame 0 in seconds, and the features (n_frames, `N_FEATURES`); n_frames is
        even. Columns: onset count, counts of five registers, relative loudness, lowest and
        highest note of the surroundings, gap to the next and from the last onset, and change of
        harmony over 0.5, 1, 2 and 4 seconds.
    """
    start = float(onset_s[0]) - LEAD_S
    frame = (onset_s - start) / FRAME_S
    n_frames = 2 * int(np.ceil((frame[-1] + LEAD_S / FRAME_S + 1) / 2))
    near = np.rint(frame).astype(np.int64)
    columns = [np.ones(len(onset_s))]
    band = np.searchsorted(np.asarray(PITCH_EDGES), pitch, side="right")
    columns += [(band == k).astype(np.float64) for k in range(len(PITCH_EDGES) + 1)]
    columns.append(_relative_velocity(near, velocity, n_frames))
    columns += [_extremeness(near, sign * pitch, n_frames) for sign in (1, -1)]
    columns += list(_gaps(onset_s))
    onsets = np.log1p(np.stack([_spread(frame, c, n_frames) for c in columns], axis=1))
    harmony = _harmonic_change(near, pitch, n_frames)
    return start, np.concatenate([onsets, harmony], axis=1)


def _spread(frame: FloatArray, weight: FloatArray, n_frames: int) -> FloatArray:
    """Share each onset's weight between the two frames around it."""
    low = np.floor(frame).astype(np.int64)
    part = frame - low
    total = np.bincount(low, weight * (1 - part), n_frames)
    return np.asarray(total + np.bincount(low + 1, weight * part, n_frames), dtype=np.float64)


def _around(values: FloatArray, half: int) -> FloatArray:
    """Sum each frame's surroundings of `half` frames on either side."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    upper = np.minimum(index + half + 1, len(values))
    return np.asarray(total[upper] - total[np.maximum(index - half, 0)], dtype=np.float64)


def _relative_velocity(near: IntArray, velocity: IntArray, n_frames: int) -> FloatArray:
    """Divide velocities by their mean within four seconds; 0.5 to 2 becomes 0 to 1.5."""
    half = round(4.0 / FRAME_S)
    total = _around(np.bincount(near, velocity, n_frames).astype(np.float64), half)
    count = _around(np.bincount(near, minlength=n_frames).astype(np.float64), half)
    mean = total[near] / count[near]
    return np.clip(velocity / np.maximum(mean, 1.0), 0.5, 2.0) - 0.5


def _extremeness(near: IntArray, height: IntArray, n_frames: int) -> FloatArray:
    """Return 1 for the lowest note within 1.5 seconds, less the further above it."""
    half = round(1.5 / FRAME_S)
    lowest = np.full(n_frames + 2 * half, np.inf)
    np.minimum.at(lowest, near + half, height.astype(np.float64))
    floor = np.lib.stride_tricks.sliding_window_view(lowest, 2 * half + 1).min(axis=1)
    return np.asarray(np.exp((floor[near] - height) / 4.0), dtype=np.float64)


def _gaps(onset_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the gaps to the next and from the last chord, on each chord's first note."""
    first = np.concatenate([[True], np.diff(onset_s) > GROUP_S])
    gap = np.minimum(np.diff(onset_s[first]), MAX_GAP_S)
    after, before = np.zeros(len(onset_s)), np.zeros(len(onset_s))
    after[first] = np.concatenate([gap, [MAX_GAP_S]])
    before[first] = np.concatenate([[MAX_GAP_S], gap])
    return after, before


def _harmonic_change(near: IntArray, pitch: IntArray, n_frames: int) -> FloatArray:
    """Return 1 − cosine of the pitch classes before and after each frame, for four windows."""
    chroma = np.zeros((n_frames + 1, 12))
    np.add.at(chroma, (near + 1, pitch % 12), 1.0)
    total = np.cumsum(chroma, axis=0)
    here = np.maximum(np.arange(n_frames) - 2, 0)  # a chord spread over 40 ms belongs to "after"
    columns = []
    for window_s in (0.5, 1.0, 2.0, 4.0):
        width = round(window_s / FRAME_S)
        before = total[here] - total[np.maximum(here - width, 0)]
        after = total[np.minimum(here + width, n_frames)] - total[here]
        norm = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        columns.append(1.0 - (before * after).sum(axis=1) / np.maximum(norm, 1e-9))
    return np.stack(columns, axis=1)
