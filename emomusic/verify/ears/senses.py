"""The five senses: which features and patterns belong together, projected to few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, Notes
from emomusic.verify.features import FEATURES, FLAT_SPREAD, features_in
from emomusic.verify.features.hearing import hear
from emomusic.verify.features.patterns import PATTERNS, patterns_of

Matrix = NDArray[np.float64]

N_FEATURES = len(FEATURES)
N_COLUMNS = N_FEATURES + sum(pattern.size for pattern in PATTERNS)
FLAT_VELOCITY = 64
MAX_DEVIATION = 4.0
"""Standardised features are cut here: one strange value must not make a clip unlike all others."""
KEPT = 0.95
"""Share of the variance that a projection keeps."""
MAX_DIMENSIONS = 128
SHORTEST_S, FEWEST_NOTES = 8.0, 24
"""A clip shorter than this, or with fewer notes, is heard as a whole only."""


@dataclass(frozen=True)
class Sense:
    """Name what belongs together.

    Attributes:
        name: Its name.
        features: Groups of features.
        but: Features of these groups that another sense has.
        also: Features of other groups.
        patterns: Blocks of patterns.
        share: Variance of the features against that of the patterns.
    """

    name: str
    features: tuple[str, ...]
    patterns: tuple[str, ...]
    but: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    share: float = 1.0

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the columns of its features and of its patterns in a row of `sensed`."""
        own = [
            at
            for at, feature in enumerate(FEATURES)
            if (feature.group in self.features and feature.name not in self.but)
            or feature.name in self.also
        ]
        starts = N_FEATURES + np.cumsum([0] + [pattern.size for pattern in PATTERNS])
        blocks = [
            np.arange(start, start + pattern.size)
            for start, pattern in zip(starts[:-1], PATTERNS, strict=True)
            if pattern.name in self.patterns
        ]
        return np.array(own, dtype=np.int64), np.concatenate(blocks).astype(np.int64)


_TEXTURE = ("chord_size", "chord_share", "pulse_clarity", "pulse_period")
SENSES = (
    Sense(
        "harmony",
        ("tonality", "harmony"),
        (
            "top_follow",
            "bottom_follow",
            "outer_pairs",
            "sounding_pairs",
            "chords",
            "roots_follow",
            "degrees",
        ),
    ),
    Sense(
        "motion",
        ("density", "rhythm", "melody", "bass", "range"),
        ("gaps", "gap_pairs", "rates", "top_moves", "bottom_moves"),
        but=_TEXTURE,
        share=1.5,
    ),
    Sense("touch", ("articulation",), ("durations", "onset_sizes"), also=_TEXTURE, share=1.5),
    Sense("register", ("register",), ("bands",)),
    Sense("dynamics", ("dynamics",), ("loudness", "loudness_by_octave")),
)
"""Every feature and pattern belongs to one. Touch and dynamics depend on how the music came to be
a file (a transcribed recording, a score without pedal or velocities), the others hardly."""
SENSE_NAMES = tuple(sense.name for sense in SENSES)


def sensed(notes: Notes) -> FloatColumn:
    """Measure features and patterns of a clip, shape (N_COLUMNS,).

    A flat velocity counts as 64: its level says nothing about how loud the music is.

    Raises:
        ValueError: If there are no notes.
    """
    if len(notes) and notes.velocity.std() < FLAT_SPREAD:
        notes = replace(notes, velocity=np.full_like(notes.velocity, FLAT_VELOCITY))
    hearing = hear(notes)
    return np.concatenate([features_in(hearing), patterns_of(hearing)])


def columns_of() -> list[list[str]]:
    """Return what the columns of `sensed` are: name and unit of features, name and size of blocks.

    A fitted verifier keeps this list, so that it is never used with other columns.
    """
    features = [[feature.name, feature.unit] for feature in FEATURES]
    return features + [[pattern.name, str(pattern.size)] for pattern in PATTERNS]


def parts_of(notes: Notes) -> list[Notes]:
    """Return a clip and its first and last half by onsets; the clip alone if short."""
    begin_s = notes.onset_s - notes.onset_s[0] if len(notes) else notes.onset_s
    span_s = float(begin_s[-1]) if len(notes) else 0.0
    if span_s < SHORTEST_S or len(notes) < FEWEST_NOTES:
        return [notes]
    return [notes, notes.where(begin_s <= span_s / 2.0), notes.where(begin_s >= span_s / 2.0)]


