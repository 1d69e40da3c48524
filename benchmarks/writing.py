"""What is asked of every network: the same ids given, the same number written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bench, Clock

VOCAB_SIZE = 560
N_GIVEN, N_CLIP = 24, 700
"""Ids of a prompt, and of a clip of 16 bars."""
N_HELD, N_PART, N_QUICK = 310, 128, 96
"""A part of a clip around its middle: ids before it, and written in it."""
N_FIRST = 6
"""Ids until the first note is known: bar, metre, position, pitch, velocity, duration."""
N_WARM = 8
PATIENCE = 2
"""A clip that would take longer than this many times the case's seconds is measured in part."""
IDS_A_NOTE = 3.63
TOP_P = 0.99


@dataclass(frozen=True)
class Work:
    """Hold what is to be written.

    Attributes:
        n_clips: Rows.
        n_ids: New ids of each row; always as many, nothing ends earlier.
        n_given: Ids of the prompt, which is read within the time.
        n_held: Ids before it that are held already when the time begins.
    """

    n_clips: int = 1
    n_ids: int = N_CLIP
    n_given: int = N_GIVEN
    n_held: int = 0


@dataclass(frozen=True)
class Spent:
    """Hold how long it took.

    Attributes:
        seconds: Wall time of reading the prompt and of writing.
        n_ids: Ids written of each row within that time.
    """

    seconds: float
    n_ids: int


class Writer(Protocol):
    """Write ids with a network, sampling with top-p 0.99 where it can."""

    def write(self, work: Work) -> Spent:
        """Write and tell the time."""
        ...


def work_of(n_clips: int, *, quick: bool, whole: bool = False) -> Work:
    """Return a whole clip for one row, a part around its middle for more, or when quick.

    Args:
        n_clips: Rows.
        quick: Whether a part is enough for one row, too.
        whole: Whether whole clips are written in any case.
    """
    if whole or (n_clips == 1 and not quick):
        return Work(n_clips)
    return Work(n_clips, N_QUICK if quick else N_PART, n_given=1, n_held=N_HELD)


def seconds_of(writer: Writer, work: Work) -> float:
    """Return about how long some work takes, from two short runs: what they differ by counts."""
    short, long = (
        writer.write(Work(work.n_clips, n_ids, work.n_given)).seconds
        for n_ids in (N_WARM, 3 * N_WARM)
    )
    return (long - short) / (2 * N_WARM) * work.n_ids


def measure_writer(bench: Bench, writer: Writer, *, n_clips: int = 1, whole: bool = False) -> None:
    """Report ids a second, and for one clip the time until its first note is known."""
    work = work_of(n_clips, quick=bench.quick, whole=whole)
    if work.n_ids > N_PART and seconds_of(writer, work) > PATIENCE * bench.seconds:
        bench.remark("part of a clip only: all of it takes too long")
        work = work_of(n_clips, quick=True)
    writer.write(Work(n_clips, N_WARM, n_given=work.n_given, n_held=work.n_held))
    if n_clips == 1:
        for _ in range(3):
            with Clock() as clock:
                spent = writer.write(Work(n_ids=N_FIRST))
            bench.sample("first note", "ms", 1e3 * spent.seconds, clock)
    end = time.perf_counter() + bench.seconds
    while True:
        with Clock() as clock:
            spent = writer.write(work)
        bench.sample("ids", "ids/s", n_clips * spent.n_ids / spent.seconds, clock)
        if time.perf_counter() + clock.seconds > end:
            break
    bench.memory()


def prompt_ids(n_clips: int, n_ids: int, *, vocab_size: int = VOCAB_SIZE) -> NDArray[np.int64]:
    """Return the ids that are given, always the same, shape (n_clips, n_ids)."""
    return np.random.default_rng(0).integers(vocab_size, size=(n_clips, n_ids))


def draw(
    logits: NDArray[np.float32], rng: np.random.Generator, *, top_p: float
) -> NDArray[np.int64]:
    """Draw an id for each row among the likeliest that together hold top_p.

    Args:
        logits: Shape (n, vocab_size).
        rng: One number is used for each row.
        top_p: In (0, 1].

    Returns:
        Ids, shape (n,).
    """
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    order = np.argsort(-odds, axis=1)
    sums = np.cumsum(np.take_along_axis(odds, order, axis=1), axis=1)
    kept = (sums < top_p * sums[:, -1:]).sum(axis=1)
    mass = np.take_along_axis(sums, kept[:, None], axis=1)[:, 0]
    chosen = (sums <= (rng.random(len(logits)) * mass)[:, None]).sum(axis=1)
    chosen = np.minimum(chosen, kept)
    return np.take_along_axis(order, chosen[:, None], axis=1)[:, 0]
