"""The key of a passage: tonic, major against minor, and how clear it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emomusic.music.notes import FloatColumn, Notes

MAJOR_PROFILE = (17.7661, 0.145624, 14.9265, 0.160186, 19.8049, 11.3587,
                 0.291248, 22.062, 0.145624, 8.15494, 0.232998, 4.95122)  # fmt: skip
MINOR_PROFILE = (18.2648, 0.737619, 14.0499, 16.8599, 0.702494, 14.4362,
                 0.702494, 18.6161, 4.56621, 1.93186, 7.37619, 1.75623)  # fmt: skip
MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11)
MINOR_SCALES = (0, 2, 3, 5, 7, 8, 10, 11)
MAX_WEIGHT_BEATS = 2.0
TONIC_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SPELLINGS = {"C#": 1, "D#": 3, "F#": 6, "G#": 8, "A#": 10, "Cb": 11, "Fb": 4, "E#": 5, "B#": 0}
FLATTEST, SHARPEST = -8, 12
"""F flat and B sharp on the line of fifths, C at 0: beyond lie double flats and sharps."""
LETTERS = "FCGDAEB"


@dataclass(frozen=True)
class Key:
    """Hold a key.

    Attributes:
        tonic: Pitch class, 0 (C) to 11 (B).
        mode: Major against minor on that tonic, -1 (minor) to 1 (major): the difference of
            the two profile correlations, halved.
        clarity: Correlation of the better profile, -1 to 1.
    """

    tonic: int
    mode: float
    clarity: float

    @property
    def is_major(self) -> bool:
        return self.mode >= 0

    @property
    def name(self) -> str:
        """Return the key's name, such as `Eb minor`."""
        return f"{TONIC_NAMES[self.tonic]} {'major' if self.is_major else 'minor'}"


def parse_tonic(text: str) -> int:
    """Return the pitch class that a note name such as `F#`, `Bb` or `c` stands for.

    Raises:
        ValueError: If the text is no note name.
    """
    name = text.strip()[:1].upper() + text.strip()[1:]
    if name in TONIC_NAMES:
        return TONIC_NAMES.index(name)
    if name in _SPELLINGS:
        return _SPELLINGS[name]
    raise ValueError(f"tonic must be a note name such as C, F# or Bb, got {text!r}")


def _standardised(profile: tuple[float, ...]) -> FloatColumn:
    values = np.array(profile) - np.mean(profile)
    return values / np.linalg.norm(values)


PROFILES = np.stack(
    [
        np.roll(_standardised(p), tonic)
        for p in (MAJOR_PROFILE, MINOR_PROFILE)
        for tonic in range(12)
    ]
)
"""Major profiles on each tonic, then minor ones, standardised, shape (24, 12)."""


def key_correlations(notes: Notes) -> FloatColumn:
    """Return how well each key's profile fits, shape (2, 12): major and minor on each tonic.

    A note weighs its duration, at most two beats. A passage without notes, or with all pitch
    classes alike, fits all keys with 0.
    """
    duration = np.minimum(notes.duration, MAX_WEIGHT_BEATS)
    weights = np.bincount(notes.pitch % 12, weights=duration, minlength=12).astype(np.float64)
    weights = weights - weights.mean()
    norm = float(np.linalg.norm(weights))
    if norm < 1e-9:
        return np.zeros((2, 12))
    return (PROFILES @ weights / norm).reshape(2, 12)


def estimate_key(notes: Notes) -> Key:
    """Return the key whose profile correlates best with the passage.

    A passage without notes, or with all pitch classes alike, has clarity 0 and mode 0 on C.

    Reference: the method is Krumhansl and Schmuckler's (Krumhansl 1990), the profiles are
    Aarden's (2003), counted in the Essen folk songs. On 16-bar windows of 258 POP909 songs
    with annotated keys they find 84 % of the keys, against 73 % with Krumhansl and Kessler's.
    """
    correlation = key_correlations(notes)
    tonic = int(correlation.max(axis=0).argmax())
    major, minor = correlation[:, tonic]
    return Key(tonic, float(major - minor) / 2, float(max(major, minor)))


@dataclass(frozen=True)
class Signature:
    """Hold a key as it is written."""

    fifths: int  # sharps of the signature, -6 to 6; flats are negative
    is_minor: bool

    @property
    def scale(self) -> range:
        return range(self.fifths - 1, self.fifths + 6)

    @property
    def known(self) -> dict[int, int]:
        """Return the place of each pitch class whose spelling the key decides.

        In minor those of the raised sixth and seventh are decided too.
        """
        raised = [self.fifths + 6, self.fifths + 8] if self.is_minor else []
        return {place * 7 % 12: place for place in (*self.scale, *raised)}

    def nearest(self, pitch_class: int, centre: float) -> int:
        """Return the place of a pitch class nearest to another, of those that may be written.

        In C major they reach from D flat to A sharp, in A minor from E flat.
        """
        sharpest = min(self.fifths + 10, SHARPEST)
        flattest = min(self.fifths - (3 if self.is_minor else 5), sharpest - 11)
        reach = range(max(flattest, FLATTEST), sharpest + 1)
        places = [place for place in reach if place * 7 % 12 == pitch_class]
        return min(places, key=lambda place: abs(place - centre))

    def name_of(self, pitch_class: int) -> str:
        """Return the name of a note by itself, such as the root of a chord: F# in F# minor."""
        place = self.known.get(pitch_class, self.nearest(pitch_class, self.fifths + 2))
        letter, alter = letter_of(place)
        return letter + ("#" * alter or "b" * -alter)


def signature_of(key: str) -> Signature:
    """Return the signature of a key.

    Of two spellings the one with fewer accidentals is taken: A flat minor is written as G sharp
    minor.

    Args:
        key: Such as `F# minor`, `Bb major` or `D`. A note name alone is a major key.

    Raises:
        ValueError: If the text is no key.
    """
    tonic, _, mode = key.strip().partition(" ")
    mode = mode.strip().lower()
    if mode not in ("", "major", "minor"):
        raise ValueError(
            f"key must be a note name and major or minor, such as D minor, got {key!r}"
        )
    is_minor = mode == "minor"
    fifths = (7 * parse_tonic(tonic) + (-3 if is_minor else 0) + 6) % 12 - 6
    return Signature(6 if fifths == -6 and "#" in tonic and not is_minor else fifths, is_minor)


def letter_of(place: int) -> tuple[str, int]:
    """Return the letter of a place on the line of fifths, and its sharps (flats negative)."""
    alter, letter = divmod(place + 1, len(LETTERS))
    return LETTERS[letter], alter
