"""An ensemble of kernel ridge machines over clips as points in five feature groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from emomusic.music.notes import Notes
from emomusic.verify.analysis import Matrix, Rows
from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.features import COLUMNS, GROUPS, N_COLUMNS, N_FEATURES, feature_row

if TYPE_CHECKING:
    from emomusic.verify.labels import FittingLabels

Points = Mapping[str, Matrix]
"""Of rows, by feature group, shape (n, d) each."""
MIN_SPAN_S, MIN_NOTES = 8.0, 24
"""A clip that is shorter than this, or has fewer notes, is not cut into halves."""
MAX_DEVIATION = 4.0
"""Standardised features are clipped here, lest one odd value set a clip apart from all others."""
MIN_VARIANCE = 0.95
"""Share of the variance that a projection keeps."""
MAX_DIMENSIONS = 128
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


def split_halves(notes: Notes) -> list[Notes]:
    """Split a clip into its first and last half by onsets; a short one into nothing."""
    if len(notes) < MIN_NOTES:
        return []
    begin_s = notes.onset_s - notes.onset_s[0]
    span_s = float(begin_s[-1])
    if span_s < MIN_SPAN_S:
        return []
    return [notes.where(begin_s <= span_s / 2.0), notes.where(begin_s >= span_s / 2.0)]


@dataclass(frozen=True)
class FeatureBatch:
    """The feature rows of n clips and of their m halves ("segments").

    Attributes:
        rows: The whole clips, then all segments, shape (n + m, N_COLUMNS).
        owner: The clip of each row; the whole clips are 0 to n - 1, shape (n + m,).
    """

    rows: Matrix
    owner: Rows

    @property
    def n_clips(self) -> int:
        return int(self.owner.max(initial=-1)) + 1

    def rows_of(self, clips: Rows) -> Rows:
        """Find the rows of some clips: the whole ones first, in their order."""
        segments = np.flatnonzero(np.isin(self.owner[self.n_clips :], clips)) + self.n_clips
        return np.concatenate([clips, segments])

    def take(self, clips: Rows) -> FeatureBatch:
        """Select some clips with their segments, in the order given."""
        place = np.full(self.n_clips, -1, dtype=np.int64)
        place[clips] = np.arange(len(clips))
        rows = self.rows_of(clips)
        return FeatureBatch(self.rows[rows], place[self.owner[rows]])

    def average(self, values: Matrix) -> Matrix:
        """Average values (n + m, k) over each clip and its segments, shape (n, k)."""
        n = self.n_clips
        sums = [np.bincount(self.owner, column, n) for column in values.T]
        return np.stack(sums, axis=1) / np.bincount(self.owner, minlength=n)[:, None]

    def spread(self, values: Matrix) -> Matrix:
        """Compute the standard deviation over each clip and its segments, as `average`."""
        return np.sqrt(self.average((values - self.average(values)[self.owner]) ** 2))


def featurize(clips: Sequence[Notes]) -> FeatureBatch:
    """Measure clips and their halves.

    Raises:
        ValueError: If a clip holds no notes.
    """
    halves = [split_halves(notes) for notes in clips]
    measured = [feature_row(notes) for notes in [*clips, *(half for two in halves for half in two)]]
    owner = [*range(len(clips)), *(k for k, two in enumerate(halves) for _ in two)]
    rows = np.array(measured).reshape(len(measured), N_COLUMNS)
    return FeatureBatch(rows, np.array(owner, dtype=np.int64))


class Projection(NamedTuple):
    """Maps a feature group to its principal components.

    Attributes:
        mean: Mean of its columns, the features standardised, shape (c,).
        basis: Directions, scaled so that two clips lie at a mean squared distance of about 1,
            shape (c, d).
    """

    mean: Matrix
    basis: Matrix


@dataclass(frozen=True)
class Projections:
    """Maps feature rows to a point in each feature group.

    Attributes:
        mean, scale: Mean and standard deviation of each feature, shape (n_features,).
        groups: By name of the group.
    """

    mean: Matrix
    scale: Matrix
    groups: Mapping[str, Projection]

    @classmethod
    def fit(cls, rows: Matrix) -> Projections:
        """Learn means, scales and directions from rows of whole clips, (n, N_COLUMNS).

        Reference:
            Principal component analysis after block scaling, so that the features and the
            patterns of a group contribute a set share of its variance.
        """
        features = rows[:, :N_FEATURES]
        plain = cls(features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6), {})
        groups = {}
        for name, share in GROUPS.items():
            values, n_own = plain._values(rows, name), len(COLUMNS[name][0])
            variance = values[:, :n_own].var(axis=0).sum(), values[:, n_own:].var(axis=0).sum()
            factor = np.ones(values.shape[1])
            factor[:n_own] = np.sqrt(share * (variance[1] / max(variance[0], 1e-9)))
            groups[name] = _principal(values, factor)
        return replace(plain, groups=groups)

    def _values(self, rows: Matrix, group: str) -> Matrix:
        """Select the columns of a group, its features standardised, shape (n, c)."""
        own, patterns = COLUMNS[group]
        away = (rows[:, own] - self.mean[own]) / self.scale[own]
        away = np.clip(away, -MAX_DEVIATION, MAX_DEVIATION)
        return np.concatenate([away, rows[:, patterns]], axis=1)

    def points(self, rows: Matrix) -> dict[str, Matrix]:
        """Project rows (n, N_COLUMNS) to a point in each group, shape (n, d) by name."""
        return {
            name: (self._values(rows, name) - own.mean) @ own.basis
            for name, own in self.groups.items()
        }


def _principal(values: Matrix, factor: Matrix) -> Projection:
    """Find the directions in which rows (n, c), columns times factor (c,), differ most."""
    mean = values.mean(axis=0)
    centred = (values - mean) * factor
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(-variances)
    variances, directions = np.maximum(variances[order], 0.0), directions[:, order]
    total = max(float(variances.sum()), 1e-6)
    n_kept = int(np.searchsorted(np.cumsum(variances) / total, MIN_VARIANCE)) + 1
    kept = directions[:, : min(n_kept, MAX_DIMENSIONS, len(order))]  # (c, d)
    # The sign of a direction is arbitrary: its largest weight is made positive.
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])]
    basis = factor[:, None] * (kept * np.where(largest < 0, -1, 1)) / np.sqrt(2.0 * total)
    return Projection(_single(mean), _single(basis))


def _single(values: Matrix) -> Matrix:
    """Round values to single precision, in which a file keeps them."""
    return np.ascontiguousarray(values, dtype=np.float32).astype(np.float64)


@dataclass(frozen=True)
class Member:
    """One machine of the ensemble.

    Attributes:
        output: Logits of the four quadrants, or the logit of one axis.
        kernel: Inverse squared width of the kernel in each feature group.
        weight, weight_unfamiliar: Of its logits where touch and dynamics are familiar, or not.
    """

    name: str
    output: Literal["quadrants", "valence", "arousal"]
    kernel: Mapping[str, float]
    weight: float
    weight_unfamiliar: float

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


def _squared(a: Matrix, b: Matrix, lengths: Matrix | None = None) -> Matrix:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 a.b, shapes (n, d), (s, d) -> (n, s)."""
    lengths = (b**2).sum(axis=1) if lengths is None else lengths
    squares = (a**2).sum(axis=1)[:, None] + lengths - 2.0 * (a @ b.T)
    return np.maximum(squares, 0.0)


