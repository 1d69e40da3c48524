"""Which of several candidates becomes the clip: heard as asked, and built like real music."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip
from emomusic.emotion import EmotionCurve
from emomusic.files import UNREADABLE, read_json, write_text
from emomusic.music.chords import NO_CHORD, chord_tones
from emomusic.music.key import key_correlations
from emomusic.music.notes import LEFT, Notes, hands_of, make_notes
from emomusic.music.score import notes_of
from emomusic.verify.verifier import Verifier

FORMAT = "emomusic-realness-1"
REALNESS_NAME = "realness.json"
MAX_BYTES = 2**18
STEPS = 12
LAGS = (1, 2, 4, 8)
TRIADS = chord_tones()[:NO_CHORD].reshape(12, -1, 12)[:, :2].reshape(24, 12)
"""Major and minor triads, by root."""
WINDOW_BARS, MIN_NOTES = 4, 4
"""A curve is heard in windows of so many bars, those of fewer notes left out."""
REAL = 0.5
"""What a clip that is surely real gains over one that surely is not; to be surely heard in its
quadrant, and not at all, are 1 apart."""
Places = list[frozenset[int]]


def features_of(notes: Notes, *, n_beats: float, beats_per_bar: int) -> dict[str, float]:
    """Return how the notes of a clip hang together: nothing of velocity, tempo or density.

    Args:
        notes: In beats, on the grid, at least one.
        n_beats: Of whole bars.
        beats_per_bar: Of each.
    """
    n_bars = max(round(n_beats / beats_per_bar), 1)
    bar = np.minimum((notes.onset / beats_per_bar + 1e-6).astype(np.int64), n_bars - 1)
    step = np.rint((notes.onset - bar * beats_per_bar) * STEPS).astype(np.int64)
    left = hands_of(notes) == LEFT

    def places(values: NDArray[np.int64], *, of: NDArray[np.bool_] | None = None) -> Places:
        own = np.ones(len(notes), dtype=bool) if of is None else of
        return [frozenset(values[own & (bar == at)].tolist()) for at in range(n_bars)]

    rhythm, struck = places(step), places(step * 128 + notes.pitch)
    figure = places(step, of=left)
    # Sorted by onset, then pitch: the top of one onset stands before the bottom of the next.
    changes = np.concatenate([[True], np.diff(notes.onset) > 1e-6, [True]])
    return {
        "rhythm_again": _again(rhythm, (1,)),
        "rhythm_returns": _again(rhythm, LAGS),
        "figure_again": _again(figure, (1,)),
        "notes_again": _again(struck, (1,)),
        "notes_return": _again(struck, LAGS),
        **_line(notes.pitch[changes[1:]], "melody"),
        **_line(notes.pitch[changes[:-1] & left], "bass"),
        **_harmony(notes, n_beats),
        "left_on_beat": float(np.mean([0 in own for own in figure])),
        "on_beat": float((step % STEPS == 0).mean()),
        "on_eighth": float((step % STEPS == STEPS // 2).mean()),
        "on_sixteenth": float(np.isin(step % STEPS, (3, 9)).mean()),
        "rhythms": _entropy(np.diff(np.unique(bar * 1000 + step))),
        "lengths": _entropy(np.rint(notes.duration * STEPS).astype(np.int64)),
        "uneven": float(np.bincount(bar, minlength=n_bars).std() / (len(notes) / n_bars)),
        "drift": _drift(notes, n_beats),
    }


def _again(bars: Places, lags: tuple[int, ...]) -> float:
    """Return how much bars have in common with the likest of some earlier ones (Jaccard)."""
    found = []
    for at, own in enumerate(bars):
        earlier = [bars[at - lag] for lag in lags if lag <= at]
        if own and earlier:
            found.append(max(len(own & other) / len(own | other) for other in earlier))
    return float(np.mean(found)) if found else 0.0


def _line(pitches: NDArray[np.int64], name: str) -> dict[str, float]:
    leaps = np.abs(np.diff(pitches))
    leaps = leaps if len(leaps) else np.zeros(1)
    return {
        f"{name}_repeats": float((leaps == 0).mean()),
        f"{name}_steps": float(((leaps > 0) & (leaps <= 2)).mean()),
        f"{name}_leaps": float((leaps > 7).mean()),
    }


def _harmony(notes: Notes, n_beats: float) -> dict[str, float]:
    half = np.minimum((notes.onset / 2 + 1e-6).astype(np.int64), int(n_beats / 2))
    length = np.minimum(notes.duration, 2.0)
    cell = half * 12 + notes.pitch % 12
    sound = np.bincount(cell, length, minlength=12 * (int(half.max()) + 1)).reshape(-1, 12)
    sound = sound[sound.any(axis=1)]
    fit = sound @ TRIADS.T / sound.sum(axis=1, keepdims=True)
    best = fit.argmax(axis=1)
    onset, pitch = notes.onset, notes.pitch
    end, rubs = onset + notes.duration, []
    for back in range(1, min(6, len(pitch) - 1) + 1):
        together = onset[back:] < end[:-back] - 1e-6
        rubs.append((np.abs(pitch[back:] - pitch[:-back]) == 1)[together])
    sounding = np.concatenate(rubs) if rubs else np.zeros(0)
    return {
        "in_chord": float(fit.max(axis=1).mean()),
        "chord_moves": float((np.diff(best) != 0).mean()) if len(best) > 1 else 0.0,
        "in_key": float(key_correlations(notes).max()),
        "rubs": float(sounding.mean()) if len(sounding) else 0.0,
    }


def _entropy(values: NDArray[np.int64]) -> float:
    share = np.unique(values, return_counts=True)[1] / max(len(values), 1)
    return float(-(share * np.log2(share)).sum()) + 0.0


def _drift(notes: Notes, n_beats: float) -> float:
    late = notes.onset >= 0.75 * n_beats
    if late.all() or not late.any():
        return 0.0
    return float(abs(notes.pitch[late].mean() - notes.pitch[~late].mean()))


@dataclass(frozen=True)
class Realness:
    """Tell real music from composed, by a logistic regression on `features_of`."""

    mean: Mapping[str, float]  # of each feature, by name
    scale: Mapping[str, float]  # standard deviation of each, above 0
    weight: Mapping[str, float]  # of each, in log odds a deviation
    bias: float  # log odds in the middle

    def __post_init__(self) -> None:
        """Check the tables.

        Raises:
            ValueError: If their names differ, a number is not finite or a scale not above 0.
        """
        tables = (self.mean, self.scale, self.weight)
        if len({frozenset(table) for table in tables}) > 1:
            raise ValueError("its tables are of different features")
        numbers = np.array([[table[name] for name in self.mean] for table in tables])
        plain = numbers.ndim == 2 and np.ndim(self.bias) == 0
        if not (plain and np.isfinite(numbers).all() and np.isfinite(self.bias)):
            raise ValueError("what it holds are not finite numbers")
        if not (numbers[1] > 0).all():
            raise ValueError("a scale is not above 0")

    def of(self, notes: Notes, *, n_beats: float, beats_per_bar: int) -> float:
        """Return the probability that a clip is real, 0 to 1; arguments as of `features_of`."""
        found = features_of(notes, n_beats=n_beats, beats_per_bar=beats_per_bar)
        odds = self.bias + sum(
            self.weight[name] * (found[name] - self.mean[name]) / self.scale[name]
            for name in self.mean
        )
        return float(1 / (1 + np.exp(-np.clip(odds, -30, 30))))

    def save(self, folder: Path) -> None:
        """Write `realness.json`."""
        tables = {
            name: {key: float(f"{value:.5g}") for key, value in getattr(self, name).items()}
            for name in ("mean", "scale", "weight")
        }
        content = {"format": FORMAT, **tables, "bias": round(self.bias, 5)}
        write_text(folder / REALNESS_NAME, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Realness | None:
        """Read `realness.json`; None where a checkpoint has none.

        Raises:
            ValueError: If it is damaged or of another format.
        """
        path = folder / REALNESS_NAME
        if not path.exists():
            return None
        try:
            content = read_json(path, max_bytes=MAX_BYTES)
            if content.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            found = cls(**content)
            one = np.ones(1)
            heard = features_of(make_notes(one, one, one.astype(int), one.astype(int)),
                                n_beats=4.0, beats_per_bar=4)  # fmt: skip
            if unknown := sorted(set(found.mean) - set(heard)):
                raise ValueError(f"unknown feature {unknown[0]!r:.40}")
            return found
        except UNREADABLE as error:
            raise ValueError(f"cannot read the realness {path}: {error}") from error


def best_of(clips: Iterable[Clip], verifier: Verifier, realness: Realness | None) -> Clip:
    """Return the candidate that is heard best as what was asked, and is built most like music."""
    own = sorted(clips, key=lambda clip: clip.candidate)
    if len(own) == 1:
        return own[0]
    return max(own, key=lambda clip: _merit(clip, verifier) + _music(clip, realness))


def _music(clip: Clip, realness: Realness | None) -> float:
    """Return what a clip gains for being built like real music, 0 to `REAL`."""
    if realness is None or clip.n_given:
        return 0.0
    notes, beats = notes_of(clip.sheet), clip.metre.beats
    notes = replace(notes, onset=notes.onset / clip.metre.beat)
    return REAL * realness.of(notes, n_beats=float(clip.n_bars * beats), beats_per_bar=beats)


def _merit(clip: Clip, verifier: Verifier) -> float:
    """Return how well the verifier hears what was asked; the nearest by listeners' values."""
    request = clip.request
    verdict = (clip.heard_new if request.fills else None) or clip.verdict
    if request.curve is not None and request.curve.moves and not clip.n_given:
        return -_distance(clip, request.curve, verifier)
    if request.emotion is None:
        return 0.0
    valence, arousal = request.emotion.valence, request.emotion.arousal
    away = math.hypot(verdict.valence - valence, verdict.arousal - arousal)
    return verdict.probabilities[request.emotion.quadrant] - 0.1 * away


def _distance(clip: Clip, curve: EmotionCurve, verifier: Verifier) -> float:
    """Return the mean distance between a curve and what is heard along it; 2 where nothing is."""
    notes, beats = notes_of(clip.score), clip.metre.quarters
    windows, asked = [], []
    for first in range(0, clip.n_bars, WINDOW_BARS):
        last = min(first + WINDOW_BARS, clip.n_bars)
        inside = notes.where((notes.onset >= first * beats) & (notes.onset < last * beats))
        if len(inside) >= MIN_NOTES:
            windows.append(inside)
            asked.append(curve.at((first + last) / 2))
    if not windows:
        return 2.0
    heard = [verifier.verdict(window) for window in windows]
    pairs = zip(heard, asked, strict=True)
    away = [math.hypot(h.valence - a.valence, h.arousal - a.arousal) for h, a in pairs]
    return math.fsum(away) / len(away)
