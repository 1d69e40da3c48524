"""Jobs: numbers, batches, what makes two of them the same."""

from __future__ import annotations

import io
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import item, job_of
from synthetic import make_score

from emomusic.compose.jobs import job as job_module
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.rows import JobRow
from emomusic.compose.parse import ClipSpec, spec_from_options
from emomusic.music.score import write_score

TABLE = "id,emotion,count,seed\na,joy,3,1\nb,foo,,\nc,calm,2,5\n"


def test_clips_are_numbered_through_and_counted_within_their_row() -> None:
    job = job_of(TABLE)
    assert (job.n_rows, job.n_bad, job.n_clips) == (2, 1, 5)
    found = [(o.number, o.row, o.id, o.settings.seed, o.settings.index) for o in job.items()]
    assert found == [(0, 2, "a", 1, 0), (1, 2, "a", 1, 1), (2, 2, "a", 1, 2),
                     (3, 4, "c", 5, 0), (4, 4, "c", 5, 1)]  # fmt: skip
    assert [row.line for row in job.bad_rows()] == [3]
    assert list(job.items()) == list(job.items())
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
    assert job.count_clips([True] * n_batches) == count


def test_batches_hold_each_clip_once() -> None:
    job = job_of("emotion,count\n" + "".join(f"joy,{count}\n" for count in (1, 60, 16, 3, 31)))
    batches = list(job.batches([True] * job.n_batches))
    assert [o.number for batch in batches for o in batch.items] == list(range(111))
    assert all(len(batch.items) == job.items_per_batch for batch, _ in pairwise(batches))
    chosen = [batch.index % 3 != 1 for batch in batches]
    assert list(job.batches(chosen)) == [b for b in batches if b.index % 3 != 1]


def test_rows_are_read_once_from_what_may_change_or_be_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(TABLE)
    with path.open("rb") as file:
        job = Job(file)
        before = list(job.items())
        path.write_text("emotion\nanger\n")
        assert list(job.items()) == before

    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("illegal seek")

    assert Job(Pipe(TABLE.encode())).digest == job.digest


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


def test_the_same_rows_are_the_same_job_and_others_another() -> None:
    assert job_of(TABLE).digest == job_of(TABLE.replace("\n", "\r\n")).digest
    assert job_of(TABLE).digest == job_of(TABLE.replace("joy", " joy ")).digest
    assert job_of("emotion,bars\njoy,8\n").digest == job_of("bars\n8\n", emotion="joy").digest
    head, *rows = TABLE.splitlines()
    others = [
        *(TABLE.replace(*change) for change in (
            ("joy", "Q1"), ("a,joy", "z,joy"), ("joy,3", "joy,2"), ("3,1", "3,2"),
            ("b,foo", "\nb,foo"), ("count,seed", "count,take"),
        )),
        TABLE + "d,joy,,\n",
        "\n".join([head, *reversed(rows), ""]),
    ]  # fmt: skip
    digests = {
        job_of(TABLE).digest,
        job_of(TABLE, bars=4).digest,
        *(job_of(o).digest for o in others),
    }
    assert len(digests) == len(others) + 2


def test_a_job_goes_on_only_where_all_is_the_same(own_checkpoint: Path, tmp_path: Path) -> None:
    job = job_of(TABLE)

    def identity(own: Job = job, kept: Output | None = None, **how: Any) -> dict[str, Any]:
        how = {"checkpoint": own_checkpoint, "engine": "int8", **how}
        return own.identity(kept or Output(), **how)

    first = identity()
    assert identity(job_of(TABLE)) == first
    assert (first["clips"], first["rows"], first["bad_rows"], first["block"]) == (5, 2, 1, 16)
    copied = shutil.copytree(own_checkpoint, tmp_path / "elsewhere")
    (copied / "README.md").write_text("another card")
    assert identity(checkpoint=copied) == first
    mapper = copied / "mapper.json"
    mapper.write_text(mapper.read_text() + "\n")
    outputs = [Output(("mid", "json")), Output(pack="tar"), Output(explained=True)]
    others = [*(identity(kept=own) for own in outputs), identity(engine="torch")]
    others += [identity(job_of(TABLE.replace("joy", "Q1"))), identity(checkpoint=copied)]
    assert all(other != first for other in others)


def test_a_job_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_CLIPS", 30)
    rows = [JobRow(line, item(0).settings, 16) for line in range(2)]
    with pytest.raises(ValueError, match=r"a job has at most 2\*\*40 clips, got 32"):
        Job(rows)
