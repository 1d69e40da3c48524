"""A decoder-only transformer over events: what enters together is one position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name torch itself uses

from emomusic.model.checkpoint import ModelConfig
from emomusic.model.events import ADVANCE, CHORD_A, CHORD_B, DURATION, PITCH, VELOCITY

EPS = 1e-5
BEFORE = {ADVANCE: (), PITCH: (ADVANCE,), VELOCITY: (ADVANCE, PITCH),
          DURATION: (ADVANCE, PITCH, VELOCITY), CHORD_A: (), CHORD_B: (CHORD_A,)}  # fmt: skip
"""The slots of the same event that each slot is told of."""


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each half-split pair of x, shape (..., T, head_dim), by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def normalise(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Divide the last dimension by its root mean square, in float32."""
    return F.rms_norm(x.float(), (x.shape[-1],), weight, EPS)


class Cache:
    """Hold keys and values, (B, n_kv_heads, n_past, head_dim), of past events, layer by layer."""

    def __init__(self, n_layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * n_layers
        self.values: list[Tensor | None] = [None] * n_layers

    @property
    def length(self) -> int:
        return 0 if self.keys[0] is None else self.keys[0].shape[2]

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of shape (B, n_kv_heads, T, head_dim); return all."""
        keys, values = self.keys[layer], self.values[layer]
        if keys is not None and values is not None:
            k, v = torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)
        self.keys[layer], self.values[layer] = k, v
        return k, v

    def keep(self, n: int) -> None:
        """Forget all but the first n sequences of the batch."""
        self.keys = [None if k is None else k[:n] for k in self.keys]
        self.values = [None if v is None else v[:n] for v in self.values]


class Attention(nn.Module):
    """Attend causally, several query heads to each key and value head.

    Queries and keys are normalised, and each head has a gain of its own.

    Reference: query-key normalisation of Henry et al. (2020); grouped queries of Ainslie et
    al. (2023).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
        self.qkv = nn.Linear(config.dim, width, bias=False)
        self.gain = nn.Parameter(torch.empty(config.n_heads))
        self.out = nn.Linear(config.n_heads * config.head_dim, config.dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int
    ) -> Tensor:
        """Return the attended values, shape (B, T, dim)."""
        c, (batch, length, _) = self.config, x.shape
        # (B, T, n_heads + 2 n_kv, head_dim) -> (B, heads, T, head_dim)
        qkv = self.qkv(x).view(batch, length, -1, c.head_dim).transpose(1, 2)
        turned, v = torch.split(qkv, [c.n_heads + c.n_kv_heads, c.n_kv_heads], dim=1)
        turned = rotate(normalise(turned), cos, sin)
        q, k = torch.split(turned, [c.n_heads, c.n_kv_heads], dim=1)
        q, k = (q * self.gain[:, None, None]).to(v.dtype), k.to(v.dtype)
        n_past = 0
        if cache is not None:
            n_past = cache.length if layer == 0 else cache.length - length
            k, v = cache.extend(layer, k, v)
        # What is new sees all that is past, and of the new what stands before it.
        mask = None
        if n_past and length > 1:
            mask = torch.ones(length, n_past + length, dtype=torch.bool, device=x.device)
            mask = mask.tril(n_past)
        y = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=not n_past and length > 1, enable_gqa=True
        )
        found: Tensor = self.out(y.transpose(1, 2).reshape(batch, length, -1))
        return found


