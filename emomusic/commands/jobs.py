"""How a job of many clips is shown: its rows, its progress, its end."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from emomusic.terminal import ExitStatus, batch_progress, load_composer, stop

if TYPE_CHECKING:
    from emomusic.compose.composer import Composer
    from emomusic.compose.jobs.job import Job, Output
    from emomusic.compose.jobs.keeping.store import Shard, Store
    from emomusic.compose.jobs.run import Compose, Report

MANY = 20
"""So many bad rows are told one by one."""


@dataclass(frozen=True)
class Ways:
    """Hold how a job is done.

    Attributes:
        out: Its folder.
        output: What is kept of each clip.
        shard: The part of it that is done here.
        resume: Whether it goes on where it stopped.
        workers: Processes; None composes in this one.
        threads: CPU cores to use.
        engine: Name of what writes, or `ray`.
        address: Of the cluster.
        batch_size: Candidates in hand at once.
        checkpoint: Folder of the model, if one is named.
        as_json: Whether it is told in JSON.
        has_rows: Whether the job comes as a file of rows.
    """

    out: Path
    output: Output
    shard: Shard
    resume: bool
    workers: int | None
    threads: int
    engine: str
    address: str | None
    batch_size: int
    checkpoint: Path | None
    as_json: bool
    has_rows: bool


@contextmanager
def opened(spec: str) -> Iterator[BinaryIO]:
    """Open the file of a job's rows; `-` is what is piped in."""
    if spec == "-":
        with tempfile.TemporaryFile() as copy:
            while data := sys.stdin.buffer.read(2**16):
                copy.write(data)
            copy.seek(0)
            yield copy
        return
    try:
        with Path(spec).open("rb") as file:
            yield file
    except OSError as error:
        stop(f"cannot read {spec}: {error.strerror or error}", ExitStatus.USAGE)


def plan(job: Job, ways: Ways) -> None:
    """Tell what a job would do."""
    from emomusic.compose.jobs.keeping.store import Store
    from emomusic.compose.jobs.run import n_clips_of

    tell_bad_rows(job, ends_with="")
    n_clips = n_clips_of(job, Store(ways.out, ways.shard))
    n_blocks = sum(map(ways.shard.has, range(job.n_blocks)))
    told = {"clips": n_clips, "rows": job.n_rows, "bad_rows": job.n_bad, "blocks": n_blocks,
            "block_size": job.block_size, "files": n_clips * len(ways.output.formats)}  # fmt: skip
    if ways.as_json:
        typer.echo(json.dumps({"plan": told}))
    else:
        typer.echo(
            f"{n_clips} clips of {job.n_rows} rows in {n_blocks} blocks of up to {job.block_size}, "
            f"{told['files']} files in all; {job.n_bad} rows cannot be used"
        )
    raise typer.Exit(_status(job.n_rows, job.n_bad))


def tell_bad_rows(job: Job, *, ends_with: str = ", all are in failures.jsonl") -> None:
    """Tell the rows that cannot be used, by their lines."""
    for at, row in enumerate(job.bad_rows()):
        if at == MANY:
            typer.echo(f"and {job.n_bad - MANY} more rows that cannot be used{ends_with}", err=True)
            return
        typer.echo(f"line {row.line}: {row.reason}", err=True)


def carry_out(job: Job, ways: Ways, *, checkpoint_asked: str | None = None) -> None:
    """Do a job, or the part of it that is asked for, and end with its status."""
    from emomusic.compose.jobs.keeping.store import Store
    from emomusic.compose.jobs.run import Report, n_clips_of
    from emomusic.compose.output import OutputError

    tell_bad_rows(job)
    if not job.n_clips:
        stop("no row of the job can be used", ExitStatus.USAGE)
    engine = "auto" if ways.engine == "ray" else ways.engine
    composer = load_composer(ways.checkpoint, ways.out, threads=ways.threads, engine=engine)
    if checkpoint_asked not in (None, composer.name):
        typer.echo(
            f"the settings are of a clip by {checkpoint_asked}: {composer.name} writes another one",
            err=True,
        )
    if not ways.has_rows:
        _check_music(job, composer)
    store = Store(ways.out, ways.shard)
    report = Report(n_clips_of(job, store))
    if not report.n_wanted:
        typer.echo(f"the job has no more than {job.n_blocks} parts: nothing is left here", err=True)
        raise typer.Exit(ExitStatus.DONE)
    try:
        with store.held(), _ends_as_by_hand():
            identity = job.identity(
                ways.output, checkpoint=composer.folder, engine=composer.engine.name
            )
            store.begin(identity, resume=ways.resume)
            _run(job, store, composer, ways, report)
            if report.tally and report.tally.is_whole and not ways.has_rows and job.n_blocks == 1:
                store.forget()
    except (OSError, OutputError, ValueError) as error:
        stop(f"{error}{_goes_on(report)}", ExitStatus.FAILED)
    except KeyboardInterrupt:
        stop(f"stopped{_goes_on(report)}", ExitStatus.STOPPED)
    _end(report, ways)


