"""Control directions of steering: levers, and what each does to attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.files import UNREADABLE, read_json, write_text
from emomusic.music.attributes import attribute
from emomusic.music.chords import N_QUALITIES, NO_CHORD, chord_tones
from emomusic.music.key import MAJOR_SCALE, MINOR_SCALES
from emomusic.music.tokenizer import HALVES, STEPS_PER_BEAT, Vocabulary, beats_of

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]
Pairs = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Of a `LogitBias`, with their weights."""
# Where chords are given, in nats:
IN_CHORD = 2.5  # What a note of the chord has more than others.
ROOT_BELOW = 2.0  # What its root has beyond that where a half bar begins, low down.
LOW_PITCH = 53  # MIDI pitch below which that is.
NO_RINGING = 2.0  # What a length has less that rings on after the chord has changed.
RINGING_GRACE = 0.25  # For so many beats it may.
LEVER_REACH = {
    "soon": 0.8, "bar_ends": 0.7, "on_eighths": 0.7, "on_sixteenths": 0.8, "on_triplets": 0.8,
    "fuller": 0.7, "higher": 0.7, "wider": 0.3, "major": 0.7, "clear": 0.6, "at_home": 0.5,
    "outside": 0.8, "major_chords": 0.7, "louder": 0.6, "swell": 0.7, "longer": 0.5,
    "unequal": 0.3,
}  # fmt: skip
"""How far each lever is easily pulled, in nats: in the controller's solution all cost alike."""
LEVERS = tuple(LEVER_REACH)
BASS_BELOW = 46  # Below it no note is favoured for its height: the bass is not dragged about.
SEMITONES = 12.0  # Of an octave: the unit in which `higher` and `wider` count.
VELOCITY_STEP = 16.0  # MIDI velocity: the unit of `louder` and `swell`.
SWELL = (-1.0, -0.3, 0.3, 1.0)  # How loud each of four bars is, in that unit.
# What levers turn about where nothing is asked for.
MIDDLE_PITCH, MIDDLE_VELOCITY, MIDDLE_LENGTH = 62.0, 64.0, 0.7  # MIDI pitch, MIDI velocity, beats.
USUAL_SHARE, SHORTEST = 0.75, 0.1  # Most notes are shorter than the mean, by so much; beats.
FLATTENING = 0.5  # How much a swell pushed back holds velocities together, a squared unit.


def is_major(targets: Mapping[str, float]) -> bool:
    """Tell which scale is meant: that of the mode, or else of the chords that are asked for."""
    return targets.get("mode", targets.get("chord_mode", 0.0)) >= 0


