"""The transformer's hidden states: read at every depth, or pushed at one; it stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emomusic.evaluation.inside.music import Excerpt
from emomusic.model.transformer import Transformer

Matrix = NDArray[np.float64]


def n_depths(model: Transformer) -> int:
    """Return at how many depths there are states: after the embedding, and after each block."""
    return 1 + len(model.blocks)


def _module_at(model: Transformer, depth: int) -> nn.Module:
    """Return what gives the states of a depth.

    Raises:
        ValueError: If there is no such depth.
    """
    if not 0 <= depth < n_depths(model):
        raise ValueError(f"depth must be in 0 to {n_depths(model) - 1}, got {depth}")
    return model.embedding if depth == 0 else model.blocks[depth - 1]


@contextmanager
def watched(model: Transformer) -> Iterator[list[Tensor]]:
    """Keep the states of each depth of every pass, each of shape (B, T, dim), in order."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: Any, states: Tensor) -> None:
        seen.append(states.detach())

    with ExitStack() as stack:
        for depth in range(n_depths(model)):
            handle = _module_at(model, depth).register_forward_hook(keep)
            stack.callback(handle.remove)
        yield seen


@contextmanager
def pushed(model: Transformer, *, depth: int, push: Matrix) -> Iterator[None]:
    """Add a vector to the states of one depth at every position of every pass.

    What comes after the depth sees the moved states, a cache of keys and values included.

    Args:
        model: Pushed within the context alone. A step that was captured as a CUDA graph does
            not see the push: write with plain steps.
        depth: 0 is after the embedding.
        push: Shape (dim,).

    Raises:
        ValueError: If there is no such depth, or the vector is of another shape or not finite.

    Reference: activation addition of Turner et al. (2023); here at all positions and with a mean
        over many clips, as Rimsky et al. (2024).
    """
    if push.shape != (model.config.dim,) or not np.isfinite(push).all():
        raise ValueError(f"a push must be {model.config.dim} finite numbers, got {push.shape}")
    weight = model.embedding.weight
    added = torch.from_numpy(np.asarray(push, np.float32)).to(weight.device, weight.dtype)

    def move(module: nn.Module, given: Any, states: Tensor) -> Tensor:
        return states + added

    handle = _module_at(model, depth).register_forward_hook(move)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def mean_states(
    model: Transformer,
    excerpts: Sequence[Excerpt],
    *,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Matrix:
    """Return each excerpt's mean state over what tells notes, shape (n, n_depths, dim).

    Args:
        model: What reads them, one at a time and so without padding.
        excerpts: Each with a note; what the context does not hold is left out.
        progress: Called with 1 for each that is done.
    """
    found = np.empty((len(excerpts), n_depths(model), model.config.dim))
    for i, excerpt in enumerate(excerpts):
        ids = torch.from_numpy(excerpt.ids[: model.config.context])[None]
        is_note = torch.from_numpy(excerpt.is_note[: model.config.context])
        with watched(model) as seen:
            model(ids)
        found[i] = torch.stack([states[0, is_note].mean(dim=0) for states in seen]).numpy()
        progress(1)
    return found


def untrained_like(model: Transformer, *, seed: int = 0) -> Transformer:
    """Return a network of the same shape with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Transformer(model.config).eval()
