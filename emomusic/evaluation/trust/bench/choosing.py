"""Choose ridge and width by an inner cross-validation, within what is learned from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.kernels import Bench, Labels
from emomusic.verify.calibration import TEMPERATURES, softmax
from emomusic.verify.groups import Matrix, Rows

RIDGES = (0.5, 1.0, 2.0)
WIDTHS = (0.8, 1.0, 1.25)
N_INNER = 3


@dataclass(frozen=True)
class Chosen:
    """Hold the parameters chosen.

    Attributes:
        ridge: Strength of the ridge.
        width: Multiplies the width of the kernels.
        losses: Log loss of left-out clips by ridge (row) and width (column).
    """

    ridge: float
    width: float
    losses: Matrix

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "ridge": self.ridge,
            "width": self.width,
            "losses": np.round(self.losses, 4).tolist(),
        }


def soft_loss(logits: Matrix, shares: Matrix, weight: Matrix) -> float:
    """Return the weighted log loss against shares at the temperature that suits it best."""
    losses = [
        -weight @ (shares * np.log(softmax(logits / t) + 1e-12)).sum(axis=1) for t in TEMPERATURES
    ]
    return float(min(losses) / weight.sum())


def choose(corpus: Corpus, learn: Rows, *, seed: int, n_folds: int = N_INNER) -> Chosen:
    """Choose among RIDGES and WIDTHS by the log loss of clips whose songs are left out.

    Kernels are computed once for each width. Senses are projected as all of `learn` suggest: no
    label takes part in that.

    Args:
        corpus: All clips.
        learn: Clips of it that may be looked at, rising.
        seed: Draws the folds.
        n_folds: Inner folds.
    """
    bench = Bench(corpus.heard.take(learn), np.arange(len(learn)))
    groups = [corpus.truth.groups[row] for row in learn.tolist()]
    labels = Labels(corpus.shares[learn], corpus.weight(learn), groups)
    folds = [
        tuple(np.searchsorted(learn, side) for side in fold)
        for fold in corpus.folds(learn, n_folds=n_folds, seed=seed)
    ]
    losses = np.empty((len(RIDGES), len(WIDTHS)))
    for column, width in enumerate(WIDTHS):
        kernels = bench.kernels(width)
        logits = np.empty((len(RIDGES), len(learn), 4))
        for fit, test in folds:
            found = bench.logits(fit, test, labels, kernels=kernels, ridges=RIDGES)
            for at, one in enumerate(found):
                logits[at, test] = one.clips
        losses[:, column] = [soft_loss(one, labels.shares, labels.weight) for one in logits]
    ridge, width = list(product(RIDGES, WIDTHS))[int(losses.argmin())]
    return Chosen(ridge, width, losses)
