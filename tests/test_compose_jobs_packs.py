from __future__ import annotations

import builtins
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from job_cases import order

from emomusic.compose.composer import Composer
from emomusic.compose.jobs.keeping.packs import (
    GROUP,
    PACKERS,
    PackError,
    check_pack,
    pack_name,
    write_parquet,
    write_tar,
)
from emomusic.compose.output import line_of, stem_of, write_files

Kept = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def kept(tiny_composer: Composer, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """Return a folder with clips in two formats, and their lines; the second asks for nothing."""
    folder = tmp_path_factory.mktemp("clips")
    orders = [order(0), order(1, emotion=None, free=True), order(2, bars=2)]
    lines = []
    for number, clip in enumerate(tiny_composer.compose_all(own.settings for own in orders)):
        line = line_of(clip, stem_of(number), ("mid", "json"))
        write_files(clip, folder, stem_of(number), ("mid", "json"))
        lines.append(line | ({"row": 7, "id": "ä"} if number == 2 else {}))
    return folder, lines


def test_packs_are_named_by_their_block() -> None:
    assert pack_name(7, "tar") == "pack_00007.tar" and set(PACKERS) == {"tar", "parquet"}


def test_a_tar_file_holds_the_files_in_order(tmp_path: Path, kept: Kept) -> None:
    folder, lines = kept
    write_tar(tmp_path / "a.tar", lines, folder)
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert archive.getnames() == [name for line in lines for name in line["files"]]
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None and file.read() == (folder / member.name).read_bytes()


def test_a_parquet_file_holds_a_row_for_each_clip(tmp_path: Path, kept: Kept) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, lines = kept
    write_parquet(tmp_path / "a.parquet", lines, folder)
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    for line, row in zip(lines, rows, strict=True):
        assert json.loads(row["card"]) == json.loads(json.dumps(line))
        assert [row["mid"], row["json"]] == [(folder / n).read_bytes() for n in line["files"]]
        assert row["heard"] == line["verdict"]["quadrant"]
        for name in ("file", "seed", "index", "emotion", "valence", "bars", "tempo", "key"):
            assert row[name] == line[name]
    assert [(row["row"], row["id"]) for row in rows] == [(None, None), (None, None), (7, "ä")]
    assert rows[1]["emotion"] is rows[1]["valence"] is None


def test_a_parquet_file_is_written_by_groups(tmp_path: Path, kept: Kept) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    folder, lines = kept
    many = [lines[at % len(lines)] for at in range(2 * GROUP + 1)]
    write_parquet(tmp_path / "a.parquet", many, folder)
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 3
    files = parquet.read_table(tmp_path / "a.parquet").column("file").to_pylist()
    assert files == [line["file"] for line in many]


@pytest.mark.parametrize("pack", ["tar", "parquet"])
def test_the_same_clips_give_the_same_bytes(tmp_path: Path, kept: Kept, pack: str) -> None:
    pytest.importorskip("pyarrow")
    folder, lines = kept
    PACKERS[pack](tmp_path / "a", lines, folder)
    for path in folder.iterdir():
        os.utime(path, (1, 1))
        path.chmod(0o600)
    PACKERS[pack](tmp_path / "b", lines, folder)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_its_library_a_pack_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *arguments)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    check_pack("files")
    check_pack("tar")
    with pytest.raises(PackError, match=r"pip install 'emomusic\[parquet\]', or take tar"):
        check_pack("parquet")
