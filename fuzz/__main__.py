"""Try hostile inputs for a while, and tell what came of it: `python -m fuzz midi --seconds 20`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from fuzz.targets import TARGETS
from fuzz.trial import (
    BASE_KIB,
    HANG_S,
    MAX_FINDINGS,
    MAX_MEMORY,
    N_INPUTS,
    N_REACHED,
    PEAK_KIB,
    SLOWEST_NS,
    Ledger,
    keep,
)

ROOT = Path(__file__).resolve().parents[1]
MANY = 2**31 - 1


def main() -> None:
    """Run what the command line says; exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=20, help="how long, at most")
    parser.add_argument("--inputs", type=int, default=MANY, help="how many, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without atheris, by mutation alone")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="for findings")
    asked = parser.parse_args()
    way = "blind" if asked.blind or find_spec("atheris") is None else "guided"
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        deaths = _try(asked, way, ledger)
        counts = Ledger(ledger).counts
    kept = [path for path in sorted(asked.keep.glob("*.txt")) if path.stat().st_mtime >= began]
    n_inputs = max(counts[N_INPUTS], 1)
    grown = (counts[PEAK_KIB] - counts[BASE_KIB]) / 1024
    print(
        f"{asked.target}, {way}: {counts[N_INPUTS]} inputs, "
        f"{counts[N_REACHED] / n_inputs:.0%} of them read to the end; "
        f"slowest {counts[SLOWEST_NS] / 1e6:.0f} ms (limit {HANG_S * 1e3:.0f}); "
        f"memory grew by {grown:.0f} MiB (limit {MAX_MEMORY // 2**20}), "
        f"at most {counts[PEAK_KIB] / 1024:.0f} MiB in all; "
        f"crashes {deaths.count('crash')}, hangs {deaths.count('hang')}, findings {len(kept)}"
    )
    for path in kept:
        print(f"  {path.with_suffix('')}: {path.read_text(encoding='utf-8').splitlines()[-1]}")
    sys.exit(bool(kept or not counts[N_INPUTS]))


def _try(asked: argparse.Namespace, way: str, ledger: Path) -> list[str]:
    """Run child after child until time or inputs are used up; return how those died that did."""
    deaths: list[str] = []
    end = time.monotonic() + asked.seconds
    while len(deaths) < MAX_FINDINGS:
        done = Ledger(ledger).counts[N_INPUTS]
        left_s, left = end - time.monotonic(), asked.inputs - done
        if left <= 0 or (left_s <= 0 and (done or deaths)):
            break
        seed = asked.seed + 1_000 * len(deaths)
        command = [sys.executable, "-m", "fuzz.child", way, asked.target, ledger, asked.keep]
        numbers = [str(seed), str(left), str(max(left_s, 1.0))]
        ended = subprocess.run(
            [str(part) for part in (*command, *numbers)],
            cwd=ROOT, env={**os.environ, "TMPDIR": str(ledger.parent)},
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if ended.returncode == 0:
            break
        death = "hang" if ended.returncode == -signal.SIGPROF else "crash"
        told = f"{ended.stderr[-4000:]}\n{death}: exit status {ended.returncode}"
        deaths.append(death)
        keep(asked.keep, death, Ledger(ledger).input, told)
    return deaths


if __name__ == "__main__":
    main()
