"""What a run begins with: its device, its optimisers, and the weights of another model."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

from emomusic.model.checkpoint import load_model
from emomusic.model.transformer import Transformer
from emomusic.training.config import TrainConfig
from emomusic.training.parallel.layout import is_sharded


def device_of(config: TrainConfig) -> torch.device:
    """Return where this process computes.

    Raises:
        ValueError: If a GPU is asked for and torch finds none.
    """
    found = torch.cuda.is_available()
    if config.device == "cuda" and not found:
        raise ValueError("device is cuda, but torch finds no such GPU; take auto or cpu")
    if config.device == "cpu" or not found:
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


def machine(device: torch.device) -> str:
    """Return in a few words what a run ran on."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def make_optimisers(model: Transformer, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices of the blocks and AdamW for embedding and norms.

    Reference: Jordan et al. (2024), with the step size matched to AdamW's as Liu et al.
    (2025) do.
    """
    muon: type[torch.optim.Muon] = torch.optim.Muon
    if is_sharded(model):
        from emomusic.training.parallel import shards  # seconds, and only this needs it

        muon = shards.ShardedMuon
    matrices = [p for p in model.blocks.parameters() if p.dim() == 2]
    rest = [p for n, p in model.named_parameters() if not (n.startswith("blocks") and p.dim() == 2)]
    return [
        muon(
            matrices,
            lr=config.lr,
            weight_decay=config.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(rest, lr=config.lr, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def start_from(model: Transformer, folder: Path) -> None:
    """Copy the weights of a checkpoint of the same width; fewer layers are stacked in turn.

    Raises:
        ValueError: If the checkpoint has another width or vocabulary, or more layers.

    Reference: Gong et al. (2019), progressive stacking.
    """
    found = load_model(folder)
    mine, theirs = model.config, found.config
    same = ("vocab_size", "dim", "n_heads", "n_kv_heads", "hidden")
    if any(getattr(mine, n) != getattr(theirs, n) for n in same) or (
        mine.n_layers % theirs.n_layers
    ):
        raise ValueError(f"a model of {mine} cannot start from {folder}, which is {theirs}")
    weights = found.state_dict()
    with torch.no_grad():
        for name, parameter in model.state_dict().items():
            parts = name.split(".")
            if parts[0] == "blocks":
                parts[1] = str(int(parts[1]) % theirs.n_layers)
            parameter.copy_(weights[".".join(parts)])
