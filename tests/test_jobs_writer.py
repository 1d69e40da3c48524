from __future__ import annotations

import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from helpers.jobs import item, tree

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.export import OutputError, write_files
from emomusic.compose.jobs import storage
from emomusic.compose.jobs.job import Item, ItemResult, Output
from emomusic.compose.jobs.storage import PARTIAL, BatchWriter, Shard, Store


@pytest.fixture(scope="module")
def results(tiny_composer: Composer) -> list[ItemResult]:
    """Return clips of which the second asks for no emotion, and one that could not be composed."""
    asked = [item(0), item(1, emotion=None, free=True), item(2, bars=2)]
    asked[2] = Item(2, asked[2].settings, 5, "ä")
    clips = tiny_composer.compose_all(own.settings for own in asked)
    made = [ItemResult(own, clip) for own, clip in zip(asked, clips, strict=True)]
    return [*made, ItemResult(item(3), None, "too  hard\nfor\tit")]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, Shard())
    store.state.mkdir()
    store.begin({}, resume=False)
    return store


def written(store: Store, results: list[ItemResult], **output: Any) -> list[dict[str, Any]]:
    with BatchWriter(store, 0, Output(("mid", "json"), **output)) as writer:
        return [writer.write(result) for result in results]


def lines_of(store: Store, *suffix: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in store.lines_path(0, *suffix).open()]


def music(folder: Path) -> set[str]:
    return {name for name in tree(folder) if not name.startswith(".emomusic")}


def test_clips_are_there_before_their_batch_is_done(
    store: Store, results: list[ItemResult], tiny_composer: Composer
) -> None:
    with BatchWriter(store, 0, Output(explained=True)) as writer:
        lines = [writer.write(own, explain_by=tiny_composer.verifier) for own in results]
        assert music(store.folder) == {"clip_00000.mid", "clip_00001.mid", "clip_00002.mid"}
        assert store.done() == set()
    assert store.done() == {0} and lines_of(store) == json.loads(json.dumps(lines))
    assert not list(store.doing_dir.iterdir())
    assert (lines[2]["file"], lines[2]["row"], lines[2]["id"]) == ("clip_00002.mid", 5, "ä")
    clip = results[2].clip
    assert clip is not None and clip.card().items() <= lines[2].items()
    assert {"explanation", "course"} <= set(lines[0])
    assert lines[3] == {"number": 3, "seed": 3, "index": 0, "reason": "too hard for it"}


def test_what_is_whole_of_a_batch_is_noted_where_it_is_left(
    store: Store, results: list[ItemResult]
) -> None:
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, 0, Output()) as writer:
        writer.write(results[0])
        raise KeyboardInterrupt
    assert store.done() == set() and len(lines_of(store, PARTIAL)) == 1
    assert not list(store.doing_dir.iterdir())
    written(store, results)
    assert len(lines_of(store)) == 4 and not store.lines_path(0, PARTIAL).exists()


@pytest.mark.parametrize("pack", ["tar", "parquet"])
def test_a_pack_is_there_whole_or_not_at_all_and_always_the_same(
    store: Store, results: list[ItemResult], pack: str
) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(KeyboardInterrupt), BatchWriter(store, 0, Output(pack=pack)) as writer:
        writer.write(results[0])
        raise KeyboardInterrupt
    assert music(store.folder) == set() and not list(store.done_dir.iterdir())
    written(store, results[3:], pack=pack)
    assert music(store.folder) == set() and store.done() == {0}
    lines = written(store, results, pack=pack)
    assert music(store.folder) == {f"pack_00000.{pack}"}
    assert {line["pack"] for line in lines[:3]} == {f"pack_00000.{pack}"}
    before = (store.folder / f"pack_00000.{pack}").read_bytes()
    mask = os.umask(0o077)
    written(store, results, pack=pack)
    os.umask(mask)
    assert (store.folder / f"pack_00000.{pack}").read_bytes() == before


def test_files_in_a_pack_are_those_of_the_folder_in_order(
    store: Store, results: list[ItemResult]
) -> None:
    lines = written(store, results)
    written(store, results, pack="tar")
    with tarfile.open(store.folder / "pack_00000.tar") as archive:
        assert archive.getnames() == [name for line in lines[:3] for name in line["files"]]
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None and file.read() == (store.folder / member.name).read_bytes()


def test_a_parquet_file_holds_a_row_for_each_clip_in_groups(
    store: Store, results: list[ItemResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(storage, "ROW_GROUP", 2)
    files = written(store, results)
    lines = written(store, results, pack="parquet")
    path = store.folder / "pack_00000.parquet"
    assert parquet.ParquetFile(path).num_row_groups == 2
    rows = parquet.read_table(path).to_pylist()
    for line, row, kept in zip(lines[:3], rows, files, strict=False):
        assert json.loads(row["card"]) == json.loads(json.dumps(line))
        expected = [(store.folder / name).read_bytes() for name in kept["files"]]
        assert [row["mid"], row["json"]] == expected
        assert row["heard"] == line["verdict"]["quadrant"]
        for name in ("file", "seed", "index", "emotion", "valence", "bars", "tempo", "key"):
            assert row[name] == line[name]
    assert [(row["row"], row["id"]) for row in rows] == [(None, None), (None, None), (5, "ä")]
    assert rows[1]["emotion"] is rows[1]["valence"] is None


def test_a_pack_that_cannot_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="pack must be one of files, tar, parquet, got 'zip'"):
        Output(pack="zip")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    Output(pack="tar")
    with pytest.raises(ValueError, match=r"pip install 'emomusic\[parquet\]', or take tar"):
        Output(pack="parquet")


def test_a_clip_whose_files_cannot_be_made_fails_alone(
    store: Store, results: list[ItemResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(clip: Clip, *arguments: Any) -> None:
        if clip is results[1].clip:
            raise ValueError("too long for notation")
        write_files(clip, *arguments)

    monkeypatch.setattr(storage, "write_files", write)
    lines = written(store, results)
    assert lines[1] == {"number": 1, "seed": 1, "index": 0, "reason": "too long for notation"}
    assert len(music(store.folder)) == 4 and store.done() == {0}


def test_a_full_disk_is_one_sentence_and_the_batch_is_done_again(
    store: Store, results: list[ItemResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "write_files", full)
    with pytest.raises(OutputError) as error:
        written(store, results)
    assert str(error.value) == f"cannot write into {store.folder}: No space left on device"
    assert store.done() == set()
