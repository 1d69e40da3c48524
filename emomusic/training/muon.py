"""Muon with matrices of one shape together, in whichever precision the processor is quick in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that brings singular values near 1 in five rounds (Jordan et al. 2024)."""
N_ROUNDS = 5
RMS = 0.2
"""Size of an update's entries, as AdamW's: one rate serves both (Liu et al. 2025)."""


class Muon(torch.optim.Optimizer):
    """Move matrices by their orthogonalised momentum.

    A matrix that holds several side by side (queries, keys and values, say) is cut into them.

    Reference: Jordan et al. (2024), Nesterov momentum and Newton-Schulz iteration; the step
    size matched to AdamW's after Liu et al. (2025).
    """

    def __init__(
        self,
        matrices: Iterable[tuple[Tensor, Sequence[int]]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the matrices, each with the numbers of rows of those that it holds.

        A step takes `lr * weight_decay` of a matrix away; `dtype` is what products are made in.
        """
        self._cuts = {matrix: list(rows) for matrix, rows in matrices}
        self._dtype = dtype
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(list(self._cuts), defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # no closure is known
        """Move all matrices that have a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(matrix)
                average = state["momentum_buffer"]
                average.lerp_(matrix.grad, 1 - group["momentum"])
                update = matrix.grad.lerp(average, group["momentum"])
                cuts = self._cuts[matrix]
                for part, own in zip(matrix.split(cuts), update.split(cuts), strict=True):
                    by_shape[tuple(part.shape)].append((part, own))
            for shape, pairs in by_shape.items():
                updates = orthogonalise(torch.stack([own for _, own in pairs]), self._dtype)
                size = RMS * max(shape) ** 0.5
                for (part, _), update in zip(pairs, updates, strict=True):
                    part.mul_(1 - group["lr"] * group["weight_decay"])
                    part.add_(update, alpha=-group["lr"] * size)


def orthogonalise(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Bring the singular values of matrices, shape (n, rows, columns), near 1, in float32.

    They are multiplied in `dtype`.
    """
    a, b, c = COEFFICIENTS
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(N_ROUNDS):
        gram = x @ x.mT  # (n, short, short)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).float()
