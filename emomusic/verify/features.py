"""The numbers of a clip that the verifier judges by: named features, and histograms ("patterns").

Both hear seconds and key-relative pitch only, so a transposed clip gives the same values except in
the register, and in loudness by octave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.analysis import (
    CHORDS,
    LONGEST_S,
    WINDOW_S,
    Analysis,
    Matrix,
    Rows,
    analyse,
    entropy,
    quantiles,
    share_of,
)

GROUPS = {"harmony": 1.0, "motion": 1.5, "touch": 1.5, "register": 1.0, "dynamics": 1.0}
"""Feature groups, each a term of the kernels' distance: variance of its features relative to that
of its patterns. Touch and dynamics depend on how the file was made (transcribed from a recording,
or a score without pedal or velocities); the others hardly do."""
FLAT_SPREAD, FLAT_VELOCITY = 1.0, 64
"""A clip whose velocities deviate by less than this has no dynamics, and counts as of this one."""
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


class Feature(NamedTuple):
    """One named number of a clip, what one unit of it is, and its group."""

    name: str
    unit: str
    group: str


class Pattern(NamedTuple):
    """A histogram of a clip: its unique name, its group, its length, and what measures it."""

    name: str
    group: str
    size: int
    measure: Callable[[Analysis], FloatColumn]


Block = Callable[[Analysis], Sequence[float] | FloatColumn]
FEATURES: list[Feature] = []
_BLOCKS: list[Block] = []


def register(group: str, **units: str) -> Callable[[Block], Block]:
    """Register a function that returns one value for each named unit, in their order."""

    def add(block: Block) -> Block:
        FEATURES.extend(Feature(name, unit, group) for name, unit in units.items())
        _BLOCKS.append(block)
        return block

    return add


@register(
    "register",
    pitch_mean="MIDI pitch",
    pitch_low="MIDI pitch, 5th percentile",
    pitch_high="MIDI pitch, 95th percentile",
    top_mean="MIDI pitch of the highest notes",
    bottom_mean="MIDI pitch of the lowest notes",
    low_share="share of notes below C3 (48)",
    high_share="share of notes from C5 (72)",
)
def _register(a: Analysis) -> Sequence[float]:
    """Pitch height: Ilie and Thompson (2006)."""
    pitch = a.notes.pitch
    edges = quantiles(pitch, 0.05, 0.95)
    shares = share_of(pitch < 48), share_of(pitch >= 72)
    return [pitch.mean(), *edges, a.top.mean(), a.bottom.mean(), *shares]


@register(
    "motion",
    pitch_spread="standard deviation, semitones",
    pitch_range="5th to 95th percentile, semitones",
    hand_distance="lowest to highest note of an onset, mean semitones",
    pitches_used="log2 of the different pitches",
)
def _range(a: Analysis) -> Sequence[float]:
    """Pitch range: Ilie and Thompson (2006), Gabrielsson and Lindström (2010)."""
    pitch = a.notes.pitch
    low, high = quantiles(pitch, 0.05, 0.95)
    return [pitch.std(), high - low, (a.top - a.bottom).mean(), np.log2(len(np.unique(pitch)))]


@register(
    "harmony",
    mode_margin="best major less best minor key correlation",
    mode_relative="major less minor key correlation of the shared signature",
    mode_parallel="major less minor key correlation of the best tonic",
    key_clarity="best key correlation",
    key_lead="best key correlation less that of the best other signature",
    pitch_class_entropy="bits",
    chromatic_share="weight of pitch classes outside the signature",
    **{f"degree_{k}": f"weight of the tone {k} semitones above the major tonic" for k in range(12)},
)
def _tonality(a: Analysis) -> Sequence[float]:
    """Mode and key: Hevner (1936); key-relative pitch classes: Krumhansl (1990)."""
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
        *a.profile,
    ]


@register(
    "harmony",
    **{f"chord_{name}": "share of one-second windows" for name in CHORDS},
    chord_clarity="mean cosine of a window with its chord",
    chord_change="share of windows whose chord differs from the one before",
    chord_tonic="share of windows on the major tonic",
    chord_relative="share of windows on the minor tonic of the signature",
    chord_kinds="bits of entropy of roots",
)
def _harmony(a: Analysis) -> Sequence[float]:
    """Chord quality: Lahdelma and Eerola (2016)."""
    qualities = np.bincount(a.chord, minlength=len(CHORDS)) / len(a.chord)
    roots = np.bincount(a.root, minlength=12) / len(a.root)
    change = share_of((np.diff(a.root) != 0) | (np.diff(a.chord) != 0))
    return [*qualities, a.chord_fit.mean(), change, roots[0], roots[9], entropy(roots)]


@register(
    "harmony",
    **{f"interval_{k}": f"share of sounding interval class {k}" for k in range(1, 7)},
    dissonance="Huron's dissonance of the mean sounding interval",
    tones_sounding="mean different pitch classes at an onset",
)
def _intervals(a: Analysis) -> Sequence[float]:
    """Dissonance: Huron (1994)."""
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
    "motion",
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
    """Contour and leaps: Gabrielsson and Lindström (2010)."""
    line = a.top[a.top >= quantiles(a.notes.pitch, 0.5)[0]]
    moves, shares, rate = _motion(a, line)
    moving = moves[moves != 0]
    turn = share_of(np.sign(moving[1:]) != np.sign(moving[:-1]))
    return [*shares, share_of(np.abs(moves) > 7), share_of(moving > 0), turn, line.std(), rate]


@register(
    "motion",
    bass_move="mean absolute semitones",
    bass_repeat="share of repeated notes",
    bass_step="share of moves of one or two semitones",
    bass_fifth="share of moves of a fourth or fifth, of those that move",
    bass_rate="log2(1 + bass notes a second)",
)
def _bass(a: Analysis) -> Sequence[float]:
    """Bass motion: Gabrielsson and Lindström (2010)."""
    line = a.bottom[a.bottom <= quantiles(a.notes.pitch, 0.25)[0]]
    moves, shares, rate = _motion(a, line)
    moving = np.abs(moves[moves != 0]) % 12
    return [*shares, share_of((moving == 5) | (moving == 7)), rate]


@register("motion", note_rate="log2 notes a second", onset_rate="log2 onsets a second")
def _speed(a: Analysis) -> Sequence[float]:
    """Tempo: Gabrielsson and Lindström (2010), Eerola et al. (2013)."""
    span_s = max(a.span_s, WINDOW_S)
    return [np.log2(len(a.notes) / span_s), np.log2(len(a.start_s) / span_s)]


@register(
    "touch", chord_size="notes an onset", chord_share="share of onsets of three notes or more"
)
def _texture(a: Analysis) -> Sequence[float]:
    return [a.size.mean(), share_of(a.size >= 3)]


@register(
    "motion",
    rate_spread="standard deviation of log2(1 + onsets) in a second",
    busiest="log2(1 + onsets) in a second, 90th percentile",
    calmest="log2(1 + onsets) in a second, 10th percentile",
)
def _density(a: Analysis) -> Sequence[float]:
    """Density: Gabrielsson and Lindström (2010), Eerola et al. (2013)."""
    windows = ((a.start_s - a.start_s[0]) // WINDOW_S).astype(np.int64)
    counts = np.log2(1.0 + np.unique(windows, return_counts=True)[1])
    return [counts.std(), *quantiles(counts, 0.9, 0.1)]


def _log2_s(seconds: FloatColumn) -> FloatColumn:
    """Take log2 of seconds, limited to 20 ms to 16 s."""
    return np.log2(np.clip(seconds, SHORTEST_S, 16.0))


@register(
    "motion",
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
    """Regularity: Gabrielsson and Lindström (2010)."""
    logs = _log2_s(a.gaps_s)
    change = np.abs(np.diff(logs)) if len(logs) > 1 else np.zeros(1)
    even, fast, slow = change < np.log2(1.2), a.gaps_s < 0.15, a.gaps_s > 0.5
    shares = map(share_of, (even, fast, slow))
    return [*quantiles(logs, 0.1, 0.5, 0.9), logs.std(), change.mean(), *shares]


@register(
    "touch",
    pulse_clarity="autocorrelation of onsets at its best period",
    pulse_period="log2 seconds of that period",
)
def _pulse(a: Analysis) -> Sequence[float]:
    """Pulse: Gabrielsson and Lindström (2010)."""
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
    "touch",
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
    """Staccato against legato: Juslin (1997), Eerola et al. (2013)."""
    onset_s, duration_s = a.notes.onset_s, a.notes.duration_s
    logs = _log2_s(duration_s)
    longest = np.maximum.reduceat(duration_s, a.first)
    ratio = _log2_s(longest[: len(a.gaps_s)]) - _log2_s(a.gaps_s)
    ends = np.maximum.accumulate(onset_s + duration_s)
    silent_s = float(np.maximum(onset_s[1:] - ends[:-1], 0.0).sum())
    return [
        quantiles(logs, 0.5)[0],
        logs.std(),
        share_of(duration_s < 0.2),
        share_of(duration_s > 1.0),
        share_of(ratio > 0.0),
        quantiles(ratio, 0.5)[0],
        silent_s / max(a.span_s, SHORTEST_S),
        float(duration_s.sum()) / max(a.span_s - silent_s, SHORTEST_S),
    ]


@register(
    "dynamics",
    velocity_level="median velocity",
    velocity_spread="standard deviation of velocity",
    velocity_change="mean absolute change of an onset's greatest velocity",
    velocity_top="velocity of highest above that of lowest notes of onsets, mean",
)
def _dynamics(a: Analysis) -> Sequence[float]:
    """Loudness and its variation: Ilie and Thompson (2006)."""
    velocity = a.notes.velocity
    loudest = np.maximum.reduceat(velocity, a.first).astype(np.float64)
    upper = a.notes.pitch >= quantiles(a.notes.pitch, 0.5)[0]
    above, below = velocity[upper], velocity[~upper]
    change = float(np.abs(np.diff(loudest)).mean()) if len(loudest) > 1 else 0.0
    top = float(above.mean() - below.mean()) if len(above) and len(below) else 0.0
    return [quantiles(velocity, 0.5)[0], velocity.std(), change, top]


FEATURE_NAMES = tuple(feature.name for feature in FEATURES)

# Patterns keep the shape of what features summarise: how often tones, steps, gaps and durations
# follow each other. Each is the square root of shares that sum to 1, so that a distance between
# two clips is Hellinger's.

SHORTEST_LOG2, LONGEST_LOG2 = -5.5, 4.0
"""log2 seconds between which gaps and durations are told apart: 22 ms to 16 s."""
N_TIMES, N_GAPS, N_MOVES, N_SIZES, N_RATES = 20, 8, 27, 8, 11
GAP_EDGES = np.linspace(-4.0, 1.0, N_GAPS - 1)
"""log2 seconds between onsets where one kind of gap ends and the next begins."""
LOWEST, SEMITONES_A_BAND, N_BANDS = 21, 4, 22
OCTAVES, LOUDNESSES = 8, 11
N_CHORDS = len(CHORDS)
_PAIRS = np.triu_indices(12)
_RATE_SHARES = np.linspace(0.0, 1.0, N_RATES).tolist()


def _rooted(counts: FloatColumn | IntColumn) -> FloatColumn:
    """Take the square roots of counts as shares; zeros where there are none."""
    column = counts.astype(np.float64)
    return np.sqrt(column / max(float(column.sum()), 1e-9))


def _together(first: IntColumn, second: IntColumn, n_first: int, n_second: int) -> FloatColumn:
    """Count how often two kinds come together, shape (n_first * n_second,)."""
    return _rooted(np.bincount(first * n_second + second, minlength=n_first * n_second))


def _soft_bins(places: NDArray[Any], size: int) -> tuple[IntColumn, FloatColumn]:
    """Find the bin centre below each place, and the share that the one above it takes.

    A small shift then moves small shares, where hard bins would move whole ones.
    """
    places = np.clip(places.astype(np.float64), 0.0, size - 1.0)
    below = np.minimum(places.astype(np.int64), size - 2)
    return below, places - below


def _spread(places: FloatColumn, size: int) -> FloatColumn:
    """Count values in bins, each shared by the two nearest bin centres."""
    below, part = _soft_bins(places, size)
    counts = np.bincount(below, 1.0 - part, size).astype(np.float64)
    return _rooted(counts + np.bincount(below + 1, part, size))


def _degrees(pitch: IntColumn, a: Analysis) -> IntColumn:
    return (pitch - a.tonic) % 12


def _follow(degrees: IntColumn) -> FloatColumn:
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
    return _spread((log2_s - SHORTEST_LOG2) / width, N_TIMES)


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
    Pattern("top_follow", "harmony", 144, lambda a: _follow(_degrees(a.top, a))),
    Pattern("bottom_follow", "harmony", 144, lambda a: _follow(_degrees(a.bottom, a))),
    Pattern("outer_pairs", "harmony", 144,
            lambda a: _together(_degrees(a.top, a), _degrees(a.bottom, a), 12, 12)),
    Pattern("sounding_pairs", "harmony", 78, _sounding_pairs),
    Pattern("chords", "harmony", 12 * N_CHORDS, lambda a: _together(a.chord, a.root, N_CHORDS, 12)),
    Pattern("roots_follow", "harmony", 144, lambda a: _follow(a.root)),
    Pattern("degrees", "harmony", 12, _degree_weights),
    Pattern("top_moves", "motion", N_MOVES, lambda a: _moves(a.top)),
    Pattern("bottom_moves", "motion", N_MOVES, lambda a: _moves(a.bottom)),
    Pattern("gaps", "motion", N_TIMES, lambda a: _times(_log2_gaps(a))),
    Pattern("gap_pairs", "motion", N_GAPS * N_GAPS, _gap_pairs),
    Pattern("durations", "touch", N_TIMES,
            lambda a: _times(np.log2(np.maximum(a.notes.duration_s, 2.0**SHORTEST_LOG2)))),
    Pattern("onset_sizes", "touch", N_SIZES,
            lambda a: _rooted(np.bincount(np.minimum(a.size, N_SIZES) - 1, minlength=N_SIZES))),
    Pattern("rates", "motion", N_RATES, _rates),
    Pattern("bands", "register", N_BANDS,
            lambda a: _spread((a.notes.pitch - LOWEST) / SEMITONES_A_BAND, N_BANDS)),
    Pattern("loudness", "dynamics", 16, lambda a: _spread(a.notes.velocity / 8.0, 16)),
    Pattern("loudness_by_octave", "dynamics", OCTAVES * LOUDNESSES, _loudness_by_octave),
)  # fmt: skip
"""All patterns, in the order of their columns, behind those of the features."""
N_FEATURES = len(FEATURES)
N_COLUMNS = N_FEATURES + sum(pattern.size for pattern in PATTERNS)


_GROUP_OF = np.array(
    [own.group for own in FEATURES] + [own.group for own in PATTERNS for _ in range(own.size)]
)
COLUMNS: dict[str, tuple[Rows, Rows]] = {
    name: (own[own < N_FEATURES], own[own >= N_FEATURES])
    for name in GROUPS
    for own in [np.flatnonzero(name == _GROUP_OF)]
}
"""The columns of each group's features and of its patterns in a feature row."""


