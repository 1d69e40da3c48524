from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_rows

from emomusic.training.rows import Rows


def test_rows_survive_saving(tmp_path: Path) -> None:
    rows = make_rows()
    rows.save(tmp_path / "rows.npz")
    loaded = Rows.load(tmp_path / "rows.npz")
    for field in fields(Rows):
        if field.name == "meta":
            continue
        before, after = getattr(rows, field.name), getattr(loaded, field.name)
        np.testing.assert_array_equal(after, before)
        assert after.dtype == before.dtype
    assert loaded.meta == rows.meta
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]


def sums(path: Path) -> dict[str, int]:
    with zipfile.ZipFile(path) as file:
        return {entry.filename: entry.CRC for entry in file.infolist()}


def test_same_rows_give_the_same_arrays_in_the_file(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        make_rows().save(tmp_path / name)
    assert sums(tmp_path / "a.npz") == sums(tmp_path / "b.npz")


def refused(path: Path, words: str = "") -> None:
    with pytest.raises(ValueError, match=rf"cannot read packed rows from .*{words}") as caught:
        Rows.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "rows.npz", "No such file")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not rows", b"\x80\x04\x95pickle"])
def test_foreign_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "rows.npz").write_bytes(data)
    refused(tmp_path / "rows.npz")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    make_rows().save(path)
    path.write_bytes(path.read_bytes()[:-200])
    refused(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, meta=np.frombuffer(b'{"format": "other"}', np.uint8))
    refused(path, "its format is not emomusic-rows-1")
    np.savez(path, ids=np.zeros(3))
    refused(path)
    np.savez(path, meta=np.frombuffer(b'{"format": "emomusic-rows-1"}', np.uint8))
    refused(path)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, meta=np.array([{"format": "emomusic-rows-1"}], dtype=object))
    refused(path)
