"""How a time is written: note values tied together, rests, beams, clefs and octaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from emomusic.music.notation.grid import EIGHTH, SIXTEENTH, THIRD, WHOLE, Bar, Hand
from emomusic.music.tokenizer import STEPS_PER_BEAT

NAMES = ("16th", "eighth", "quarter", "half", "whole", "breve")
TRIPLET_VALUES = {THIRD: ("eighth", 0), 2 * THIRD: ("quarter", 0)}
VALUES = {
    **TRIPLET_VALUES,
    **{SIXTEENTH * 2**i: (name, 0) for i, name in enumerate(NAMES)},
    **{SIXTEENTH * 3 * 2**i // 2: (NAMES[i], 1) for i in (1, 2, 3, 4)},
}
"""Steps that one note value fills: its name and its dots."""
LINE, HALF, GROUP, BEAT, OFF_BEAT, WEAK = 5, 4, 3, 2, 1, 0
"""How strong a step of the bar is."""
Pieces = tuple[tuple[int, int], ...]


@dataclass
class Sign:
    """Hold a note, chord or rest of one value inside a bar."""

    start: int  # steps from the bar line
    length: int  # steps
    pitches: tuple[int, ...] = ()  # MIDI, ascending; none for a rest
    value: str = ""  # of the note, such as `quarter`; empty for the rest of a whole bar
    dots: int = 0
    tied_from: bool = False  # it goes on sounding from the sign before
    tied_to: bool = False
    triplet: str = ""  # of three in the time of two: `start`, `within` or `stop`
    beams: tuple[str, ...] = ()  # from the first: `start`, `continue`, `stop`, `partial-left`, …

    @property
    def end(self) -> int:
        """Return where the next sign starts."""
        return self.start + self.length

    @property
    def n_beams(self) -> int:
        """Return how many beams or flags it has: none for rests."""
        return {"eighth": 1, "16th": 2}.get(self.value, 0) if self.pitches else 0


def signs_of(hand: Hand, bars: Sequence[Bar]) -> list[list[Sign]]:
    """Return what is written for a hand in each bar; the signs of a bar fill it."""
    spans = list(_spans(hand, bars[-1].end))
    written, first = [], 0
    for bar in bars:
        while spans[first][1] <= bar.start:
            first += 1
        thirds = tuple(sorted(t - bar.start for t in hand.triplets if bar.start <= t < bar.end))
        signs: list[Sign] = []
        for begin, end, pitches in spans[first:]:
            if begin >= bar.end:
                break
            signs += _signs_in(bar, begin - bar.start, end - bar.start, pitches, thirds)
        _beam(signs, strengths_of(bar.metre, bar.length, ()))
        written.append(signs)
    return written


def _spans(hand: Hand, end: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Return chords and the silences between them, each as start, end and pitches."""
    at = 0
    for chord in hand.chords:
        if at < chord.start:
            yield at, chord.start, ()
        yield chord.start, chord.end, chord.pitches
        at = chord.end
    if at < end:
        yield at, end, ()


def _signs_in(
    bar: Bar, begin: int, end: int, pitches: tuple[int, ...], thirds: tuple[int, ...]
) -> Iterator[Sign]:
    """Return the signs of what lies of a chord or silence in a bar, in steps from its line."""
    start, stop = max(begin, 0), min(end, bar.length)
    if not pitches and (start, stop) == (0, bar.length):
        yield Sign(0, bar.length)
        return
    strengths = strengths_of(bar.metre, bar.length, thirds)
    for at, length in values_in(strengths, start, stop, is_rest=not pitches):
        sign = Sign(at, length, pitches, *VALUES[length])
        sign.tied_from = bool(pitches) and at > begin
        sign.tied_to = bool(pitches) and sign.end < end
        beat = at // STEPS_PER_BEAT * STEPS_PER_BEAT
        if beat in thirds and length in TRIPLET_VALUES:
            closes = sign.end == beat + STEPS_PER_BEAT
            sign.triplet = "start" if at == beat else "stop" if closes else "within"
        yield sign


