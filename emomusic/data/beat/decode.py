"""From beat and downbeat probabilities to the likeliest beats and bars (Viterbi)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class DecodeParams:
    """Settings of the search for beats; the defaults were chosen on the songs used for fitting.

    Attributes:
        min_tempo: slowest tempo considered, quarter notes a minute.
        max_tempo: fastest tempo considered. The limits are those of the beats of Pop1K7.
        steadiness: cost, in nats, of changing the beat's length by 100 % from beat to beat.
        beat_share: share of a beat's length in which its onset is expected.
        three_four_bonus: nats a beat in favour of three beats a bar, which the network has seen
            less of; the default takes fewer than 0.5 % of the fitted four-four songs for three.
        snap_s: a beat moves to the onsets within this many seconds.
    """

    min_tempo: float = 50.0
    max_tempo: float = 220.0
    steadiness: float = 80.0
    beat_share: float = 1 / 12
    three_four_bonus: float = 0.07
    snap_s: float = 0.05

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.min_tempo < self.max_tempo:
            raise ValueError(
                "min_tempo and max_tempo must be 0 < min_tempo < max_tempo, "
                f"got {self.min_tempo} and {self.max_tempo}"
            )
        if not 0 < self.beat_share < 1:
            raise ValueError(f"beat_share must be in (0, 1), got {self.beat_share}")
        if min(self.steadiness, self.snap_s) < 0:
            raise ValueError(
                f"steadiness and snap_s must be >= 0, got {self.steadiness} and {self.snap_s}"
            )


def decode_beats(beat_probability: FloatArray, frame_s: float, params: DecodeParams) -> IntArray:
    """Find the likeliest beat frames.

    Args:
        beat_probability: (n_frames,) in (0, 1).
        frame_s: length of a frame in seconds.
        params: settings.

    Returns:
        The frames of the beats, ascending; possibly none in less than one beat's length.

    Reference: Krebs, Böck and Widmer, "An efficient state-space model for joint tempo and meter
        tracking" (ISMIR 2015); here over beats alone, bars are found afterwards.
    """
    low = max(2, round(60 / params.max_tempo / frame_s))
    lengths = np.arange(low, round(60 / params.min_tempo / frame_s) + 1)
    last = np.cumsum(lengths) - 1
    first = last - lengths + 1
    change = -params.steadiness * np.abs(lengths[:, None] / lengths[None, :] - 1)
    change -= np.log(np.exp(change).sum(axis=1, keepdims=True))
    position = np.arange(last[-1] + 1) - np.repeat(first, lengths)
    n_on = np.maximum(np.ceil(lengths * params.beat_share), 1).astype(np.int64)
    p = np.clip(beat_probability, 1e-5, 1 - 1e-5)
    gain = np.log(p) - np.log((1 - p) / (1 / params.beat_share - 1))
    came_from, final = _forward(gain, n_on, lengths, change, position)
    return _backward(came_from, final, first, lengths, position)


def _forward(
    gain: FloatArray, n_on: IntArray, lengths: IntArray, change: FloatArray, position: IntArray
) -> tuple[NDArray[np.int16], int]:
    """Run the max-sum recursion; return each beat start's best predecessor, and the last state.

    A beat collects its gains in its first `n_on` frames, so what it is worth is known where it
    begins; as many frames as the shortest beat has are therefore worked out at once.
    """
    n_tempi, before = len(lengths), int(lengths[-1])
    padded = np.concatenate([np.zeros(before), gain, np.zeros(int(n_on.max()))])
    worth = np.zeros((before + len(gain), n_tempi))  # of a beat that begins there, by its tempo
    _collect(worth[: before + 1], padded, n_on)
    came_from = np.zeros((len(gain), n_tempi), dtype=np.int16)
    columns, into_tempo = np.arange(n_tempi), np.ascontiguousarray(change.T)
    for start in range(1, len(gain), int(lengths[0])):
        stop = min(start + int(lengths[0]), len(gain))
        frames = np.arange(start, stop)[:, None]
        into = worth[before + frames - lengths, columns][:, None, :] + into_tempo
        best = into.argmax(axis=2)
        came_from[start:stop] = best
        worth[before + start : before + stop] = into[frames - start, columns, best]
        _collect(worth[before + start : before + stop], padded[before + start :], n_on)
    at_end = worth[before + len(gain) - 1 - position, np.repeat(columns, lengths)]
    return came_from, int(at_end.argmax())


def _collect(worth: FloatArray, gain: FloatArray, n_on: IntArray) -> None:
    """Add to beats, in place, the gains of their first frames, one frame after the other."""
    for step in range(int(n_on.max())):
        worth += gain[step : step + len(worth), None] * (step < n_on)


def _backward(
    came_from: NDArray[np.int16],
    final: int,
    first: IntArray,
    lengths: IntArray,
    position: IntArray,
) -> IntArray:
    """Walk back from the last state; a beat is where a state of position 0 was entered."""
    tempo = int(np.searchsorted(first, final, side="right")) - 1
    frame = len(came_from) - 1 - int(position[final])
    beats = []
    while frame >= 0:
        beats.append(frame)
        tempo = int(came_from[frame][tempo])
        frame -= int(lengths[tempo])
    return np.asarray(beats[::-1], dtype=np.int64)


def decode_bars(downbeat_probability: FloatArray, params: DecodeParams) -> tuple[int, int]:
    """Find the beats a bar and the first downbeat.

    Args:
        downbeat_probability: (n_beats,) in (0, 1), n_beats >= 1.
        params: settings.

    Returns:
        Beats a bar, 3 or 4, and the index of the first downbeat, 0 to beats a bar − 1.
    """
    p = np.clip(downbeat_probability, 0.02, 0.98)
    on, off = np.log(p), np.log(1 - p)
    fits = {
        (n, phase): on[phase::n].sum()
        + off.sum()
        - off[phase::n].sum()
        + (params.three_four_bonus * len(p) if n == 3 else 0.0)
        for n in (4, 3)
        for phase in range(n)
    }
    return max(fits, key=lambda key: fits[key])
