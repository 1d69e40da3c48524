"""Predicted valence and arousal against those of listeners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emomusic.evaluation.intervals import correlation_interval
from emomusic.verify.groups import Matrix

FEWEST = 3
WIDTHS = {"within_1_sd": 1.0, "within_1.64_sd": 1.645}
"""Widths of intervals in standard deviations; a normal error lies within in 68 % and 90 %."""


@dataclass(frozen=True)
class Values:
    """Hold how one axis follows listeners.

    Attributes:
        n: Clips that listeners rated.
        r: Pearson's correlation, mean over runs.
        r_sd: Its standard deviation over runs.
        r_low: Lower end of the 95 % bootstrap interval over songs.
        r_high: Upper end.
        error: Root mean square of predicted minus rated.
        spread: Mean of the stated standard deviation; None where none is stated.
        within: Share of rated values inside the stated intervals, by WIDTHS.
    """

    n: int
    r: float
    r_sd: float
    r_low: float
    r_high: float
    error: float
    spread: float | None
    within: dict[str, float]

    def to_dict(self) -> dict[str, float | int | None]:
        """Return all by name, rounded."""
        plain = {k: v for k, v in vars(self).items() if k != "within"} | self.within
        return {k: v if v is None else round(v, 4) for k, v in plain.items()}


def correlation(predicted: Matrix, rated: Matrix) -> float:
    """Return Pearson's correlation; NaN for fewer than 3 values or where one never varies."""
    if len(rated) < FEWEST or min(predicted.std(), rated.std()) < 1e-9:
        return float("nan")
    return float(np.corrcoef(predicted, rated)[0, 1])


def values_of(
    predicted: Matrix, spreads: Matrix, rated: Matrix, groups: Sequence[str]
) -> Values | None:
    """Compare predicted values with listeners' on one axis.

    Args:
        predicted: Shape (n_runs, n).
        spreads: Standard deviations stated, shape (n_runs, n); NaN where none is.
        rated: Listeners' means, NaN where nobody was asked, shape (n,).
        groups: Song of each clip.

    Returns:
        None where fewer than three clips were rated, or answers never vary.
    """
    asked = np.flatnonzero(~np.isnan(rated))
    each = [correlation(run[asked], rated[asked]) for run in predicted]
    if len(asked) < FEWEST or np.isnan(each).any():
        return None
    songs = [groups[k] for k in asked.tolist()]
    low, high = correlation_interval(predicted[:, asked], rated[asked], songs)
    errors, stated = predicted[:, asked] - rated[asked], spreads[:, asked]
    told = not np.isnan(stated).any()
    within = {k: float((np.abs(errors) <= z * stated).mean()) for k, z in WIDTHS.items()}
    return Values(
        n=len(asked),
        r=float(np.mean(each)),
        r_sd=float(np.std(each)),
        r_low=low,
        r_high=high,
        error=float(np.sqrt((errors**2).mean())),
        spread=float(stated.mean()) if told else None,
        within=within if told else {},
    )
