from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from job_cases import line_of, order, tree

from emomusic.compose import output as output_module
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.jobs.job import Order, Output
from emomusic.compose.jobs.keeping import writer as writer_module
from emomusic.compose.jobs.keeping.store import HALF, Shard, Store
from emomusic.compose.jobs.keeping.writer import BlockWriter
from emomusic.compose.output import OutputError


@pytest.fixture(scope="module")
def clips(tiny_composer: Composer) -> list[Clip]:
    return list(tiny_composer.compose_all(order(number).settings for number in range(3)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path, Shard())
    store.state.mkdir()
    store.begin({}, resume=False)
    return store


def lines_of(store: Store, *suffix: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in store.lines_path(0, *suffix).open()]


def music(folder: Path) -> set[str]:
    return {name for name in tree(folder) if not name.startswith(".emomusic")}


def test_clips_are_there_before_their_block_is_done(store: Store, clips: list[Clip]) -> None:
    with BlockWriter(store, 0, Output()) as writer:
        lines = [writer.write(Order(n, order(n).settings, 5, "a"), c) for n, c in enumerate(clips)]
        assert music(store.folder) == {"clip_00000.mid", "clip_00001.mid", "clip_00002.mid"}
        assert store.done() == set()
    assert store.done() == {0} and lines_of(store) == json.loads(json.dumps(lines))
    assert not list(store.doing.iterdir())
    assert (lines[2]["file"], lines[2]["row"], lines[2]["id"]) == ("clip_00002.mid", 5, "a")
    assert {k: v for k, v in lines[2].items() if k in clips[2].card()} == clips[2].card()


def test_the_same_is_kept_of_what_was_composed_elsewhere(
    tmp_path: Path, store: Store, clips: list[Clip]
) -> None:
    output = Output(("mid", "json"))
    with BlockWriter(store, 0, output) as writer:
        line = writer.write(order(0), clips[0])
        failed = writer.fail(order(1), "too  hard\nfor\tit")
    files = {name: (store.folder / name).read_bytes() for name in line["files"]}
    other = Store(tmp_path / "other", Shard())
    other.state.mkdir(parents=True)
    other.begin({}, resume=False)
    with BlockWriter(other, 0, output) as writer:
        assert writer.take(line, files) == line and writer.take(failed, {}) == failed
    assert tree(other.folder) == {
        name: data for name, data in tree(store.folder).items() if not name.startswith("other")
    }
    assert failed == {"number": 1, "seed": 1, "index": 0, "reason": "too hard for it"}


def test_what_is_whole_of_a_block_is_noted_where_it_is_left(
    store: Store, clips: list[Clip]
) -> None:
    with pytest.raises(KeyboardInterrupt), BlockWriter(store, 0, Output()) as writer:
        writer.write(order(0), clips[0])
        raise KeyboardInterrupt
    assert store.done() == set() and len(lines_of(store, HALF)) == 1
    assert not list(store.doing.iterdir())
    with BlockWriter(store, 0, Output()) as writer:
        for number, clip in enumerate(clips):
            writer.write(order(number), clip)
    assert len(lines_of(store)) == 3 and not store.lines_path(0, HALF).exists()


@pytest.mark.parametrize("pack", ["tar", "parquet"])
def test_a_pack_is_there_whole_or_not_at_all(store: Store, clips: list[Clip], pack: str) -> None:
    with pytest.raises(KeyboardInterrupt), BlockWriter(store, 0, Output(pack=pack)) as writer:
        writer.write(order(0), clips[0])
        raise KeyboardInterrupt
    assert music(store.folder) == set() and not list(store.blocks.iterdir())
    with BlockWriter(store, 0, Output(pack=pack)) as writer:
        line = writer.write(order(0), clips[0])
        writer.fail(order(1), "no")
        assert music(store.folder) == set()
    assert music(store.folder) == {f"pack_00000.{pack}"} and line["pack"] == f"pack_00000.{pack}"


def test_a_block_without_clips_has_no_pack(store: Store) -> None:
    with BlockWriter(store, 0, Output(pack="tar")) as writer:
        writer.fail(order(0), "no")
    assert music(store.folder) == set() and store.done() == {0}


def test_a_clip_whose_files_cannot_be_made_fails_alone(
    store: Store, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_files(clip: Clip, *arguments: Any) -> None:
        if clip is clips[1]:
            raise ValueError("too long for notation")
        written(clip, *arguments)

    written = output_module.write_files
    monkeypatch.setattr(writer_module, "write_files", write_files)
    with BlockWriter(store, 0, Output()) as writer:
        lines = [writer.write(order(n), clip) for n, clip in enumerate(clips)]
    assert lines[1] == {"number": 1, "seed": 1, "index": 0, "reason": "too long for notation"}
    assert music(store.folder) == {"clip_00000.mid", "clip_00002.mid"} and store.done() == {0}


def test_a_full_disk_is_one_sentence_and_the_block_is_done_again(
    store: Store, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer_module, "write_files", full)
    wanted = f"cannot write into {store.folder}: No space left on device"
    with pytest.raises(OutputError) as error, BlockWriter(store, 0, Output()) as writer:
        writer.write(order(0), clips[0])
    assert str(error.value) == wanted and store.done() == set()


def test_cards_tell_what_moved_the_verdict_where_that_is_asked_for(
    store: Store, clips: list[Clip], tiny_composer: Composer
) -> None:
    with BlockWriter(store, 0, Output(explained=True)) as writer:
        line = writer.write(order(0), clips[0], explain_by=tiny_composer.verifier)
    assert {"explanation", "course"} <= set(line)


def test_files_in_a_pack_are_those_of_the_folder(
    tmp_path: Path, store: Store, clips: list[Clip]
) -> None:
    for pack in ("files", "tar"):
        with BlockWriter(store, 0, Output(("mid", "json"), pack=pack)) as writer:
            for number, clip in enumerate(clips):
                writer.write(order(number), clip)
    with tarfile.open(store.folder / "pack_00000.tar") as archive:
        packed = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    assert packed == {n: (store.folder / n).read_bytes() for n in packed} and len(packed) == 6


def test_what_comes_from_elsewhere_stays_in_the_folder(store: Store) -> None:
    with BlockWriter(store, 0, Output()) as writer, pytest.raises(OutputError, match="plain"):
        writer.take(line_of(0), {"../../escaped.mid": b"music"})
    assert not any(path.name == "escaped.mid" for path in store.folder.parent.rglob("*"))
