from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_rows

from emomusic.training.rows import FORMAT, Rows


def test_rows_survive_saving(tmp_path: Path) -> None:
    rows = make_rows()
    rows.save(tmp_path / "rows.npz")
    loaded = Rows.load(tmp_path / "rows.npz")
    for name, before in vars(rows).items():
        np.testing.assert_array_equal(getattr(loaded, name), before)
        assert name == "meta" or getattr(loaded, name).dtype == before.dtype
    assert loaded.digest() == rows.digest() != make_rows(seed=1).digest()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]


def refused(path: Path, words: str = "") -> None:
    with pytest.raises(ValueError, match=rf"cannot read packed rows from .*{words}") as caught:
        Rows.load(path)
    assert "\n" not in str(caught.value)


def as_bytes(**meta: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(meta).encode(), np.uint8)


def test_a_missing_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    refused(path, "No such file")
    make_rows().save(path)
    whole = path.read_bytes()
    for data in (b"", b"PK\x03\x04", b"not rows", b"\x80\x04\x95pickle", whole[:-200]):
        path.write_bytes(data)
        refused(path)
    for arrays, words in (
        ({"meta": as_bytes(format="other")}, "its format is not emomusic-"),
        ({"meta": as_bytes(format=FORMAT)}, ""),
        ({"meta": np.array([{"format": FORMAT}], dtype=object)}, ""),  # a pickle
        ({"ids": np.zeros(3)}, "ids must be .'uint16', 1., got float64"),
        ({"other": np.zeros(3)}, "it holds 'other'"),
    ):
        np.savez(path, **arrays)
        refused(path, words)
    path.unlink()
    path.mkdir()
    refused(path, "it is no plain file")


def test_what_does_not_fit_the_music_is_refused(tmp_path: Path) -> None:
    rows, path = make_rows(), tmp_path / "rows.npz"
    for name, value, words in (
        ("note_part", np.zeros(3, np.uint8), "note_part must be"),
        ("bar_form", np.full(96, 11, np.int8), "bar_form points outside of 0 to 10"),
        ("bar_chords", np.full((96, 2), 109, np.int16), "bar_chords points outside of -1 to 108"),
        ("bar_chords", np.zeros((96, 3), np.int16), "bar_chords must have 2 columns"),
        ("bar_compound", np.zeros(5, np.bool_), "bar_compound must be 96 long, is 5"),
        ("song_has_durations", np.zeros(0, np.bool_), "song_has_durations must be 12 long"),
        ("clip_song", np.full(24, 12, np.int32), "clip_song points outside of 0 to 11"),
        ("clip_n_bars", np.full(24, 90, np.int16), "clip_n_bars points outside of 0 to 96"),
        ("clip_n_bars", np.full(24, -1, np.int16), "clip_n_bars points|fewer than 0 bars"),
        ("bar_start", rows.bar_start[::-1], "bar_start falls"),
    ):
        replace(rows, **{name: value}).save(path)
        refused(path, words)
