"""Directions in the states of one depth: of an axis, of an attribute, and of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.inside.music import Excerpt
from emomusic.evaluation.inside.probes import AXES, sides

Matrix = NDArray[np.float64]
THIRDS = (1 / 3, 2 / 3)


@dataclass(frozen=True)
class Direction:
    """Hold what is added to the states of a depth at a dose of 1.

    Attributes:
        what: The axis or attribute that it is to move.
        depth: 0 is after the embedding.
        unit: How many differences of means its length is.
        vector: Shape (dim,).
    """

    what: str
    depth: int
    unit: float
    vector: Matrix


def axis_difference(excerpts: Sequence[Excerpt], states: Matrix, axis: str) -> Matrix:
    """Return the mean state of the upper side less that of the lower one, shape (dim,).

    It is the mean of the differences within either side of the other axis, so that what tells
    one axis is not taken for the other. A difference of means is taken, not the weights of a
    probe: these lie where the states vary least, which foretells well and moves little.

    Args:
        excerpts: Labelled music.
        states: Of one depth, shape (n, dim).
        axis: `valence` or `arousal`.

    Raises:
        ValueError: If a quadrant is missing.

    Reference: contrastive activation addition of Rimsky et al. (2024), with music instead of
        paired answers; Marks and Tegmark (2023), who find means to move more than weights;
        we did not compare them.
    """
    other = AXES[1 - AXES.index(axis)]
    own, beside = sides(excerpts, axis), sides(excerpts, other)
    return _difference(states, own, [beside > 0, beside < 0])


def attribute_difference(states: Matrix, values: Matrix) -> Matrix:
    """Return the mean state of the highest third less that of the lowest, shape (dim,).

    Args:
        states: Of one depth, shape (n, dim).
        values: The attribute, shape (n,), NaN where unknown.

    Raises:
        ValueError: If the values do not vary.
    """
    low, high = np.nanquantile(values, THIRDS)
    side = np.where(values >= high, 1.0, np.where(values <= low, -1.0, 0.0))
    if not low < high:
        raise ValueError("an attribute that does not vary has no direction")
    return _difference(states, side, [np.isfinite(values)])


def _difference(states: Matrix, side: Matrix, strata: Sequence[NDArray[np.bool_]]) -> Matrix:
    found = []
    for stratum in strata:
        upper, lower = states[stratum & (side > 0)], states[stratum & (side < 0)]
        if not len(upper) or not len(lower):
            raise ValueError("a direction needs clips on either side")
        found.append(upper.mean(axis=0) - lower.mean(axis=0))
    difference: Matrix = np.mean(found, axis=0)
    return difference


def random_like(vector: Matrix, rng: np.random.Generator) -> Matrix:
    """Return a vector of the same length in a direction drawn at random."""
    drawn = rng.standard_normal(vector.shape)
    found: Matrix = drawn * (np.linalg.norm(vector) / np.linalg.norm(drawn))
    return found


def halves_like(
    vector: Matrix, states: Matrix, groups: Sequence[str], rng: np.random.Generator
) -> Matrix:
    """Return a vector of the same length between the means of two random halves of the songs.

    It lies where states vary, as a direction of emotion does, and so is harder to be better
    than a direction drawn at random.
    """
    names, song = np.unique(np.asarray(groups), return_inverse=True)
    upper = (rng.permutation(len(names)) % 2 == 0)[song]
    found = states[upper].mean(axis=0) - states[~upper].mean(axis=0)
    scaled: Matrix = found * (np.linalg.norm(vector) / np.linalg.norm(found))
    return scaled
