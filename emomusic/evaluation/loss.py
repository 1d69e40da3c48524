"""How well an engine foretells music that its model never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.engine import Engine
from emomusic.training.batches import IGNORED, ClipBatches
from emomusic.training.rows import Rows


@dataclass(frozen=True)
class Losses:
    """Hold the loss of each id of some sequences.

    Attributes:
        nats: Negative log-likelihoods, float64, shape (n_ids,).
        sequence: Which sequence each is of, shape (n_ids,).
    """

    nats: NDArray[np.float64]
    sequence: NDArray[np.int64]

    @property
    def mean(self) -> float:
        """Return the mean loss of an id in nats."""
        return float(self.nats.mean())

    def ratio_to(self, other: Losses, *, n_draws: int = 2000) -> tuple[float, float, float]:
        """Return mean over mean, and its 95 % interval by bootstrap over sequences.

        Args:
            other: Of the same sequences.
            n_draws: Of the bootstrap.
        """
        n = int(self.sequence.max()) + 1
        mine, theirs = (np.bincount(self.sequence, x.nats, n) for x in (self, other))
        drawn = np.random.default_rng(0).integers(n, size=(n_draws, n))
        ratios = mine[drawn].sum(1) / theirs[drawn].sum(1)
        low, high = np.quantile(ratios, [0.025, 0.975])
        return self.mean / other.mean, float(low), float(high)


def held_back_losses(engine: Engine, rows: Rows, *, max_ids: int = 40_000) -> Losses:
    """Return the losses on the songs held back, all clip-wide controls given.

    Args:
        engine: What foretells.
        rows: Packed rows.
        max_ids: About how many ids are looked at.
    """
    context = engine.config.context
    batches = ClipBatches(
        rows, validation=True, batch_ids=context, context=context, seed=1, augmentation=None
    )
    clips = np.concatenate(batches.epoch(0))
    nats: list[NDArray[np.float64]] = []
    for clip in clips:
        ids, goal = batches.sequence(int(clip), np.random.default_rng(0))
        ids, goal = ids[: context + 1], goal[1 : context + 1]
        nats.append(_nats(engine.logits(ids[:-1]), goal))
        if sum(map(len, nats)) >= max_ids:
            break
    lengths = [len(one) for one in nats]
    return Losses(np.concatenate(nats), np.repeat(np.arange(len(nats)), lengths))


def _nats(logits: NDArray[np.float32], goal: NDArray[np.int64]) -> NDArray[np.float64]:
    learnt = np.flatnonzero(goal != IGNORED)
    rows = logits[learnt].astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    of_goal = rows[np.arange(len(learnt)), goal[learnt]]
    found: NDArray[np.float64] = np.log(np.exp(rows).sum(axis=1)) - of_goal
    return found
