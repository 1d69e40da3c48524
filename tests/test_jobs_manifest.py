from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import begun, job_of, keep, keep_batches, manifest_line, tree

from emomusic.compose.export import OutputError
from emomusic.compose.jobs import storage
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.storage import BatchWriter, Shard, Store, Summary, write_manifest

TABLE = "emotion,count\njoy,20\nfoo,1\ncalm,80\n"
PARTS = [Shard(index, 3) for index in range(3)]


@pytest.fixture
def job() -> Job:
    """Return a job of 100 clips in 7 blocks, and a row that cannot be used."""
    return job_of(TABLE)


def parts_of(folder: Path, job: Job) -> list[Store]:
    return [begun(folder, job, part=part) for part in PARTS]


def own(store: Store, job: Job) -> list[int]:
    return [block for block in range(job.n_batches) if store.shard.has(block)]


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory, job: Job) -> dict[str, bytes]:
    """Return all files of the job done in one go."""
    folder = tmp_path_factory.mktemp("whole")
    store = begun(folder, job)
    keep_batches(store, job, range(job.n_batches))
    assert write_manifest(store, job).is_complete
    return tree(folder)


def lines(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / name).open(encoding="utf-8")]


def test_what_is_heard_as_asked_is_counted() -> None:
    summary = Summary()
    for valence, heard in ((0.5, "Q1"), (0.5, "Q2"), (-0.5, "Q3"), (0.0, "Q1"), (None, "Q1")):
        summary.count([manifest_line(0, valence=valence, heard=heard)])
    for reason in ("no", "none", "no"):
        summary.count([{"number": 3, "reason": reason}])
    assert (summary.n_clips, summary.n_asked, summary.n_heard) == (5, 4, 3)
    assert summary.reasons == {"no": 2, "none": 1} and not summary.is_complete


def test_a_whole_job_leaves_clips_a_manifest_and_its_name(
    tmp_path: Path, job: Job, whole: dict[str, bytes]
) -> None:
    store = begun(tmp_path, job)
    keep_batches(store, job, range(job.n_batches))
    summary = write_manifest(store, job)
    assert tree(tmp_path) == whole
    assert (summary.n_clips, summary.is_complete) == (99, True)
    cards = lines(tmp_path)
    assert [card["file"] for card in cards] == sorted(card["file"] for card in cards)
    hidden = {name for name in whole if name.startswith(".")}
    assert hidden == {".emomusic/job.json"}
    assert len(whole) == 99 + len(hidden) + 2
    bad, failed = lines(tmp_path, "failures.jsonl")
    assert bad["row"] == 3 and "unknown emotion 'foo'" in bad["reason"]
    assert (failed["number"], failed["row"], failed["reason"]) == (13, 2, "too hard")
    assert summary.reasons == {bad["reason"]: 1, "too hard": 1}


def test_batches_may_come_in_any_order(tmp_path: Path, job: Job, whole: dict[str, bytes]) -> None:
    store = begun(tmp_path, job)
    for block in (3, 6, 0, 5, 1, 4, 2):
        keep_batches(store, job, [block])
    write_manifest(store, job)
    assert tree(tmp_path) == whole


def test_of_a_job_that_was_stopped_the_manifest_names_what_is_there(
    tmp_path: Path, job: Job, whole: dict[str, bytes]
) -> None:
    store = begun(tmp_path, job)
    keep_batches(store, job, [4, 2])
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, 3, Output()) as writer:
        for number in (48, 49):
            keep(writer, number)
        raise KeyboardInterrupt
    summary = write_manifest(store, job)
    assert (summary.n_clips, summary.is_complete) == (34, False)
    assert [card["file"] for card in lines(tmp_path)] == [
        f"clip_{n:05d}.mid" for n in (*range(32, 50), *range(64, 80))
    ]
    assert all((tmp_path / card["file"]).is_file() for card in lines(tmp_path))
    keep_batches(store, job, [0, 1, 3, 5, 6])
    assert write_manifest(store, job).is_complete and tree(tmp_path) == whole


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_end_in_any_order_and_the_last_one_writes(
    tmp_path: Path, job: Job, whole: dict[str, bytes], order: tuple[int, ...]
) -> None:
    stores = parts_of(tmp_path, job)
    for at, part in enumerate(order):
        keep_batches(stores[part], job, own(stores[part], job))
        summary = write_manifest(stores[part], job)
        assert summary.is_complete is (at == 2)
    assert summary.n_clips == 99 and tree(tmp_path) == whole


