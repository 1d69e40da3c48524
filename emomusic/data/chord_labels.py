"""The chords that some sources come with, brought to the half bars of a cleaned song."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.chords import NO_CHORD, QUALITIES, UNKNOWN, chord_chances, half_bars
from emomusic.music.key import parse_tonic
from emomusic.music.notes import FloatColumn, IntColumn, Notes

MIN_CHANCE = 0.5
"""A chord that was found in the notes is taken from this chance on."""
MIN_GIVEN_CHANCE = 0.05
"""A given chord that the notes make less likely than this is not heard in them."""
MIN_SHARE = 0.5
"""Of a half bar, for which a given chord must hold."""
ChordSpan = tuple[float, float, int]
"""First quarter note of a chord, the one after it, and its number."""

_MARKED = {"M": "maj", "m": "min", "o": "dim", "+": "aug", "sus2": "maj", "sus4": "sus4",
           "7": "7", "M7": "maj7", "m7": "min7", "o7": "dim", "/o7": "m7b5"}  # fmt: skip
_CLASSES = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "aug": (0, 4, 8),
            "sus4": (0, 5, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11),
            "min7": (0, 3, 7, 10), "m7b5": (0, 3, 6, 10)}  # fmt: skip
SUS2 = [0, 2, 7]
_QUALITY_OF = {classes: quality for quality, classes in _CLASSES.items()}


def given_chords(score: ScoreTick, source: str) -> list[ChordSpan]:
    """Return the chords that a file comes with: POP909-CL's second track, Pop1K7's markers.

    Qualities that are none of ours become the nearest: sus2 and sixths their triad, ninths
    their seventh chord. What cannot be read is left out.
    """
    quarter = score.ticks_per_quarter
    if source == "pop909" and len(score.tracks) > 1:
        blocks: dict[tuple[int, int], list[int]] = defaultdict(list)
        for note in score.tracks[1].notes:
            blocks[int(note.time), int(note.time + note.duration)].append(int(note.pitch))
        spans = [(start / quarter, end / quarter, block_chord(pitches))
                 for (start, end), pitches in sorted(blocks.items())]  # fmt: skip
        return [span for span in spans if span[2] != UNKNOWN]
    if source != "pop1k7":
        return []
    told = [(marker.time / quarter, marker_chord(marker.text)) for marker in score.markers]
    found = [(start, chord) for start, chord in told if chord is not None]
    ends = [*(start for start, _ in found), score.end() / quarter][1:]
    spans = [(start, end, chord) for (start, chord), end in zip(found, ends, strict=False)]
    return [span for span in spans if span[0] < span[1]]


def block_chord(pitches: list[int]) -> int:
    """Return the number of the chord that a block of notes spells, -1 for none of ours.

    The lowest note is the root if it can be one, else the next that can.
    """
    lowest = min(pitches)
    classes = sorted({(pitch - lowest) % 12 for pitch in pitches})
    for root in classes if classes != SUS2 else ():
        quality = _QUALITY_OF.get(tuple(sorted((one - root) % 12 for one in classes)))
        if quality:
            return _number(lowest + root, quality)
    quality = _nearest_quality(set(classes))
    return _number(lowest, quality) if quality else UNKNOWN


def _number(root: int, quality: str) -> int:
    return root % 12 * len(QUALITIES) + QUALITIES.index(quality)


def _nearest_quality(classes: set[int]) -> str | None:
    if classes == set(SUS2):
        return "maj"
    if len(classes) < 3 or not classes & {3, 4}:
        return None
    if 4 in classes:
        return "7" if 10 in classes else "maj7" if 11 in classes else "maj"
    if 6 in classes and 7 not in classes:
        return "dim"
    return "min7" if 10 in classes else "min"


def marker_chord(text: str) -> int | None:
    """Return the number that a marker such as `F#_m7_C#` says, None if it is no chord."""
    root, _, rest = text.partition("_")
    quality = rest.rpartition("_")[0]
    if root == "N":
        return NO_CHORD
    try:
        return _number(parse_tonic(root), _MARKED[quality])
    except (KeyError, ValueError):
        return None


def label_half_bars(spans: list[ChordSpan], raw_lines: FloatColumn) -> IntColumn:
    """Return the given chord of each half bar, -1 where none holds for half of it, (n_bars, 2).

    The bar lines, shape (n_bars + 1,), are quarter notes of the file, as the spans are.
    """
    edges = half_bars(raw_lines)
    labels = np.full(len(edges) - 1, UNKNOWN, dtype=np.int64)
    held: dict[tuple[int, int], float] = defaultdict(float)
    for start, end, chord in spans:
        first = max(int(np.searchsorted(edges, start + 1e-6, side="right")) - 1, 0)
        last = min(int(np.searchsorted(edges, end - 1e-6)), len(labels))
        for cell in range(first, last):
            held[cell, chord] += min(end, edges[cell + 1]) - max(start, edges[cell])
    longest = np.zeros(len(labels))
    for (cell, chord), length in held.items():
        if length > max(longest[cell], MIN_SHARE * (edges[cell + 1] - edges[cell]) - 1e-6):
            longest[cell], labels[cell] = length, chord
    return labels.reshape(-1, 2)


AGREEMENT = ("given", "same_root", "same_third", "same")
"""Counts of half bars: whose chord the file gives, and of those whose root, root and third, or
whole chord the notes tell alike."""


def known_chords(
    notes: Notes, lines: FloatColumn, given: IntColumn | None
) -> tuple[IntColumn, IntColumn]:
    """Return the chord of each half bar: the given one, else the one found, -1 if unsure.

    Notes and bar lines, shape (n_bars + 1,), are in beats; given chords, shape (n_bars, 2), are -1
    where there is none, and None if the file came with none at all.

    Returns:
        Chords, shape (n_bars, 2), and how far those given are those found, see `AGREEMENT`.
    """
    chance = chord_chances(notes, half_bars(lines))
    told = np.full(len(chance), UNKNOWN) if given is None else given.reshape(-1)
    heard = chance[np.arange(len(told)), np.maximum(told, 0)] >= MIN_GIVEN_CHANCE
    found = np.where(chance.max(axis=1) >= MIN_CHANCE, chance.argmax(axis=1), UNKNOWN)
    chords = np.where(told == UNKNOWN, found, np.where(heard, told, UNKNOWN))
    return chords.reshape(-1, 2), agreement(told, chance.argmax(axis=1))


_THIRDS = np.array([_CLASSES[quality][1] for quality in QUALITIES])


def agreement(given: IntColumn, found: IntColumn) -> IntColumn:
    """Return the counts of `AGREEMENT`, shape (4,); given chords that are -1 do not count."""
    given, found = given[given != UNKNOWN], found[given != UNKNOWN]
    same_root = given // len(QUALITIES) == found // len(QUALITIES)
    third, found_third = (
        np.where(chords == NO_CHORD, 0, _THIRDS[chords % len(QUALITIES)])
        for chords in (given, found)
    )
    same_third = same_root & (third == found_third)
    counts = [len(given), same_root.sum(), same_third.sum(), (given == found).sum()]
    return np.array(counts, dtype=np.int64)
