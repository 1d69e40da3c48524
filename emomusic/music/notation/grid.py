"""Notes as they are written: bars, two hands, chords on sixteenths and triplets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.notes import LEFT, RIGHT, FloatColumn, IntColumn, Notes, hands_of
from emomusic.music.score import ScoreError, metres_of
from emomusic.music.tokenizer import STEPS_PER_BEAT

SIXTEENTH, THIRD, EIGHTH = STEPS_PER_BEAT // 4, STEPS_PER_BEAT // 3, STEPS_PER_BEAT // 2
WHOLE = 4 * STEPS_PER_BEAT
MAX_BARS = 600
MAX_BAR_STEPS = 4 * WHOLE
SURE_GAIN, SOME_GAIN, ENOUGH_AROUND = 1.5, 0.5, 2.5
"""Steps by which onsets must be nearer to thirds of a beat than to quarters of it: for the beat
alone, or for the beat where those around have as many."""


@dataclass(frozen=True)
class Bar:
    """Hold a bar; a step is a twelfth of a quarter note, here and in all of this package."""

    start: int  # steps from the start of the score
    length: int  # steps, a multiple of three; shorter than its metre where a new one cuts in
    metre: tuple[int, int]  # numerator and denominator of the time signature

    @property
    def end(self) -> int:
        """Return where the next bar starts."""
        return self.start + self.length


@dataclass(frozen=True)
class Chord:
    """Hold notes that one hand strikes together, and that end together."""

    start: int  # steps
    end: int  # steps, at most the start of the next chord of the hand
    pitches: tuple[int, ...]  # MIDI, ascending, no two alike


@dataclass(frozen=True)
class Hand:
    """Hold what one hand plays: chords in their order, and the beats that are cut into three."""

    chords: tuple[Chord, ...]
    triplets: frozenset[int]  # steps at which those beats start


def bars_of(score: ScoreTick, notes: Notes) -> list[Bar]:
    """Return the bars of a score, up to the one in which the last notes fade.

    A change of time signature starts a new bar, moved to the nearest sixteenth; 4/4 holds where
    there is none. What rings on for less than a beat opens no bar; nothing rings on for more
    than four beats after the last onset.

    Raises:
        ScoreError: If there are more than 600 bars, or one of more than sixteen quarter
            notes, or one that sixteenths cannot fill.
    """
    last = float(notes.onset.max())
    rings = float((notes.onset + notes.duration).max())
    end = max(last + 1e-6, min(rings - 1.0, last + 4.0))
    metres = metres_of(score, end)
    starts = [SIXTEENTH * round(start * 4) for start, *_ in metres]
    bars: list[Bar] = []
    for (_, _, bar, beat), start, stop in zip(metres, starts, [*starts[1:], 10**9], strict=True):
        top, bottom = round(bar / beat), round(4 / beat)
        length, rest = divmod(WHOLE * top, bottom)
        if rest or length % SIXTEENTH or length > MAX_BAR_STEPS:
            raise ScoreError(f"bars of {top}/{bottom} cannot be written as sheet music here")
        while start < min(stop, end * STEPS_PER_BEAT):
            bars.append(Bar(start, min(length, stop - start), (top, bottom)))
            start += length
            if len(bars) > MAX_BARS:
                raise ScoreError(f"the score has over {MAX_BARS} bars, too many for sheet music")
    return bars


def written_hands(notes: Notes, bars: list[Bar]) -> tuple[Hand, Hand]:
    """Return what the left and the right hand play of at least one note, on the grid."""
    hands = hands_of(notes)
    step, triplets = _quantised(notes.onset * STEPS_PER_BEAT, hands, bars)
    end = step + notes.duration * STEPS_PER_BEAT  # what is moved keeps its length
    left, right = (
        Hand(tuple(_chords(step[own], end[own], notes.pitch[own], bars, thirds)), thirds)
        for own, thirds in zip((hands == LEFT, hands == RIGHT), triplets, strict=True)
    )
    return left, right


def _quantised(
    onset: FloatColumn, hands: IntColumn, bars: list[Bar]
) -> tuple[IntColumn, list[frozenset[int]]]:
    """Return the step of each onset, and where the beats in triplets of either hand start.

    Beats are cut into four, or into three where that fits clearly better there, or better there
    and in the two beats on either side: one note out of time makes no triplet.
    """
    starts = np.array([bar.start for bar in bars])
    bar = np.maximum(np.searchsorted(starts, onset + 1, side="right") - 1, 0)
    inside = onset - starts[bar]
    beat = np.floor((inside + 1) / STEPS_PER_BEAT).astype(np.int64)
    start = starts[bar] + beat * STEPS_PER_BEAT
    in_four, in_three = (width * np.round(inside / width) for width in (SIXTEENTH, THIRD))
    gain = np.abs(inside - in_four) - np.abs(inside - in_three)
    has_quarters = np.array([own.metre[1] <= 4 for own in bars])[bar]
    is_whole = (beat + 1) * STEPS_PER_BEAT <= np.array([own.length for own in bars])[bar]
    moments = np.stack([hands, start, np.round(2 * onset).astype(np.int64)], axis=1).tolist()
    gains: dict[tuple[int, int], float] = defaultdict(float)
    heard: set[tuple[int, ...]] = set()
    for moment, more, can in zip(moments, gain.tolist(), has_quarters & is_whole, strict=True):
        if can and tuple(moment) not in heard:  # a chord counts once
            heard.add(tuple(moment))
            gains[moment[0], moment[1]] += more
    in_triplets = _triplets(gains)
    three = np.array([(hand, at) in in_triplets for hand, at, _ in moments])
    step: IntColumn = (starts[bar] + np.where(three, in_three, in_four)).astype(np.int64)
    past = step >= bars[-1].end  # what is rounded past the last bar line stays in the bar
    step[past] = bars[-1].end - np.where(three, THIRD, SIXTEENTH)[past]
    return step, [frozenset(at for own, at in in_triplets if own == h) for h in (LEFT, RIGHT)]


def _triplets(gains: dict[tuple[int, int], float]) -> set[tuple[int, int]]:
    """Return the hand and start of each beat in triplets, of those with their gains."""
    found = set()
    for (hand, start), gain in gains.items():
        around = range(start - 2 * STEPS_PER_BEAT, start + 3 * STEPS_PER_BEAT, STEPS_PER_BEAT)
        support = sum(max(0.0, gains.get((h, s), 0.0)) for h in (LEFT, RIGHT) for s in around)
        if gain >= SURE_GAIN or (gain > SOME_GAIN and support >= ENOUGH_AROUND):
            found.add((hand, start))
    return found


def _chords(
    step: IntColumn, end: FloatColumn, pitch: IntColumn, bars: list[Bar], thirds: frozenset[int]
) -> Iterator[Chord]:
    starts = np.unique(step).tolist()
    lines = [bar.start for bar in bars]
    for start, following in zip(starts, [*starts[1:], bars[-1].end], strict=False):
        own = step == start
        stop = max(float(end[own].max()), start + 1.0)
        silence = following - stop
        # clear is what is longer than an eighth, and than half of the way, or than a half note
        if silence <= EIGHTH or silence <= min(following - start, WHOLE) / 2:
            stop_step = following
        else:  # at the next eighth of the bar, or third of a beat in triplets
            bar = bars[bisect_right(lines, max(start, stop - 1)) - 1]
            inside = stop - bar.start - 0.5
            beat = bar.start + int(inside) // STEPS_PER_BEAT * STEPS_PER_BEAT
            width = THIRD if beat in thirds else EIGHTH
            stop_step = min(bar.start + width * math.ceil(inside / width), bar.end, following)
        yield Chord(start, stop_step, tuple(np.unique(pitch[own]).tolist()))
