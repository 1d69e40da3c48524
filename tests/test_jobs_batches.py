"""Batches of a job: composed by one process or many, kept whole whenever it stops, by any shard."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import symusic
from helpers.jobs import begun, item, job_of, keep, keep_batches, manifest_line, tree
from synthetic import make_score

from emomusic.compose.clip import MANIFEST_NAME, Clip, write_files
from emomusic.compose.composer import Composer
from emomusic.compose.jobs import executors, storage
from emomusic.compose.jobs.executors import WorkerError, compose_batches, compose_in_processes
from emomusic.compose.jobs.job import Batch, Item, Job, Output
from emomusic.compose.jobs.storage import (
    BatchWriter,
    Line,
    Shard,
    Store,
    Summary,
    TakenError,
    write_manifest,
)
from emomusic.extras import MissingExtraError
from emomusic.files import OutputError
from emomusic.music.score import write_score

IDENTITY = {"format": "emomusic job 1", "clips": 40, "settings": "a" * 64}


def lines(path: Path) -> list[Line]:
    return [json.loads(text) for text in path.open(encoding="utf-8")]


LINE = '{"file": "a.mid", "files": []}\n'


def opened(folder: Path, part: str = "0/1", *, overwrite: bool = False, **more: object) -> Store:
    store = Store(folder, Shard.parse(part))
    with store.locked():
        how = {"resume": not overwrite, "overwrite": overwrite}
        store.begin({**IDENTITY, **more}, re.compile("clip_0000[0-3].mid").fullmatch, **how)
    return store


def done(store: Store, *blocks: int, suffix: str = storage.DONE) -> None:
    for block in blocks:
        store.lines_path(block, suffix).write_text(f'{{"reason": "{block}"}}\n')


def test_a_shard_is_a_number_of_a_count_and_all_share_the_batches() -> None:
    for text in ("", "1", "0/0", "1/1", "-1/2", "0/2/3", "a/b", "1/", "/2", "²/3", "0/" + "9" * 30):
        with pytest.raises(ValueError, match="shard must be I/K"):
            Shard.parse(text)
    assert Shard.parse("2/5") == Shard(2, 5) and Shard.parse(" 2 / 5 ") == Shard(2, 5)
    for block in range(20):
        assert sum(Shard(index, 3).has(block) for index in range(3)) == 1


def test_what_is_done_is_not_chosen_again_nor_what_is_complete(tmp_path: Path) -> None:
    store = opened(tmp_path)
    assert store.missing(4) == [True] * 4
    done(store, 1)
    done(store, 2, suffix=storage.PARTIAL)
    assert store.done() == {1}
    assert opened(tmp_path).missing(4) == [True, False, True, True]
    assert opened(tmp_path, "1/2").missing(4) == [False, False, False, True]
    done(store, 0, 2, 3)
    done(store, 5, suffix=storage.PARTIAL)
    assert opened(tmp_path, "1/2", overwrite=True).done() == set()
    assert not store.lines_path(5, storage.PARTIAL).exists()
    (tmp_path / MANIFEST_NAME).write_text(LINE)
    store.clean_up()
    left = tree(tmp_path)
    assert set(left) == {".emomusic/job.json", MANIFEST_NAME}
    assert opened(tmp_path).missing(3) == [False] * 3
    opened(tmp_path).clean_up()
    assert tree(tmp_path) == left
    (tmp_path / MANIFEST_NAME).unlink()
    assert opened(tmp_path).missing(3) == [True] * 3


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\0"])
def test_another_job_is_not_gone_on_with_and_a_damaged_note_of_it_begins_anew(
    tmp_path: Path, text: str
) -> None:
    store = opened(tmp_path)
    done(store, 0)
    for more, words in (
        ({"clips": 50}, r"holds another job \(clips 40 and not 50\): take another folder"),
        ({"settings": "b" * 64}, r"holds another job \(other settings\)"),
    ):
        with pytest.raises(OutputError, match=words):
            opened(tmp_path, **more)
    assert opened(tmp_path).done() == {0}
    assert opened(tmp_path, overwrite=True, clips=50).done() == set()
    assert opened(tmp_path, clips=50).missing(1) == [True]
    done(store, 0)
    (store.state / "job.json").write_text(text)
    with pytest.raises(TakenError, match="holds a run that does not say its job"):
        opened(tmp_path, clips=50)
    assert store.done() == {0} and opened(tmp_path, overwrite=True).done() == set()


def test_a_job_whose_batches_go_for_another_one_does_not_seem_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    done(store, 0)
    (tmp_path / MANIFEST_NAME).write_text(LINE)

    def killed(path: Path, **_: object) -> None:
        if path.name == "blocks":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", killed)
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path, overwrite=True, clips=50)
    assert not store.done_dir.exists()
    with pytest.raises(TakenError, match="holds a run that does not say its job"):
        opened(tmp_path)
    assert opened(tmp_path, overwrite=True).missing(2) == [True, True]


def test_what_was_being_written_is_cleared_for_the_own_part_with_and_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path)
    first, second = store.staging_dir(3), store.staging_dir(3)
    (first / "clip.mid").write_text("half")
    assert first != second
    assert opened(tmp_path).done() == set() and not first.exists()
    other = opened(tmp_path, "1/2").staging_dir(1)

    def no_locks(*_: object) -> None:
        raise OSError(os.strerror(38))

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", no_locks)
    assert opened(tmp_path, "0/2").missing(1) == [True] and other.exists()


Results = list[tuple[Item, Clip | None]]


@pytest.fixture(scope="module")
def results(tiny_composer: Composer) -> Results:
    """Return clips of which the second asks for no emotion, and one that could not be composed."""
    asked = [item(0), item(1, emotion=None, free=True), Item(2, item(2, bars=2).settings, 5, "ä")]
    clips = tiny_composer.compose_all(own.settings for own in asked)
    return [*zip(asked, clips, strict=True), (item(3), None)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return begun(tmp_path, job_of("emotion\njoy\n"))


def written(store: Store, results: Results, *, stop: bool = False, **output: Any) -> list[Line]:
    """Write a batch and return its lines; none where it is stopped before its end."""
    lines = []
    try:
        with BatchWriter(store, 0, Output(**{"formats": ("mid", "json"), **output})) as writer:
            for own, clip in results:
                lines.append(writer.write(own, clip, reason="too  hard\nfor\tit"))
            if stop:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        return []
    return lines


def music(folder: Path) -> set[str]:
    return {name for name in tree(folder) if not name.startswith(".emomusic")}


def test_clips_are_there_before_their_batch_is_done_and_noted_where_it_is_left(
    store: Store, results: Results, tiny_composer: Composer
) -> None:
    written(store, results[:1], stop=True)
    assert store.done() == set() and len(lines(store.lines_path(0, storage.PARTIAL))) == 1
    assert not list(store.doing_dir.iterdir())
    with BatchWriter(store, 0, Output(explained=True)) as writer:
        found = [
            writer.write(own, clip, reason="too  hard\nfor\tit", explain_by=tiny_composer.verifier)
            for own, clip in results
        ]
        assert {f"clip_0000{n}.mid" for n in range(3)} < music(store.folder)
        assert store.done() == set()
    assert store.done() == {0} and lines(store.lines_path(0)) == json.loads(json.dumps(found))
    assert not store.lines_path(0, storage.PARTIAL).exists() and not list(store.doing_dir.iterdir())
    assert (found[2]["file"], found[2]["row"], found[2]["id"]) == ("clip_00002.mid", 5, "ä")
    clip = results[2][1]
    assert clip is not None and clip.card().items() <= found[2].items()
    assert {"explanation", "course"} <= set(found[0])
    assert found[3] == {"number": 3, "seed": 3, "index": 0, "reason": "too hard for it"}


@pytest.mark.parametrize("pack", ["tar", "parquet"])
def test_a_pack_is_there_whole_or_not_at_all_and_always_the_same(
    store: Store, results: Results, pack: str
) -> None:
    pytest.importorskip("pyarrow")
    written(store, results[:1], stop=True, pack=pack)
    assert music(store.folder) == set() and not list(store.done_dir.iterdir())
    written(store, results[3:], pack=pack)
    assert music(store.folder) == set() and store.done() == {0}
    found = set()
    for mask in (0o022, 0o077):
        before = os.umask(mask)
        lines = written(store, results, pack=pack)
        os.umask(before)
        assert music(store.folder) == {f"pack_00000.{pack}"}
        assert {line["pack"] for line in lines[:3]} == {f"pack_00000.{pack}"}
        found.add((store.folder / f"pack_00000.{pack}").read_bytes())
    assert len(found) == 1


def test_a_tar_and_a_parquet_file_hold_the_files_of_the_folder_in_order(
    store: Store, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(storage, "ROW_GROUP", 2)
    files = written(store, results)[:3]
    wanted = {name: (store.folder / name).read_bytes() for line in files for name in line["files"]}
    written(store, results, pack="tar")
    with tarfile.open(store.folder / "pack_00000.tar") as archive:
        packed = {own.name: archive.extractfile(own) for own in archive}
        found = {name: file and file.read() for name, file in packed.items()}
    assert found == wanted and [*found] == [*wanted]
    lines = written(store, results, pack="parquet")[:3]
    path = store.folder / "pack_00000.parquet"
    assert parquet.ParquetFile(path).num_row_groups == 2
    table = parquet.read_table(path)
    own = ("file", "row", "id", "seed", "index", "emotion", "valence", "arousal", "bars", "tempo",
           "key")  # fmt: skip
    assert table.column_names == [*own, "heard", "card", "mid", "json"]
    for line, row, kept in zip(lines, table.to_pylist(), files, strict=True):
        assert json.loads(row["card"]) == json.loads(json.dumps(line))
        assert [row["mid"], row["json"]] == [wanted[name] for name in kept["files"]]
        assert row["heard"] == line["verdict"]["quadrant"]
        assert {name: row[name] for name in own} == {name: line.get(name) for name in own}


def test_parquet_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    Output(pack="tar")
    with pytest.raises(MissingExtraError, match=r"pip install 'emomusic\[parquet\]'"):
        Output(pack="parquet")


def test_a_clip_whose_files_cannot_be_made_fails_alone(
    store: Store, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(clip: Clip, *arguments: Any) -> None:
        if clip is results[1][1]:
            raise ValueError("too long for notation")
        write_files(clip, *arguments)

    monkeypatch.setattr(storage, "write_files", write)
    lines = written(store, results)
    assert lines[1] == {"number": 1, "seed": 1, "index": 0, "reason": "too long for notation"}
    assert len(music(store.folder)) == 4 and store.done() == {0}


PARTS = [Shard(index, 3) for index in range(3)]


@pytest.fixture
def job() -> Job:
    """Return a job of 100 clips in 7 batches, and a row that cannot be used."""
    return job_of("emotion,count\njoy,20\nfoo,1\ncalm,80\n")


@pytest.fixture
def whole(tmp_path_factory: pytest.TempPathFactory, job: Job) -> dict[str, bytes]:
    """Return all files of the job done in one go."""
    folder = tmp_path_factory.mktemp("whole")
    store = begun(folder, job)
    keep_batches(store, job)
    assert write_manifest(store, job).is_complete
    return tree(folder)


def test_what_is_heard_as_asked_is_counted() -> None:
    summary = Summary()
    for valence, heard in ((0.5, "Q1"), (0.5, "Q2"), (-0.5, "Q3"), (0.0, "Q1"), (None, "Q1")):
        summary.count([manifest_line(0, valence=valence, heard=heard)])
    assert (summary.n_clips, summary.n_asked, summary.n_heard) == (5, 4, 3)
    for given, n_heard in (("infill", 1), ("continue", 0)):
        line = manifest_line(0, heard="Q3") | {"given": given, "heard_new": {"quadrant": "Q1"}}
        assert Summary().count([line]).n_heard == n_heard


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
    assert [card["file"] for card in lines(tmp_path / MANIFEST_NAME)] == [
        f"clip_{n:05d}.mid" for n in (*range(32, 50), *range(64, 80))
    ]
    assert all((tmp_path / card["file"]).is_file() for card in lines(tmp_path / MANIFEST_NAME))
    keep_batches(store, job, [0, 1, 3, 5, 6])
    assert write_manifest(store, job).is_complete and tree(tmp_path) == whole


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_end_in_any_order_and_the_last_one_writes(
    tmp_path: Path, job: Job, whole: dict[str, bytes], order: tuple[int, ...]
) -> None:
    stores = [begun(tmp_path, job, part=part) for part in PARTS]
    for at, part in enumerate(order):
        keep_batches(stores[part], job)
        summary = write_manifest(stores[part], job)
        assert summary.is_complete is (at == 2)
    assert summary.n_clips == 99 and tree(tmp_path) == whole
    bad, failed = lines(tmp_path / "failures.jsonl")
    assert bad["row"] == 3 and "unknown emotion 'foo'" in bad["reason"]
    assert (failed["number"], failed["row"], failed["reason"]) == (13, 2, "too hard")
    assert summary.reasons == {bad["reason"]: 1, "too hard": 1}


def test_a_part_that_comes_late_does_not_spoil_what_is_complete(
    tmp_path: Path, job: Job, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = [begun(tmp_path, job, part=part) for part in PARTS]
    for store in stores:
        keep_batches(store, job)
    merged = storage._merge

    def overtaken(store: Store, *arguments: Any) -> Summary:
        monkeypatch.setattr(storage, "_merge", merged)
        store.clean_up()  # where there are no locks, another part may clear up just now
        for name in ("manifest.jsonl", "failures.jsonl"):
            (tmp_path / name).write_bytes(whole[name])
        return merged(store, *arguments)

    monkeypatch.setattr(storage, "_merge", overtaken)
    summary = write_manifest(stores[0], job)
    assert summary.is_complete and summary.n_clips == 99 and tree(tmp_path) == whole


def test_parts_in_folders_of_their_own_each_have_a_manifest(
    tmp_path: Path, job: Job, whole: dict[str, bytes]
) -> None:
    cards: list[Line] = []
    for part in PARTS:
        folder = tmp_path / str(part.index)
        store = begun(folder, job, part=part)
        keep_batches(store, job)
        summary = write_manifest(store, job)
        assert not summary.is_complete
        assert write_manifest(begun(folder, job, part=part), job) == summary
        cards += lines(folder / MANIFEST_NAME)
        music = {name for name in tree(folder) if name.startswith("clip_")}
        assert music == {card["file"] for card in lines(folder / MANIFEST_NAME)}
    cards.sort(key=lambda card: str(card["file"]))
    assert "".join(f"{json.dumps(card)}\n" for card in cards).encode() == whole["manifest.jsonl"]


@pytest.mark.parametrize("moment", range(4))
def test_what_was_stopped_while_it_cleared_up_is_cleared_up(
    tmp_path: Path, job: Job, whole: dict[str, bytes], moment: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    store = begun(tmp_path, job)
    keep_batches(store, job)
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


def test_without_failures_or_batches_a_part_ends_too_and_trouble_is_told(tmp_path: Path) -> None:
    job = job_of("emotion,count\njoy,10\n")
    empty, full = (begun(tmp_path, job, part=Shard(index, 2)) for index in (1, 0))
    (tmp_path / "failures.jsonl").write_text("of an earlier stop\n")
    assert write_manifest(empty, job).n_clips == 0
    keep_batches(full, job, [0])
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"cannot write into .*: Is a directory"):
        write_manifest(full, job)
    (tmp_path / "manifest.jsonl").rmdir()
    assert write_manifest(full, job).is_complete and len(lines(tmp_path / MANIFEST_NAME)) == 10
    assert not (tmp_path / "failures.jsonl").exists()


# composing


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
    assert all(told.startswith("music in 5/4 cannot be written") for told in failed.values())
    files = [line["file"] for line in lines if "file" in line]
    assert files == [f"clip_{n:05d}.mid" for n in range(8) if n not in bad]
    composed = [(store.folder / name).read_bytes() for name in files]
    assert composed == [clip.midi for clip in plain]


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


def in_processes(checkpoint: Path, folder: Path, table: str, workers: int) -> Any:
    """Return the lines of a job, composed by processes that load a checkpoint."""
    composer: Any = SimpleNamespace(folder=checkpoint, engine=SimpleNamespace(name="auto"))
    job = job_of(table)
    how: dict[str, Any] = {"store": begun(folder, job), "output": Output(), "workers": workers}
    return compose_in_processes(composer, job.batches([True] * job.n_batches), **how)


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
    wanted = list(
        compose_batches(
            tiny_composer, job.batches([True] * job.n_batches), store=alone, output=Output()
        )
    )
    found = list[Line]()
    for line in compose_in_processes(
        tiny_composer, job.batches([True] * job.n_batches), store=store, output=Output(), workers=2
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


def fake_pool(dies_at: int, *, silently: bool) -> Any:
    """Return what stands for processes that die at some call."""
    calls = itertools.count(1)

    def submit(_: Any, batch: Batch, *more: Any) -> Future[list[Line]]:
        future = Future[list[Line]]()
        if next(calls) < dies_at:
            future.set_result([{"batch": batch.index}])
        elif silently:
            future.set_exception(BrokenProcessPool())
        else:
            raise BrokenProcessPool
        return future

    return SimpleNamespace(submit=submit, shutdown=lambda **_: None, _processes={})


@pytest.mark.parametrize("silently", [False, True])
@pytest.mark.parametrize("dies_at", [2, 3, 5])
def test_a_batch_that_dying_processes_did_not_take_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int, silently: bool
) -> None:
    lives = iter([dies_at, dies_at, 100])
    make = partial(fake_pool, silently=silently)
    monkeypatch.setattr(executors, "ProcessPoolExecutor", lambda *_, **__: make(next(lives)))
    found = in_processes(tmp_path, tmp_path, "emotion,count\njoy,150\n", 2)
    assert {line["batch"] for line in found} == set(range(10))


def test_what_kills_all_processes_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = partial(ProcessPoolExecutor, mp_context=multiprocessing.get_context("spawn"),
                    initializer=os._exit, initargs=(1,))  # fmt: skip
    made = Mock(side_effect=lambda workers, **_: dying(workers))
    monkeypatch.setattr(executors, "ProcessPoolExecutor", made)
    with pytest.raises(WorkerError, match="died 3 times while they composed clips 0 to 15: "):
        list(in_processes(tmp_path, tmp_path, "emotion,count\njoy,20\n", 1))
    assert are_gone() and made.call_count == 3


def test_processes_end_where_nobody_takes_their_clips(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    table = "emotion,bars,count\njoy,1,80\n"
    lines = in_processes(tiny_checkpoint, tmp_path, table, 1)
    next(lines)
    lines.close()
    assert are_gone() and 1 <= len(Store(tmp_path, Shard()).done()) <= 5
    lines = in_processes(tiny_checkpoint, tmp_path, table, 1)
    (tmp_path / "clip_00079.mid").mkdir()
    with pytest.raises(OutputError, match=r"cannot write into .*: Is a directory"):
        list(lines)
