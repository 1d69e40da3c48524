"""What a pianist sees of a score: whole numbers for each note and each half beat of it.

Models of expressive performance use such features (Cancino-Chacón et al. 2018, "Computational
models of expressive music performance"). Whole numbers decide alike on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emomusic.music.attributes import BASS, MELODY, parts_of
from emomusic.music.chords import N_QUALITIES, NO_CHORD, half_bars
from emomusic.music.notes import LEFT, RIGHT, FloatColumn, IntColumn, Notes, hands_of

STEPS = 24
"""Steps of a beat: sixteenths, triplets and their halves lie on one."""
CELL = STEPS // 2
"""Steps of a half beat, in which the tempo is held and the pedal may change once."""
FAR = 8 * STEPS
"""The longest gap, and the longest way from the beginning or to the end, that is told."""
Table = dict[str, IntColumn]


@dataclass(frozen=True)
class Reading:
    """Look at a score as a pianist does.

    Attributes:
        notes: On a grid, sorted by onset, then pitch; at least one.
        lines: Bar lines in beats, the first at 0, the last after every onset, (n_bars + 1,).
        chords: Numbers of the chords of half bars, shape (n_bars, 2).
        tempo: Quarter notes a minute.
        n_after: Bars that follow, where the score is a part of a piece only.
    """

    notes: Notes
    lines: FloatColumn
    chords: IntColumn
    tempo: float
    n_after: int = 0

    @cached_property
    def step(self) -> IntColumn:
        return whole(self.notes.onset * STEPS)

    @cached_property
    def moments(self) -> IntColumn:  # steps at which notes begin, each once, rising
        return np.unique(self.step)

    @cached_property
    def moment(self) -> IntColumn:  # the number of that of each note
        return np.searchsorted(self.moments, self.step)

    @cached_property
    def hand(self) -> IntColumn:
        return hands_of(self.notes)

    @cached_property
    def line(self) -> IntColumn:  # bar lines in steps
        return whole(self.lines * STEPS)

    @cached_property
    def cells(self) -> IntColumn:  # where half beats begin, in steps; the last may be cut short
        return np.arange(0, int(self.line[-1]), CELL)

    @cached_property
    def halves(self) -> IntColumn:  # where half bars begin, in steps
        return whole(half_bars(self.lines) * STEPS)[:-1]

    @cached_property
    def changes(self) -> IntColumn:  # those of them whose chord is another
        return self.halves[np.diff(self.chords.ravel(), prepend=-1) != 0]

    def _places(self, steps: IntColumn) -> Table:
        """Return where steps lie in bar, phrase and piece, and how full and high the bars are."""
        line, end, pitch = self.line, int(self.line[-1]), self.notes.pitch
        bar = np.clip(np.searchsorted(line, steps, side="right") - 1, 0, len(line) - 2)
        at, n_bars = steps - line[bar], len(line) - 1
        number = np.clip(np.searchsorted(line, self.step, side="right") - 1, 0, n_bars - 1)
        count = np.bincount(number, minlength=n_bars)
        height = whole(np.bincount(number, pitch, n_bars) / np.maximum(count, 1))
        fill = count * end * 4 // (np.diff(line) * len(pitch))  # quarters of the mean
        end += self.n_after * int(line[-1] - line[-2])
        return {
            "in_beat": at % STEPS,
            "beat": at // STEPS,
            "bar_4": bar % 4,
            "bar_8": bar % 8,
            "begun": np.minimum(steps, FAR),
            "left_over": np.minimum(end - steps, FAR),
            "bar_fill": fill[bar],
            "fill_before": fill[np.maximum(bar - 1, 0)],
            "fill_after": fill[np.minimum(bar + 1, n_bars - 1)],
            "bar_height": height[bar],
            "height_off": height[bar] - int(pitch.sum()) // len(pitch),
            "tempo": np.full(len(steps), round(self.tempo)),
        }

    @cached_property
    def of_notes(self) -> Table:  # each of shape (n,)
        moments, moment, pitch, hand = self.moments, self.moment, self.notes.pitch, self.hand
        size, gap = np.bincount(moment), np.minimum(np.diff(moments), FAR)
        first = np.flatnonzero(np.diff(moment, prepend=-1))
        half = np.clip(np.searchsorted(self.halves, self.step, side="right") - 1, 0, None)
        chord, parts = self.chords.ravel()[half], parts_of(self.notes, self.lines)
        lines = self._lines_of_hands()
        places = {
            **self._places(moments),
            "size": size,
            "size_before": np.append(0, size[:-1]),
            "size_after": np.append(size[1:], 0),
            "gap_before": np.append(FAR, gap),
            "gap_after": np.append(gap, FAR),
            "moments_near": _between(moments, moments - STEPS, moments + STEPS),
            "notes_near": _between(self.step, moments - STEPS, moments + STEPS),
            "new_chord": np.isin(moments, self.changes).astype(np.int64),
        }
        return {
            **{name: own[moment] for name, own in places.items()},
            "pitch": pitch,
            "below_top": np.maximum.reduceat(pitch, first)[moment] - pitch,
            "above_bottom": pitch - pitch[first][moment],
            "right": hand,
            "melody": (parts & MELODY) // MELODY,
            "bass": (parts & BASS) // BASS,
            **lines,
            "other_hand": size[moment] - lines["in_hand"],
            "length": np.minimum(whole(self.notes.duration * STEPS), FAR),
            "degree": np.where(chord == NO_CHORD, -1, (pitch - chord // N_QUALITIES) % 12),
            "over_bar": pitch - places["bar_height"][moment],
        }

    def _lines_of_hands(self) -> Table:
        """Return gaps and intervals of each hand: of its highest notes, or its lowest."""
        names = ("hand_before", "hand_after", "step_before", "step_after", "in_hand")
        table = {name: np.zeros(len(self.hand), dtype=np.int64) for name in names}
        for hand in np.unique(self.hand):
            own = np.flatnonzero(self.hand == hand)
            is_first = np.diff(self.moment[own], prepend=-1) > 0
            first, which = np.flatnonzero(is_first), np.cumsum(is_first) - 1
            outer = np.append(first[1:], len(own)) - 1 if hand == RIGHT else first
            gap = np.minimum(np.diff(self.step[own][first]), FAR)
            leap = np.clip(np.diff(self.notes.pitch[own][outer]), -24, 24)
            found = (np.append(FAR, gap), np.append(gap, FAR), np.append(0, leap),
                     np.append(leap, 0), np.bincount(which))  # fmt: skip
            for name, value in zip(names, found, strict=True):
                table[name][own] = value[which]
        return table

    @cached_property
    def of_cells(self) -> Table:  # each of shape (n_cells,)
        starts, step, pitch, new = self.cells, self.step, self.notes.pitch, self.changes
        stops, n_cells, left = starts + CELL, len(starts), step[self.hand == LEFT]
        cell, count = np.minimum(step // CELL, n_cells - 1), _between(step, starts, stops)
        top, bottom = np.zeros(n_cells, np.int64), np.full(n_cells, 128)
        np.maximum.at(top, cell, pitch)
        np.minimum.at(bottom, cell, pitch)
        is_new = _between(new, starts, stops)
        return {
            **self._places(starts),
            "n": count,
            "n_left": _between(left, starts, stops),
            "n_before": np.append(0, count[:-1]),
            "n_after": np.append(count[1:], 0),
            "struck": _between(step, starts, starts + 1),
            "struck_left": _between(left, starts, starts + 1),
            "struck_next": _between(step, stops, stops + 1),
            "new_chord": is_new,
            "chord_next": np.append(is_new[1:], 0),
            "since_chord": np.minimum(starts - new[np.searchsorted(new, stops) - 1], FAR),
            "top": top,
            "bottom": bottom,
        }


def whole(values: FloatColumn) -> IntColumn:
    """Return the nearest whole numbers, halves up."""
    return np.floor(values + 0.5).astype(np.int64)


def _between(sorted_steps: IntColumn, low: IntColumn, high: IntColumn) -> IntColumn:
    """Return how many of rising steps lie from `low` on and before `high`."""
    return np.searchsorted(sorted_steps, high) - np.searchsorted(sorted_steps, low)
