"""Does a probability of 0.8 mean right in eight of ten."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emomusic.evaluation.intervals import wilson
from emomusic.evaluation.trust.measures.hits import Classes
from emomusic.verify.groups import Matrix

N_BINS = 10
N_SIMULATED = 200


@dataclass(frozen=True)
class Bin:
    """Hold one bin of a reliability diagram.

    Attributes:
        low: Least confidence.
        high: Greatest confidence.
        n: Answers in it, of one run.
        confidence: Their mean confidence.
        right: Share of them that is right.
        right_low: Lower end of its 95 % Wilson interval.
        right_high: Upper end.
    """

    low: float
    high: float
    n: int
    confidence: float
    right: float
    right_low: float
    right_high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name, rounded."""
        return {name: round(value, 4) for name, value in vars(self).items()}


def _bins_of(confidence: Matrix) -> Classes:
    return np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)


def reliability(probabilities: Matrix, y: Classes, *, n_runs: int = 1) -> tuple[Bin, ...]:
    """Return the bins of confidence that are not empty.

    Args:
        probabilities: Of Q1 to Q4, shape (n, 4).
        y: Quadrants, 0 to 3, shape (n,).
        n_runs: How often each clip is in it; counts and intervals are those of one run.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == y
    places = _bins_of(confidence)
    found = []
    for place in range(N_BINS):
        own = places == place
        n = round(int(own.sum()) / n_runs)
        if n:
            share = float(right[own].mean())
            mean = float(confidence[own].mean())
            ends = wilson(share, n)
            found.append(Bin(place / N_BINS, (place + 1) / N_BINS, n, mean, share, *ends))
    return tuple(found)


def calibration_error(probabilities: Matrix, y: Classes) -> float:
    """Return how far confidence and accuracy lie apart, mean over clips, in ten equal bins.

    Args:
        probabilities: Shape (n, 4).
        y: Quadrants, 0 to 3, shape (n,).

    Reference:
        Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    confidence = probabilities.max(axis=1)
    return _error(confidence, (probabilities.argmax(axis=1) == y).astype(np.float64))


def _error(confidence: Matrix, right: Matrix) -> float:
    gaps = np.bincount(_bins_of(confidence), weights=right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(right))


def error_by_chance(probabilities: Matrix, *, seed: int = 0) -> tuple[float, float]:
    """Return the calibration error that perfect probabilities would show on as many clips.

    The error is never negative, so on few clips it is well above 0 even where each probability
    is true. Here answers are right by chance, with the probability stated.

    Returns:
        Its mean, and what it stays below in 95 of 100 cases.
    """
    confidence = probabilities.max(axis=1)
    rng = np.random.default_rng(seed)
    drawn = rng.random((N_SIMULATED, len(confidence))) < confidence
    errors = [_error(confidence, right.astype(np.float64)) for right in drawn]
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


def log_loss(probabilities: Matrix, y: Classes) -> float:
    """Return the mean negative log probability of the label; ln 4 = 1.386 for equal shares."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(y)), y], 1e-12)).mean())


def brier(probabilities: Matrix, y: Classes) -> float:
    """Return the mean squared distance to the label, summed over quadrants; 0.75 for equal shares.

    Reference:
        Brier (1950), Verification of forecasts expressed in terms of probability.
    """
    return float(((probabilities - np.eye(4)[y]) ** 2).sum(axis=1).mean())
