"""The models that vote in the sequence judge; fitted by scikit-learn, predicted with numpy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
N_QUADRANTS = 4
BATCH = 64
"""Rows predicted at a time by `Kernel`, so that memory stays within some MiB."""


SIGNS = np.array([[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])
"""Sign of valence and of arousal in each quadrant."""


class Member(Protocol):
    """Vote on the quadrants of standardised feature rows."""

    name: ClassVar[str]

    def probabilities(self, Z: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 in each row, shape (n, 4)."""
        ...


def softmax(logits: Matrix) -> Matrix:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Matrix = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def tempered(votes: Matrix, temperature: float) -> Matrix:
    """Return votes with their logs divided by a temperature, rows summing to 1."""
    powers = np.maximum(votes, 1e-9) ** (1.0 / temperature)
    shares: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return shares


def log_odds(probabilities: Matrix) -> Matrix:
    """Return the log-odds of positive valence and of positive arousal, shape (n, 2)."""
    positive = np.clip(probabilities @ (SIGNS.T > 0), 1e-9, 1.0 - 1e-9)
    odds: Matrix = np.log(positive / (1.0 - positive))
    return odds


@dataclass(frozen=True)
class Linear:
    """Vote by multinomial logistic regression.

    Attributes:
        weights: Shape (n_features, 4).
        bias: Shape (4,).
    """

    name: ClassVar[str] = "linear"
    weights: Matrix
    bias: Matrix

    @classmethod
    def fit(cls, Z: Matrix, y: NDArray[np.int64], weight: Matrix, *, C: float) -> Self:
        """Fit to quadrants 0 to 3 with one weight a row; C is the inverse of the ridge."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=C, max_iter=1000).fit(Z, y, weight)
        return cls(np.ascontiguousarray(model.coef_.T), model.intercept_)

    def probabilities(self, Z: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 in each row, shape (n, 4)."""
        return softmax(Z @ self.weights + self.bias)


@dataclass(frozen=True)
class Kernel:
    """Vote by ridge regression on radial basis functions, through a softmax.

    Attributes:
        support: Standardised rows seen in fitting, float32, shape (n_support, n_features).
        alpha: Shape (n_support, 4).
        gamma: The kernel is exp(-gamma * squared distance), shape (1,).
    """

    name: ClassVar[str] = "kernel"
    support: NDArray[np.float32]
    alpha: Matrix
    gamma: Matrix

    TARGETS: ClassVar[tuple[float, float]] = (4.5, -1.5)
    """Logit of the right quadrant and of the others: p = 0.993 where all is fitted."""

    @classmethod
    def fit(
        cls, Z: Matrix, y: NDArray[np.int64], weight: Matrix, *, ridge: float, gamma: float
    ) -> Self:
        """Fit to quadrants 0 to 3 with one weight a row."""
        from sklearn.kernel_ridge import KernelRidge

        right, wrong = cls.TARGETS
        targets = np.where(y[:, None] == np.arange(N_QUADRANTS), right, wrong)
        model = KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma).fit(Z, targets, weight)
        return cls(Z.astype(np.float32), model.dual_coef_, np.array([gamma]))

    def probabilities(self, Z: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 in each row, shape (n, 4)."""
        rows = [Z[start : start + BATCH] for start in range(0, len(Z), BATCH)]
        logits = [self._logits(block) for block in rows]
        return softmax(np.concatenate([np.empty((0, N_QUADRANTS)), *logits]))

    @cached_property
    def _wide(self) -> tuple[Matrix, Matrix]:
        """Return the supports in float64, one a column, and their squared lengths."""
        wide = self.support.astype(np.float64)
        return np.ascontiguousarray(wide.T), (wide**2).sum(axis=1)

    def _logits(self, Z: Matrix) -> Matrix:
        columns, squares = self._wide
        distance = (Z**2).sum(axis=1)[:, None] + squares - 2.0 * Z @ columns
        logits: Matrix = np.exp(-self.gamma * np.maximum(distance, 0.0)) @ self.alpha
        return logits
