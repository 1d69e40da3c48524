"""A decoder-only transformer: ids in, logits out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.model.shape import ModelConfig


def rotary_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, each of shape (context, head_dim / 2).

    Reference: Su et al. (2021), in the half-split layout.
    """
    half = config.head_dim // 2
    frequency = config.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = torch.outer(torch.arange(config.context, dtype=torch.float32), frequency)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each half-split pair of x by its angle.

    Args:
        x: Shape (..., T, head_dim).
        cos: Shape (T, head_dim / 2), or what fits so many of x; as sin.
        sin: As cos.
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def project(layer: nn.Linear, x: Tensor) -> Tensor:
    """Return the layer's product with x; bfloat16 weights take x as bfloat16 and give it back."""
    if layer.weight.dtype != torch.bfloat16 or x.dtype == torch.bfloat16:
        product: Tensor = layer(x)
        return product
    return F.linear(x.to(torch.bfloat16), layer.weight).to(x.dtype)


def has_fast_bfloat16() -> bool:
    """Tell whether this CPU multiplies bfloat16 natively: then it is twice as fast as float32."""
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(supported is not None and supported())


def _zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return zeros that on the CPU take up memory only where they are written over.

    A cache begins with zeros, not with what memory holds: what is hidden is still multiplied by
    nothing, and nothing times infinity is not a number.
    """
    if device.type != "cpu":
        return torch.zeros(shape, device=device, dtype=dtype)
    raw = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype).view(shape)


class Cache:
    """Hold the keys and values of past ids, preallocated, and where the ids in hand go.

    Attributes:
        keys: For each layer, shape (B, n_kv_heads, context, head_dim).
        values: As keys.
        at: Where the ids in hand go, shape (B,), or None if they begin the rows.
        span: How many positions are looked at.
        hidden: What is added to the scores of those, shape (B, 1, 1, span): 0, or -inf where a
            position is not seen. None if each id sees those before it.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        *,
        device: torch.device | str,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Allocate an empty cache for `batch` rows."""
        shape = (batch, config.n_kv_heads, config.context, config.head_dim)
        both = [_zeros(shape, torch.device(device), dtype) for _ in range(2 * config.n_layers)]
        self.keys, self.values = both[: config.n_layers], both[config.n_layers :]
        self.rows = torch.arange(batch, device=device)
        self.at: Tensor | None = None
        self.span = 0
        self.hidden: Tensor | None = None

    def seek(self, at: Tensor | None, span: int) -> None:
        """Say where the next ids go.

        Args:
            at: The position of each row's one id, shape (B,); None for ids that begin the rows.
            span: How many positions are looked at, more than any of `at`; later ones are not.
        """
        self.at, self.span, self.hidden = at, span, None
        if at is not None:
            seen = torch.arange(span, device=at.device) <= at[:, None]
            nothing = torch.zeros((), device=at.device, dtype=self.keys[0].dtype)
            self.hidden = torch.where(seen, nothing, -torch.inf)[:, None, None]

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep keys and values of shape (B, n_kv_heads, T, head_dim); return what is looked at."""
        keys, values = self.keys[layer], self.values[layer]
        k, v = k.to(keys.dtype), v.to(values.dtype)
        if self.at is None:
            keys[:, :, : self.span], values[:, :, : self.span] = k, v
            return k, v
        keys[self.rows, :, self.at], values[self.rows, :, self.at] = k[:, :, 0], v[:, :, 0]
        return keys[:, :, : self.span], values[:, :, : self.span]


