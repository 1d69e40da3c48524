"""The ranges of the sampling settings, apart from torch so that checking them is quick."""

from __future__ import annotations

MAX_TEMPERATURE = MAX_GUIDANCE = 5.0


def check_sampling(temperature: float, top_p: float) -> None:
    """Check the two settings of sampling.

    Raises:
        ValueError: If temperature is not in (0, 5] or top_p not in (0, 1].
    """
    if not 0 < temperature <= MAX_TEMPERATURE:
        raise ValueError(f"temperature must be in (0, 5], got {temperature}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must be in (0, 1], got {top_p}")


def check_guidance(guidance: float) -> None:
    """Check the strength of guidance.

    Raises:
        ValueError: If it is not in [1, 5].
    """
    if not 1 <= guidance <= MAX_GUIDANCE:
        raise ValueError(f"guidance must be in [1, 5], got {guidance}")
