from __future__ import annotations

import io
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import item, job_of
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_score

from emomusic.compose.jobs import job as job_module
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.rows import JobRow
from emomusic.compose.parse import ClipSpec, spec_from_options
from emomusic.music.score import write_score

TABLE = "id,emotion,count,seed\na,joy,3,1\nb,foo,,\nc,calm,2,5\n"


def all_of(job: Job) -> list[bool]:
    return [True] * job.n_batches


def test_clips_are_numbered_through_and_counted_within_their_row() -> None:
    job = job_of(TABLE)
    assert (job.n_rows, job.n_bad, job.n_clips) == (2, 1, 5)
    found = [(o.number, o.row, o.id, o.settings.seed, o.settings.index) for o in job.items()]
    assert found == [(0, 2, "a", 1, 0), (1, 2, "a", 1, 1), (2, 2, "a", 1, 2),
                     (3, 4, "c", 5, 0), (4, 4, "c", 5, 1)]  # fmt: skip
    assert [row.line for row in job.bad_rows()] == [3]
    assert list(job.items()) == list(job.items())


def test_settings_keep_the_number_that_they_say() -> None:
    own = ClipSpec(spec_from_options({"emotion": "joy"}).request, seed=4, index=9)
    found = [(o.number, o.settings.index) for o in Job([JobRow(None, own, 2)]).items()]
    assert found == [(9, 9), (10, 10)]
    found = [(o.number, o.settings.index) for o in Job([JobRow(1, own), JobRow(2, own)]).items()]
    assert found == [(0, 9), (1, 9)]


@pytest.mark.parametrize(
    ("count", "size", "n_batches"),
    [(1, 16, 1), (16, 16, 1), (17, 16, 2), (1024, 16, 64), (1025, 17, 61), (10**6, 512, 1954)],
)
def test_batches_are_large_enough_and_not_too_many(count: int, size: int, n_batches: int) -> None:
    job = job_of(f"emotion,count\njoy,{count}\n")
    assert (job.items_per_batch, job.n_batches) == (size, n_batches)


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), data=st.data())
def test_batches_hold_each_clip_once(counts: list[int], data: st.DataObject) -> None:
    job = job_of("emotion,count\n" + "".join(f"joy,{count}\n" for count in counts))
    blocks = list(job.batches(all_of(job)))
    numbers = [o.number for block in blocks for o in block.items]
    assert numbers == list(range(sum(counts)))
    assert all(len(block.items) == job.items_per_batch for block, _ in pairwise(blocks))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(blocks), max_size=len(blocks)))
    assert list(job.batches(chosen)) == [b for b, own in zip(blocks, chosen, strict=True) if own]


def test_rows_may_change_on_disk_while_the_job_runs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(TABLE)
    with path.open("rb") as file:
        job = Job(file)
        before = list(job.items())
        path.write_text("emotion\nanger\n")
        assert list(job.items()) == before
    path.unlink()
    assert list(job.items()) == before


def test_rows_need_no_file_that_can_be_read_twice() -> None:
    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("illegal seek")

    assert Job(Pipe(TABLE.encode())).digest == job_of(TABLE).digest


def test_music_that_changes_while_the_job_runs_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "given.mid"
    write_score(make_score([60, 64, 67, 72]), path)
    job = job_of(f"continue,bars,count\n,1,1\n{path},1,20\n", emotion="joy")
    assert len(list(job.items())) == job.n_clips == 21
    write_score(make_score([60, 64, 67, 71]), path)
    with pytest.raises(OSError, match="the music that line 3 names is no longer what it was"):
        list(job.items())
    path.unlink()
    with pytest.raises(OSError, match="line 3"):
        list(job.items())


def test_the_same_rows_are_the_same_job() -> None:
    assert job_of(TABLE).digest == job_of(TABLE.replace("\n", "\r\n")).digest
    assert job_of(TABLE).digest == job_of(TABLE.replace("joy", " joy ")).digest
    assert job_of("emotion,bars\njoy,8\n").digest == job_of("bars\n8\n", emotion="joy").digest


@pytest.mark.parametrize(
    "other",
    [
        TABLE.replace("joy", "Q1"),
        TABLE.replace("a,joy", "z,joy"),
        TABLE.replace("joy,3", "joy,2"),
        TABLE.replace("3,1", "3,2"),
        TABLE + "d,joy,,\n",
        TABLE.replace("b,foo", "\nb,foo"),
        TABLE.replace("count,seed", "count,take"),
        "\n".join(reversed(TABLE.splitlines()[1:])).join(["id,emotion,count,seed\n", "\n"]),
    ],
)
def test_other_rows_are_another_job(other: str) -> None:
    assert job_of(other).digest != job_of(TABLE).digest
    assert job_of(TABLE, bars=4).digest != job_of(TABLE).digest


def test_a_job_goes_on_only_where_all_is_the_same(own_checkpoint: Path, tmp_path: Path) -> None:
    job, output = job_of(TABLE), Output()

    def identity(own: Job = job, kept: Output = output, engine: str = "int8") -> dict[str, Any]:
        return own.identity(kept, checkpoint=own_checkpoint, engine=engine)

    first = identity()
    assert identity(job_of(TABLE)) == first
    assert (first["clips"], first["rows"], first["bad_rows"], first["block"]) == (5, 2, 1, 16)
    others = [
        identity(job_of(TABLE.replace("joy", "Q1"))),
        identity(kept=Output(("mid", "json"))),
        identity(kept=Output(pack="tar")),
        identity(kept=Output(explained=True)),
        identity(engine="torch"),
    ]
    copied = shutil.copytree(own_checkpoint, tmp_path / "elsewhere")
    assert job.identity(output, checkpoint=copied, engine="int8") == first
    (own_checkpoint / "README.md").write_text("another card")
    assert identity() == first
    mapper = own_checkpoint / "mapper.json"
    mapper.write_text(mapper.read_text() + "\n")
    assert all(other != first for other in [*others, identity()])


def test_a_job_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_CLIPS", 30)
    rows = [JobRow(line, item(0).settings, 16) for line in range(2)]
    with pytest.raises(ValueError, match=r"a job has at most 2\*\*40 clips, got 32"):
        Job(rows)
