"""Features of pitch: register, key, harmony, the outer voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.verify.features.analysis import CHORDS, WINDOW_S, Analysis
from emomusic.verify.features.registry import quantiles, register, share_of

HURON = (0.0, 1.428, 0.582, -0.594, -0.386, -1.240, 0.453)
"""Dissonance of interval classes 0 to 6: Huron (1994), Interval-class content, with the sign
turned."""
_PARTNERS = (np.arange(7)[:, None] + np.arange(12)) % 12
"""The pitch class that lies each interval class, 0 to 6, above each of the twelve."""


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
        float(a.notes.pitch.mean()),
        low,
        high,
        float(a.top.mean()),
        float(a.bottom.mean()),
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
        float(a.notes.pitch.std()),
        high - low,
        float((a.top - a.bottom).mean()),
        float(np.log2(len(np.unique(a.notes.pitch)))),
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
    positive = a.profile[a.profile > 0]
    return [
        float(a.major.max() - a.minor.max()),
        float(a.major[0] - relative[0]),
        float(a.major[tonic] - a.minor[tonic]),
        float(signature[0]),
        float(signature[0] - signature[1:].max()),
        float(-(positive * np.log2(positive)).sum()),
        float(a.profile[[1, 3, 6, 8, 10]].sum()),
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
    used = roots[roots > 0]
    return [
        *qualities,
        float(a.chord_fit.mean()),
        share_of(change),
        float(roots[0]),
        float(roots[9]),
        float(-(used * np.log2(used)).sum()),
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


def _steps(line: IntColumn) -> IntColumn:
    """Take the steps of a line in semitones; a single 0 for a line of one note."""
    return np.diff(line) if len(line) > 1 else np.zeros(1, dtype=np.int64)


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
    moves = _steps(line)
    size, moving = np.abs(moves), moves[moves != 0]
    return [
        float(size.mean()),
        share_of(size == 0),
        share_of((size == 1) | (size == 2)),
        share_of(size > 7),
        share_of(moving > 0),
        share_of(np.sign(moving[1:]) != np.sign(moving[:-1])),
        float(line.std()),
        float(np.log2(1.0 + len(line) / max(a.span_s, WINDOW_S))),
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
    moves = _steps(line)
    size = np.abs(moves)
    moving = size[size > 0]
    return [
        float(size.mean()),
        share_of(size == 0),
        share_of((size == 1) | (size == 2)),
        share_of((moving % 12 == 5) | (moving % 12 == 7)),
        float(np.log2(1.0 + len(line) / max(a.span_s, WINDOW_S))),
    ]
