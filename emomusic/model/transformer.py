"""A decoder-only transformer: ids in, logits out."""

from __future__ import annotations

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
        cos: Shape (T, head_dim / 2), as sin.
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


class Cache:
    """Hold the keys and values of past ids, preallocated.

    Attributes:
        keys: For each layer, shape (B, n_kv_heads, context, head_dim).
        values: As keys.
        length: Ids held so far.
    """

    def __init__(self, config: ModelConfig, batch: int, *, device: torch.device | str) -> None:
        """Allocate an empty cache for `batch` rows."""
        shape = (batch, config.n_kv_heads, config.context, config.head_dim)
        self.keys = [torch.empty(shape, device=device) for _ in range(config.n_layers)]
        self.values = [torch.empty(shape, device=device) for _ in range(config.n_layers)]
        self.length = 0


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
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: Cache | None,
        layer: int,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Return the attended values, shape (B, T, dim); with a cache, T is 1."""
        c, (batch, length, _) = self.config, x.shape
        qkv = project(self.qkv, x).view(batch, length, -1, c.head_dim).transpose(1, 2)
        q, k, v = torch.split(qkv, [c.n_heads, c.n_kv_heads, c.n_kv_heads], dim=1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        else:
            at = cache.length
            cache.keys[layer][:, :, at] = k[:, :, 0]
            cache.values[layer][:, :, at] = v[:, :, 0]
            k, v = cache.keys[layer][:, :, : at + 1], cache.values[layer][:, :, : at + 1]
            # Heads that share keys are rows of one small product: no copy of the cache.
            q = q.view(batch, c.n_kv_heads, c.n_heads // c.n_kv_heads, c.head_dim)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
            y = y.reshape(batch, c.n_heads, 1, c.head_dim)
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
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        cache: Cache | None,
        layer: int,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Return the residual stream after this block, shape (B, T, dim)."""
        x = x + self.attention(self.attention_norm(x), cos, sin, cache, layer, visible)
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

    def forward(
        self, ids: Tensor, cache: Cache | None = None, first: Tensor | None = None
    ) -> Tensor:
        """Return logits.

        Args:
            ids: Shape (B, T), T at most the context; with a cache, T is 1.
            cache: Past ids; None means that ids begin the rows. One id is added to it.
            first: With a cache, the position from which on each row sees its past, shape (B,);
                None means from the beginning.

        Returns:
            Logits, shape (B, T, vocab_size).

        Raises:
            ValueError: If the ids do not fit into the context, or T is not 1 with a cache.
        """
        start = cache.length if cache is not None else 0
        length = ids.shape[1]
        if start + length > self.config.context:
            raise ValueError(
                f"{start + length} ids do not fit into a context of {self.config.context}"
            )
        if cache is not None and length != 1:
            raise ValueError(f"with a cache one id a row is expected, got {length}")
        cos, sin = self.cos[start : start + length], self.sin[start : start + length]
        visible = None
        if first is not None:
            past = torch.arange(start + 1, device=ids.device)
            visible = (past >= first.clamp(max=start)[:, None])[:, None, None, :]
        x = self.embedding(ids)
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, cache, layer, visible)
        if cache is not None:
            cache.length += 1
        return F.linear(self.norm(x), self.embedding.weight)
