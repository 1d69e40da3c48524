"""Beats and bars of performed piano music, tracked with confidence, and its notes put on them.

Onset features of frames of 20 ms (`beat_features`) go into a small convolutional network run with
numpy alone (`BeatNet`); its probabilities are decoded to the likeliest beats and bars
(`decode_beats`, `decode_bars`), and the octave of their tempo is chosen (`find_beats`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load, save

from emomusic.music.notes import Notes

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

    The onsets, (n,) with n >= 1, ascend, in seconds.

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
    band = np.searchsorted(PITCH_EDGES, pitch, side="right")
    weights = [
        np.ones(len(onset_s)),
        *((band == k).astype(np.float64) for k in range(len(PITCH_EDGES) + 1)),
        _relative_velocity(near, velocity, n_frames),
        *(_extremeness(near, sign * pitch, n_frames) for sign in (1, -1)),
        *_gaps(onset_s),
    ]
    onsets = [np.log1p(_spread(frame, weight, n_frames)) for weight in weights]
    return start, np.stack([*onsets, *_harmonic_change(near, pitch, n_frames)], axis=1)


def _spread(frame: FloatArray, weight: FloatArray, n_frames: int) -> FloatArray:
    """Share each onset's weight between the two frames around it."""
    low = np.floor(frame).astype(np.int64)
    part = frame - low
    total = np.bincount(low, weight * (1 - part), n_frames)
    return (total + np.bincount(low + 1, weight * part, n_frames)).astype(np.float64)


def _around(values: FloatArray, half: int) -> FloatArray:
    """Sum each frame's surroundings of `half` frames on either side."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    return total[np.minimum(index + half + 1, len(values))] - total[np.maximum(index - half, 0)]


def _relative_velocity(near: IntArray, velocity: IntArray, n_frames: int) -> FloatArray:
    """Divide velocities by their mean within four seconds; 0.5 to 2 becomes 0 to 1.5."""
    half = round(4.0 / FRAME_S)
    total, count = (
        _around(np.bincount(near, weight, n_frames).astype(np.float64), half)
        for weight in (velocity, np.ones(len(near)))
    )
    mean = total[near] / count[near]
    return np.clip(velocity / np.maximum(mean, 1.0), 0.5, 2.0) - 0.5


def _extremeness(near: IntArray, height: IntArray, n_frames: int) -> FloatArray:
    """Return 1 for the lowest note within 1.5 seconds, less the further above it."""
    half = round(1.5 / FRAME_S)
    lowest = np.full(n_frames + 2 * half, np.inf)
    np.minimum.at(lowest, near + half, height.astype(np.float64))
    floor = np.lib.stride_tricks.sliding_window_view(lowest, 2 * half + 1).min(axis=1)
    return np.exp((floor[near] - height) / 4.0)


def _gaps(onset_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the gaps to the next and from the last chord, on each chord's first note."""
    first = np.concatenate([[True], np.diff(onset_s) > GROUP_S])
    gap = np.minimum(np.diff(onset_s[first]), MAX_GAP_S)
    after, before = np.zeros(len(onset_s)), np.zeros(len(onset_s))
    after[first] = np.concatenate([gap, [MAX_GAP_S]])
    before[first] = np.concatenate([[MAX_GAP_S], gap])
    return after, before


def _harmonic_change(near: IntArray, pitch: IntArray, n_frames: int) -> Iterator[FloatArray]:
    """Yield 1 − cosine of the pitch classes before and after each frame, for four windows."""
    chroma = np.zeros((n_frames + 1, 12))
    np.add.at(chroma, (near + 1, pitch % 12), 1.0)
    total = np.cumsum(chroma, axis=0)
    here = np.maximum(np.arange(n_frames) - 2, 0)  # a chord spread over 40 ms belongs to "after"
    for window_s in (0.5, 1.0, 2.0, 4.0):
        width = round(window_s / FRAME_S)
        before = total[here] - total[np.maximum(here - width, 0)]
        after = total[np.minimum(here + width, n_frames)] - total[here]
        norm = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        yield 1.0 - (before * after).sum(axis=1) / np.maximum(norm, 1e-9)


