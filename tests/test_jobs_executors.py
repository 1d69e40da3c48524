"""Composing batches: what cannot be composed fails alone; processes that die are replaced."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import symusic
from helpers.jobs import begun, item, job_of, tree
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.compose.jobs import executors
from emomusic.compose.jobs.executors import WorkerError, compose_batches, compose_in_processes
from emomusic.compose.jobs.job import Batch, Job, Output
from emomusic.compose.jobs.storage import Line
from emomusic.files import OutputError
from emomusic.music.score import dump_score, write_score


@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("bad", [{3}, {0, 1, 7}, set(range(8)), set()])
def test_what_cannot_be_composed_fails_alone(
    tiny_composer: Composer, tmp_path: Path, bad: set[int], batch_size: int
) -> None:
    odd = make_score([60, 62, 64, 65, 67] * 2)
    odd.time_signatures = [symusic.TimeSignature(0, 5, 4)]
    write_score(odd, tmp_path / "odd.mid")
    items = [item(n, vary=tmp_path / "odd.mid", bars=None) if n in bad else item(n)
             for n in range(8)]  # fmt: skip
    plain = tiny_composer.compose_all(item(n).settings for n in range(8) if n not in bad)
    store = begun(tmp_path / "out", job_of("emotion\njoy\n"))
    batches = [Batch(0, tuple(items[:3])), Batch(2, tuple(items[3:]))]
    lines = list(
        compose_batches(tiny_composer, batches, store=store, output=Output(), batch_size=batch_size)
    )
    assert store.done() == {0, 2} and len(lines) == 8
    failed = {line["number"]: line["reason"] for line in lines if "file" not in line}
    assert set(failed) == bad
    assert all("with 5 quarter notes a bar cannot be taken up" in told for told in failed.values())
    files = [line["file"] for line in lines if "file" in line]
    assert files == [f"clip_{n:05d}.mid" for n in range(8) if n not in bad]
    composed = [(store.folder / name).read_bytes() for name in files]
    assert composed == [dump_score(clip.score) for clip in plain]


def test_batches_are_taken_as_they_are_needed(tiny_composer: Composer, tmp_path: Path) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Batch]:
        for number in itertools.count():
            taken.append(number)
            yield Batch(number, (item(number),))

    store = begun(tmp_path, job_of("emotion\njoy\n"))
    how = {"store": store, "output": Output(), "batch_size": 2}
    with closing(compose_batches(tiny_composer, endless(), **how)) as lines:
        assert [next(lines)["file"] for _ in range(3)] == [f"clip_{n:05d}.mid" for n in range(3)]
    assert len(taken) < 20 and store.done() == {0, 1, 2}


def all_of(job: Job) -> Any:
    return job.batches([True] * job.n_batches)


def named(checkpoint: Path) -> Any:
    """Return of a composer what processes need: which checkpoint they load."""
    return SimpleNamespace(folder=checkpoint, engine=SimpleNamespace(name="auto"))


def are_gone(within_s: float = 60.0) -> bool:
    """Tell whether all processes have ended; the pool may end some of them by itself."""
    until = time.monotonic() + within_s
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.02)
    return not multiprocessing.active_children()


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(
    tiny_composer: Composer, tmp_path: Path
) -> None:
    write_score(make_score([60, 64, 67, 72] * 2), tmp_path / "given.mid")
    job = job_of(f"emotion,bars,count,vary\njoy,1,40,\ncalm,,24,{tmp_path / 'given.mid'}\n")
    alone, store = begun(tmp_path / "alone", job), begun(tmp_path / "pool", job)
    wanted = list(compose_batches(tiny_composer, all_of(job), store=alone, output=Output()))
    found = list[Line]()
    for line in compose_in_processes(
        tiny_composer, all_of(job), store=store, output=Output(), workers=2
    ):
        if not found:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
        found.append(line)
    assert are_gone()
    files = {str(line["file"]): line for line in found}
    assert [files[name] for name in sorted(files)] == wanted and store.done() == set(range(4))
    kept = {n: d for n, d in tree(store.folder).items() if not n.startswith(".emomusic/doing")}
    assert kept == tree(alone.folder)


class FakePool:
    """Stand for processes, which die at some call."""

    def __init__(self, dies_at: int, *, silently: bool) -> None:
        self.dies_at, self.silently, self.n_calls = dies_at, silently, 0
        self._processes: dict[int, Any] = {}

    def submit(self, compose: Any, batch: Batch, *_: Any) -> Future[list[Line]]:
        self.n_calls += 1
        future = Future[list[Line]]()
        if self.n_calls >= self.dies_at:
            if not self.silently:
                raise BrokenProcessPool
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result([{"batch": batch.index}])
        return future

    def shutdown(self, **_: bool) -> None:
        pass


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("dies_at", [2, 3, 5])
def test_a_batch_that_dying_processes_did_not_take_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int, silently: bool
) -> None:
    lives = iter([dies_at, dies_at, 100])
    monkeypatch.setattr(
        executors, "ProcessPoolExecutor", lambda *_, **__: FakePool(next(lives), silently=silently)
    )
    job = job_of("emotion,count\njoy,150\n")
    how: dict[str, Any] = {"store": begun(tmp_path, job), "output": Output(), "workers": 2}
    found = [line["batch"] for line in compose_in_processes(named(tmp_path), all_of(job), **how)]
    assert set(found) == set(range(10))


def test_what_kills_all_processes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"),
                    initializer=os._exit, initargs=(1,))  # fmt: skip
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda workers, **_: dying(workers))
    job = job_of("emotion,count\njoy,20\n")
    how: dict[str, Any] = {"store": begun(tmp_path, job), "output": Output(), "workers": 1}
    with pytest.raises(WorkerError) as error:
        list(compose_in_processes(named(tmp_path), all_of(job), **how))
    assert str(error.value).startswith("processes died 3 times while they composed clips 0 to 15: ")
    assert are_gone()


def test_processes_end_where_nobody_takes_their_clips(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of("emotion,bars,count\njoy,1,80\n")
    store = begun(tmp_path, job)
    (tmp_path / "clip_00079.mid").mkdir()
    how: dict[str, Any] = {"store": store, "output": Output(), "workers": 1}
    lines = compose_in_processes(named(tiny_checkpoint), all_of(job), **how)
    next(lines)
    lines.close()
    assert are_gone() and 1 <= len(store.done()) <= 5
    with pytest.raises(OutputError, match=r"cannot write into .*: Is a directory"):
        list(compose_in_processes(named(tiny_checkpoint), all_of(job), **how))
