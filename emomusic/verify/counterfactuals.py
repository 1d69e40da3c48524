"""What may carry the emotion of a clip (mode, tempo, loudness…), and the clip with it undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.music.key import estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.analysis import WINDOW_S, analyse, group_starts
from emomusic.verify.features import FLAT_SPREAD

MAX_OCTAVES = 1.5
"""Time and density change by at most this many doublings: beyond lies other music."""
DEGREES = {"third": (3, 4), "sixth": (8, 9), "seventh": (10, 11)}
"""Semitones above the tonic, in minor and in major, of the degrees by which these differ."""
OCTAVE = 12
SHARES = np.linspace(0.0, 1.0, 21)
"""Shares of clips at which the quantiles of a reference are kept."""


def find_key(notes: Notes) -> tuple[int, bool]:
    """Find the tonic, 0 (C) to 11, and whether the key is major."""
    analysis = analyse(notes)
    is_major = bool(analysis.major[0] >= analysis.minor[9])
    return (analysis.tonic + (0 if is_major else 9)) % 12, is_major


def sort_notes(notes: Notes) -> Notes:
    """Sort notes by onset in seconds, then pitch."""
    return notes.where(np.lexsort((notes.pitch, notes.onset_s)))


def switch_mode(
    notes: Notes, *, tonic: int, is_major: bool, degrees: Iterable[str] = tuple(DEGREES)
) -> Notes:
    """Move some of `DEGREES` above a tonic by a semitone, into the parallel key."""
    moves = np.zeros(12, dtype=np.int64)
    for minor, major in (DEGREES[name] for name in degrees):
        moves[(tonic + (major if is_major else minor)) % 12] = -1 if is_major else 1
    return sort_notes(replace(notes, pitch=np.clip(notes.pitch + moves[notes.pitch % 12], 0, 127)))


def stretch(notes: Notes, factor: float) -> Notes:
    """Multiply all seconds by a factor above 0; beats stay as they are."""
    return replace(notes, onset_s=notes.onset_s * factor, duration_s=notes.duration_s * factor)


def set_loudness(notes: Notes, velocity: NDArray[Any]) -> Notes:
    """Set velocities, rounded and clipped to 1 to 127."""
    return replace(notes, velocity=np.clip(np.round(velocity), 1, 127).astype(np.int64))


def transpose(notes: Notes, semitones: int) -> Notes:
    """Transpose; pitches that would leave 0 to 127 move whole octaves back."""
    pitch = notes.pitch + semitones
    pitch = pitch - OCTAVE * np.ceil(np.maximum(pitch - 127, 0) / OCTAVE).astype(np.int64)
    pitch = pitch + OCTAVE * np.ceil(np.maximum(-pitch, 0) / OCTAVE).astype(np.int64)
    return sort_notes(replace(notes, pitch=pitch))


def thin(notes: Notes, share: float) -> Notes:
    """Keep about a share in (0, 1] of the notes: inner notes of chords go first, then onsets.

    Outer notes are the highest and the lowest of an onset. The onsets that follow the one before
    soonest go first; the first one stays.
    """
    n_kept = max(1, round(share * len(notes)))
    if n_kept >= len(notes):
        return notes
    first = group_starts(notes.onset_s)
    outer = np.zeros(len(notes), dtype=bool)
    outer[first] = outer[np.append(first[1:], len(notes)) - 1] = True
    gap = np.diff(notes.onset_s[first], prepend=-np.inf)
    # What is kept comes first: outer before inner notes, then by the gap, then by time.
    order = np.lexsort((np.arange(len(notes)), -gap[_groups(first, len(notes))], ~outer))
    return notes.where(np.sort(order[:n_kept]))


def thin_randomly(notes: Notes, share: float, *, seed: int) -> Notes:
    """Keep a random sample of about `share` of the notes; the same for the same seed."""
    n_kept = max(1, round(share * len(notes)))
    return notes.where(np.sort(np.random.default_rng(seed).permutation(len(notes))[:n_kept]))


def double_notes(notes: Notes, ratio: float, *, step: int = -OCTAVE) -> Notes:
    """Double evenly chosen notes at another pitch, to `ratio`, 1 to 2, times as many notes.

    A double lies `step` semitones off; on the other side where it would leave 0 to 127.
    """
    twin = notes.where(_spread(len(notes), ratio))
    pitch = twin.pitch + step
    pitch = np.where((pitch < 0) | (pitch > 127), twin.pitch - step, pitch)
    return _join(notes, replace(twin, pitch=pitch))


def repeat_onsets(notes: Notes, ratio: float) -> Notes:
    """Strike evenly chosen onsets again half-way to the next, to `ratio`, 1 to 2, times as many.

    All notes of such an onset are cut at half the way to the next one, and struck again there.
    """
    first = group_starts(notes.onset_s)
    group = _groups(first, len(notes))
    half_s, half = (_half_gaps(times[first])[group] for times in (notes.onset_s, notes.onset))
    chosen = np.isin(group, _spread(len(first), ratio)) & (half_s > 0.05) & (half > 0)
    again = replace(
        notes,
        onset=notes.onset + half,
        onset_s=notes.onset_s + half_s,
        duration=np.minimum(notes.duration, np.maximum(half, 1e-3)),
        duration_s=np.minimum(notes.duration_s, np.maximum(half_s, 1e-3)),
    ).where(chosen)
    cut = replace(
        notes,
        duration=np.where(chosen, np.minimum(notes.duration, half), notes.duration),
        duration_s=np.where(chosen, np.minimum(notes.duration_s, half_s), notes.duration_s),
    )
    return _join(cut, again)


def _groups(first: IntColumn, n_notes: int) -> IntColumn:
    return np.repeat(np.arange(len(first)), np.diff(np.append(first, n_notes)))


def _half_gaps(start: FloatColumn) -> FloatColumn:
    gaps = np.diff(start)
    return np.append(gaps, np.median(gaps) if len(gaps) else 0.0) / 2.0


def _spread(n: int, ratio: float) -> IntColumn:
    n_chosen = min(n, round((ratio - 1.0) * n))
    return np.unique(np.floor(np.arange(n_chosen) * n / max(n_chosen, 1)).astype(np.int64))


def _join(notes: Notes, more: Notes) -> Notes:
    columns = zip(notes.columns, more.columns, strict=True)
    return sort_notes(Notes(*(np.concatenate(pair) for pair in columns)))


def _measure_mode(notes: Notes) -> float:
    """Measure how much better the signature's major key fits than its minor key, in [-2, 2]."""
    analysis = analyse(notes)
    return float(analysis.major[0] - analysis.minor[9])


