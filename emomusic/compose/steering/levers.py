"""The levers of steering: small, musical ways to lean the choice of the next token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.attributes import MAJOR_SCALE, MINOR_SCALES
from emomusic.music.key import PROFILES
from emomusic.music.tokenizer import STEPS_PER_BEAT, Vocabulary

Vector = NDArray[np.float64]
LEVERS = (
    "soon", "bar_ends", "on_eighths", "on_sixteenths", "on_triplets", "fuller", "higher", "wider",
    "major", "clear", "at_home", "outside", "bass_tonic", "louder", "swell", "longer", "unequal",
)  # fmt: skip
BASS_BELOW = 55
SEMITONES, VELOCITY_STEP = 12.0, 16.0
SWELL = (-1.0, -0.3, 0.3, 1.0)
FLATTENING = 0.5


@dataclass(frozen=True)
class Centre:
    """Hold what levers turn about.

    Attributes:
        pitch: MIDI pitch, as written in C.
        velocity: MIDI velocity.
        length: Beats.
        is_major: Which scale `outside` means.
    """

    pitch: float
    velocity: float
    length: float
    is_major: bool


class Levers:
    """Add up levers to a bias of the logits; the music is written in C.

    One unit of a lever moves the odds of what it favours by a factor of e.
    """

    def __init__(self, vocabulary: Vocabulary, *, beats_per_bar: int) -> None:
        """Look up what each id says.

        Args:
            vocabulary: The tokens.
            beats_per_bar: How far away the end of a bar is.
        """
        self._size = len(vocabulary)
        self._ids = {kind: vocabulary.kind_ids(kind) for kind in ("Position", "Pitch", "Velocity")}
        self._ids["Duration"] = vocabulary.kind_ids("Duration")
        self._ids["End"] = np.concatenate([vocabulary.kind_ids(k) for k in ("Bar", "EOS")])
        self._step = _numbers(vocabulary, "Position")
        self._pitch = _numbers(vocabulary, "Pitch")
        self._velocity = _numbers(vocabulary, "Velocity")
        self._length = np.array([_beats(text) for text in vocabulary.values("Duration")])
        self._beats_per_bar = beats_per_bar

    def bias(self, pulled: Vector, centre: Centre, *, bar: int) -> NDArray[np.float32]:
        """Return the bias of all levers together, shape (2, vocab_size), see `Row.steer`.

        Args:
            pulled: How far each lever is pulled, shape (n_levers,).
            centre: What they turn about.
            bar: Which bar of the clip it is for: dynamics swell over four bars.
        """
        by = dict(zip(LEVERS, pulled.tolist(), strict=True))
        total = np.zeros((2, self._size))
        total[1, self._ids["Position"]] = -by["soon"] * self._step / STEPS_PER_BEAT
        total[1, self._ids["End"]] = -by["soon"] * self._beats_per_bar
        total[0, self._ids["End"]] = by["bar_ends"]
        total[0, self._ids["Position"]] = self._grid(by)
        total[0, self._ids["Pitch"]] = self._pitches(by, centre)
        off = (self._velocity - centre.velocity) / VELOCITY_STEP
        swell = max(by["swell"], 0.0) * SWELL[bar % len(SWELL)]
        total[0, self._ids["Velocity"]] = (by["louder"] + swell) * off
        total[0, self._ids["Velocity"]] += min(by["swell"], 0.0) * FLATTENING * off**2
        longer = np.log2(self._length / centre.length)
        total[0, self._ids["Duration"]] = by["longer"] * longer + by["unequal"] * _bent(longer)
        return total.astype(np.float32)

    def _grid(self, by: dict[str, float]) -> Vector:
        inside = self._step % STEPS_PER_BEAT
        eighth, beat = inside == STEPS_PER_BEAT // 2, inside == 0
        sixteenth = np.isin(inside, (STEPS_PER_BEAT // 4, 3 * STEPS_PER_BEAT // 4))
        found: Vector = by["on_eighths"] * eighth + by["on_sixteenths"] * sixteenth
        found += by["on_triplets"] * ~(beat | eighth | sixteenth)
        return found

    def _pitches(self, by: dict[str, float], centre: Centre) -> Vector:
        height = (self._pitch - centre.pitch) / SEMITONES
        found: Vector = by["fuller"] + by["higher"] * height + by["wider"] * _bent(height)
        of_octave = (self._pitch % 12).astype(np.int64)
        scale = MAJOR_SCALE if centre.is_major else MINOR_SCALES
        found += by["outside"] * ~np.isin(of_octave, scale)
        for name, profile in _profiles(centre.is_major).items():
            found += by[name] * profile[of_octave]
        found += by["bass_tonic"] * ((self._pitch < BASS_BELOW) & (of_octave == 0))
        return found


def _profiles(is_major: bool) -> dict[str, Vector]:
    """Return what each pitch class tells: of major on C, of the key itself, and of it alone.

    The key itself is told from its relative, which has the same scale.
    """
    major, minor = PROFILES[0], PROFILES[12]
    own, relative = (major, PROFILES[12 + 9]) if is_major else (minor, PROFILES[3])
    return {"major": 2 * (major - minor), "clear": 2 * own, "at_home": 2 * (own - relative)}


def _bent(off: Vector) -> Vector:
    """Return the square, but no more than 3: no lever is to drive all into one corner."""
    return np.minimum(off**2, 3.0)


def _numbers(vocabulary: Vocabulary, kind: str) -> Vector:
    return np.array([float(text) for text in vocabulary.values(kind)])


def _beats(text: str) -> float:
    beats, part, parts = text.split(".")
    return int(beats) + int(part) / int(parts)
