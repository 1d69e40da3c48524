from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from job_cases import begun, job_of, tree
from midi import score_of
from test_cli import Shell
from test_cli import shell as shell

import emomusic
from emomusic.compose.composer import Composer
from emomusic.compose.jobs.job import Job, Output
from emomusic.compose.jobs.keeping.writer import Line
from emomusic.compose.jobs.run import Report, run
from emomusic.compose.jobs.working import cluster as cluster_module
from emomusic.compose.jobs.working.actor import Actor, Files
from emomusic.compose.jobs.working.alone import compose_blocks
from emomusic.compose.jobs.working.cluster import Cluster, compose_on_cluster
from emomusic.compose.jobs.working.joining import ClusterError, check_ray
from emomusic.compose.jobs.working.pool import WorkerError
from emomusic.music.score import write_score

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed"
)
SMALL = {"num_cpus": 1, "object_store_memory": 90 * 2**20, "include_dashboard": False}
ROWS = "emotion,bars,count,seed\njoy,1,40,3\nsadness,1,24,4\n"


class Nodes:
    """Two nodes of a cluster, each with processes of its own on this machine and one CPU."""

    def __init__(self) -> None:
        check_ray()
        from ray.cluster_utils import Cluster as Local

        self.local = Local(initialize_head=True, head_node_args=SMALL)
        self.add()
        self.address = self.local.address

    def add(self) -> Any:
        return self.local.add_node(**SMALL)

    def kill(self, node: Any) -> None:
        self.local.remove_node(node, allow_graceful=False)

    def actors(self) -> list[int]:
        """Return the processes that compose."""
        found = []
        for node in self.local.list_all_nodes():
            (raylet,) = node.all_processes["raylet"]
            pid = raylet.process.pid
            for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
                if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"ray::Actor"):
                    found.append(child)
        return found


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.local.shutdown()


