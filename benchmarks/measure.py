"""Samples and what is said of them: time, the load of others, medians and spread."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

STAT = Path("/proc/stat")
MIN_SECONDS = 0.2
"""The kernel counts CPU time in hundredths of a second: shorter stretches tell no load."""
MIN_SAMPLES = 3
QUIET = 0.2
"""Cores of others up to which a sample counts as quiet."""
MEMORY_UNIT = 1024
"""Bytes of one unit of `ru_maxrss` on Linux."""


@dataclass(frozen=True)
class Sample:
    """Hold one measured value; a unit with a slash is a rate, of which more is better.

    It took so many wall seconds, in which other processes kept so many cores busy (None where
    that is unknown), in one round of the run.
    """

    metric: str
    unit: str
    value: float
    seconds: float = 0.0
    other_cpu: float | None = None
    round: int = 0


@dataclass(frozen=True)
class Summary:
    """Hold what the samples of one metric say: median, quartiles, mean load of others.

    Of `n_all` samples `n` count: the quiet ones, or all where none is.
    """

    metric: str
    unit: str
    n: int
    n_all: int
    median: float
    low: float
    high: float
    other_cpu: float | None

    @property
    def spread(self) -> float:
        """Return the distance of the quartiles as a share of the median."""
        return (self.high - self.low) / self.median if self.median else 0.0


def summarise(samples: Sequence[Sample]) -> list[Summary]:
    """Return a summary of each metric, in the order in which they first appear."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.metric, sample.unit), []).append(sample)
    found = []
    for (metric, unit), group in groups.items():
        counted = _quiet(group)
        values = [sample.value for sample in counted]
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
        loads = [sample.other_cpu for sample in counted if sample.other_cpu is not None]
        load = sum(loads) / len(loads) if loads else None
        found.append(Summary(metric, unit, len(counted), len(group), median, low, high, load))
    return found


def by_round(samples: Sequence[Sample], metric: str) -> dict[int, float]:
    """Return the median of a metric in each round, of its quiet samples where there are some."""
    groups: dict[int, list[float]] = {}
    for sample in _quiet([sample for sample in samples if sample.metric == metric]):
        groups.setdefault(sample.round, []).append(sample.value)
    return {number: float(np.median(values)) for number, values in groups.items()}


def _quiet(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return the samples during which others were quiet, or all if there are none."""
    return [sample for sample in samples if (sample.other_cpu or 0.0) <= QUIET] or samples


def is_rate(unit: str) -> bool:
    """Tell whether more of this unit is better."""
    return "/" in unit


def times_better(ours: float, theirs: float, unit: str) -> float:
    """Return how many times better a value is than another; 1 is as good."""
    return ours / theirs if is_rate(unit) else theirs / ours


def load_of_others(seconds: float = 0.5) -> float:
    """Return how many cores others keep busy now; 0 where unknown."""
    with Clock() as clock:
        time.sleep(seconds)
    return clock.other_cpu or 0.0


def _busy() -> float | None:
    """Return the CPU seconds that all processes have used; None where unknown."""
    try:
        columns = [int(number) for number in STAT.read_text("ascii").split("\n", 1)[0].split()[1:]]
        idle = columns[3] + columns[4]
        guests = sum(columns[8:])  # counted among user and nice already
        return (sum(columns) - idle - guests) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _own() -> float:
    return sum(os.times()[:4])  # with children that have ended


@dataclass
class Clock:
    """Measure a stretch of time, and how busy others were in it."""

    seconds: float = 0.0
    other_cpu: float | None = None
    _start: tuple[float, float | None, float] = field(default=(0.0, None, 0.0), repr=False)

    def start(self) -> None:
        """Start."""
        self._start = (time.perf_counter(), _busy(), _own())

    def stop(self) -> None:
        """Stop, and tell how long it was and how busy others were."""
        start, busy, own = self._start
        now = _busy()
        self.seconds = time.perf_counter() - start
        if now is not None and busy is not None and self.seconds >= MIN_SECONDS:
            others = (now - busy) - (_own() - own)
            self.other_cpu = max(round(others / self.seconds, 3), 0.0)

    def __enter__(self) -> Clock:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()


@dataclass
class Bench:
    """Hand a case the settings of the run, and take its samples.

    It may take so many seconds for these. Files that later rounds use again are in `scratch`;
    the networks take the weights of the checkpoint `weights`, or random ones.
    """

    emit: Callable[[Mapping[str, Any]], None]
    seconds: float
    quick: bool
    threads: int
    scratch: Path
    checkpoint: Path | None = None
    weights: Path | None = None

    def sample(self, metric: str, unit: str, value: float, clock: Clock | None = None) -> None:
        """Report a value."""
        seconds, load = (clock.seconds, clock.other_cpu) if clock else (0.0, None)
        self.emit({"metric": metric, "unit": unit, "value": value, "seconds": seconds,
                   "other_cpu": load})  # fmt: skip

    def memory(self, *, children: bool = False) -> None:
        """Report the largest resident size so far, of this process or of its largest child."""
        who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
        self.sample("memory", "MB", resource.getrusage(who).ru_maxrss * MEMORY_UNIT / 1e6)

    def remark(self, text: str) -> None:
        """Report something that the table is to say of this case."""
        self.emit({"remark": text})

    def repeat(self, metric: str, work: Callable[[], float]) -> None:
        """Do some work once unmeasured, then again and again within the case's seconds.

        Args:
            metric: What is measured, `MIN_SAMPLES` times at least: the time of one, in ms.
            work: Does it and returns how many were done.
        """
        work()
        n, end = 0, time.perf_counter() + self.seconds
        while n < MIN_SAMPLES or time.perf_counter() < end:
            with Clock() as clock:
                amount = work()
            self.sample(metric, "ms", 1e3 * clock.seconds / amount, clock)
            n += 1