class Attention(nn.Module):
    """Attend causally, several query heads to each key and value head."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the projections."""
        super().__init__()
        self.config = config
        width = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
        self.qkv = nn.Linear(config.dim, width, bias=False)
        self.out = nn.Linear(config.n_heads * config.head_dim, config.dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int
    ) -> Tensor:
        """Return the attended values, shape (B, T, dim)."""
        c, (batch, length, _) = self.config, x.shape
        qkv = project(self.qkv, x).view(batch, length, -1, c.head_dim).transpose(1, 2)
        turned, v = torch.split(qkv, [c.n_heads + c.n_kv_heads, c.n_kv_heads], dim=1)
        q, k = torch.split(rotate(turned, cos, sin), [c.n_heads, c.n_kv_heads], dim=1)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
            q = q.to(k.dtype)
        if cache is None or cache.hidden is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            # Heads that share keys are rows of one small product: no copy of the cache.
            q = q.reshape(batch, c.n_kv_heads, c.n_heads // c.n_kv_heads, c.head_dim)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=cache.hidden)
            y = y.reshape(batch, c.n_heads, 1, c.head_dim)
        if cache is not None:
            y = y.to(self.out.weight.dtype)
        return project(self.out, y.transpose(1, 2).reshape(batch, length, -1))


class Block(nn.Module):
    """Attention, then a gated feed-forward, each on the normalised residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        """Build the block."""
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.dim, eps=1e-5)
        self.attention = Attention(config)
        self.hidden_norm = nn.RMSNorm(config.dim, eps=1e-5)
        self.gate_up = nn.Linear(config.dim, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int
    ) -> Tensor:
        """Return the residual stream after this block, shape (B, T, dim)."""
        x = x + self.attention(self.attention_norm(x), cos, sin, cache, layer)
        gate, up = project(self.gate_up, self.hidden_norm(x)).chunk(2, dim=-1)
        return x + project(self.down, F.silu(gate) * up)


class Transformer(nn.Module):
    """Predict the next id.

    Reference: the Llama block (Touvron et al. 2023) with RMSNorm, rotary positions, SwiGLU,
    grouped-query attention and tied embeddings.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Build the model with random weights drawn from torch's generator."""
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.dim, eps=1e-5)
        self.reset_tables()
        self._initialise()

    def reset_tables(self) -> None:
        """Compute the rotary tables anew; they are not among the stored weights."""
        cos, sin = rotary_table(self.config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def use_bfloat16(self) -> None:
        """Keep the blocks' matrices in bfloat16, as they are stored and were trained with.

        The rest stays float32: embedding, norms, attention and its cache.
        """
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                scale = (2 * self.config.n_layers) ** -0.5 if residual else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits, shape (B, T, vocab_size).

        Args:
            ids: Shape (B, T); they begin the rows.

        Raises:
            ValueError: If the ids do not fit into the context.
        """
        length = ids.shape[1]
        if length > self.config.context:
            raise ValueError(f"{length} ids do not fit into a context of {self.config.context}")
        return self._logits(self._stream(ids, None, self.cos[:length], self.sin[:length]))

    def fill(self, ids: Tensor, cache: Cache) -> None:
        """Let a cache hold ids that begin the rows, shape (B, T).

        A row may be shorter: what stands behind its ids is hidden until it is written over.
        """
        length = ids.shape[1]
        if length:
            cache.seek(None, length)
            self._stream(ids, cache, self.cos[:length], self.sin[:length])

    def step(self, ids: Tensor, cache: Cache, at: Tensor, *, span: int) -> Tensor:
        """Return the logits after one more id a row, shape (B, vocab_size).

        All shapes follow from the batch and the span alone, so that a step may be captured.

        Args:
            ids: Shape (B,).
            cache: The rows' past; the ids are added to it.
            at: Where in its row each id stands, shape (B,); a row sees what stands up to there.
            span: How many positions are looked at, more than any of `at`, at most the context.
        """
        cache.seek(at, span)
        cos, sin = self.cos[at][:, None, None], self.sin[at][:, None, None]
        return self._logits(self._stream(ids[:, None], cache, cos, sin))[:, 0]

    def _stream(self, ids: Tensor, cache: Cache | None, cos: Tensor, sin: Tensor) -> Tensor:
        x: Tensor = self.embedding(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, cache, layer)
        return x

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.embedding.weight)