def _run(job: Job, store: Store, composer: Composer, ways: Ways, report: Report) -> None:
    from emomusic.compose.jobs.run import run

    n_there = report.n_wanted - _n_left(job, store)
    with batch_progress(report.n_wanted, n_there) as advance:

        def on_line(line: dict[str, Any]) -> None:
            advance()
            if ways.as_json:
                typer.echo(json.dumps(line))
            elif "file" in line:
                typer.echo(told(line))
                if ways.output.explained:
                    typer.echo(f"  {line['explanation']['sentence']}")
            else:
                typer.echo(f"clip {line['number']}: {line['reason']}", err=True)

        run(job, store, _compose(composer, store, ways), report, on_line=on_line)


def _compose(composer: Composer, store: Store, ways: Ways) -> Compose:
    """Return what composes the blocks: this process, several, or a cluster."""
    if ways.engine == "ray":
        from emomusic.compose.jobs.working.cluster import Cluster, compose_on_cluster

        cluster = Cluster(
            composer.folder, composer.engine.name, ways.address, ways.workers, ways.batch_size
        )
        return lambda blocks: compose_on_cluster(cluster, blocks, store, ways.output)
    if ways.workers is None or ways.workers == 1:
        from emomusic.compose.jobs.working.alone import compose_blocks

        return lambda blocks: compose_blocks(
            composer, blocks, store, ways.output, batch_size=ways.batch_size
        )
    from emomusic.compose.jobs.working.pool import Workplace, compose_in_processes

    workers = ways.workers
    place = Workplace(
        composer.folder,
        composer.engine.name,
        max(ways.threads // workers, 1),
        store.folder,
        store.shard,
        ways.output,
        ways.batch_size,
    )
    return lambda blocks: compose_in_processes(place, blocks, workers=workers)


def _n_left(job: Job, store: Store) -> int:
    size = job.block_size
    return sum(
        min(size, job.n_clips - block * size)
        for block, is_left in enumerate(store.chosen(job.n_blocks))
        if is_left
    )


def _check_music(job: Job, composer: Composer) -> None:
    """Refuse given music that cannot be taken up before anything is written."""
    from emomusic.compose.asking.given import read_theme
    from emomusic.music.score import ScoreError

    request = next(job.orders()).settings.request
    if request.given is not None:
        try:
            read_theme(request.given.score, composer.tokenizer, tonic=request.given.tonic)
        except ScoreError as error:
            stop(str(error), ExitStatus.USAGE)


@contextmanager
def _ends_as_by_hand() -> Iterator[None]:
    """Let a polite end (SIGTERM, as clusters send it) stop a job as Ctrl-C does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there signals arrive
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _goes_on(report: Report) -> str:
    if not report.seconds:  # it has not begun
        return ""
    n_there = report.tally.n_clips if report.tally else report.n_composed
    return f"; {n_there} of {report.n_wanted} clips are there, the same with --resume goes on"


def _end(report: Report, ways: Ways) -> None:
    """Tell how a job ended, and end with its status."""
    values = report.to_dict()
    if ways.as_json:
        typer.echo(json.dumps({"summary": values}))
    elif ways.has_rows or report.n_wanted > 1 or values["failures"]:
        typer.echo(_summary(values), err=True)
    assert report.tally is not None
    raise typer.Exit(_status(report.tally.n_clips, report.tally.reasons.total()))


def _summary(values: Mapping[str, Any]) -> str:
    heard = values["heard_as_asked"]
    parts = [
        f"{values['composed']} clips in {values['seconds']:.1f} s "
        f"({values['clips_per_second']:.1f} a second)",
        f"{values['clips']} are there",
    ]
    if heard is not None:
        parts.append(f"{heard:.0%} heard as asked")
    lines = [", ".join(parts)]
    lines += [f"  failed {n}: {reason}" for reason, n in [*values["failures"].items()][:MANY]]
    return "\n".join(lines)


def _status(n_done: int, n_failed: int) -> int:
    if not n_failed:
        return ExitStatus.DONE
    return ExitStatus.PARTLY if n_done else ExitStatus.FAILED


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else " " for c in name[:200])


def told(card: Mapping[str, Any]) -> str:
    """Return a line that tells a person what was asked and heard."""
    heard = card["verdict"]
    asked = "nothing" if card["emotion"] is None else _shown(card["emotion"])
    if card["emotion"] is not None:
        asked += f" ({card['valence']:+.2f}, {card['arousal']:+.2f})"
    return (
        f"{card['file']}  asked {asked}  heard {heard['quadrant']} "
        f"({heard['valence']:+.2f}, {heard['arousal']:+.2f}, "
        f"p={heard['probabilities'][heard['quadrant']]:.2f})  "
        f"{card['bars']} bars  {card['tempo']:g} bpm  {card['key']}"
    )
