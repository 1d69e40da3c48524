"""How a model lies over processes: whole in each of them (DDP), or sharded (`fully_shard`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from emomusic.model.transformer import Transformer
from emomusic.training.parallel.ranks import Ranks


def replicate(model: nn.Module, ranks: Ranks) -> nn.Module:
    """Return the model so wrapped that its gradients become their mean over the processes."""
    if ranks.size == 1 or is_sharded(model):
        return model
    return DistributedDataParallel(model)


def is_sharded(model: nn.Module) -> bool:
    """Tell whether processes hold shards of the model."""
    return hasattr(model, "set_requires_gradient_sync")


@contextmanager
def passing(forward: nn.Module, model: Any, *, last: bool) -> Iterator[None]:
    """Let gradients travel between the processes in the last pass of a step only.

    Args:
        forward: What is called, as `replicate` returned it.
        model: The model itself.
        last: Whether this is the step's last pass.
    """
    if is_sharded(model):
        model.set_requires_gradient_sync(last)
    if isinstance(forward, DistributedDataParallel) and not last:
        with forward.no_sync():
            yield
    else:
        yield


def whole(tensor: Any) -> Tensor:
    """Return all of a tensor; of one that is sharded all processes must ask for it."""
    gathered: Tensor = tensor.full_tensor() if _is_sharded(tensor) else tensor
    return gathered


def like(tensor: Tensor, other: Any) -> Tensor:
    """Return this process's shard of a whole tensor, if `other` is sharded, else the tensor."""
    if not _is_sharded(other) or tensor.shape != other.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor  # seconds, and only these need it

    here = tensor.to(other.device)
    return distribute_tensor(here, other.device_mesh, other.placements, src_data_rank=None)


def _is_sharded(tensor: Any) -> bool:
    return hasattr(tensor, "full_tensor")


def clip_gradients(model: nn.Module, max_norm: float) -> None:
    """Scale all gradients together, so that their norm is at most `max_norm`.

    Of a sharded model each gradient is gathered for its norm, so that the norm, to the last
    bit, is that of a model which is whole.
    """
    if not is_sharded(model):
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        return
    found = [p for p in model.parameters() if p.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(whole(p.grad)) for p in found])
    torch.nn.utils.clip_grads_with_norm_(found, max_norm, torch.linalg.vector_norm(norms))


def whole_model(model: Transformer) -> Transformer:
    """Return the model with whole weights; of one that is sharded all processes must ask."""
    if not is_sharded(model):
        return model
    with torch.device("meta"):
        gathered = Transformer(model.config)
    weights = {name: whole(tensor) for name, tensor in model.state_dict().items()}
    gathered.load_state_dict(weights, assign=True)
    return gathered
