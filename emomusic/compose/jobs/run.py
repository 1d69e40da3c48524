"""A job from its rows to its manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from emomusic.compose.jobs.job import Block, Job
from emomusic.compose.jobs.keeping.manifest import Tally, finish
from emomusic.compose.jobs.keeping.store import Store
from emomusic.compose.jobs.keeping.writer import Line

Compose = Callable[[Iterable[Block]], Generator[Line, None, None]]


@dataclass
class Report:
    """Hold what a run of a job did.

    Attributes:
        n_wanted: Clips of this part of the job.
        n_composed: Clips that this run composed.
        seconds: How long that took.
        tally: What is there of the job, once the run is over.
    """

    n_wanted: int
    n_composed: int = 0
    seconds: float = 0.0
    tally: Tally | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        tally = self.tally or Tally()
        rate = self.n_composed / self.seconds if self.seconds else 0.0
        heard = tally.n_heard / tally.n_asked if tally.n_asked else None
        return {
            "clips": tally.n_clips,
            "composed": self.n_composed,
            "seconds": round(self.seconds, 3),
            "clips_per_second": round(rate, 3),
            "heard_as_asked": None if heard is None else round(heard, 4),
            "failures": dict(tally.reasons.most_common()),
            "complete": tally.is_whole,
        }


def n_clips_of(job: Job, store: Store) -> int:
    """Return how many clips a part of a job has."""
    size, n = job.block_size, job.n_clips
    return sum(
        min(size, n - block * size) for block in range(job.n_blocks) if store.shard.has(block)
    )


def run(
    job: Job,
    store: Store,
    compose: Compose,
    report: Report,
    *,
    on_line: Callable[[Line], None] = lambda line: None,
) -> None:
    """Compose what is not there yet of a part of a job, and write the manifest.

    However it ends, the manifest is of what is there, and a later run goes on.

    Args:
        job: What is wanted.
        store: Held, and begun.
        compose: Composes blocks and keeps them.
        report: Filled in.
        on_line: Called with the line of each clip once it is kept.

    Raises:
        OutputError: If the clips cannot be kept.
    """
    began = time.perf_counter()
    try:
        with closing(compose(job.blocks(store.chosen(job.n_blocks)))) as lines:
            for line in lines:
                report.n_composed += "file" in line
                on_line(line)
    finally:
        report.seconds = time.perf_counter() - began
        report.tally = finish(store, job)
