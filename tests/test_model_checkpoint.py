from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from model_cases import LAYOUT, V, make_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from emomusic.model import engine
from emomusic.model.checkpoint import SIZES, CheckpointError, ModelConfig, load_model, save_model
from emomusic.model.engine import EngineError, open_engine
from emomusic.model.int8.library import is_built
from emomusic.model.torch_engine import TorchEngine
from emomusic.model.transformer import Transformer

WEIGHTS = "model-01-of-01.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_model(), recipe={"steps": 3}, dtype=torch.float32)
    return tmp_path / "model"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_model_survives_saving_and_saving_anew_leaves_no_stale_weights(folder: Path) -> None:
    loaded, model = load_model(folder), make_model()
    assert loaded.config == model.config and not loaded.training
    own, saved = loaded.state_dict(), model.state_dict()
    assert own.keys() == saved.keys() and all(torch.equal(own[n], saved[n]) for n in saved)
    torch.testing.assert_close(loaded.cos, model.cos, rtol=0, atol=0)
    assert json.loads((folder / "config.json").read_text())["recipe"] == {"steps": 3}
    (folder / "model-07-of-09.safetensors").write_bytes(b"old")
    save_model(folder, model, recipe={})
    assert names_in(folder) == ["config.json", WEIGHTS]
    # By default weights are rounded to half the bytes.
    assert {tensor.dtype for tensor in load_file(folder / WEIGHTS).values()} == {torch.bfloat16}
    for name, rounded in load_model(folder).state_dict().items():
        torch.testing.assert_close(rounded, saved[name].bfloat16().float(), rtol=0, atol=0)


def test_no_file_is_larger_than_16_mib(tmp_path: Path) -> None:
    model = Transformer(ModelConfig(V, LAYOUT, **SIZES["small"]))
    save_model(tmp_path, model, recipe={}, dtype=torch.float32)
    sizes = [path.stat().st_size for path in tmp_path.glob("*.safetensors")]
    assert len(sizes) > 2 and max(sizes) <= 16 * 2**20
    loaded = load_model(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def set_config(key: str, value: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, key: value}))

    return change


def write(name: str, data: bytes | int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:data] if isinstance(data, int) else data)

    return change


def set_tensor(name: str, tensor: Tensor | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = {**load_file(folder / WEIGHTS), name: tensor}
        save_file({n: t for n, t in tensors.items() if t is not None}, folder / WEIGHTS)

    return change


ASKED = asdict(LAYOUT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no checkpoint in"),
        *((write("config.json", data), "no checkpoint in") for data in (b"{", b"", b"\xff\xfe{}")),
        *((write("config.json", data), "is not of format") for data in (b"[]", b'{"format": "o"}')),
        (set_config("model", None), "config.json"),
        (set_config("model", []), "unknown or missing keys"),
        (set_config("model", {"vocab_size": V, "layout": None}), "config.json"),
        (set_config("model", {"vocab_size": 400_000, "layout": ASKED}), "do not fit its config: "),
        (set_config("weights", None), "config.json"),
        (set_config("weights", WEIGHTS), "not the name of a weights file: 'm'"),
        *((set_config("weights", [name]), f"not the name of a weights file: '{name}'")
          for name in (f"../model/{WEIGHTS}", "/etc/passwd", "config.json")),
        (set_config("weights", ["model-02-of-01.safetensors"]), "cannot read the weights"),
        *((write(WEIGHTS, data), "cannot read the weights")
          for data in (0, 4, 200, 5000, b"\x80\x04\x95not weights" * 100)),
        (set_tensor("norm", torch.full((64,), torch.nan)), "hold numbers that are not finite"),
        (set_tensor("norm", torch.full((64,), torch.inf, dtype=torch.bfloat16)), "not finite"),
        (set_tensor("norm", torch.ones(63)), r"norm has shape \(63,\), expected \(64,\)"),
        (set_tensor("norm", torch.ones(64, dtype=torch.int64)), "weights .*: norm holds I64"),
        (set_tensor("norm", None), "do not fit its config: norm"),
        (set_tensor("extra", torch.ones(2)), "do not fit its config: extra"),
    ],
)  # fmt: skip
def test_what_is_missing_damaged_or_foreign_is_refused(
    folder: Path, change: Callable[[Path], None], words: str
) -> None:
    change(folder)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_engines_are_opened_by_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_engine(folder, "torch").name == "torch"
    assert open_engine(folder, "torch").config == make_model().config
    with pytest.raises(EngineError, match="engine must be one of auto, int8, torch, cuda, got 'x'"):
        open_engine(folder, "x")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="engine is cuda, but torch finds no GPU"):
            open_engine(folder, "cuda")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        open_engine(tmp_path, "torch")
    if is_built():
        assert open_engine(folder).name == open_engine(folder, "int8", threads=2).name == "int8"
    monkeypatch.setattr(engine, "is_built", lambda: False)
    assert open_engine(folder).name in {"torch", "cuda"}
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        TorchEngine(make_model(), threads=0)
