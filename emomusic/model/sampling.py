"""Draw from logits: the settings, and the reference for every engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emomusic.model import MAX_GUIDANCE, MAX_TEMPERATURE


def check_sampling(temperature: float, top_p: float) -> None:
    """Check the two settings of sampling.

    Raises:
        ValueError: If temperature is not in (0, 5] or top_p not in (0, 1].
    """
    if not 0 < temperature <= MAX_TEMPERATURE:
        raise ValueError(f"temperature must be in (0, {MAX_TEMPERATURE}], got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}")


def check_guidance(guidance: float) -> None:
    """Check the strength of guidance.

    Raises:
        ValueError: If it is not in [1, 5].
    """
    if not 1 <= guidance <= MAX_GUIDANCE:
        raise ValueError(f"guidance must be in [1, {MAX_GUIDANCE}], got {guidance}")


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
