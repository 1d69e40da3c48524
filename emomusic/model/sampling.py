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


def sample_choice(
    logits: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    uniform: float,
    *,
    temperature: float,
    top_p: float,
) -> int:
    """Draw one choice among the likeliest that together hold top_p of the probability.

    Args:
        logits: Shape (n_choices,).
        allowed: Shape (n_choices,); others are never drawn.
        uniform: A number in [0, 1), which decides the draw.
        temperature: In (0, 5]; below 1 favours what is likely.
        top_p: In (0, 1]; 1 keeps all.

    Reference: nucleus sampling of Holtzman et al. (2020), over the allowed choices.
    """
    masked = np.where(allowed, logits.astype(np.float64), -np.inf)
    with np.errstate(over="ignore"):  # a temperature near 0 leaves nothing but the likeliest
        scaled = (masked - masked.max()) / temperature
    order = np.argsort(-scaled, kind="stable")
    weight = np.exp(scaled[order])
    total = weight.cumsum()
    n_kept = int((total - weight < top_p * total[-1]).sum())
    drawn = int((total <= uniform * total[n_kept - 1]).sum())
    return int(order[min(drawn, n_kept - 1)])