NET_NAME = "beat_net.safetensors"
KERNEL = 5
"""Taps of each dilated convolution."""


@dataclass(frozen=True)
class BeatNet:
    """A fitted network, from onset features to beat and downbeat probabilities.

    Two neighbouring frames are stacked; an input layer of three taps and a stack of residual
    blocks follow, each a convolution of `KERNEL` taps at dilation 2^block, an ELU, and a linear
    layer of that and of its mean over the piece. The last layer gives two log-odds for each of the
    two frames. Two logistic regressions judge the beats that were found.

    Reference: Böck and Davies, "Deconstruct, Analyse, Reconstruct" (ISMIR 2020), whose network
        reads spectrograms, is larger and also estimates the tempo.
    """

    weights: dict[str, FloatArray]

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Return the probability of a beat and of a downbeat in each frame, (n_frames, 2).

        The features are (n_frames, n_features) as `beat_features` makes them, n_frames even.
        """
        w = self.weights
        x = _elu(_conv(features.reshape(len(features) // 2, -1), w["inlet.weight"], 1))
        for block in range(sum(name.endswith(".mix.weight") for name in w)):
            name = f"blocks.{block}"
            y = _elu(_conv(x, w[f"{name}.conv.weight"], 2**block) + w[f"{name}.conv.bias"])
            x = x + y @ w[f"{name}.mix.weight"] + y.mean(axis=0) @ w[f"{name}.pool.weight"]
        logits = x @ w["outlet.weight"] + w["outlet.bias"]
        return 1.0 / (1.0 + np.exp(-logits.reshape(-1, 2)))

    def octave(self, traits: FloatArray) -> FloatArray:
        """Return how likely the true tempo is the one found, its double, its half, (3,)."""
        odds = np.exp(traits @ self.weights["octave.weight"] + self.weights["octave.bias"])
        return odds / odds.sum()

    def trust(self, traits: FloatArray) -> float:
        """Return the probability that an F-measure of 0.8 is reached, from `trust_traits`."""
        odds = traits @ self.weights["trust.weight"] + self.weights["trust.bias"]
        return float(1.0 / (1.0 + np.exp(-odds[0])))

    def to_bytes(self) -> bytes:
        """Write the weights as safetensors, in half precision."""
        return save({n: np.ascontiguousarray(w, dtype="<f2") for n, w in self.weights.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> BeatNet:
        """Read what `to_bytes` wrote."""
        return cls({name: weight.astype(np.float64) for name, weight in load(data).items()})


@cache
def default_net() -> BeatNet:
    """Load the network that ships with the package, fitted by `scripts/fit_beats.py`."""
    return BeatNet.from_bytes(resources.files(__package__).joinpath(NET_NAME).read_bytes())


def _conv(x: FloatArray, weight: FloatArray, dilation: int) -> FloatArray:
    """Convolve (n, c) with taps (k, c, d) centred on each row, zeros outside."""
    reach = dilation * (len(weight) // 2)
    padded = np.pad(x, ((reach, reach), (0, 0)))
    result = np.zeros((len(x), weight.shape[2]))
    for k, tap in enumerate(weight):
        result += padded[k * dilation : k * dilation + len(x)] @ tap
    return result


def _elu(x: FloatArray) -> FloatArray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


MIN_TEMPO, MAX_TEMPO = 50.0, 220.0
"""Quarter notes a minute that are considered: those of the beats of Pop1K7."""
STEADINESS = 80.0
"""Cost, in nats, of changing the beat's length by 100 % from beat to beat; chosen, as the three
that follow, on the songs used for fitting."""
BEAT_SHARE = 1 / 12
"""Share of a beat's length in which its onset is expected."""
THREE_FOUR_BONUS = 0.07
"""Nats a beat in favour of three beats a bar, which the network has seen less of: fewer than 0.5 %
of the fitted four-four songs are taken for three."""
SNAP_S = 0.05
"""A beat moves to the onsets within so many seconds."""


