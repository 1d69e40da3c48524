"""From logits to probabilities, and to listeners' valence and arousal with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emomusic.verify.analysis import Matrix

if TYPE_CHECKING:
    from emomusic.verify.ensemble import FeatureBatch
    from emomusic.verify.labels import FittingLabels

AXES = ("valence", "arousal")
SIGNS = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
"""Sign of valence and of arousal in Q1 to Q4, shape (4, 2)."""
DEFAULT_SLOPE = 0.2
"""Valence and arousal for a log-odds of 1 without listeners' values: VGMIDI's, rounded."""
DEFAULT_SPREAD = 0.25
"""Standard deviation of listeners' values round the predicted ones, likewise."""
TEMPERATURES = np.geomspace(0.3, 3.0, 61)
SPREAD_FACTORS = np.linspace(0.0, 2.0, 21)
SPREADS = np.linspace(0.05, 0.6, 56)
MIN_CLIPS = 20
"""A temperature or slope of its own takes at least this many clips."""


def softmax(logits: Matrix) -> Matrix:
    """Compute the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def log_odds(probabilities: Matrix) -> Matrix:
    """Compute the log-odds of positive valence and of positive arousal, (n, 4) -> (n, 2)."""
    positive = np.clip(probabilities @ (SIGNS > 0), 1e-9, 1.0 - 1e-9)
    return np.log(positive / (1.0 - positive))


@dataclass(frozen=True)
class Calibration:
    """Temperatures, slopes and spreads, fitted on clips of songs left out.

    Attributes:
        temperatures: Divide the logits of whole clips where familiarity is 0 and where it is 1,
            and those of single segments, shape (3,).
        slopes: Listeners' valence and arousal for a log-odds of 1, shape (2,).
        spread: Standard deviation of listeners' mean values round the predicted ones where all
            segments of a clip agree, shape (2,).
        spread_factor: How much the disagreement of the segments adds to it, shape (2,).
    """

    temperatures: Matrix
    slopes: Matrix
    spread: Matrix
    spread_factor: Matrix

    @classmethod
    def fit(
        cls, batch: FeatureBatch, logits: Matrix, familiarity: Matrix, *, labels: FittingLabels
    ) -> Calibration:
        """Fit on out-of-fold logits of all rows, (n + m, 4), and familiarity of clips, (n,).

        A temperature makes the quadrants that most people heard likeliest. A slope gives the
        predicted values the same root mean square as the listeners' (regression alone would
        shrink them towards 0).

        Reference:
            Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
        """
        hits, weight = np.eye(4)[labels.shares.argmax(axis=1)], labels.weight  # (n, 4), (n,)
        whole, n = batch.average(logits), batch.n_clips
        every = _temperature(whole, hits, weight)
        familiar = familiarity >= 0.5
        none, full = (
            _temperature(whole[mask], hits[mask], weight[mask])
            if mask.sum() >= MIN_CLIPS
            else every
            for mask in (~familiar, familiar)
        )
        owner = batch.owner[n:]
        single = _temperature(logits[n:], hits[owner], weight[owner]) if len(owner) else every
        odds = log_odds(softmax(whole / np.where(familiar, full, none)[:, None]))
        disagreement = batch.spread(log_odds(softmax(logits)))
        axes = zip(odds.T, disagreement.T, labels.values.T, strict=True)
        fitted = [_fit_axis(*of) for of in axes]
        return cls(np.array([none, full, single]), *np.array(fitted).T)

    def probabilities(self, logits: Matrix, familiarity: Matrix) -> Matrix:
        """Compute the probability of Q1 to Q4 of whole clips, shape (n, 4)."""
        none, full = np.log(self.temperatures[:2])
        return softmax(logits / np.exp(none + familiarity * (full - none))[:, None])

    def values(self, probabilities: Matrix) -> Matrix:
        """Compute the valence and arousal that go with probabilities, (n, 4) -> (n, 2)."""
        return np.clip(log_odds(probabilities) * self.slopes, -1.0, 1.0)

    def spreads(self, disagreement: Matrix) -> Matrix:
        """Compute the deviation of listeners' values from the predicted ones, shape (n, 2)."""
        added = disagreement * self.slopes * self.spread_factor
        return np.sqrt(self.spread**2 + added**2)


def _temperature(logits: Matrix, hits: Matrix, weight: Matrix) -> float:
    losses = [
        -weight @ (hits * np.log(softmax(logits / t) + 1e-12)).sum(axis=1) for t in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _fit_axis(odds: Matrix, disagreement: Matrix, values: Matrix) -> tuple[float, float, float]:
    """Fit slope, spread and spread factor of one axis, by the likelihood of normal errors."""
    rated = ~np.isnan(values)
    if rated.sum() < MIN_CLIPS:
        return DEFAULT_SLOPE, DEFAULT_SPREAD, 0.0
    odds, values = odds[rated], values[rated]
    slope = float(np.sqrt(np.mean(values**2)) / max(np.sqrt(np.mean(odds**2)), 1e-6))
    slope = max(slope, 1e-6)
    errors = (values - np.clip(slope * odds, -1.0, 1.0)) ** 2
    best = (np.inf, DEFAULT_SPREAD, 0.0)
    for factor in SPREAD_FACTORS:
        added = (factor * slope * disagreement[rated]) ** 2
        for spread in SPREADS:
            variance = spread**2 + added
            loss = float(np.mean(np.log(variance) + errors / variance))
            best = min(best, (loss, float(spread), float(factor)))
    return slope, best[1], best[2]
