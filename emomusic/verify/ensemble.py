"""An ensemble of kernel ridge machines, and how familiar a clip's touch and dynamics are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.groups import GROUP_NAMES, FeatureBatch, Matrix, Points, Rows

if TYPE_CHECKING:
    from emomusic.verify.labels import FittingLabels

RIGHT, WRONG = 4.5, -1.5
"""Target logit of the right quadrant and of the others: a perfect fit gives p = 0.993."""
AXIS_LOGIT = 3.0
"""Target logit of an axis: half the distance between `RIGHT` and `WRONG`."""
N_NEAREST = 10
FAMILIARITY_QUANTILES = (0.97, 0.85)
"""Shares of learned clips that lie nearer than where familiarity is 0, and where it is 1."""
SEGMENT_WEIGHT = 0.4
"""Weight of each half of a clip, relative to the whole, in fitting."""
SHIFT_PRONE = {"touch": 0.5, "dynamics": 0.5}
"""Weights of the groups that betray how a file was made; familiarity is measured in them."""


@dataclass(frozen=True)
class Member:
    """One machine of the ensemble.

    Attributes:
        name: Unique.
        output: Logits of the four quadrants, or the logit of one axis.
        kernel: Inverse squared width of the kernel in each feature group.
        weight: Weight of its logits where touch and dynamics are familiar.
        weight_unfamiliar: Weight of its logits where they are not.
    """

    name: str
    output: Literal["quadrants", "valence", "arousal"]
    kernel: Mapping[str, float]
    weight: float
    weight_unfamiliar: float

    def weight_at(self, familiarity: Matrix) -> Matrix:
        """Interpolate its weight, (n,) -> (n, 1)."""
        mixed = familiarity * self.weight + (1.0 - familiarity) * self.weight_unfamiliar
        return mixed[:, None]

    def targets(self, shares: Matrix) -> Matrix:
        """Turn shares of quadrants (n, 4) into what it learns, shape (n, 4) or (n, 1)."""
        if self.output == "quadrants":
            return WRONG + (RIGHT - WRONG) * shares
        return AXIS_LOGIT * (shares @ SIGNS[:, AXES.index(self.output)])[:, None]

    def to_logits(self, outputs: Matrix) -> Matrix:
        """Turn its outputs into logits of the quadrants, shape (n, 4)."""
        if self.output == "quadrants":
            return outputs
        return outputs * SIGNS[:, AXES.index(self.output)]  # (n, 1) * (4,)


_ALL = {"harmony": 0.25, "motion": 0.25, "touch": 0.15, "register": 0.015, "dynamics": 0.25}
_NOTES = {"harmony": 0.35, "motion": 0.35, "register": 0.025}
_PLAYING = {"motion": 0.4, "touch": 0.1, "register": 0.012, "dynamics": 0.3}
MEMBERS = (
    Member("all", "quadrants", _ALL, 2.0, 0.0),
    Member("notes", "quadrants", _NOTES, 0.0, 1.0),
    Member("harmony", "valence", {"harmony": 0.7}, 1.0, 1.0),
    Member("motion", "arousal", {"motion": 0.7}, 1.0, 1.0),
    Member("playing", "arousal", _PLAYING, 1.0, 0.0),
)
"""The widths were chosen out of fold, in three cross-validations; that of the register so wide
that transposing by a tone changes few verdicts."""


def describe_members() -> list[list[object]]:
    """List the members as plain values.

    A fitted verifier keeps this list, so that it is never used with other members.
    """
    return [
        [member.name, member.output, dict(member.kernel), member.weight, member.weight_unfamiliar]
        for member in MEMBERS
    ]


def distances(points: Points, supports: Points, kernel: Mapping[str, float]) -> Matrix:
    """Compute weighted squared distances over some groups, shape (n_points, n_supports)."""
    parts = [weight * _squared(points[name], supports[name]) for name, weight in kernel.items()]
    return np.sum(parts, axis=0, dtype=np.float64)


def _squared(a: Matrix, b: Matrix, lengths: Matrix | None = None) -> Matrix:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 a.b, shapes (n, d), (s, d) -> (n, s)."""
    lengths = (b**2).sum(axis=1) if lengths is None else lengths
    squares = (a**2).sum(axis=1)[:, None] + lengths - 2.0 * (a @ b.T)
    return np.maximum(squares, 0.0)


def mean_nearest(distance: Matrix) -> Matrix:
    """Average the distances to the ten nearest, or to all if fewer, (n, s) -> (n,)."""
    k = min(N_NEAREST, distance.shape[1])
    return np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)


