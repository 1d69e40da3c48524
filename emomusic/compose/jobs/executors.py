"""Composing the batches of a job: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from emomusic.compose.clip import Clip
from emomusic.compose.composer import BATCH, Composer
from emomusic.compose.jobs.job import Batch, Item, Output
from emomusic.compose.jobs.storage import BatchWriter, Line, Store
from emomusic.compose.parse import ClipSpec
from emomusic.files import OutputError

MAX_TRIES = 3
"""A batch whose process has died this often is what kills it."""


class WorkerError(ValueError):
    """Say in one line why the processes cannot go on."""


def compose_batches(
    composer: Composer,
    batches: Iterable[Batch],
    *,
    store: Store,
    output: Output,
    batch_size: int = BATCH,
) -> Generator[Line, None, None]:
    """Compose batches in this process without a pause between them; yield a line per clip.

    They are taken as they are needed. A clip that cannot be composed does not stop the others.
    Close it to stop: what is whole stays.

    Raises:
        OutputError: If the clips cannot be kept.
    """
    begun, taken = deque[Batch](), deque[Item]()  # what is not whole yet, and not composed yet
    explain_by = composer.verifier if output.explained else None
    writer: BatchWriter | None = None

    def items() -> Iterator[Item]:
        for batch in batches:
            begun.append(batch)
            yield from batch.items

    def specs() -> Iterator[ClipSpec]:
        for item in source:
            taken.append(item)
            yield item.settings

    def keep(clip: Clip | None, reason: str = "") -> Line:
        nonlocal writer
        if writer is None:
            writer = writing.enter_context(BatchWriter(store, begun[0].index, output))
        line = writer.write(taken.popleft(), clip, reason=reason, explain_by=explain_by)
        if len(writer.lines) == len(begun[0].items):
            begun.popleft()
            writer = None
            writing.close()  # the batch is whole
        return line

    source, is_over = items(), False
    with ExitStack() as writing:
        while not is_over:
            try:
                for clip in composer.compose_all(specs(), batch_size=batch_size):
                    yield keep(clip)
                is_over = True
            except OutputError:
                raise
            except ValueError:  # one of those taken is to blame: find out which
                for item in tuple(taken):
                    try:
                        (clip,) = composer.compose_all([item.settings], batch_size=1)
                    except ValueError as error:
                        yield keep(None, str(error))
                    else:
                        yield keep(clip)


def compose_in_processes(
    composer: Composer,
    batches: Iterable[Batch],
    *,
    store: Store,
    output: Output,
    batch_size: int = BATCH,
    workers: int,
    threads: int = 1,
) -> Generator[Line, None, None]:
    """Compose batches in several processes, and yield the lines of each batch that is done.

    Each loads the checkpoint of the composer, and has its share of the threads. One that dies is
    replaced, and its batch is done again. Close it to stop.

    Raises:
        OutputError: If the clips cannot be kept.
        WorkerError: If processes die again and again.
    """
    source, left, tries = iter(batches), list[Batch](), Counter[int]()
    context = multiprocessing.get_context("spawn")
    setup = (composer.folder, composer.engine.name, max(threads // workers, 1))
    is_over = False
    while not is_over:
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_load, initargs=setup)
        running: dict[Future[list[Line]], Batch] = {}
        try:
            while True:
                while len(running) <= workers and (left := left or [*islice(source, 1)]):
                    future = pool.submit(_compose, left[0], store, output, batch_size)
                    running[future] = left[0]
                    del left[0]  # only now: where a process has just died, nothing is taken
                if not running:
                    is_over = True
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield from done.result()
                    del tries[running.pop(done).index]
        except BrokenProcessPool:
            left = sorted((*left, *running.values()), key=lambda batch: batch.index)
            tries.update(batch.index for batch in running.values())
            for batch in running.values():
                if tries[batch.index] >= MAX_TRIES:
                    first, last = batch.items[0].number, batch.items[-1].number
                    raise WorkerError(
                        f"processes died {MAX_TRIES} times while they composed clips {first} to "
                        f"{last}: the machine may lack memory; take fewer workers, and --resume"
                    ) from None
        finally:
            _kill(pool)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the processes at once: what they have in hand is done again, or was not wanted."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


_loaded: list[Composer] = []
"""What this worker process has loaded, once for all of its batches."""


def _load(checkpoint: Path, engine: str, threads: int) -> None:
    """Load the checkpoint in a new process, and let it end with the one that began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if engine != "int8":
        import torch

        torch.set_num_threads(1)
    _loaded[:] = [Composer(checkpoint, threads=threads, engine=engine)]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _compose(batch: Batch, store: Store, output: Output, batch_size: int) -> list[Line]:
    (composer,) = _loaded
    lines = compose_batches(composer, [batch], store=store, output=output, batch_size=batch_size)
    return list(lines)
