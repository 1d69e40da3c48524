"""The named features that the verifier judges by: seconds and key-relative pitch only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.features.analysis import (
    CHORDS,
    WINDOW_S,
    Analysis,
    analyse,
    entropy,
    quantiles,
    share_of,
)

FLAT_SPREAD = 1.0
"""A clip whose velocities deviate by less than this has no dynamics."""
SHORTEST_S = 0.02
"""Times below this count as this: a transcription's shortest notes are not shorter to the ear."""
PULSE_STEP_S = 0.02
PULSE_LAGS_S = (0.2, 1.5)
"""Periods searched for a pulse: 300 to 40 a minute, where people tap (Parncutt 1994)."""
MAX_PULSE_S = 600.0
"""A pulse is looked for in the first ten minutes, so that memory stays bounded."""
HURON = (0.0, 1.428, 0.582, -0.594, -0.386, -1.240, 0.453)
"""Dissonance of interval classes 0 to 6: Huron (1994), Interval-class content, with the sign
turned."""
_PARTNERS = (np.arange(7)[:, None] + np.arange(12)) % 12
"""The pitch class that lies each interval class, 0 to 6, above each of the twelve."""


@dataclass(frozen=True)
class Feature:
    """One named number of a clip.

    Attributes:
        name: Unique.
        unit: What one unit of it is.
        family: The musical aspect it belongs to, such as "tonality".
        source: Who found that emotion shows there.
    """

    name: str
    unit: str
    family: str
    source: str


Block = Callable[[Analysis], Sequence[float] | FloatColumn]
FEATURES: list[Feature] = []
BLOCKS: list[Block] = []


def register(family: str, source: str, **units: str) -> Callable[[Block], Block]:
    """Register a function that returns one value for each named unit, in their order.

    Args:
        family: The musical aspect that the features belong to.
        source: Who found that emotion shows there.
        units: Unit of each feature by its name.
    """

    def add(block: Block) -> Block:
        FEATURES.extend(Feature(name, unit, family, source) for name, unit in units.items())
        BLOCKS.append(block)
        return block

    return add


@register(
    "register",
    "pitch height: Ilie and Thompson (2006)",
    pitch_mean="MIDI pitch",
    pitch_low="MIDI pitch, 5th percentile",
    pitch_high="MIDI pitch, 95th percentile",
    top_mean="MIDI pitch of the highest notes",
    bottom_mean="MIDI pitch of the lowest notes",
    low_share="share of notes below C3 (48)",
    high_share="share of notes from C5 (72)",
)
def _register(a: Analysis) -> Sequence[float]:
    low, high = quantiles(a.notes.pitch, 0.05, 0.95)
    return [
        a.notes.pitch.mean(),
        low,
        high,
        a.top.mean(),
        a.bottom.mean(),
        share_of(a.notes.pitch < 48),
        share_of(a.notes.pitch >= 72),
    ]


@register(
    "range",
    "pitch range: Ilie and Thompson (2006), Gabrielsson and Lindström (2010)",
    pitch_spread="standard deviation, semitones",
    pitch_range="5th to 95th percentile, semitones",
    hand_distance="lowest to highest note of an onset, mean semitones",
    pitches_used="log2 of the different pitches",
)
def _range(a: Analysis) -> Sequence[float]:
    low, high = quantiles(a.notes.pitch, 0.05, 0.95)
    return [
        a.notes.pitch.std(),
        high - low,
        (a.top - a.bottom).mean(),
        np.log2(len(np.unique(a.notes.pitch))),
    ]


