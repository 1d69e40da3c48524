"""Which letter and accidental a pitch is written with, in a key."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from emomusic.music.key import estimate_key, parse_tonic
from emomusic.music.notation.grid import Bar, Chord
from emomusic.music.notes import Notes
from emomusic.music.tokenizer import STEPS_PER_BEAT

FLATTEST, SHARPEST = -8, 12
"""F flat and B sharp on the line of fifths, C at 0: beyond lie double flats and sharps."""
NEAR = STEPS_PER_BEAT // 2
LED = 2.0
"""Fifths by which a semitone step up or down pulls towards sharp or flat."""
LETTERS = "FCGDAEB"


@dataclass(frozen=True)
class Signature:
    """Hold a key as it is written.

    Attributes:
        fifths: Sharps of the key signature, -6 to 6; flats are negative.
        is_minor: Whether it stands for the minor key.
    """

    fifths: int
    is_minor: bool

    @property
    def scale(self) -> range:
        """Return the places of the seven notes of the signature on the line of fifths."""
        return range(self.fifths - 1, self.fifths + 6)

    @property
    def reach(self) -> range:
        """Return the places at which notes foreign to the key may lie: all pitch classes.

        In C major they reach from D flat to A sharp, in A minor from E flat.
        """
        flattest = self.fifths - (3 if self.is_minor else 5)
        sharpest = min(self.fifths + 10, SHARPEST)
        return range(max(min(flattest, sharpest - 11), FLATTEST), sharpest + 1)

    @property
    def known(self) -> dict[int, int]:
        """Return the place of each pitch class whose spelling the key decides.

        In minor those of the raised sixth and seventh are decided too.
        """
        raised = [self.fifths + 6, self.fifths + 8] if self.is_minor else []
        return {place * 7 % 12: place for place in (*self.scale, *raised)}


def signature_of(notes: Notes, key: str | None) -> Signature:
    """Return the signature of a key, or of the one that the notes seem to be in.

    Of two spellings the one with fewer accidentals is taken: A flat minor is written as G sharp
    minor.

    Args:
        notes: At least one.
        key: Such as `F# minor`, `Bb major`, `D`, or None. A note name alone is a major key.

    Raises:
        ValueError: If the text is no key.
    """
    if key is None:
        estimate = estimate_key(notes)
        return _signature(estimate.tonic, not estimate.is_major, is_sharp=False)
    tonic, _, mode = key.strip().partition(" ")
    mode = mode.strip().lower()
    if mode not in ("", "major", "minor"):
        raise ValueError(
            f"key must be a note name and major or minor, such as D minor, got {key!r}"
        )
    return _signature(parse_tonic(tonic), mode == "minor", is_sharp="#" in tonic)


def _signature(tonic: int, is_minor: bool, *, is_sharp: bool) -> Signature:
    fifths = (7 * tonic + (-3 if is_minor else 0) + 6) % 12 - 6
    return Signature(6 if fifths == -6 and is_sharp and not is_minor else fifths, is_minor)


def spell(
    hands: Sequence[Sequence[Chord]], bars: Sequence[Bar], signature: Signature
) -> list[dict[int, int]]:
    """Return, for each bar, the place on the line of fifths of each pitch class struck in it.

    Notes of the key, and the raised sixth and seventh of minor, have one spelling. Any other is
    spelled, alike in all of a bar, as is nearer on the line of fifths to the key and to the
    notes struck around it, and pulled towards the note a semitone away that it leads to.

    Args:
        hands: The chords of each hand, in their order.
        bars: Bars that hold them; a chord is spelled in the one it starts in.
        signature: The key.

    Reference: places on the line of fifths as in Temperley (2001); the rule is ours.
    """
    known = signature.known
    lines = [bar.start for bar in bars]
    struck = sorted((chord.start, chord.pitches) for hand in hands for chord in hand)
    centres: dict[tuple[int, int], list[float]] = defaultdict(list)
    for hand in hands:
        for chord, after in zip_longest(hand, hand[1:]):
            strange = [pitch for pitch in chord.pitches if pitch % 12 not in known]
            bar = bisect_right(lines, chord.start) - 1
            for pitch in strange:
                centre = _centre(struck, chord.start, signature)
                centre += _pull(pitch, after.pitches if after else ())
                centres[bar, pitch % 12].append(centre)
    spelled = [dict(known) for _ in bars]
    for (bar, pitch_class), places in centres.items():
        spelled[bar][pitch_class] = _nearest(pitch_class, sum(places) / len(places), signature)
    return spelled


def _centre(
    struck: Sequence[tuple[int, tuple[int, ...]]], start: int, signature: Signature
) -> float:
    """Return the mean place of the key's middle and of its notes struck around a step."""
    known = signature.known
    first = bisect_left(struck, (start - NEAR, ()))
    last = bisect_left(struck, (start + NEAR + 1, ()))
    places = [
        known[pitch % 12]
        for _, pitches in struck[first:last]
        for pitch in pitches
        if pitch % 12 in known
    ]
    return (signature.fifths + 2 + sum(places)) / (1 + len(places))


def _pull(pitch: int, after: Sequence[int]) -> float:
    return LED * ((pitch + 1 in after) - (pitch - 1 in after))


def _nearest(pitch_class: int, centre: float, signature: Signature) -> int:
    places = [place for place in signature.reach if place * 7 % 12 == pitch_class]
    return min(places, key=lambda place: abs(place - centre))


def letter_of(place: int) -> tuple[str, int]:
    """Return the letter of a place on the line of fifths, and its sharps (flats negative)."""
    alter, letter = divmod(place + 1, len(LETTERS))
    return LETTERS[letter], alter


def octave_of(pitch: int, alter: int) -> int:
    """Return the octave in which a MIDI pitch is written with so many sharps: 4 for middle C."""
    return (pitch - alter) // 12 - 1
