"""Rows in the compiled part of the int8 engine: put in, watched, taken out."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engine import EngineRow, LogitBias, check_row, steered
from emomusic.model.events import SLOTS
from emomusic.model.grammar import BarScript, Grammar, Segments
from emomusic.model.int8 import library as lib
from emomusic.model.shape import ModelConfig

STEPS = 16
"""Events of each row between two looks at what has ended."""


class Jobs:
    """Hand rows out to whoever asks, one at a time.

    Attributes:
        tells_segments: Whether anybody wants to know of rows that have not ended.
        closed: Whether whoever wanted the rows has gone.
    """

    def __init__(
        self,
        rows: Iterator[tuple[int, EngineRow]],
        config: ModelConfig,
        grammar: Grammar,
        tells_segments: bool,
    ) -> None:
        """Begin with the first row."""
        self._rows, self._lock, self.closed = rows, threading.Lock(), False
        self._config, self._grammar = config, grammar
        self.tells_segments = tells_segments

    def take(self) -> tuple[int, EngineRow] | None:
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
    """Follow the row in one place."""

    index: int
    row: EngineRow
    segments: Segments = field(default_factory=list)
    n_before: int = 0

    def absorb(self, state: lib.StateArg) -> bool:
        """Take over the segments that ended since; tell whether there were any."""
        ends = [0, *state.ends_at[: state.n_bars]]
        new = len(self.segments) - self.n_before
        for begin, end in pairwise(ends[new:]):
            self.segments.append(state.ids[begin:end])
        return len(ends) - 1 > new


class KernelSession:
    """Places for rows in the compiled part.

    Attributes:
        process: Where it was made; its threads are not in a fork of it.
    """

    def __init__(
        self, model: int, config: ModelConfig, grammar: Grammar, *, n_places: int, threads: int
    ) -> None:
        """Allocate places.

        Args:
            model: The compiled part's own.
            config: The model's shape.
            grammar: Of all rows.
            n_places: Rows at once.
            threads: Which compute each step together.

        Raises:
            MemoryError: If there is no memory for them.
        """
        self._lib, self.process = lib.library(), os.getpid()
        self._config, self._grammar = config, grammar
        self._places: list[_Place | None] = [None] * n_places
        self._session = self._lib.em_session_new(model, n_places, threads)
        if not self._session:
            raise MemoryError(f"no memory for {n_places} rows, or no {threads} threads")
        weakref.finalize(self, _free, self._lib, self._session, self.process)

    def serve(self, jobs: Jobs) -> Iterator[tuple[int, Segments]]:
        """Write rows until there are no more; yield number and segments of each that ends."""
        while not jobs.closed:
            self._fill(jobs)
            if all(place is None for place in self._places):
                return
            self._lib.em_run(self._session, STEPS)
            for at, place in enumerate(self._places):
                if place is not None:
                    yield from self._look(at, place, jobs.tells_segments)

    def _fill(self, jobs: Jobs) -> None:
        for at in range(len(self._places)):
            if self._places[at] is None:
                found = jobs.take()
                if found is None:
                    return
                self._put(at, _Place(*found))

    def _put(self, at: int, place: _Place) -> None:
        place.n_before = len(place.segments)
        argument, kept = _row_arg(place, self._grammar, self._config.context)
        status = self._lib.em_put(self._session, at, ctypes.byref(argument))
        del kept
        if status == lib.NO_MEMORY:
            raise MemoryError("no memory for a row")
        if status:
            raise ValueError("the row does not fit the grammar or the context")
        self._places[at] = place

    def _look(self, at: int, place: _Place, tells_segments: bool) -> Iterator[tuple[int, Segments]]:
        state = lib.StateArg()
        self._lib.em_get(self._session, at, ctypes.byref(state))
        if state.status == lib.WRITING and not tells_segments:
            return
        is_new = place.absorb(state)
        if state.status in (lib.WRITING, lib.WAITING):
            if is_new and tells_segments:
                yield place.index, [*place.segments]
            if state.status == lib.WAITING:
                lean = steered(place.row, place.segments, self._grammar)
                if self._lib.em_steer(self._session, at, _lean_arg(lean)) == lib.NO_MEMORY:
                    raise MemoryError("no memory for what a row leans to")
            return
        self._lib.em_clear(self._session, at)
        self._places[at] = None
        place.row.uniforms.drop(state.n_used)
        if state.status == lib.FULL:
            if len(place.segments) == place.n_before:
                context = self._config.context
                raise ValueError(f"a segment does not end within a context of {context}")
            self._put(at, place)
        elif state.status == lib.STUCK:
            raise ValueError("the grammar allows no choice")
        else:
            yield place.index, place.segments

    def score(
        self,
        events: Sequence[Sequence[int]],
        chosen: NDArray[np.int64],
        out: NDArray[np.float32],
    ) -> None:
        """Write logits into `out`, as `Int8Engine.logits` says.

        Raises:
            ValueError: If they do not fit.
        """
        arrays = (*_flat(events), np.ascontiguousarray(chosen, np.int32))
        given = (*map(_pointer, arrays), len(events), _pointer(out))
        if self._lib.em_score(self._session, *given):
            raise ValueError("the events or choices do not fit the model")

    def clear(self) -> None:
        """Give all places free."""
        for at in range(len(self._places)):
            self._lib.em_clear(self._session, at)
            self._places[at] = None


def _free(library: ctypes.CDLL, session: int, process: int) -> None:
    if process == os.getpid():
        library.em_session_free(session)


_CTYPES: dict[str, Any] = {
    "int32": ctypes.c_int32,
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


def _pointer(array: NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(_CTYPES[array.dtype.name]))


def _flat(parts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return lists laid end to end, and where each begins and the last one ends."""
    starts = [0, *accumulate(map(len, parts))]
    return np.array(list(chain.from_iterable(parts)), np.int32), np.array(starts, np.int32)