@register(
    "tonality",
    "mode and key: Hevner (1936), Krumhansl (1990)",
    mode_margin="best major less best minor key correlation",
    mode_relative="major less minor key correlation of the shared signature",
    mode_parallel="major less minor key correlation of the best tonic",
    key_clarity="best key correlation",
    key_lead="best key correlation less that of the best other signature",
    pitch_class_entropy="bits",
    chromatic_share="weight of pitch classes outside the signature",
)
def _tonality(a: Analysis) -> Sequence[float]:
    relative = np.roll(a.minor, 3)
    signature = np.maximum(a.major, relative)
    tonic = int(np.argmax(np.maximum(a.major, a.minor)))
    return [
        a.major.max() - a.minor.max(),
        a.major[0] - relative[0],
        a.major[tonic] - a.minor[tonic],
        signature[0],
        signature[0] - signature[1:].max(),
        entropy(a.profile),
        a.profile[[1, 3, 6, 8, 10]].sum(),
    ]


@register(
    "tonality",
    "key-relative pitch classes: Krumhansl (1990)",
    **{f"degree_{k}": f"weight of the tone {k} semitones above the major tonic" for k in range(12)},
)
def _degrees(a: Analysis) -> FloatColumn:
    return a.profile


@register(
    "harmony",
    "chord quality: Lahdelma and Eerola (2016)",
    **{f"chord_{name}": "share of one-second windows" for name in CHORDS},
    chord_clarity="mean cosine of a window with its chord",
    chord_change="share of windows whose chord differs from the one before",
    chord_tonic="share of windows on the major tonic",
    chord_relative="share of windows on the minor tonic of the signature",
    chord_kinds="bits of entropy of roots",
)
def _harmony(a: Analysis) -> Sequence[float]:
    qualities = np.bincount(a.chord, minlength=len(CHORDS)) / len(a.chord)
    roots = np.bincount(a.root, minlength=12) / len(a.root)
    change = (np.diff(a.root) != 0) | (np.diff(a.chord) != 0)
    return [
        *qualities,
        a.chord_fit.mean(),
        share_of(change),
        roots[0],
        roots[9],
        entropy(roots),
    ]


@register(
    "harmony",
    "dissonance: Huron (1994)",
    **{f"interval_{k}": f"share of sounding interval class {k}" for k in range(1, 7)},
    dissonance="Huron's dissonance of the mean sounding interval",
    tones_sounding="mean different pitch classes at an onset",
)
def _intervals(a: Analysis) -> Sequence[float]:
    heard = (a.sounding > 0).astype(np.float64)
    pairs = heard.T @ heard
    classes = pairs[np.arange(12), _PARTNERS].sum(axis=1)
    classes[6] /= 2.0
    shares = classes[1:] / max(float(classes[1:].sum()), 1.0)
    return [*shares, float(shares @ HURON[1:]), float(heard.sum(axis=1).mean())]


def _motion(a: Analysis, line: IntColumn) -> tuple[IntColumn, list[float], float]:
    """Take the moves of a line, a single 0 for one note, and what melody and bass share of them."""
    moves = np.diff(line) if len(line) > 1 else np.zeros(1, dtype=np.int64)
    size = np.abs(moves)
    shares = [size.mean(), share_of(size == 0), share_of((size == 1) | (size == 2))]
    return moves, shares, np.log2(1.0 + len(line) / max(a.span_s, WINDOW_S))


@register(
    "melody",
    "contour and leaps: Gabrielsson and Lindström (2010)",
    melody_move="mean absolute semitones",
    melody_repeat="share of repeated notes",
    melody_step="share of moves of one or two semitones",
    melody_leap="share of moves of more than seven semitones",
    melody_rise="share of moves that rise, of those that move",
    melody_turn="share of moves that turn back",
    melody_spread="standard deviation of pitch, semitones",
    melody_rate="log2(1 + melody notes a second)",
)
def _melody(a: Analysis) -> Sequence[float]:
    line = a.top[a.top >= quantiles(a.notes.pitch, 0.5)[0]]
    moves, shares, rate = _motion(a, line)
    moving = moves[moves != 0]
    return [
        *shares,
        share_of(np.abs(moves) > 7),
        share_of(moving > 0),
        share_of(np.sign(moving[1:]) != np.sign(moving[:-1])),
        line.std(),
        rate,
    ]