def decode_beats(
    beat_probability: FloatArray, *, min_tempo: float = MIN_TEMPO, max_tempo: float = MAX_TEMPO
) -> IntArray:
    """Find the likeliest beat frames, ascending; possibly none in less than one beat's length.

    The probabilities are (n_frames,), in (0, 1); tempi are quarter notes a minute.

    Reference: Krebs, Böck and Widmer, "An efficient state-space model for joint tempo and meter
        tracking" (ISMIR 2015); here over beats alone, bars are found afterwards.
    """
    low = max(2, round(60 / max_tempo / FRAME_S))
    lengths = np.arange(low, round(60 / min_tempo / FRAME_S) + 1)
    change = -STEADINESS * np.abs(lengths[:, None] / lengths[None, :] - 1)
    change -= np.log(np.exp(change).sum(axis=1, keepdims=True))
    p = np.clip(beat_probability, 1e-5, 1 - 1e-5)
    gain = np.log(p) - np.log((1 - p) / (1 / BEAT_SHARE - 1))
    came_from, worth = _forward(gain, lengths, change)
    # The last state: the best tempo, and how long ago its last beat began.
    position = np.concatenate([np.arange(length) for length in lengths])
    tempo_of = np.repeat(np.arange(len(lengths)), lengths)
    final = int(worth[len(worth) - 1 - position, tempo_of].argmax())
    tempo, frame, beats = int(tempo_of[final]), len(gain) - 1 - int(position[final]), []
    while frame >= 0:
        beats.append(frame)
        tempo = int(came_from[frame][tempo])
        frame -= int(lengths[tempo])
    return np.asarray(beats[::-1], dtype=np.int64)


def _forward(
    gain: FloatArray, lengths: IntArray, change: FloatArray
) -> tuple[NDArray[np.int16], FloatArray]:
    """Run the max-sum recursion over the lengths that a beat may have, in frames.

    What a beat is worth is known where it begins, as it collects its gains in its first frames;
    so as many frames as the shortest beat has are worked out at once.

    Returns:
        Each beat start's best predecessor, (n_frames, n_tempi), and what a beat is worth that
        begins there, with as many frames before the music as the longest beat has.
    """
    n_tempi, before = len(lengths), int(lengths[-1])
    n_on = np.maximum(np.ceil(lengths * BEAT_SHARE), 1).astype(np.int64)
    padded = np.concatenate([np.zeros(before), gain, np.zeros(int(n_on.max()))])
    worth = np.zeros((before + len(gain), n_tempi))

    def collect(first: int, stop: int) -> None:
        for step in range(int(n_on.max())):  # one frame after the other
            worth[first:stop] += padded[first + step : stop + step, None] * (step < n_on)

    collect(0, before + 1)
    came_from = np.zeros((len(gain), n_tempi), dtype=np.int16)
    columns, into_tempo = np.arange(n_tempi), np.ascontiguousarray(change.T)
    for start in range(1, len(gain), int(lengths[0])):
        stop = min(start + int(lengths[0]), len(gain))
        frames = np.arange(start, stop)[:, None]
        into = worth[before + frames - lengths, columns][:, None, :] + into_tempo
        best = into.argmax(axis=2)
        came_from[start:stop] = best
        worth[before + start : before + stop] = into[frames - start, columns, best]
        collect(before + start, before + stop)
    return came_from, worth


def decode_bars(downbeat_probability: FloatArray) -> tuple[int, int]:
    """Find the beats a bar, 3 or 4, and the index of the first downbeat, 0 to beats a bar − 1.

    The probabilities are (n_beats,), in (0, 1), n_beats >= 1.
    """
    p = np.clip(downbeat_probability, 0.02, 0.98)
    on, off = np.log(p), np.log(1 - p)
    bonus = {4: 0.0, 3: THREE_FOUR_BONUS * len(p)}
    fits = {
        (n, phase): on[phase::n].sum() + off.sum() - off[phase::n].sum() + bonus[n]
        for n in (4, 3)
        for phase in range(n)
    }
    return max(fits, key=lambda key: fits[key])


