"""Chords as musicians write them, what notes they have, and the key that they are at home in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.music.attributes import MAJOR_SCALE, MINOR_SCALES
from emomusic.music.chords import N_QUALITIES, NO_CHORD, QUALITIES
from emomusic.music.key import TONIC_NAMES, parse_tonic
from emomusic.music.notes import FloatColumn

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


def chord_tones() -> FloatColumn:
    """Return 1 for each pitch class that a chord has, 0 for others, shape (109, 12)."""
    tones = np.zeros((NO_CHORD + 1, 12))
    for quality, degrees in zip(range(len(QUALITIES)), _DEGREES, strict=True):
        for root in range(12):
            tones[root * N_QUALITIES + quality, (np.array(degrees) + root) % 12] = 1.0
    return tones


def chord_name(number: int) -> str:
    """Return the name of a chord's number, such as `Bbm7`; `N` where there is none."""
    if number == NO_CHORD:
        return NONE_NAME
    root, quality = divmod(number, N_QUALITIES)
    return f"{TONIC_NAMES[root]}{SUFFIXES[quality]}"


def chord_number(name: str) -> int:
    """Return the number of the chord that a name stands for.

    Raises:
        ValueError: If there is no such chord; the message lists the names.
    """
    if name == NONE_NAME:
        return NO_CHORD
    n_root = 2 if name[1:2] in ("#", "b") else 1
    root, suffix = name[:n_root], name[n_root:]
    if suffix not in SUFFIXES or not root[:1].isupper():
        raise _unknown(name)
    try:
        return parse_tonic(root) * N_QUALITIES + SUFFIXES.index(suffix)
    except ValueError:
        raise _unknown(name) from None


def _unknown(name: str) -> ValueError:
    known = ", ".join(f"C{suffix}" for suffix in SUFFIXES)
    return ValueError(
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
    for tonic in range(12):
        for scale, third in ((MAJOR_SCALE, 4), (MINOR_SCALES, 3)):
            if is_major is not None and is_major != (third == 4):
                continue
            inside = tones[:, (np.array(scale) + tonic) % 12].sum() / tones.sum()
            at_home = tones[:, (tonic + third) % 12] > 0
            at_home &= np.array(numbers) // N_QUALITIES == tonic
            fit = float(inside + AT_HOME * at_home.mean() + FRAME * (at_home[0] + at_home[-1]))
            best = max(best, (fit, tonic))
    return best[1]
