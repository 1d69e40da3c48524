"""The causes that an explanation names, each with the edits that would undo it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from emomusic.music.key import estimate_key
from emomusic.music.notes import Notes
from emomusic.verify.explanation import edits
from emomusic.verify.explanation.typical import MEASURES, Typical

MAX_OCTAVES = 1.5
"""Time and density are changed by at most this many doublings: beyond lies other music."""
Edited = list[Notes]


@dataclass(frozen=True)
class Cause:
    """Describe a cause.

    Attributes:
        name: As in `MEASURES`.
        low: Words for a clip below the middle.
        high: Words for a clip above it.
        least: Distance from the middle, in units of the measure, from which there is something
            to undo.
        undo: From a clip and its distance from the middle to the clip without the cause, in
            several ways that are right alike: other strengths, other notes.
    """

    name: str
    low: str
    high: str
    least: float
    undo: Callable[[Notes, float], Edited]


@dataclass(frozen=True)
class Found:
    """Hold a cause as it is in one clip.

    Attributes:
        cause: Which.
        value: In units of its measure.
        distance: From the middle of labelled music.
        percentile: Share of labelled clips below, in [0, 1].
        undone: The clip without the cause, in several ways; none where it is as usual.
    """

    cause: Cause
    value: float
    distance: float
    percentile: float
    undone: Edited

    @property
    def words(self) -> str:
        """Name what the clip is like, such as `very fast` or `minor mode`."""
        word = self.cause.low if self.distance < 0 else self.cause.high
        if self.cause.name == "mode":
            return word
        off = abs(self.percentile - 0.5)
        return f"very {word}" if off > 0.4 else word if off > 0.2 else f"rather {word}"


def causes_in(notes: Notes, usual: Typical) -> list[Found]:
    """Find each cause that can be measured in a clip.

    Args:
        notes: At least one note.
        usual: What is usual.

    Raises:
        ValueError: If there are no notes.
    """
    found = []
    for cause in CAUSES.values():
        value = MEASURES[cause.name](notes)
        if value is None:
            continue
        distance = value - (0.0 if cause.name == "mode" else usual.middle(cause.name))
        undone = cause.undo(notes, distance) if abs(distance) >= cause.least else []
        found.append(Found(cause, value, distance, usual.percentile(cause.name, value), undone))
    return found


def _other_mode(notes: Notes, distance: float) -> Edited:
    """Move to the parallel key of the key heard, and of the one found by other profiles."""
    del distance
    tonic, is_major = edits.heard_key(notes)
    other = estimate_key(notes)
    return [
        edits.in_other_mode(notes, tonic=key[0], is_major=key[1], degrees=degrees)
        for key in dict.fromkeys([(tonic, is_major), (other.tonic, other.is_major)])
        for degrees in (tuple(edits.DEGREES), ("third",))
    ]


def _usual_tempo(notes: Notes, distance: float) -> Edited:
    return [edits.stretched(notes, 2.0**by) for by in _strengths(distance)]


def _strengths(distance: float) -> list[float]:
    """Return half the way to the middle, the whole way, and half as far again."""
    return [float(np.clip(part * distance, -MAX_OCTAVES, MAX_OCTAVES)) for part in (0.5, 1.0, 1.5)]


def _usual_loudness(notes: Notes, distance: float) -> Edited:
    middle = float(np.median(notes.velocity))
    return [
        edits.shifted_loudness(notes, -distance / 2.0),
        edits.shifted_loudness(notes, -distance),
        edits.scaled_loudness(notes, (middle - distance) / middle),
    ]


def _usual_register(notes: Notes, distance: float) -> Edited:
    octave = -int(np.sign(distance)) * edits.OCTAVE
    return [
        edits.transposed(notes, -round(distance / 2.0)),
        edits.transposed(notes, -round(distance)),
        edits.transposed(notes, octave),
    ]


def _usual_density(notes: Notes, distance: float) -> Edited:
    half, whole, _ = (2.0**-by for by in _strengths(distance))
    if distance > 0:
        return [
            edits.thinned(notes, half),
            edits.thinned(notes, whole),
            edits.thinned_by_chance(notes, half, seed=0),
            edits.thinned_by_chance(notes, whole, seed=1),
        ]
    return [
        edits.doubled(notes, half),
        edits.doubled(notes, whole),
        edits.repeated(notes, half),
        edits.repeated(notes, whole),
    ]


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        cause.name: cause
        for cause in (
            Cause("mode", "minor mode", "major mode", 0.0, _other_mode),
            Cause("tempo", "slow", "fast", 0.1, _usual_tempo),
            Cause("loudness", "soft", "loud", 4.0, _usual_loudness),
            Cause("register", "low register", "high register", 2.0, _usual_register),
            Cause("density", "sparse", "dense", 0.15, _usual_density),
        )
    }
)
"""The causes by name."""
