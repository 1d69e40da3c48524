"""The benchmark's command line: parse, call, show."""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cases import Case, all_cases
from benchmarks.run import Outcome, Settings, run_cases
from benchmarks.table import report, results

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
QUICK_SECONDS = 0.5
PACKAGES = ("emomusic", "torch", "numpy", "symusic")
FLAGS = ("avx2", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8",
         "asimd", "asimddp", "i8mm", "sve")  # fmt: skip
CPU_INFO, MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")


def chosen(cases: list[Case], only: str | None, *, quick: bool) -> list[Case]:
    """Return the cases whose names hold a text or match a pattern; of a quick run fewer."""
    found = [case for case in cases if case.quick or not quick or only]
    if only is None:
        return found
    return [case for case in found if only in case.name or fnmatch.fnmatch(case.name, only)]


def default_threads() -> str:
    """Return one thread and two, where there are two cores."""
    return "1,2" if len(os.sched_getaffinity(0)) > 1 else "1"


@app.command()
def benchmark(
    out: Annotated[Path, typer.Option(help="Folder for results.json and results.md.")],
    only: Annotated[str | None, typer.Option(help="Part of a case's name, or a pattern.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything, one round.")] = False,
    seconds: Annotated[
        float | None, typer.Option(help="For the samples of a case in a round.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(help="Rounds in which every case runs.")] = None,
    threads: Annotated[str | None, typer.Option(help="Numbers of threads, by comma.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Of the cases that compose.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint whose weights the engines take.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Python of another version's environment.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Most seconds to wait before each case for others to be quiet.")
    ] = 0.0,
    show: Annotated[bool, typer.Option("--list", help="Show the cases and end.")] = False,
) -> None:
    """Measure how fast emomusic is, and another version beside it; write a table and JSON."""
    try:
        found = [int(part) for part in (threads or default_threads()).split(",")]
        cases = chosen(all_cases(found, against=against is not None), only, quick=quick)
        settings = Settings(
            seconds=(QUICK_SECONDS if quick else 3.0) if seconds is None else seconds,
            rounds=(1 if quick else 3) if repeats is None else repeats,
            quick=quick,
            checkpoint=checkpoint,
            weights=weights,
            against=against and against.absolute(),
            wait=wait,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not cases:
        raise typer.BadParameter(f"no case is called {only!r}; --list shows them")
    if show:
        typer.echo("\n".join(f"{case.name:<45} {case.about}" for case in cases))
        return
    _run(cases, settings, out)


def _run(cases: list[Case], settings: Settings, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    about = {"machine": machine(), "versions": versions()}
    start = time.monotonic()

    def keep(outcomes: Sequence[Outcome]) -> None:
        names = {
            name: value.name if isinstance(value, Path) else value
            for name, value in asdict(settings).items()
        }
        plain = names | {"took_s": round(time.monotonic() - start)}
        told = results(outcomes, settings=plain, **about)
        text = json.dumps(told, indent=1, default=str) + "\n"
        (out / "results.json").write_text(text, encoding="utf-8")
        (out / "results.md").write_text(report(outcomes, **about), encoding="utf-8")

    def say(text: str) -> None:
        typer.echo(f"{time.monotonic() - start:6.0f} s  {text}", err=True)

    with tempfile.TemporaryDirectory() as scratch:
        outcomes = run_cases(cases, settings, scratch=Path(scratch), progress=say, keep=keep)
    typer.echo(report(outcomes, **about))


# What a run ran on


def machine() -> dict[str, Any]:
    """Return processor, cores, memory and load; nothing that names the machine."""
    info = _fields(CPU_INFO)
    features = (info.get("flags") or info.get("Features") or "").split()
    memory = _fields(MEMORY_INFO).get("MemTotal", "0 kB").split()[0]
    return {
        "processor": info.get("model name") or platform.machine(),
        "family": f"{info.get('cpu family', '?')}/{info.get('model', '?')}",
        "features": [flag for flag in FLAGS if flag in features],
        "cache": info.get("cache size", "?"),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) / 2**20, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str | None]:
    """Return the version of each package that is measured; None where it is not installed."""
    there = {own.name: own.version for own in metadata.distributions()}
    return {"python": platform.python_version()} | {name: there.get(name) for name in PACKAGES}


def _fields(path: Path) -> dict[str, str]:
    """Return the first value of each field of a `name : value` file, none if it is not there."""
    found: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found


if __name__ == "__main__":
    app()
