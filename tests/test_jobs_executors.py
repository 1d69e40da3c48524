from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import symusic
from helpers.jobs import begun, item, job_of, keep_batches, tree
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.compose.export import OutputError
from emomusic.compose.jobs import executors
from emomusic.compose.jobs.executors import (
    Compose,
    RunReport,
    WorkerError,
    WorkerSetup,
    compose_batches,
    compose_in_processes,
    compose_items,
    run_job,
)
from emomusic.compose.jobs.job import Batch, Item, Job, Output
from emomusic.compose.jobs.storage import Line, Shard, Store
from emomusic.music.score import dump_score, write_score

TABLE = "emotion,count\njoy,20\nfoo,1\ncalm,80\n"


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
    found = list(compose_items(tiny_composer, items, batch_size=batch_size))
    assert [result.item for result in found] == items
    assert {result.item.number for result in found if result.clip is None} == bad
    composed = [dump_score(result.clip.score) for result in found if result.clip is not None]
    assert composed == [dump_score(clip.score) for clip in plain]
    for result in found:
        words = "with 5 quarter notes a bar cannot be taken up"
        assert (words in result.reason) if result.clip is None else result.reason == ""


def test_items_are_taken_as_they_are_needed(tiny_composer: Composer) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Item]:
        for number in itertools.count():
            taken.append(number)
            yield item(number)

    with closing(compose_items(tiny_composer, endless(), batch_size=2)) as results:
        assert [next(results).item.number for _ in range(3)] == [0, 1, 2]
    assert len(taken) < 20


def composing(store: Store, job: Job, *, stop_after: int = 10**6) -> Compose:
    """Return what keeps batches as if they had been composed, and stops after some lines."""

    def compose(batches: Iterable[Batch]) -> Generator[Line, None, None]:
        left = stop_after
        for batch in list(batches):
            keep_batches(store, job, [batch.index])
            for own in batch.items:
                if not left:
                    raise OutputError("cannot write into it: No space left on device")
                left -= 1
                yield {"number": own.number} | ({} if own.number == 13 else {"file": "a.mid"})

    return compose


def test_a_job_runs_to_its_end_and_again_for_nothing(tmp_path: Path) -> None:
    job, lines = job_of(TABLE), list[Line]()
    store, report = begun(tmp_path, job), RunReport(100)
    run_job(job, store, composing(store, job), report, on_line=lines.append)
    assert [line["number"] for line in lines] == list(range(100))
    told = report.to_dict()
    assert told.pop("seconds") > 0 and told.pop("clips_per_second") > 0
    (reason,) = set(told.pop("failures")) - {"too hard"}
    assert reason.startswith("unknown emotion 'foo'")
    assert told == {"clips": 99, "composed": 99, "heard_as_asked": 1.0, "complete": True}
    store, report = begun(tmp_path, job), RunReport(100)
    run_job(job, store, composing(store, job), report)
    assert report.n_composed == 0 and report.to_dict()["clips"] == 99


@pytest.mark.parametrize("n_lines", [0, 15, 16, 50])
def test_however_it_ends_the_manifest_is_of_what_is_there(tmp_path: Path, n_lines: int) -> None:
    job = job_of(TABLE)
    other, store = begun(tmp_path / "other", job), begun(tmp_path / "own", job)
    run_job(job, other, composing(other, job), RunReport(100))
    report, again = RunReport(100), RunReport(100)
    with pytest.raises(OutputError, match="No space left"):
        run_job(job, store, composing(store, job, stop_after=n_lines), report)
    assert report.summary is not None and not report.summary.is_complete
    n_there = (tmp_path / "own" / "manifest.jsonl").read_text().count("\n")
    assert n_there == report.summary.n_clips >= n_lines - 1
    run_job(job, store, composing(store, job), again)
    assert again.n_composed == 99 - n_there and tree(store.folder) == tree(other.folder)


def test_composing_is_closed_where_showing_a_clip_fails(tmp_path: Path) -> None:
    job, closed = job_of(TABLE), []

    def compose(batches: Iterable[Batch]) -> Generator[Line, None, None]:
        try:
            yield {"file": "a.mid"}
        finally:
            closed.append(True)

    def show(line: Line) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run_job(job, begun(tmp_path, job), compose, RunReport(100), on_line=show)
    assert closed == [True]


def setup_of(checkpoint: Path, store: Store) -> WorkerSetup:
    return WorkerSetup(checkpoint, "auto", 1, store, Output())


def all_of(job: Job) -> Any:
    return job.batches([True] * job.n_batches)


def are_gone(within_s: float = 60.0) -> bool:
    """Tell whether all processes have ended; the pool may end some of them by itself."""
    until = time.monotonic() + within_s
    while multiprocessing.active_children() and time.monotonic() < until:
        time.sleep(0.02)
    return not multiprocessing.active_children()


def test_a_process_that_dies_is_replaced_and_nothing_is_lost(
    tiny_checkpoint: Path, tiny_composer: Composer, tmp_path: Path
) -> None:
    write_score(make_score([60, 64, 67, 72] * 2), tmp_path / "given.mid")
    job = job_of(f"emotion,bars,count,vary\njoy,1,40,\ncalm,,24,{tmp_path / 'given.mid'}\n")
    alone, store = begun(tmp_path / "alone", job), begun(tmp_path / "pool", job)
    wanted = list(compose_batches(tiny_composer, all_of(job), alone, Output()))
    found = list[Line]()
    for line in compose_in_processes(setup_of(tiny_checkpoint, store), all_of(job), workers=2):
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

    def submit(self, compose: Any, batch: Batch) -> Future[list[Line]]:
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
    setup = WorkerSetup(tmp_path, "auto", 1, Store(tmp_path, Shard()), Output())
    batches = all_of(job_of("emotion,count\njoy,150\n"))
    found = [line["batch"] for line in compose_in_processes(setup, batches, workers=2)]
    assert set(found) == set(range(10))


def test_what_kills_all_processes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"),
                    initializer=os._exit, initargs=(1,))  # fmt: skip
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda workers, **_: dying(workers))
    job = job_of("emotion,count\njoy,20\n")
    with pytest.raises(WorkerError) as error:
        list(compose_in_processes(setup_of(tmp_path, begun(tmp_path, job)), all_of(job), workers=1))
    assert str(error.value).startswith("processes died 3 times while they composed clips 0 to 15: ")
    assert are_gone()


def test_processes_end_where_nobody_takes_their_clips(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    job = job_of("emotion,bars,count\njoy,1,80\n")
    store = begun(tmp_path, job)
    (tmp_path / "clip_00079.mid").mkdir()
    lines = compose_in_processes(setup_of(tiny_checkpoint, store), all_of(job), workers=1)
    next(lines)
    lines.close()
    assert are_gone() and 1 <= len(store.done()) <= 5
    with pytest.raises(OutputError, match=r"cannot write into .*: Is a directory"):
        list(compose_in_processes(setup_of(tiny_checkpoint, store), all_of(job), workers=1))
