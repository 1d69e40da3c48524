"""Write ids with a model: many rows in step, each with its own guide and random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.model.settings import check_guidance, check_sampling
from emomusic.model.transformer import Cache, Transformer

BLOCK = 8
"""Rows of one matrix product. It is always this wide, because a float product of another
width may round differently: so a row's result does not depend on how many others there are."""


class Guide(Protocol):
    """Say what a row may write next."""

    def forced(self) -> int | None:
        """Return the id that must come next, or None if it is to be sampled."""
        ...

    def allowed(self) -> NDArray[np.bool_]:
        """Return which ids may be sampled, shape (vocab_size,); at least one may."""
        ...

    def push(self, token: int) -> None:
        """Take note of the id that was written."""
        ...

    @property
    def done(self) -> bool:
        """Tell whether the row has ended."""
        ...

    @property
    def n_given(self) -> int:
        """Return how many control ids follow the row's first id."""
        ...


def sample_ids(
    logits: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    uniform: NDArray[np.float64],
    *,
    temperature: float | NDArray[np.float64],
    top_p: float | NDArray[np.float64],
) -> NDArray[np.int64]:
    """Draw one id a row among the likeliest that together hold top_p of the probability.

    Args:
        logits: Shape (n, vocab_size).
        allowed: Shape (n, vocab_size); others are never drawn.
        uniform: One number in [0, 1) a row, which decides the draw.
        temperature: In (0, 5], one for all or shape (n,); below 1 favours likely ids.
        top_p: In (0, 1], one for all or shape (n,); 1 keeps all.

    Returns:
        Ids, shape (n,).

    Reference: nucleus sampling of Holtzman et al. (2020), over the allowed ids.
    """
    heat, nucleus = np.reshape(temperature, (-1, 1)), np.reshape(top_p, (-1, 1))
    masked = np.where(allowed, logits.astype(np.float64), -np.inf)
    with np.errstate(over="ignore"):  # a temperature near 0 leaves nothing but the likeliest
        scaled = (masked - masked.max(axis=1, keepdims=True)) / heat
    order = np.argsort(-scaled, axis=1, kind="stable")
    weight = np.exp(np.take_along_axis(scaled, order, axis=1))
    total = weight.cumsum(axis=1)
    keep = total - weight < nucleus * total[:, -1:]
    kept = np.where(keep, total, 0.0).max(axis=1, keepdims=True)
    chosen = (total <= uniform[:, None] * kept).sum(axis=1)
    chosen = np.minimum(chosen, keep.sum(axis=1) - 1)
    return np.take_along_axis(order, chosen[:, None], axis=1)[:, 0]


@torch.inference_mode()
def write_block(
    model: Transformer,
    guides: Sequence[Guide | None],
    generators: Sequence[np.random.Generator | None],
    *,
    temperature: float | Sequence[float] = 1.0,
    top_p: float | Sequence[float] = 0.99,
    guidance: float = 1.0,
) -> None:
    """Write rows until each is done or the context is full; the guides keep what is written.

    A row's ids depend on its guide, its generator and its place in the block only.

    Args:
        model: On the CPU or a GPU, in evaluation mode.
        guides: At most `BLOCK`; None leaves a place empty.
        generators: One a guide; one uniform number is drawn from it for each sampled id.
        temperature: As `sample_ids`; one for all or one a place.
        top_p: As temperature.
        guidance: In [1, 5]; above 1 the logits are carried on from those without the control
            ids through those with them, at the cost of a second row for each.

    Raises:
        ValueError: If there are more guides than places or a setting is out of range.

    Reference: Ho and Salimans (2022), classifier-free guidance, on logits as Sanchez et al.
    (2023) have it.
    """
    heat = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(guides))
    nucleus = np.broadcast_to(np.asarray(top_p, dtype=np.float64), len(guides))
    for pair in zip(heat, nucleus, strict=True):
        check_sampling(*map(float, pair))
    check_guidance(guidance)
    if len(guides) > BLOCK or len(guides) != len(generators):
        raise ValueError(f"a block holds at most {BLOCK} rows with a generator each")
    n_given = [0 if guide is None or guidance == 1 else guide.n_given for guide in guides]
    decoder = _Decoder(model, n_given + [0] * (BLOCK - len(guides)), guidance)
    ids = np.zeros((BLOCK, 1), dtype=np.int64)
    logits = np.zeros((BLOCK, model.config.vocab_size), dtype=np.float32)
    for _ in range(model.config.context):
        live = [i for i, guide in enumerate(guides) if guide is not None and not guide.done]
        if not live:
            return
        free = [i for i in live if _force(guides[i], ids[i])]
        if free:
            rows = np.array(free)
            allowed = np.stack([_guide(guides[i]).allowed() for i in free])
            uniform = np.array([_generator(generators[i]).random() for i in free])
            ids[rows, 0] = sample_ids(
                logits[rows], allowed, uniform, temperature=heat[rows], top_p=nucleus[rows]
            )
        for i in live:
            _guide(guides[i]).push(int(ids[i, 0]))
        if any(not _guide(guides[i]).done for i in live):
            logits = decoder.step(ids)


class _Decoder:
    """Step all places of a block; with guidance each has a twin that sees no control ids."""

    def __init__(self, model: Transformer, n_given: Sequence[int], guidance: float) -> None:
        self.model, self.guidance = model, guidance
        self.device = model.embedding.weight.device
        self.n_given = np.array(n_given)[:, None]
        self.begin: NDArray[np.int64] | None = None
        n_rows = BLOCK if guidance == 1 else 2 * BLOCK
        self.cache = Cache(model.config, n_rows, device=self.device)
        first = np.concatenate([np.zeros(BLOCK, dtype=np.int64), self.n_given[:, 0]])
        self.first = torch.from_numpy(first).to(self.device)

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Take one id a place, shape (BLOCK, 1), and return logits, shape (BLOCK, vocab_size)."""
        if self.guidance == 1:
            output = self.model(torch.from_numpy(ids).to(self.device), self.cache)
            return np.asarray(output[:, 0].float().cpu())
        if self.begin is None:
            self.begin = ids.copy()
        # A twin begins where the controls end: positions are relative, so only that it does
        # not see them sets it apart.
        twins = np.where(self.cache.length <= self.n_given, self.begin, ids)
        both = torch.from_numpy(np.concatenate([ids, twins])).to(self.device)
        output = self.model(both, self.cache, self.first)[:, 0].float()
        told, free = output[:BLOCK], output[BLOCK:]
        return np.asarray((free + self.guidance * (told - free)).cpu())


def _guide(guide: Guide | None) -> Guide:
    assert guide is not None
    return guide


def _generator(generator: np.random.Generator | None) -> np.random.Generator:
    assert generator is not None
    return generator


def _force(guide: Guide | None, ids: NDArray[np.int64]) -> bool:
    """Put a forced id into its row; tell whether the row is to be sampled instead."""
    token = _guide(guide).forced()
    if token is not None:
        ids[0] = token
    return token is None
