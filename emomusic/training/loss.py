"""The loss of a batch, and of the songs held back."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.training.batches import IGNORED, ClipBatches
from emomusic.training.parallel.ranks import Ranks


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats over the targets that are not masked.

    Args:
        logits: Shape (B, T, V).
        targets: Shape (B, T).
    """
    return _loss(logits, targets, "mean")


def summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy as `loss_of`, but its sum; 0 if all targets are masked."""
    return _loss(logits, targets, "sum")


def _loss(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    flat = logits.float().flatten(0, 1)
    return F.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction=reduction)


def n_learnt(targets: Tensor) -> int:
    """Return how many targets are not masked."""
    return int((targets != IGNORED).sum())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which matrices are multiplied in bfloat16, if precision is `bf16`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def mean_loss(
    model: nn.Module, batches: ClipBatches, *, max_ids: int, precision: str, ranks: Ranks
) -> float:
    """Return the mean loss for a target of the first batches; each process takes a share.

    Args:
        model: Whole or sharded; it is left in training mode.
        batches: What to measure on.
        max_ids: Ids, padding counted in, from which on no further batch is begun.
        precision: `bf16` or `fp32`.
        ranks: The processes.
    """
    model.eval()
    total, count, seen = 0.0, 0.0, 0
    with torch.no_grad(), autocast(ranks.device, precision):
        for index, clips in enumerate(batches.epoch(0)):
            if seen >= max_ids:
                break
            inputs, targets = batches.batch(clips, 0, index)
            seen += inputs.numel()
            inputs, targets = _share_of(inputs, targets, ranks)
            loss = summed_loss(model(inputs.to(ranks.device)), targets.to(ranks.device))
            total, count = total + float(loss), count + n_learnt(targets)
    model.train()
    total, count = ranks.total(total, count)
    return total / max(count, 1)


def _share_of(inputs: Tensor, targets: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor]:
    if len(inputs) <= ranks.rank:  # none is left, but all must be there where shards are gathered
        return inputs[:1], torch.full_like(targets[:1], IGNORED)
    return inputs[ranks.rank :: ranks.size], targets[ranks.rank :: ranks.size]
