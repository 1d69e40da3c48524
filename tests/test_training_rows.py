from __future__ import annotations

import zipfile
from dataclasses import fields, replace
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
    refused(path, "its format is not emomusic-rows-2")
    np.savez(path, ids=np.zeros(3))
    refused(path)
    np.savez(path, meta=np.frombuffer(b'{"format": "emomusic-rows-2"}', np.uint8))
    refused(path)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, meta=np.array([{"format": "emomusic-rows-2"}], dtype=object))
    refused(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"note_part": np.zeros(3, np.uint8)}, "note_part must be"),
        ({"bar_form": np.full(96, 11, np.int8)}, "bar_form points outside of 0 to 10"),
        ({"bar_chords": np.full((96, 2), 109, np.int16)}, "bar_chords points outside of -1 to 108"),
        ({"bar_chords": np.zeros((96, 3), np.int16)}, "bar_chords must have 2 columns"),
        ({"bar_compound": np.zeros(5, np.bool_)}, "bar_compound must be 96 long, is 5"),
        ({"song_has_durations": np.zeros(0, np.bool_)}, "song_has_durations must be 12 long"),
    ],
)
def test_what_does_not_fit_the_music_is_refused(
    tmp_path: Path, change: dict[str, np.ndarray], words: str
) -> None:
    replace(make_rows(), **change).save(tmp_path / "rows.npz")
    refused(tmp_path / "rows.npz", words)
