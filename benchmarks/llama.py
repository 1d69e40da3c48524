"""A Llama network in plain torch with a preallocated cache, as anyone would write it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.model.shape import ModelConfig
from emomusic.model.transformer import Transformer


class Past:
    """Hold keys and values of what was read, up to a capacity.

    Attributes:
        keys: For each layer, shape (B, n_kv_heads, capacity, head_dim).
        values: As keys.
        length: Positions held.
    """

    def __init__(
        self, config: ModelConfig, batch: int, *, capacity: int, dtype: torch.dtype
    ) -> None:
        """Hold nothing yet."""
        shape = (batch, config.n_kv_heads, capacity, config.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype) for _ in range(config.n_layers)]
        self.values = [torch.zeros(shape, dtype=dtype) for _ in range(config.n_layers)]
        self.length = 0

    def pretend(self, length: int) -> None:
        """Hold random positions: for the time it does not matter what they say."""
        for past in (*self.keys, *self.values):
            past[:, :, :length] = torch.randn(past.shape[-1]).to(past.dtype)
        self.length = length

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep more, and return all that is held."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class LlamaBlock(nn.Module):
    """Attention with rotary positions, then a gated feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        """Build it."""
        super().__init__()
        self.config = config
        width = config.n_heads * config.head_dim
        self.attention_norm = nn.RMSNorm(config.dim, eps=1e-5)
        self.qkv = nn.Linear(
            config.dim, width + 2 * config.n_kv_heads * config.head_dim, bias=False
        )
        self.out = nn.Linear(width, config.dim, bias=False)
        self.hidden_norm = nn.RMSNorm(config.dim, eps=1e-5)
        self.gate_up = nn.Linear(config.dim, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], past: Past, layer: int) -> Tensor:
        """Return the stream after this block, shape (B, T, dim)."""
        c, (batch, length, _) = self.config, x.shape
        heads = self.qkv(self.attention_norm(x)).view(batch, length, -1, c.head_dim)
        q, k, v = heads.transpose(1, 2).split([c.n_heads, c.n_kv_heads, c.n_kv_heads], dim=1)
        k, v = past.extend(layer, turned(k, *turn), v)
        q = turned(q, *turn)
        if length > 1:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:  # heads that share keys are rows of one product
            q = q.reshape(batch, c.n_kv_heads, -1, c.head_dim)
            y = F.scaled_dot_product_attention(q, k, v).reshape(batch, c.n_heads, 1, c.head_dim)
        x = x + self.out(y.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(self.hidden_norm(x)).chunk(2, dim=-1)
        z: Tensor = x + self.down(F.silu(gate) * up)
        return z


class LlamaNet(nn.Module):
    """Blocks between vectors; ids become vectors by its embedding."""

    def __init__(self, config: ModelConfig) -> None:
        """Build it; its weights are to be set."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(LlamaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.dim, eps=1e-5)
        half = config.head_dim // 2
        frequency = config.rope_base ** (-torch.arange(half) / half)
        angle = torch.outer(torch.arange(config.context), frequency)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())
        self.cos: Tensor
        self.sin: Tensor

    def start(self, batch: int, *, capacity: int) -> Past:
        """Return an empty past of the weights' data type."""
        return Past(self.config, batch, capacity=capacity, dtype=self.norm.weight.dtype)

    def forward(self, x: Tensor, past: Past) -> Tensor:
        """Return what vectors become, shape (B, T, dim); T is 1 unless nothing is held."""
        at = slice(past.length, past.length + x.shape[1])
        turn = self.cos[at], self.sin[at]
        for layer, block in enumerate(self.blocks):
            x = block(x, turn, past, layer)
        past.length += x.shape[1]
        y: Tensor = self.norm(x)
        return y

    def logits(self, ids: Tensor, past: Past) -> Tensor:
        """Return the logits of ids, shape (B, T, V), by the embedding."""
        return F.linear(self(self.embedding(ids), past), self.embedding.weight)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return x with each pair of its halves turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def as_llama(model: Transformer) -> LlamaNet:
    """Return the same network with the same weights."""
    net = LlamaNet(model.config)
    state = {name.replace("attention.", ""): value for name, value in model.state_dict().items()}
    net.load_state_dict(state, strict=False)
    return net.eval()
