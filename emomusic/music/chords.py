"""Chords of half bars: how musicians write them, how they are found in notes, and their key."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import product

import numpy as np

from emomusic.music.key import MAJOR_SCALE, MINOR_SCALES, TONIC_NAMES, Signature, parse_tonic
from emomusic.music.notes import FloatColumn, IntColumn, Notes

QUALITIES = ("maj", "min", "dim", "aug", "sus4", "7", "maj7", "min7", "m7b5")
N_QUALITIES = len(QUALITIES)
NO_CHORD, UNKNOWN = 12 * N_QUALITIES, -1
"""The number that says there is none, and that which says that nobody knows."""
CHORD_NAMES = (*(f"{root}:{quality}" for root in range(12) for quality in QUALITIES), "none")
"""The name of each number: `root * 9 + quality`, the root in semitones above C, then none."""
Chords = tuple[tuple[int, int], ...]
"""The number of the chord of each half bar, roots from C."""
NONE_NAME = "N"
SUFFIXES = ("", "m", "dim", "aug", "sus4", "7", "maj7", "m7", "m7b5")
"""What follows the root in a name, for each of `QUALITIES`."""
_DEGREES = ((0, 4, 7), (0, 3, 7), (0, 3, 6), (0, 4, 8), (0, 5, 7), (0, 4, 7, 10), (0, 4, 7, 11),
            (0, 3, 7, 10), (0, 3, 6, 10))  # fmt: skip
MAX_CHORDS = 1024
AT_HOME, FRAME = 0.2, 0.05
"""What a tonic's chords count for a key, all or as first or last, a note out of the scale -1."""