def test_a_part_that_comes_late_does_not_spoil_what_is_complete(
    tmp_path: Path, job: Job, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = parts_of(tmp_path, job)
    for store in stores:
        keep_batches(store, job, own(store, job))
    merged = storage._merge

    def overtaken(store: Store, *arguments: Any) -> Summary:
        monkeypatch.setattr(storage, "_merge", merged)
        store.clean_up()  # where there are no locks, another part may clear up just now
        shutil.copytree(before, tmp_path, dirs_exist_ok=True)
        return merged(store, *arguments)

    before = tmp_path.parent / "whole"
    before.mkdir()
    for name in ("manifest.jsonl", "failures.jsonl"):
        (before / name).write_bytes(whole[name])
    monkeypatch.setattr(storage, "_merge", overtaken)
    summary = write_manifest(stores[0], job)
    assert summary.is_complete and summary.n_clips == 99 and tree(tmp_path) == whole


def test_parts_in_folders_of_their_own_each_have_a_manifest(
    tmp_path: Path, job: Job, whole: dict[str, bytes]
) -> None:
    cards: list[dict[str, Any]] = []
    for part in PARTS:
        folder = tmp_path / str(part.index)
        store = begun(folder, job, part=part)
        keep_batches(store, job, own(store, job))
        summary = write_manifest(store, job)
        again = write_manifest(begun(folder, job, part=part), job)
        assert not summary.is_complete and (again.n_clips, again.reasons) == (
            summary.n_clips, summary.reasons,
        )  # fmt: skip
        cards += lines(folder)
        music = {name for name in tree(folder) if name.startswith("clip_")}
        assert music == {card["file"] for card in lines(folder)}
    cards.sort(key=lambda card: str(card["file"]))
    assert "".join(f"{json.dumps(card)}\n" for card in cards).encode() == whole["manifest.jsonl"]


@pytest.mark.parametrize("moment", range(4))
def test_what_was_stopped_while_it_cleared_up_is_cleared_up(
    tmp_path: Path, job: Job, whole: dict[str, bytes], moment: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    store = begun(tmp_path, job)
    keep_batches(store, job, range(job.n_batches))
    steps = itertools.count()

    def or_killed(what: Any) -> Any:
        def step(path: Path, *arguments: Any, **more: Any) -> Any:
            if next(steps) == moment:
                raise KeyboardInterrupt
            return what(path, *arguments, **more)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", or_killed(Path.rename))
        patch.setattr(shutil, "rmtree", or_killed(shutil.rmtree))
        with pytest.raises(KeyboardInterrupt):
            write_manifest(store, job)
    summary = write_manifest(begun(tmp_path, job), job)
    assert summary.is_complete and summary.n_clips == 99 and tree(tmp_path) == whole


def test_trouble_with_the_folder_is_told(tmp_path: Path, job: Job) -> None:
    store = begun(tmp_path, job)
    keep_batches(store, job, range(job.n_batches))
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"cannot write into .*: Is a directory"):
        write_manifest(store, job)


def test_without_failures_or_batches_a_part_ends_too(tmp_path: Path) -> None:
    job = job_of("emotion,count\njoy,10\n")
    (tmp_path / "failures.jsonl").write_text("of another job\n")
    empty, full = (begun(tmp_path, job, part=Shard(index, 2)) for index in (1, 0))
    assert write_manifest(empty, job).n_clips == 0
    keep_batches(full, job, [0])
    assert write_manifest(full, job).is_complete and len(lines(tmp_path)) == 10
    assert not (tmp_path / "failures.jsonl").exists()