def familiarity_of(near: Matrix, bounds: tuple[float, float]) -> Matrix:
    """Turn distances to the nearest (n,) into familiarity: 0 at bounds[0], 1 at bounds[1]."""
    none, full = bounds
    return np.clip((none - near) / max(none - full, 1e-9), 0.0, 1.0)


def familiarity_bounds(distance: Matrix, songs: Sequence[str]) -> tuple[float, float]:
    """Find at which distance from other songs a clip is unfamiliar, and at which familiar.

    Args:
        distance: In touch and dynamics, between all learned clips, shape (n, n).
        songs: Song of each.
    """
    names = np.unique(np.asarray(songs), return_inverse=True)[1]
    same = names[:, None] == names  # (n, n)
    distance = np.where(same, distance.max() + 1.0, distance)
    near = mean_nearest(distance)
    none, full = np.maximum(np.quantile(near, FAMILIARITY_QUANTILES), 1e-6)
    return float(none), float(full)


@dataclass(frozen=True)
class KernelEnsemble:
    """The fitted machines: one set of supports, coefficients for each member.

    Attributes:
        supports: Points of the rows learned from, whole clips first, (s, d) by group.
        coefficients: By name of the member, shape (s, 4) or (s, 1).
        n_whole: How many of the supports are whole clips.
        bounds: Distances at which familiarity is 0 and 1.
        width: Multiplies the width of all kernels.
    """

    supports: Points
    coefficients: Mapping[str, Matrix]
    n_whole: int
    bounds: tuple[float, float]
    width: float

    @classmethod
    def fit(
        cls,
        batch: FeatureBatch,
        points: Points,
        *,
        labels: FittingLabels,
        clips: Rows,
        ridge: float,
        width: float,
    ) -> KernelEnsemble:
        """Fit all members on some clips of a batch.

        Args:
            batch: n clips.
            points: Of all its rows, by group.
            labels: Of all n clips.
            clips: Which of them to learn from, rising.
            ridge: Strength of the ridge.
            width: Multiplies the width of the kernels.
        """
        from sklearn.kernel_ridge import KernelRidge

        rows = batch.rows_of(clips)
        own, owner = {name: of[rows] for name, of in points.items()}, batch.owner[rows]
        counts = labels.weight[owner] * np.where(rows < batch.n_clips, 1.0, SEGMENT_WEIGHT)
        coefficients = {}
        for member in MEMBERS:
            kernel = np.exp(-distances(own, own, member.kernel) / width**2)  # (s, s)
            model = KernelRidge(alpha=ridge, kernel="precomputed")
            model.fit(kernel, member.targets(labels.shares[owner]), sample_weight=counts)
            coefficients[member.name] = np.asarray(model.dual_coef_, dtype=np.float64)
        whole = {name: of[: len(clips)] for name, of in own.items()}
        songs = [labels.songs[clip] for clip in clips]
        bounds = familiarity_bounds(distances(whole, whole, SHIFT_PRONE), songs)
        return cls(own, coefficients, len(clips), bounds, width)

    @cached_property
    def _lengths(self) -> Points:
        """Squared lengths of the supports, shape (s,) by group."""
        return {name: (of**2).sum(axis=1) for name, of in self.supports.items()}

    def familiarity(self, points: Points) -> Matrix:
        """Measure how familiar touch and dynamics are, from 0 to 1, shape (n,)."""
        whole = {name: self.supports[name][: self.n_whole] for name in SHIFT_PRONE}
        return familiarity_of(mean_nearest(distances(points, whole, SHIFT_PRONE)), self.bounds)

    def logits(self, points: Points, familiarity: Matrix) -> Matrix:
        """Average the logits of the quadrants over all members, shape (n, 4).

        Args:
            points: By group, shape (n, d).
            familiarity: Of touch and dynamics, shape (n,).
        """
        squares = {
            name: _squared(points[name], self.supports[name], self._lengths[name])
            for name in GROUP_NAMES
        }
        total, weights = np.zeros((len(familiarity), 4)), np.zeros((len(familiarity), 1))
        for member in MEMBERS:
            weight = member.weight_at(familiarity)
            if weight.any():
                distance = sum(scale * squares[name] for name, scale in member.kernel.items())
                kernel = np.exp(-distance / self.width**2)  # (n, s)
                total += weight * member.to_logits(kernel @ self.coefficients[member.name])
                weights += weight
        return total / weights
