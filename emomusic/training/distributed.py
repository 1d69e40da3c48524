"""Several processes that train one model (DDP): started by torchrun, agreeing in what they do."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

TIMEOUT = timedelta(minutes=30)
"""How long the others wait while process 0 writes and samples; a process that ends is noticed
at once."""


def device_of(name: str) -> torch.device:
    """Return where this process computes: `auto`, `cpu`, or `cuda`, if torch finds such a GPU.

    Raises:
        ValueError: If a GPU is asked for and torch finds none.
    """
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ValueError("device is cuda, but torch finds no such GPU; take auto or cpu")
    if name == "cpu" or not found:
        return torch.device("cpu")
    return torch.device(f"cuda:{os.environ.get('LOCAL_RANK', '0')}")


class Ranks:
    """This process's place among those that train together; one alone needs no set-up."""

    def __init__(self, device: torch.device) -> None:
        self.device = device  # where this process computes
        self.rank = int(os.environ.get("RANK", "0"))  # of this process; 0 saves and logs
        self.size = int(os.environ.get("WORLD_SIZE", "1"))  # processes in all
        if self.size > 1 and not dist.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)

    def agree(self, value: float) -> float:
        """Return process 0's value in all processes."""
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.broadcast(shared, 0)
        return shared.item()

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of tensors over the processes, in all of them."""
        if self.size > 1:
            values = values.clone()
            dist.all_reduce(values)
        return values

    def add_gradients(self, model: nn.Module) -> None:
        """Let each process have the sum of all gradients."""
        if self.size == 1:
            return
        parameters = list(model.parameters())
        # A slot may have had nothing to learn here, or nowhere: then it is left alone.
        has = torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)
        anywhere = self.sum(has).tolist()
        parameters = [p for p, n in zip(parameters, anywhere, strict=True) if n]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        grads = [p.grad for p in parameters if p.grad is not None]
        vector_to_parameters(self.sum(parameters_to_vector(grads)), grads)

    def share(self, data: bytes) -> bytes:
        """Return process 0's bytes in all processes."""
        if self.size == 1:
            return data
        n_bytes = int(self.agree(len(data)))
        shared = torch.empty(n_bytes, dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            shared.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(shared, 0)
        return shared.cpu().numpy().tobytes()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Say in one sentence that another process ended, where torch says it in many.

        Raises:
            ConnectionError: If the others cannot be reached any more.
        """
        try:
            yield
        except RuntimeError as error:
            text = str(error).lower()
            of_the_others = isinstance(error, dist.DistError) or "gloo" in text or "nccl" in text
            if self.size == 1 or not of_the_others:
                raise
            raise ConnectionError(
                f"process {self.rank} of {self.size} stops, because another one ended; "
                "the reason stands where that one's messages go"
            ) from error

    def leave(self) -> None:
        """Part from the other processes, all at the same time."""
        if self.size > 1:
            dist.barrier()
            dist.destroy_process_group()
        if self.rank:
            # All is done, and only rank 0 has files open: threads that the group leaves behind
            # may abort a process in its very last moment, and torchrun would call it a failure.
            atexit.register(_end_now)


def _end_now() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
