"""Run one case in this process and tell of it in JSON lines on stdout."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import Bench


def missing(needs: tuple[str, ...]) -> list[str]:
    """Return those of the libraries that are not installed."""
    return [name for name in needs if find_spec(name) is None]


def run(job: Mapping[str, Any], bench: Bench) -> list[str]:
    """Run the job's function, or return the libraries that it lacks."""
    module = import_module(f"benchmarks.{job['module']}")
    absent = missing(module.NEEDS)
    if not absent:
        getattr(module, job["function"])(bench, **job["settings"])
    return absent


def main() -> None:
    """Read the job from the command line; libraries' own words go to stderr."""
    job = json.loads(sys.argv[1])
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def emit(record: Mapping[str, Any]) -> None:
        print(json.dumps(record), file=lines, flush=True)

    paths = {name: job[name] and Path(job[name]) for name in ("checkpoint", "weights")}
    bench = Bench(
        emit,
        seconds=job["seconds"],
        quick=job["quick"],
        threads=job["threads"],
        scratch=Path(job["scratch"]),
        **paths,
    )
    try:
        absent = run(job, bench)
    except Exception as error:  # whatever a library raises is told, and the others go on
        traceback.print_exc()
        emit({"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]})
        return
    if absent:
        emit({"missing": absent})


if __name__ == "__main__":
    main()