def _rate(n: int, notes: Notes) -> float:
    """Compute log2 of n a second."""
    end_s = float((notes.onset_s + notes.duration_s).max())
    return float(np.log2(n / max(end_s - float(notes.onset_s[0]), WINDOW_S)))


def _measure_loudness(notes: Notes) -> float | None:
    is_flat = float(notes.velocity.std()) < FLAT_SPREAD
    return None if is_flat else float(np.median(notes.velocity))


def _switch_modes(notes: Notes, distance: float) -> list[Notes]:
    """Move to the parallel key of the key found here, and of the one found by other profiles."""
    other = estimate_key(notes)
    return [
        switch_mode(notes, tonic=tonic, is_major=is_major, degrees=degrees)
        for tonic, is_major in dict.fromkeys([find_key(notes), (other.tonic, other.is_major)])
        for degrees in (tuple(DEGREES), ("third",))
    ]


def _factors(distance: float) -> list[float]:
    """Go half the way to the middle, the whole way, and half as far again, in doublings."""
    parts = (0.5, 1.0, 1.5)
    return [2.0 ** float(np.clip(x * distance, -MAX_OCTAVES, MAX_OCTAVES)) for x in parts]


def _undo_loudness(notes: Notes, distance: float) -> list[Notes]:
    velocity, middle = notes.velocity, float(np.median(notes.velocity))
    scaled = velocity * ((middle - distance) / middle)
    weaker = (velocity - distance / 2.0, velocity - distance, scaled)
    return [set_loudness(notes, own) for own in weaker]


def _undo_register(notes: Notes, distance: float) -> list[Notes]:
    octave = -int(np.sign(distance)) * OCTAVE
    return [transpose(notes, by) for by in (-round(distance / 2.0), -round(distance), octave)]


def _undo_density(notes: Notes, distance: float) -> list[Notes]:
    half, whole, _ = _factors(-distance)
    if distance > 0:
        randomly = thin_randomly(notes, half, seed=0), thin_randomly(notes, whole, seed=1)
        return [thin(notes, half), thin(notes, whole), *randomly]
    doubled = double_notes(notes, half), double_notes(notes, whole)
    return [*doubled, repeat_onsets(notes, half), repeat_onsets(notes, whole)]


