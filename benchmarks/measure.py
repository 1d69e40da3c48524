"""Samples and what is said of them: time, the load of others, medians and spread."""

from __future__ import annotations

import os
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
    """Hold one measured value.

    Attributes:
        metric: What was measured.
        unit: Its unit; one with a slash is a rate, of which more is better.
        value: The value.
        seconds: Wall seconds that the measurement took.
        other_cpu: Cores that other processes kept busy meanwhile; None where unknown.
        round: Which round of the run it is from.
    """

    metric: str
    unit: str
    value: float
    seconds: float = 0.0
    other_cpu: float | None = None
    round: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Sample:
        """Build from plain values; those it does not know are passed over."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__ if name in values})


@dataclass(frozen=True)
class Summary:
    """Hold what many samples of one metric say.

    Attributes:
        metric: What was measured.
        unit: Its unit.
        n: Samples that count: the quiet ones, or all where none is.
        n_all: Samples.
        median: Their median.
        low: Their first quartile.
        high: Their third quartile.
        other_cpu: Mean load of others; None where unknown.
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
    return [_summary(metric, unit, group) for (metric, unit), group in groups.items()]


def _summary(metric: str, unit: str, group: Sequence[Sample]) -> Summary:
    counted = quiet(group)
    low, median, high = quartiles([sample.value for sample in counted])
    loads = [sample.other_cpu for sample in counted if sample.other_cpu is not None]
    load = sum(loads) / len(loads) if loads else None
    return Summary(metric, unit, len(counted), len(group), median, low, high, load)


def quiet(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples during which others were quiet, or all if there are none."""
    found = [sample for sample in samples if (sample.other_cpu or 0.0) <= QUIET]
    return found or list(samples)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third, between neighbours linearly.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("quartiles need at least one value, got none")
    low, median, high = np.quantile(np.asarray(values, dtype=np.float64), [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)


def is_rate(unit: str) -> bool:
    """Tell whether more of this unit is better."""
    return "/" in unit


def times_better(ours: float, theirs: float, unit: str) -> float:
    """Return how many times better a value is than another; 1 is as good."""
    return ours / theirs if is_rate(unit) else theirs / ours


def by_round(samples: Sequence[Sample], metric: str) -> dict[int, float]:
    """Return the median of a metric in each round, of its quiet samples where there are some."""
    groups: dict[int, list[float]] = {}
    for sample in quiet([sample for sample in samples if sample.metric == metric]):
        groups.setdefault(sample.round, []).append(sample.value)
    return {number: quartiles(values)[1] for number, values in groups.items()}


def load_of_others(seconds: float = 0.5) -> float:
    """Return how many cores others keep busy now; 0 where unknown."""
    with Clock() as clock:
        time.sleep(seconds)
    return clock.other_cpu or 0.0


def busy_seconds(text: str, *, ticks: int) -> float:
    """Return the CPU seconds that all processes have used, from the text of /proc/stat.

    Args:
        text: Of /proc/stat.
        ticks: Of a second.
    """
    columns = [int(number) for number in text.split("\n", 1)[0].split()[1:]]
    idle = columns[3] + columns[4]
    guests = sum(columns[8:])  # counted among user and nice already
    return (sum(columns) - idle - guests) / ticks


def _busy() -> float | None:
    try:
        return busy_seconds(STAT.read_text(encoding="ascii"), ticks=os.sysconf("SC_CLK_TCK"))
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


def peak_memory_mb(*, children: bool = False) -> float:
    """Return the largest resident size so far, of this process or of its largest child, in MB."""
    import resource

    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * MEMORY_UNIT / 1e6


class Bench:
    """What a case is handed: settings of the run, and where its samples go.

    Attributes:
        seconds: What the case may take for its samples.
        quick: Whether to measure less.
        threads: CPU threads of the case.
        scratch: A folder for files that later rounds use again.
        checkpoint: The checkpoint of the cases that need one.
        weights: A checkpoint whose weights the networks take; None for random ones.
    """

    def __init__(
        self,
        emit: Callable[[Mapping[str, Any]], None],
        *,
        seconds: float,
        quick: bool,
        threads: int,
        scratch: Path,
        checkpoint: Path | None = None,
        weights: Path | None = None,
    ) -> None:
        """Keep the settings."""
        self._emit = emit
        self.seconds, self.quick, self.threads = seconds, quick, threads
        self.scratch, self.checkpoint, self.weights = scratch, checkpoint, weights

    def sample(self, metric: str, unit: str, value: float, clock: Clock | None = None) -> None:
        """Report a value."""
        seconds, load = (clock.seconds, clock.other_cpu) if clock else (0.0, None)
        self._emit({"metric": metric, "unit": unit, "value": value, "seconds": seconds,
                    "other_cpu": load})  # fmt: skip

    def memory(self, *, children: bool = False) -> None:
        """Report the largest resident size so far."""
        self.sample("memory", "MB", peak_memory_mb(children=children))

    def remark(self, text: str) -> None:
        """Report something that the table is to say of this case."""
        self._emit({"remark": text})

    def repeat(self, metric: str, unit: str, work: Callable[[], float]) -> None:
        """Do some work once unmeasured, then again and again within the case's seconds.

        Args:
            metric: What is measured, `MIN_SAMPLES` times at least.
            unit: A rate ("notes/s") reports the amount by the seconds, "s" and "ms" the time of
                one of the amount.
            work: Does it and returns the amount done.
        """
        work()
        n, end = 0, time.perf_counter() + self.seconds
        while n < MIN_SAMPLES or time.perf_counter() < end:
            with Clock() as clock:
                amount = work()
            self.sample(metric, unit, per(unit, amount, clock.seconds), clock)
            n += 1


def per(unit: str, amount: float, seconds: float) -> float:
    """Return an amount a second for a rate, else the time of one, in s or ms."""
    if is_rate(unit):
        return amount / seconds
    return seconds / amount * (1e3 if unit == "ms" else 1.0)
