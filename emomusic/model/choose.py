"""Which engine writes: the fastest that this machine has, or the one that is named."""

from __future__ import annotations

from pathlib import Path

from emomusic.model.engine import Engine
from emomusic.model.int8.library import LibraryError, is_built

ENGINES = ("auto", "int8", "torch", "cuda")


class EngineError(ValueError):
    """Tell in one line why an engine cannot be had."""


def open_engine(folder: Path, name: str = "auto", *, threads: int = 1) -> Engine:
    """Load a checkpoint's weights into an engine.

    Args:
        folder: The checkpoint.
        name: `int8` (compiled, on the CPU), `torch` (on the CPU), `cuda` (torch on a GPU), or
            `auto`: int8 if it was built, else cuda if there is a GPU, else torch.
        threads: On the CPU, at least 1.

    Raises:
        CheckpointError: If the weights are missing or damaged.
        EngineError: If the engine is unknown or this machine does not have it.
    """
    if name not in ENGINES:
        raise EngineError(f"engine must be one of {', '.join(ENGINES)}, got {name!r}")
    if name == "int8" or (name == "auto" and is_built()):
        from emomusic.model.int8.engine import Int8Engine

        try:
            return Int8Engine.load(folder, threads=threads)
        except LibraryError as error:
            raise EngineError(str(error)) from error
    import torch

    from emomusic.model.checkpoint import load_model
    from emomusic.model.torch_engine import TorchEngine

    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise EngineError("engine is cuda, but torch finds no GPU; take int8 or torch")
    device = "cuda" if has_gpu and name != "torch" else "cpu"
    return TorchEngine(load_model(folder), device=device, threads=threads)
