"""A model of which each process holds a shard: torch's `fully_shard`, and Muon for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from emomusic.model.transformer import Transformer
from emomusic.training.parallel.layout import like, whole
from emomusic.training.parallel.ranks import Ranks


def shard(model: Transformer, ranks: Ranks) -> None:
    """Leave this process its shard of each weight; a block's are gathered while it computes.

    Reference: Zhao et al. (2023).
    """
    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


class ShardedMuon(torch.optim.Muon):
    """Take Muon's step on whole matrices, gathered one after the other.

    Muon turns a matrix as a whole, so that a shard of its gradient does not say where the
    shard's rows go. The momentum stays sharded; each process computes the same step and keeps
    its shard of it.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # none is ever given
        """Step on all matrices that have a gradient."""
        for group in self.param_groups:
            settings = {name: value for name, value in group.items() if name != "params"}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad, settings)

    def _step_one(self, parameter: Tensor, grad: Tensor, settings: Mapping[str, Any]) -> None:
        matrix = nn.Parameter(whole(parameter))
        matrix.grad = whole(grad)
        muon = torch.optim.Muon([matrix], **settings)
        kept, state = self.state[parameter], muon.state[matrix]
        if "momentum_buffer" in kept:
            state["momentum_buffer"] = whole(kept["momentum_buffer"])
        muon.step()  # type: ignore[no-untyped-call] # torch leaves it untyped
        parameter.copy_(like(matrix.detach(), parameter))
        kept["momentum_buffer"] = like(state["momentum_buffer"], parameter)
