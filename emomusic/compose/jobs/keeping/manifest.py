"""From the lines of the blocks to the manifest, and to what is told at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from emomusic.compose.jobs.job import Job
from emomusic.compose.jobs.keeping.store import FAILURES_NAME, HALF, Store, told
from emomusic.compose.output import MANIFEST_NAME
from emomusic.emotion import Emotion


@dataclass
class Tally:
    """Count what became of a job.

    Attributes:
        n_clips: Clips that are there.
        n_asked: Those of them for which an emotion was asked.
        n_heard: Those of these in which its quadrant is heard.
        reasons: How often each reason kept a row or a clip from being composed.
        is_whole: Whether nothing is left to be done, here or elsewhere.
    """

    n_clips: int = 0
    n_asked: int = 0
    n_heard: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    is_whole: bool = False

    def count(self, line: dict[str, Any]) -> None:
        """Count a line of a block."""
        if "file" not in line:
            self.reasons[line["reason"]] += 1
            return
        self.n_clips += 1
        if line["valence"] is not None:
            asked = Emotion(line["valence"], line["arousal"]).quadrant
            self.n_asked += 1
            self.n_heard += line["verdict"]["quadrant"] == asked


def finish(store: Store, job: Job) -> Tally:
    """Write the manifest of what is there, and clear up once all is.

    Where other parts of the job keep their blocks in the same folder, whoever comes last writes.

    Args:
        store: The job's folder.
        job: The job.

    Raises:
        OutputError: If the folder cannot be written into.
    """
    with told(store.folder), store.alone():
        while store.blocks.is_dir():
            done = store.done()
            is_whole = len(done) == job.n_blocks
            if not is_whole and not all(map(store.shard.has, done)):
                return _tally(store, job)
            try:
                tally = _merge(store, job, done)
            except FileNotFoundError:  # whoever came last has cleared up
                continue
            if store.done() == done:  # else another part has become done meanwhile
                if is_whole:
                    store.leave()
                tally.is_whole = is_whole
                return tally
        store.leave()  # what came last may have been stopped while it cleared up
        return _known(store.folder)


def _merge(store: Store, job: Job, done: Iterable[int]) -> Tally:
    """Write manifest and failures from the blocks that are done."""
    tally = Tally()
    if not any(store.blocks.iterdir()):
        return tally  # what another run left stays until there is something
    folder = store.staging(0)
    failures = folder / FAILURES_NAME
    with (folder / MANIFEST_NAME).open("w") as manifest, failures.open("w") as failed:
        for line in _bad_rows(job):
            tally.count(line)
            failed.write(f"{json.dumps(line)}\n")
        for text in _lines(store, done):
            line = json.loads(text)
            tally.count(line)
            (manifest if "file" in line else failed).write(text)
    (folder / MANIFEST_NAME).replace(store.folder / MANIFEST_NAME)
    if tally.reasons:
        failures.replace(store.folder / FAILURES_NAME)
    else:
        (store.folder / FAILURES_NAME).unlink(missing_ok=True)
        failures.unlink()
    folder.rmdir()
    return tally


def _tally(store: Store, job: Job) -> Tally:
    """Count what this part of the job has done."""
    tally = Tally()
    with suppress(FileNotFoundError):
        done = filter(store.shard.has, store.done())
        for line in chain(_bad_rows(job), map(json.loads, _lines(store, done))):
            tally.count(line)
    return tally


def _known(folder: Path) -> Tally:
    """Count what the manifest of a job that is whole says."""
    tally = Tally(is_whole=True)
    for name in (MANIFEST_NAME, FAILURES_NAME):
        if (folder / name).is_file():
            with (folder / name).open(encoding="utf-8") as file:
                for text in file:
                    tally.count(json.loads(text))
    return tally


def _bad_rows(job: Job) -> Iterable[dict[str, Any]]:
    return ({"row": row.line, "reason": row.reason} for row in job.bad_rows())


def _lines(store: Store, done: Iterable[int]) -> Iterator[str]:
    """Yield the lines of blocks, in order; of this part's that were left half-way those there.

    Raises:
        FileNotFoundError: If the blocks are there no more.
    """
    halves = (int(path.stem) for path in store.blocks.glob(f"*{HALF}"))
    found = {block: store.lines_path(block, HALF) for block in filter(store.shard.has, halves)}
    found |= {block: store.lines_path(block) for block in done}
    for block in sorted(found):
        with found[block].open(encoding="utf-8") as file:
            yield from file
