"""How a time is written: note values tied together, rests, and beams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from emomusic.music.notation.grid import EIGHTH, SIXTEENTH, THIRD, WHOLE, Bar, Hand
from emomusic.music.tokenizer import STEPS_PER_BEAT

VALUES = {
    96: ("breve", 0),
    72: ("whole", 1),
    48: ("whole", 0),
    36: ("half", 1),
    24: ("half", 0),
    18: ("quarter", 1),
    12: ("quarter", 0),
    9: ("eighth", 1),
    6: ("eighth", 0),
    3: ("16th", 0),
}
"""Steps that one note value fills: its name and its dots."""
TRIPLET_VALUES = {THIRD: ("eighth", 0), 2 * THIRD: ("quarter", 0)}
_VALUES = VALUES | TRIPLET_VALUES
LINE, HALF, GROUP, BEAT, OFF_BEAT, WEAK = 5, 4, 3, 2, 1, 0
"""How strong a step of the bar is."""


@dataclass(frozen=True)
class Sign:
    """Hold a note, chord or rest of one value inside a bar.

    Attributes:
        start: Steps from the bar line.
        length: Steps.
        value: Name of the note value, such as `quarter`; empty for the rest of a whole bar.
        dots: Dots.
        pitches: MIDI pitches, ascending; none for a rest.
        tied_from: Whether it goes on sounding from the sign before.
        tied_to: Whether it goes on sounding in the next sign.
        triplet: Empty, or whether it opens, is `within` or closes three in the time of two:
            `start`, `within`, `stop`.
        beams: For each beam, from the first: `start`, `continue`, `stop`, or a stub to the
            left or right: `partial-left`, `partial-right`.
    """

    start: int
    length: int
    value: str
    dots: int
    pitches: tuple[int, ...]
    tied_from: bool = False
    tied_to: bool = False
    triplet: str = ""
    beams: tuple[str, ...] = ()


Pieces = tuple[tuple[int, int], ...]
Span = tuple[int, int, tuple[int, ...]]


def signs_of(hand: Hand, bars: Sequence[Bar]) -> list[tuple[Sign, ...]]:
    """Return what is written for a hand in each bar; the signs of a bar fill it."""
    spans = list(_spans(hand, bars[-1].end))
    written, first = [], 0
    for bar in bars:
        while spans[first][1] <= bar.start:
            first += 1
        thirds = tuple(sorted(t - bar.start for t in hand.triplets if bar.start <= t < bar.end))
        signs: list[Sign] = []
        for span in spans[first:]:
            if span[0] >= bar.end:
                break
            signs += _signs_in(bar, span, thirds)
        written.append(_with_beams(_with_triplets(signs, thirds), bar))
    return written


def _spans(hand: Hand, end: int) -> Iterator[Span]:
    """Return chords and the silences between them, each as start, end and pitches."""
    at = 0
    for chord in hand.chords:
        if at < chord.start:
            yield at, chord.start, ()
        yield chord.start, chord.end, chord.pitches
        at = chord.end
    if at < end:
        yield at, end, ()


def _signs_in(bar: Bar, span: Span, thirds: tuple[int, ...]) -> Iterator[Sign]:
    """Return the signs of what lies of a chord or silence in a bar."""
    begin, end, pitches = span
    start, stop = max(begin - bar.start, 0), min(end - bar.start, bar.length)
    if not pitches and (start, stop) == (0, bar.length):
        yield Sign(0, bar.length, "", 0, ())
        return
    strengths = strengths_of(bar.metre, bar.length, thirds)
    for at, length in values_in(strengths, start, stop, is_rest=not pitches):
        value, dots = _VALUES[length]
        tied_from = bool(pitches) and bar.start + at > begin
        tied_to = bool(pitches) and bar.start + at + length < end
        yield Sign(at, length, value, dots, pitches, tied_from, tied_to)


@lru_cache(maxsize=4096)
def strengths_of(metre: tuple[int, int], length: int, thirds: tuple[int, ...]) -> tuple[int, ...]:
    """Return how strong each step of a bar is, both lines included; -1 where nothing begins.

    Args:
        metre: Numerator and denominator.
        length: Steps of the bar, a multiple of three.
        thirds: Steps at which beats in triplets begin.
    """
    strengths = [-1] * (length + 1)
    strengths[::SIXTEENTH] = [WEAK] * len(strengths[::SIXTEENTH])
    for width, strength in ((EIGHTH, OFF_BEAT), *_pulses(metre)):
        strengths[::width] = [max(strength, old) for old in strengths[::width]]
    for start, strength in _uneven_groups(metre).items():
        if start < length:
            strengths[start] = strength
    for third in thirds:
        strengths[third + 1 : third + STEPS_PER_BEAT] = [-1] * (STEPS_PER_BEAT - 1)
        strengths[third + THIRD] = strengths[third + 2 * THIRD] = WEAK
    strengths[0] = strengths[length] = LINE
    return tuple(strengths)


def _pulses(metre: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the widths, in steps, at which a metre pulses, and how strongly."""
    top, bottom = metre
    if bottom >= 8:
        unit = WHOLE // bottom
        if top % 3 == 0 and top > 3:
            return [(3 * unit, GROUP), *([(6 * unit, HALF)] if top % 4 == 0 else [])]
        return [(2 * unit, BEAT)] if top % 2 == 0 else []
    beats = WHOLE // bottom * top // STEPS_PER_BEAT
    pulses = [(STEPS_PER_BEAT, BEAT)]
    if bottom <= 2 or beats % 4 == 0:
        pulses.append((2 * STEPS_PER_BEAT, GROUP))
    elif beats % 3 == 0 and beats > 3:
        pulses.append((3 * STEPS_PER_BEAT, GROUP))
    return pulses + ([(WHOLE, HALF)] if beats > 4 and beats % 4 == 0 else [])


