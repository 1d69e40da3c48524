"""A network of the published size of EmoGen's, with random weights: linear attention.

Six layers of width 512, 8 heads, inner width 2048, 458 ids, and 100 attributes whose embeddings
are projected and added to every id. The published decoder keeps no state: each step computes
the whole prefix anew (`recompute`). A linear attention could carry a state of fixed size from
step to step (`recurrent`), which is measured beside it.

Reference: Kang et al. (2023), EmoGen; Katharopoulos et al. (2020), linear attention with
elu + 1. Written anew from the published sizes; the causal product is one of matrices here,
which is faster than their loop.
"""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from benchmarks.measure import Bench, Clock
from benchmarks.peers.torch_eager import draw_top_p
from benchmarks.writing import IDS_A_NOTE, N_CLIP

NEEDS: tuple[str, ...] = ()
N_ATTRIBUTES, N_LEVELS, ATTRIBUTE_WIDTH = 100, 2, 16
TOP_P = 0.9
STRATA, QUICK_STRATA = 10, 4
"""Prefix lengths at which a step is timed: they part a clip evenly."""
State = list[tuple[Tensor, Tensor]]


class Layer(nn.Module):
    """Linear attention and a feed-forward."""

    def __init__(self, dim: int, n_heads: int, hidden: int) -> None:
        """Build it."""
        super().__init__()
        self.n_heads = n_heads
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))

    def _mapped(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        return F.elu(q) + 1, F.elu(k) + 1, v

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.norms[0](x + self.out(attended.transpose(1, 2).reshape(x.shape)))
        y: Tensor = self.norms[1](x + self.down(F.gelu(self.up(x))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for a whole prefix, shape (B, T, dim)."""
        q, k, v = self._mapped(x)
        weight = (q @ k.transpose(-1, -2)).tril()
        return self._after(x, weight @ v / (weight.sum(dim=-1, keepdim=True) + 1e-6))

    def step(self, x: Tensor, past: Tensor, norm: Tensor) -> Tensor:
        """Return the output for one more id, shape (B, 1, dim), and change the state in place."""
        q, k, v = self._mapped(x)
        past += k.transpose(-1, -2) @ v
        norm += k
        return self._after(x, q @ past / ((q * norm).sum(dim=-1, keepdim=True) + 1e-6))


class EmoGenNet(nn.Module):
    """Predict ids under attributes."""

    def __init__(
        self, *, vocab_size: int = 458, dim: int = 512, n_layers: int = 6, n_heads: int = 8,
        hidden: int = 2048, context: int = 1280,
    ) -> None:  # fmt: skip
        """Build it with torch's own random weights."""
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.attributes = nn.Parameter(torch.randn(N_ATTRIBUTES, N_LEVELS, ATTRIBUTE_WIDTH))
        self.project = nn.Linear(N_ATTRIBUTES * ATTRIBUTE_WIDTH, dim)
        self.layers = nn.ModuleList(Layer(dim, n_heads, hidden) for _ in range(n_layers))
        self.head = nn.Linear(dim, vocab_size, bias=False)
        position = torch.arange(context)[:, None] * torch.exp(
            -math.log(10_000.0) * torch.arange(dim // 2) / (dim // 2)
        )
        self.register_buffer("positions", torch.cat([position.sin(), position.cos()], dim=1))
        self.positions: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits of a whole prefix, as published: attributes projected at every id."""
        asked = self.attributes[:, 0].reshape(1, 1, -1).repeat_interleave(ids.shape[1], dim=1)
        x = self.embedding(ids) + self.project(asked) + self.positions[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x)
        y: Tensor = self.head(x)
        return y

    def begin(self, batch: int) -> tuple[Tensor, State]:
        """Return the projected attributes and an empty state."""
        kind, dim = self.head.weight.dtype, self.embedding.embedding_dim
        state = []
        for layer in self.layers:
            heads = int(layer.n_heads)  # type: ignore[arg-type] # modules are loosely typed
            width = dim // heads
            past = torch.zeros(batch, heads, width, width, dtype=kind)
            state.append((past, torch.zeros(batch, heads, 1, width, dtype=kind)))
        return self.project(self.attributes[:, 0].reshape(1, 1, -1)), state

    def step(self, ids: Tensor, at: int, asked: Tensor, state: State) -> Tensor:
        """Return the logits after one more id of each row, shape (B, 1, V)."""
        x = self.embedding(ids) + asked + self.positions[at]
        for layer, (past, norm) in zip(self.layers, state, strict=True):
            x = layer.step(x, past, norm)  # type: ignore[operator] # modules are loosely typed
        y: Tensor = self.head(x)
        return y


@torch.inference_mode()
def recompute_seconds(model: EmoGenNet, n_ids: int, *, strata: int) -> float:
    """Return what a clip takes without a state, from steps at evenly spread prefixes."""
    seconds = 0.0
    for i in range(strata):
        length = round((i + 0.5) * n_ids / strata)
        ids = torch.zeros(1, length, dtype=torch.long)
        start = time.perf_counter()
        draw_top_p(model(ids)[:, -1], top_p=TOP_P)
        seconds += time.perf_counter() - start
    return seconds / strata * n_ids


@torch.inference_mode()
def recurrent_seconds(model: EmoGenNet, n_ids: int) -> float:
    """Return what a clip takes with a state."""
    start = time.perf_counter()
    asked, state = model.begin(1)
    ids = torch.zeros(1, 1, dtype=torch.long)
    for at in range(n_ids):
        ids = draw_top_p(model.step(ids, at, asked, state)[:, 0], top_p=TOP_P)
    return time.perf_counter() - start


def measure(bench: Bench, *, dtype: str = "float32", decoding: str = "recompute") -> None:
    """Measure ids and notes a second with a data type, as published or with a state."""
    torch.set_num_threads(bench.threads)
    torch.manual_seed(0)
    model = EmoGenNet().to(getattr(torch, dtype)).eval()
    recurrent_seconds(model, 8)
    n_ids, strata = (200, QUICK_STRATA) if bench.quick else (N_CLIP, STRATA)
    end = time.perf_counter() + bench.seconds
    while True:
        with Clock() as clock:
            if decoding == "recompute":
                seconds = recompute_seconds(model, N_CLIP, strata=strata)
            else:
                seconds = recurrent_seconds(model, n_ids) * N_CLIP / n_ids
        bench.sample("notes", "notes/s", N_CLIP / seconds / IDS_A_NOTE, clock)
        bench.sample("ids", "ids/s", N_CLIP / seconds, clock)
        if time.perf_counter() + clock.seconds > end:
            break
    bench.memory()
