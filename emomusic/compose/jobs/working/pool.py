"""Blocks of a job, composed by several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from emomusic.compose.composer import BATCH, Composer
from emomusic.compose.jobs.job import Block, Order, Output
from emomusic.compose.jobs.keeping.store import Shard, Store
from emomusic.compose.jobs.keeping.writer import Line
from emomusic.compose.jobs.working.alone import compose_blocks

MAX_TRIES = 3
"""So often a block is begun whose process dies: then it is the block that kills."""


class WorkerError(ValueError):
    """Tell in one line why processes cannot go on."""


@dataclass(frozen=True)
class Workplace:
    """Hold what a process needs to compose.

    Attributes:
        checkpoint: Folder.
        engine: Name of what writes.
        threads: Of each process.
        folder: The job's.
        shard: The part of the job that is done here.
        output: What is kept of each clip.
        batch_size: Candidates in hand at once.
    """

    checkpoint: Path
    engine: str
    threads: int
    folder: Path
    shard: Shard
    output: Output
    batch_size: int = BATCH


@dataclass(frozen=True)
class _Opened:
    place: Workplace
    composer: Composer


_opened: list[_Opened] = []
"""What this process has loaded, once for all of its blocks."""


def compose_in_processes(
    place: Workplace, blocks: Iterable[Block], *, workers: int
) -> Generator[Line, None, None]:
    """Compose blocks in several processes, and yield the lines of each block that is done.

    A process that dies is replaced, and what it had in hand is done again. Close it to stop.

    Args:
        place: What each process needs.
        blocks: Taken as they are needed.
        workers: Processes.

    Raises:
        OutputError: If the clips cannot be kept.
        WorkerError: If processes die again and again.
    """
    source, left, tries = iter(blocks), list[Block](), dict[int, int]()
    is_over = False
    while not is_over:
        pool = _pool(place, workers)
        running: dict[Future[list[Line]], Block] = {}
        try:
            while True:
                while len(running) <= workers and (left := left or [*islice(source, 1)]):
                    running[pool.submit(_compose, left[0].index, _texts(left[0]))] = left[0]
                    del left[0]  # only now: where a process has just died, nothing is taken
                if not running:
                    is_over = True
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield from done.result()
                    tries.pop(running.pop(done).index, None)
        except BrokenProcessPool:
            left = sorted((*left, *running.values()), key=lambda block: block.index)
            _count(tries, running.values())
        finally:
            _end(pool)


def _texts(block: Block) -> list[str]:
    return [order.to_json() for order in block.orders]


def _count(tries: dict[int, int], blocks: Iterable[Block]) -> None:
    for block in blocks:
        tries[block.index] = tries.get(block.index, 0) + 1
        if tries[block.index] >= MAX_TRIES:
            first, last = block.orders[0].number, block.orders[-1].number
            raise WorkerError(
                f"processes died {MAX_TRIES} times while they composed clips {first} to {last}: "
                "the machine may lack memory; take fewer workers, and --resume"
            )


def _pool(place: Workplace, workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_open, initargs=(place,))


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes at once: what they have in hand is done again, or was not wanted."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def _open(place: Workplace) -> None:
    """Load the checkpoint in a new process, and let it end with the one that began it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first one decides
    threading.Thread(target=_watch, daemon=True).start()
    if place.engine != "int8":
        import torch

        torch.set_num_threads(1)
    composer = Composer(place.checkpoint, threads=place.threads, engine=place.engine)
    _opened[:] = [_Opened(place, composer)]


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _compose(index: int, texts: list[str]) -> list[Line]:
    place, composer = _opened[0].place, _opened[0].composer
    block = Block(index, tuple(map(Order.parse, texts)))
    store = Store(place.folder, place.shard)
    return list(compose_blocks(composer, [block], store, place.output, batch_size=place.batch_size))