class ControlDirections:
    """Add up levers to a bias of the logits; the music is written in C.

    One unit of a lever moves the odds of what it favours by a factor of e.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._size = len(vocabulary)
        kinds = ("Position", "Pitch", "Velocity", "Duration")
        self._ids = {kind: vocabulary.kind_ids(kind) for kind in kinds}
        self._ids |= {half: vocabulary.chord_ids(half) for half in HALVES}
        self._ids["End"] = np.concatenate([vocabulary.kind_ids(k) for k in ("Bar", "EOS")])
        self._step, self._pitch, self._velocity = (
            np.array([float(text) for text in vocabulary.values(kind)]) for kind in kinds[:3]
        )
        self._pitch_class = (self._pitch % 12).astype(np.int64)
        self._length = np.array([beats_of(vocabulary.texts[i]) for i in self._ids["Duration"]])
        self._tones = chord_tones()  # (109, 12)

    def bias(
        self,
        pulled: Vector,
        targets: Mapping[str, float],
        *,
        bar: int,
        beats_per_bar: int = 4,
        crowded: Vector | float = 0.0,
    ) -> NDArray[np.float32]:
        """Return the bias of all levers together, shape (2, vocab_size + 1), see `LogitBias`.

        Args:
            pulled: How far each lever is pulled, shape (n_levers,).
            targets: What they turn about: attribute values asked for, as written in C.
            bar: Which bar of the clip it is for: dynamics swell over four bars.
            beats_per_bar: How far away its end is.
            crowded: What is taken off each pitch class, shape (12,).
        """
        by, in_major = dict(zip(LEVERS, pulled.tolist(), strict=True)), is_major(targets)
        total = np.zeros((2, self._size + 1))
        total[1, self._ids["Position"]] = -by["soon"] * self._step / STEPS_PER_BEAT
        total[1, self._ids["End"]] = -by["soon"] * beats_per_bar
        total[0, self._ids["End"]] = by["bar_ends"]
        total[0, self._ids["Position"]] = self._grid(by)
        total[0, -1] = by["fuller"]
        height = np.maximum(self._pitch, BASS_BELOW) - targets.get("register", MIDDLE_PITCH)
        total[0, self._ids["Pitch"]] = by["higher"] * height / SEMITONES
        total[0, self._ids["Pitch"]] += by["wider"] * _bent(height / SEMITONES)
        tones = _tones(by, in_major)
        chords = self._tones @ tones + by["major_chords"] * _MAJOR_CHORDS[in_major]
        for half in HALVES:
            total[0, self._ids[half]] = chords
        total[0, self._ids["Pitch"]] += (tones - crowded)[self._pitch_class]
        off = (self._velocity - targets.get("velocity_mean", MIDDLE_VELOCITY)) / VELOCITY_STEP
        swell = max(by["swell"], 0.0) * SWELL[bar % len(SWELL)]
        total[0, self._ids["Velocity"]] = (by["louder"] + swell) * off
        total[0, self._ids["Velocity"]] += min(by["swell"], 0.0) * FLATTENING * off**2
        usual = max(targets.get("note_length", MIDDLE_LENGTH) * USUAL_SHARE, SHORTEST)
        longer = np.log2(self._length / usual)
        total[0, self._ids["Duration"]] = by["longer"] * longer + by["unequal"] * _bent(longer)
        return total.astype(np.float32)

    def along(
        self, chords: tuple[int, int], after: int, *, beats_per_bar: int = 4
    ) -> tuple[NDArray[np.float32], Pairs]:
        """Return what leads the notes of a bar along its two chords.

        Args:
            chords: Numbers, as written in C.
            after: Number of the chord that follows.
            beats_per_bar: Of the bar.

        Returns:
            What is added to the bias of a `LogitBias` for what both halves have, and pairs for
            what one of them has.
        """
        tones = self._tones[list(chords)][:, self._pitch_class] > 0  # (2, n_pitches)
        bias = np.zeros((2, self._size + 1), np.float32)
        bias[0, self._ids["Pitch"]] = IN_CHORD * tones.all(axis=0)
        late = self._step * 2 >= beats_per_bar * STEPS_PER_BEAT
        pairs, weights = [], []

        def lead(first: NDArray[np.int64], second: str, which: Mask, weight: float) -> None:
            row, column = np.nonzero(np.broadcast_to(which, (len(first), len(self._ids[second]))))
            pairs.append(np.stack([first[row], self._ids[second][column]], axis=1))
            weights.append(np.full(len(row), weight, np.float32))

        for at, chord in enumerate(chords):
            places = np.flatnonzero(late == bool(at))
            ids = self._ids["Position"][places]
            lead(ids, "Pitch", tones[at] & ~tones[1 - at], IN_CHORD)
            is_root = (self._pitch_class == chord // N_QUALITIES) & (self._pitch < LOW_PITCH)
            lead(ids[:1], "Pitch", is_root & (chord < NO_CHORD), ROOT_BELOW)
            # How many half bars from the bar line the chord ends; 0 where it does not.
            halves = next((n for n, other in ((1, chords[1]), (2, after)) if other != chord), 0)
            end = beats_per_bar * halves / 2 + RINGING_GRACE
            rings_on = self._step[places, None] / STEPS_PER_BEAT + self._length > end
            lead(ids, "Duration", rings_on & (halves > 0), -NO_RINGING)
        return bias, (np.concatenate(pairs).astype(np.int32), np.concatenate(weights))

    def _grid(self, by: Mapping[str, float]) -> Vector:
        inside = self._step % STEPS_PER_BEAT
        eighth, beat = inside == STEPS_PER_BEAT // 2, inside == 0
        sixteenth = np.isin(inside, (STEPS_PER_BEAT // 4, 3 * STEPS_PER_BEAT // 4))
        found: Vector = by["on_eighths"] * eighth + by["on_sixteenths"] * sixteenth
        found += by["on_triplets"] * ~(beat | eighth | sixteenth)
        return found


def _profile(by: Mapping[int, float]) -> Vector:
    return np.array([by.get(pitch_class, 0.0) for pitch_class in range(12)])


_MAJOR = _profile({4: 1.0, 3: -1.0, 9: 0.5, 8: -0.5, 11: 0.3, 10: -0.3})
# The following of minor, then of major.
_CLEAR = (_profile({0: 1.0, 3: 1.0, 7: 1.0}), _profile({0: 1.0, 4: 1.0, 7: 1.0}))
_AT_HOME = (
    _profile({0: 1.0, 11: 0.3, 8: -0.5, 10: -1.0}),
    _profile({0: 0.7, 7: 0.7, 5: 0.3, 9: -1.0}),
)
"""What tells a minor, and a major key from its relative, which has the same scale."""
_IN_SCALE = tuple(np.isin(np.arange(12), scale) for scale in (MINOR_SCALES, MAJOR_SCALE))
OUT_OF_SCALE = 0.3
_QUALITY = (1.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, -1.0, -0.5)
"""How major a chord of each of `QUALITIES` is; on a root out of the scale it counts for less."""
_MAJOR_CHORDS = tuple(
    np.append(np.outer(np.where(scale, 1.0, OUT_OF_SCALE), _QUALITY).ravel(), 0.0)
    for scale in _IN_SCALE
)
"""How major each chord is, shape (109,): root * 9 + quality, then none."""


def _tones(by: Mapping[str, float], in_major: bool) -> Vector:
    """Return what each pitch class has, shape (12,); a chord has what its notes have."""
    found: Vector = np.where(_IN_SCALE[in_major], 0.0, by["outside"])
    found += by["major"] * _MAJOR
    found += by["clear"] * _CLEAR[in_major]
    found += by["at_home"] * _AT_HOME[in_major]
    return found


def _bent(off: Vector) -> Vector:
    """Return the square, but no more than 3: no lever is to drive all into one corner."""
    return np.minimum(off**2, 3.0)


FORMAT = "emomusic-steering-2"
STEERING_NAME = "steering.json"
MAX_BYTES = 2**20
TABLES = ("mean", "scale", "start", "asked", "pulled")
RIDGE_ASKED = 20.0
RIDGE_PULLED = 5.0
SURE = 3.0  # Standard errors that a lever's slope must exceed to count.


@dataclass(frozen=True)
class Response:
    """Hold how attributes of written clips follow from what was asked and which lever pulled.

    All attributes are counted in standard deviations of real music from a mean.

    Attributes:
        mean: Of each attribute, shape (n_attributes,).
        scale: Standard deviation of each, above 0, shape (n_attributes,).
        start: What is achieved where nothing is asked and no lever pulled, shape (n_attributes,).
        asked: Slopes of achieved (rows) on asked (columns), shape (n_attributes, n_attributes).
        pulled: Slopes of achieved on levers, shape (n_attributes, n_levers).
        attributes: Their names.
    """

    mean: Vector
    scale: Vector
    start: Vector
    asked: Vector
    pulled: Vector
    attributes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If one is wrong, a number not finite, or an attribute unknown.
        """
        for name in self.attributes:
            attribute(name)
        n, k = len(self.attributes), len(LEVERS)
        shapes = {"mean": (n,), "scale": (n,), "start": (n,), "asked": (n, n), "pulled": (n, k)}
        for name, shape in shapes.items():
            found = getattr(self, name)
            if found.shape != shape or not np.isfinite(found).all():
                raise ValueError(f"{name} must be {shape} finite numbers, got {found.shape}")
        if not (self.scale > 0).all():
            raise ValueError("scale must be above 0")

    def save(self, folder: Path) -> None:
        """Write `steering.json`."""
        content = {"format": FORMAT, "attributes": self.attributes, "levers": LEVERS}
        # Five digits that count.
        short = np.vectorize(lambda number: float(f"{number:.5g}"))
        tables = {name: short(getattr(self, name)).tolist() for name in TABLES}
        text = json.dumps({**content, **tables})
        write_text(folder / STEERING_NAME, text.replace("], ", "],\n ") + "\n")

    @classmethod
    def load(cls, folder: Path) -> Response | None:
        """Read `steering.json`; None where a checkpoint has none.

        Raises:
            ValueError: If it is damaged or of another format.
        """
        path = folder / STEERING_NAME
        if not path.exists():
            return None
        try:
            content = read_json(path, max_bytes=MAX_BYTES)
            for name, known in (("format", FORMAT), ("levers", list(LEVERS))):
                if content.pop(name) != known:
                    raise ValueError(f"its {name} is not that of this version")
            names = tuple(content.pop("attributes"))
            tables = {name: np.array(table, np.float64) for name, table in content.items()}
            return cls(**tables, attributes=names)
        except UNREADABLE as error:
            raise ValueError(f"cannot read the steering {path}: {error}") from error