class Block(nn.Module):
    """Attention, then a gated feed-forward, each on the normalised residual stream."""

    def __init__(self, config: ModelConfig, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.attention_norm = nn.Parameter(torch.empty(config.dim))
        self.attention = Attention(config)
        self.hidden_norm = nn.Parameter(torch.empty(config.dim))
        self.gate_up = nn.Linear(config.dim, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: Cache | None, layer: int
    ) -> Tensor:
        """Return the residual stream after this block, shape (B, T, dim)."""
        attended = self.attention(normalise(x, self.attention_norm), cos, sin, cache, layer)
        x = x + F.dropout(attended, self.dropout, self.training)
        gate, up = self.gate_up(normalise(x, self.hidden_norm)).chunk(2, dim=-1)
        return x + F.dropout(self.down(F.silu(gate) * up), self.dropout, self.training)


class Slot(nn.Module):
    """Write one part of an event: a gated layer, then its own choices."""

    def __init__(self, config: ModelConfig, n_choices: int, n_told: int) -> None:
        super().__init__()
        self.norm = nn.Parameter(torch.empty(config.dim))
        self.gate_up = nn.Linear(config.dim, 2 * config.inner, bias=False)
        self.down = nn.Linear(config.inner, config.dim, bias=False)
        self.head_norm = nn.Parameter(torch.empty(config.dim))
        self.head = nn.Linear(config.dim, n_choices, bias=False)
        self.told = nn.Embedding(n_told, config.dim) if n_told else None

    def forward(self, z: Tensor) -> Tensor:
        """Return what the head reads, shape (..., dim), from the state, of the same shape."""
        gate, up = self.gate_up(normalise(z, self.norm)).chunk(2, dim=-1)
        return normalise(z + self.down(F.silu(gate) * up), self.head_norm)


class Transformer(nn.Module):
    """Foretell the next event, slot by slot.

    Reference: the Llama block (Touvron et al. 2023) with RMSNorm, rotary positions, SwiGLU,
    grouped-query attention; one position a note with an inner decoder as in Compound Word
    (Hsiao et al. 2021) and Nested Music Transformer (Ryu et al. 2024).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig, *, dropout: float = 0.0) -> None:
        """Draw random weights; training drops a share of the blocks' outputs, the dropout."""
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size + 1, config.dim))
        self.blocks = nn.ModuleList(Block(config, dropout) for _ in range(config.n_layers))
        self.norm = nn.Parameter(torch.empty(config.dim))
        sizes = zip(config.layout.n_choices, config.n_told, strict=True)
        self.slots = nn.ModuleList(Slot(config, n, told) for n, told in sizes)
        self.reset_tables()
        self._initialise()

    def reset_tables(self) -> None:
        """Compute cosines and sines, (context, head_dim / 2), which are not stored, anew.

        Reference: rotary positions of Su et al. (2021), in the half-split layout.
        """
        half = self.config.head_dim // 2
        frequency = self.config.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
        angle = torch.outer(torch.arange(self.config.context, dtype=torch.float32), frequency)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("gain"):
                # Scores begin with a deviation of about 0.4 of what unit vectors would allow.
                nn.init.constant_(parameter, 0.4 * self.config.head_dim**0.5)
            elif parameter.dim() < 2:
                nn.init.ones_(parameter)
            elif name.endswith(("out.weight", "down.weight")):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=0.02)

    def embed(self, rows: Tensor, start: Tensor) -> Tensor:
        """Return the sum of the embeddings of each event, shape (n_events, dim).

        Args:
            rows: Of the embedding, event after event, shape (n_rows,).
            start: Where each event begins in them, shape (n_events,).
        """
        return F.embedding_bag(rows, self.embedding, start, mode="sum")

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Return the state after each event, normalised, shape (B, T, dim).

        Args:
            x: Embedded events, shape (B, T, dim).
            cache: Those before; these are added to it.

        Raises:
            ValueError: If the events do not fit into the context.
        """
        past = 0 if cache is None else cache.length
        end = past + x.shape[1]
        if end > self.config.context:
            raise ValueError(f"{end} events do not fit into a context of {self.config.context}")
        cos, sin = self.cos[past:end], self.sin[past:end]
        for layer, block in enumerate(self.blocks):
            x = block(x, cos, sin, cache, layer)
        return normalise(x, self.norm)

    def logits(self, slot: int, state: Tensor, chosen: Tensor) -> Tensor:
        """Return the logits of a slot, shape (n, n_choices).

        Args:
            state: After the event before, shape (n, dim).
            chosen: What the event's slots have chosen, shape (n, n_slots); those that the slot
                is told of must be there.
        """
        for earlier in BEFORE[slot]:
            state = state + self.slots[earlier].told(chosen[:, earlier])  # type: ignore[operator] # it is an embedding where another slot is told of it
        found: Tensor = self.slots[slot].head(self.slots[slot](state))  # type: ignore[operator] # a layer
        return found
