"""Composing the batches of a job: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from emomusic.compose.composer import BATCH, Composer
from emomusic.compose.jobs.job import Batch, Item, ItemResult, Job, Output
from emomusic.compose.jobs.storage import BatchWriter, Line, Store, Summary, write_manifest
from emomusic.compose.parse import ClipSpec

MAX_TRIES = 3
"""A batch whose process has died this often is what kills it."""
Compose = Callable[[Iterable[Batch]], Generator[Line, None, None]]


class WorkerError(ValueError):
    """Say in one line why the processes cannot go on."""


@dataclass
class RunReport:
    """What a run of a job did.

    Attributes:
        n_wanted: Clips of this shard.
        n_composed: Clips that this run composed.
        seconds: How long that took.
        summary: What is there of the job once the run is over.
    """

    n_wanted: int
    n_composed: int = 0
    seconds: float = 0.0
    summary: Summary | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        summary = self.summary or Summary()
        rate = self.n_composed / self.seconds if self.seconds else 0.0
        heard = summary.n_heard / summary.n_asked if summary.n_asked else None
        return {
            "clips": summary.n_clips,
            "composed": self.n_composed,
            "seconds": round(self.seconds, 3),
            "clips_per_second": round(rate, 3),
            "heard_as_asked": None if heard is None else round(heard, 4),
            "failures": dict(summary.reasons.most_common()),
            "complete": summary.is_complete,
        }


def run_job(
    job: Job,
    store: Store,
    compose: Compose,
    report: RunReport,
    *,
    on_line: Callable[[Line], None] = lambda line: None,
) -> None:
    """Compose what is still missing of a shard, and write the manifest.

    However it ends, the manifest lists what is there, and a later run can resume.

    Args:
        job: What is wanted.
        store: Locked, and begun.
        compose: Composes batches and keeps them, and yields a line for each clip.
        report: Filled in.
        on_line: Called with each line.

    Raises:
        OutputError: If the clips cannot be kept.
    """
    began = time.perf_counter()
    try:
        with closing(compose(job.batches(store.missing(job.n_batches)))) as lines:
            for line in lines:
                report.n_composed += "file" in line
                on_line(line)
    finally:
        report.seconds = time.perf_counter() - began
        report.summary = write_manifest(store, job)


def compose_items(
    composer: Composer, items: Iterable[Item], *, batch_size: int = BATCH
) -> Generator[ItemResult, None, None]:
    """Compose items in order, as they are needed; one that cannot be does not stop the others."""
    source, is_over = iter(items), False
    while not is_over:
        taken: deque[Item] = deque()

        def take(taken: deque[Item] = taken) -> Iterator[ClipSpec]:
            for item in source:
                taken.append(item)
                yield item.settings

        try:
            for clip in composer.compose_all(take(), batch_size=batch_size):
                yield ItemResult(taken.popleft(), clip)
            is_over = True
        except ValueError:  # one of those taken is to blame: find out which
            for item in taken:
                try:
                    (clip,) = composer.compose_all([item.settings], batch_size=1)
                except ValueError as error:
                    yield ItemResult(item, None, str(error))
                else:
                    yield ItemResult(item, clip)


def compose_batches(
    composer: Composer,
    batches: Iterable[Batch],
    store: Store,
    output: Output,
    *,
    batch_size: int = BATCH,
) -> Generator[Line, None, None]:
    """Compose batches in this process without a pause between them; yield a line per clip kept.

    They are taken as they are needed. Close it to stop: what is whole stays.

    Raises:
        OutputError: If the clips cannot be kept.
    """
    waiting: deque[Batch] = deque()

    def items() -> Iterator[Item]:
        for batch in batches:
            waiting.append(batch)
            yield from batch.items

    explain_by = composer.verifier if output.explained else None
    with closing(compose_items(composer, items(), batch_size=batch_size)) as results:
        for first in results:
            batch = waiting.popleft()
            with BatchWriter(store, batch.index, output) as writer:
                for result in chain((first,), islice(results, len(batch.items) - 1)):
                    yield writer.write(result, explain_by=explain_by)


@dataclass(frozen=True)
class WorkerSetup:
    """What each process needs to load a composer, and to keep what it composes."""

    checkpoint: Path
    engine: str
    threads: int
    store: Store
    output: Output
    batch_size: int = BATCH


_loaded: list[tuple[WorkerSetup, Composer]] = []
"""What this worker process has loaded, once for all of its batches."""


def compose_in_processes(
    setup: WorkerSetup, batches: Iterable[Batch], *, workers: int
) -> Generator[Line, None, None]:
    """Compose batches in several processes, and yield the lines of each batch that is done.

    A process that dies is replaced, and its batch is done again. Close it to stop.

    Raises:
        OutputError: If the clips cannot be kept.
        WorkerError: If processes die again and again.
    """
    source, left, tries = iter(batches), list[Batch](), dict[int, int]()
    context = multiprocessing.get_context("spawn")
    is_over = False
    while not is_over:
        pool = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_load, initargs=(setup,)
        )
        running: dict[Future[list[Line]], Batch] = {}
        try:
            while True:
                while len(running) <= workers and (left := left or [*islice(source, 1)]):
                    running[pool.submit(_compose, left[0])] = left[0]
                    del left[0]  # only now: where a process has just died, nothing is taken
                if not running:
                    is_over = True
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield from done.result()
                    tries.pop(running.pop(done).index, None)
        except BrokenProcessPool:
            left = sorted((*left, *running.values()), key=lambda batch: batch.index)
            _count_tries(tries, running.values())
        finally:
            _kill(pool)


def _count_tries(tries: dict[int, int], batches: Iterable[Batch]) -> None:
    for batch in batches:
        tries[batch.index] = tries.get(batch.index, 0) + 1
        if tries[batch.index] >= MAX_TRIES:
            first, last = batch.items[0].number, batch.items[-1].number
            raise WorkerError(
                f"processes died {MAX_TRIES} times while they composed clips {first} to {last}: "
                "the machine may lack memory; take fewer workers, and --resume"
            )


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the processes at once: what they have in hand is done again, or was not wanted."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _load(setup: WorkerSetup) -> None:
    """Load the checkpoint in a new process, and let it end with the one that began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if setup.engine != "int8":
        import torch

        torch.set_num_threads(1)
    composer = Composer(setup.checkpoint, threads=setup.threads, engine=setup.engine)
    _loaded[:] = [(setup, composer)]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _compose(batch: Batch) -> list[Line]:
    ((setup, composer),) = _loaded
    return list(
        compose_batches(composer, [batch], setup.store, setup.output, batch_size=setup.batch_size)
    )
