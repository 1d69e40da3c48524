"""Features of time and touch: density, rhythm, articulation, dynamics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.music.notes import FloatColumn
from emomusic.verify.features.hearing import WINDOW_S, Hearing
from emomusic.verify.features.registry import quantiles, registered, share_of

SHORTEST_S = 0.02
"""Times below this count as this: a transcription's shortest notes are not shorter to the ear."""
PULSE_STEP_S = 0.02
PULSE_LAGS_S = (0.2, 1.5)
"""Periods searched for a pulse: 300 to 40 a minute, where people tap (Parncutt 1994)."""
MAX_PULSE_S = 600.0
"""A pulse is looked for in the first ten minutes, so that memory stays bounded."""


def _log2_s(seconds: FloatColumn) -> FloatColumn:
    """Return log2 of seconds within hearing: 20 ms to 16 s."""
    logs: FloatColumn = np.log2(np.clip(seconds, SHORTEST_S, 16.0))
    return logs


def _gaps(h: Hearing) -> FloatColumn:
    """Return the seconds between onsets; the span where there is one onset only."""
    return np.diff(h.start_s) if len(h.start_s) > 1 else np.array([h.span_s])


@registered(
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
def _density(h: Hearing) -> Sequence[float]:
    span_s = max(h.span_s, WINDOW_S)
    windows = ((h.start_s - h.start_s[0]) // WINDOW_S).astype(np.int64)
    counts = np.log2(1.0 + np.unique(windows, return_counts=True)[1])
    low, high = quantiles(counts, 0.1, 0.9)
    return [
        float(np.log2(len(h.notes) / span_s)),
        float(np.log2(len(h.start_s) / span_s)),
        float(h.size.mean()),
        share_of(h.size >= 3),
        float(counts.std()),
        high,
        low,
    ]


@registered(
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
def _rhythm(h: Hearing) -> Sequence[float]:
    gaps_s = _gaps(h)
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


@registered(
    "rhythm",
    "regularity and pulse: Gabrielsson and Lindström (2010)",
    pulse_clarity="autocorrelation of onsets at its best period",
    pulse_period="log2 seconds of that period",
)
def _pulse(h: Hearing) -> Sequence[float]:
    steps = np.round((h.start_s - h.start_s[0]) / PULSE_STEP_S)
    steps = steps[steps <= MAX_PULSE_S / PULSE_STEP_S].astype(np.int64)
    train = np.convolve(np.bincount(steps).astype(np.float64), (0.5, 1.0, 0.5))
    first, last = (round(lag / PULSE_STEP_S) for lag in PULSE_LAGS_S)
    size = 1 << int(len(train) + last).bit_length()
    power = np.abs(np.fft.rfft(train - train.mean(), size)) ** 2
    correlation = np.fft.irfft(power, size)[: last + 1]
    best = first + int(np.argmax(correlation[first:]))
    clarity = correlation[best] / max(float(correlation[0]), 1e-9)
    return [float(np.clip(clarity, 0.0, 1.0)), float(np.log2(best * PULSE_STEP_S))]


@registered(
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
def _articulation(h: Hearing) -> Sequence[float]:
    logs = _log2_s(h.notes.duration_s)
    firsts = np.searchsorted(h.group, np.arange(len(h.start_s)))
    longest = np.maximum.reduceat(h.notes.duration_s, firsts)
    ratio = _log2_s(longest[: len(_gaps(h))]) - _log2_s(_gaps(h))
    ends = np.maximum.accumulate(h.notes.onset_s + h.notes.duration_s)
    silent_s = float(np.maximum(h.notes.onset_s[1:] - ends[:-1], 0.0).sum())
    sounding_s = max(h.span_s - silent_s, SHORTEST_S)
    return [
        quantiles(logs, 0.5)[0],
        float(logs.std()),
        share_of(h.notes.duration_s < 0.2),
        share_of(h.notes.duration_s > 1.0),
        share_of(ratio > 0.0),
        quantiles(ratio, 0.5)[0],
        silent_s / max(h.span_s, SHORTEST_S),
        float(h.notes.duration_s.sum()) / sounding_s,
    ]


@registered(
    "dynamics",
    "loudness and its variation: Ilie and Thompson (2006)",
    velocity_level="median velocity",
    velocity_spread="standard deviation of velocity",
    velocity_change="mean absolute change of an onset's greatest velocity",
    velocity_top="velocity of highest above that of lowest notes of onsets, mean",
)
def _dynamics(h: Hearing) -> Sequence[float]:
    firsts = np.searchsorted(h.group, np.arange(len(h.start_s)))
    loudest = np.maximum.reduceat(h.notes.velocity, firsts).astype(np.float64)
    centre = quantiles(h.notes.pitch, 0.5)[0]
    upper = h.notes.pitch >= centre
    above, below = h.notes.velocity[upper], h.notes.velocity[~upper]
    return [
        quantiles(h.notes.velocity, 0.5)[0],
        float(h.notes.velocity.std()),
        float(np.abs(np.diff(loudest)).mean()) if len(loudest) > 1 else 0.0,
        float(above.mean() - below.mean()) if len(above) and len(below) else 0.0,
    ]
