"""Notes as they are written: bars, two hands, chords on sixteenths and triplets."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.notes import LEFT, RIGHT, FloatColumn, IntColumn, Notes, hands_of
from emomusic.music.score import ScoreError
from emomusic.music.tokenizer import STEPS_PER_BEAT

SIXTEENTH, THIRD, EIGHTH = STEPS_PER_BEAT // 4, STEPS_PER_BEAT // 3, STEPS_PER_BEAT // 2
WHOLE = 4 * STEPS_PER_BEAT
MAX_BARS = 600
SURE_GAIN, SOME_GAIN, ENOUGH_AROUND = 1.5, 0.5, 2.5
"""Steps by which onsets must be nearer to thirds of a beat than to quarters of it: for the beat
alone, or for the beat where those around have as many."""
MAX_BAR_STEPS = 4 * WHOLE


@dataclass(frozen=True)
class Bar:
    """Hold a bar; a step is a twelfth of a quarter note, here and in all of this package.

    Attributes:
        start: Steps from the start of the score.
        length: Steps, a multiple of three; shorter than the metre says where a new one cuts in.
        metre: Numerator and denominator of the time signature.
    """

    start: int
    length: int
    metre: tuple[int, int]

    @property
    def end(self) -> int:
        """Return where the next bar starts."""
        return self.start + self.length

    @property
    def has_quarters(self) -> bool:
        """Tell whether the beats are quarter notes, which may be cut into triplets."""
        return self.metre[1] <= 4

    @property
    def has_dotted_quarters(self) -> bool:
        """Tell whether the beats are dotted quarter notes, as in 6/8."""
        top, bottom = self.metre
        return bottom == 8 and top > 3 and top % 3 == 0


@dataclass(frozen=True)
class Chord:
    """Hold notes that one hand strikes together, and that end together.

    Attributes:
        start: Steps.
        end: Steps, at most the start of the next chord of the hand.
        pitches: MIDI pitches, ascending, no two alike.
    """

    start: int
    end: int
    pitches: tuple[int, ...]


@dataclass(frozen=True)
class Hand:
    """Hold what one hand plays.

    Attributes:
        chords: In their order.
        triplets: Steps at which beats start that are cut into three.
    """

    chords: tuple[Chord, ...]
    triplets: frozenset[int]


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
    end = max(last + 1e-6, min(rings - 1.0, last + 4.0)) * STEPS_PER_BEAT
    metres = _metres(score)
    bars: list[Bar] = []
    for (start, metre), (stop, _) in pairwise([*metres, (10**9, (0, 0))]):
        length = _length(metre)
        while start < min(stop, end):
            bars.append(Bar(start, min(length, stop - start), metre))
            start += length
            if len(bars) > MAX_BARS:
                raise ScoreError(f"the score has over {MAX_BARS} bars, too many for sheet music")
    return bars


def _metres(score: ScoreTick) -> list[tuple[int, tuple[int, int]]]:
    """Return the steps at which the metre changes, and the metre; the first at 0."""
    metres = {0: (4, 4)}
    for sign in sorted(score.time_signatures, key=lambda sign: sign.time):
        step = SIXTEENTH * round(sign.time / score.ticks_per_quarter * 4)
        metres[max(step, 0)] = (max(1, int(sign.numerator)), max(1, int(sign.denominator)))
    changes = sorted(metres.items())
    return [changes[0], *(new for old, new in pairwise(changes) if new[1] != old[1])]


def _length(metre: tuple[int, int]) -> int:
    top, bottom = metre
    length, rest = divmod(WHOLE * top, bottom)
    if rest or length % SIXTEENTH or length > MAX_BAR_STEPS:
        raise ScoreError(f"bars of {top}/{bottom} cannot be written as sheet music here")
    return length


def written_hands(notes: Notes, bars: list[Bar]) -> tuple[Hand, Hand]:
    """Return what the left and the right hand play, on the grid.

    Args:
        notes: At least one.
        bars: As `bars_of` returns them.
    """
    hands = hands_of(notes)
    step, triplets = _quantised(notes.onset * STEPS_PER_BEAT, hands, bars)
    end = step + notes.duration * STEPS_PER_BEAT  # what is moved keeps its length
    left, right = (
        Hand(
            tuple(_chords(step[own], end[own], notes.pitch[own], bars, triplets[hand])),
            triplets[hand],
        )
        for hand, own in ((LEFT, hands == LEFT), (RIGHT, hands == RIGHT))
    )
    return left, right


def _quantised(
    onset: FloatColumn, hands: IntColumn, bars: list[Bar]
) -> tuple[IntColumn, tuple[frozenset[int], frozenset[int]]]:
    """Return the step of each onset, and where the beats in triplets of either hand start.

    Beats are cut into four, or into three where that fits clearly better there, or better there
    and in the two beats on either side: one note out of time makes no triplet.
    """
    starts = np.array([bar.start for bar in bars])
    bar = np.maximum(np.searchsorted(starts, onset + 1, side="right") - 1, 0)
    inside = onset - starts[bar]
    beat = np.floor((inside + 1) / STEPS_PER_BEAT).astype(np.int64)
    in_four, in_three = (width * np.round(inside / width) for width in (SIXTEENTH, THIRD))
    gain = np.abs(inside - in_four) - np.abs(inside - in_three)
    can = np.array([bar.has_quarters for bar in bars])[bar]
    can &= (beat + 1) * STEPS_PER_BEAT <= np.array([bar.length for bar in bars])[bar]
    start = starts[bar] + beat * STEPS_PER_BEAT
    gains: dict[tuple[int, int], float] = {}
    moments = np.stack([hands, start, np.round(2 * onset).astype(np.int64)])[:, can]
    _, first = np.unique(moments, axis=1, return_index=True)
    for hand, at, more in zip(*moments[:2, first].tolist(), gain[can][first].tolist(), strict=True):
        gains[hand, at] = gains.get((hand, at), 0.0) + more
    left, right = (frozenset(_triplets(gains, hand)) for hand in (LEFT, RIGHT))
    three = np.array(
        [at in (left, right)[hand] for hand, at in zip(hands.tolist(), start.tolist(), strict=True)]
    )
    step: IntColumn = (starts[bar] + np.where(three, in_three, in_four)).astype(np.int64)
    past = step >= bars[-1].end  # what is rounded past the last bar line stays in the bar
    step[past] = bars[-1].end - np.where(three, THIRD, SIXTEENTH)[past]
    return step, (left, right)


def _triplets(gains: dict[tuple[int, int], float], hand: int) -> Iterable[int]:
    """Return where the beats of a hand in triplets start.

    Args:
        gains: Of a hand and a beat: by how many steps its onsets are nearer to thirds.
        hand: The hand.
    """
    for (own, start), gain in gains.items():
        around = range(start - 2 * STEPS_PER_BEAT, start + 3 * STEPS_PER_BEAT, STEPS_PER_BEAT)
        support = sum(max(0.0, gains.get((h, s), 0.0)) for h in (LEFT, RIGHT) for s in around)
        if own == hand and (gain >= SURE_GAIN or (gain > SOME_GAIN and support >= ENOUGH_AROUND)):
            yield start


def _chords(
    step: IntColumn,
    end: FloatColumn,
    pitch: IntColumn,
    bars: list[Bar],
    triplets: frozenset[int],
) -> Iterable[Chord]:
    if not len(step):
        return
    order = np.argsort(step, kind="stable")
    starts, first = np.unique(step[order], return_index=True)
    followings = [*starts[1:].tolist(), bars[-1].end]
    groups = zip(np.split(pitch[order], first[1:]), np.split(end[order], first[1:]), strict=True)
    lines = [bar.start for bar in bars]
    for start, following, (pitches, ends) in zip(starts.tolist(), followings, groups, strict=True):
        stop = max(float(ends.max()), start + 1.0)
        if _reaches(start, stop, following):
            end_step = following
        else:
            bar = bars[bisect_right(lines, max(start, stop - 1)) - 1]
            end_step = _rounded_up(stop, bar, triplets)
        yield Chord(start, min(end_step, following), tuple(sorted(set(pitches.tolist()))))


def _reaches(start: int, end: float, following: int) -> bool:
    """Tell whether a chord is written up to the next one: unless clear silence lies between.

    Silence is clear if it is longer than an eighth note, and longer than half of the way to the
    next chord or than a half note.
    """
    silence = following - end
    return silence <= EIGHTH or silence <= min(following - start, WHOLE) / 2


def _rounded_up(end: float, bar: Bar, triplets: frozenset[int]) -> int:
    """Return the step of the next eighth of a bar, or third of a beat in triplets."""
    inside = end - bar.start - 0.5
    beat = bar.start + int(inside) // STEPS_PER_BEAT * STEPS_PER_BEAT
    width = THIRD if beat in triplets else EIGHTH
    return min(bar.start + width * math.ceil(inside / width), bar.end)
