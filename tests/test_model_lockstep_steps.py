from __future__ import annotations

import numpy as np
import pytest
import torch
from engine_cases import CONTEXT, V, make_model

from emomusic.model.lockstep.steps import draw, within
from emomusic.model.sampling import sample_ids
from emomusic.model.transformer import Cache


def test_ids_lie_within_the_bounds_of_their_kind() -> None:
    kind_of = np.array([-1, 0, 0, 0, -1, 1, 1])
    low, high = np.array([[2, 5], [1, 6], [1, 5]]), np.array([[3, 4], [1, 6], [0, 4]])
    allowed = within(low, high, kind_of)
    assert [np.flatnonzero(row).tolist() for row in allowed] == [[2, 3], [1, 6], []]


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("top_p", [1e-9, 0.7, 1.0])
def test_on_a_device_the_same_ids_are_drawn(scale: float, top_p: float) -> None:
    rng, n = np.random.default_rng(0), 500
    logits = (scale * rng.standard_normal((n, V))).astype(np.float32)
    allowed = rng.random((n, V)) < 0.5
    allowed[np.arange(n), rng.integers(V, size=n)] = True
    heat = rng.choice([1e-320, 1e-6, 0.5, 1.0, 5.0], size=n)
    uniform = rng.random(n)
    uniform[:2] = 0.0, np.nextafter(1.0, 0.0)
    nucleus = np.full(n, top_p)
    expected = sample_ids(logits, allowed, uniform, temperature=heat, top_p=nucleus)
    found = draw(*map(torch.from_numpy, (logits, allowed, uniform, heat, nucleus)))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_where_nothing_is_allowed_some_id_is_drawn() -> None:
    one = torch.ones(1, dtype=torch.float64)
    drawn = draw(torch.zeros((1, V)), torch.zeros((1, V), dtype=torch.bool), 0.5 * one, one, one)
    assert 0 <= int(drawn) < V


@pytest.mark.parametrize("n_filled", [0, 1, 7, 30])
@torch.inference_mode()
def test_rows_of_several_lengths_step_as_each_alone(n_filled: int) -> None:
    model, lengths = make_model(), torch.tensor([0, 1, 7, 30]).clamp(max=n_filled)
    ids = torch.randint(V, (4, CONTEXT), generator=torch.Generator().manual_seed(1))
    expected = [model(row[None])[0] for row in ids]
    cache = Cache(model.config, 4, device="cpu")
    model.fill(ids[:, :n_filled], cache)
    rows = torch.arange(4)
    for step in range(CONTEXT - n_filled):
        at = lengths + step
        for span in {n_filled + step + 1, CONTEXT}:
            logits = model.step(ids[rows, at], cache, at, span=span)
            for row in range(4):
                torch.testing.assert_close(
                    logits[row], expected[row][at[row]], atol=2e-3, rtol=1e-3
                )


@torch.inference_mode()
def test_a_cache_may_be_kept_in_bfloat16() -> None:
    model = make_model()
    ids = torch.randint(V, (2, CONTEXT), generator=torch.Generator().manual_seed(1))
    expected = model(ids).flatten(0, 1)
    cache = Cache(model.config, 2, device="cpu", dtype=torch.bfloat16)
    model.fill(ids[:, :40], cache)
    for at in range(40, 60):
        found = model.step(ids[:, at], cache, torch.full((2,), at), span=CONTEXT)
        assert found.dtype == torch.float32
        exact = expected[[at, CONTEXT + at]]
        assert float(torch.corrcoef(torch.stack([found.ravel(), exact.ravel()]))[0, 1]) > 0.99
