"""Muon: singular values near one, matrices in parts, both precisions, torch's own beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from emomusic.training.train import Muon, orthogonalise


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stepped(optimiser: torch.optim.Optimizer, parameter: Tensor, grads: list[Tensor]) -> None:
    for grad in grads:
        parameter.grad = grad.clone()
        optimiser.step()


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (2, 40, 8), (1, 1, 5)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_singular_values_come_near_one(shape: tuple[int, int, int], scale: float) -> None:
    found = orthogonalise(scale * drawn(*shape))
    assert found.shape == shape and found.dtype == torch.float32
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.3 and float(values.max()) < 1.3
    # What was in one direction stays there.
    assert torch.einsum("nij,nij->n", found, drawn(*shape)).min() > 0
    rough = orthogonalise(scale * drawn(*shape), torch.bfloat16)
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), rough.flatten(), dim=0)
    assert cosine > 0.99 and rough.dtype == torch.float32
    assert not orthogonalise(torch.zeros(shape)).any()


def test_a_matrix_cut_into_parts_is_as_many_matrices() -> None:
    cuts, how = [8, 4, 4], dict[str, Any](lr=0.02, weight_decay=0.1)
    whole, grads = Parameter(drawn(16, 12)), [drawn(16, 12, seed=seed) for seed in (1, 2, 3)]
    parts = [Parameter(part.clone()) for part in torch.split(drawn(16, 12), cuts)]
    stepped(Muon([(whole, cuts)], **how), whole, grads)
    for i, part in enumerate(parts):
        own = [torch.split(grad, cuts)[i] for grad in grads]
        stepped(Muon([(part, [len(part)])], **how), part, own)
    torch.testing.assert_close(whole.data, torch.cat([p.data for p in parts]), rtol=1e-5, atol=1e-6)
    matrix = Parameter(drawn(4, 6))
    Muon([(matrix, [4])], lr=0.1).step()  # nothing to learn moves nothing
    assert torch.equal(matrix, drawn(4, 6))


@pytest.mark.parametrize("shape", [(32, 48), (48, 32)])
def test_torch_takes_the_same_steps(shape: tuple[int, int]) -> None:
    mine, theirs = (Parameter(drawn(*shape)) for _ in range(2))
    grads, how = [drawn(*shape, seed=seed) for seed in (1, 2, 3)], {"lr": 0.02, "weight_decay": 0.1}
    stepped(Muon([(mine, [shape[0]])], **how), mine, grads)
    other = torch.optim.Muon([theirs], **how, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    stepped(other, theirs, grads)
    moved, expected = mine.detach() - drawn(*shape), theirs.detach() - drawn(*shape)
    # torch's multiplies in bfloat16.
    assert float((moved - expected).norm() / expected.norm()) < 0.02
