"""The fast engine on the CPU: int8 weights, the whole step in compiled code."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.model.checkpoint import (
    BFLOAT16,
    Array,
    CheckpointError,
    ModelConfig,
    is_finite,
    read_shape,
    read_tensors,
    tensor_shapes,
)
from emomusic.model.engine import EngineRow, LogitBias, check_row, checked_events
from emomusic.model.events import NONE, SLOTS
from emomusic.model.grammar import Grammar, Segments
from emomusic.model.int8 import library as lib

FEW_PLACES, MORE_PLACES, MANY_PARAMETERS = 4, 8, 16_000_000
"""Rows that one thread writes at once: so many that reading the weights is shared, the more the
larger these are, and so few that keys and values stay in the processor's cache beside them."""
MAX_WAITING = 64
"""So many events wait to be taken: where that is slow, the writing waits, and not the memory."""
STEPS = 16
"""Events of each row between two looks at what has ended."""


class Int8Engine:
    """Write rows with int8 weights on the CPU.

    Weights, activations, keys and values are rounded to int8, with a scale for each output,
    row, or position and head; sums over them are sums of integers, so that a row's ids are the
    same whatever its neighbours, the number of threads and the processor's instructions.

    Reference: dynamic symmetric quantisation as in Dettmers et al. (2022), without outlier
    columns, which models of this size do not need.
    """

    def __init__(
        self,
        config: ModelConfig,
        tensors: Iterable[tuple[str, Array]],
        *,
        threads: int = 1,
        places: int | None = None,
        instructions: str = "",
    ) -> None:
        """Round the weights.

        Args:
            config: The model's shape.
            tensors: Name and values of each tensor, float32 or the bits of bfloat16.
            threads: At least 1. Several rows are shared out among them; one row alone is
                computed by all of them, at most 16, together where that is faster.
            places: Rows that a thread writes at once; None takes 4, or 8 of a large model.
            instructions: `avx512-vnni`, `avx-vnni`, `avx2`, `neon-dotprod` or `plain`; empty
                takes the best that the processor has.

        Raises:
            LibraryError: If the compiled part is missing, or the instructions are.
            ValueError: If tensors are missing or not finite, or a number is out of range.
        """
        if places is None:
            places = MORE_PLACES if config.n_parameters > MANY_PARAMETERS else FEW_PLACES
        if threads < 1 or places < 1:
            raise ValueError(f"threads and places must be at least 1, got {threads} and {places}")
        self._lib = lib.library()
        self.config, self.threads, self.places = config, threads, places
        self._model = _new_model(self._lib, config, instructions)
        weakref.finalize(self, self._lib.em_model_free, self._model)
        missing = set(shapes := tensor_shapes(config))
        for name, tensor in tensors:
            self._set(name, tensor, shapes[name])
            missing.discard(name)
        if missing:
            raise ValueError(f"the weights lack {min(missing)}")
        self._idle: dict[tuple[Grammar, int, int], list[_Session]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, places: int | None = None) -> Int8Engine:
        """Load a checkpoint; at most one file of its weights is in memory at a time.

        Raises:
            CheckpointError: If a file is missing or damaged, or does not fit the config.
            LibraryError: If the compiled part is missing.
        """
        shape, names = read_shape(folder)
        return cls(shape, read_tensors(folder, shape, names), threads=threads, places=places)

    @property
    def name(self) -> str:
        return "int8"

    @property
    def instructions(self) -> str:
        return str(self._lib.em_model_isa(self._model).decode())

    def _set(self, name: str, tensor: Array, shape: tuple[int, ...]) -> None:
        kind, *rest = name.removesuffix(".weight").split(".", 2)
        at = int(rest[0]) if rest else 0
        which = lib.TENSORS.index(".".join([kind, *rest[1:]]))
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {tensor.shape}")
        dtype = lib.BFLOAT16 if tensor.dtype == BFLOAT16 else lib.FLOAT32
        data = np.ascontiguousarray(tensor, BFLOAT16 if dtype else np.float32)
        status = self._lib.em_model_set(self._model, which, at, data.ctypes.data, dtype)
        if status == lib.NOT_FINITE or not is_finite(data):
            raise CheckpointError(f"{name} holds numbers that are not finite")
        if status:
            raise ValueError(f"{name} cannot be used")

    def write(
        self,
        rows: Iterable[EngineRow],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows, as `Engine.write` says."""
        source = iter(enumerate(rows))
        n_places = self.places
        if at_once is not None:
            n_places = min(n_places, -(-at_once // self.threads))
        first = list(islice(source, max(self.threads, 2)))
        for _, row in first:
            check_row(row, grammar, self.config)
        jobs = _Jobs(chain(first, source), by_segment)
        if any(row.guidance != 1 for _, row in first):
            n_places = max(n_places // 2, 1)  # each has a twin
        n_threads = min(self.threads, len(first))
        if n_threads > 1:
            yield from self._share(jobs, grammar, n_threads, n_places)
            return
        size = (n_places, 1) if len(first) > 1 else (1, min(self.threads, lib.MAX_THREADS))
        with self._session(grammar, *size) as session:
            yield from session.serve(jobs)

    def _share(
        self, jobs: _Jobs, grammar: Grammar, n_threads: int, n_places: int
    ) -> Iterator[tuple[int, Segments]]:
        """Let several threads take rows from the same source, each with places of its own."""
        found: queue.Queue[tuple[int, Segments] | BaseException | None] = queue.Queue(MAX_WAITING)

        def work() -> None:
            try:
                with self._session(grammar, n_places, 1) as session:
                    for one in session.serve(jobs):
                        found.put(one)
                found.put(None)
            except BaseException as error:
                found.put(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
        for worker in workers:
            worker.start()
        try:
            running = len(workers)
            while running:
                one = found.get()
                if isinstance(one, BaseException):
                    raise one
                if one is None:
                    running -= 1
                else:
                    yield one
        finally:
            jobs.closed = True
            while any(worker.is_alive() for worker in workers):
                with suppress(queue.Empty):  # they may be waiting until there is room
                    found.get(timeout=0.01)

    def nats(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what each choice costs, as `Engine.nats` says."""
        events, counts = checked_events(ids, self.config), self.config.layout.n_choices
        parts = np.split(events.rows, events.start[1:])
        logits = self.logits([own.tolist() for own in parts], events.chosen)
        found = np.full(events.chosen.shape, np.nan, np.float32)
        for slot, own in enumerate(np.split(logits, np.cumsum(counts)[:-1], axis=1)):
            at = np.flatnonzero(events.chosen[:, slot] != NONE)
            scaled = own[at].astype(np.float64)
            scaled -= scaled.max(axis=1, keepdims=True, initial=-np.inf)
            told = scaled[np.arange(len(at)), events.chosen[at, slot]]
            found[at, slot] = np.log(np.exp(scaled).sum(axis=1)) - told
        return found

    def logits(
        self, events: Sequence[Sequence[int]], chosen: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the logits of what follows each event of one sequence.

        Args:
            events: The rows of the embedding that each sums, as `Grammar.rows` gives them.
            chosen: What is chosen after each event in each slot, shape (n_events, n_slots); NONE
                where that is not asked. What a slot is told of must be there.

        Returns:
            Shape (n_events, sum of the slots' choices), NaN where nothing was asked.

        Raises:
            ValueError: If they do not fit the model.
        """
        c = self.config
        if not len(events) or chosen.shape != (len(events), len(SLOTS)):
            raise ValueError(f"{chosen.shape} choices do not fit {len(events)} events")
        out = np.full((len(events), sum(c.layout.n_choices)), np.nan, np.float32)
        arrays = (*_flat(events), np.ascontiguousarray(chosen, np.int32))
        given = (*map(_pointer, arrays), len(events), _pointer(out))
        with self._session(Grammar(c.vocab_size, c.layout), 1, self.threads) as session:
            if self._lib.em_score(session.handle, *given):
                raise ValueError("the events or choices do not fit the model")
        return out

    @contextmanager
    def _session(self, grammar: Grammar, n_places: int, threads: int) -> Iterator[_Session]:
        """Lend places to write in; they are kept for the next call."""
        key = (grammar, n_places, threads)
        with self._lock:
            idle = [s for s in self._idle.get(key, []) if s.process == os.getpid()]
            self._idle[key] = idle
            session = idle.pop() if idle else None
        if session is None:
            size = {"n_places": n_places, "threads": threads}
            session = _Session(self._model, self.config, grammar, **size)
        try:
            yield session
        finally:
            session.clear()
            with self._lock:
                self._idle[key].append(session)


def _new_model(library: ctypes.CDLL, config: ModelConfig, instructions: str) -> int:
    """Allocate a model without weights."""
    layout = config.layout
    shape = lib.ShapeArg(
        *(getattr(config, name) for name in lib.SHAPE),
        layout.bos,
        layout.bar,
        layout.eos,
        lib.Six(*(first for first, _ in layout.ranges)),
        lib.Six(*(count for _, count in layout.ranges)),
    )
    half = config.head_dim // 2
    # In float32, as the reference does: the angle's rounding is part of the model.
    frequency = np.float32(config.rope_base) ** (-np.arange(half, dtype=np.float32) / half)
    angle = np.outer(np.arange(config.context, dtype=np.float32), frequency).astype(np.float64)
    tables = [np.ascontiguousarray(f(angle), np.float32) for f in (np.cos, np.sin)]
    if not library.em_has_isa(instructions.encode()):
        raise lib.LibraryError(f"the int8 engine cannot use {instructions!r} here")
    model = library.em_model_new(ctypes.byref(shape), *map(_pointer, tables), instructions.encode())
    if not model:
        raise ValueError(f"the int8 engine has no memory for, or cannot be of, {config}")
    return int(model)


@dataclass
class _Jobs:
    """Hand rows, each with its number, out to whoever asks, until nobody wants them any more."""

    rows: Iterator[tuple[int, EngineRow]]
    by_segment: bool
    closed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> tuple[int, EngineRow] | None:
        with self.lock:
            return None if self.closed else next(self.rows, None)


@dataclass
class _Place:
    """Follow the row in one place: its segments, and how many it had when it was put there."""

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


class _Session:
    """Places for rows in the compiled part, where they are put in, watched and taken out.

    Its threads are in the process that made it, and not in a fork of that.
    """

    def __init__(
        self, model: int, config: ModelConfig, grammar: Grammar, *, n_places: int, threads: int
    ) -> None:
        """Allocate places, or raise a MemoryError; `threads` compute each step together."""
        self._lib, self.process = lib.library(), os.getpid()
        self._config, self._grammar = config, grammar
        self._places: list[_Place | None] = [None] * n_places
        self.handle = self._lib.em_session_new(model, n_places, threads)
        if not self.handle:
            raise MemoryError(f"no memory for {n_places} rows, or no {threads} threads")
        weakref.finalize(self, _free, self._lib, self.handle, self.process)

    def serve(self, jobs: _Jobs) -> Iterator[tuple[int, Segments]]:
        """Write rows until there are no more; yield number and segments of each that ends."""
        library, state = self._lib, lib.StateArg()
        while not jobs.closed:
            for at, place in enumerate(self._places):
                if place is None and (found := jobs.take()) is not None:
                    check_row(found[1], self._grammar, self._config)
                    self._put(at, _Place(*found))
            if all(place is None for place in self._places):
                return
            library.em_run(self.handle, STEPS)
            for at, place in enumerate(self._places):
                if place is None:
                    continue
                library.em_get(self.handle, at, ctypes.byref(state))
                if state.status == lib.WRITING and not jobs.by_segment:
                    continue
                is_new = place.absorb(state)
                if state.status in (lib.WRITING, lib.WAITING):
                    if is_new and jobs.by_segment:
                        yield place.index, [*place.segments]
                    if state.status == lib.WAITING and place.row.steer is not None:
                        lean = place.row.steer(place.segments)
                        if library.em_steer(self.handle, at, self._lean_arg(lean)):
                            raise MemoryError("no memory for what a row leans to")
                    continue
                library.em_clear(self.handle, at)
                self._places[at] = None
                place.row.uniforms.drop(state.n_used)
                if state.status == lib.DONE:
                    yield place.index, place.segments
                elif state.status == lib.STUCK:
                    raise ValueError("the grammar allows no choice")
                elif len(place.segments) > place.n_before:  # the context is full
                    self._put(at, place)
                else:
                    context = self._config.context
                    raise ValueError(f"a segment does not end within a context of {context}")

    def _put(self, at: int, place: _Place) -> None:
        row, place.n_before = place.row, len(place.segments)
        lean = None if row.steer is None else row.steer(place.segments)
        argument = self._row_arg(place, lean)
        status = self._lib.em_put(self.handle, at, ctypes.byref(argument))
        if status == lib.NO_MEMORY:
            raise MemoryError("no memory for a row")
        if status:
            raise ValueError("the row does not fit the grammar or the context")
        self._places[at] = place

    def _row_arg(self, place: _Place, lean: LogitBias | None) -> lib.RowArg:
        """Return the argument for what is left of a row; it keeps the arrays it points to."""
        row, script, grammar = place.row, place.row.script, self._grammar
        bars = script.bars[place.n_before :]
        heads = (token for bar in bars[1:] for token in bar.head)
        events = grammar.rows([*script.opening(place.segments), *heads])
        rows, event_at = _flat(events)
        # A head begins with the only `bar` in it.
        begins = [at for at, own in enumerate(events) if own[0] == grammar.layout.bar]
        begins = begins[len(begins) - len(bars) + 1 :]
        notes, note_at = _flat([[*chain.from_iterable(bar.given)] for bar in bars])
        flags = np.array([(bar.ends_bar, bar.ends_all, bar.writes_chords) for bar in bars])
        arrays: dict[str, Array] = {
            "rows": rows,
            "event_at": event_at,
            "bar_at": np.array([0, *begins, len(events)], np.int32),
            "flags": (flags @ lib.FLAGS).astype(np.int32),
            "notes": notes,
            "note_at": note_at // 4,
            "uniforms": np.ascontiguousarray(row.uniforms.peek(4 * self._config.context)),
        }
        is_guided = row.guidance_after(place.n_before) != 1
        argument = lib.RowArg(
            **{name: _pointer(array) for name, array in arrays.items()},
            n_bars=len(bars),
            max_notes=min(script.max_notes, 2**31 - 1),
            reach=script.reach,
            positions=script.positions,
            pitches=script.pitches,
            temperature=row.temperature,
            top_p=row.top_p,
            guidance=row.guidance,
            n_guided=row.n_guided - place.n_before if is_guided else 0,
            lean=self._lean_arg(lean),
            waits=row.steer is not None,
        )
        argument.kept = arrays
        return argument

    def _lean_arg(self, lean: LogitBias | None) -> Any:
        """Return a pointer to the argument, which points to the lean's own arrays."""
        if lean is None:
            return None
        lean.check(self._grammar.vocab_size)
        tables = map(_pointer, (lean.bias, lean.pairs, lean.weights))
        return ctypes.pointer(lib.LeanArg(*tables, len(lean.pairs)))

    def clear(self) -> None:
        """Give all places free."""
        for at in range(len(self._places)):
            self._lib.em_clear(self.handle, at)
            self._places[at] = None


def _free(library: ctypes.CDLL, session: int, process: int) -> None:
    if process == os.getpid():
        library.em_session_free(session)


def _pointer(array: NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(np.ctypeslib.as_ctypes_type(array.dtype)))


def _flat(parts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return lists laid end to end, and where each begins and the last one ends."""
    starts = [0, *accumulate(map(len, parts))]
    return np.array(list(chain.from_iterable(parts)), np.int32), np.array(starts, np.int32)
