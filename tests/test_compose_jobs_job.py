from __future__ import annotations

import io
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_cases import job_of, order
from synthetic import make_score

from emomusic.compose.asking.options import settings_of
from emomusic.compose.asking.settings import Settings
from emomusic.compose.jobs import job as job_module
from emomusic.compose.jobs.job import Job, Order, Output
from emomusic.compose.jobs.spec import BadRow, Row
from emomusic.music.score import write_score

TABLE = "id,emotion,count,seed\na,joy,3,1\nb,foo,,\nc,calm,2,5\n"


def all_of(job: Job) -> list[bool]:
    return [True] * job.n_blocks


def test_clips_are_numbered_through_and_counted_within_their_row() -> None:
    job = job_of(TABLE)
    assert (job.n_rows, job.n_bad, job.n_clips) == (2, 1, 5)
    found = [(o.number, o.row, o.id, o.settings.seed, o.settings.index) for o in job.orders()]
    assert found == [(0, 2, "a", 1, 0), (1, 2, "a", 1, 1), (2, 2, "a", 1, 2),
                     (3, 4, "c", 5, 0), (4, 4, "c", 5, 1)]  # fmt: skip
    assert [row.line for row in job.bad_rows()] == [3]
    assert list(job.orders()) == list(job.orders())


def test_settings_keep_the_number_that_they_say() -> None:
    own = Settings(settings_of({"emotion": "joy"}).request, seed=4, index=9)
    found = [(o.number, o.settings.index) for o in Job([Row(None, own, 2)]).orders()]
    assert found == [(9, 9), (10, 10)]
    found = [(o.number, o.settings.index) for o in Job([Row(1, own), Row(2, own)]).orders()]
    assert found == [(0, 9), (1, 9)]


@pytest.mark.parametrize(
    ("count", "size", "n_blocks"),
    [(1, 16, 1), (16, 16, 1), (17, 16, 2), (1024, 16, 64), (1025, 17, 61), (10**6, 512, 1954)],
)
def test_blocks_are_large_enough_and_not_too_many(count: int, size: int, n_blocks: int) -> None:
    job = job_of(f"emotion,count\njoy,{count}\n")
    assert (job.block_size, job.n_blocks) == (size, n_blocks)


@settings(max_examples=25, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), data=st.data())
def test_blocks_hold_each_clip_once(counts: list[int], data: st.DataObject) -> None:
    job = job_of("emotion,count\n" + "".join(f"joy,{count}\n" for count in counts))
    blocks = list(job.blocks(all_of(job)))
    numbers = [o.number for block in blocks for o in block.orders]
    assert numbers == list(range(sum(counts)))
    assert all(len(block.orders) == job.block_size for block, _ in pairwise(blocks))
    chosen = data.draw(st.lists(st.booleans(), min_size=len(blocks), max_size=len(blocks)))
    assert list(job.blocks(chosen)) == [b for b, own in zip(blocks, chosen, strict=True) if own]


def test_rows_may_change_on_disk_while_the_job_runs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(TABLE)
    with path.open("rb") as file:
        job = Job(file)
        before = list(job.orders())
        path.write_text("emotion\nanger\n")
        assert list(job.orders()) == before
    path.unlink()
    assert list(job.orders()) == before


def test_rows_need_no_file_that_can_be_read_twice() -> None:
    class Pipe(io.BytesIO):
        def seek(self, *_: int) -> int:
            raise OSError("illegal seek")

    assert Job(Pipe(TABLE.encode())).digest == job_of(TABLE).digest


def test_music_that_changes_while_the_job_runs_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "given.mid"
    write_score(make_score([60, 64, 67, 72]), path)
    job = job_of(f"continue,bars,count\n,1,1\n{path},1,20\n", emotion="joy")
    assert len(list(job.orders())) == job.n_clips == 21
    write_score(make_score([60, 64, 67, 71]), path)
    with pytest.raises(OSError, match="the music that line 3 names is no longer what it was"):
        list(job.orders())
    path.unlink()
    with pytest.raises(OSError, match="line 3"):
        list(job.orders())


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


def test_other_defaults_are_another_job() -> None:
    assert len({job_of(TABLE, **more).digest for more in ({}, {"bars": 4}, {"tempo": 90.0})}) == 3


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


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 2**63 - 1, "tempo": 91.7, "set": {"register": 60.25}},
        {"emotion": None, "curve": "0:calm 3:joy", "bars": 4, "key": "Bbm"},
        {"emotion": None, "mix": "joy:0.3 calm:0.7", "bars": None, "seconds": 12.3},
        {"steering": False, "best_of": 3, "take": 5, "time_signature": "3/4"},
    ],
)
def test_an_order_reaches_another_process_as_it_is(options: dict[str, Any]) -> None:
    for own in (order(7, **options), Order(8, order(0, **options).settings, 3, "näme")):
        text = own.to_json()
        assert "\n" not in text and Order.parse(text) == own


def test_given_music_reaches_another_process(tmp_path: Path) -> None:
    write_score(make_score([60, 64, 67, 72]), tmp_path / "given.mid")
    own = order(0, vary=tmp_path / "given.mid", bars=None)
    assert Order.parse(own.to_json()) == own


def test_only_known_packs_are_kept() -> None:
    with pytest.raises(ValueError, match="pack must be one of files, tar, parquet, got 'zip'"):
        Output(pack="zip")


def test_a_job_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "MAX_CLIPS", 30)
    rows = [Row(line, order(0).settings, 16) for line in range(2)]
    with pytest.raises(ValueError, match=r"a job has at most 2\*\*40 clips, got 32"):
        Job(rows)


def test_rows_that_cannot_be_used_are_told_only_where_there_are_some() -> None:
    assert list(job_of("emotion\njoy\n").bad_rows()) == []
    assert [type(row) for row in job_of("emotion\nfoo\n").bad_rows()] == [BadRow]
