"""Means and shares with their intervals, as plain rounded values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emomusic.evaluation.intervals import mean_interval, wilson
from emomusic.evaluation.moving.hearing import Matrix


def told(values: Sequence[float]) -> list[float]:
    """Return rounded values; none where one is not a number."""
    return [] if np.isnan(values).any() else [round(float(x), 4) for x in values]


def told_mean(values: Matrix) -> list[float]:
    """Return the mean of what is a number, with its 95 % bootstrap interval; none of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return []
    ends = mean_interval(known, [str(i) for i in range(len(known))])
    return told([float(known.mean()), *ends])


def told_share(right: Any) -> list[float]:
    """Return the share of what is true, with its 95 % Wilson interval; none of none."""
    if not len(right):
        return []
    share = float(np.mean(right))
    return told([share, *wilson(share, len(right))])
