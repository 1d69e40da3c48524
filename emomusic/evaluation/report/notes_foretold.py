"""What it costs to foretell a note of unseen songs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.loss import Losses, held_back_losses
from emomusic.model.engines.engine import Engine
from emomusic.training.batches import IGNORED, ClipBatches
from emomusic.training.rows import Rows

KINDS = ("Pitch", "Velocity", "Duration", "Position")
"""Tokens that tell a note."""
N_DRAWS = 1000


@dataclass(frozen=True)
class Foretold:
    """Hold how well unseen songs are foretold, in nats, with 95 % bootstrap intervals by song.

    Attributes:
        n_songs: Stretches of songs.
        n_ids: Ids that were learnt to be foretold.
        n_notes: Notes among them.
        of_id: Mean negative log-likelihood of an id, with its interval.
        of_note: That of a note: of its pitch, velocity and duration, and its share of the
            position, which the notes of a chord have in common; with its interval.
        of_kind: What each of the four adds to a note.
    """

    n_songs: int
    n_ids: int
    n_notes: int
    of_id: tuple[float, float, float]
    of_note: tuple[float, float, float]
    of_kind: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            **vars(self),
            "of_id": [round(x, 4) for x in self.of_id],
            "of_note": [round(x, 4) for x in self.of_note],
            "of_kind": {kind: round(x, 4) for kind, x in self.of_kind.items()},
        }


def foretold(engine: Engine, rows: Rows, *, max_ids: int = 40_000) -> Foretold:
    """Measure what it costs to foretell the songs held back, all clip-wide controls given.

    A note's nats are the sum over all Pitch, Velocity, Duration and Position ids, over the
    number of Pitch ids. Velocities of songs without dynamics are not learnt and cost nothing.

    Args:
        engine: What foretells.
        rows: Packed rows.
        max_ids: About how many ids are looked at.

    Raises:
        ValueError: If no note is held back.
    """
    losses = held_back_losses(engine, rows, max_ids=max_ids)
    n_songs = int(losses.sequence.max()) + 1
    ids = _learnt_ids(rows, n_songs, context=engine.config.context)
    texts = rows.meta["vocabulary"]
    kind_of = np.array([_kind(text) for text in texts])[ids]
    is_pitch = kind_of == KINDS.index("Pitch")
    if len(ids) != len(losses.nats) or not is_pitch.any():
        raise ValueError("the rows hold no notes of songs held back")
    n_notes = int(is_pitch.sum())
    return Foretold(
        n_songs=n_songs,
        n_ids=len(ids),
        n_notes=n_notes,
        of_id=_mean(losses, np.ones(len(ids)), np.ones(len(ids))),
        of_note=_mean(losses, (kind_of >= 0).astype(np.float64), is_pitch.astype(np.float64)),
        of_kind={
            kind: float(losses.nats[kind_of == i].sum()) / n_notes for i, kind in enumerate(KINDS)
        },
    )


def _kind(text: str) -> int:
    kind = text.partition("_")[0]
    return KINDS.index(kind) if kind in KINDS else -1


def _learnt_ids(rows: Rows, n_songs: int, *, context: int) -> NDArray[np.int64]:
    """Return the ids that `held_back_losses` has losses of, in its order."""
    batches = ClipBatches(
        rows, validation=True, batch_ids=context, context=context, seed=1, augmentation=None
    )
    found = []
    for clip in np.concatenate(batches.epoch(0))[:n_songs]:
        goal = batches.sequence(int(clip), np.random.default_rng(0))[1][1 : context + 1]
        found.append(goal[goal != IGNORED])
    return np.concatenate(found)


def _mean(
    losses: Losses, counted: NDArray[np.float64], over: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the nats counted over a number, and its interval; whole sequences are drawn anew."""
    n = int(losses.sequence.max()) + 1
    nats, number = (
        np.bincount(losses.sequence, weights, n) for weights in (losses.nats * counted, over)
    )
    times = np.random.default_rng(0).multinomial(n, np.full(n, 1.0 / n), size=N_DRAWS)
    drawn = (times @ nats) / np.maximum(times @ number, 1.0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(nats.sum() / number.sum()), float(low), float(high)