@dataclass(frozen=True)
class Projection:
    """Project one sense onto the directions in which clips differ most.

    Attributes:
        mean: Mean of its columns, the features standardised, shape (c,).
        basis: Directions, scaled so that two clips lie at a mean squared distance of about 1,
            shape (c, d).
    """

    mean: Matrix
    basis: Matrix


@dataclass(frozen=True)
class Senses:
    """Turn rows of `sensed` into points of each sense.

    Attributes:
        mean: Mean of each feature, shape (n_features,).
        scale: Standard deviation of each feature, shape (n_features,).
        projections: By name of the sense.
    """

    mean: Matrix
    scale: Matrix
    projections: Mapping[str, Projection]

    @classmethod
    def fit(cls, rows: Matrix) -> Senses:
        """Learn means, scales and directions from rows of whole clips, (n, N_COLUMNS).

        Reference:
            Principal component analysis after block scaling, so that features and patterns of a
            sense have a set share of its variance.
        """
        features = rows[:, :N_FEATURES]
        mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)
        plain = cls(mean, scale, {})
        projections = {}
        for sense in SENSES:
            own, blocks = sense.columns()
            standardised = plain._standardised(rows[:, own], own)
            patterns = rows[:, blocks]
            ratio = patterns.var(axis=0).sum() / max(standardised.var(axis=0).sum(), 1e-9)
            factor = np.concatenate(
                [np.full(len(own), np.sqrt(sense.share * ratio)), np.ones(len(blocks))]
            )
            projections[sense.name] = _projection(
                np.concatenate([standardised, patterns], axis=1), factor
            )
        return cls(mean, scale, projections)

    def _standardised(self, values: Matrix, own: NDArray[np.int64]) -> Matrix:
        away = (values - self.mean[own]) / self.scale[own]
        standardised: Matrix = np.clip(away, -MAX_DEVIATION, MAX_DEVIATION)
        return standardised

    def points(self, rows: Matrix) -> dict[str, Matrix]:
        """Return the point of each row in each sense, shape (n, d) by name."""
        found: dict[str, Matrix] = {}
        for sense in SENSES:
            own, blocks = _COLUMNS[sense.name]
            values = np.concatenate(
                [self._standardised(rows[:, own], own), rows[:, blocks]], axis=1
            )
            projection = self.projections[sense.name]
            found[sense.name] = (values - projection.mean) @ projection.basis
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all as named arrays; what projects is kept in single precision."""
        named: dict[str, NDArray[Any]] = {"mean": self.mean, "scale": self.scale}
        for name, projection in self.projections.items():
            named[f"{name}.mean"] = projection.mean.astype(np.float32)
            named[f"{name}.basis"] = projection.basis.astype(np.float32)
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Senses:
        """Build from what `arrays` returned; it is for the caller to check."""
        projections = {
            name: Projection(
                arrays[f"{name}.mean"].astype(np.float64),
                arrays[f"{name}.basis"].astype(np.float64),
            )
            for name in SENSE_NAMES
        }
        return cls(arrays["mean"], arrays["scale"], projections)


_COLUMNS = {sense.name: sense.columns() for sense in SENSES}


def _projection(values: Matrix, factor: Matrix) -> Projection:
    mean = values.mean(axis=0)
    centred = (values - mean) * factor
    variances, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(-variances)
    variances, directions = np.maximum(variances[order], 0.0), directions[:, order]
    total = max(float(variances.sum()), 1e-6)
    n_kept = int(np.searchsorted(np.cumsum(variances) / total, KEPT)) + 1
    kept = directions[:, : min(n_kept, MAX_DIMENSIONS, len(order))]
    # The sign of a direction is arbitrary: its largest weight is made positive.
    kept = kept * np.where(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])] < 0, -1, 1)
    basis = factor[:, None] * kept / np.sqrt(2.0 * total)
    return Projection(_single(mean), _single(basis))


def _single(values: Matrix) -> Matrix:
    """Return values as a file keeps them, in single precision."""
    rounded: Matrix = np.ascontiguousarray(values, dtype=np.float32).astype(np.float64)
    return rounded


def sensed_rows(clips: Sequence[Notes]) -> Matrix:
    """Measure many clips, shape (n, N_COLUMNS)."""
    return np.array([sensed(notes) for notes in clips]).reshape(len(clips), N_COLUMNS)
