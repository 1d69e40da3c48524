"""Rows in the compiled part of the int8 engine: put in, watched, taken out."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.engine import Lean, Row, Segments, check_row, steered
from emomusic.model.engines.grammar import Grammar
from emomusic.model.int8 import library as lib
from emomusic.model.shape import ModelConfig

STEPS = 64
"""Steps between two looks at what has ended."""


@dataclass(frozen=True)
class Event:
    """Tell the whole segments of a row so far."""

    index: int
    segments: Segments


class Jobs:
    """Hand rows out to whoever asks, one at a time.

    Attributes:
        tells_segments: Whether anybody wants to know of rows that have not ended.
        closed: Whether whoever wanted the rows has gone.
    """

    def __init__(
        self,
        rows: Iterator[tuple[int, Row]],
        config: ModelConfig,
        grammar: Grammar,
        tells_segments: bool,
    ) -> None:
        """Begin with the first row."""
        self._rows, self._lock, self.closed = rows, threading.Lock(), False
        self._config, self._grammar = config, grammar
        self.tells_segments = tells_segments

    def take(self) -> tuple[int, Row] | None:
        """Return the next row and its number, or None where there is none.

        Raises:
            ValueError: If it cannot be written.
        """
        with self._lock:
            found = None if self.closed else next(self._rows, None)
        if found is not None:
            check_row(found[1], self._grammar, self._config)
        return found


@dataclass
class _Place:
    """Follow the row in one slot."""

    index: int
    row: Row
    segments: Segments = field(default_factory=list)
    n_before: int = 0
    at: int = 0

    def absorb(self, ids: NDArray[np.int32], ends_at: Sequence[int]) -> bool:
        """Take over the segments that ended since; tell whether there were any."""
        script = self.row.script
        new = ends_at[len(self.segments) - self.n_before :]
        for end in new:
            self.segments.append(ids[self.at : end].tolist())
            done = len(self.segments) == len(script.heads)
            given = () if done else script.continuation(len(self.segments), int(ids[end]))
            self.at = end + 1 + len(given)
        return bool(new)


class Session:
    """Places for rows in the compiled part.

    Attributes:
        process: Where it was made; its threads are not in a fork of it.
    """

    def __init__(
        self, model: int, config: ModelConfig, grammar: Grammar, *, slots: int, threads: int
    ) -> None:
        """Allocate places.

        Args:
            model: The compiled part's own.
            config: The model's shape.
            grammar: Of all rows.
            slots: Places.
            threads: Which compute each step together.

        Raises:
            MemoryError: If there is no memory for them.
        """
        self._lib, self.process = lib.library(), os.getpid()
        self._config, self._grammar = config, grammar
        self._places: list[_Place | None] = [None] * slots
        argument, kept = _grammar_arg(grammar)
        self._session = self._lib.em_session_new(model, ctypes.byref(argument), slots, threads)
        del kept
        if not self._session:
            raise MemoryError(f"no memory for {slots} rows, or no {threads} threads")
        weakref.finalize(self, _free, self._lib, self._session, self.process)

    def serve(self, jobs: Jobs) -> Iterator[Event]:
        """Write rows until there are no more; tell of each that ends."""
        while not jobs.closed:
            self._fill(jobs)
            if all(place is None for place in self._places):
                return
            self._lib.em_run(self._session, STEPS)
            for slot, place in enumerate(self._places):
                if place is not None:
                    yield from self._look(slot, place, jobs.tells_segments)

    def _fill(self, jobs: Jobs) -> None:
        for slot in range(len(self._places)):
            if self._places[slot] is None:
                found = jobs.take()
                if found is None:
                    return
                self._put(slot, _Place(*found))

    def _put(self, slot: int, place: _Place) -> None:
        opening = place.row.script.opening(place.segments)
        place.n_before, place.at = len(place.segments), len(opening)
        argument, kept = _row_arg(place, opening, self._grammar, self._config.context)
        status = self._lib.em_put(self._session, slot, ctypes.byref(argument))
        del kept
        if status == lib.NO_MEMORY:
            raise MemoryError("no memory for a row")
        if status:
            raise ValueError("the row does not fit the grammar or the context")
        self._places[slot] = place

    def _look(self, slot: int, place: _Place, tells_segments: bool) -> Iterator[Event]:
        state = lib.StateArg()
        self._lib.em_get(self._session, slot, ctypes.byref(state))
        if state.status == lib.WRITING and not tells_segments:
            return
        ids = np.ctypeslib.as_array(state.ids, (state.n_ids + 1,))
        is_new = place.absorb(ids, state.ends_at[: state.n_segments])
        if state.status in (lib.WRITING, lib.WAITING):
            if is_new and tells_segments:
                yield Event(place.index, [*place.segments])
            if state.status == lib.WAITING:
                lean = steered(place.row, place.segments, self._grammar)
                if self._lib.em_steer(self._session, slot, _lean_arg(lean)) == lib.NO_MEMORY:
                    raise MemoryError("no memory for what a row leans to")
            return
        self._lib.em_clear(self._session, slot)
        self._places[slot] = None
        place.row.uniforms.drop(state.n_used)
        if state.status == lib.FULL:
            if len(place.segments) == place.n_before:
                context = self._config.context
                raise ValueError(f"a segment does not end within a context of {context}")
            self._put(slot, place)
        elif state.status == lib.STUCK:
            raise ValueError("the grammar allows no id")
        else:
            yield Event(place.index, place.segments)

    def score(self, ids: NDArray[np.int32], out: NDArray[np.float32]) -> None:
        """Write the logits after each id, shape (n_ids, vocab_size), into `out`."""
        self._lib.em_score(self._session, _pointer(ids), len(ids), _pointer(out))

    def clear(self) -> None:
        """Give all places free."""
        for slot in range(len(self._places)):
            self._lib.em_clear(self._session, slot)
            self._places[slot] = None


def _free(library: ctypes.CDLL, session: int, process: int) -> None:
    if process == os.getpid():
        library.em_session_free(session)


_CTYPES: dict[str, Any] = {
    "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


def _pointer(array: NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(_CTYPES[array.dtype.name]))


def _bits(kinds: Sequence[int]) -> int:
    return sum(1 << kind for kind in set(kinds))


def _grammar_arg(grammar: Grammar) -> tuple[lib.GrammarArg, list[NDArray[Any]]]:
    """Return the argument, and the arrays that it points to."""
    kinds = grammar.kinds
    arrays: list[NDArray[Any]] = [
        np.array([kind.first for kind in kinds], np.int32),
        np.array([kind.count for kind in kinds], np.int32),
        np.array([kind.then for kind in kinds], np.int32),
        np.array([-1 if kind.since is None else kind.since for kind in kinds], np.int32),
        np.array([_bits(kind.resets) for kind in kinds], np.uint32),
        np.array([_bits(state) for state in grammar.states], np.uint32),
    ]
    argument = lib.GrammarArg(
        grammar.vocab_size,
        len(kinds),
        len(grammar.states),
        *map(_pointer, arrays),
        _bits([k for k, kind in enumerate(kinds) if kind.rises]),
        _bits([k for k, kind in enumerate(kinds) if kind.ends]),
    )
    return argument, arrays


def _row_arg(
    place: _Place, opening: list[int], grammar: Grammar, context: int
) -> tuple[lib.RowArg, list[NDArray[Any]]]:
    """Return the argument for what is left of a row, and the arrays that it points to."""
    row, script = place.row, place.row.script
    heads, ends = script.heads[place.n_before :], script.ends[place.n_before :]
    low = np.array([kind.first for kind in grammar.kinds], np.int32)
    high = np.array([kind.first + kind.count - 1 for kind in grammar.kinds], np.int32)
    for kind, lowest, highest in script.bounds:
        low[kind], high[kind] = max(low[kind], lowest), min(high[kind], highest)
    lean = steered(row, place.segments, grammar)
    starts = np.cumsum([0, 0, *(len(head) for head in heads[1:])], dtype=np.int32)
    arrays: list[NDArray[Any]] = [
        np.array(opening, np.int32),
        np.array([token for head in heads[1:] for token in head], np.int32),
        starts,
        np.array([_bits(kinds) for kinds in ends], np.uint32),
        low,
        high,
        np.ascontiguousarray(row.uniforms.peek(context)),
    ]
    opening_, heads_, starts_, ends_, low_, high_, uniforms_ = map(_pointer, arrays)
    argument = lib.RowArg(
        opening_,
        len(opening),
        len(script.prompt) - 1 if row.guidance_after(place.n_before) != 1 else -1,
        heads_,
        starts_,
        ends_,
        len(heads),
        low_,
        high_,
        min(script.max_free, 2**31 - 1),
        uniforms_,
        row.temperature,
        row.top_p,
        row.guidance,
        max(row.n_guided - place.n_before, 0),
        _lean_arg(lean),
        row.steer is not None,
    )
    if lean is not None:
        arrays += [lean.bias, lean.pairs, lean.weights]
    return argument, arrays


def _lean_arg(lean: Lean | None) -> Any:
    """Return a pointer to the argument, which points to the lean's own arrays."""
    if lean is None:
        return None
    tables = map(_pointer, (lean.bias, lean.pairs, lean.weights))
    return ctypes.pointer(lib.LeanArg(*tables, len(lean.pairs)))
