"""Loss: how well an engine foretells music that its model never saw, nats a note."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.rows import Interval, Matrix, Row, Table, ratio_interval, row_of, section
from emomusic.model.engine import Engine
from emomusic.model.events import SLOTS, to_events
from emomusic.training.batches import ClipBatches
from emomusic.training.rows import Rows

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

MAX_EVENTS = 60_000
"""About 300 clips."""


class Losses(NamedTuple):
    """Hold what it costs to foretell some clips.

    Attributes:
        nats: Sums over each clip and slot, shape (n_clips, n_slots); what is not learnt, such as
            the velocities of songs without dynamics, costs nothing.
        n_notes: Of each clip, shape (n_clips,).
        song: Of each clip, shape (n_clips,).
    """

    nats: Matrix
    n_notes: NDArray[np.int64]
    song: NDArray[np.int64]

    @property
    def by_slot(self) -> dict[str, float]:
        """Return nats a note of each slot; the ends of bars and clips are part of `advance`."""
        means = self.nats.sum(axis=0) / self.n_notes.sum()
        return dict(zip(SLOTS, means.tolist(), strict=True))

    def per_note(self) -> Interval:
        """Return nats a note with their 95 % interval, drawing songs."""
        return ratio_interval(self.nats.sum(axis=1), self.n_notes.astype(np.float64), self.song)

    def ratio_to(self, other: Losses) -> Interval:
        """Return the ratio to the loss of another engine on the same clips, with its interval."""
        return ratio_interval(self.nats.sum(axis=1), other.nats.sum(axis=1), self.song)


def held_back_losses(engine: Engine, rows: Rows, *, max_events: int = MAX_EVENTS) -> Losses:
    """Return the losses on the songs held back, all clip-wide controls given.

    After `max_events` events no further clip is looked at.
    """
    config, most = engine.config, engine.config.context
    batches = ClipBatches(
        rows, validation=True, batch_events=most, context=most, seed=1, augmentation=None
    )
    layout = batches.layout
    if (layout.n_ids, layout.events) != (config.vocab_size, config.layout):
        raise ValueError("the rows are of another vocabulary than the checkpoint")
    nats, seen = [], 0
    clips = np.random.default_rng(0).permutation(batches.clips)
    for clip in clips:
        if seen >= max_events:
            break
        ids, learnt = batches.sequence(int(clip), np.random.default_rng(0))
        events = to_events(ids, layout.events, layout.kinds, learnt)
        cost = np.where(events.learnt, engine.nats(ids), 0.0)
        nats.append(cost.sum(axis=0, dtype=np.float64))
        seen += len(events.start)
    own = clips[: len(nats)]
    return Losses(np.array(nats), batches.n_notes[own], rows.clip_song[own].astype(np.int64))


@section(
    "Unseen songs foretold",
    Table(("nats a note", "nats of its slot"), note=
          "Negative log-likelihood of notes of songs held back, all clip-wide controls given; "
          "intervals draw songs again. `advance` says whether another note is struck at the same "
          "moment, and else when the next one is, or that the bar or the clip ends. What is not "
          "learnt, such as the velocities of songs without dynamics, costs nothing."),
    uses=("quick", "rows"),
    needs_rows=True,
)  # fmt: skip
def loss(context: Context) -> Iterator[Row | str]:
    """Foretell songs held back."""
    engine, most = context.composer.engine, context.extent.max_events
    found = held_back_losses(engine, context.rows, max_events=most)
    yield row_of("nats a note", found.per_note(), int(found.n_notes.sum()))
    yield from (Row("nats of its slot", x, by={"slot": s}) for s, x in found.by_slot.items() if x)
    yield f"{len(found.nats)} clips of {len(np.unique(found.song))} songs."
