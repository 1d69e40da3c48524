from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from model_cases import GRAMMAR, LAYOUT, V, draw_music, make_model
from numpy.typing import NDArray

from emomusic.model.checkpoint import SIZES, ModelConfig, tensor_shapes
from emomusic.model.events import CHORD_A, CHORD_B, SLOTS
from emomusic.model.transformer import Cache, Transformer

Array = NDArray[np.float64]
ASKED = asdict(LAYOUT)
BAD_RANGES = (5, [5], [5, 0], [5, 1.5], None)


def some_events(n: int = 20, seed: int = 0) -> list[list[int]]:
    rng, rows = np.random.default_rng(seed), list[list[int]]()
    while len(rows) < n:
        rows = GRAMMAR.rows(draw_music(rng).ids)
    return rows[:n]


def embedded(model: Transformer, events: list[list[int]]) -> torch.Tensor:
    start = np.cumsum([0, *map(len, events)])[:-1]
    rows = torch.tensor([row for own in events for row in own])
    return model.embed(rows, torch.from_numpy(start))


def norm(x: Array, weight: Array | None = None) -> Array:
    y: Array = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    return y if weight is None else y * weight


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def turned(x: Array, base: float) -> Array:
    """Turn pairs (i, i + half) of (T, heads, head_dim) by the place's angle."""
    half = x.shape[2] // 2
    angle = np.arange(len(x))[:, None, None] * base ** (-np.arange(half) / half)
    z = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
    return np.concatenate([z.real, z.imag], axis=-1)