def _distances(points: Points, supports: Points, kernel: Mapping[str, float]) -> Matrix:
    """Compute weighted squared distances over some groups, shape (n_points, n_supports)."""
    parts = [weight * _squared(points[name], supports[name]) for name, weight in kernel.items()]
    return np.sum(parts, axis=0, dtype=np.float64)


def _mean_nearest(distance: Matrix) -> Matrix:
    """Average the distances to the ten nearest, or to all if fewer, (n, s) -> (n,)."""
    k = min(N_NEAREST, distance.shape[1])
    return np.partition(distance, k - 1, axis=1)[:, :k].mean(axis=1)


def _familiarity_bounds(whole: Points, songs: Sequence[str]) -> Matrix:
    """Find at which distance from other songs a clip is unfamiliar, and at which familiar."""
    distance = _distances(whole, whole, SHIFT_PRONE)  # (n, n)
    names = np.unique(np.asarray(songs), return_inverse=True)[1]
    apart = np.where(names[:, None] == names, distance.max() + 1.0, distance)
    return np.maximum(np.quantile(_mean_nearest(apart), FAMILIARITY_QUANTILES), 1e-6)


@dataclass(frozen=True)
class KernelEnsemble:
    """The fitted machines: one set of supports, coefficients for each member.

    Attributes:
        supports: Points of the rows learned from, whole clips first, (s, d) by group.
        coefficients: By name of the member, shape (s, 4) or (s, 1).
        n_whole: How many of the supports are whole clips.
        bounds: Distances at which familiarity is 0 and 1, shape (2,).
    """

    supports: Points
    coefficients: Mapping[str, Matrix]
    n_whole: int
    bounds: Matrix
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
        """Fit all members on some clips of a batch, rising, from the points of all its rows."""
        from sklearn.kernel_ridge import KernelRidge

        rows = batch.rows_of(clips)
        own, owner = {name: of[rows] for name, of in points.items()}, batch.owner[rows]
        counts = labels.weight[owner] * np.where(rows < batch.n_clips, 1.0, SEGMENT_WEIGHT)
        coefficients = {}
        for member in MEMBERS:
            kernel = np.exp(-_distances(own, own, member.kernel) / width**2)  # (s, s)
            model = KernelRidge(alpha=ridge, kernel="precomputed")
            model.fit(kernel, member.targets(labels.shares[owner]), sample_weight=counts)
            coefficients[member.name] = np.asarray(model.dual_coef_, dtype=np.float64)
        whole = {name: of[: len(clips)] for name, of in own.items()}
        bounds = _familiarity_bounds(whole, [labels.songs[clip] for clip in clips])
        return cls(own, coefficients, len(clips), bounds, width)

    @cached_property
    def _lengths(self) -> Points:
        """Squared lengths of the supports, shape (s,) by group."""
        return {name: (of**2).sum(axis=1) for name, of in self.supports.items()}

    def familiarity(self, points: Points) -> Matrix:
        """Measure how familiar touch and dynamics are, from 0 to 1, shape (n,)."""
        whole = {name: self.supports[name][: self.n_whole] for name in SHIFT_PRONE}
        near = _mean_nearest(_distances(points, whole, SHIFT_PRONE))
        none, full = self.bounds
        return np.clip((none - near) / max(none - full, 1e-9), 0.0, 1.0)

    def logits(self, points: Points, familiarity: Matrix) -> Matrix:
        """Average the logits of the quadrants over all members, shape (n, 4).

        Familiarity is that of touch and dynamics, shape (n,).
        """
        squares = {
            name: _squared(points[name], self.supports[name], self._lengths[name])
            for name in GROUPS
        }
        total, weights = np.zeros((len(familiarity), 4)), np.zeros((len(familiarity), 1))
        for member in MEMBERS:
            mixed = familiarity * member.weight + (1.0 - familiarity) * member.weight_unfamiliar
            if mixed.any():
                distance = sum(scale * squares[name] for name, scale in member.kernel.items())
                kernel = np.exp(-distance / self.width**2)  # (n, s)
                outputs = kernel @ self.coefficients[member.name]
                total += mixed[:, None] * member.to_logits(outputs)
                weights += mixed[:, None]
        return total / weights
