"""Compose the same job alone and on a local Ray cluster of which a node is killed, and compare.

    .venv/bin/python scripts/try_cluster.py --out out/cluster

Each node is a set of processes of this machine with one CPU. It prints the rows of a table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from emomusic.compose.jobs.working.joining import check_ray

COMMAND = (sys.executable, "-m", "emomusic.cli")
STORE_BYTES = 100 * 2**20
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Done:
    """Hold what a run of the command line did.

    Attributes:
        summary: As it told it.
        seconds: From its start to its end.
        mib: The most memory that its process held.
    """

    summary: dict[str, Any]
    seconds: float
    mib: float


def generate(out: Path, *options: str, kill_at: int = 0, kill: Any = None) -> Done:
    """Run `emomusic generate`, and kill a node once so many clips are there."""
    began = time.perf_counter()
    command = [*COMMAND, "generate", "--json", "--out", str(out), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        n_clips, told = 0, {}
        for line in process.stdout:
            told = json.loads(line)
            n_clips += "file" in told
            if kill is not None and n_clips == kill_at:
                kill()
                kill = None
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"generate ended with status {process.returncode}")
    return Done(told["summary"], time.perf_counter() - began, usage.ru_maxrss / 1024)


@contextmanager
def nodes(n_nodes: int) -> Iterator[Any]:
    """Start a head without a CPU, which this process keeps, and nodes with one each."""
    check_ray()
    from ray.cluster_utils import Cluster

    own = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **own})
    try:
        for _ in range(n_nodes):
            cluster.add_node(num_cpus=1, **own)
        yield cluster
    finally:
        cluster.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a job's folder, hidden ones included."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def main(
    out: Annotated[Path, typer.Option(help="Folder for both runs.")],
    count: Annotated[int, typer.Option(min=2, help="Clips.")] = 500,
    bars: Annotated[int, typer.Option(min=1, help="Of each clip.")] = 4,
    n_nodes: Annotated[int, typer.Option("--nodes", min=2, help="Nodes, one CPU each.")] = 3,
    kill: Annotated[bool, typer.Option(help="Whether a node is killed half-way.")] = True,
) -> None:
    """Compose alone and on a cluster, and print how they compare."""
    asked = ["--emotion", "joy", "--bars", str(bars), "--count", str(count), "--seed", "7"]
    alone = generate(out / "alone", *asked, "--threads", "1")
    began = time.perf_counter()
    with nodes(n_nodes) as cluster:
        start_s = time.perf_counter() - began
        node = cluster.list_all_nodes()[-1]
        ray = generate(
            out / "ray", *asked, "--engine", "ray", "--address", cluster.address,
            kill_at=count // 2,
            kill=(lambda: cluster.remove_node(node, allow_graceful=False)) if kill else None,
        )  # fmt: skip
    one, other = contents(out / "alone"), contents(out / "ray")
    clips = {data for name, data in other.items() if name.endswith(".mid")}
    print("| what | measured |\n|---|---|")
    print(f"| {count} clips of {bars} bars, {n_nodes} nodes, {int(kill)} killed | {len(clips)} "
          f"distinct, {'equal' if one == other else 'NOT equal'} to one process's |")  # fmt: skip
    for name, run in (("one process", alone), ("Ray", ray)):
        values = f"{run.seconds:.1f} s, {run.summary['seconds']:.1f} s, {run.mib:.0f} MiB"
        print(f"| {name}: whole command, of it composing, memory of the command | {values} |")
    print(f"| until the cluster itself was there | {start_s:.1f} s |")
    raise typer.Exit(one != other or len(clips) != count)


if __name__ == "__main__":
    typer.run(main)