@pytest.fixture(scope="module")
def alone(tiny_composer: Composer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return all files that one process leaves of the rows above."""
    folder, job = tmp_path_factory.mktemp("alone"), job_of(ROWS)
    store = begun(folder, job)
    run(job, store, lambda b: compose_blocks(tiny_composer, b, store, Output()), Report(64))
    return tree(folder)


@pytest.fixture
def at(nodes: Nodes, tiny_composer: Composer) -> Cluster:
    return Cluster(tiny_composer.folder, tiny_composer.engine.name, nodes.address)


def compose(
    cluster: Cluster, folder: Path, *, meanwhile: Callable[[], object] = lambda: None
) -> Report:
    """Do the job of the rows above, and something else once its first block is there."""
    job, seen = job_of(ROWS), set[str]()
    store, report = begun(folder, job), Report(job.n_clips)

    def on_line(line: Line) -> None:
        if not seen:
            meanwhile()
        assert line["file"] not in seen
        seen.add(line["file"])

    own = Output()
    run(job, store, lambda b: compose_on_cluster(cluster, b, store, own), report, on_line=on_line)
    return report


def test_a_cluster_leaves_what_one_process_leaves(
    shell: Shell, nodes: Nodes, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    five = [(float(beat), 1.0, 60 + beat, 70) for beat in range(10)]
    write_score(score_of(five, signatures=((0, 5, 4),)), tmp_path / "five.mid")
    rows = [{"id": "a", "emotion": "joy", "count": 18}, {"emotion": "no such thing at all"},
            {"id": "five", "continue": "five.mid"}, {"emotion": "calm", "count": 3}]  # fmt: skip
    text = "".join(json.dumps({"bars": 1, **row}) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(text.replace("five.mid", str(tmp_path / "five.mid")))
    always = ("--spec", tmp_path / "rows.jsonl", "--checkpoint", tiny_checkpoint,
              "--format", "mid,wav,json", "--explain", "--json")  # fmt: skip
    one = shell("generate", *always, "--out", tmp_path / "one")
    other = shell("generate", *always, "--out", tmp_path / "other", "--engine", "ray",
                  "--address", nodes.address)  # fmt: skip
    assert one.status == other.status == 3
    found = tree(tmp_path / "other")
    assert found == tree(tmp_path / "one") and len(found) == 21 * 3 + 3
    assert b"5 quarter notes" in found["failures.jsonl"]
    assert sorted(other.out.splitlines()[:-1]) == sorted(one.out.splitlines()[:-1])


@pytest.mark.parametrize("workers", [1, 3])
def test_what_killed_actors_had_in_hand_is_done_again(
    at: Cluster, nodes: Nodes, alone: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    def kill() -> None:
        found = nodes.actors()
        assert found
        for actor in found:
            os.kill(actor, signal.SIGKILL)

    one = Cluster(at.checkpoint, at.engine, at.address, workers)
    assert compose(one, tmp_path, meanwhile=kill).n_composed == 64
    assert tree(tmp_path) == alone


def test_what_a_killed_node_had_in_hand_is_done_elsewhere(
    at: Cluster,
    nodes: Nodes,
    alone: dict[str, bytes],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    third = nodes.add()
    assert compose(at, tmp_path, meanwhile=lambda: nodes.kill(third)).n_composed == 64
    assert tree(tmp_path) == alone
    assert capfd.readouterr().out == ""


def test_a_job_that_is_stopped_ends_its_actors_and_goes_on_without_a_cluster(
    at: Cluster, nodes: Nodes, alone: dict[str, bytes], tiny_composer: Composer, tmp_path: Path
) -> None:
    import ray

    def stop() -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        compose(at, tmp_path, meanwhile=stop)
    assert not ray.is_initialized() and signal.getsignal(signal.SIGTERM) == handler
    while nodes.actors():
        time.sleep(0.05)
    job = job_of(ROWS)
    store, report = begun(tmp_path, job), Report(64)
    run(job, store, lambda b: compose_blocks(tiny_composer, b, store, Output()), report)
    assert tree(tmp_path) == alone and report.n_composed < 64


def first_of(cluster: Cluster, folder: Path) -> Line:
    job = job_of("emotion,bars\njoy,1\n")
    blocks = job.blocks([True] * job.n_blocks)
    with closing(compose_on_cluster(cluster, blocks, begun(folder, job), Output())) as lines:
        return next(lines)


def test_a_cluster_that_is_joined_already_stays_joined(
    at: Cluster, nodes: Nodes, tmp_path: Path
) -> None:
    import ray

    ray.init(nodes.address, log_to_driver=False)
    try:
        nowhere = Cluster(at.checkpoint, at.engine, None)
        assert first_of(nowhere, tmp_path)["file"] == "clip_00000.mid"
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_what_kills_its_actor_again_and_again_is_told(
    at: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mortal(Actor):
        def more(self) -> tuple[Line, Files]:
            os._exit(1)

    monkeypatch.setattr(cluster_module, "Actor", Mortal)
    with pytest.raises(WorkerError, match=r"3 times while they composed clips 0 to 0: .*memory"):
        first_of(at, tmp_path)


def test_nodes_that_cannot_load_the_checkpoint_are_told(
    at: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Actor):
        def open(self, *_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(cluster_module, "Actor", Full)
    with pytest.raises(WorkerError, match=r"while they loaded the checkpoint: .*No space left"):
        first_of(Cluster(at.checkpoint, at.engine, at.address, 1), tmp_path)


def test_nodes_that_would_compose_otherwise_are_refused(
    at: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match="brass"):
        first_of(Cluster(at.checkpoint, "brass", at.address), tmp_path / "one")
    known = emomusic.__version__
    monkeypatch.setattr(emomusic, "__version__", "99.9")
    with pytest.raises(ClusterError, match=f"has emomusic {known}, this machine 99.9"):
        first_of(at, tmp_path / "other")


def test_a_node_without_emomusic_is_refused(
    at: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = type("Foreign", (), {"__module__": "only_here"})
    monkeypatch.setitem(sys.modules, "only_here", type(sys)("only_here"))
    monkeypatch.setattr(sys.modules["only_here"], "Foreign", foreign, raising=False)
    foreign.open = foreign.begin = foreign.more = lambda self, *_, **__: None  # type: ignore[attr-defined]
    monkeypatch.setattr(cluster_module, "Actor", foreign)
    with pytest.raises(ClusterError, match=r"cannot run emomusic .*No module named 'only_here'"):
        first_of(at, tmp_path)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_without_a_cluster_is_one_line(
    shell: Shell, tiny_checkpoint: Path, tmp_path: Path, scheme: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        said = shell.refused(
            "generate", "--emotion", "joy", "--engine", "ray", "--address", address,
            "--checkpoint", tiny_checkpoint, "--out", tmp_path, status=1,
        )  # fmt: skip
    assert f"no Ray cluster answers at {address}: " in said and "0 of 1 clips are there" in said


@pytest.mark.parametrize("address", ["cluster", "http://head:8265", "head:", "ray://head"])
def test_what_is_no_address_is_refused(
    shell: Shell, tmp_path: Path, tiny_checkpoint: Path, address: str
) -> None:
    asked = ("--emotion", "joy", "--engine", "ray", "--checkpoint", tiny_checkpoint)
    said = shell.refused("generate", *asked, "--address", address, "--out", tmp_path / "no")
    assert "must be auto, HOST:PORT or ray://HOST:PORT, got" in said
    assert not (tmp_path / "no").exists()


def test_without_ray_it_is_told_how_to_have_it(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = shell.refused("generate", "--emotion", "joy", "--engine", "ray", "--out", tmp_path)
    assert "pip install 'emomusic[ray]'" in said


def test_a_job_that_is_done_needs_no_cluster(tmp_path: Path) -> None:
    nowhere = Cluster(tmp_path, "int8", "nowhere:1")
    job: Job = job_of("emotion,bars\njoy,1\n")
    assert not list(compose_on_cluster(nowhere, [], begun(tmp_path, job), Output()))