@register(
    "bass",
    "bass motion: Gabrielsson and Lindström (2010)",
    bass_move="mean absolute semitones",
    bass_repeat="share of repeated notes",
    bass_step="share of moves of one or two semitones",
    bass_fifth="share of moves of a fourth or fifth, of those that move",
    bass_rate="log2(1 + bass notes a second)",
)
def _bass(a: Analysis) -> Sequence[float]:
    line = a.bottom[a.bottom <= quantiles(a.notes.pitch, 0.25)[0]]
    moves, shares, rate = _motion(a, line)
    moving = np.abs(moves[moves != 0]) % 12
    return [*shares, share_of((moving == 5) | (moving == 7)), rate]


def _log2_s(seconds: FloatColumn) -> FloatColumn:
    """Take log2 of seconds, limited to 20 ms to 16 s."""
    return np.log2(np.clip(seconds, SHORTEST_S, 16.0))


@register(
    "density",
    "tempo and density: Gabrielsson and Lindström (2010), Eerola et al. (2013)",
    note_rate="log2 notes a second",
    onset_rate="log2 onsets a second",
    chord_size="notes an onset",
    chord_share="share of onsets of three notes or more",
    rate_spread="standard deviation of log2(1 + onsets) in a second",
    busiest="log2(1 + onsets) in a second, 90th percentile",
    calmest="log2(1 + onsets) in a second, 10th percentile",
)
def _density(a: Analysis) -> Sequence[float]:
    span_s = max(a.span_s, WINDOW_S)
    windows = ((a.start_s - a.start_s[0]) // WINDOW_S).astype(np.int64)
    counts = np.log2(1.0 + np.unique(windows, return_counts=True)[1])
    low, high = quantiles(counts, 0.1, 0.9)
    return [
        np.log2(len(a.notes) / span_s),
        np.log2(len(a.start_s) / span_s),
        a.size.mean(),
        share_of(a.size >= 3),
        counts.std(),
        high,
        low,
    ]


@register(
    "rhythm",
    "regularity and pulse: Gabrielsson and Lindström (2010)",
    gap_short="log2 seconds between onsets, 10th percentile",
    gap_median="log2 seconds between onsets, median",
    gap_long="log2 seconds between onsets, 90th percentile",
    gap_spread="standard deviation of log2 seconds between onsets",
    gap_change="mean absolute change of log2 seconds between onsets",
    gap_even="share of onset gaps within a fifth of the one before",
    gap_fast="share of onset gaps below 0.15 s",
    gap_slow="share of onset gaps above 0.5 s",
)
def _rhythm(a: Analysis) -> Sequence[float]:
    logs = _log2_s(a.gaps_s)
    change = np.abs(np.diff(logs)) if len(logs) > 1 else np.zeros(1)
    short, median, long = quantiles(logs, 0.1, 0.5, 0.9)
    return [
        short,
        median,
        long,
        logs.std(),
        change.mean(),
        share_of(change < np.log2(1.2)),
        share_of(a.gaps_s < 0.15),
        share_of(a.gaps_s > 0.5),
    ]


@register(
    "rhythm",
    "regularity and pulse: Gabrielsson and Lindström (2010)",
    pulse_clarity="autocorrelation of onsets at its best period",
    pulse_period="log2 seconds of that period",
)
def _pulse(a: Analysis) -> Sequence[float]:
    steps = np.round((a.start_s - a.start_s[0]) / PULSE_STEP_S)
    steps = steps[steps <= MAX_PULSE_S / PULSE_STEP_S].astype(np.int64)
    train = np.convolve(np.bincount(steps).astype(np.float64), (0.5, 1.0, 0.5))
    first, last = (round(lag / PULSE_STEP_S) for lag in PULSE_LAGS_S)
    size = 1 << int(len(train) + last).bit_length()
    power = np.abs(np.fft.rfft(train - train.mean(), size)) ** 2
    correlation = np.fft.irfft(power, size)[: last + 1]
    best = first + int(np.argmax(correlation[first:]))
    clarity = correlation[best] / max(float(correlation[0]), 1e-9)
    return [float(np.clip(clarity, 0.0, 1.0)), float(np.log2(best * PULSE_STEP_S))]


@register(
    "articulation",
    "staccato against legato: Juslin (1997), Eerola et al. (2013)",
    duration_median="log2 seconds, median",
    duration_spread="standard deviation of log2 seconds",
    duration_brief="share of notes below 0.2 s",
    duration_held="share of notes above 1 s",
    legato="share of onsets that still sound at the next",
    articulation="log2 of an onset's longest note against the gap to the next, median",
    silence="share of the time in which nothing sounds",
    polyphony="mean sounding notes while any sounds",
)
def _articulation(a: Analysis) -> Sequence[float]:
    logs = _log2_s(a.notes.duration_s)
    longest = np.maximum.reduceat(a.notes.duration_s, a.first)
    ratio = _log2_s(longest[: len(a.gaps_s)]) - _log2_s(a.gaps_s)
    ends = np.maximum.accumulate(a.notes.onset_s + a.notes.duration_s)
    silent_s = float(np.maximum(a.notes.onset_s[1:] - ends[:-1], 0.0).sum())
    sounding_s = max(a.span_s - silent_s, SHORTEST_S)
    return [
        quantiles(logs, 0.5)[0],
        logs.std(),
        share_of(a.notes.duration_s < 0.2),
        share_of(a.notes.duration_s > 1.0),
        share_of(ratio > 0.0),
        quantiles(ratio, 0.5)[0],
        silent_s / max(a.span_s, SHORTEST_S),
        float(a.notes.duration_s.sum()) / sounding_s,
    ]


@register(
    "dynamics",
    "loudness and its variation: Ilie and Thompson (2006)",
    velocity_level="median velocity",
    velocity_spread="standard deviation of velocity",
    velocity_change="mean absolute change of an onset's greatest velocity",
    velocity_top="velocity of highest above that of lowest notes of onsets, mean",
)
def _dynamics(a: Analysis) -> Sequence[float]:
    loudest = np.maximum.reduceat(a.notes.velocity, a.first).astype(np.float64)
    centre = quantiles(a.notes.pitch, 0.5)[0]
    upper = a.notes.pitch >= centre
    above, below = a.notes.velocity[upper], a.notes.velocity[~upper]
    return [
        quantiles(a.notes.velocity, 0.5)[0],
        a.notes.velocity.std(),
        float(np.abs(np.diff(loudest)).mean()) if len(loudest) > 1 else 0.0,
        float(above.mean() - below.mean()) if len(above) and len(below) else 0.0,
    ]


FEATURE_NAMES = tuple(feature.name for feature in FEATURES)


def measure_features(notes: Notes) -> FloatColumn:
    """Measure the features of a clip, in the order of FEATURE_NAMES.

    A transposed clip gives the same values, except in the family "register".

    Args:
        notes: At least one note.

    Returns:
        Finite numbers, shape (n_features,).

    Raises:
        ValueError: If there are no notes.
    """
    return features_in(analyse(notes))


def features_in(analysis: Analysis) -> FloatColumn:
    """Measure the features of a clip that is analysed already, in the order of FEATURE_NAMES."""
    return np.concatenate([np.asarray(block(analysis), dtype=np.float64) for block in BLOCKS])


def feature_matrix(clips: Sequence[Notes]) -> NDArray[np.float64]:
    """Measure the features of many clips, shape (n_clips, n_features).

    Raises:
        ValueError: If a clip holds no notes.
    """
    return np.array([measure_features(notes) for notes in clips]).reshape(len(clips), len(FEATURES))
