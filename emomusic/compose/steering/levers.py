"""The levers of steering: small, musical ways to lean the choice of the next token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.attributes import MAJOR_SCALE, MINOR_SCALES
from emomusic.music.chord_names import chord_tones
from emomusic.music.chords import N_QUALITIES, NO_CHORD
from emomusic.music.vocabulary import HALVES, STEPS_PER_BEAT, Vocabulary, beats_of

Vector = NDArray[np.float64]
Pairs = tuple[NDArray[np.int32], NDArray[np.float32]]
IN_CHORD, ROOT_BELOW, LOW = 2.5, 2.0, 53
RINGING, GRACE = 2.0, 0.25
"""Where chords are given: what a note of them has more than others, in nats, what the root has
beyond that where a half bar begins, below this pitch, and what a length has less that rings on
for so many beats after the chord has changed."""
LEVERS = (
    "soon", "bar_ends", "on_eighths", "on_sixteenths", "on_triplets", "fuller", "higher", "wider",
    "major", "clear", "at_home", "outside", "major_chords", "louder", "swell", "longer", "unequal",
)  # fmt: skip
BASS_BELOW = 46
"""Below it no note is favoured for its height: the bass is not dragged about."""
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
        self._ids |= {half: vocabulary.chord_ids(half) for half in HALVES}
        self._tones = chord_tones()
        self._pitch = _numbers(vocabulary, "Pitch")
        self._velocity = _numbers(vocabulary, "Velocity")
        self._length = np.array(
            [beats_of(vocabulary.texts[i]) for i in vocabulary.kind_ids("Duration")]
        )
        self._beats_per_bar = beats_per_bar

    def bias(
        self, pulled: Vector, centre: Centre, *, bar: int, crowded: Vector | None = None
    ) -> NDArray[np.float32]:
        """Return the bias of all levers together, shape (2, vocab_size + 1), see `Lean`.

        Args:
            pulled: How far each lever is pulled, shape (n_levers,).
            centre: What they turn about.
            bar: Which bar of the clip it is for: dynamics swell over four bars.
            crowded: What is taken off each pitch class, shape (12,).
        """
        by = dict(zip(LEVERS, pulled.tolist(), strict=True))
        total = np.zeros((2, self._size + 1))
        total[1, self._ids["Position"]] = -by["soon"] * self._step / STEPS_PER_BEAT
        total[1, self._ids["End"]] = -by["soon"] * self._beats_per_bar
        total[0, self._ids["End"]] = by["bar_ends"]
        total[0, self._ids["Position"]] = self._grid(by)
        total[0, -1] = by["fuller"]
        height = np.maximum(self._pitch, BASS_BELOW) - centre.pitch
        total[0, self._ids["Pitch"]] = by["higher"] * height / SEMITONES
        total[0, self._ids["Pitch"]] += by["wider"] * _bent(height / SEMITONES)
        tones = _tones(by, centre)
        chords = self._tones @ tones + by["major_chords"] * _MAJOR_CHORDS[centre.is_major]
        for half in HALVES:
            total[0, self._ids[half]] = chords
        if crowded is not None:
            tones = tones - crowded
        total[0, self._ids["Pitch"]] += tones[(self._pitch % 12).astype(np.int64)]
        off = (self._velocity - centre.velocity) / VELOCITY_STEP
        swell = max(by["swell"], 0.0) * SWELL[bar % len(SWELL)]
        total[0, self._ids["Velocity"]] = (by["louder"] + swell) * off
        total[0, self._ids["Velocity"]] += min(by["swell"], 0.0) * FLATTENING * off**2
        longer = np.log2(self._length / centre.length)
        total[0, self._ids["Duration"]] = by["longer"] * longer + by["unequal"] * _bent(longer)
        return total.astype(np.float32)

    def along(self, chords: tuple[int, int], after: int) -> tuple[NDArray[np.float32], Pairs]:
        """Return what leads the notes of a bar along its two chords.

        Args:
            chords: Numbers, as written in C.
            after: Number of the chord that follows.

        Returns:
            What is added to the bias of `Lean` for what both halves have, and pairs for what one
            of them has.
        """
        pitch_class = (self._pitch % 12).astype(np.int64)
        tones = self._tones[list(chords)][:, pitch_class] > 0  # (2, n_pitches)
        bias = np.zeros((2, self._size + 1), np.float32)
        bias[0, self._ids["Pitch"]] = IN_CHORD * tones.all(axis=0)
        late = self._step * 2 >= self._beats_per_bar * STEPS_PER_BEAT
        led: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], float]] = []
        for at, chord in enumerate(chords):
            places = np.flatnonzero(late == bool(at))
            ids, every = self._ids["Position"][places], np.ones((len(places), 1), dtype=bool)
            led.append((ids, self._ids["Pitch"], every & tones[at] & ~tones[1 - at], IN_CHORD))
            is_root = (pitch_class == chord // N_QUALITIES) & (self._pitch < LOW)
            begins = np.arange(len(places))[:, None] == 0
            led.append((ids, self._ids["Pitch"], begins & is_root & (chord < NO_CHORD), ROOT_BELOW))
            # How many half bars from the bar line the chord ends; 0 where it does not.
            halves = next((n for n, other in ((1, chords[1]), (2, after)) if other != chord), 0)
            end = self._beats_per_bar * halves / 2 + GRACE
            rings_on = self._step[places, None] / STEPS_PER_BEAT + self._length > end
            led.append((ids, self._ids["Duration"], rings_on & (halves > 0), -RINGING))
        pairs, weights = [], []
        for first, second, which, weight in led:
            row, column = np.nonzero(which)  # (len(first), len(second))
            pairs.append(np.stack([first[row], second[column]], axis=1))
            weights.append(np.full(len(row), weight, np.float32))
        return bias, (np.concatenate(pairs).astype(np.int32), np.concatenate(weights))

    def _grid(self, by: dict[str, float]) -> Vector:
        inside = self._step % STEPS_PER_BEAT
        eighth, beat = inside == STEPS_PER_BEAT // 2, inside == 0
        sixteenth = np.isin(inside, (STEPS_PER_BEAT // 4, 3 * STEPS_PER_BEAT // 4))
        found: Vector = by["on_eighths"] * eighth + by["on_sixteenths"] * sixteenth
        found += by["on_triplets"] * ~(beat | eighth | sixteenth)
        return found


_MAJOR = {4: 1.0, 3: -1.0, 9: 0.5, 8: -0.5, 11: 0.3, 10: -0.3}
_CLEAR = ({0: 1.0, 3: 1.0, 7: 1.0}, {0: 1.0, 4: 1.0, 7: 1.0})
_AT_HOME = ({0: 1.0, 11: 0.3, 8: -0.5, 10: -1.0}, {0: 0.7, 7: 0.7, 5: 0.3, 9: -1.0})
"""What tells a minor, and a major key from its relative, which has the same scale."""
OUT_OF_SCALE = 0.3
_QUALITY = (1.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, -1.0, -0.5)
"""How major a chord of each of `QUALITIES` is; on a root out of the scale it counts for less."""


def _scale(*, is_major: bool) -> tuple[int, ...]:
    return MAJOR_SCALE if is_major else MINOR_SCALES


def _major_chords(*, is_major: bool) -> Vector:
    """Return how major each chord is, shape (109,)."""
    tonal = np.where(np.isin(np.arange(12), _scale(is_major=is_major)), 1.0, OUT_OF_SCALE)
    return np.append(np.outer(tonal, _QUALITY).ravel(), 0.0)  # root * 9 + quality, then none


_MAJOR_CHORDS = tuple(_major_chords(is_major=is_major) for is_major in (False, True))


def _tones(by: Mapping[str, float], centre: Centre) -> Vector:
    """Return what each pitch class has, shape (12,); a chord has what its notes have."""
    in_scale = np.isin(np.arange(12), _scale(is_major=centre.is_major))
    found: Vector = np.where(in_scale, 0.0, by["outside"])
    for name, profile in (
        ("major", _MAJOR),
        ("clear", _CLEAR[centre.is_major]),
        ("at_home", _AT_HOME[centre.is_major]),
    ):
        found += by[name] * _profile(profile)
    return found


def _profile(by: Mapping[int, float]) -> Vector:
    return np.array([by.get(pitch_class, 0.0) for pitch_class in range(12)])


def _bent(off: Vector) -> Vector:
    """Return the square, but no more than 3: no lever is to drive all into one corner."""
    return np.minimum(off**2, 3.0)


def _numbers(vocabulary: Vocabulary, kind: str) -> Vector:
    return np.array([float(text) for text in vocabulary.values(kind)])
