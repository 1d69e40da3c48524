"""Rounds of cases, each in a fresh process, one after the other, so that noise hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import Case
from benchmarks.measure import QUIET, Sample, load_of_others, quartiles, quiet, times_better

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "NUMBA_NUM_THREADS")  # fmt: skip
SILENT = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "0"}
MEASURED, NOT_INSTALLED, FAILED = "measured", "not installed", "failed"
WORTH_REPEATING = 0.9
"""A variant that in the first round is below this share of its peer's best is not repeated."""
Progress = Callable[[str], None]
Keep = Callable[[Sequence["Outcome"]], None]


@dataclass(frozen=True)
class Settings:
    """Hold how a run is made.

    Attributes:
        seconds: For the samples of a case in a round; a case takes at least one.
        rounds: How often every case has its turn.
        quick: Whether to measure less.
        checkpoint: For the cases that compose; None is the one found.
        weights: A checkpoint whose weights the networks take; None for random ones.
        wait: Most seconds to wait before a case for others to be quiet.
        timeout: Seconds after which a case is given up.
    """

    seconds: float = 3.0
    rounds: int = 3
    quick: bool = False
    checkpoint: Path | None = None
    weights: Path | None = None
    wait: float = 0.0
    timeout: float = 600.0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: If one is out of range.
        """
        good = min(self.seconds, self.wait) >= 0 and self.rounds >= 1 and self.timeout > 0
        if not good:
            raise ValueError(
                f"seconds and wait must not be negative, rounds at least 1, timeout above 0, "
                f"got {self.seconds:g}, {self.wait:g}, {self.rounds}, {self.timeout:g}"
            )


@dataclass(frozen=True)
class Outcome:
    """Hold what became of a case.

    Attributes:
        case: The case.
        status: `measured`, `not installed` or `failed`.
        reason: What is not installed, or why it failed.
        samples: All samples of all rounds.
        remarks: What it says of itself.
    """

    case: Case
    status: str = MEASURED
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def headline(self) -> tuple[float, str] | None:
        """Return median and unit of what it is compared by, as summaries have them, or None."""
        found = quiet([s for s in self.samples if s.metric == self.case.headline])
        if self.status != MEASURED or not found:
            return None
        return quartiles([s.value for s in found])[1], found[0].unit

    @property
    def is_noisy(self) -> bool:
        """Tell whether others were busy during all samples of what it is compared by."""
        found = quiet([s for s in self.samples if s.metric == self.case.headline])
        return any((s.other_cpu or 0.0) > QUIET for s in found)

    def with_more(self, other: Outcome) -> Outcome:
        """Return both as one; what went wrong in the later one is kept beside what was measured."""
        if not self.samples:
            return other
        reason = other.reason or self.reason
        return replace(
            self,
            reason=reason,
            samples=self.samples + other.samples,
            remarks=tuple(dict.fromkeys(self.remarks + other.remarks)),
        )


def run_cases(
    cases: Sequence[Case],
    settings: Settings,
    *,
    scratch: Path,
    progress: Progress = lambda text: None,
    keep: Keep = lambda outcomes: None,
) -> list[Outcome]:
    """Run every case in every round and return their outcomes, in the order of the cases.

    Every second round goes backwards, so that no case always stands after the same one.

    Args:
        cases: What to measure.
        settings: How.
        scratch: A folder for files that later rounds use again.
        progress: Called with a line before each case.
        keep: Called after each case with all outcomes so far: a run that is stopped has those.
    """
    found: dict[str, Outcome] = {}
    alive = list(cases)
    for number in range(settings.rounds):
        turn = alive if number % 2 == 0 else alive[::-1]
        for at, case in enumerate(turn, 1):
            progress(f"round {number + 1}/{settings.rounds}  {at}/{len(turn)}  {case.name}")
            wait_for_quiet(settings.wait)
            outcome = run_case(case, settings, scratch=scratch, number=number)
            found[case.name] = found[case.name].with_more(outcome) if number else outcome
            keep([found[case.name] for case in cases if case.name in found])
        if number == 0:
            alive = worth_repeating([found[case.name] for case in cases])
    return [found[case.name] for case in cases]


def worth_repeating(outcomes: Iterable[Outcome]) -> list[Case]:
    """Return the cases measured, without the variants that are far behind their peer's best.

    A variant is held against those of as many threads. One that was measured while others were
    busy is kept: it may be better than it seems.
    """
    kept = [outcome for outcome in outcomes if outcome.status == MEASURED]
    best: dict[tuple[Any, ...], float] = {}
    for outcome in kept:
        found = outcome.headline()
        if found and outcome.case.work:
            key = (*outcome.case.family, outcome.case.threads)
            best[key] = max(best.get(key, 0.0), found[0])
    cases = []
    for outcome in kept:
        found, key = outcome.headline(), (*outcome.case.family, outcome.case.threads)
        behind = found and key in best and found[0] < WORTH_REPEATING * best[key]
        if not behind or outcome.is_noisy:
            cases.append(outcome.case)
    return cases


def run_case(case: Case, settings: Settings, *, scratch: Path, number: int = 0) -> Outcome:
    """Run a case once, in a process of its own."""
    job = {
        "module": case.module,
        "function": case.function,
        "settings": dict(case.settings),
        "threads": case.threads,
        "seconds": settings.seconds,
        "quick": settings.quick,
        "scratch": str(scratch),
        "checkpoint": settings.checkpoint and str(settings.checkpoint.resolve()),
        "weights": settings.weights and str(settings.weights.resolve()),
    }
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(job)]
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=environment(case.threads), capture_output=True, text=True,
            check=False, timeout=settings.timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(case, FAILED, f"not done after {settings.timeout:g} s")
    return told(case, result.stdout, result.returncode, number=number)


def wait_for_quiet(seconds: float) -> None:
    """Wait until others keep few cores busy, or the seconds are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and load_of_others() > QUIET:
        pass


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a case: its threads, and no word with the network."""
    return os.environ | SILENT | dict.fromkeys(THREAD_VARIABLES, str(threads))


def told(case: Case, text: str, returncode: int, *, number: int) -> Outcome:
    """Return the outcome that a process tells in JSON lines."""
    records: list[Mapping[str, Any]] = [json.loads(line) for line in text.splitlines() if line]
    samples = tuple(
        Sample.from_dict({**record, "round": number}) for record in records if "metric" in record
    )
    remarks = tuple(record["remark"] for record in records if "remark" in record)
    absent = [name for record in records for name in record.get("missing", ())]
    failures = [record["failed"] for record in records if "failed" in record]
    if absent:
        return Outcome(case, NOT_INSTALLED, ", ".join(absent))
    if returncode and not failures:
        failures = [f"ended with status {returncode}"]
    if failures:
        return Outcome(case, MEASURED if samples else FAILED, failures[0], samples, remarks)
    return Outcome(case, samples=samples, remarks=remarks)


def best_of(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Return the outcome with the best headline; None if none has one."""
    best: Outcome | None = None
    for outcome in outcomes:
        found, held = outcome.headline(), best.headline() if best else None
        if found and (held is None or times_better(found[0], held[0], found[1]) > 1):
            best = outcome
    return best
