"""Rounds of cases, each in a fresh process, one after the other, so that noise hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.cases import BEFORE, Case
from benchmarks.measure import QUIET, Sample, Summary, load_of_others, summarise

ROOT = Path(__file__).resolve().parents[1]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "NUMBA_NUM_THREADS")  # fmt: skip
SILENT = {"HF_HUB_OFFLINE": "1"}
MEASURED, NOT_INSTALLED, FAILED = "measured", "not installed", "failed"
Progress = Callable[[str], None]
Keep = Callable[[Sequence["Outcome"]], None]


@dataclass(frozen=True)
class Settings:
    """Hold how a run is made.

    A case takes `seconds` for its samples in a round, one sample at least; before it so many
    seconds are waited for others to be quiet, after `timeout` seconds it is given up. `weights`
    is a checkpoint whose weights the engines take (None: random ones), `against` the Python of
    another version's environment, to measure it beside ours.
    """

    seconds: float = 3.0
    rounds: int = 3
    quick: bool = False
    checkpoint: Path | None = None
    weights: Path | None = None
    against: Path | None = None
    wait: float = 0.0
    timeout: float = 600.0

    def __post_init__(self) -> None:
        """Raise a ValueError if one is out of range."""
        good = min(self.seconds, self.wait) >= 0 and self.rounds >= 1 and self.timeout > 0
        if not good:
            raise ValueError(
                f"seconds and wait must not be negative, rounds at least 1, timeout above 0, "
                f"got {self.seconds:g}, {self.wait:g}, {self.rounds}, {self.timeout:g}"
            )


@dataclass(frozen=True)
class Outcome:
    """Hold what became of a case: samples of all rounds, or why there are none, and remarks."""

    case: Case
    status: str = MEASURED
    reason: str = ""
    samples: tuple[Sample, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    def headline(self) -> Summary | None:
        """Return what it is compared by, or None."""
        found = [own for own in summarise(self.samples) if own.metric == self.case.headline]
        return found[0] if found and self.status == MEASURED else None

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
            alive = [case for case in cases if found[case.name].status == MEASURED]
    return [found[case.name] for case in cases]


def run_case(case: Case, settings: Settings, *, scratch: Path, number: int = 0) -> Outcome:
    """Run a case once, in a process of its own."""
    before = case.peer == BEFORE
    job = {
        "module": case.module,
        "function": case.function,
        "settings": dict(case.settings),
        "threads": case.threads,
        "seconds": settings.seconds,
        "quick": settings.quick,
        "scratch": str(scratch),
        "checkpoint": None if before else _told(settings.checkpoint),
        "weights": _told(settings.weights),
    }
    python, place, env = sys.executable, ROOT, environment(case.threads)
    if before and settings.against is not None:
        python, place = str(settings.against), _benchmarks_alone(scratch)
        env.pop("PYTHONPATH", None)
    command = [python, "-m", "benchmarks.child", json.dumps(job)]
    try:
        result = subprocess.run(
            command, cwd=place, env=env, capture_output=True, text=True, check=False,
            timeout=settings.timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(case, FAILED, f"not done after {settings.timeout:g} s")
    return told(case, result.stdout, result.returncode, number=number)


def _told(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _benchmarks_alone(scratch: Path) -> Path:
    """Return a folder where `benchmarks` can be imported, and our package cannot."""
    folder = scratch / "alone"
    if not folder.is_dir():
        folder.mkdir()
        (folder / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
    return folder


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
    samples = tuple(Sample(**record, round=number) for record in records if "metric" in record)
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
