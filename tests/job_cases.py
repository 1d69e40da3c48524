"""Rows, orders and folders of jobs, for tests of several modules."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emomusic.compose.asking.options import settings_of
from emomusic.compose.jobs.job import Job, Order, Output
from emomusic.compose.jobs.keeping.store import Shard, Store
from emomusic.compose.jobs.keeping.writer import BlockWriter
from emomusic.compose.jobs.spec import BadRow, Row, read_rows


def read(text: str | bytes, **defaults: Any) -> list[Row | BadRow]:
    """Return all rows of a job's text."""
    data = text.encode() if isinstance(text, str) else text
    return list(read_rows(io.BytesIO(data), defaults))


def job_of(text: str | bytes, **defaults: Any) -> Job:
    """Return the job of a text."""
    return Job(io.BytesIO(text.encode() if isinstance(text, str) else text), defaults)


def order(number: int, **options: Any) -> Order:
    """Return an order of one bar, made of options."""
    return Order(number, settings_of({"emotion": "joy", "bars": 1, "seed": number, **options}))


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder, hidden ones included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def line_of(number: int, *, valence: float | None = 0.5, heard: str = "Q1") -> dict[str, Any]:
    """Return a line of a manifest with what is counted of it."""
    name = f"clip_{number:05d}.mid"
    return {"file": name, "files": [name], "valence": valence, "arousal": valence,
            "verdict": {"quadrant": heard}}  # fmt: skip


def keep(store: Store, job: Job, blocks: Iterable[int], *, pack: str = "files") -> None:
    """Keep blocks of a job as if they had been composed; a clip of 13 cannot be."""
    chosen = [block in set(blocks) for block in range(job.n_blocks)]
    for block in job.blocks(chosen):
        with BlockWriter(store, block.index, Output(pack=pack)) as writer:
            for own in block.orders:
                if own.number % 100 == 13:
                    writer.fail(own, "too\nhard")
                else:
                    line = line_of(own.number)
                    writer.take(line, {line["file"]: f"music {own.number}".encode()})


def begun(folder: Path, job: Job, *, part: Shard | None = None) -> Store:
    """Return the folder of a job that has begun."""
    store = Store(folder, part or Shard())
    store.state.mkdir(parents=True, exist_ok=True)
    store.begin({"job": job.digest}, resume=True)
    return store
