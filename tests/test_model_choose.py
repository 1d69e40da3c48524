from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_cases import make_model

from emomusic.model import choose
from emomusic.model.checkpoint import save_model
from emomusic.model.choose import EngineError, open_engine
from emomusic.model.int8.library import is_built
from emomusic.model.torch_engine import TorchEngine
from emomusic.model.weights import CheckpointError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", make_model(), recipe={})
    return tmp_path / "model"


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