def fit_response(
    asked: Vector, pulled: Vector, achieved: Vector, *, scale: Vector, attributes: Sequence[str]
) -> Response:
    """Fit linear responses by ridge regression; what is not sure counts as none.

    Args:
        asked: Attributes asked for, shape (n_clips, n_attributes).
        pulled: ControlDirections, shape (n_clips, n_levers).
        achieved: Attributes measured, shape (n_clips, n_attributes).
        scale: Standard deviation of each attribute in real music, shape (n_attributes,).
        attributes: Their names.
    """
    mean = achieved.mean(axis=0)
    n = len(attributes)
    inputs = np.hstack([np.ones((len(asked), 1)), (asked - mean) / scale, pulled])
    penalty = np.diag([0.0] + [RIDGE_ASKED] * n + [RIDGE_PULLED] * len(LEVERS))
    goal = (achieved - mean) / scale
    inverse = np.linalg.inv(inputs.T @ inputs + penalty)
    weights = (inverse @ (inputs.T @ goal)).T
    noise = (goal - inputs @ weights.T).std(axis=0)
    error = noise[:, None] * np.sqrt(np.diag(inverse))
    weights[:, 1:] *= np.abs(weights[:, 1:]) > SURE * error[:, 1:]
    by_asking, by_pulling = weights[:, 1 : n + 1], weights[:, n + 1 :]
    return Response(mean, scale, weights[:, 0], by_asking, by_pulling, tuple(attributes))
