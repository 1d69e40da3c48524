"""The named features that the verifier judges by: seconds and key-relative pitch only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, Notes
from emomusic.verify.features import pitch, timing
from emomusic.verify.features.analysis import Analysis, analyse
from emomusic.verify.features.registry import BLOCKS, FEATURES, Feature

__all__ = [
    "FEATURES",
    "FEATURE_NAMES",
    "FLAT_SPREAD",
    "Feature",
    "feature_matrix",
    "features_in",
    "measure_features",
]

FLAT_SPREAD = 1.0
"""A clip whose velocities deviate by less than this has no dynamics."""

# Importing them registers their features, in this order.
_MEASURED = (timing, pitch)

FEATURE_NAMES = tuple(feature.name for feature in FEATURES)


def measure_features(notes: Notes) -> FloatColumn:
    """Measure the features of a clip, in the order of FEATURE_NAMES.

    A transposed clip gives the same values, except in the family "register".

    Args:
        notes: At least one note.

    Returns:
        Finite numbers, shape (n_features,).

    Raises:
        ValueError: If there are no notes.
    """
    return features_in(analyse(notes))


def features_in(analysis: Analysis) -> FloatColumn:
    """Measure the features of a clip that is analysed already, in the order of FEATURE_NAMES."""
    return np.concatenate([np.asarray(block(analysis), dtype=np.float64) for block in BLOCKS])


def feature_matrix(clips: Sequence[Notes]) -> NDArray[np.float64]:
    """Measure the features of many clips, shape (n_clips, n_features).

    Raises:
        ValueError: If a clip holds no notes.
    """
    return np.array([measure_features(notes) for notes in clips]).reshape(len(clips), len(FEATURES))