class Factor(NamedTuple):
    """Something in the music that may carry its emotion.

    Attributes:
        low, high: What a clip below the middle, or above it, is called.
        min_distance: Distance from the middle from which there is something to undo.
        measure: Its value in a clip; None where it cannot be measured.
        undo: From a clip and its distance from the middle to the clip without the factor, in
            several ways that are equally right: other strengths, other notes.
    """

    name: str
    low: str
    high: str
    min_distance: float
    measure: Callable[[Notes], float | None]
    undo: Callable[[Notes, float], list[Notes]]


FACTORS: Mapping[str, Factor] = {factor.name: factor for factor in (
    Factor("mode", "minor mode", "major mode", 0.0, _measure_mode, _switch_modes),
    # log2 of onsets a second: what is heard as speed, whatever is written as a beat
    Factor("tempo", "slow", "fast", 0.1,
           lambda notes: _rate(len(group_starts(notes.onset_s)), notes),
           lambda notes, distance: [stretch(notes, factor) for factor in _factors(distance)]),
    Factor("loudness", "soft", "loud", 4.0, _measure_loudness, _undo_loudness),
    Factor("register", "low register", "high register", 2.0,
           lambda notes: float(notes.pitch.mean()), _undo_register),
    # log2 of notes a second
    Factor("density", "sparse", "dense", 0.15,
           lambda notes: _rate(len(notes), notes), _undo_density),
)}  # fmt: skip


class Reference(NamedTuple):
    """The distribution of each factor in labelled piano music.

    Attributes:
        quantiles: By factor, its values at `SHARES`, rising, shape (21,).
    """

    quantiles: Mapping[str, FloatColumn]
    n_clips: int

    @classmethod
    def measure(cls, clips: Sequence[Notes]) -> Reference:
        """Measure clips; those of flat velocity do not count for loudness.

        Raises:
            ValueError: If there is no clip, or all have flat velocities.
        """
        quantiles = {}
        for name, factor in FACTORS.items():
            values = [value for clip in clips if (value := factor.measure(clip)) is not None]
            if not values:
                raise ValueError(f"no clip to measure {name} on, of {len(clips)} clips")
            quantiles[name] = np.quantile(values, SHARES)
        return cls(quantiles, len(clips))

    def middle(self, factor: str) -> float:
        """Return the median of a factor; 0, between major and minor, for the mode."""
        return 0.0 if factor == "mode" else float(self.quantiles[factor][len(SHARES) // 2])

    def percentile(self, factor: str, value: float) -> float:
        """Estimate the share of clips below a value, in [0, 1]."""
        return float(np.interp(value, self.quantiles[factor], SHARES))


@cache
def default_reference() -> Reference:
    """Load the distribution in the labelled clips that the shipped table was measured on."""
    table = json.loads(files("emomusic.verify").joinpath("typical.json").read_text("utf-8"))
    quantiles = {name: np.array(values) for name, values in table["quantiles"].items()}
    return Reference(quantiles, table["n_clips"])


class Counterfactual(NamedTuple):
    """A factor as it is in one clip, and the clip with it undone.

    Attributes:
        value, distance: In units of the factor's measure; from the middle of labelled music.
        percentile: Share of labelled clips below, in [0, 1].
        edits: The clip without the factor, in several ways; none where it is as usual.
    """

    factor: Factor
    value: float
    distance: float
    percentile: float
    edits: list[Notes]

    @property
    def words(self) -> str:
        """What the clip is like, such as `very fast` or `minor mode`."""
        if not self.edits:
            return f"usual {self.factor.name}"
        word = self.factor.low if self.distance < 0 else self.factor.high
        if self.factor.name == "mode":
            return word
        off = abs(self.percentile - 0.5)
        return f"very {word}" if off > 0.4 else word if off > 0.2 else f"rather {word}"


def find_counterfactuals(notes: Notes, reference: Reference) -> list[Counterfactual]:
    """Measure each factor of a clip and undo it.

    Raises:
        ValueError: If there are no notes.
    """
    found = []
    for name, factor in FACTORS.items():
        value = factor.measure(notes)
        if value is not None:
            distance = value - reference.middle(name)
            edits = factor.undo(notes, distance) if abs(distance) >= factor.min_distance else []
            percentile = reference.percentile(name, value)
            found.append(Counterfactual(factor, value, distance, percentile, edits))
    return found