def _uneven_groups(metre: tuple[int, int]) -> dict[int, int]:
    """Return where the groups of metres in five and seven start: 3 + 2, 4 + 3 and 2 + 2 + 3."""
    top, bottom = metre
    unit = WHOLE // bottom
    if top == 5:
        return {3 * unit: GROUP}
    if top == 7:
        return {4 * unit: GROUP} if bottom <= 4 else {2 * unit: GROUP, 4 * unit: GROUP}
    return {}


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
    best: dict[int, tuple[int, int, Pieces]] = {stop: (0, 0, ())}
    for at in reversed(range(start, stop)):
        found = [
            (best[end][0] + 1, best[end][1] - strengths[end], ((at, end - at), *best[end][2]))
            for end in best
            if strengths[at] >= 0 and end - at in _VALUES and _is_clear(strengths, at, end, is_rest)
        ]
        if found:
            best[at] = min(found)
    return best[start][2]


def _is_clear(strengths: tuple[int, ...], start: int, end: int, is_rest: bool) -> bool:
    hidden = max(strengths[start + 1 : end], default=-1)
    shown = min(strengths[start], strengths[end])
    return shown > hidden if is_rest else shown >= hidden - 1


def _with_triplets(signs: Sequence[Sign], thirds: tuple[int, ...]) -> list[Sign]:
    """Mark the signs of beats in triplets."""
    marked = []
    for sign in signs:
        beat = sign.start // STEPS_PER_BEAT * STEPS_PER_BEAT
        if beat in thirds and sign.length in TRIPLET_VALUES:
            inside = (sign.start == beat, sign.start + sign.length == beat + STEPS_PER_BEAT)
            place = "start" if inside[0] else "stop" if inside[1] else "within"
            sign = replace(sign, triplet=place)
        marked.append(sign)
    return marked


def _with_beams(signs: Sequence[Sign], bar: Bar) -> tuple[Sign, ...]:
    """Join what is shorter than a quarter note beat by beat, plain eighths by half a bar."""
    strengths = strengths_of(bar.metre, bar.length, ())
    runs: list[list[int]] = []
    for index, sign in enumerate(signs):
        if not n_beams(sign):
            continue
        last = signs[runs[-1][-1]] if runs else None
        joins = last is not None and last.start + last.length == sign.start
        if joins and strengths[sign.start] < BEAT:
            runs[-1].append(index)
        else:
            runs.append([index])
    beamed = list(signs)
    for run in _merged(runs, signs, strengths):
        for index, beams in zip(run, _beams([signs[i] for i in run]), strict=True):
            beamed[index] = replace(signs[index], beams=beams)
    return tuple(beamed)


def n_beams(sign: Sign) -> int:
    """Return how many beams or flags a sign has: none for rests."""
    return {"eighth": 1, "16th": 2}.get(sign.value, 0) if sign.pitches else 0


def _merged(
    runs: list[list[int]], signs: Sequence[Sign], strengths: tuple[int, ...]
) -> list[list[int]]:
    """Join runs that are beats of two plain eighths, up to where a group of beats ends."""
    merged: list[list[int]] = []
    for run in runs:
        before = merged[-1] if merged else []
        start = signs[run[0]].start
        plain = all(signs[i].length == EIGHTH for i in (*before, *run))
        even = len(run) == 2 and len(before) % 2 == 0
        if before and plain and even and before[-1] + 1 == run[0] and strengths[start] == BEAT:
            merged[-1] = [*before, *run]
        else:
            merged.append(run)
    return merged


def _beams(run: Sequence[Sign]) -> list[tuple[str, ...]]:
    """Return the beams of each sign of a run."""
    counts = [n_beams(sign) for sign in run]
    if len(run) < 2:
        return [()] * len(run)
    return [
        tuple(_beam(counts, i, level, run[i].start) for level in range(counts[i]))
        for i in range(len(run))
    ]


def _beam(counts: Sequence[int], index: int, level: int, start: int) -> str:
    before = index > 0 and counts[index - 1] > level
    after = index + 1 < len(counts) and counts[index + 1] > level
    if before and after:
        return "continue"
    if before or after:
        return "stop" if before else "start"
    to_the_left = index + 1 == len(counts) or (index > 0 and start % EIGHTH != 0)
    return "partial-left" if to_the_left else "partial-right"
