"""What holds of all shapes, configs and packed rows, tried on drawn ones."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_rows

from emomusic.model.engines.grammar import Grammar, Kind
from emomusic.model.shape import MAX_PARAMETERS, ModelConfig
from emomusic.model.weights import FORMAT, CheckpointError, read_shape, tensor_shapes
from emomusic.training.rows import Rows

QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
NAMES = [field.name for field in fields(ModelConfig)]
VALUES = st.one_of(
    st.sampled_from((1, 2, 4, 8, 64, 128, 512, 10**6, 10**9, 0, -1)),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)


@QUIETLY
@given(st.dictionaries(st.sampled_from([*NAMES, "colour"]), VALUES))
def test_a_config_is_a_model_within_bounds_or_refused(values: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        config = {"format": FORMAT, "model": {"vocab_size": 64} | values, "weights": []}
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        try:
            shape, names = read_shape(Path(folder))
        except CheckpointError as error:
            assert "\n" not in str(error)
            return
        assert names == [] and ModelConfig.from_dict(asdict(shape)) == shape
        n_numbers = sum(int(np.prod(own)) for own in tensor_shapes(shape).values())
        assert n_numbers == shape.n_parameters <= MAX_PARAMETERS


@QUIETLY
@given(
    st.integers(0, 100),
    st.lists(st.builds(Kind, st.integers(-2, 99), st.integers(0, 40), st.integers(-1, 3)),
             max_size=4),
    st.lists(st.lists(st.integers(-1, 5), max_size=3), max_size=4),
)  # fmt: skip
def test_a_grammar_fits_together_or_is_refused(
    vocab_size: int, kinds: list[Kind], states: list[list[int]]
) -> None:
    try:
        grammar = Grammar(vocab_size, tuple(kinds), tuple(map(tuple, states)))
    except ValueError:
        return
    assert len(grammar.kind_of) == vocab_size
    assert all(0 <= kind < len(kinds) for state in grammar.states for kind in state)


ROWS = make_rows(n_songs=3, n_bars=2)
ARRAYS = [field.name for field in fields(Rows) if field.name != "meta"]
DTYPES = ("<u2", "<i8", "<f4", "<f8", "|b1", "|O")
SHAPES = ((0,), (1,), (3,), (10**12,), (3, 1), (-1,))


def packed(name: str, head: dict[str, Any], body: bytes) -> io.BytesIO:
    """Return packed rows in which one array has another head and other bytes."""
    whole, changed = io.BytesIO(), io.BytesIO()
    meta = np.frombuffer(json.dumps({"format": "emomusic-rows-1", **ROWS.meta}).encode(), np.uint8)
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
