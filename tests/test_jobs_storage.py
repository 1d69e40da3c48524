from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.jobs import tree

from emomusic.compose.export import MANIFEST_NAME, OutputError
from emomusic.compose.jobs.storage import DONE, PARTIAL, Shard, Store, parse_shard

IDENTITY = {"format": "emomusic job 1", "clips": 40, "settings": "a" * 64}


def begun(folder: Path, part: str = "0/1", *, resume: bool = True, **more: object) -> Store:
    store = Store(folder, parse_shard(part))
    with store.locked():
        store.begin({**IDENTITY, **more}, resume=resume)
    return store


def done(store: Store, *blocks: int, suffix: str = DONE) -> None:
    for block in blocks:
        store.lines_path(block, suffix).write_text(f"{block}\n")


def whole(store: Store) -> None:
    (store.folder / MANIFEST_NAME).write_text("{}\n")
    store.clean_up()


@pytest.mark.parametrize(
    "text", ["", "1", "0/0", "1/1", "-1/2", "0/2/3", "a/b", "1/", "/2", "²/3", "0/" + "9" * 30]
)
def test_a_shard_is_a_number_of_a_count(text: str) -> None:
    with pytest.raises(ValueError, match="shard must be I/K"):
        parse_shard(text)


def test_shards_share_all_blocks_and_no_block_twice() -> None:
    assert parse_shard("2/5") == Shard(2, 5) and parse_shard(" 2 / 5 ") == Shard(2, 5)
    for block in range(20):
        assert sum(Shard(index, 3).has(block) for index in range(3)) == 1


def test_what_is_done_is_not_chosen_again(tmp_path: Path) -> None:
    store = begun(tmp_path)
    assert store.missing(4) == [True] * 4
    done(store, 1)
    done(store, 2, suffix=PARTIAL)
    assert store.done() == {1}
    assert begun(tmp_path).missing(4) == [True, False, True, True]
    assert begun(tmp_path, "1/2").missing(4) == [False, False, False, True]


def test_without_resume_a_part_begins_anew_and_leaves_the_others(tmp_path: Path) -> None:
    begun(tmp_path, "0/2")
    store = begun(tmp_path, "1/2")
    done(store, 0, 1, 2, 3)
    done(store, 5, suffix=PARTIAL)
    assert begun(tmp_path, "1/2", resume=False).done() == {0, 2}
    assert not store.lines_path(5, PARTIAL).exists()


def test_another_job_is_not_gone_on_with(tmp_path: Path) -> None:
    store = begun(tmp_path)
    done(store, 0)
    with pytest.raises(OutputError) as error:
        begun(tmp_path, clips=50)
    assert "holds another job (clips 40 and not 50): take another folder" in str(error.value)
    with pytest.raises(OutputError, match=r"holds another job \(other settings\)"):
        begun(tmp_path, settings="b" * 64)
    assert begun(tmp_path).done() == {0}
    assert begun(tmp_path, resume=False, clips=50).done() == set()
    assert begun(tmp_path, clips=50).missing(1) == [True]


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\0"])
def test_a_damaged_note_of_the_job_begins_it_anew(tmp_path: Path, text: str) -> None:
    store = begun(tmp_path)
    done(store, 0)
    (store.state / "job.json").write_text(text)
    assert begun(tmp_path).done() == set()


def test_what_is_complete_is_done_once(tmp_path: Path) -> None:
    store = begun(tmp_path)
    done(store, 0)
    whole(store)
    left = tree(tmp_path)
    assert set(left) == {".emomusic/job.json", MANIFEST_NAME}
    assert begun(tmp_path).missing(3) == [False] * 3
    begun(tmp_path).clean_up()
    assert tree(tmp_path) == left
    (tmp_path / MANIFEST_NAME).unlink()
    assert begun(tmp_path).missing(3) == [True] * 3


def test_a_job_whose_blocks_go_for_another_one_does_not_seem_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = begun(tmp_path)
    done(store, 0)
    (tmp_path / MANIFEST_NAME).write_text("{}\n")

    def killed(path: Path, **_: object) -> None:
        if path.name == "blocks":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", killed)
        with pytest.raises(KeyboardInterrupt):
            begun(tmp_path, resume=False, clips=50)
    assert not store.done_dir.exists()
    assert begun(tmp_path).missing(2) == [True, True]


def test_what_was_being_written_is_cleared(tmp_path: Path) -> None:
    store = begun(tmp_path)
    first, second = store.staging_dir(3), store.staging_dir(3)
    (first / "clip.mid").write_text("half")
    assert first != second
    assert begun(tmp_path).done() == set() and not first.exists()
    other = begun(tmp_path, "1/2").staging_dir(1)
    begun(tmp_path, "0/2")
    assert other.exists()


def test_one_process_does_a_part(tmp_path: Path) -> None:
    store = Store(tmp_path, Shard())
    with store.locked():
        with pytest.raises(OutputError, match="another process composes this part of a job into"):
            begun(tmp_path)
        begun(tmp_path, "1/2")
    begun(tmp_path)


def test_trouble_with_files_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write into .*file: Not a directory"):
        begun(tmp_path / "file")


def test_a_folder_without_locks_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_: object) -> None:
        raise OSError(os.strerror(38))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert begun(tmp_path).missing(1) == [True]
