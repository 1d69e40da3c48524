"""Rows, items and folders of jobs."""

from __future__ import annotations

import io
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Any

from emomusic.compose.jobs.job import Item, Job, Output
from emomusic.compose.jobs.storage import BatchWriter, Shard, Store
from emomusic.compose.jobs.table import BadRow, JobRow, JobTable, row_of
from emomusic.compose.parse import spec_from_options


def read(text: str | bytes, **defaults: Any) -> list[JobRow | BadRow]:
    """Return all rows of a job's text."""
    data = text.encode() if isinstance(text, str) else text
    found = JobTable(io.BytesIO(data), defaults)
    return [row_of(line, row) if isinstance(row, dict) else row for line, row in found]


def job_of(text: str, **defaults: Any) -> Job:
    """Return the job of a text."""
    return Job(JobTable(io.BytesIO(text.encode()), defaults))


def item(number: int, **options: Any) -> Item:
    """Return an item of one bar, made of options."""
    return Item(number, spec_from_options({"emotion": "joy", "bars": 1, "seed": number, **options}))


def tree(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder, hidden ones included."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def manifest_line(number: int, *, valence: float | None = 0.5, heard: str = "Q1") -> dict[str, Any]:
    """Return a line of a manifest with what is counted of it."""
    name = f"clip_{number:05d}.mid"
    return {"file": name, "files": [name], "valence": valence, "arousal": valence,
            "verdict": {"quadrant": heard}}  # fmt: skip


def keep(writer: BatchWriter, number: int) -> None:
    """Keep a clip as if it had been composed."""
    line = manifest_line(number)
    (writer.folder / line["file"]).write_bytes(f"music {number}".encode())
    writer.keep(line)


def keep_batches(store: Store, job: Job, batches: Container[int] = range(10**6)) -> None:
    """Keep batches of a store's shard as if they had been composed; a clip of 13 cannot be."""
    chosen = [batch in batches and store.shard.has(batch) for batch in range(job.n_batches)]
    for batch in job.batches(chosen):
        with BatchWriter(store, batch.index, Output()) as writer:
            for own in batch.items:
                if own.number % 100 == 13:
                    writer.write(own, None, reason="too\nhard")
                else:
                    keep(writer, own.number)


def begun(folder: Path, job: Job, *, part: Shard | None = None) -> Store:
    """Return the folder of a job that has begun."""
    store = Store(folder, part or Shard())
    store.state.mkdir(parents=True, exist_ok=True)
    store.begin({"job": job.digest}, partial(job.writes, output=Output()), resume=True)
    return store
