"""The loss of a batch of events, and of the songs held back."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.model.events import SLOTS
from emomusic.model.transformer import Transformer
from emomusic.training.batches import ClipBatches, EventBatch

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
MULTIPLE = 256
"""Rows of a slot's products are filled up to it: each number of them costs a kernel of its own."""


def faster_precision(device: torch.device) -> str:
    """Return in which precision this machine multiplies faster, `bf16` or `fp32`, by trying.

    Some processors multiply bfloat16 natively, up to ten times faster than float32; others
    have to imitate it, ten times slower.
    """
    if device.type != "cpu":
        return "bf16"
    seconds = {}
    for name, dtype in PRECISIONS.items():
        x, weight = torch.ones(1_500, 384, dtype=dtype), torch.ones(2_048, 384, dtype=dtype)
        F.linear(x[:32], weight)
        started = time.perf_counter()
        F.linear(x, weight)
        seconds[name] = time.perf_counter() - started
    return min(seconds, key=lambda name: seconds[name])


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context in which matrices are multiplied in bfloat16, if precision is `bf16`."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def slot_losses(model: Transformer, batch: EventBatch) -> list[Tensor]:
    """Return for each slot the cross-entropies in nats of what is learnt, event after event."""
    x = model.embed(batch.rows, batch.start)
    n, width = batch.shape
    laid = x.new_zeros(n * width, x.shape[1]).index_copy(0, batch.place, x)
    state = model(laid.view(n, width, -1)).flatten(0, 1)[batch.place]
    found = []
    for slot in range(len(SLOTS)):
        at = batch.learnt[:, slot].nonzero()[:, 0]
        loss = state.new_zeros(0)
        if len(at):
            full = F.pad(at, (0, -len(at) % MULTIPLE), value=int(at[0]))
            logits = model.logits(slot, state[full], batch.chosen[full])[: len(at)].float()
            loss = F.cross_entropy(logits, batch.chosen[at, slot], reduction="none")
        found.append(loss)
    return found


def summed_loss(model: Transformer, batch: EventBatch) -> Tensor:
    """Return the sum of all cross-entropies of a batch in nats."""
    return torch.stack([loss.sum() for loss in slot_losses(model, batch)]).sum()


@torch.no_grad()
def mean_loss(
    model: Transformer, batches: ClipBatches, *, max_events: int, precision: str
) -> dict[str, float]:
    """Return nats a note over the first batches, in all and of each slot.

    No further batch is begun from `max_events` on, padding counted in. The model is left in
    training mode; the precision is `bf16` or `fp32`.
    """
    device = model.embedding.device
    model.eval()
    sums, n_notes, seen = np.zeros(len(SLOTS)), 0, 0
    with autocast(device, precision):
        for index, clips in enumerate(batches.epoch(0)):
            if seen >= max_events:
                break
            batch = batches.batch(clips, 0, index)
            seen += batch.shape[0] * batch.shape[1]
            sums += [
                float(own.cpu().double().sum()) for own in slot_losses(model, batch.to(device))
            ]
            n_notes += batch.n_notes
    model.train()
    means = (sums / max(n_notes, 1)).tolist()
    by_slot = dict(zip(SLOTS, means, strict=True))
    return {"nats_per_note": sum(by_slot.values()), **by_slot}
