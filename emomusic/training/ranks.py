"""Several processes that train one model: started by torchrun, gradients averaged."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

TIMEOUT = timedelta(minutes=30)


class Ranks:
    """Know this process's place among those that train together; one alone needs no set-up.

    Attributes:
        rank: Number of this process, 0 for the one that saves and logs.
        size: Processes in all.
    """

    def __init__(self) -> None:
        """Join the processes that torchrun's environment names."""
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and not dist.is_initialized():
            backend = "nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, timeout=TIMEOUT)

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for gradient in gradients:
            n = gradient.numel()
            gradient.copy_(flat[start : start + n].view_as(gradient))
            start += n

    def leave(self) -> None:
        """Part from the other processes, all at the same time."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()
        if self.rank:
            # All is done, and only rank 0 has files open: threads that the group leaves behind
            # may abort a process in its very last moment, and torchrun would call it a failure.
            atexit.register(_end_now)

    def agree(self, value: float, device: torch.device) -> float:
        """Return process 0's value in all processes."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=device)
        dist.broadcast(shared, 0)
        return float(shared)


def _end_now() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