@lru_cache(maxsize=4096)
def strengths_of(metre: tuple[int, int], length: int, thirds: tuple[int, ...]) -> tuple[int, ...]:
    """Return how strong each step of a bar is, both lines included; -1 where nothing begins.

    Args:
        metre: Numerator and denominator.
        length: Steps of the bar, a multiple of three.
        thirds: Steps at which beats in triplets begin.
    """
    strengths = [-1] * (length + 1)
    for width, strength in ((SIXTEENTH, WEAK), (EIGHTH, OFF_BEAT), *_pulses(metre)):
        strengths[::width] = [max(strength, old) for old in strengths[::width]]
    for start in _uneven_groups(metre):
        if start < length:
            strengths[start] = GROUP
    for third in thirds:
        strengths[third + 1 : third + STEPS_PER_BEAT] = [-1] * (STEPS_PER_BEAT - 1)
        strengths[third + THIRD] = strengths[third + 2 * THIRD] = WEAK
    strengths[0] = strengths[length] = LINE
    return tuple(strengths)


def _pulses(metre: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the widths, in steps, at which a metre pulses, and how strongly."""
    top, bottom = metre
    unit = WHOLE // bottom
    if bottom >= 8:
        if top % 3 == 0 and top > 3:
            return [(3 * unit, GROUP), *([(6 * unit, HALF)] if top % 4 == 0 else [])]
        return [(2 * unit, BEAT)] if top % 2 == 0 else []
    beats = unit * top // STEPS_PER_BEAT
    pulses = [(STEPS_PER_BEAT, BEAT)]
    if bottom <= 2 or beats % 4 == 0:
        pulses.append((2 * STEPS_PER_BEAT, GROUP))
    elif beats % 3 == 0 and beats > 3:
        pulses.append((3 * STEPS_PER_BEAT, GROUP))
    return pulses + ([(WHOLE, HALF)] if beats > 4 and beats % 4 == 0 else [])


def _uneven_groups(metre: tuple[int, int]) -> list[int]:
    """Return where the groups of metres in five and seven start: 3 + 2, 4 + 3 and 2 + 2 + 3."""
    top, bottom = metre
    groups = {5: [3], 7: [4] if bottom <= 4 else [2, 4]}.get(top, [])
    return [units * WHOLE // bottom for units in groups]


@lru_cache(maxsize=65536)
def values_in(strengths: tuple[int, ...], start: int, stop: int, *, is_rest: bool) -> Pieces:
    """Return the fewest note values that fill a time, each as start and length in steps.

    A note may hide a step at most one degree stronger than both its ends; a rest only weaker
    ones. Among equally few, notes are cut at the strongest steps.

    Args:
        strengths: Of the bar, as `strengths_of` returns them.
        start: Steps from the bar line.
        stop: Steps from the bar line, above `start`; both where something may begin.
        is_rest: Whether it is silent.
    """

    def is_clear(at: int, end: int) -> bool:
        hidden = max(strengths[at + 1 : end], default=-1)
        shown = min(strengths[at], strengths[end])
        return shown > hidden if is_rest else shown >= hidden - 1

    best: dict[int, tuple[int, int, Pieces]] = {stop: (0, 0, ())}
    for at in reversed(range(start, stop)):
        found = [
            (best[end][0] + 1, best[end][1] - strengths[end], ((at, end - at), *best[end][2]))
            for end in best
            if strengths[at] >= 0 and end - at in VALUES and is_clear(at, end)
        ]
        if found:
            best[at] = min(found)
    return best[start][2]


def _beam(signs: Sequence[Sign], strengths: tuple[int, ...]) -> None:
    """Join what is shorter than a quarter note beat by beat, plain eighths by half a bar."""
    runs: list[list[Sign]] = []
    for sign in signs:
        if sign.n_beams:
            if runs and runs[-1][-1].end == sign.start and strengths[sign.start] < BEAT:
                runs[-1].append(sign)
            else:
                runs.append([sign])
    merged: list[list[Sign]] = []
    for run in runs:  # beats of two plain eighths, up to where a group of beats ends
        before, start = merged[-1] if merged else [], run[0].start
        goes_on = bool(before) and before[-1].end == start and strengths[start] == BEAT
        is_plain = all(sign.length == EIGHTH for sign in (*before, *run))
        if goes_on and is_plain and len(run) == 2 and len(before) % 2 == 0:
            before += run
        else:
            merged.append(run)
    for run in merged:
        counts = [0, *(sign.n_beams for sign in run), 0]
        for at, sign in enumerate(run if len(run) > 1 else [], start=1):
            sign.beams = tuple(
                _beam_kind(counts, at, level, sign.start) for level in range(sign.n_beams)
            )


def _beam_kind(counts: Sequence[int], at: int, level: int, start: int) -> str:
    before, after = counts[at - 1] > level, counts[at + 1] > level
    if before and after:
        return "continue"
    if before or after:
        return "stop" if before else "start"
    to_the_left = not counts[at + 1] or (counts[at - 1] and start % EIGHTH != 0)
    return "partial-left" if to_the_left else "partial-right"


PLACES = (("bass", -1), ("bass", 0), ("treble", 0), ("treble", 1))
"""Where a staff may write a sign: the clef, and how many octaves higher it sounds."""
STAFF = {"bass": (42.0, 58.5), "treble": (62.5, 78.5)}
"""Pitches below and above which a clef needs ledger lines."""
LINE_SEMITONES = 3.5
LEDGER, NEW_CLEF, NEW_OCTAVE, ODD_OCTAVE, UNUSUAL = 0.25, 8.0, 8.0, 0.3, 0.1
"""Prices of the square of a sign's ledger lines, of another clef, of another octave, and for
each sign of an octave other than it sounds and of the other hand's clef."""
IN_BAR, NEVER = 1.5, 1e6
"""Factors of a change inside a bar, and of one on a tie or off the beat."""


def places_of(signs: Sequence[Sequence[Sign]], *, is_right: bool) -> list[list[tuple[str, int]]]:
    """Return the place of each sign of each bar, of `PLACES`: few ledger lines, few changes.

    The cheapest way through the signs is taken (by dynamic programming); changes fall on beats,
    none on a tie.
    """
    usual = "treble" if is_right else "bass"
    moves = np.array(
        [
            [NEW_CLEF * (clef != old) + NEW_OCTAVE * (octave != before) for old, before in PLACES]
            for clef, octave in PLACES
        ]
    )  # (to, from)
    total = np.array([0.0 if place == (usual, 0) else NEW_CLEF for place in PLACES])
    ways: list[list[int]] = []
    for sign in (sign for bar in signs for sign in bar):
        is_fixed = sign.tied_from or sign.start % STEPS_PER_BEAT
        factor = NEVER if is_fixed else IN_BAR if sign.start else 1.0
        moved = total[None, :] + factor * moves
        ways.append(moved.argmin(axis=1).tolist())
        total = moved.min(axis=1) + [_price(sign.pitches, *place, usual) for place in PLACES]
    at, path = int(total.argmin()), []
    for way in reversed(ways):
        path.append(PLACES[at])
        at = way[at]
    return [[path.pop() for _ in bar] for bar in signs]


def _price(pitches: Sequence[int], clef: str, octave: int, usual: str) -> float:
    low, high = STAFF[clef]
    written = [pitch - 12 * octave for pitch in pitches]
    beyond = max([0.0, *(low - w for w in written), *(w - high for w in written)])
    lines = LEDGER * (beyond / LINE_SEMITONES) ** 2
    return lines + ODD_OCTAVE * abs(octave) + UNUSUAL * (clef != usual)
