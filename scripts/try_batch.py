"""Try a batch job as it is meant to be used: killed again and again, shared out, and watched.

Prints rows of a table: whether what is left after kills equals an undisturbed run, byte for byte,
and how much memory each process holds late in a job against early.

    python scripts/try_batch.py --count 2000 --kills 10
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

EMOTIONS = ("joy", "sadness", "anger", "calm", "Q1")
EARLY = 200
"""Clips after which memory is looked at first."""
Memory = dict[int, tuple[float, float]]


def command(spec: Path, out: Path, *more: str) -> list[str]:
    """Return the command that does a job."""
    code = "from emomusic.cli import main; main()"
    asked = ("generate", "--spec", str(spec), "--out", str(out), "--resume", "--json")
    return [sys.executable, "-c", code, *asked, *more]


def write_spec(path: Path, count: int, bars: int) -> None:
    """Write a job of rows of up to ten clips, each of another emotion and with its own seed."""
    starts = range(0, count, 10)
    rows = [
        f"{EMOTIONS[at % len(EMOTIONS)]},{bars},{min(10, count - start)},{at}"
        for at, start in enumerate(starts)
    ]
    path.write_text("\n".join(["emotion,bars,count,seed", *rows]) + "\n", encoding="utf-8")


def kill_and_resume(asked: list[str], *, kills: int, longest: float, rng: random.Random) -> int:
    """Kill a job at random moments, then let it end; return how often it was killed."""
    killed = 0
    while killed < kills:
        process = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.5, longest))
            return killed
        except subprocess.TimeoutExpired:
            process.kill()  # of its workers none: they end by themselves
            killed += process.wait() < 0
    subprocess.run(asked, stdout=subprocess.DEVNULL, check=True)
    return killed


def peaks(process: int) -> Memory:
    """Return the MiB that a process and each of its children have held at most, and hold now."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    found = {}
    for one in (process, *map(int, children)):
        status = Path(f"/proc/{one}/status").read_text()
        name = Path(f"/proc/{one}/cmdline").read_text()
        if "VmHWM:" in status and "resource_tracker" not in name:
            peak, now = (int(status.split(k)[1].split()[0]) / 1024 for k in ("VmHWM:", "VmRSS:"))
            found[one] = peak, now
    return found


def watch(asked: list[str], *, count: int) -> tuple[float, Memory, Memory]:
    """Do a job; return its clips a second, and the memory of each process early and at the end."""
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, text=True)
    seen = [(0, Memory())]
    lines: list[str] = []

    def sample() -> None:
        while process.poll() is None:
            try:
                seen.append((len(lines), peaks(process.pid)))
            except OSError:  # one of them has just ended
                continue
            time.sleep(0.1)

    sampler = threading.Thread(target=sample)
    sampler.start()
    assert process.stdout is not None
    lines.extend(process.stdout)
    sampler.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    early = next(memory for n, memory in seen if n >= min(EARLY, count))
    late = next(memory for n, memory in reversed(seen) if n <= count and set(early) <= set(memory))
    return json.loads(lines[-1])["summary"]["clips_per_second"], early, late


def differences(one: Path, other: Path) -> list[str]:
    """Return the names of files that two folders do not hold alike, hidden ones included."""
    names = [{str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    return sorted(
        name
        for name in names[0] | names[1]
        if name not in names[0] & names[1]
        or (one / name).read_bytes() != (other / name).read_bytes()
    )


def main(
    count: Annotated[int, typer.Option(min=5, help="Clips.")] = 2000,
    kills: Annotated[int, typer.Option(min=0, help="How often the job is killed.")] = 10,
    bars: Annotated[int, typer.Option(min=1, help="Of each clip.")] = 4,
    workers: Annotated[int, typer.Option(min=2, help="Processes of the job.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the moments of the kills.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder; else one that is removed.")] = None,
) -> None:
    """Do one job in four ways, compare what they leave, and print what memory they took."""
    with tempfile.TemporaryDirectory() as own:
        folder = out or Path(own)
        folder.mkdir(parents=True, exist_ok=True)
        try_all(folder, count, kills, ("--workers", str(workers)), seed=seed, bars=bars)


def try_all(
    folder: Path, count: int, kills: int, workers: Sequence[str], *, seed: int, bars: int
) -> None:
    """Print the rows of the table."""
    spec = folder / "jobs.csv"
    write_spec(spec, count, bars)
    print("| what | measured |\n|---|---|")
    for name, more in (("one", ("--threads", "1")), ("workers", workers)):
        rate, early, late = watch(command(spec, folder / name, *more), count=count)
        print(f"| {name}: clips a second | {rate:.1f} |")
        for process in early:
            for what, a, b in zip(("peak", "held"), early[process], late[process], strict=True):
                print(f"| {name}: {what} MiB after {EARLY}, after {count} clips | "
                      f"{a:.1f}, {b:.1f} ({b / a - 1:+.1%}) |", flush=True)  # fmt: skip
    for part in range(3):
        asked = command(spec, folder / "shards", "--shard", f"{part}/3")
        subprocess.run(asked, stdout=subprocess.DEVNULL, check=True)
    killed = kill_and_resume(
        command(spec, folder / "killed", *workers),
        kills=kills,
        longest=1.2 * count / rate / max(kills, 1) + 1,
        rng=random.Random(seed),
    )
    for name, told in (
        ("workers", "workers"),
        ("shards", "3 shards"),
        ("killed", f"{killed} kills"),
    ):
        n = len(differences(folder / "one", folder / name))
        print(f"| {count} clips, {told}, against an undisturbed run | "
              f"{f'{n} files differ' if n else 'equal byte for byte'} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
