"""Follow many rows through a grammar at once: `Walk`, in arrays over the places of a block."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.engine import Lean
from emomusic.model.engines.grammar import Grammar, Script

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class _Tables:
    """Hold a grammar as arrays; K kinds, S states.

    Attributes:
        allows: Which kinds may follow in each state, shape (S, K).
        ends: Which kinds end a segment, shape (K,).
        rises: Which kinds rise, shape (K,).
        then: The state after each kind, shape (K,).
        resets: Which kinds each kind resets, shape (K, K).
        first: The lowest id of each kind, shape (K,).
        last: The highest id of each kind, shape (K,).
        since: The kind that each kind's bias is counted from, shape (K,), -1 for none.
    """

    allows: Flags
    ends: Flags
    rises: Flags
    then: Ints
    resets: Flags
    first: Ints
    last: Ints
    since: Ints


@dataclass(frozen=True)
class Leans:
    """Hold what the segments in hand lean to, as `Lean`, over the places of a block.

    Attributes:
        bias: Shape (2, n_places, vocab_size).
        pairs: Shape (n_places, n_pairs, 2).
        weights: Shape (n_places, n_pairs); 0 where a place has fewer pairs.
    """

    bias: NDArray[np.float32]
    pairs: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, leans: Sequence[Lean | None], vocab_size: int) -> Leans:
        """Stack what each place leans to."""
        n_pairs = max(0 if lean is None else len(lean.weights) for lean in leans)
        bias = np.zeros((2, len(leans), vocab_size), np.float32)
        pairs = np.zeros((len(leans), n_pairs, 2), np.int32)
        weights = np.zeros((len(leans), n_pairs), np.float32)
        for place, lean in enumerate(leans):
            if lean is not None:
                n = len(lean.weights)
                bias[:, place], pairs[place, :n] = lean.bias, lean.pairs
                weights[place, :n] = lean.weights
        return cls(bias, pairs, weights)


@lru_cache(maxsize=4)
def _tables(grammar: Grammar) -> _Tables:
    kinds, n_kinds = grammar.kinds, len(grammar.kinds)
    first = np.array([kind.first for kind in kinds])
    return _Tables(
        allows=np.stack([_flags(state, n_kinds) for state in grammar.states]),
        ends=np.array([kind.ends for kind in kinds]),
        rises=np.array([kind.rises for kind in kinds]),
        then=np.array([kind.then for kind in kinds]),
        resets=np.stack([_flags(kind.resets, n_kinds) for kind in kinds]),
        first=first,
        last=first + [kind.count - 1 for kind in kinds],
        since=np.array([-1 if kind.since is None else kind.since for kind in kinds]),
    )


def _flags(numbers: Sequence[int], n: int) -> Flags:
    flags = np.zeros(n, dtype=bool)
    flags[list(numbers)] = True
    return flags


class Walks:
    """Follow a row at each place of a block; a place may be empty.

    Attributes:
        live: Which places hold a row that has not ended, shape (n_places,).
        segments: The sampled ids of each whole segment of each place, without the end ids.
    """

    def __init__(
        self,
        grammar: Grammar,
        scripts: Sequence[Script | None],
        *,
        segments: Sequence[list[list[int]]],
    ) -> None:
        """Begin each row with its next segment.

        Args:
            grammar: Of all rows.
            scripts: One a place; None leaves it empty.
            segments: The whole segments that each row has already; they are added to.
        """
        self.grammar, self.scripts, self.segments = grammar, scripts, segments
        n_places, n_kinds = len(scripts), len(grammar.kinds)
        self._tables = tables = _tables(grammar)
        self.live = np.array([script is not None for script in scripts])
        self._low = np.tile(tables.first, (n_places, 1))
        self._high = np.tile(tables.last, (n_places, 1))
        self._max_free = np.zeros(n_places, dtype=np.int64)
        self._may_end = np.zeros((n_places, n_kinds), dtype=bool)
        self._state = np.zeros(n_places, dtype=np.int64)
        self._last = self._low - 1
        self._current: list[list[int]] = [[] for _ in scripts]
        self._given: list[deque[int]] = [deque() for _ in scripts]
        self._n_free = np.zeros(n_places, dtype=np.int64)
        for place, script in enumerate(scripts):
            if script is not None:
                self._enter(place, script)

    def _enter(self, place: int, script: Script) -> None:
        for number, low, high in script.bounds:
            self._low[place, number] = max(self._low[place, number], low)
            self._high[place, number] = min(self._high[place, number], high)
        self._max_free[place] = script.max_free
        self._open(place, script)

    def _open(self, place: int, script: Script) -> None:
        self._current[place] = []
        self._n_free[place] = self._state[place] = 0
        self._last[place] = self._low[place] - 1
        self._may_end[place] = False
        self._may_end[place, list(script.ends[len(self.segments[place])])] = True

    def given(self) -> Ints:
        """Return the id that each place is given next, -1 where one is sampled."""
        return np.array([given[0] if given else -1 for given in self._given])

    def bounds(self) -> tuple[Ints, Ints]:
        """Return the lowest and highest id that may be sampled, shape (n_places, n_kinds) each.

        Where a kind is not allowed, the highest is below the lowest.
        """
        t = self._tables
        kinds = t.allows[self._state] & (~t.ends | self._may_end)
        ending = kinds & t.ends
        full = (self._n_free >= self._max_free) & ending.any(axis=1)
        kinds = np.where(full[:, None], ending, kinds)
        low = np.where(t.rises, self._last + 1, self._low)
        return low, np.where(kinds, self._high, low - 1)

    def leaning(self, leans: Leans) -> NDArray[np.float32]:
        """Return what is added to the logits of each place now, shape (n_places, vocab_size)."""
        t, kind_of, place = self._tables, self.grammar.kind_of, np.arange(len(self._last))[:, None]
        last = self._last[:, t.since]
        has = (t.since >= 0) & (last >= self._low[:, t.since])
        counted = leans.bias[1]
        off = np.where(has, np.take_along_axis(counted, np.where(has, last, 0), axis=1), 0)
        counts = np.append(t.since >= 0, False)[kind_of]
        shifted = counted - off.astype(np.float32)[:, np.maximum(kind_of, 0)]
        leaning: NDArray[np.float32] = leans.bias[0] + np.where(counts, shifted, np.float32(0))
        first, second = leans.pairs[..., 0], leans.pairs[..., 1]
        kind = kind_of[np.where(first < 0, second, first)]
        of_kind, low = self._last[place, kind], self._low[place, kind]
        holds = np.where(first < 0, of_kind < low, of_kind == first) & (kind >= 0)
        np.add.at(leaning, (place, second), np.where(holds, leans.weights, np.float32(0)))
        return leaning

    def push(self, ids: Ints, sampled: Flags) -> list[int]:
        """Take note of an id at each place.

        Args:
            ids: Shape (n_places,); those of places that are not live are passed over.
            sampled: Which of them were sampled; the others were given.

        Returns:
            The places where a segment has ended.
        """
        for place in np.flatnonzero(self.live & ~sampled):
            self._given[place].popleft()
        t, places = self._tables, np.flatnonzero(self.live & sampled)
        kinds = self.grammar.kind_of[ids[places]]
        ended = t.ends[kinds]
        going, kinds = places[~ended], kinds[~ended]
        self._state[going] = t.then[kinds]
        self._last[going, kinds] = ids[going]
        self._last[going] = np.where(t.resets[kinds], self._low[going] - 1, self._last[going])
        self._n_free[going] += 1
        for place in going.tolist():
            self._current[place].append(int(ids[place]))
        over: list[int] = places[ended].tolist()
        for at in over:
            self._close(at, int(ids[at]))
        return over

    def _close(self, place: int, end: int) -> None:
        script, segments = self.scripts[place], self.segments[place]
        assert script is not None
        segments.append(self._current[place])
        self.live[place] = len(segments) < len(script.heads)
        if self.live[place]:
            self._given[place].extend(script.continuation(len(segments), end))
            self._open(place, script)

    def leave(self, place: int) -> None:
        """Take a row away before its end; the segment in hand is lost."""
        self.live[place] = False
