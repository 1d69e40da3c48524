"""The verifier's machines fitted many times on parts of the same clips, kernels being shared.

What is fitted is what `KernelEnsemble.fit` fits, in single precision: its logits agree to 0.01.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.verify.calibration import log_odds, softmax
from emomusic.verify.ensemble import (
    MEMBERS,
    SEGMENT_WEIGHT,
    SHIFT_PRONE,
    Member,
    distances,
    familiarity_bounds,
    familiarity_of,
    mean_nearest,
)
from emomusic.verify.groups import GROUP_NAMES, FeatureBatch, Matrix, Projections, Rows
from emomusic.verify.verifier import Predictions

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Labels:
    """Hold what clips are labelled with.

    Attributes:
        shares: Of quadrants, shape (n, 4).
        weight: How much each clip counts, shape (n,).
        groups: Song of each clip.
    """

    shares: Matrix
    weight: Matrix
    groups: Sequence[str]


@dataclass(frozen=True)
class Logits:
    """Hold what machines answered on clips that they did not learn from.

    Attributes:
        clips: Mean logits of the clips and their parts, shape (n, 4).
        trust: In touch and dynamics, shape (n,).
    """

    clips: Matrix
    trust: Matrix

    def answers(self) -> Predictions:
        """Return them as answers that are not calibrated: no spread, values in log-odds."""
        probabilities = softmax(self.clips)
        unknown = np.full((len(self.clips), 2), np.nan)
        return Predictions(probabilities, log_odds(probabilities), unknown, self.trust)


class Bench:
    """Fit machines on some clips and let them hear others."""

    def __init__(self, heard: FeatureBatch, learned: Rows) -> None:
        """Measure the distances between all clips and parts in each sense.

        Args:
            heard: n clips.
            learned: Clips by which the senses are projected; their labels take no part.
        """
        self.heard = heard
        points = Projections.fit(heard.rows[learned]).points(heard.rows)
        self.squares = {
            name: distances(points, points, {name: 1.0}).astype(np.float32) for name in GROUP_NAMES
        }

    def kernels(self, width: float, ears: Sequence[Member] = MEMBERS) -> dict[str, Single]:
        """Return the kernel of each ear between all rows, by its name."""
        found = {}
        for ear in ears:
            total = sum(np.float32(w) * self.squares[name] for name, w in ear.kernel.items())
            found[ear.name] = np.exp(-np.asarray(total) / np.float32(width**2))
        return found

    def trust(self, fit: Rows, test: Rows, groups: Sequence[str]) -> Matrix:
        """Return how far clips to test on are trusted by machines that learn from others."""
        own, other = (
            np.sum(
                [w * self.squares[name][np.ix_(of, fit)] for name, w in SHIFT_PRONE.items()], axis=0
            )
            for of in (fit, test)
        )
        bounds = familiarity_bounds(own, [groups[clip] for clip in fit.tolist()])
        return familiarity_of(mean_nearest(other), bounds)

    def logits(
        self,
        fit: Rows,
        test: Rows,
        labels: Labels,
        *,
        kernels: dict[str, Single],
        ridges: Sequence[float] = (1.0,),
        ears: Sequence[Member] = MEMBERS,
    ) -> list[Logits]:
        """Fit on some clips, hear others, for each ridge.

        Args:
            fit: Clips to learn from, rising.
            test: Clips to hear.
            labels: Of all n clips.
            kernels: As `kernels` returns them.
            ridges: Strengths of the ridge.
            ears: Those of `kernels`.
        """
        heard = self.heard
        rows, heard_rows = heard.rows_of(fit), heard.rows_of(test)
        owner = heard.owner[rows]
        counts = labels.weight[owner] * np.where(rows < heard.n_clips, 1.0, SEGMENT_WEIGHT)
        trust = self.trust(fit, test, labels.groups)
        own = heard.take(test)
        votes = [ear.weight_at(trust[own.owner]) for ear in ears]
        total = np.zeros((len(ridges), len(heard_rows), 4))
        for ear, vote in zip(ears, votes, strict=True):
            kernel = kernels[ear.name]
            inner, outer = kernel[np.ix_(rows, rows)], kernel[np.ix_(heard_rows, rows)]
            wanted = ear.targets(labels.shares[owner])
            for at, alphas in enumerate(solved(inner, wanted, counts, ridges)):
                total[at] += vote * ear.to_logits((outer @ alphas).astype(np.float64))
        total /= np.sum(votes, axis=0)
        return [Logits(own.average(one), trust) for one in total]


def solved(kernel: Single, wanted: Matrix, counts: Matrix, ridges: Sequence[float]) -> list[Single]:
    """Return the weights of the rows in weighted kernel ridge regression, for each ridge.

    Args:
        kernel: Between the s rows learned from, shape (s, s).
        wanted: Shape (s, k).
        counts: How much each row counts, shape (s,).
        ridges: Strengths of the ridge.

    Returns:
        Shape (s, k) each.
    """
    from scipy.linalg import cho_factor, cho_solve

    root = np.sqrt(counts).astype(np.float32)[:, None]
    weighted, found = kernel * (root * root.T), []
    for ridge in ridges:
        # Symmetric, so its transpose is the same in the order of columns that LAPACK works in.
        system = weighted.copy().T
        system[np.diag_indices_from(system)] += np.float32(ridge)
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        alphas = cho_solve(factor, root * wanted.astype(np.float32), check_finite=False)
        found.append(root * alphas)
    return found
