"""Packed rows of which one array is strange, tried on drawn ones."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_rows

from emomusic.training.rows import FORMAT, Rows

QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
ROWS = make_rows(n_songs=3, n_bars=2)
ARRAYS = [field.name for field in fields(Rows) if field.name != "meta"]
DTYPES = ("<u2", "<i8", "<f4", "<f8", "|b1", "|O")
SHAPES = ((0,), (1,), (3,), (10**12,), (3, 1), (-1,))


def packed(name: str, head: dict[str, Any], body: bytes) -> io.BytesIO:
    """Return packed rows in which one array has another head and other bytes."""
    whole, changed = io.BytesIO(), io.BytesIO()
    meta = np.frombuffer(json.dumps({"format": FORMAT, **ROWS.meta}).encode(), np.uint8)
    np.savez(whole, meta=meta, **{own: getattr(ROWS, own) for own in ARRAYS})
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