OCTAVES = (1.0, 2.0, 0.5)
"""True tempo over the tempo found, in the order of `BeatNet.octave`."""

RANGE = 1.4
"""Once the octave is chosen, beats may be this factor shorter or longer; just under √2."""


@dataclass(frozen=True, eq=False)
class FoundBeats:
    """Beats as frames (n,), the index of the first downbeat, beats a bar, and `trust_traits`."""

    frames: IntArray
    phase: int
    beats_per_bar: int
    traits: FloatArray


def find_beats(features: FloatArray, onset_frames: FloatArray, net: BeatNet) -> FoundBeats:
    """Find the beats, the octave of their tempo, and the bars; music may be too short for two.

    The features are those of `beat_features`; the onsets ascend, in frames.
    """
    probability = net.probabilities(features)
    frames = decode_beats(probability[:, 0])
    if len(frames) < 2:
        return FoundBeats(frames, 0, 4, np.zeros(3))
    octave = net.octave(octave_traits(probability, frames, onset_frames))
    factor = OCTAVES[int(octave.argmax())]
    tempo = factor * _tempo(frames, FRAME_S)
    if factor != 1.0 and MIN_TEMPO <= tempo <= MAX_TEMPO:
        moved = decode_beats(probability[:, 0], min_tempo=tempo / RANGE, max_tempo=tempo * RANGE)
        frames = moved if len(moved) >= 2 else frames
    beat, downbeat = near(probability, frames).T
    beats_per_bar, phase = decode_bars(downbeat / np.maximum(beat, 0.1))
    return FoundBeats(frames, phase, beats_per_bar, trust_traits(probability, frames, octave))


def _tempo(beats: FloatArray | IntArray, unit_s: float = 1.0) -> float:
    """Return the median tempo of beats, given by their unit, in quarter notes a minute."""
    return 60.0 / unit_s / float(np.median(np.diff(beats)))


def octave_traits(
    probability: FloatArray, frames: IntArray, onset_frames: FloatArray
) -> FloatArray:
    """Describe beats for the decision between their tempo, its double and its half, (6,).

    What tells the true tempo from the others; a backward selection left it of 22 traits. The
    probabilities are (n_frames, 2), of beats and downbeats; there are at least two beats; the
    onsets ascend, in frames.

    Returns:
        log2 of the tempo, against 110 a minute; even against odd beats, and the second-best phase
        of the bar, both mean log-odds; notes a beat; the shares of the middles and of the quarters
        between beats that have an onset within 50 ms.
    """
    beat, down = log_odds(near(probability, frames)).T
    parity = beat[::2].mean() - beat[1::2].mean()
    phases = sorted(float(down[k::4].mean()) for k in range(min(4, len(down))))
    middle, quarter = (frames[:-1] + frames[1:]) / 2, (3 * frames[:-1] + frames[1:]) / 4
    places = _share_with_onset(middle, onset_frames), _share_with_onset(quarter, onset_frames)
    pulse = np.log2(_tempo(frames, FRAME_S) / 110.0)
    return np.array([pulse, abs(parity), phases[-2], len(onset_frames) / len(frames), *places])


def trust_traits(probability: FloatArray, frames: IntArray, octave: FloatArray) -> FloatArray:
    """Describe how plain beats are: their log-odds, the octave's log-odds, their unsteadiness."""
    plain = log_odds(near(probability, frames)[:, 0]).mean()
    steps = np.diff(np.log(np.diff(frames)))
    unsteady = float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0
    return np.array([plain, float(log_odds(octave.max())), unsteady])


