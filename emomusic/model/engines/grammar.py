"""What may be written next, in ids alone: kinds of ids, and states that allow kinds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MAX_KINDS = 32
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Kind:
    """Hold a run of neighbouring ids that the grammar treats alike.

    Attributes:
        first: The lowest id.
        count: How many ids follow each other, at least 1.
        then: The state after one of them.
        rises: Whether an id must be above the last one of its kind.
        resets: Kinds, by number, whose last id is forgotten: they may begin low again.
        ends: Whether one of them ends the segment.
        since: A kind, by number: the second half of a lean's bias is counted from what it has for
            the last id of that kind in the segment, so that what falls with the id falls with
            the step from there.
    """

    first: int
    count: int
    then: int
    rises: bool = False
    resets: tuple[int, ...] = ()
    ends: bool = False
    since: int | None = None


@dataclass(frozen=True)
class Grammar:
    """Hold kinds and states; a segment begins in state 0.

    Attributes:
        vocab_size: Number of ids.
        kinds: At most 32; they do not overlap.
        states: The kinds, by number, that may follow in each state.
    """

    vocab_size: int
    kinds: tuple[Kind, ...]
    states: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        """Check that kinds and states fit together.

        Raises:
            ValueError: If not; the message says what.
        """
        n_kinds, n_states = len(self.kinds), len(self.states)
        if not 1 <= n_kinds <= MAX_KINDS or not n_states:
            raise ValueError(f"a grammar has 1 to {MAX_KINDS} kinds and a state, got {n_kinds}")
        taken = np.zeros(self.vocab_size, dtype=bool)
        for kind in self.kinds:
            if kind.count < 1 or not 0 <= kind.first <= self.vocab_size - kind.count:
                raise ValueError(f"a kind lies outside the {self.vocab_size} ids: {kind}")
            if taken[kind.first : kind.first + kind.count].any():
                raise ValueError(f"a kind overlaps another: {kind}")
            others = (*kind.resets, 0 if kind.since is None else kind.since)
            if not 0 <= kind.then < n_states or not all(0 <= k < n_kinds for k in others):
                raise ValueError(f"a kind leads to an unknown state or kind: {kind}")
            taken[kind.first : kind.first + kind.count] = True
        if not all(state and all(0 <= k < n_kinds for k in state) for state in self.states):
            raise ValueError("each state must allow kinds that exist, and at least one")

    @cached_property
    def kind_of(self) -> NDArray[np.int64]:
        """Return the kind of each id, -1 for those never sampled, shape (vocab_size,)."""
        kinds = np.full(self.vocab_size, -1, dtype=np.int64)
        for number, kind in enumerate(self.kinds):
            kinds[kind.first : kind.first + kind.count] = number
        return kinds


@dataclass(frozen=True)
class Script:
    """Hold what is given of a row: how it begins, and how each of its segments does.

    A segment is a head that is given, ids that are sampled, and an end id that is sampled,
    too. An end id that is the first of the next head stands for it.

    Attributes:
        prompt: Ids before the first segment; guidance hides all but the first from a twin.
        heads: The given ids of each segment.
        ends: The kinds, by number, that may end each segment.
        max_free: Ids sampled in a segment after which it ends as soon as its state allows.
        bounds: A kind, and the lowest and highest id allowed of it, for kinds that are bounded.
        max_repeated: Most ids of past segments that are repeated where the context is full.
    """

    prompt: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...]
    ends: tuple[tuple[int, ...], ...]
    max_free: int
    bounds: tuple[tuple[int, int, int], ...] = ()
    max_repeated: int = 0

    def __post_init__(self) -> None:
        """Check the script.

        Raises:
            ValueError: If it has no prompt, no segment, or not one set of ends for each.
        """
        if not self.prompt or not self.heads or len(self.heads) != len(self.ends):
            raise ValueError("a script needs a prompt, and for each segment a head and its ends")
        if not all(self.ends):
            raise ValueError("each segment of a script must have a kind that ends it")

    def opening(self, written: list[list[int]]) -> list[int]:
        """Return the ids to begin with after some segments: prompt, what is repeated, head.

        Args:
            written: The sampled ids of each segment before, their end ids left out.
        """
        first, length = len(written), 0
        while first > 0:
            length += len(self.heads[first - 1]) + len(written[first - 1])
            if length > self.max_repeated:
                break
            first -= 1
        ids = list(self.prompt)
        for head, segment in zip(self.heads[first:], written[first:], strict=False):
            ids += [*head, *segment]
        return [*ids, *self.heads[len(written)]]

    def continuation(self, segment: int, end: int) -> tuple[int, ...]:
        """Return what is given at the beginning of a segment, once `end` ended the one before."""
        head = self.heads[segment]
        return head[1:] if head[:1] == (end,) else head


class Walk:
    """Follow one segment after another through a grammar; the reference for every engine.

    Attributes:
        segments: The sampled ids of each whole segment, without its end id.
        done: Whether the last segment has ended.
    """

    def __init__(self, grammar: Grammar, script: Script) -> None:
        """Begin with the first segment."""
        self.grammar, self.script = grammar, script
        self.segments: list[list[int]] = []
        self.done = False
        self._low = np.array([kind.first for kind in grammar.kinds])
        self._high = self._low + [kind.count - 1 for kind in grammar.kinds]
        for number, low, high in script.bounds:
            self._low[number] = max(self._low[number], low)
            self._high[number] = min(self._high[number], high)
        self.restart()

    def restart(self) -> None:
        """Forget the segment in hand; the whole ones stay."""
        self._current: list[int] = []
        self._state = 0
        self._last = self._low - 1

    def allowed(self) -> Mask:
        """Return which ids may be sampled, shape (vocab_size,).

        Raises:
            ValueError: If none may, which is the grammar's fault.
        """
        grammar, at = self.grammar, len(self.segments)
        kinds = [
            k
            for k in grammar.states[self._state]
            if not grammar.kinds[k].ends or k in self.script.ends[at]
        ]
        ending = [k for k in kinds if grammar.kinds[k].ends]
        if ending and len(self._current) >= self.script.max_free:
            kinds = ending
        mask = np.zeros(grammar.vocab_size, dtype=bool)
        for k in kinds:
            low = self._last[k] + 1 if grammar.kinds[k].rises else self._low[k]
            mask[low : self._high[k] + 1] = True
        if not mask.any():
            raise ValueError("the grammar allows no id")
        return mask

    def leaning(
        self, bias: NDArray[np.float32], pairs: NDArray[np.int32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return what is added to the logits now, shape (vocab_size,); see `Lean`."""
        leaning: NDArray[np.float32] = bias[0].copy()
        counted = bias[1]
        for kind in self.grammar.kinds:
            if kind.since is not None:
                last, own = self._last[kind.since], slice(kind.first, kind.first + kind.count)
                off = counted[last] if last >= self._low[kind.since] else np.float32(0)
                leaning[own] += counted[own] - off
        for (first, second), weight in zip(pairs.tolist(), weights, strict=True):
            k = self.grammar.kind_of[second if first < 0 else first]
            holds = self._last[k] < self._low[k] if first < 0 else self._last[k] == first
            if k >= 0 and holds:
                leaning[second] += weight
        return leaning

    def push(self, token: int) -> tuple[int, ...]:
        """Take note of a sampled id.

        Returns:
            The ids given next: the head of a new segment, or nothing.

        Raises:
            ValueError: If the grammar does not know the id.
        """
        number = int(self.grammar.kind_of[token])
        if number < 0:
            raise ValueError(f"id {token} is of no kind that is sampled")
        kind = self.grammar.kinds[number]
        if kind.ends:
            self.segments.append(self._current)
            self.restart()
            self.done = len(self.segments) == len(self.script.heads)
            return () if self.done else self.script.continuation(len(self.segments), token)
        self._current.append(token)
        self._state = kind.then
        self._last[number] = token
        for k in kind.resets:
            self._last[k] = self._low[k] - 1
        return ()