def column_names() -> list[list[str]]:
    """List the columns of a feature row: name and unit of features, name and size of patterns.

    A fitted verifier keeps this list, so that it is never used with other columns.
    """
    features = [[feature.name, feature.unit] for feature in FEATURES]
    return features + [[pattern.name, str(pattern.size)] for pattern in PATTERNS]


def measure_features(notes: Notes) -> FloatColumn:
    """Measure the features of a clip, in the order of FEATURE_NAMES: finite, shape (n_features,).

    Raises:
        ValueError: If there are no notes, or their seconds do not rise or are not finite.
    """
    return _measured(analyse(notes))


def _measured(analysis: Analysis) -> FloatColumn:
    return np.concatenate([np.asarray(block(analysis), dtype=np.float64) for block in _BLOCKS])


def feature_matrix(clips: Sequence[Notes]) -> Matrix:
    """Measure the features of many clips, shape (n_clips, n_features).

    Raises:
        ValueError: If a clip holds no notes.
    """
    return np.array([measure_features(notes) for notes in clips]).reshape(len(clips), N_FEATURES)


def feature_row(notes: Notes) -> FloatColumn:
    """Measure features and patterns of a clip, shape (N_COLUMNS,).

    A flat velocity counts as 64: its level does not tell how loud the music is.

    Raises:
        ValueError: As `measure_features`.
    """
    if len(notes) and notes.velocity.std() < FLAT_SPREAD:
        notes = replace(notes, velocity=np.full_like(notes.velocity, FLAT_VELOCITY))
    analysis = analyse(notes)
    patterns = [pattern.measure(analysis) for pattern in PATTERNS]
    return np.concatenate([_measured(analysis), *patterns])
