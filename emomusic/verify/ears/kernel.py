"""Kernel machines that listen with some senses each, and how far they are trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emomusic.verify.ears.senses import SENSE_NAMES, Matrix
from emomusic.verify.members import SIGNS

Points = Mapping[str, Matrix]
Answers = Literal["quadrants", "valence", "arousal"]

RIGHT, WRONG = 4.5, -1.5
"""Logit of the right quadrant and of the others: p = 0.993 where all is fitted."""
AXIS_LOGIT = 3.0
"""Logit of an axis: half the distance between `RIGHT` and `WRONG`."""
N_NEAREST = 10
FAMILIAR_QUANTILES = (0.97, 0.85)
"""Shares of learned clips that are more familiar than where trust is none, and where it is full."""


@dataclass(frozen=True)
class Ear:
    """Say with which senses a machine listens, and what it answers.

    Attributes:
        name: Its name.
        answers: Logits of the four quadrants, or the logit of one axis.
        weights: Inverse squared width of the kernel in each sense.
        votes: How much it counts where touch and dynamics are familiar.
        votes_else: How much it counts where they are not.
    """

    name: str
    answers: Answers
    weights: Mapping[str, float]
    votes: float
    votes_else: float

    def vote(self, trust: Matrix) -> Matrix:
        """Return how much it counts where trust is so high, shape (n, 1)."""
        return (trust * self.votes + (1.0 - trust) * self.votes_else)[:, None]


EARS = (
    Ear(
        "all",
        "quadrants",
        {"harmony": 0.25, "motion": 0.25, "touch": 0.15, "register": 0.015, "dynamics": 0.25},
        2.0,
        0.0,
    ),
    Ear("notes", "quadrants", {"harmony": 0.35, "motion": 0.35, "register": 0.025}, 0.0, 1.0),
    Ear("harmony", "valence", {"harmony": 0.7}, 1.0, 1.0),
    Ear("motion", "arousal", {"motion": 0.7}, 1.0, 1.0),
    Ear(
        "playing",
        "arousal",
        {"motion": 0.4, "touch": 0.1, "register": 0.012, "dynamics": 0.3},
        1.0,
        0.0,
    ),
)
"""The weights were chosen on clips left out, in three cross-validations; that of the register so
small that a transposition by a tone changes few verdicts."""
DOUBTED = {"touch": 0.5, "dynamics": 0.5}
"""Senses that tell how a file was made, which trust is measured by."""


def ears_of() -> list[list[object]]:
    """Return what the ears are as plain values.

    A fitted verifier keeps this list, so that it never listens with other ears than its own.
    """
    return [[ear.name, ear.answers, dict(ear.weights), ear.votes, ear.votes_else] for ear in EARS]


def targets(shares: Matrix, answers: Answers) -> Matrix:
    """Return what an ear is to answer for shares of quadrants (n, 4): shape (n, 4) or (n, 1)."""
    if answers == "quadrants":
        return WRONG + (RIGHT - WRONG) * shares
    signs = SIGNS[0 if answers == "valence" else 1]
    axis: Matrix = AXIS_LOGIT * (shares @ signs)[:, None]
    return axis


def distances(points: Points, supports: Points, senses: Mapping[str, float]) -> Matrix:
    """Return weighted squared distances over some senses, shape (n_points, n_supports)."""
    parts = [weight * _squared(points[name], supports[name]) for name, weight in senses.items()]
    total: Matrix = np.sum(parts, axis=0, dtype=np.float64)
    return total


def _squared(a: Matrix, b: Matrix, lengths: Matrix | None = None) -> Matrix:
    lengths = (b**2).sum(axis=1) if lengths is None else lengths
    squares = (a**2).sum(axis=1)[:, None] + lengths - 2.0 * (a @ b.T)
    distance: Matrix = np.maximum(squares, 0.0)
    return distance


def nearest(distance: Matrix) -> Matrix:
    """Return the mean distance to the ten nearest, or all if fewer, shape (n,)."""
    k = min(N_NEAREST, distance.shape[1])
    near: Matrix = np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)
    return near


def trusted(near: Matrix, bounds: tuple[float, float]) -> Matrix:
    """Return the trust, 0 to 1, that goes with distances to the nearest, shape (n,).

    Args:
        near: As `nearest` gives them, shape (n,).
        bounds: Distances at which trust is none and full.
    """
    none, full = bounds
    trust: Matrix = np.clip((none - near) / max(none - full, 1e-9), 0.0, 1.0)
    return trust


@dataclass(frozen=True)
class Machines:
    """Hold the fitted machines of all ears: one set of supports, weights for each ear.

    Attributes:
        supports: Points of the rows learned from, whole clips first, (s, d) by sense.
        alphas: By name of the ear, shape (s, 4) or (s, 1).
        n_whole: How many of the supports are whole clips.
        trust_bounds: Distances at which trust is none and full.
        width: Multiplies the width of all kernels.
    """

    supports: Points
    alphas: Mapping[str, Matrix]
    n_whole: int
    trust_bounds: tuple[float, float]
    width: float

    @cached_property
    def _lengths(self) -> Points:
        """Return the squared lengths of the supports, shape (s,) by sense."""
        return {name: (of**2).sum(axis=1) for name, of in self.supports.items()}

    def trust(self, points: Points) -> Matrix:
        """Return how familiar touch and dynamics are, from 0 to 1, shape (n,)."""
        whole = {name: self.supports[name][: self.n_whole] for name in DOUBTED}
        near = nearest(distances(points, whole, DOUBTED))
        return trusted(near, self.trust_bounds)

    def logits(self, points: Points, trust: Matrix) -> Matrix:
        """Return the logits of the quadrants, all ears voting, shape (n, 4).

        Args:
            points: Of each sense, shape (n, d).
            trust: In touch and dynamics, shape (n,).
        """
        squares = {
            name: _squared(points[name], self.supports[name], self._lengths[name])
            for name in SENSE_NAMES
        }
        total = np.zeros((len(trust), 4))
        votes = np.zeros((len(trust), 1))
        for ear in EARS:
            vote = ear.vote(trust)
            if vote.any():
                distance = sum(weight * squares[name] for name, weight in ear.weights.items())
                likeness = np.exp(-distance / self.width**2)
                total += vote * answered(likeness @ self.alphas[ear.name], ear.answers)
                votes += vote
        return total / votes

    def rounded(self) -> Machines:
        """Return the machines as a file keeps them, so that a saved one answers alike."""
        return self.from_arrays(self.arrays())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all as named arrays; points are kept in half precision."""
        named: dict[str, NDArray[Any]] = {
            "whole": np.array([self.n_whole]),
            "trust": np.array(self.trust_bounds),
            "width": np.array([self.width]),
        }
        for name, points in self.supports.items():
            named[f"{name}.supports"] = points.astype(np.float16)
        for name, alpha in self.alphas.items():
            named[f"ear.{name}"] = alpha.astype(np.float32)
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Machines:
        """Build from what `arrays` returned; it is for the caller to check."""
        return cls(
            {name: arrays[f"{name}.supports"].astype(np.float64) for name in SENSE_NAMES},
            {ear.name: arrays[f"ear.{ear.name}"].astype(np.float64) for ear in EARS},
            int(arrays["whole"][0]),
            (float(arrays["trust"][0]), float(arrays["trust"][1])),
            float(arrays["width"][0]),
        )


def answered(answers: Matrix, kind: Answers) -> Matrix:
    """Return answers as logits of the quadrants, shape (n, 4)."""
    if kind == "quadrants":
        return answers
    logits: Matrix = answers * SIGNS[0 if kind == "valence" else 1]
    return logits
