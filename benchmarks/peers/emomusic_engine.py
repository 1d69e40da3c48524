"""The engines that emomusic composes with: what the others are compared with.

Nothing here imports torch unless the engine does, so that memory is the engine's own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Bench, Clock
from benchmarks.writing import (
    N_GIVEN,
    TOP_P,
    Spent,
    Work,
    measure_writer,
    prompt_ids,
)
from emomusic.model.engines.choose import open_engine
from emomusic.model.engines.engine import Engine, Row, Uniforms
from emomusic.model.engines.grammar import Grammar, Kind, Script

NEEDS: tuple[str, ...] = ()
LENGTHS = {1: (64, 256, 512, 1024, 2000), 8: (64, 256, 512, 1024, 2000), 32: (64, 512, 1024)}
"""Of the rows of each batch, which is as many rows."""
N_SEGMENT = 2


def pairs(vocab_size: int) -> Grammar:
    """Return a grammar of pairs, an id of the lower half and one of the upper half.

    Rows of it end after as many pairs as asked, and never before.
    """
    half = vocab_size // 2
    lower, upper = Kind(0, half, 1), Kind(half, vocab_size - half, 0, ends=True)
    return Grammar(vocab_size, (lower, upper), ((0,), (1,)))


class EngineWriter:
    """Write with an engine of ours."""

    def __init__(self, engine: Engine) -> None:
        """Take an engine."""
        self.engine, self.grammar = engine, pairs(engine.config.vocab_size)

    def write(self, work: Work) -> Spent:
        """Write; what is held is read within the time of a run of two ids, and that taken off."""
        if work.n_held:
            given = Work(work.n_clips, N_SEGMENT, work.n_held + work.n_given)
            seconds = self._seconds(Work(work.n_clips, work.n_ids, given.n_given))
            return Spent(max(seconds - self._seconds(given), 1e-9), work.n_ids - N_SEGMENT)
        return Spent(self._seconds(work), work.n_ids)

    def _seconds(self, work: Work) -> float:
        ids = prompt_ids(work.n_clips, work.n_given, vocab_size=self.engine.config.vocab_size)
        n_segments = work.n_ids // N_SEGMENT
        rows = [
            Row(
                Script(tuple(given), ((),) * n_segments, ((1,),) * n_segments, max_free=N_SEGMENT),
                Uniforms(np.random.default_rng(number)),
                number,
                top_p=TOP_P,
            )
            for number, given in enumerate(ids.tolist())
        ]
        start = time.perf_counter()
        written = sum(1 for _ in self.engine.write(rows, self.grammar))
        seconds = time.perf_counter() - start
        if written != work.n_clips:
            raise RuntimeError(f"{written} rows were written, not {work.n_clips}")
        return seconds


def network_folder(bench: Bench) -> Path:
    """Return a checkpoint of the network that is compared; random weights are drawn elsewhere."""
    folder = bench.weights or bench.scratch / "network"
    if not folder.is_dir():
        command = [sys.executable, "-m", "benchmarks.network", str(folder)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    return folder


def open_writer(bench: Bench, engine: str) -> EngineWriter:
    """Return a writer with the network that is compared."""
    return EngineWriter(open_engine(network_folder(bench), engine, threads=bench.threads))


def measure(bench: Bench, *, n_clips: int = 1, engine: str = "auto") -> None:
    """Measure what every network is measured by, but always on whole clips."""
    writer = open_writer(bench, engine)
    bench.remark(f"the engine is {writer.engine.name}")
    measure_writer(bench, writer, n_clips=n_clips, whole=True)


def measure_contexts(bench: Bench) -> None:
    """Measure ids a second where more and more ids stand before, for some numbers of rows.

    The rate between two lengths comes from the times of writing to one and to the other.
    """
    writer = open_writer(bench, "auto")
    writer.write(Work(n_ids=8))
    for n_clips, lengths in LENGTHS.items():
        seconds, last = 0.0, 0
        for length in lengths:
            with Clock() as clock:
                spent = writer.write(Work(n_clips, length))
            rate = n_clips * (length - last) / max(spent.seconds - seconds, 1e-9)
            metric = f"{n_clips} × ids {last + N_GIVEN}–{length + N_GIVEN}"
            bench.sample(metric, "ids/s", rate, clock)
            seconds, last = spent.seconds, length
    bench.memory()
