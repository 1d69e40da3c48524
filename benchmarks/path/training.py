"""Preparing files and training on them, on pieces made here."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measure import Bench, Clock
from benchmarks.path.pieces import piece_files
from emomusic.data.prepare import prepare
from emomusic.training.config import TrainConfig
from emomusic.training.train import train

NEEDS: tuple[str, ...] = ()
N_FILES, N_QUICK_FILES, N_TRAIN_FILES, N_BARS = 200, 32, 48, 64
BATCH_EVENTS, CONTEXT = 1024, 1024
N_STEPS = 20
"""A run tells of itself every ten steps; the second ten are measured."""


def measure_prepare(bench: Bench) -> None:
    """Measure files a second, from MIDI to packed rows, with all processes."""
    count = N_QUICK_FILES if bench.quick else N_FILES
    source = bench.scratch / f"pieces_{count}"
    piece_files(source, count, n_bars=N_BARS)
    with tempfile.TemporaryDirectory() as out, Clock() as clock:
        prepare(source, Path(out) / "rows.npz", workers=bench.threads)
    bench.sample("files", "files/s", count / clock.seconds, clock)
    bench.memory(children=True)


def measure_train(bench: Bench, *, size: str) -> None:
    """Measure notes a second of a run, once it is under way."""
    rows = bench.scratch / "rows.npz"
    if not rows.is_file():
        piece_files(bench.scratch / "songs", N_TRAIN_FILES, n_bars=N_BARS)
        prepare(bench.scratch / "songs", rows, workers=bench.threads)
    config = TrainConfig(
        size=size, context=CONTEXT, max_steps=N_STEPS, batch_events=BATCH_EVENTS, eval_events=1,
        device="cpu", threads=bench.threads,
    )  # fmt: skip
    clock, seen = Clock(), []

    def note(record: dict[str, float]) -> None:
        if "loss" not in record:
            return
        seen.append(record["notes"])
        if len(seen) == 1:
            clock.start()
        else:
            clock.stop()

    with tempfile.TemporaryDirectory() as out:
        train(rows, Path(out), config, report=note)
    bench.sample("notes", "notes/s", (seen[-1] - seen[0]) / clock.seconds, clock)
    bench.memory()
