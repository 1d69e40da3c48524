"""The grammar of a clip: what may be written next, so that every sequence is music."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emomusic.music.tokenizer import (
    ENDING_BARS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    STEPS_PER_BEAT,
    Vocabulary,
)

MAX_BAR_IDS = 500
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Grammar:
    """Hold the ids that a guide needs, looked up once for a vocabulary."""

    vocabulary: Vocabulary

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """Return the ids of the positions, the bar's first step first."""
        return self.vocabulary.kind_ids("Position")

    @cached_property
    def pitch(self) -> NDArray[np.int64]:
        """Return the ids of the pitches, the lowest first."""
        return self.vocabulary.kind_ids("Pitch")

    @cached_property
    def velocity(self) -> Mask:
        """Return the mask of the velocities."""
        return self._mask(self.vocabulary.kind_ids("Velocity"))

    @cached_property
    def duration(self) -> Mask:
        """Return the mask of the durations."""
        return self._mask(self.vocabulary.kind_ids("Duration"))

    @cached_property
    def bar(self) -> int:
        """Return the id that begins a bar."""
        return self.vocabulary.id_of("Bar_None")

    @cached_property
    def bos(self) -> int:
        """Return the id that begins a clip."""
        return self.vocabulary.id_of("BOS_None")

    @cached_property
    def eos(self) -> int:
        """Return the id that ends a piece."""
        return self.vocabulary.id_of("EOS_None")

    @cached_property
    def ending(self) -> list[int]:
        """Return the ids that announce how many bars are left: 1, 2, ..."""
        return [self.vocabulary.id_of(f"Ending_{n}") for n in range(1, ENDING_BARS + 1)]

    def _mask(self, ids: NDArray[np.int64]) -> Mask:
        mask = np.zeros(len(self.vocabulary), dtype=bool)
        mask[ids] = True
        return mask


@dataclass(frozen=True)
class Plan:
    """Hold what a clip is to be, in ids.

    Attributes:
        controls: Clip-wide control ids, in the registry's order.
        bar_controls: Control ids of each bar; its length is the number of bars.
        beats_per_bar: 2, 3 or 4.
        lowest: Lowest MIDI pitch to be written.
        highest: Highest MIDI pitch to be written.
        ends: Whether the last bars are announced as a piece's ending.
    """

    controls: tuple[int, ...]
    bar_controls: tuple[tuple[int, ...], ...]
    beats_per_bar: int = 4
    lowest: int = LOWEST_PITCH
    highest: int = HIGHEST_PITCH
    ends: bool = True

    @property
    def n_bars(self) -> int:
        """Return the number of bars."""
        return len(self.bar_controls)


@dataclass
class ClipGuide:
    """Lead one row through a plan: bar after bar, each with at least one note, then the end.

    Within a bar positions rise, within a position pitches rise; nothing else is decided here.

    Attributes:
        grammar: The ids.
        plan: What to write.
        bars: The whole bars so far, without what was only said to the model.
    """

    grammar: Grammar
    plan: Plan
    bars: list[list[int]] = field(default_factory=list)
    done: bool = False
    _queue: deque[int] = field(default_factory=deque)
    _bar: list[int] = field(default_factory=list)
    _expects: str = "bar"
    _step: int = -1
    _pitch: int = -1

    def begin(self, *, max_ids: int) -> None:
        """Begin a row: clip-wide controls, then the last bars written, if any.

        Args:
            max_ids: Most ids that the bars repeated for the model may take.
        """
        self._queue = deque([self.grammar.bos, *self.plan.controls])
        self._bar, self._expects = [], "bar"
        first, length = len(self.bars), 0
        while first > 0 and length + len(self.bars[first - 1]) <= max_ids:
            first -= 1
            length += len(self.bars[first]) + len(self.plan.bar_controls[first])
        for i in range(first, len(self.bars)):
            header = self._header(i)
            self._queue.extend([*header, *self.bars[i][2:]])
        self._open_bar()

    def _header(self, index: int) -> list[int]:
        plan, grammar = self.plan, self.grammar
        signature = grammar.vocabulary.id_of(f"TimeSig_{plan.beats_per_bar}/4")
        left = plan.n_bars - index
        announced = [grammar.ending[left - 1]] if plan.ends and left <= ENDING_BARS else []
        return [grammar.bar, signature, *announced, *plan.bar_controls[index]]

    def _open_bar(self) -> None:
        header = self._header(len(self.bars))
        self._queue.extend(header)
        self._bar = header[:2]
        self._expects, self._step, self._pitch = "position", -1, -1

    @property
    def n_given(self) -> int:
        """Return how many control ids follow the row's first id."""
        return len(self.plan.controls)

    def forced(self) -> int | None:
        """Return the id that must come next, or None."""
        return self._queue[0] if self._queue else None

    def allowed(self) -> Mask:
        """Return which ids may be sampled, shape (vocab_size,)."""
        grammar = self.grammar
        if self._expects == "velocity":
            return grammar.velocity
        if self._expects == "duration":
            return grammar.duration
        mask = np.zeros(len(grammar.vocabulary), dtype=bool)
        full = len(self._bar) >= MAX_BAR_IDS
        if self._expects in {"position", "any"} and not full:
            steps = self.plan.beats_per_bar * STEPS_PER_BEAT
            mask[grammar.position[self._step + 1 : steps]] = True
        if self._expects == "pitch" or (self._expects == "any" and not full):
            lowest = max(self.plan.lowest, self._pitch + 1)
            mask[grammar.pitch[lowest - LOWEST_PITCH : self.plan.highest - LOWEST_PITCH + 1]] = True
        if self._expects == "any":
            last = len(self.bars) + 1 == self.plan.n_bars
            mask[grammar.bar] = not last or not self.plan.ends
            mask[grammar.eos] = last
        return mask

    def push(self, token: int) -> None:
        """Take note of the id that was written."""
        if self._queue:
            self._queue.popleft()
            return
        grammar = self.grammar
        if token in (grammar.bar, grammar.eos):
            self._close_bar()
            return
        self._bar.append(token)
        step = token - int(grammar.position[0])
        if self._expects in {"position", "any"} and 0 <= step < len(grammar.position):
            self._step = step
            self._expects, self._pitch = "pitch", -1
        elif self._expects in {"pitch", "any"}:
            self._pitch = int(token - grammar.pitch[0]) + LOWEST_PITCH
            self._expects = "velocity"
        else:
            self._expects = "duration" if self._expects == "velocity" else "any"

    def _close_bar(self) -> None:
        self.bars.append(self._bar)
        if len(self.bars) == self.plan.n_bars:
            self.done = True
            return
        self._open_bar()
        self._queue.popleft()

    def ids(self) -> list[int]:
        """Return the ids of the whole bars, as the tokenizer decodes them."""
        return [token for bar in self.bars for token in bar]