def _flags(bar: BarScript) -> int:
    ends = lib.ENDS_BAR * bar.ends_bar + lib.ENDS_ALL * bar.ends_all
    return ends + lib.WRITES_CHORDS * bar.writes_chords


def _row_arg(
    place: _Place, grammar: Grammar, context: int
) -> tuple[lib.RowArg, list[NDArray[Any]]]:
    """Return the argument for what is left of a row, and the arrays that it points to."""
    row, script = place.row, place.row.script
    bars = script.bars[place.n_before :]
    heads = (token for bar in bars[1:] for token in bar.head)
    events = grammar.rows([*script.opening(place.segments), *heads])
    rows, event_at = _flat(events)
    # A head begins with the only `bar` in it.
    begins = [at for at, own in enumerate(events) if own[0] == grammar.layout.bar]
    begins = begins[len(begins) - len(bars) + 1 :]
    notes, note_at = _flat([[*chain.from_iterable(bar.given)] for bar in bars])
    lean = steered(row, place.segments, grammar)
    arrays: dict[str, NDArray[Any]] = {
        "rows": rows,
        "event_at": event_at,
        "bar_at": np.array([0, *begins, len(events)], np.int32),
        "flags": np.array([_flags(bar) for bar in bars], np.int32),
        "notes": notes,
        "note_at": note_at // 4,
        "uniforms": np.ascontiguousarray(row.uniforms.peek(4 * context)),
    }
    is_guided = row.guidance_after(place.n_before) != 1
    argument = lib.RowArg(
        **{name: _pointer(array) for name, array in arrays.items()},
        n_bars=len(bars),
        max_notes=min(script.max_notes, 2**31 - 1),
        reach=script.reach,
        positions=script.positions,
        pitches=script.pitches,
        temperature=tuple(np.broadcast_to(row.temperature, len(SLOTS)).tolist()),
        top_p=tuple(np.broadcast_to(row.top_p, len(SLOTS)).tolist()),
        guidance=row.guidance,
        n_guided=row.n_guided - place.n_before if is_guided else 0,
        lean=_lean_arg(lean),
        waits=row.steer is not None,
    )
    kept = [*arrays.values()]
    if lean is not None:
        kept += [lean.bias, lean.pairs, lean.weights]
    return argument, kept


def _lean_arg(lean: LogitBias | None) -> Any:
    """Return a pointer to the argument, which points to the lean's own arrays."""
    if lean is None:
        return None
    tables = map(_pointer, (lean.bias, lean.pairs, lean.weights))
    return ctypes.pointer(lib.LeanArg(*tables, len(lean.pairs)))
