from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from job_cases import begun, job_of, tree

from emomusic.compose.composer import Composer
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.keeping.store import Shard, Store
from emomusic.compose.jobs.keeping.writer import Line
from emomusic.compose.jobs.working import pool
from emomusic.compose.jobs.working.alone import compose_blocks
from emomusic.compose.jobs.working.pool import WorkerError, Workplace, compose_in_processes


def place_of(checkpoint: Path, store: Store) -> Workplace:
    return Workplace(checkpoint, "auto", 1, store.folder, store.shard, Output())


def all_of(job: Job) -> Any:
    return job.blocks([True] * job.n_blocks)


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(
    tiny_checkpoint: Path, tiny_composer: Composer, tmp_path: Path
) -> None:
    job = job_of("emotion,bars,count\njoy,1,40\ncalm,1,24\n")
    alone, store = begun(tmp_path / "alone", job), begun(tmp_path / "pool", job)
    wanted = list(compose_blocks(tiny_composer, all_of(job), alone, Output()))
    found = list[Line]()
    for line in compose_in_processes(place_of(tiny_checkpoint, store), all_of(job), workers=2):
        if not found:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
        found.append(line)
    assert are_gone()
    files = {str(line["file"]): line for line in found}
    assert [files[name] for name in sorted(files)] == wanted and store.done() == set(range(4))
    hidden = ".emomusic/doing"
    assert {n: d for n, d in tree(store.folder).items() if not n.startswith(hidden)} == tree(
        alone.folder
    )


def test_what_kills_all_processes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dying(place: Workplace, workers: int) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=os._exit, initargs=(1,))

    monkeypatch.setattr(pool, "_pool", dying)
    job = job_of("emotion,count\njoy,20\n")
    place = place_of(tmp_path, begun(tmp_path, job))
    with pytest.raises(WorkerError) as error:
        list(compose_in_processes(place, all_of(job), workers=1))
    assert str(error.value).startswith("processes died 3 times while they composed clips 0 to 15: ")
    assert are_gone()


def are_gone(within_s: float = 60.0) -> bool:
    """Tell whether all processes have ended; the pool may end some of them by itself."""
    until = time.monotonic() + within_s
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.02)
    return not multiprocessing.active_children()


class Fake:
    """Stand for processes, which die at some call."""

    def __init__(self, dies_at: int, *, silently: bool) -> None:
        self.dies_at, self.silently, self.n_calls = dies_at, silently, 0
        self._processes: dict[int, Any] = {}

    def submit(self, compose: Any, index: int, texts: list[str]) -> Future[list[Line]]:
        self.n_calls += 1
        future = Future[list[Line]]()
        if self.n_calls >= self.dies_at:
            if not self.silently:
                raise BrokenProcessPool
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result([{"block": index}])
        return future

    def shutdown(self, **_: bool) -> None:
        pass


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("dies_at", [2, 3, 5])
def test_a_block_that_dying_processes_did_not_take_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int, silently: bool
) -> None:
    lives = iter([dies_at, dies_at, 100])
    monkeypatch.setattr(pool, "_pool", lambda *_: Fake(next(lives), silently=silently))
    job = job_of("emotion,count\njoy,150\n")
    place = Workplace(tmp_path, "auto", 1, tmp_path, Shard(), Output())
    found = [line["block"] for line in compose_in_processes(place, all_of(job), workers=2)]
    assert set(found) == set(range(10))


def test_processes_end_where_nobody_takes_their_clips(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of("emotion,bars,count\njoy,1,80\n")
    store = begun(tmp_path, job)
    lines = compose_in_processes(place_of(tiny_checkpoint, store), all_of(job), workers=1)
    next(lines)
    lines.close()
    assert are_gone() and 1 <= len(store.done()) <= 5


def test_a_folder_that_cannot_be_written_into_is_told(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of("emotion,bars,count\njoy,1,4\n")
    store = begun(tmp_path, job)
    (tmp_path / "clip_00002.mid").mkdir()
    lines = compose_in_processes(place_of(tiny_checkpoint, store), all_of(job), workers=1)
    with pytest.raises(ValueError, match=r"cannot write into .*: Is a directory"):
        list(lines)
