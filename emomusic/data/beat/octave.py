"""Choose between a tempo, its double and its half, and judge the beats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emomusic.data.beat.decode import DecodeParams, decode_bars, decode_beats
from emomusic.data.beat.features import FRAME_S
from emomusic.data.beat.net import BeatNet

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OCTAVE_TRAITS = (
    "log2 of the tempo, against 110 a minute",
    "even against odd beats, mean log-odds",
    "second-best phase of the bar, mean log-odds of its downbeats",
    "notes per beat",
    "share of the middles between beats with an onset",
    "share of the quarters between beats with an onset",
)
"""What tells the true tempo from its double and half: names of `octave_traits`. They are what a
backward selection left of 22 (best accuracy on fitted songs, cross-validated by song)."""
OCTAVES = (1.0, 2.0, 0.5)
"""True tempo over the tempo found, in the order of `BeatNet.octave`."""

RANGE = 1.4
"""Once the octave is chosen, beats may be this factor shorter or longer; just under √2."""


@dataclass(frozen=True, eq=False)
class Found:
    """Beats as frames (n,), the index of the first downbeat, beats a bar, and `trust_traits`."""

    frames: IntArray
    phase: int
    beats_per_bar: int
    traits: FloatArray


def find_beats(
    features: FloatArray, onset_frames: FloatArray, net: BeatNet, params: DecodeParams
) -> Found:
    """Find the beats, the octave of their tempo, and the bars.

    Args:
        features: (n_frames, n_features) as `beat_features` makes them.
        onset_frames: (n,) the onsets, in frames, ascending.
        net: the fitted network.
        params: settings of the search.

    Returns:
        What was found; fewer than two beats if the music is shorter than that.
    """
    probability = net.probabilities(features)
    frames = decode_beats(probability[:, 0], FRAME_S, params)
    if len(frames) < 2:
        return Found(frames, 0, 4, np.zeros(3))
    octave = net.octave(octave_traits(probability, frames, onset_frames))
    frames = _move_octave(probability, frames, OCTAVES[int(octave.argmax())], params)
    beat, downbeat = near(probability, frames).T
    beats_per_bar, phase = decode_bars(downbeat / np.maximum(beat, 0.1), params)
    return Found(frames, phase, beats_per_bar, trust_traits(probability, frames, octave))


def _move_octave(
    probability: FloatArray, frames: IntArray, factor: float, params: DecodeParams
) -> IntArray:
    """Search again around the tempo times a factor, if that lies within the limits."""
    tempo = factor * 60.0 / FRAME_S / float(np.median(np.diff(frames)))
    if factor == 1.0 or not params.min_tempo <= tempo <= params.max_tempo:
        return frames
    narrow = replace(params, min_tempo=tempo / RANGE, max_tempo=tempo * RANGE)
    moved = decode_beats(probability[:, 0], FRAME_S, narrow)
    return moved if len(moved) >= 2 else frames


def octave_traits(
    probability: FloatArray, frames: IntArray, onset_frames: FloatArray
) -> FloatArray:
    """Describe beats for the decision between their tempo, its double and its half.

    Args:
        probability: (n_frames, 2) of beats and downbeats.
        frames: (n_beats,) the beats found, n_beats >= 2.
        onset_frames: (n,) the onsets, in frames, ascending.

    Returns:
        (6,) in the order of `OCTAVE_TRAITS`.
    """
    beat, down = log_odds(near(probability, frames)).T
    parity = beat[::2].mean() - beat[1::2].mean()
    phases = sorted(float(down[k::4].mean()) for k in range(min(4, len(down))))
    middle = (frames[:-1] + frames[1:]) / 2
    quarter = (3 * frames[:-1] + frames[1:]) / 4
    tempo = 60.0 / FRAME_S / float(np.median(np.diff(frames)))
    return np.array(
        [
            np.log2(tempo / 110.0),
            abs(parity),
            phases[-2],
            len(onset_frames) / len(frames),
            _share_with_onset(middle, onset_frames, 0.05 / FRAME_S),
            _share_with_onset(quarter, onset_frames, 0.05 / FRAME_S),
        ]
    )


def trust_traits(probability: FloatArray, frames: IntArray, octave: FloatArray) -> FloatArray:
    """Describe how plain beats are: their log-odds, the octave's log-odds, their unsteadiness."""
    plain = log_odds(near(probability, frames)[:, 0]).mean()
    steps = np.diff(np.log(np.diff(frames)))
    unsteady = float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0
    return np.array([plain, float(log_odds(octave.max())), unsteady])


def near(probability: FloatArray, frames: IntArray) -> FloatArray:
    """Return the highest probabilities within one frame of each given frame."""
    around = np.clip(frames[:, None] + np.arange(-1, 2), 0, len(probability) - 1)
    return np.asarray(probability[around].max(axis=1), dtype=np.float64)


def log_odds(probability: FloatArray) -> FloatArray:
    """Return log p / (1 − p), p kept within 0.0001 and 0.9999."""
    p = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)), dtype=np.float64)


def _share_with_onset(frames: FloatArray, onset_frames: FloatArray, reach: float) -> float:
    """Return the share of frames that have an onset within `reach` frames."""
    low = np.searchsorted(onset_frames, frames - reach, side="left")
    high = np.searchsorted(onset_frames, frames + reach, side="right")
    return float(np.mean(high > low))
