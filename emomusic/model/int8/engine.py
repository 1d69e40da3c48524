"""The fast engine on the CPU: int8 weights, the whole step in compiled code."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.engine import Row, Segments, check_row
from emomusic.model.engines.grammar import Grammar, Kind
from emomusic.model.int8 import library as lib
from emomusic.model.int8.session import Event, Jobs, Session
from emomusic.model.shape import ModelConfig
from emomusic.model.weights import (
    BFLOAT16,
    CheckpointError,
    is_finite,
    read_shape,
    read_tensors,
    tensor_shapes,
)

FEW_SLOTS, MORE_SLOTS, MANY_PARAMETERS = 4, 8, 16_000_000
"""Rows that one thread writes at once: so many that reading the weights is shared, the more the
larger these are, and so few that keys and values stay in the processor's cache beside them."""
Array = NDArray[Any]


MAX_WAITING = 64
"""So many events wait to be taken: where that is slow, the writing waits, and not the memory."""


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
        slots: int | None = None,
        instructions: str = "",
    ) -> None:
        """Round the weights.

        Args:
            config: The model's shape.
            tensors: Name and values of each tensor, float32 or the bits of bfloat16.
            threads: At least 1. Several rows are shared out among them; one row alone is
                computed by all of them, at most 16, together where that is faster.
            slots: Rows that a thread writes at once; None takes 4, or 8 of a large model.
            instructions: `avx512-vnni`, `avx2`, `neon-dotprod` or `plain`; empty takes the best
                that the processor has.

        Raises:
            LibraryError: If the compiled part is missing, or the instructions are.
            ValueError: If tensors are missing or not finite, or a number is out of range.
        """
        if slots is None:
            slots = MORE_SLOTS if config.n_parameters > MANY_PARAMETERS else FEW_SLOTS
        if threads < 1 or slots < 1:
            raise ValueError(f"threads and slots must be at least 1, got {threads} and {slots}")
        self._lib = lib.library()
        self._config, self.threads, self.slots = config, threads, slots
        self._model = _new_model(self._lib, config, instructions)
        weakref.finalize(self, self._lib.em_model_free, self._model)
        missing = set(tensor_shapes(config))
        for name, tensor in tensors:
            self._set(name, tensor)
            missing.discard(name)
        if missing:
            raise ValueError(f"the weights lack {sorted(missing)[0]}")
        self._idle: dict[tuple[Grammar, int, int], list[Session]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, slots: int | None = None) -> Int8Engine:
        """Load a checkpoint; at most one file of its weights is in memory at a time.

        Raises:
            CheckpointError: If a file is missing or damaged, or does not fit the config.
            LibraryError: If the compiled part is missing.
        """
        shape, names = read_shape(folder)
        return cls(shape, read_tensors(folder, shape, names), threads=threads, slots=slots)

    @property
    def name(self) -> str:
        """Return `int8`."""
        return "int8"

    @property
    def instructions(self) -> str:
        """Return which instructions of the processor are used."""
        return str(self._lib.em_model_isa(self._model).decode())

    @property
    def config(self) -> ModelConfig:
        """Return the model's shape."""
        return self._config

    def _set(self, name: str, tensor: Array) -> None:
        parts = name.removesuffix(".weight").split(".", 2)
        layer = int(parts[1]) if parts[0] == "blocks" else 0
        which = lib.TENSORS[parts[2] if parts[0] == "blocks" else parts[0]]
        if tensor.shape != tensor_shapes(self._config)[name]:
            raise ValueError(f"{name} has shape {tensor.shape}")
        dtype = lib.BFLOAT16 if tensor.dtype == BFLOAT16 else lib.FLOAT32
        data = np.ascontiguousarray(tensor, BFLOAT16 if dtype else np.float32)
        status = self._lib.em_model_set(self._model, which, layer, data.ctypes.data, dtype)
        if status == lib.NOT_FINITE or not is_finite(data):
            raise CheckpointError(f"{name} holds numbers that are not finite")
        if status:
            raise ValueError(f"{name} cannot be used")

    def write(
        self,
        rows: Iterable[Row],
        grammar: Grammar,
        *,
        at_once: int | None = None,
        by_segment: bool = False,
    ) -> Iterator[tuple[int, Segments]]:
        """Write rows, as `Engine.write` says."""
        source = iter(enumerate(rows))
        slots = self.slots if at_once is None else min(self.slots, -(-at_once // self.threads))
        first = list(islice(source, max(self.threads, 2)))
        for _, row in first:
            check_row(row, grammar, self._config)
        jobs = Jobs(chain(first, source), self._config, grammar, by_segment)
        if any(row.guidance != 1 for _, row in first):
            slots = max(slots // 2, 1)  # each has a twin
        n_threads = min(self.threads, len(first))
        if n_threads > 1:
            for event in self._share(jobs, grammar, (n_threads, slots)):
                yield event.index, event.segments
            return
        size = (slots, 1) if len(first) > 1 else (1, min(self.threads, lib.MAX_THREADS))
        with self._session(grammar, *size) as session:
            for event in session.serve(jobs):
                yield event.index, event.segments

    def _share(self, jobs: Jobs, grammar: Grammar, size: tuple[int, int]) -> Iterator[Event]:
        """Let several threads take rows from the same source, each with places of its own."""
        n_threads, slots = size
        events: queue.Queue[Event | BaseException | None] = queue.Queue(MAX_WAITING)

        def work() -> None:
            try:
                with self._session(grammar, slots, 1) as session:
                    for event in session.serve(jobs):
                        events.put(event)
                events.put(None)
            except BaseException as error:
                events.put(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(n_threads)]
        for worker in workers:
            worker.start()
        try:
            running = len(workers)
            while running:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if event is None:
                    running -= 1
                else:
                    yield event
        finally:
            jobs.closed = True
            while any(worker.is_alive() for worker in workers):
                with suppress(queue.Empty):  # they may be waiting until there is room
                    events.get(timeout=0.01)

    def logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return logits, as `Engine.logits` says."""
        c = self._config
        given = np.ascontiguousarray(ids, np.int32)
        if given.ndim != 1 or not 1 <= len(given) <= c.context:
            raise ValueError(f"1 to {c.context} ids are expected, got shape {given.shape}")
        if given.min() < 0 or given.max() >= c.vocab_size:
            raise ValueError(f"ids must be in 0 to {c.vocab_size - 1}")
        anything = Grammar(c.vocab_size, (Kind(0, c.vocab_size, 0),), ((0,),))
        out = np.empty((len(given), c.vocab_size), np.float32)
        with self._session(anything, 1, self.threads) as session:
            session.score(given, out)
        return out

    @contextmanager
    def _session(self, grammar: Grammar, slots: int, threads: int) -> Iterator[Session]:
        """Lend places to write in; they are kept for the next call."""
        key = (grammar, slots, threads)
        with self._lock:
            idle = [s for s in self._idle.get(key, []) if s.process == os.getpid()]
            self._idle[key] = idle
            session = idle.pop() if idle else None
        if session is None:
            session = Session(self._model, self._config, grammar, slots=slots, threads=threads)
        try:
            yield session
        finally:
            session.clear()
            with self._lock:
                self._idle[key].append(session)


def _new_model(library: ctypes.CDLL, config: ModelConfig, instructions: str) -> int:
    """Allocate a model without weights."""
    shape = lib.ShapeArg(
        *(getattr(config, name) for name, _ in lib.ShapeArg._fields_)  # type: ignore[misc]
    )
    half = config.head_dim // 2
    # In float32, as the reference does: the angle's rounding is part of the model.
    frequency = np.float32(config.rope_base) ** (-np.arange(half, dtype=np.float32) / half)
    angle = np.outer(np.arange(config.context, dtype=np.float32), frequency).astype(np.float64)
    tables = [np.ascontiguousarray(f(angle), np.float32) for f in (np.cos, np.sin)]
    pointers = [table.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for table in tables]
    if not library.em_has_isa(instructions.encode()):
        raise lib.LibraryError(f"the int8 engine cannot use {instructions!r} here")
    model = library.em_model_new(ctypes.byref(shape), *pointers, instructions.encode())
    if not model:
        raise ValueError(f"the int8 engine has no memory for, or cannot be of, {config}")
    return int(model)
