from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import LAYOUT, V, make_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from emomusic.model import choose
from emomusic.model.checkpoint import load_model, save_model
from emomusic.model.choose import EngineError, open_engine
from emomusic.model.events import EventLayout
from emomusic.model.grammar import Grammar
from emomusic.model.int8.library import is_built
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.torch_engine import TorchEngine
from emomusic.model.transformer import Transformer
from emomusic.model.weights import CheckpointError, read_config

WEIGHTS = "model-01-of-01.safetensors"


def some_states(model: Transformer) -> Tensor:
    found: Tensor = model(model.embed(torch.arange(60), torch.arange(0, 60, 3))[None])
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_model(), recipe={"steps": 3}, dtype=torch.float32)
    return tmp_path / "model"


@torch.inference_mode()
def test_a_model_survives_saving(folder: Path) -> None:
    loaded, model = load_model(folder), make_model()
    torch.testing.assert_close(some_states(loaded), some_states(model), rtol=0, atol=0)
    assert loaded.config == model.config and not loaded.training
    assert read_config(folder)["recipe"] == {"steps": 3}
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", WEIGHTS]


@torch.inference_mode()
def test_weights_are_rounded_to_half_the_bytes_by_default(tmp_path: Path) -> None:
    save_model(tmp_path, make_model(), recipe={})
    stored = load_file(tmp_path / WEIGHTS)
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    loaded = load_model(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(some_states(loaded), some_states(make_model()), atol=0.1, rtol=0.1)


def test_no_file_is_larger_than_16_mib(tmp_path: Path) -> None:
    model = Transformer(ModelConfig(V, LAYOUT, **SIZES["small"]))
    save_model(tmp_path, model, recipe={}, dtype=torch.float32)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.safetensors")]
    assert len(sizes) > 2 and max(sizes) <= 16 * 2**20
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_saving_anew_leaves_no_stale_weights(folder: Path) -> None:
    (folder / "model-07-of-09.safetensors").write_bytes(b"old")
    save_model(folder, make_model(), recipe={})
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", WEIGHTS]


def change_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def refused(folder: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "no checkpoint in"),
        (b"{", "no checkpoint in"),
        (b"", "no checkpoint in"),
        (b"[" * 100_000, "no checkpoint in"),
        (b"\xff\xfe{}", "no checkpoint in"),
        (b"[]", "is not of format emomusic-model-2"),
        (b'{"format": "other"}', "is not of format emomusic-model-2"),
    ],
)
def test_a_config_that_is_missing_damaged_or_foreign_is_refused(
    folder: Path, data: bytes | None, words: str
) -> None:
    (folder / "config.json").unlink()
    if data is not None:
        (folder / "config.json").write_bytes(data)
    refused(folder, words)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model", None, "config.json"),
        ("model", [], "unknown or missing keys"),
        ("model", {"vocab_size": V, "colour": 1}, "colour"),
        ("model", {"vocab_size": V, "layout": None}, "config.json"),
        ("model", {"vocab_size": V, "layout": {"bos": 1}}, "layout of events"),
        ("model", {"vocab_size": 9, "layout": LAYOUT.to_dict()}, "of 9"),
        ("model", {"vocab_size": 400_000, "layout": LAYOUT.to_dict()}, "do not fit its config: "),
        ("weights", None, "config.json"),
        ("weights", [], "do not fit its config"),
        ("weights", WEIGHTS, "not the name of a weights file: 'm'"),
        ("weights", ["../model/" + WEIGHTS], "not the name of a weights file"),
        ("weights", ["/etc/passwd"], "not the name of a weights file: '/etc/passwd'"),
        ("weights", ["config.json"], "not the name of a weights file: 'config.json'"),
        ("weights", ["model-02-of-01.safetensors"], "cannot read the weights"),
    ],
)
def test_a_config_that_names_nonsense_is_refused(
    folder: Path, key: str, value: Any, words: str
) -> None:
    change_config(folder, lambda config: config.update({key: value}))
    refused(folder, words)


@pytest.mark.parametrize("data", [*(0, 4, 200, 5000), b"\x80\x04\x95not weights" * 100])
def test_truncated_or_foreign_weights_are_refused(folder: Path, data: int | bytes) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:data] if isinstance(data, int) else data)
    refused(folder, "cannot read the weights")


@pytest.mark.parametrize(
    ("name", "tensor", "words"),
    [
        ("norm", torch.full((64,), torch.nan), "hold numbers that are not finite"),
        ("norm", torch.ones(63), r"norm has shape \(63,\), expected \(64,\)"),
        ("norm", torch.ones(64, dtype=torch.int64), "cannot read the weights .*: norm holds I64"),
        ("norm", None, "do not fit its config: norm"),
        ("extra", torch.ones(2), "do not fit its config: extra"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    folder: Path, name: str, tensor: Tensor | None, words: str
) -> None:
    tensors = load_file(folder / WEIGHTS)
    if tensor is None:
        del tensors[name]
    else:
        tensors[name] = tensor
    save_file(tensors, folder / WEIGHTS)
    refused(folder, words)


def test_engines_are_opened_by_name(folder: Path, tmp_path: Path) -> None:
    assert open_engine(folder, "torch").name == "torch"
    assert open_engine(folder, "torch").config == make_model().config
    with pytest.raises(EngineError, match="engine must be one of auto, int8, torch, cuda, got 'x'"):
        open_engine(folder, "x")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="engine is cuda, but torch finds no GPU"):
            open_engine(folder, "cuda")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        open_engine(tmp_path, "torch")


@pytest.mark.skipif(not is_built(), reason="the int8 engine is not built")
def test_int8_is_taken_where_it_was_built(folder: Path) -> None:
    assert open_engine(folder).name == open_engine(folder, "int8", threads=2).name == "int8"


def test_without_the_compiled_part_torch_writes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "is_built", lambda: False)
    assert open_engine(folder).name in {"torch", "cuda"}


def test_too_few_threads_are_refused() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        TorchEngine(make_model(), threads=0)


QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
VALUES = st.one_of(
    st.sampled_from((1, 2, 4, 8, 64, 128, 512, 10**6, 10**9, 0, -1)),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)


@QUIETLY
@given(st.sampled_from([field.name for field in fields(EventLayout)]), VALUES)
def test_a_layout_is_one_that_works_or_refused(name: str, value: Any) -> None:
    try:
        layout = EventLayout.from_dict({**LAYOUT.to_dict(), name: value})
        ModelConfig(V, layout)
    except ValueError as error:
        assert "\n" not in str(error)
        return
    grammar = Grammar(V, layout)
    assert EventLayout.from_dict(layout.to_dict()) == layout
    assert [len(ids) for ids in grammar.slot_ids] == list(layout.n_choices)
    assert len({*np.concatenate(grammar.slot_ids).tolist()}) == sum(layout.n_choices)
    assert grammar.kinds.shape == layout.choices(V).shape == (V,)
