"""From logits to probabilities, and to listeners' valence and arousal with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.verify.ears.senses import Matrix
from emomusic.verify.members import log_odds, softmax

UNASKED_SLOPE = 0.2
"""Valence and arousal for a log-odds of 1 without listeners: as fitted on VGMIDI, rounded."""
UNASKED_SPREAD = 0.25
"""Standard deviation of their values round the predicted ones, likewise."""
TEMPERATURES = np.geomspace(0.3, 3.0, 61)
SPREAD_FACTORS = np.linspace(0.0, 2.0, 21)
FEWEST = 20
"""So few clips are too few to fit a temperature of their own."""


@dataclass(frozen=True)
class Calibration:
    """Hold what was fitted on clips of songs left out.

    Attributes:
        temperatures: Divide the logits of whole clips where trust is none and where it is full,
            and those of single parts, shape (3,).
        slopes: Listeners' valence and arousal for a log-odds of 1, shape (2,).
        spread: Standard deviation of listeners' mean values round the predicted where all parts
            of a clip sound alike, shape (2,).
        spread_factor: How much the disagreement of the parts adds to it, shape (2,).
    """

    temperatures: Matrix
    slopes: Matrix
    spread: Matrix
    spread_factor: Matrix

    def probabilities(self, logits: Matrix, trust: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 of whole clips, shape (n, 4)."""
        none, full = np.log(self.temperatures[:2])
        return softmax(logits / np.exp(none + trust * (full - none))[:, None])

    def part_probabilities(self, logits: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 of parts heard by themselves, shape (n, 4)."""
        return softmax(logits / self.temperatures[2])

    def values(self, probabilities: Matrix) -> Matrix:
        """Return the valence and arousal that go with probabilities, shape (n, 2)."""
        return np.clip(log_odds(probabilities) * self.slopes, -1.0, 1.0)

    def spreads(self, disagreement: Matrix) -> Matrix:
        """Return the standard deviation of listeners' values round the predicted, shape (n, 2).

        Args:
            disagreement: Standard deviation of the parts' log-odds, shape (n, 2).
        """
        added = disagreement * self.slopes * self.spread_factor
        total: Matrix = np.sqrt(self.spread**2 + added**2)
        return total

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all as named arrays."""
        return {f"calibration.{name}": value for name, value in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Calibration:
        """Build from what `arrays` returned; it is for the caller to check."""
        names = ("temperatures", "slopes", "spread", "spread_factor")
        return cls(*(arrays[f"calibration.{name}"] for name in names))


@dataclass(frozen=True)
class LeftOut:
    """Hold what was heard in clips by machines that never learned from their songs.

    Attributes:
        logits: Of whole clips, their parts heard too, shape (n, 4).
        trust: In touch and dynamics, shape (n,).
        disagreement: Standard deviation of the parts' log-odds, shape (n, 2).
        parts: Logits of single parts, shape (m, 4).
        part_of: The clip of each part, shape (m,).
    """

    logits: Matrix
    trust: Matrix
    disagreement: Matrix
    parts: Matrix
    part_of: NDArray[np.int64]


def calibrate(
    heard: LeftOut, shares: Matrix, valence: Matrix, arousal: Matrix, weight: Matrix
) -> Calibration:
    """Fit temperatures, slopes and spreads on clips left out.

    A temperature makes the quadrants that most people heard most likely. A slope gives the
    predicted values the same root mean square as the listeners' (regression alone would shrink
    them towards 0).

    Args:
        heard: What was heard.
        shares: Shares of quadrants that people heard, shape (n, 4).
        valence: Listeners' values, NaN where nobody was asked, shape (n,).
        arousal: The same.
        weight: How much each clip counts, shape (n,).

    Reference:
        Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    labels = np.eye(4)[shares.argmax(axis=1)]
    every = _temperature(heard.logits, labels, weight)
    kinds = [heard.trust < 0.5, heard.trust >= 0.5]
    own = [
        _temperature(heard.logits[mask], labels[mask], weight[mask])
        if mask.sum() >= FEWEST
        else every
        for mask in kinds
    ]
    part = heard.part_of
    single = _temperature(heard.parts, labels[part], weight[part]) if len(part) else every
    odds = log_odds(softmax(heard.logits / np.where(kinds[1], own[1], own[0])[:, None]))
    fitted = [
        _axis(odds[:, axis], heard.disagreement[:, axis], values)
        for axis, values in enumerate((valence, arousal))
    ]
    slopes, spread, factor = np.array(fitted).T
    return Calibration(np.array([*own, single]), slopes, spread, factor)


def _temperature(logits: Matrix, labels: Matrix, weight: Matrix) -> float:
    losses = [
        -weight @ (labels * np.log(softmax(logits / t) + 1e-12)).sum(axis=1) for t in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _axis(odds: Matrix, disagreement: Matrix, values: Matrix) -> tuple[float, float, float]:
    """Return slope, spread and how much disagreement adds to it, of one axis."""
    asked = ~np.isnan(values)
    if asked.sum() < FEWEST:
        return UNASKED_SLOPE, UNASKED_SPREAD, 0.0
    odds, values = odds[asked], values[asked]
    slope = float(np.sqrt(np.mean(values**2)) / max(np.sqrt(np.mean(odds**2)), 1e-6))
    slope = max(slope, 1e-6)
    errors = (values - np.clip(slope * odds, -1.0, 1.0)) ** 2
    best = (np.inf, UNASKED_SPREAD, 0.0)
    for factor in SPREAD_FACTORS:
        added = (factor * slope * disagreement[asked]) ** 2
        for spread in np.linspace(0.05, 0.6, 56):
            variance = spread**2 + added
            loss = float(np.mean(np.log(variance) + errors / variance))
            best = min(best, (loss, float(spread), float(factor)))
    return slope, best[1], best[2]
