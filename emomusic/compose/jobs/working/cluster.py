"""Blocks of a job, composed by a Ray cluster; only this process writes into the job's folder.

The checkpoint and the orders travel to actors, lines and files travel back, a clip at a time and at
most `AHEAD` of them before they are kept. An actor has one life and one block in hand; where it
dies, another one takes its place, and the block is begun anew by whoever is free.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import emomusic
from emomusic.compose.composer import BATCH
from emomusic.compose.jobs.job import Block, Output
from emomusic.compose.jobs.keeping.store import Store
from emomusic.compose.jobs.keeping.writer import BlockWriter, Line
from emomusic.compose.jobs.working.actor import Actor, Files
from emomusic.compose.jobs.working.joining import ClusterError, joined
from emomusic.compose.jobs.working.pool import MAX_TRIES, WorkerError
from emomusic.compose.pretrained.hub import checked_files

AHEAD = 2
"""So many clips an actor composes before the first of them is kept."""
PATIENCE_S = 600.0
"""So long a cluster may take to find room for a first actor; one that grows takes minutes."""


@dataclass(frozen=True)
class Cluster:
    """Hold which cluster composes, and with what.

    Attributes:
        checkpoint: Folder.
        engine: Name of what writes.
        address: As `joined` takes it.
        workers: Actors, each with one CPU; None takes all CPUs.
        batch_size: Candidates in hand at once, of each actor.
    """

    checkpoint: Path
    engine: str
    address: str | None = None
    workers: int | None = None
    batch_size: int = BATCH


def compose_on_cluster(
    cluster: Cluster, blocks: Iterable[Block], store: Store, output: Output
) -> Generator[Line, None, None]:
    """Compose blocks on a cluster, and yield the lines of each block that is done.

    Close it to stop: its actors end, and so does the cluster if it was started here.

    Args:
        cluster: Which one.
        blocks: Taken as they are needed.
        store: The job's folder.
        output: What is kept of each clip.

    Raises:
        ClusterError: If there is no ray, no cluster, or none that composes as this machine does.
        OutputError: If the clips cannot be kept.
        WorkerError: If actors die again and again.
    """
    source = iter(blocks)
    first = next(source, None)
    if first is None:
        return
    with (
        joined(cluster.address, workers=cluster.workers),
        closing(_Crew(cluster, store, output)) as crew,
    ):
        crew.waiting.append(first)
        yield from crew.compose(source)


@dataclass(eq=False)
class _Hand:
    """Hold an actor, and what it has been asked for and has not answered.

    Attributes:
        actor: Ray's handle of it.
        calls: Ray's references to its answers, in order.
        is_open: Whether its checkpoint is loaded.
        block: In hand.
        writer: Of this block.
        n_asked: Clips of it that it was asked for.
    """

    actor: Any
    calls: deque[Any] = field(default_factory=deque)
    is_open: bool = False
    block: Block | None = None
    writer: BlockWriter | None = None
    n_asked: int = 0

    def begin(self, block: Block, writer: BlockWriter) -> None:
        self.block, self.writer, self.n_asked = block, writer, 0
        self.actor.begin.remote([order.to_json() for order in block.orders])
        for _ in range(AHEAD):
            self.ask()

    def ask(self) -> None:
        assert self.block is not None
        if self.n_asked < len(self.block.orders):
            self.calls.append(self.actor.more.remote())
            self.n_asked += 1

    def take(self, answer: tuple[Line, Files]) -> list[Line]:
        """Keep a clip; return the lines of the block once it is done."""
        assert self.block is not None and self.writer is not None
        self.writer.take(*answer)
        self.ask()
        if len(self.writer.lines) < len(self.block.orders):
            return []
        writer, self.block, self.writer = self.writer, None, None
        writer.commit()
        return writer.lines


class _Crew:
    """Hand blocks to actors, and keep what they compose."""

    def __init__(self, cluster: Cluster, store: Store, output: Output) -> None:
        """Put the checkpoint where all nodes find it."""
        import ray

        self._cluster, self._store, self._output = cluster, store, output
        there = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._n_wanted = cluster.workers or max(int(there.get("CPU", 0)), 1)
        folder = cluster.checkpoint.resolve()
        self._place = folder.parts[1:][-3:]
        self._files = ray.put({path.name: path.read_bytes() for path in checked_files(folder)})
        self._actor = ray.remote(Actor).options(num_cpus=1, scheduling_strategy="SPREAD")
        self._hands: list[_Hand] = []
        self._tries: Counter[int] = Counter()
        self._n_unopened = 0
        self.waiting: deque[Block] = deque()

    def compose(self, source: Iterator[Block]) -> Generator[Line, None, None]:
        """Compose what is waiting, and what is taken from a source as it is needed."""
        import ray
        from ray.exceptions import RayError

        while self._hand_out(source):
            hand = self._first_to_answer()
            try:
                answer = ray.get(hand.calls.popleft())
            except RayError as error:
                self._replace(hand, error)
                continue
            if hand.is_open:
                lines = hand.take(answer)
                self._n_unopened = 0 if lines else self._n_unopened
                yield from lines
            hand.is_open = True

    def _hand_out(self, source: Iterator[Block]) -> bool:
        """Give each free actor a block, and have more actors for more blocks; else tell the end."""
        for hand in self._hands:
            if hand.is_open and hand.block is None and self._has(1, source):
                block = self.waiting[0]
                writer = BlockWriter(self._store, block.index, self._output)
                hand.begin(self.waiting.popleft(), writer)
        n_opening = sum(not hand.is_open for hand in self._hands)
        while len(self._hands) < self._n_wanted and self._has(n_opening + 1, source):
            self._engage()
            n_opening += 1
        return self._has(1, source) or any(hand.block for hand in self._hands)

    def _has(self, n_blocks: int, source: Iterator[Block]) -> bool:
        while len(self.waiting) < n_blocks and (block := next(source, None)):
            self.waiting.append(block)
        return len(self.waiting) >= n_blocks

    def _engage(self) -> None:
        cluster, hand = self._cluster, _Hand(self._actor.remote())
        self._hands.append(hand)
        hand.calls.append(
            hand.actor.open.remote(
                self._files, self._place, version=emomusic.__version__, engine=cluster.engine,
                output=self._output, batch_size=cluster.batch_size,
            )
        )  # fmt: skip

    def _first_to_answer(self) -> _Hand:
        import ray

        while True:
            calls = {hand.calls[0]: hand for hand in self._hands if hand.calls}
            found, _ = ray.wait([*calls], timeout=PATIENCE_S)
            if found:
                return calls[found[0]]
            if not any(hand.is_open for hand in self._hands):
                raise ClusterError(f"the cluster had no free CPU for {PATIENCE_S / 60:.0f} minutes")

    def _replace(self, hand: _Hand, error: Exception) -> None:
        """Let go of an actor that is lost, or has raised; what it had in hand waits again."""
        self._hands.remove(hand)
        self._dismiss(hand)
        if hand.block is not None:
            self.waiting.appendleft(hand.block)
            self._tries[hand.block.index] += 1
            first, last = hand.block.orders[0].number, hand.block.orders[-1].number
            if self._tries[hand.block.index] >= MAX_TRIES:
                _give_up(MAX_TRIES, f"composed clips {first} to {last}", error)
        elif not hand.is_open:
            _check_cause(error)
            self._n_unopened += 1
            if self._n_unopened >= self._n_wanted + MAX_TRIES - 1:
                _give_up(self._n_unopened, "loaded the checkpoint", error)

    def _dismiss(self, hand: _Hand) -> None:
        import ray
        from ray.exceptions import RayError

        if hand.writer is not None:
            hand.writer.leave()
        with suppress(RayError, OSError, RuntimeError):  # it may be gone, or the cluster
            ray.kill(hand.actor)

    def close(self) -> None:
        """End all actors; blocks that they have in hand are left."""
        for hand in self._hands:
            self._dismiss(hand)


def _check_cause(error: Exception) -> None:
    """Raise what keeps a node from composing, where another try would not help."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ValueError):  # ours: of the checkpoint, the engine, the version
        raise ClusterError(str(cause)) from error
    if getattr(error, "actor_init_failed", False):
        raise ClusterError(
            f"a node of the cluster cannot run emomusic {emomusic.__version__}: {_reason(error)}"
        ) from error


def _give_up(n_times: int, what: str, error: Exception) -> None:
    raise WorkerError(
        f"actors died {n_times} times while they {what}: their nodes may lack memory; take fewer "
        f"workers, and --resume (the last one: {_reason(error)})"
    ) from error


def _reason(error: Exception) -> str:
    """Return the last line of an error, which in a trace of ray's is its cause."""
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1].strip()[:200] if lines else type(error).__name__
