from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_rows

from emomusic.training.rows import FORMAT, Rows


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
    assert loaded.meta == rows.meta and loaded.digest() == rows.digest()
    assert loaded.digest() != make_rows(seed=1).digest()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]


def refused(path: Path, words: str = "") -> None:
    with pytest.raises(ValueError, match=rf"cannot read packed rows from .*{words}") as caught:
        Rows.load(path)
    assert "\n" not in str(caught.value)


def whole(path: Path) -> bytes:
    make_rows().save(path)
    return path.read_bytes()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"not rows", b"\x80\x04\x95pickle", "cut"])
def test_a_missing_truncated_or_foreign_file_is_refused(tmp_path: Path, data: bytes | str) -> None:
    path = tmp_path / "rows.npz"
    refused(path, "No such file")
    path.write_bytes(whole(path)[:-200] if isinstance(data, str) else data)
    refused(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"meta": np.frombuffer(b'{"format": "other"}', np.uint8)}, "its format is not emomusic-"),
        ({"meta": np.frombuffer(b'{"format": "emomusic-rows-2"}', np.uint8)}, ""),
        ({"meta": np.array([{"format": "emomusic-rows-2"}], dtype=object)}, ""),  # a pickle
        ({"ids": np.zeros(3)}, ""),
    ],
)
def test_another_format_is_refused(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "rows.npz", **arrays)
    refused(tmp_path / "rows.npz", words)


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


QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
FEW = make_rows(n_songs=3, n_bars=2)
ARRAYS = [field.name for field in fields(Rows) if field.name != "meta"]
DTYPES = ("<u2", "<i8", "<f4", "<f8", "|b1", "|O")
SHAPES = ((0,), (1,), (3,), (10**12,), (3, 1), (-1,))


def packed(name: str, head: dict[str, Any], body: bytes) -> io.BytesIO:
    """Return packed rows in which one array has another head and other bytes."""
    whole, changed = io.BytesIO(), io.BytesIO()
    meta = np.frombuffer(json.dumps({"format": FORMAT, **FEW.meta}).encode(), np.uint8)
    np.savez(whole, meta=meta, **{own: getattr(FEW, own) for own in ARRAYS})
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(changed, "w") as after:
        for member in before.namelist():
            with after.open(member, "w") as file:
                if member == f"{name}.npy":
                    np.lib.format.write_array_header_1_0(file, head)
                    file.write(body)
                else:
                    file.write(before.read(member))
    return changed


@QUIETLY
@given(
    st.sampled_from([*ARRAYS, "meta"]), st.sampled_from(DTYPES), st.sampled_from(SHAPES),
    st.binary(max_size=40),
)  # fmt: skip
def test_packed_rows_with_a_strange_array_are_rows_or_refused(
    name: str, dtype: str, shape: tuple[int, ...], body: bytes
) -> None:
    head = {"descr": dtype, "fortran_order": False, "shape": shape}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        path.write_bytes(packed(name, head, body).getvalue())
        try:
            rows = Rows.load(path)
        except ValueError as error:
            assert str(error).startswith("cannot read packed rows from")
            assert "\n" not in str(error)
        else:
            assert getattr(rows, name).shape == shape
