"""How a job of many clips is shown: its rows, its progress, its end."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from emomusic.compose.parse import parse_formats
from emomusic.compose.request import FORMATS
from emomusic.extras import need
from emomusic.terminal import (
    CheckpointOption,
    ExitStatus,
    ThreadsOption,
    batch_progress,
    load_composer,
    stop,
    stop_on_error,
)

if TYPE_CHECKING:
    from emomusic.compose.composer import Composer
    from emomusic.compose.jobs.executors import Compose, RunReport
    from emomusic.compose.jobs.job import Job, Output
    from emomusic.compose.jobs.storage import Shard, Store

MANY = 20
"""So many bad rows are told one by one."""
FORMAT_OPTION = typer.Option("--format", metavar=",".join(FORMATS), help="Files a clip, by comma.")
_job_option = partial(typer.Option, rich_help_panel="Jobs of many clips")


@dataclass(frozen=True)
class RunOptions:
    """How a job is done: each field is an option of `generate`."""

    out: Annotated[Path, typer.Option(help="Folder for the clips; made if missing.")]
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip's settings, to have it again.")
    ] = None
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Clips in hand at once.")] = 32
    checkpoint: CheckpointOption = None
    formats: Annotated[str, FORMAT_OPTION] = "mid"
    soundfont: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="SF2 to be heard; else what EMOMUSIC_SOUNDFONT names, or the piano that is there.",
        ),
    ] = None
    threads: ThreadsOption = 2
    engine: Annotated[
        str, typer.Option(metavar="auto|int8|torch|cuda", help="What writes the notes.")
    ] = "auto"
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell what moved each verdict, and where.")
    ] = False
    spec: Annotated[
        str | None,
        _job_option(help="Rows of requests, CSV or JSON lines; - is stdin.", metavar="FILE|-"),
    ] = None
    shard: Annotated[
        str, _job_option(help="Which part of the job, from 0/K to K-1/K.", metavar="I/K")
    ] = "0/1"
    resume: Annotated[
        bool, _job_option("--resume", help="Go on where the same job was stopped.")
    ] = False
    pack: Annotated[
        str,
        _job_option(help="Clips as files, or many in one.", metavar="files|tar|parquet"),
    ] = "files"
    workers: Annotated[int | None, _job_option(help="Processes.", min=1, max=4096)] = None
    dry_run: Annotated[bool, _job_option("--dry-run", help="Check the job, and write nothing.")] = (
        False
    )
    as_json: Annotated[
        bool, _job_option("--json", help="A line of JSON for each clip, and a summary.")
    ] = False

    @cached_property
    def output(self) -> Output:
        """Return what is kept of each clip."""
        from emomusic.compose.jobs.job import Output

        return Output(read_formats(self.formats), self.pack, self.explained)

    @cached_property
    def part(self) -> Shard:
        """Return the part of the job that is done here."""
        from emomusic.compose.jobs.storage import parse_shard

        return parse_shard(self.shard)

    def apply(self) -> None:
        """Check what is said in words, and let sound be of the soundfont that is named.

        Raises:
            ValueError: If output or part is none.
        """
        _ = self.output, self.part
        if self.soundfont is not None:
            from emomusic.music.audio import SOUNDFONT_VARIABLE

            os.environ[SOUNDFONT_VARIABLE] = str(self.soundfont.resolve())


def read_formats(text: str) -> tuple[str, ...]:
    """Read formats, and check that what writes them is installed before anything is composed."""
    formats = parse_formats(text)
    for extra in filter(None, (FORMATS[name] for name in formats)):
        need(extra)
    return formats


@contextmanager
def open_spec(spec: str) -> Iterator[BinaryIO]:
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


def show_plan(job: Job, options: RunOptions) -> None:
    """Tell what a job would do."""
    show_bad_rows(job, ends_with="")
    wanted = options.part.choose(job.n_batches)
    n_clips, n_batches, size = job.count_clips(wanted), sum(wanted), job.items_per_batch
    plan = {"clips": n_clips, "rows": job.n_rows, "bad_rows": job.n_bad, "blocks": n_batches,
            "block_size": size, "files": n_clips * len(options.output.formats)}  # fmt: skip
    if options.as_json:
        typer.echo(json.dumps({"plan": plan}))
    else:
        typer.echo(
            f"{n_clips} clips of {job.n_rows} rows in {n_batches} blocks of up to {size}, "
            f"{plan['files']} files in all; {job.n_bad} rows cannot be used"
        )
    raise typer.Exit(_status(job.n_rows, job.n_bad))


def show_bad_rows(job: Job, *, ends_with: str = ", all are in failures.jsonl") -> None:
    """Tell the rows that cannot be used, by their lines."""
    for at, row in enumerate(job.bad_rows()):
        if at == MANY:
            typer.echo(f"and {job.n_bad - MANY} more rows that cannot be used{ends_with}", err=True)
            return
        typer.echo(f"line {row.line}: {row.reason}", err=True)


def do_job(job: Job, options: RunOptions, *, checkpoint_asked: str | None = None) -> None:
    """Do a job, or the part of it that is asked for, and end with its status."""
    from emomusic.compose.export import OutputError
    from emomusic.compose.jobs.executors import RunReport, run_job
    from emomusic.compose.jobs.storage import Store

    show_bad_rows(job)
    if not job.n_clips:
        stop("no row of the job can be used", ExitStatus.USAGE)
    composer = load_composer(
        options.checkpoint, options.out, threads=options.threads, engine=options.engine
    )
    if checkpoint_asked not in (None, composer.name):
        typer.echo(
            f"the settings are of a clip by {checkpoint_asked}: {composer.name} writes another one",
            err=True,
        )
    if options.spec is None:
        _check_music(job, composer)
    store = Store(options.out, options.part)
    report = RunReport(job.count_clips(options.part.choose(job.n_batches)))
    if not report.n_wanted:
        typer.echo(
            f"the job has no more than {job.n_batches} parts: nothing is left here", err=True
        )
        raise typer.Exit(ExitStatus.DONE)
    try:
        with store.locked(), _stop_on_sigterm():
            identity = job.identity(
                options.output, checkpoint=composer.folder, engine=composer.engine.name
            )
            if options.soundfont is not None:
                identity["soundfont"] = options.soundfont.name
            store.begin(identity, resume=options.resume)
            n_there = report.n_wanted - job.count_clips(store.missing(job.n_batches))
            with batch_progress(report.n_wanted, n_there) as advance:
                compose = _executor(composer, store, options)
                show = _clip_printer(options, advance)
                run_job(job, store, compose, report, on_line=show)
            is_done = report.summary is not None and report.summary.is_complete
            if is_done and options.spec is None and job.n_batches == 1:
                store.forget()
    except (OSError, OutputError, ValueError) as error:
        stop(f"{error}{_how_to_resume(report)}", ExitStatus.FAILED)
    except KeyboardInterrupt:
        stop(f"stopped{_how_to_resume(report)}", ExitStatus.STOPPED)
    _finish(report, options)


def _clip_printer(
    options: RunOptions, advance: Callable[[], None]
) -> Callable[[dict[str, Any]], None]:
    """Return what shows the line of each clip, and counts it."""

    def show(line: dict[str, Any]) -> None:
        advance()
        if options.as_json:
            typer.echo(json.dumps(line))
        elif "file" in line:
            typer.echo(describe(line))
            if options.output.explained:
                typer.echo(f"  {line['explanation']['sentence']}")
        else:
            typer.echo(f"clip {line['number']}: {line['reason']}", err=True)

    return show


def _executor(composer: Composer, store: Store, options: RunOptions) -> Compose:
    """Return what composes the batches: this process, or several."""
    from emomusic.compose.jobs.executors import WorkerSetup, compose_batches, compose_in_processes

    output, size, workers = options.output, options.batch_size, options.workers or 1
    if workers == 1:
        return lambda batches: compose_batches(composer, batches, store, output, batch_size=size)
    setup = WorkerSetup(
        checkpoint=composer.folder,
        engine=composer.engine.name,
        threads=max(options.threads // workers, 1),
        store=store,
        output=output,
        batch_size=size,
    )
    return lambda batches: compose_in_processes(setup, batches, workers=workers)


def _check_music(job: Job, composer: Composer) -> None:
    """Refuse given music that cannot be taken up before anything is written."""
    from emomusic.compose.primer import read_primer

    request = next(job.items()).settings.request
    if request.given is not None:
        with stop_on_error(ExitStatus.USAGE):
            read_primer(request.given.score, composer.tokenizer, tonic=request.given.tonic)


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Let a polite end (SIGTERM, as clusters send it) stop a job as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # only there signals arrive
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _how_to_resume(report: RunReport) -> str:
    if not report.seconds:  # it has not begun
        return ""
    n_there = report.summary.n_clips if report.summary else report.n_composed
    return f"; {n_there} of {report.n_wanted} clips are there, the same with --resume goes on"


def _finish(report: RunReport, options: RunOptions) -> None:
    """Tell how a job ended, and end with its status."""
    values = report.to_dict()
    if options.as_json:
        typer.echo(json.dumps({"summary": values}))
    elif options.spec is not None or report.n_wanted > 1 or values["failures"]:
        typer.echo(_summary(values), err=True)
    assert report.summary is not None
    raise typer.Exit(_status(report.summary.n_clips, report.summary.reasons.total()))


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


def describe(card: Mapping[str, Any]) -> str:
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
