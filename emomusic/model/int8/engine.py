"""The fast engine on the CPU: int8 weights, the whole step in compiled code."""

from __future__ import annotations

import ctypes
import os
import queue
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engine import EngineRow, check_row, checked_events
from emomusic.model.events import NONE, SLOTS
from emomusic.model.grammar import Grammar, Segments
from emomusic.model.int8 import library as lib
from emomusic.model.int8.session import Jobs, KernelSession
from emomusic.model.shape import ModelConfig, tensor_shapes
from emomusic.model.weights import (
    BFLOAT16,
    CheckpointError,
    is_finite,
    read_shape,
    read_tensors,
)

FEW_PLACES, MORE_PLACES, MANY_PARAMETERS = 4, 8, 16_000_000
"""Rows that one thread writes at once: so many that reading the weights is shared, the more the
larger these are, and so few that keys and values stay in the processor's cache beside them."""
MAX_WAITING = 64
"""So many events wait to be taken: where that is slow, the writing waits, and not the memory."""
Array = NDArray[Any]


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
        self._config, self.threads, self.places = config, threads, places
        self._model = _new_model(self._lib, config, instructions)
        weakref.finalize(self, self._lib.em_model_free, self._model)
        missing = set(tensor_shapes(config))
        for name, tensor in tensors:
            self._set(name, tensor)
            missing.discard(name)
        if missing:
            raise ValueError(f"the weights lack {sorted(missing)[0]}")
        self._idle: dict[tuple[Grammar, int, int], list[KernelSession]] = {}
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
        kind, *rest = name.removesuffix(".weight").split(".", 2)
        at = int(rest[0]) if rest else 0
        which = lib.TENSORS.index(".".join([kind, *rest[1:]]))
        if tensor.shape != tensor_shapes(self._config)[name]:
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
            check_row(row, grammar, self._config)
        jobs = Jobs(chain(first, source), self._config, grammar, by_segment)
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
        self, jobs: Jobs, grammar: Grammar, n_threads: int, n_places: int
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
        events, counts = checked_events(ids, self._config), self._config.layout.n_choices
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
        c = self._config
        if not len(events) or chosen.shape != (len(events), len(SLOTS)):
            raise ValueError(f"{chosen.shape} choices do not fit {len(events)} events")
        out = np.full((len(events), sum(c.layout.n_choices)), np.nan, np.float32)
        with self._session(Grammar(c.vocab_size, c.layout), 1, self.threads) as session:
            session.score(events, chosen, out)
        return out

    @contextmanager
    def _session(self, grammar: Grammar, n_places: int, threads: int) -> Iterator[KernelSession]:
        """Lend places to write in; they are kept for the next call."""
        key = (grammar, n_places, threads)
        with self._lock:
            idle = [s for s in self._idle.get(key, []) if s.process == os.getpid()]
            self._idle[key] = idle
            session = idle.pop() if idle else None
        if session is None:
            session = KernelSession(
                self._model, self._config, grammar, n_places=n_places, threads=threads
            )
        try:
            yield session
        finally:
            session.clear()
            with self._lock:
                self._idle[key].append(session)


def _new_model(library: ctypes.CDLL, config: ModelConfig, instructions: str) -> int:
    """Allocate a model without weights."""
    layout = config.layout
    sizes = ("vocab_size", "dim", "n_layers", "n_heads", "n_kv_heads", "hidden", "inner", "context")
    shape = lib.ShapeArg(
        *(getattr(config, name) for name in sizes),
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
    pointers = [table.ctypes.data_as(ctypes.POINTER(ctypes.c_float)) for table in tables]
    if not library.em_has_isa(instructions.encode()):
        raise lib.LibraryError(f"the int8 engine cannot use {instructions!r} here")
    model = library.em_model_new(ctypes.byref(shape), *pointers, instructions.encode())
    if not model:
        raise ValueError(f"the int8 engine has no memory for, or cannot be of, {config}")
    return int(model)
