"""Features of time and touch: density, rhythm, articulation, dynamics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.music.notes import FloatColumn
from emomusic.verify.features.analysis import WINDOW_S, Analysis
from emomusic.verify.features.registry import quantiles, register, share_of

SHORTEST_S = 0.02
"""Times below this count as this: a transcription's shortest notes are not shorter to the ear."""
PULSE_STEP_S = 0.02
PULSE_LAGS_S = (0.2, 1.5)
"""Periods searched for a pulse: 300 to 40 a minute, where people tap (Parncutt 1994)."""
MAX_PULSE_S = 600.0
"""A pulse is looked for in the first ten minutes, so that memory stays bounded."""


def _log2_s(seconds: FloatColumn) -> FloatColumn:
    """Take log2 of seconds, limited to 20 ms to 16 s."""
    return np.log2(np.clip(seconds, SHORTEST_S, 16.0))


def _gaps(a: Analysis) -> FloatColumn:
    """Measure the seconds between onsets; of a single onset, the span of the clip."""
    return np.diff(a.start_s) if len(a.start_s) > 1 else np.array([a.span_s])


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
        float(np.log2(len(a.notes) / span_s)),
        float(np.log2(len(a.start_s) / span_s)),
        float(a.size.mean()),
        share_of(a.size >= 3),
        float(counts.std()),
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
    gaps_s = _gaps(a)
    logs = _log2_s(gaps_s)
    change = np.abs(np.diff(logs)) if len(logs) > 1 else np.zeros(1)
    short, median, long = quantiles(logs, 0.1, 0.5, 0.9)
    return [
        short,
        median,
        long,
        float(logs.std()),
        float(change.mean()),
        share_of(change < np.log2(1.2)),
        share_of(gaps_s < 0.15),
        share_of(gaps_s > 0.5),
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
    firsts = np.searchsorted(a.group, np.arange(len(a.start_s)))
    longest = np.maximum.reduceat(a.notes.duration_s, firsts)
    ratio = _log2_s(longest[: len(_gaps(a))]) - _log2_s(_gaps(a))
    ends = np.maximum.accumulate(a.notes.onset_s + a.notes.duration_s)
    silent_s = float(np.maximum(a.notes.onset_s[1:] - ends[:-1], 0.0).sum())
    sounding_s = max(a.span_s - silent_s, SHORTEST_S)
    return [
        quantiles(logs, 0.5)[0],
        float(logs.std()),
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
    firsts = np.searchsorted(a.group, np.arange(len(a.start_s)))
    loudest = np.maximum.reduceat(a.notes.velocity, firsts).astype(np.float64)
    centre = quantiles(a.notes.pitch, 0.5)[0]
    upper = a.notes.pitch >= centre
    above, below = a.notes.velocity[upper], a.notes.velocity[~upper]
    return [
        quantiles(a.notes.velocity, 0.5)[0],
        float(a.notes.velocity.std()),
        float(np.abs(np.diff(loudest)).mean()) if len(loudest) > 1 else 0.0,
        float(above.mean() - below.mean()) if len(above) and len(below) else 0.0,
    ]
