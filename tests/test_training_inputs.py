"""What a run is given: packed rows and settings. What is damaged or wrong is refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import make_rows

from emomusic.training.batches import Augmentation
from emomusic.training.config import TrainConfig, make_config
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
        ({"other": np.zeros(3)}, "it holds 'other'"),
    ):
        np.savez(path, **arrays)
        refused(path, words)


def test_what_does_not_fit_the_music_is_refused(tmp_path: Path) -> None:
    rows, path = make_rows(), tmp_path / "rows.npz"
    for name, value, words in (
        ("note_part", np.zeros(3, np.uint8), "note_part must be"),
        ("bar_form", np.full(96, 11, np.int8), "bar_form points outside of 0 to 10"),
        ("bar_chords", np.full((96, 2), 109, np.int16), "bar_chords points outside of -1 to 108"),
        ("bar_chords", np.zeros((96, 3), np.int16), "bar_chords must have 2 columns"),
        ("bar_compound", np.zeros(5, np.bool_), "bar_compound must be 96 long, is 5"),
        ("song_has_durations", np.zeros(0, np.bool_), "song_has_durations must be 12 long"),
        ("clip_n_bars", np.full(24, -1, np.int16), "clip_n_bars points|fewer than 0 bars"),
        ("bar_start", rows.bar_start[::-1], "bar_start falls"),
    ):
        replace(rows, **{name: value}).save(path)
        refused(path, words)


def test_overrides_beat_the_file_in_toml_or_json_and_the_file_beats_defaults(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.toml"
    path.write_text('size = "tiny"\nlr = 0.5\nminutes = 3\n[augmentation]\noctave = 0.9\n')
    config = make_config(path, {"lr": 0.25, "seed": None})
    assert (config.size, config.lr, config.minutes) == ("tiny", 0.25, 3)
    assert config.seed == TrainConfig(max_steps=1).seed
    assert config.augmentation == Augmentation(octave=0.9)
    config = make_config(None, {"max_steps": 3, "source_weights": {"a": 0.5}})
    (tmp_path / "run.json").write_text(json.dumps(asdict(config)))
    path.write_text("max_steps = 3\n[source_weights]\na = 0.5\n")
    assert make_config(path, {}) == make_config(tmp_path / "run.json", {}) == config
    recipe = Path(__file__).resolve().parents[1] / "scripts" / "base.toml"
    branch = {"branch_from": "checkpoints/base", "max_steps": 400, "decay_steps": 400}
    assert make_config(recipe, branch).size == "base"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"speed": 3}, "unknown setting 'speed'; known are augmentation, .*lr"),
        ({"augmentation": {"pitch": 0.5}}, "unknown setting 'pitch' in augmentation"),
        ({"lr": "fast"}, "lr must be of type float, got 'fast'"),
        ({"lr": float("nan")}, "lr must be of type float, got nan"),
        ({"max_steps": 2.5}, "max_steps must be of type int, got 2.5"),
        ({"max_steps": True}, "max_steps must be of type int, got True"),
        ({"compile": 1}, "compile must be of type bool, got 1"),
        ({"source_weights": 2}, r"source_weights must be of type dict\[str, float\], got 2"),
        ({"source_weights": {"a": -1}}, "the weight of a must be 0 or above, got -1"),
        ({"source_weights": {"a": "b"}}, "the weight of a must be 0 or above, got 'b'"),
        ({"augmentation": [1]}, r"augmentation must be of type Augmentation, got \[1\]"),
        ({"augmentation": {"octave": "x"}}, "octave must be of type float, got 'x'"),
        ({"augmentation": {"octave": 2}}, r"octave must be in \[0, 1\], got 2"),
        ({"augmentation": {"tempo": -0.1}}, r"tempo must be in \[0, 1\], got -0.1"),
        ({"augmentation": {"keep_all": 0.95}}, "drop_all . keep_all must be at most 1, got 1.05"),
        ({"precision": "fp8"}, "precision must be auto, bf16 or fp32, got 'fp8'"),
        ({"decay_steps": 2}, "decay_steps must be at most max_steps, got 2, 1"),
        ({"max_steps": 0, "minutes": 1, "decay_steps": 2}, "decay_steps must be at most max_steps"),
        ({"dropout": 1}, "dropout must be below 1, got 1"),
        ({"init_from": "a", "branch_from": "b"}, "init_from and branch_from exclude each other"),
        ({"size": "huge"}, "size must be tiny, half, small or base, got 'huge'"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda, got 'tpu'"),
        *(({name: 0}, f"{name} must be above 0, got 0")
          for name in ("lr", "context", "batch_events", "micro_batches", "clip_norm")),
        *(({name: -1}, f"{name} must not be below 0, got -1") for name in ("threads", "seed")),
        ({"max_steps": 0}, "set minutes or max_steps, so that the run ends"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_config(None, {"max_steps": 1, **values})


def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path) -> None:
    for name, text, words in (
        ("a.toml", "lr = ", r"cannot read settings from .*a\.toml: "),
        ("a.json", "{", r"cannot read settings from .*a\.json: "),
        ("a.toml", "\0", r"cannot read settings from .*a\.toml: "),
        ("a.json", "[1]", r"a\.json must hold a table of settings"),
        ("none.toml", None, r"cannot read settings from .*none\.toml"),
    ):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=words):
            make_config(tmp_path / name, {})
