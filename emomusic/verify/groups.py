"""Clips as numbers: rows of features, and their projection onto five feature groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, Notes
from emomusic.verify.features import FEATURES, FLAT_SPREAD, features_in
from emomusic.verify.features.analysis import analyse
from emomusic.verify.features.patterns import PATTERNS, measure_patterns

Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]
Points = Mapping[str, Matrix]

N_FEATURES = len(FEATURES)
N_COLUMNS = N_FEATURES + sum(pattern.size for pattern in PATTERNS)
FLAT_VELOCITY = 64
MAX_DEVIATION = 4.0
"""Standardised features are clipped here, lest one odd value set a clip apart from all others."""
MIN_VARIANCE = 0.95
"""Share of the variance that a projection keeps."""
MAX_DIMENSIONS = 128
MIN_SPAN_S, MIN_NOTES = 8.0, 24
"""A clip that is shorter than this, or has fewer notes, is not cut into halves."""


@dataclass(frozen=True)
class FeatureGroup:
    """Features and patterns that share one term of the kernels' distance.

    Attributes:
        name: Unique.
        families: Families of features.
        patterns: Blocks of patterns.
        without: Features of these families that belong to another group.
        extra: Features of other families.
        share: Variance of the features relative to that of the patterns.
    """

    name: str
    families: tuple[str, ...]
    patterns: tuple[str, ...]
    without: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    share: float = 1.0

    def columns(self) -> tuple[Rows, Rows]:
        """Find the columns of its features and of its patterns in a feature row."""
        own = [
            at
            for at, feature in enumerate(FEATURES)
            if (feature.family in self.families and feature.name not in self.without)
            or feature.name in self.extra
        ]
        starts = N_FEATURES + np.cumsum([0] + [pattern.size for pattern in PATTERNS])
        blocks = [
            np.arange(start, start + pattern.size)
            for start, pattern in zip(starts[:-1], PATTERNS, strict=True)
            if pattern.name in self.patterns
        ]
        return np.array(own, dtype=np.int64), np.concatenate(blocks).astype(np.int64)


_TEXTURE = ("chord_size", "chord_share", "pulse_clarity", "pulse_period")
_PITCH_PATTERNS = (
    "top_follow", "bottom_follow", "outer_pairs", "sounding_pairs", "chords", "roots_follow",
    "degrees",
)  # fmt: skip
FEATURE_GROUPS = (
    FeatureGroup("harmony", ("tonality", "harmony"), _PITCH_PATTERNS),
    FeatureGroup(
        "motion",
        ("density", "rhythm", "melody", "bass", "range"),
        ("gaps", "gap_pairs", "rates", "top_moves", "bottom_moves"),
        without=_TEXTURE,
        share=1.5,
    ),
    FeatureGroup(
        "touch", ("articulation",), ("durations", "onset_sizes"), extra=_TEXTURE, share=1.5
    ),
    FeatureGroup("register", ("register",), ("bands",)),
    FeatureGroup("dynamics", ("dynamics",), ("loudness", "loudness_by_octave")),
)
"""Each feature and each pattern belongs to one. Touch and dynamics depend on how the file was made
(transcribed from a recording, or a score without pedal or velocities); the others hardly do."""
GROUP_NAMES = tuple(group.name for group in FEATURE_GROUPS)
_COLUMNS = {group.name: group.columns() for group in FEATURE_GROUPS}


def column_names() -> list[list[str]]:
    """List the columns of a feature row: name and unit of features, name and size of patterns.

    A fitted verifier keeps this list, so that it is never used with other columns.
    """
    features = [[feature.name, feature.unit] for feature in FEATURES]
    return features + [[pattern.name, str(pattern.size)] for pattern in PATTERNS]


def feature_row(notes: Notes) -> FloatColumn:
    """Measure features and patterns of a clip, shape (N_COLUMNS,).

    A flat velocity counts as 64: its level does not tell how loud the music is.

    Raises:
        ValueError: If there are no notes.
    """
    if len(notes) and notes.velocity.std() < FLAT_SPREAD:
        notes = replace(notes, velocity=np.full_like(notes.velocity, FLAT_VELOCITY))
    analysis = analyse(notes)
    return np.concatenate([features_in(analysis), measure_patterns(analysis)])


def split_halves(notes: Notes) -> list[Notes]:
    """Split a clip into its first and last half by onsets; a short one into nothing."""
    begin_s = notes.onset_s - notes.onset_s[0] if len(notes) else notes.onset_s
    span_s = float(begin_s[-1]) if len(notes) else 0.0
    if span_s < MIN_SPAN_S or len(notes) < MIN_NOTES:
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
        """The number of whole clips."""
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


def featurize(clips: Sequence[Notes]) -> FeatureBatch:
    """Measure clips and their halves.

    Raises:
        ValueError: If a clip holds no notes.
    """
    halves = [split_halves(notes) for notes in clips]
    measured = [feature_row(notes) for notes in [*clips, *(half for two in halves for half in two)]]
    owner = [*range(len(clips)), *(k for k, two in enumerate(halves) for _ in two)]
    return FeatureBatch(
        np.array(measured).reshape(len(measured), N_COLUMNS), np.array(owner, dtype=np.int64)
    )


@dataclass(frozen=True)
class Projection:
    """Projects a feature group onto its principal components.

    Attributes:
        mean: Mean of its columns, the features standardised, shape (c,).
        basis: Directions, scaled so that two clips lie at a mean squared distance of about 1,
            shape (c, d).
    """

    mean: Matrix
    basis: Matrix

    @classmethod
    def fit(cls, values: Matrix, factor: Matrix) -> Projection:
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
        kept = kept * np.where(largest < 0, -1, 1)
        return cls(_single(mean), _single(factor[:, None] * kept / np.sqrt(2.0 * total)))


@dataclass(frozen=True)
class Projections:
    """Maps feature rows to a point in each feature group.

    Attributes:
        mean: Mean of each feature, shape (n_features,).
        scale: Standard deviation of each feature, shape (n_features,).
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
        for group in FEATURE_GROUPS:
            own, blocks = _COLUMNS[group.name]
            standardised, patterns = plain._standardise(rows[:, own], own), rows[:, blocks]
            ratio = patterns.var(axis=0).sum() / max(standardised.var(axis=0).sum(), 1e-9)
            factor = np.concatenate(
                [np.full(len(own), np.sqrt(group.share * ratio)), np.ones(len(blocks))]
            )
            values = np.concatenate([standardised, patterns], axis=1)
            groups[group.name] = Projection.fit(values, factor)
        return replace(plain, groups=groups)

    def _standardise(self, values: Matrix, own: Rows) -> Matrix:
        away = (values - self.mean[own]) / self.scale[own]
        return np.clip(away, -MAX_DEVIATION, MAX_DEVIATION)

    def points(self, rows: Matrix) -> dict[str, Matrix]:
        """Project rows (n, N_COLUMNS) to a point in each group, shape (n, d) by name."""
        points = {}
        for name, projection in self.groups.items():
            own, blocks = _COLUMNS[name]
            values = np.concatenate([self._standardise(rows[:, own], own), rows[:, blocks]], axis=1)
            points[name] = (values - projection.mean) @ projection.basis
        return points


def _single(values: Matrix) -> Matrix:
    """Round values to single precision, in which a file keeps them."""
    return np.ascontiguousarray(values, dtype=np.float32).astype(np.float64)
