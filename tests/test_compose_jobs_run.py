from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import pytest
from job_cases import begun, job_of, keep, tree

from emomusic.compose.jobs.job import Block, Job
from emomusic.compose.jobs.keeping.store import Shard, Store
from emomusic.compose.jobs.keeping.writer import Line
from emomusic.compose.jobs.run import Compose, Report, n_clips_of, run
from emomusic.compose.output import OutputError

TABLE = "emotion,count\njoy,20\nfoo,1\ncalm,80\n"


def composing(store: Store, job: Job, *, stop_after: int = 10**6) -> Compose:
    """Return what keeps blocks as if they had been composed, and stops after some lines."""

    def compose(blocks: Iterable[Block]) -> Generator[Line, None, None]:
        left = stop_after
        for block in list(blocks):
            keep(store, job, [block.index])
            for order in block.orders:
                if not left:
                    raise OutputError("cannot write into it: No space left on device")
                left -= 1
                yield {"number": order.number} | ({} if order.number == 13 else {"file": "a.mid"})

    return compose


def test_a_job_runs_to_its_end(tmp_path: Path) -> None:
    job, lines = job_of(TABLE), list[Line]()
    store = begun(tmp_path, job)
    report = Report(n_clips_of(job, store))
    run(job, store, composing(store, job), report, on_line=lines.append)
    assert [line["number"] for line in lines] == list(range(100))
    assert (report.n_wanted, report.n_composed) == (100, 99) and report.seconds > 0
    told = report.to_dict()
    assert told.pop("seconds") > 0 and told.pop("clips_per_second") > 0
    (reason,) = set(told.pop("failures")) - {"too hard"}
    assert reason.startswith("unknown emotion 'foo'")
    assert told == {"clips": 99, "composed": 99, "heard_as_asked": 1.0, "complete": True}


@pytest.mark.parametrize("n_lines", [0, 15, 16, 50])
def test_however_it_ends_the_manifest_is_of_what_is_there(tmp_path: Path, n_lines: int) -> None:
    job = job_of(TABLE)
    other = begun(tmp_path / "other", job)
    run(job, other, composing(other, job), Report(100))
    store = begun(tmp_path / "own", job)
    report = Report(100)
    with pytest.raises(OutputError, match="No space left"):
        run(job, store, composing(store, job, stop_after=n_lines), report)
    assert report.tally is not None and not report.tally.is_whole
    n_there = (tmp_path / "own" / "manifest.jsonl").read_text().count("\n")
    assert n_there == report.tally.n_clips >= n_lines - 1
    again = Report(100)
    run(job, store, composing(store, job), again)
    assert again.tally is not None and again.tally.is_whole
    assert again.n_composed == 99 - n_there
    assert tree(store.folder) == tree(other.folder)


def test_what_is_whole_runs_again_for_nothing(tmp_path: Path) -> None:
    job = job_of(TABLE)
    for n_composed in (99, 0):
        store, report = begun(tmp_path, job), Report(100)
        run(job, store, composing(store, job), report)
        assert report.n_composed == n_composed and report.to_dict()["clips"] == 99


@pytest.mark.parametrize(
    ("count", "parts"), [(3, [36, 32, 32]), (7, [16] * 6 + [4]), (9, [16] * 6 + [4, 0, 0])]
)
def test_parts_have_their_share_of_clips(tmp_path: Path, count: int, parts: list[int]) -> None:
    job = job_of(TABLE)
    found = [n_clips_of(job, Store(tmp_path, Shard(index, count))) for index in range(count)]
    assert found == parts if count != 3 else sum(found) == 100


def test_before_anything_is_done_nothing_is_told_of_it() -> None:
    assert Report(5).to_dict() == {
        "clips": 0, "composed": 0, "seconds": 0.0, "clips_per_second": 0.0,
        "heard_as_asked": None, "failures": {}, "complete": False,
    }  # fmt: skip


def test_what_composes_is_closed_where_showing_a_clip_fails(tmp_path: Path) -> None:
    job = job_of(TABLE)
    store = begun(tmp_path, job)
    closed = []

    def compose(blocks: Iterable[Block]) -> Generator[Line, None, None]:
        try:
            yield {"file": "a.mid"}
        finally:
            closed.append(True)

    def show(line: Line) -> None:
        raise BrokenPipeError

    on_line: Callable[[Line], None] = show
    with pytest.raises(BrokenPipeError):
        run(job, store, compose, Report(100), on_line=on_line)
    assert closed == [True]
