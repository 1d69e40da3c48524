"""Edits that undo a cause in other ways than the explanation tries them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from emomusic.music.notes import Notes
from emomusic.verify import counterfactuals
from emomusic.verify.features.analysis import key_correlations

Edit = Callable[[Notes, int], Notes]
"""From a clip, and 1 if it has much of the cause (fast, loud, major), else -1."""

DOWN_A_THIRD = (-3, -3, -3, -3, -4, -3, -3, -3, -3, -4, -3, -4)
"""Semitones from each tone above a major tonic to the one two steps lower in the signature."""
UP_A_THIRD = (4, 3, 3, 3, 3, 4, 3, 4, 3, 3, 3, 3)
"""The same two steps higher."""


def _third_alone(notes: Notes, side: int) -> Notes:
    """Move the third of the key in which the number of notes, however long, fits best."""
    del side
    counts = np.bincount(notes.pitch % 12, minlength=12).astype(np.float64)
    major, minor = key_correlations(counts)
    is_major = bool(major.max() >= minor.max())
    tonic = int(np.argmax(major if is_major else minor))
    return counterfactuals.switch_mode(notes, tonic=tonic, is_major=is_major, degrees=("third",))


def _third_and_sixth(notes: Notes, side: int) -> Notes:
    """Move third and sixth of the key heard, leave the seventh."""
    del side
    tonic, is_major = counterfactuals.find_key(notes)
    degrees = ("third", "sixth")
    return counterfactuals.switch_mode(notes, tonic=tonic, is_major=is_major, degrees=degrees)


def _relative(notes: Notes, side: int) -> Notes:
    """Move everything two steps of the scale: C major becomes A minor, and back."""
    del side
    tonic, is_major = counterfactuals.find_key(notes)
    root = tonic if is_major else (tonic + 3) % 12
    steps = np.array(DOWN_A_THIRD if is_major else UP_A_THIRD)
    pitch = np.clip(notes.pitch + steps[(notes.pitch - root) % 12], 0, 127)
    return counterfactuals.sort_notes(replace(notes, pitch=pitch))


def _tempo(factor: float) -> Edit:
    return lambda notes, side: counterfactuals.stretch(notes, factor**side)


def _tempo_of_onsets(notes: Notes, side: int) -> Notes:
    """Stretch the onsets by half, keep the seconds that notes are held."""
    return replace(counterfactuals.stretch(notes, 1.5**side), duration_s=notes.duration_s)


def _loudness(by: int) -> Edit:
    return lambda notes, side: counterfactuals.set_loudness(notes, notes.velocity - side * by)


def _scaled(notes: Notes, side: int) -> Notes:
    return counterfactuals.set_loudness(notes, notes.velocity * 1.3**-side)


def _compressed(notes: Notes, side: int) -> Notes:
    """Bring every velocity half-way to 70."""
    del side
    velocity = np.round((notes.velocity + 70.0) / 2.0).astype(np.int64)
    return replace(notes, velocity=velocity)


def _register(semitones: int) -> Edit:
    return lambda notes, side: counterfactuals.transpose(notes, -side * semitones)


def _by_chance(notes: Notes, side: int) -> Notes:
    """Delete a third of the notes by chance; or double as many an octave above."""
    if side > 0:
        return counterfactuals.thin_randomly(notes, 0.67, seed=7)
    return counterfactuals.double_notes(notes, 1.33, step=counterfactuals.OCTAVE)


def _onsets(notes: Notes, side: int) -> Notes:
    """Delete every third onset; or strike every second one again half-way."""
    if side > 0:
        return _without_onsets(notes)
    return counterfactuals.repeat_onsets(notes, 1.5)


def _without_onsets(notes: Notes) -> Notes:
    onset = np.cumsum(np.diff(notes.onset_s, prepend=-1.0) > 0.045)
    return notes.where(onset % 3 != 0) if onset[-1] >= 3 else notes


def _chords(notes: Notes, side: int) -> Notes:
    """Delete every second note; or double every second one two octaves below."""
    if side > 0:
        return notes.where(np.arange(len(notes)) % 2 == 0)
    return counterfactuals.double_notes(notes, 1.5, step=-2 * counterfactuals.OCTAVE)


OTHER_EDITS: Mapping[str, Mapping[str, Edit]] = MappingProxyType(
    {
        "mode": {"third": _third_alone, "third+sixth": _third_and_sixth, "relative": _relative},
        "tempo": {"quarter": _tempo(1.25), "double": _tempo(2.0), "onsets": _tempo_of_onsets},
        "loudness": {"by 16": _loudness(16), "scaled": _scaled, "compressed": _compressed},
        "register": {"ninth": _register(14), "fifth": _register(7), "fourth": _register(5)},
        "density": {"by chance": _by_chance, "onsets": _onsets, "every second": _chords},
    }
)
"""By cause and name."""