def half_bars(lines: FloatColumn) -> FloatColumn:
    """Return where half bars begin, and the last one's end, shape (2 * n_bars + 1,).

    Args:
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    edges: FloatColumn = np.empty(2 * len(lines) - 1)
    edges[::2], edges[1::2] = lines, (lines[1:] + lines[:-1]) / 2
    return edges


def chord_profiles(notes: Notes, edges: FloatColumn) -> tuple[FloatColumn, FloatColumn]:
    """Return how each pitch class sounds between edges, and which is the lowest.

    Args:
        notes: In beats.
        edges: Rising, in beats, shape (n + 1,).

    Returns:
        Shares of the time between two edges for which each pitch class sounds, at most 1, and
        1 for the pitch class of the lowest note, both of shape (n, 12).
    """
    n, end = len(edges) - 1, notes.onset + notes.duration
    first = np.maximum(np.searchsorted(edges, notes.onset + 1e-6, side="right") - 1, 0)
    last = np.minimum(np.searchsorted(edges, end - 1e-6, side="left") - 1, n - 1)
    spans = np.maximum(last - first + 1, 0)
    note = np.repeat(np.arange(len(notes)), spans)
    cell = np.arange(len(note)) - np.repeat(np.cumsum(spans) - spans, spans) + first[note]
    inside = np.minimum(end[note], edges[cell + 1]) - np.maximum(notes.onset[note], edges[cell])
    share = np.maximum(inside, 0.0) / (edges[cell + 1] - edges[cell])
    place = cell * 12 + notes.pitch[note] % 12
    sound = np.minimum(np.bincount(place, share, 12 * n).reshape(n, 12), 1.0)
    bass = np.zeros((n, 12))
    order = np.lexsort((notes.pitch[note], cell))
    lowest = order[np.flatnonzero(np.diff(cell[order], prepend=-1))]
    bass[cell[lowest], notes.pitch[note[lowest]] % 12] = 1.0
    return sound, bass


SOUND_TEMPLATES = np.array((
    (7.9, -3.3, -0.9, -4.5, 4.8, -2.2, -1.7, 7.1, -3.4, -1.0, -5.2, -4.7),
    (9.6, -1.1, -0.8, 7.6, -5.7, -1.8, -2.5, 8.0, -1.6, -2.2, -2.8, -4.1),
    (9.3, -1.0, -0.2, 6.6, -1.7, 1.5, 6.7, -3.3, -3.0, -3.5, -0.6, -1.8),
    (7.4, -3.2, 1.1, -4.4, 5.4, 0.4, -2.1, -4.3, 5.0, -1.9, -3.1, -0.8),
    (6.1, -2.5, -1.3, -2.9, -2.4, 6.3, -1.6, 5.8, -3.4, -3.2, -1.8, -1.9),
    (6.5, -1.7, -0.8, -2.8, 7.6, -0.5, -2.7, 7.0, -1.6, 0.6, 4.3, -5.7),
    (9.0, -2.4, 0.2, -3.5, 5.4, -3.7, -0.9, 6.9, -3.9, -0.5, -6.6, 4.5),
    (8.0, -1.6, -1.1, 5.4, -5.3, -1.9, -4.1, 5.4, -2.5, -2.9, 3.9, -4.5),
    (8.0, -1.6, -1.1, 5.4, -5.3, -1.9, 6.0, -4.1, -2.5, -2.9, 3.9, -4.5),
))  # fmt: skip
"""What each degree counts for each quality, times the square root of its share of the sound, by
semitones above the root. That of m7b5, which is rare, is made of those of dim and min7."""
BASS_TEMPLATES = np.array((
    (1.2, -0.5, 0.2, 0.3, 0.0, 0.3, -1.0, 0.2, -0.7, -1.1, 0.8, 1.7),
    (0.9, 0.1, -0.2, -0.6, -0.2, 0.0, -0.5, -0.2, -0.9, -1.6, 0.4, 0.0),
    (0.5, 0.2, 0.2, 0.4, -0.3, 0.4, 0.5, -0.2, -1.1, -0.7, 0.1, -0.2),
    (0.7, -0.8, 0.0, -0.3, 0.7, 0.5, -0.2, -0.7, 0.8, 0.1, 0.3, 0.4),
    (1.6, -0.5, 0.1, -0.4, -0.4, -1.1, -0.3, 0.3, 0.4, 0.0, 0.1, 0.2),
    (1.1, 0.1, 0.0, -0.2, 0.2, -0.3, -0.5, 0.0, -0.3, -1.4, 0.6, -0.3),
    (1.0, -0.5, 0.0, -0.5, 0.3, 0.5, -0.2, 0.5, -0.4, -1.5, 0.1, 0.1),
    (1.0, 0.2, 0.1, 0.2, 0.1, 0.0, -0.4, 0.4, -0.7, -1.1, 0.1, 0.7),
    (1.0, 0.2, 0.1, 0.4, 0.1, 0.0, 0.6, 0.0, -0.7, -1.1, 0.3, 0.0),
))  # fmt: skip
"""What the lowest note counts for each quality, by semitones above its root."""
OFFSETS = np.array((-3.8, -6.4, -6.6, -5.3, -6.1, -7.9, -7.2, -5.3, -7.0))
"""What each quality counts before anything is heard; that there is no chord counts 0."""
_ROOT_OF = (np.arange(12)[:, None] + np.arange(12)) % 12  # pitch class of a root's degree


def chord_chances(notes: Notes, edges: FloatColumn) -> FloatColumn:
    """Return the chance of each chord between edges, shape (n, 109), rows adding up to 1.

    A template for each quality, alike on all roots, weighs how long each degree sounds and
    which is the lowest: a softmax, fitted to the chords of 500 songs of POP909-CL and Pop1K7.
    `scripts/check_chords.py` measures the agreement on other songs of theirs: it finds 87 % of
    POP909-CL's roots and 81 % of Pop1K7's; 93 % and 92 % where its chance is at least a half.

    Args:
        notes: In beats.
        edges: Rising, in beats, shape (n + 1,).
    """
    sound, bass = chord_profiles(notes, edges)
    share = np.sqrt(sound / np.maximum(sound.sum(axis=1, keepdims=True), 1e-9))
    fit = share[:, _ROOT_OF] @ SOUND_TEMPLATES.T + bass[:, _ROOT_OF] @ BASS_TEMPLATES.T
    logits = np.zeros((len(fit), NO_CHORD + 1))
    logits[:, :NO_CHORD] = (fit + OFFSETS).reshape(len(fit), NO_CHORD)  # (n, root * 9 + quality)
    chance: FloatColumn = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    return chance


def find_chords(notes: Notes, lines: FloatColumn) -> tuple[IntColumn, FloatColumn]:
    """Return the likeliest chord of each half bar, and its chance, both shape (n_bars, 2).

    Args:
        notes: In beats.
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    chance = chord_chances(notes, half_bars(lines))
    return chance.argmax(axis=1).reshape(-1, 2), chance.max(axis=1).reshape(-1, 2)