def near(probability: FloatArray, frames: IntArray) -> FloatArray:
    """Return the highest probabilities within one frame of each given frame."""
    around = np.clip(frames[:, None] + np.arange(-1, 2), 0, len(probability) - 1)
    return probability[around].max(axis=1)


def log_odds(probability: FloatArray) -> FloatArray:
    """Return log p / (1 − p), p kept within 0.0001 and 0.9999."""
    p = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))


def _share_with_onset(frames: FloatArray, onset_frames: FloatArray) -> float:
    reach = 0.05 / FRAME_S
    low = np.searchsorted(onset_frames, frames - reach, side="left")
    high = np.searchsorted(onset_frames, frames + reach, side="right")
    return float(np.mean(high > low))


EMPTY_TEMPO = 120.0
"""Tempo of a grid over fewer than two distinct onsets: the default of standard MIDI files."""
EARLY_BEATS = 0.125
"""A first onset this little before a downbeat (half a sixteenth) is meant to be on it."""


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
        return np.arange(len(self.beats_s)) % self.beats_per_bar == 0

    @property
    def tempo(self) -> float:
        """Return the median tempo in quarter notes a minute."""
        return _tempo(self.beats_s)


def track_beats(notes: Notes) -> BeatGrid:
    """Find the beats and bars of performed piano notes, of which seconds count; to the last's end.

    Fewer than two distinct onsets give a grid of 120 quarter notes a minute from the first onset
    (from zero without notes), with confidence 0.

    Reference: Böck, Krebs and Widmer, "Joint beat and downbeat tracking with recurrent neural
        networks" (ISMIR 2016). Ours reads notes instead of sound, and finds bars after beats.
    """
    onset = notes.onset_s
    end_s = float((onset + notes.duration_s).max(initial=0.0))
    first_s = float(onset[0]) if len(onset) else 0.0
    if len(onset) and onset[-1] - onset[0] >= GROUP_S:
        start, features = beat_features(onset, notes.pitch, notes.velocity)
        net = default_net()
        found = find_beats(features, (onset - start) / FRAME_S, net)
        if len(found.frames) >= 2:
            beats = _snap(start + FRAME_S * found.frames.astype(np.float64), onset)
            beats = _cover(beats, found.phase, found.beats_per_bar, first_s, end_s)
            return BeatGrid(beats, found.beats_per_bar, net.trust(found.traits))
    beats = first_s + np.array([0.0, 60.0 / EMPTY_TEMPO])
    return BeatGrid(_cover(beats, 0, 4, first_s, end_s), 4, 0.0)


def to_beats(times_s: ArrayLike, grid: BeatGrid) -> FloatArray:
    """Convert seconds to beats.

    Beats are quarter notes, 0 on the first downbeat, so that no onset that the grid was tracked
    from is negative. Between beats time is linear; outside the grid the mean tempo of the nearest
    four beats goes on.
    """
    times = np.asarray(times_s, dtype=np.float64)
    beats = grid.beats_s
    n = min(4, len(beats) - 1)
    before = (times - beats[0]) * n / (beats[n] - beats[0])
    after = len(beats) - 1 + (times - beats[-1]) * n / (beats[-1] - beats[-1 - n])
    inside = np.interp(times, beats, np.arange(len(beats), dtype=np.float64))
    outside = np.where(times < beats[0], before, after)
    return np.where((times < beats[0]) | (times > beats[-1]), outside, inside)


def _snap(beats: FloatArray, onset: FloatArray) -> FloatArray:
    """Move each beat to the mean of the onsets within `SNAP_S`, weighted by nearness."""
    nearest = np.searchsorted((beats[1:] + beats[:-1]) / 2, onset)
    distance = onset - beats[nearest]
    weight = np.maximum(SNAP_S - np.abs(distance), 0.0)
    total = np.bincount(nearest, weight, len(beats))
    shift = np.bincount(nearest, weight * distance, len(beats)) / np.where(total > 0, total, 1.0)
    return beats + shift


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
