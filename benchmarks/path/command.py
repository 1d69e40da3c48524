"""The command line as a person runs it: a whole process, from its name to the files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Bench, Clock

NEEDS: tuple[str, ...] = ()
N_MANY, N_MANY_QUICK = 64, 9


def run(arguments: list[str]) -> Clock:
    """Run `emomusic` and return its time.

    Raises:
        RuntimeError: If it fails; the message is its own.
    """
    script = Path(sys.executable).with_name("emomusic")
    command = [str(script)] if script.is_file() else [sys.executable, "-m", "emomusic"]
    with Clock() as clock:
        result = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, timeout=600
        )
    if result.returncode:
        raise RuntimeError(result.stderr.strip() or f"status {result.returncode}")
    return clock


def generate(bench: Bench, count: int, *, seed: int) -> Clock:
    """Compose clips of 16 bars for anger, which is dense, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as out:
        arguments = ["generate", "--emotion", "anger", "--count", str(count), "--bars", "16"]
        arguments += ["--seed", str(seed), "--out", out]
        if bench.checkpoint is not None:
            arguments += ["--checkpoint", str(bench.checkpoint)]
        return run(arguments)


def measure(bench: Bench) -> None:
    """Measure the first clip and its memory; a first run warms the disk's cache."""
    if not bench.quick:
        generate(bench, 1, seed=0)
    for seed in range(1 if bench.quick else 2):
        clock = generate(bench, 1, seed=seed)
        bench.sample("whole process", "s", clock.seconds, clock)
    bench.memory(children=True)


def measure_help(bench: Bench) -> None:
    """Measure the help text."""
    for _ in range(3):
        clock = run(["--help"])
        bench.sample("whole process", "s", clock.seconds, clock)


def measure_further(bench: Bench) -> None:
    """Measure what each clip after the first costs, all included."""
    count = N_MANY_QUICK if bench.quick else N_MANY
    one, many = generate(bench, 1, seed=0), generate(bench, count, seed=0)
    bench.sample("a further clip", "s", (many.seconds - one.seconds) / (count - 1), many)
    bench.sample(f"{count} clips", "s", many.seconds, many)
    bench.memory(children=True)
