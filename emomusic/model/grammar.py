"""What may be written next, event by event: the one truth for all engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emomusic.model.events import (
    ADVANCE,
    CHORD_A,
    CHORD_B,
    DURATION,
    PITCH,
    SAME,
    SLOTS,
    VELOCITY,
    EventLayout,
    to_events,
)

Segments = list[list[int]]
FREE = -1
"""Of a given note: a velocity or duration that is not given."""
REACH, FINGERS = 14, 5
"""Semitones and notes at one moment within reach of a hand."""
GivenNote = tuple[int, int, int, int]
"""Ids of position, pitch, velocity and duration."""


@dataclass(frozen=True)
class BarScript:
    """Hold what is given of a bar.

    Attributes:
        head: Ids that begin it, given notes and given chords among them.
        ends_bar: Whether `bar` may end it.
        ends_all: Whether `eos` may.
        writes_chords: Whether its two chords are written before its notes.
        given: Notes that must be written, by position, then pitch.
    """

    head: tuple[int, ...]
    ends_bar: bool = True
    ends_all: bool = False
    writes_chords: bool = False
    given: tuple[GivenNote, ...] = ()

    def __post_init__(self) -> None:
        if any(one[:2] >= other[:2] for one, other in pairwise(self.given)):
            raise ValueError("given notes must rise, by position, then by pitch")


@dataclass(frozen=True)
class Script:
    """Hold what is given of a sequence.

    Attributes:
        prompt: Ids before the first bar; of the first event guidance hides all but `bos`.
        bars: What is given of each bar, in order.
        max_notes: Of a bar, after which it ends as soon as it may: nothing but what is left of
            its given notes is written then.
        positions: Lowest and highest id of a position.
        pitches: The same of a pitch.
        max_repeated: Most ids of past bars that are repeated where the context is full.
        reach: Semitones that a hand strikes at once at most; 0 for no bound of hands.
    """

    prompt: tuple[int, ...]
    bars: tuple[BarScript, ...]
    max_notes: int
    positions: tuple[int, int]
    pitches: tuple[int, int]
    max_repeated: int = 0
    reach: int = REACH

    def __post_init__(self) -> None:
        if not self.prompt or not self.bars:
            raise ValueError("a script needs a prompt and at least one bar")
        if not all(bar.ends_bar or bar.ends_all for bar in self.bars):
            raise ValueError("each bar of a script must have an end")

    def opening(self, written: Segments) -> list[int]:
        """Return the ids to begin with after the bars written: prompt, what is repeated, head."""
        first, length = len(written), 0
        while first > 0:
            length += len(self.bars[first - 1].head) + len(written[first - 1])
            if length > self.max_repeated:
                break
            first -= 1
        ids = list(self.prompt)
        for bar, own in zip(self.bars[first:], written[first:], strict=False):
            ids += [*bar.head, *own]
        return [*ids, *self.bars[len(written)].head]


@dataclass(frozen=True)
class Grammar:
    """Know the ids; a bar has chords, if any, then notes.

    Positions rise, and on each pitches rise; a bar has at least one note. Given notes cannot be
    passed without being written.
    """

    vocab_size: int
    layout: EventLayout

    @cached_property
    def kinds(self) -> NDArray[np.int64]:
        return self.layout.kinds(self.vocab_size)

    @cached_property
    def slot_ids(self) -> tuple[NDArray[np.int64], ...]:
        """Return the id of each choice of each slot; vocab_size stands for `SAME`."""
        own = self.layout
        positions, *others = (first + np.arange(n) for first, n in own.ranges)
        return np.concatenate([[self.vocab_size], positions, [own.bar, own.eos]]), *others

    @cached_property
    def slot_of(self) -> list[int]:
        """Return the slot that each id, and `SAME`, is chosen in, -1 for those that are not."""
        slots = np.full(self.vocab_size + 1, -1)
        for slot, ids in enumerate(self.slot_ids):
            slots[ids] = slot
        return list(slots.tolist())

    def rows(self, ids: Sequence[int]) -> list[list[int]]:
        """Return given ids as events, each as the rows of the embedding that it sums."""
        events = to_events(np.array(ids, np.int64), self.layout, self.kinds)
        return [own.tolist() for own in np.split(events.rows, events.start[1:])]


@dataclass
class _Moment:
    """Hold the notes struck at one moment, from below: the left hand takes what it can."""

    last: int
    left: int = -1
    n_left: int = 0
    right: int = -1
    n_right: int = 0

    def highest(self, highest: int, reach: int) -> int:
        """Return the highest pitch that hands can still strike; below `last` + 1 if none."""
        if not reach or not self.n_right:
            return highest
        return min(highest, self.right + reach) if self.n_right < FINGERS else self.last

    def strike(self, pitch: int, reach: int) -> None:
        self.last = pitch
        if not self.n_left:
            self.left = pitch
        fits = self.n_left < FINGERS and pitch <= self.left + reach
        if not self.n_right and fits:
            self.n_left += 1
            return
        if not self.n_right:
            self.right = pitch
        self.n_right += 1


class Walk:
    """Follow one bar after another through the grammar; the reference for every engine.

    Attributes:
        segments: The sampled ids of each whole bar, without its end.
        slot: The slot that is to be chosen next.
        done: Whether the last bar has ended.
    """

    def __init__(self, grammar: Grammar, script: Script) -> None:
        self.grammar, self.script = grammar, script
        self.segments: Segments = []
        self.done = False
        self.restart()

    @property
    def bar(self) -> BarScript:
        return self.script.bars[len(self.segments)]

    def restart(self) -> None:
        """Forget the bar in hand; the whole ones stay."""
        self._current: list[int] = []
        self._last = [FREE] * len(SLOTS)  # the last id of each slot in the bar
        self._moment = _Moment(self.script.pitches[0] - 1)
        self._joins = False
        self._n_notes = self._n_given = 0
        self.slot = CHORD_A if self.bar.writes_chords else ADVANCE

    @property
    def _next_given(self) -> GivenNote | None:
        given = self.bar.given
        return given[self._n_given] if self._n_given < len(given) else None

    @property
    def _forced(self) -> GivenNote | None:
        given = self._next_given
        return given if given is not None and given[0] == self._last[ADVANCE] else None

    def allowed(self) -> NDArray[np.bool_]:
        """Return which choices of the slot may be sampled, shape (n_choices,).

        Raises:
            ValueError: If none may, which is the script's fault.
        """
        mask = np.zeros(self.grammar.layout.n_choices[self.slot], dtype=bool)
        if self.slot == ADVANCE:
            self._allow_advance(mask)
        elif self.slot == PITCH:
            self._allow_pitch(mask)
        else:
            given = self._given_now() if self.slot in (VELOCITY, DURATION) else None
            told = FREE if given is None else given[self.slot]
            mask[:] = told == FREE or self.grammar.slot_ids[self.slot] == told
        if not mask.any():
            raise ValueError("the grammar allows no choice")
        return mask

    def _given_now(self) -> GivenNote | None:
        """Return the given note whose pitch was chosen last."""
        given = self._forced
        return given if given is not None and given[1] == self._last[PITCH] else None

    def _allow_advance(self, mask: NDArray[np.bool_]) -> None:
        layout, script, given = self.grammar.layout, self.script, self._next_given
        is_full = self._n_notes >= script.max_notes
        if self._forced is not None:
            mask[SAME] = True
            return
        low, high = max(script.positions[0], self._last[ADVANCE] + 1), script.positions[1]
        if given is not None:
            low, high = given[0] if is_full else min(low, given[0]), given[0]
        elif self._n_notes:
            mask[layout.advance_bar :] = self.bar.ends_bar, self.bar.ends_all
            if is_full:
                return
        if self._n_notes and not is_full:
            pitches = np.zeros(layout.pitch[1], dtype=bool)
            self._allow_pitch(pitches)
            mask[SAME] = pitches.any()
        mask[1 + low - layout.position[0] : 2 + high - layout.position[0]] = True

    def _allow_pitch(self, mask: NDArray[np.bool_]) -> None:
        script, forced, first = self.script, self._forced, self.grammar.layout.pitch[0]
        low = max(script.pitches[0], self._moment.last + 1)
        high = self._moment.highest(script.pitches[1], script.reach)
        if forced is not None:
            mask[forced[1] - first] = True
            is_full = self._n_notes >= script.max_notes
            high = low - 1 if is_full else min(high, forced[1])
        if low <= high:
            mask[low - first : high + 1 - first] = True

    def leaning(
        self, bias: NDArray[np.float32], pairs: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what is added to the slot's logits now, shape (n_choices,); see `LogitBias`."""
        grammar = self.grammar
        ids = grammar.slot_ids[self.slot]
        leaning: NDArray[np.float32] = bias[0][ids]
        if self.slot == ADVANCE:
            counted, last = bias[1], self._last[ADVANCE]
            off = counted[last] if last != FREE else np.float32(0)
            leaning[1:] += counted[ids[1:]] - off
        slot_of = grammar.slot_of
        for (first, second), weight in zip(pairs.tolist(), weights, strict=True):
            if slot_of[second] != self.slot:
                continue
            told = self._last[self.slot if first < 0 else slot_of[first]]
            if told == (FREE if first < 0 else first):
                leaning[ids == second] += weight
        return leaning

    def push(self, choice: int) -> list[list[int]]:
        """Take note of a choice.

        Returns:
            The events that enter the network next, each as the rows that it sums: none while
            an event is being written; the event; or, where a bar ended, the head of the next one.
        """
        layout, slot = self.grammar.layout, self.slot
        token = int(self.grammar.slot_ids[slot][choice])
        if slot == ADVANCE and choice >= layout.advance_bar:
            self.segments.append(self._current)
            self.done = len(self.segments) == len(self.script.bars)
            if self.done:
                return []
            self.restart()
            return self.grammar.rows(self.bar.head)
        if slot == ADVANCE:
            self._joins = choice == SAME
            self.slot = PITCH
            if not self._joins:
                self._current.append(token)
                self._last[ADVANCE] = token
                self._moment = _Moment(self.script.pitches[0] - 1)
            return []
        self._current.append(token)
        self._last[slot] = token
        if slot in (DURATION, CHORD_B):
            return self._end_event()
        if slot == PITCH:
            self._moment.strike(token, self.script.reach)
        self.slot += 1
        return []

    def _end_event(self) -> list[list[int]]:
        slot, self.slot = self.slot, ADVANCE
        if slot == CHORD_B:
            return [self._current[-2:]]
        if self._given_now() is not None:
            self._n_given += 1
        self._n_notes += 1
        if self._joins:
            return [[*self._current[-3:], self._last[ADVANCE], self.grammar.vocab_size]]
        return [self._current[-4:]]