def by_hand(model: Transformer, events: list[list[int]]) -> Array:
    """Return the state after each event from the formulas, in float64, shape (T, dim)."""
    c, w = model.config, {n: t.double().numpy() for n, t in model.state_dict().items()}
    x = np.array([w["embedding"][own].sum(0) for own in events])
    n, group = len(x), c.n_heads // c.n_kv_heads
    for layer in range(c.n_layers):
        b = {n.split(".", 2)[2]: t for n, t in w.items() if n.startswith(f"blocks.{layer}.")}
        y = norm(x, b["attention_norm"]) @ b["attention.qkv.weight"].T
        y = y.reshape(n, -1, c.head_dim)
        q, k, v = np.split(y, [c.n_heads, c.n_heads + c.n_kv_heads], axis=1)
        q, k = (turned(norm(t), c.rope_base) for t in (q, k))
        heads = []
        for head in range(c.n_heads):
            scores = q[:, head] @ k[:, head // group].T
            scores = scores * b["attention.gain"][head] / np.sqrt(c.head_dim)
            weights = np.exp(np.where(np.tri(n, dtype=bool), scores, -np.inf))
            heads.append(weights / weights.sum(1, keepdims=True) @ v[:, head // group])
        x = x + np.concatenate(heads, axis=1) @ b["attention.out.weight"].T
        gate, up = np.split(norm(x, b["hidden_norm"]) @ b["gate_up.weight"].T, 2, axis=1)
        x = x + silu(gate) * up @ b["down.weight"].T
    return norm(x, w["norm"])


@torch.inference_mode()
def test_states_and_logits_follow_the_formulas() -> None:
    model, events = make_model(), some_events()
    with torch.no_grad():
        for block in model.blocks:
            block.attention.gain.uniform_(2, 8)  # type: ignore[operator, union-attr]
    state = model(embedded(model, events)[None])[0]
    expected = by_hand(model, events)
    np.testing.assert_allclose(state, expected, atol=2e-5)
    w = {n: t.double().numpy() for n, t in model.state_dict().items()}
    rng = np.random.default_rng(0)
    chosen = np.stack([rng.integers(0, n, len(events)) for n in LAYOUT.n_choices], axis=1)
    told = {1: (0,), 2: (0, 1), 3: (0, 1, 2), CHORD_B: (CHORD_A,)}
    for slot in range(len(SLOTS)):
        s = {n.split(".", 2)[2]: t for n, t in w.items() if n.startswith(f"slots.{slot}.")}
        z = expected + sum(w[f"slots.{k}.told.weight"][chosen[:, k]] for k in told.get(slot, ()))
        gate, up = np.split(norm(z, s["norm"]) @ s["gate_up.weight"].T, 2, axis=1)
        z = z + silu(gate) * up @ s["down.weight"].T
        logits = norm(z, s["head_norm"]) @ s["head.weight"].T
        found = model.logits(slot, state, torch.from_numpy(chosen))
        np.testing.assert_allclose(found, logits, atol=2e-4)


@pytest.mark.parametrize("heads", [(4, 2), (4, 4), (8, 1)])
@torch.inference_mode()
def test_with_and_without_cache_the_states_are_the_same(heads: tuple[int, int]) -> None:
    model = make_model(n_heads=heads[0], n_kv_heads=heads[1])
    x = torch.stack([embedded(model, some_events(seed=seed)) for seed in range(3)])
    whole = model(x)
    for cuts in ([1] * 20, [7, 1, 12], [20]):
        cache = Cache(model.config.n_layers)
        parts = [model(part, cache) for part in torch.split(x, cuts, dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
        assert cache.length == 20
    with pytest.raises(ValueError, match="97 events do not fit into a context of 96"):
        model(torch.zeros(3, 77, 64), cache)
    cache.keep(1)
    longer = model(x[:1, :3], cache)
    full = model(torch.cat([x, x[:, :3]], dim=1))[:1, 20:]
    torch.testing.assert_close(longer, full, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_tensors_and_their_number_are_as_the_shape_tells(size: str) -> None:
    shape = ModelConfig(V, LAYOUT, **SIZES[size])
    with torch.device("meta"):
        model = Transformer(shape)
    assert {n: tuple(t.shape) for n, t in model.state_dict().items()} == tensor_shapes(shape)
    assert sum(p.numel() for p in model.parameters()) == shape.n_parameters
    assert {n for n, _ in model.named_parameters()} == set(tensor_shapes(shape))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(({"dim": bad}, f"dim must be a number in 1 to 1000000, got {bad}") for bad in (0, 2.5)),
        ({"n_layers": True}, "n_layers must be a number"),
        ({"rope_base": float("nan")}, "rope_base must be a number"),
        *(({"dim": bad}, f"dim / n_heads must be even, got {bad} / 4") for bad in (65, 60)),
        ({"n_heads": 4, "n_kv_heads": 3}, "n_heads must be a multiple of n_kv_heads, got 4, 3"),
        ({"n_layers": 129}, "at most 128 layers and a context of 16384, got 129, 2048"),
        ({"context": 16_385}, "at most 128 layers and a context of 16384"),
        ({"vocab_size": 1_000_000, "dim": 4096}, "at most 500000000 parameters, these are"),
        ({"vocab_size": V - 2}, rf"position names id {V - 2} of {V - 2}"),
        ({"layout": {"bos": 1}}, "unknown or missing key in the layout of events"),
        ({"layout": {**ASKED, "colour": 1}}, "key in the layout of events: colour"),
        ({"layout": {**ASKED, "eos": LAYOUT.pitch[0]}}, "have id .* in common"),
        *(({"layout": {**ASKED, "bos": bad}}, "bos must name ids") for bad in (-1, True, [1, 2])),
        *(({"layout": {**ASKED, "pitch": bad}}, "pitch must name ids") for bad in BAD_RANGES),
        ({"depth": 2}, r"unknown or missing keys .*depth; known"),
    ],
)
def test_a_shape_out_of_range_is_refused(changes: dict[str, Any], words: str) -> None:
    values = {"vocab_size": V, "layout": ASKED, **SIZES["tiny"], **changes}
    with pytest.raises(ValueError, match=words):
        ModelConfig.from_dict(values)
