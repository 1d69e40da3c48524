"""The three models that vote on a quadrant; fitted by scikit-learn, predicted with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
N_QUADRANTS = 4
BATCH = 64
"""Rows predicted at a time by `Kernel` and `Trees`, so that memory stays within some MiB."""


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


@dataclass(frozen=True)
class Trees:
    """Vote by extremely randomised trees, all trees one after the other in flat arrays.

    Attributes:
        root: Index of each tree's first node, shape (n_trees,).
        feature: Column asked at each node, -1 at a leaf, shape (n_nodes,).
        threshold: A row goes left where its column is at most this, shape (n_nodes,).
        left: Index of the left child, its own at a leaf, shape (n_nodes,).
        right: Index of the right child, its own at a leaf, shape (n_nodes,).
        value: Shares of Q1 to Q4 at each node, shape (n_nodes, 4).
    """

    name: ClassVar[str] = "trees"
    root: NDArray[np.int32]
    feature: NDArray[np.int16]
    threshold: Matrix
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        Z: Matrix,
        y: NDArray[np.int64],
        weight: Matrix,
        *,
        n_trees: int,
        min_leaf: int,
        seed: int,
    ) -> Self:
        """Fit to quadrants 0 to 3 with one weight a row."""
        from sklearn.ensemble import ExtraTreesClassifier

        model = ExtraTreesClassifier(
            n_trees, min_samples_leaf=min_leaf, max_features=0.3, random_state=seed
        ).fit(Z, y, weight)
        return cls(**_flattened([tree.tree_ for tree in model.estimators_]))

    def probabilities(self, Z: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 in each row, shape (n, 4)."""
        rows = [Z[start : start + BATCH] for start in range(0, len(Z), BATCH)]
        votes = [self._votes(block.astype(np.float32)) for block in rows]
        return np.concatenate([np.empty((0, N_QUADRANTS)), *votes])

    def _votes(self, Z: NDArray[np.float32]) -> Matrix:
        rows = np.arange(len(Z))[:, None]
        node = np.repeat(self.root[None, :], len(Z), axis=0)
        while (inner := self.feature[node] >= 0).any():
            below = Z[rows, self.feature[node]] <= self.threshold[node]
            node = np.where(inner, np.where(below, self.left[node], self.right[node]), node)
        votes: Matrix = self.value[node].astype(np.float64).mean(axis=1)
        return votes

    def check(self, n_features: int) -> None:
        """Check that every walk from a root stays inside the arrays and ends at a leaf.

        Raises:
            ValueError: If an index is out of bounds, or a child does not follow its parent.
        """
        n_nodes, own = len(self.feature), np.arange(len(self.feature))
        leaf = self.feature < 0
        children = np.concatenate([self.left[~leaf], self.right[~leaf]])
        if ((self.root < 0) | (self.root >= n_nodes)).any():
            raise ValueError(f"tree roots must lie in 0 to {n_nodes - 1}")
        if self.feature.max() >= n_features:
            raise ValueError(f"tree features must lie below {n_features}")
        if (children <= np.tile(own[~leaf], 2)).any() or (children >= n_nodes).any():
            raise ValueError(f"tree children must follow their parent and lie below {n_nodes}")


def _flattened(trees: list[Any]) -> dict[str, NDArray[Any]]:
    """Lay fitted trees one after the other, as the arrays of `Trees`."""
    sizes = np.array([tree.node_count for tree in trees])
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    leaf = np.concatenate([tree.children_left < 0 for tree in trees])
    left = np.concatenate([t.children_left + at for t, at in zip(trees, root, strict=True)])
    right = np.concatenate([t.children_right + at for t, at in zip(trees, root, strict=True)])
    own = np.arange(len(leaf))
    return {
        "root": root.astype(np.int32),
        "feature": np.where(leaf, -1, np.concatenate([t.feature for t in trees])).astype(np.int16),
        "threshold": np.where(leaf, 0.0, np.concatenate([t.threshold for t in trees])),
        "left": np.where(leaf, own, left).astype(np.int32),
        "right": np.where(leaf, own, right).astype(np.int32),
        "value": np.concatenate([t.value[:, 0, :] for t in trees]).astype(np.float32),
    }


MEMBERS: tuple[type[Linear] | type[Kernel] | type[Trees], ...] = (Linear, Kernel, Trees)


def arrays_of(members: tuple[Member, ...]) -> dict[str, NDArray[Any]]:
    """Return the arrays of all members, named `member.array`."""
    return {
        f"{member.name}.{field.name}": np.ascontiguousarray(getattr(member, field.name))
        for member in members
        for field in fields(member)  # type: ignore[arg-type]
    }


def members_from(arrays: Mapping[str, NDArray[Any]]) -> tuple[Member, ...]:
    """Build the members from the arrays that `arrays_of` named; it is for the caller to check."""
    return tuple(
        kind(**{field.name: arrays[f"{kind.name}.{field.name}"] for field in fields(kind)})
        for kind in MEMBERS
    )
