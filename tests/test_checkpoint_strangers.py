"""Checkpoints from strangers: what they claim is checked before memory is taken for it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic import make_response, make_rows

from emomusic.compose.best_of import Realness
from emomusic.compose.directions import Response
from emomusic.compose.token_plan import read_tables
from emomusic.files import read_json
from emomusic.mapping import Mapper
from emomusic.model import checkpoint
from emomusic.model.checkpoint import CheckpointError, read_shape, read_tensors
from emomusic.music.tokenizer import Tokenizer
from emomusic.training.rows import Rows
from emomusic.verify.verifier import Verifier, VerifierError

WEIGHTS = "model-01-of-01.safetensors"


def read_weights(folder: Path) -> None:
    for _ in read_tensors(folder, *read_shape(folder)):
        pass


def read_bins(folder: Path) -> None:
    read_tables(folder / "tables.json", Tokenizer().vocabulary)


READERS: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "config.json": (read_weights, CheckpointError),
    WEIGHTS: (read_weights, CheckpointError),
    "tokenizer.json": (lambda folder: Tokenizer(folder / "tokenizer.json"), ValueError),
    "mapper.json": (Mapper.load, ValueError),
    "steering.json": (Response.load, ValueError),
    "tables.json": (read_bins, ValueError),
    "realness.json": (Realness.load, ValueError),
    "verifier.safetensors": (Verifier.load, VerifierError),
    "rows.npz": (lambda folder: Rows.load(folder / "rows.npz"), ValueError),
}


@pytest.fixture
def folder(own_checkpoint: Path) -> Path:
    """Return a whole checkpoint with all that one may have, to be damaged."""
    make_response().save(own_checkpoint)
    Realness({"on_beat": 0.5}, {"on_beat": 0.1}, {"on_beat": 1.0}, 0.0).save(own_checkpoint)
    make_rows().save(own_checkpoint / "rows.npz")
    for name, (read, _) in READERS.items():
        assert (own_checkpoint / name).is_file()
        read(own_checkpoint)
    return own_checkpoint


def refused(folder: Path, name: str, words: str | None = None) -> None:
    read, error = READERS[name]
    with pytest.raises(error, match=words) as told:
        read(folder)
    assert type(told.value) is error
    assert "\n" not in str(told.value) and len(str(told.value)) < 1_000


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_or_far_too_large_or_too_deep_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(2**36)  # sparse: takes no room on the disk
    refused(folder, name)
    for text in (b'{"a":' * 100_000, b'{"a": ' + b"9" * 5_000 + b"}"):
        is_tensors = name.endswith(".safetensors")
        path.write_bytes(len(text).to_bytes(8, "little") * is_tensors + text)
        refused(folder, name)
    path.unlink()
    os.mkfifo(path)  # would be waited for
    refused(folder, name, "plain file")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(folder, name, "plain file")
    path.unlink()
    path.write_bytes(data)
    READERS[name][0](folder)


@pytest.mark.parametrize("name", [WEIGHTS, "verifier.safetensors"])
def test_a_head_that_claims_too_many_bytes_is_not_read(folder: Path, name: str) -> None:
    path = folder / name
    body = path.read_bytes()[8:]
    for claimed in (2**20 + 1, 2**40, 2**64 - 1):
        path.write_bytes(claimed.to_bytes(8, "little") + body)
        refused(folder, name, "head")


def test_names_types_and_shapes_are_checked_before_the_weights_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "deserialize", lambda _: pytest.fail("they were read"))
    for own, words in (
        ({"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}, "has shape"),
        ({"dtype": "F32", "shape": [1] * 300, "data_offsets": [0, 4]}, "has shape"),
        ({"dtype": "F99", "shape": [64], "data_offsets": [0, 4]}, "norm holds F99"),
        ({"dtype": "F32"}, "cannot read the weights"),
        ([], "cannot read the weights"),
    ):
        head = json.dumps({"norm": own}).encode()
        data = len(head).to_bytes(8, "little") + head + bytes(64)
        (folder / WEIGHTS).write_bytes(data)
        refused(folder, WEIGHTS, words)


def changed(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")


def test_weights_named_twice_and_a_mapper_of_infinite_targets_are_refused(folder: Path) -> None:
    for names in ([WEIGHTS, WEIGHTS], [f"{i}.safetensors" for i in range(1_001)]):
        changed(folder, "config.json", weights=names)
        refused(folder, "config.json", "in at most 1000 files, each named once")
    first, *others = json.loads((folder / "mapper.json").read_text(encoding="utf-8"))["prototypes"]
    for change in (
        {"valence": 1e200}, {"arousal": -2}, {"weight": 1e308},
        {"mean": {**first["mean"], "mode": 1e300}},
        {"members": [[1e300, *first["members"][0][1:]], *first["members"][1:]]},
    ):  # fmt: skip
        changed(folder, "mapper.json", prototypes=[{**first, **change}, *others])
        refused(folder, "mapper.json")
    size = (folder / "mapper.json").stat().st_size
    assert read_json(folder / "mapper.json", max_bytes=size)["prototypes"]
    with pytest.raises(ValueError, match=f"it is too large, at most {size - 1} bytes are read"):
        read_json(folder / "mapper.json", max_bytes=size - 1)


def repack(folder: Path, ids: bytes) -> None:
    """Pack the rows anew with other ids."""
    path, made = folder / "rows.npz", io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as after:
        for member in before.namelist():
            after.writestr(member, ids if member == "ids.npy" else before.read(member))
    path.write_bytes(made.getvalue())


def header(text: str) -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode()


def array_of(shape: str, kind: str = "<u2", body: bytes = b"") -> bytes:
    return header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n") + body


def test_packed_rows_with_a_strange_array_or_a_bomb_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data, words in (
        (array_of("(1000000000000,)"), "ids claims 2000000000000 bytes"),
        (array_of("(3, 3)", body=bytes(18)), "ids must be"),
        (array_of("(2,)", "|O", bytes(16)), "ids must be"),
        (header("{'descr': '<u2', \n 'fortran"), None),
        (header("\x00((((\n"), None),
        (b"\x93NUMPY\2\0" + bytes(9), "version"),
        (b"not an array", None),
    ):
        repack(folder, data)
        refused(folder, "rows.npz", words)
    monkeypatch.setattr("emomusic.training.rows.MAX_BYTES", 2**20)
    repack(folder, array_of(f"({2**20},)", body=bytes(2**21)))
    assert (folder / "rows.npz").stat().st_size < 2**18
    refused(folder, "rows.npz", "at most 1048576 are read")
    monkeypatch.undo()
    for name in ("bar_start", "clip_bar", "clip_n_bars", "clip_song"):
        rows = make_rows()
        getattr(rows, name)[-1] = 10_000
        rows.save(folder / "rows.npz")
        refused(folder, "rows.npz", f"{name} points outside")