def shift_chords(chords: IntColumn, semitones: int) -> IntColumn:
    """Return the numbers of chords moved by semitones; none and unknown stay."""
    moved = (chords + semitones * N_QUALITIES) % NO_CHORD
    return np.where((chords < 0) | (chords == NO_CHORD), chords, moved)


def chord_tones() -> FloatColumn:
    """Return 1 for each pitch class that a chord has, 0 for others, shape (109, 12)."""
    tones = np.zeros((NO_CHORD + 1, 12))
    for number in range(NO_CHORD):
        root, quality = divmod(number, N_QUALITIES)
        tones[number, (np.array(_DEGREES[quality]) + root) % 12] = 1.0
    return tones


def chord_name(number: int, signature: Signature | None = None) -> str:
    """Return the name of a chord's number, such as `Bbm7`; `N` where there is none.

    In a key the root is spelled by it, and it says `N.C.` as musicians do.
    """
    if number == NO_CHORD:
        return "N.C." if signature else NONE_NAME
    root, quality = divmod(number, N_QUALITIES)
    return (signature.name_of(root) if signature else TONIC_NAMES[root]) + SUFFIXES[quality]


def chord_number(name: str) -> int:
    """Return the number of the chord that a name stands for.

    Raises:
        ValueError: If there is no such chord; the message lists the names.
    """
    if name == NONE_NAME:
        return NO_CHORD
    n_root = 2 if name[1:2] in ("#", "b") else 1
    root, suffix = name[:n_root], name[n_root:]
    if root[:1].isupper() and suffix in SUFFIXES:
        with suppress(ValueError):
            return parse_tonic(root) * N_QUALITIES + SUFFIXES.index(suffix)
    known = ", ".join(f"C{suffix}" for suffix in SUFFIXES)
    raise ValueError(
        f"a chord must be one of {known} on any root such as F# or Bb, or {NONE_NAME} for none, "
        f"got {name[:20]!r}"
    )


def parse_chords(text: str) -> Chords:
    """Return the chords of a text such as `Am F C,G7`: a bar each, or two with a comma.

    Raises:
        ValueError: If a name is unknown, a bar has more than two, or there are none or too many.
    """
    bars = []
    for bar in text.replace("|", " ").split():
        names = bar.split(",")
        if len(names) > 2:
            raise ValueError(f"a bar has one chord or two with a comma between them, got {bar!r}")
        bars.append((chord_number(names[0]), chord_number(names[-1])))
    if not 1 <= len(bars) <= MAX_CHORDS:
        raise ValueError(f"chords must be of 1 to {MAX_CHORDS} bars, got {len(bars)}")
    return tuple(bars)


def format_chords(bars: Sequence[tuple[int, int]]) -> str:
    """Return the text that `parse_chords` reads."""
    return " ".join(
        chord_name(a) if a == b else f"{chord_name(a)},{chord_name(b)}" for a, b in bars
    )


def home_of(bars: Sequence[tuple[int, int]], *, is_major: bool | None = None) -> int:
    """Return the tonic of the key that chords are at home in, of that mode if one is named.

    A key fits by the share of the chords' notes in its scale, and better if its tonic's chord
    comes often, first or last.
    """
    numbers = [number for bar in bars for number in bar if number != NO_CHORD]
    if not numbers:
        return 0
    tones, best = chord_tones()[numbers], (-1.0, 0)
    for tonic, (scale, third) in product(range(12), ((MAJOR_SCALE, 4), (MINOR_SCALES, 3))):
        if is_major in (None, third == 4):
            inside = tones[:, (np.array(scale) + tonic) % 12].sum() / tones.sum()
            at_home = tones[:, (tonic + third) % 12] > 0
            at_home &= np.array(numbers) // N_QUALITIES == tonic
            fit = float(inside + AT_HOME * at_home.mean() + FRAME * (at_home[0] + at_home[-1]))
            best = max(best, (fit, tonic))
    return best[1]
