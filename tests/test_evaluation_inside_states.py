from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from inside_cases import some_excerpts, some_rows
from synthetic import make_model

from emomusic.evaluation.inside.states import (
    mean_states,
    n_depths,
    pushed,
    untrained_like,
    watched,
)
from emomusic.model.transformer import Cache, Transformer


@pytest.fixture
def model() -> Transformer:
    return make_model(tuple(some_rows().meta["vocabulary"]))


IDS = torch.arange(100, 120)[None]


@torch.inference_mode()
def test_states_lead_from_the_embedding_to_the_logits(model: Transformer) -> None:
    with watched(model) as seen:
        logits = model(IDS)
    assert len(seen) == n_depths(model) == 1 + model.config.n_layers
    assert torch.equal(seen[0], model.embedding(IDS))
    assert torch.equal(model.norm(seen[-1]) @ model.embedding.weight.T, logits)


@torch.inference_mode()
def test_reading_and_pushing_leave_the_model_as_it_was(model: Transformer) -> None:
    before = model(IDS)
    with watched(model):
        assert torch.equal(model(IDS), before)
    with pytest.raises(RuntimeError), pushed(model, depth=1, push=np.ones(model.config.dim)):
        assert not torch.equal(model(IDS), before)
        raise RuntimeError
    assert torch.equal(model(IDS), before)


@torch.inference_mode()
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_push_moves_its_depth_by_itself_and_none_before(model: Transformer, depth: int) -> None:
    push = np.linspace(-1, 1, model.config.dim)
    with watched(model) as plain:
        model(IDS)
    with pushed(model, depth=depth, push=push), watched(model) as moved:
        model(IDS)
    for earlier in range(depth):
        assert torch.equal(moved[earlier], plain[earlier])
    added = (moved[depth] - plain[depth]).numpy()
    np.testing.assert_allclose(added, np.broadcast_to(push, added.shape), atol=1e-5)


@torch.inference_mode()
def test_steps_with_a_cache_are_pushed_as_whole_rows_are(model: Transformer) -> None:
    push = 0.5 * np.ones(model.config.dim)
    with pushed(model, depth=1, push=push):
        whole = model(IDS)[0, -1]
        cache = Cache(model.config, 1, device="cpu")
        model.fill(IDS[:, :-1], cache)
        step = model.step(IDS[:, -1], cache, torch.tensor([19]), span=20)[0]
    np.testing.assert_allclose(step.numpy(), whole.numpy(), atol=1e-4)


def test_mean_states_count_notes_alone(model: Transformer, tmp_path: Path) -> None:
    excerpts = some_excerpts(tmp_path)[:2]
    told: list[int] = []
    states = mean_states(model, excerpts, progress=told.append)
    assert states.shape == (2, n_depths(model), model.config.dim) and sum(told) == 2
    for excerpt, own in zip(excerpts, states, strict=True):
        embedded = model.embedding.weight.detach().numpy()[excerpt.ids[excerpt.is_note]]
        np.testing.assert_allclose(own[0], embedded.mean(axis=0), atol=1e-5)


def test_an_untrained_network_is_the_same_each_time_and_disturbs_no_drawing(
    model: Transformer,
) -> None:
    torch.manual_seed(3)
    one = untrained_like(model)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert one.config == model.config
    assert torch.equal(one.embedding.weight, untrained_like(model).embedding.weight)
    assert not torch.equal(one.embedding.weight, untrained_like(model, seed=1).embedding.weight)


def test_a_push_that_does_not_fit_is_refused(model: Transformer) -> None:
    dim = model.config.dim
    with (
        pytest.raises(ValueError, match="depth must be in 0 to"),
        pushed(model, depth=99, push=np.ones(dim)),
    ):
        pass
    for push in (np.ones(dim + 1), np.full(dim, np.nan)):
        with pytest.raises(ValueError, match="finite numbers"), pushed(model, depth=0, push=push):
            pass
