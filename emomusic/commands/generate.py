"""Commands that compose: generate, one by one or a job of many; quadrants; studio."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NoReturn

import typer

from emomusic.compose.fields import Kind, described, make_plain, parse_attributes, spec_field
from emomusic.compose.parse import (
    MAX_CHARACTERS,
    OPTIONS,
    number_specs,
    parse_formats,
    parse_settings_file,
)
from emomusic.compose.request import DEFAULT_BARS, FORMATS, TRACKED, Request
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.extras import need
from emomusic.terminal import (
    BarsOption,
    CheckpointOption,
    ExitStatus,
    SeedOption,
    ThreadsOption,
    batch_progress,
    load_composer,
    parameter_of,
    stop,
    stop_on_error,
    task_progress,
    with_options,
)

if TYPE_CHECKING:
    from emomusic.compose.composer import Composer
    from emomusic.compose.jobs.job import Job, Output
    from emomusic.compose.jobs.storage import Line, Shard, Summary

MANY = 20
"""So many bad rows are told one by one."""
_of_job = partial(spec_field, panel="Jobs of many clips")


@dataclass(frozen=True)
class RunOptions:
    """How a job is done: each field but the folder for its clips is an option of `generate`."""

    # fmt: off
    out: Path
    settings: Path | None = spec_field(
        None, Kind.PATH, "A clip's settings, to have it again.", metavar="FILE")
    batch_size: int = spec_field(
        32, Kind.WHOLE, "Clips in hand at once, 1 to 4096.", bounds=(1, 4096))
    checkpoint: Path | None = spec_field(None, Kind.PATH, "Folder, or owner/name on a hub.")
    formats: str = spec_field(
        "mid", Kind.TEXT, "Files a clip, by comma.", name="format", metavar=",".join(FORMATS))
    soundfont: Path | None = spec_field(
        None, Kind.PATH, metavar="FILE",
        help="SF2 to be heard; else what EMOMUSIC_SOUNDFONT names, or the piano that is there.")
    threads: int = spec_field(2, Kind.WHOLE, "CPU cores to use, 1 to 256.", bounds=(1, 256))
    engine: str = spec_field(
        "auto", Kind.TEXT, "What writes the notes.", metavar="auto|int8|torch|cuda")
    explained: bool = spec_field(
        False, Kind.FLAG, "Tell what moved each verdict, and where.", flag="--explain")
    spec: str | None = _of_job(
        None, Kind.TEXT, "Rows of requests, CSV or JSON; - is stdin.", metavar="FILE|-")
    shard: str = _of_job(
        "0/1", Kind.TEXT, "Which part of the job, from 0/K to K-1/K.", metavar="I/K")
    resume: bool = _of_job(
        False, Kind.FLAG, "Go on where the same job was stopped.", flag="--resume")
    overwrite: bool = _of_job(
        False, Kind.FLAG, "Remove what an earlier run made there.", flag="--overwrite")
    pack: str = _of_job(
        "files", Kind.TEXT, "Clips as files, or many in one.", metavar="files|tar|parquet")
    workers: int | None = _of_job(None, Kind.WHOLE, "Processes, 1 to 4096.", bounds=(1, 4096))
    dry_run: bool = _of_job(
        False, Kind.FLAG, "Check the job, and write nothing.", flag="--dry-run")
    as_json: bool = _of_job(
        False, Kind.FLAG, "A line of JSON for each clip, and a summary.", flag="--json")
    # fmt: on

    def __post_init__(self) -> None:
        make_plain(self)
        _ = self.output, self.part
        if self.resume and self.overwrite:
            raise ValueError("give --resume or --overwrite, not both")
        if self.soundfont is not None:
            from emomusic.music.audio import SOUNDFONT_VARIABLE

            if not self.soundfont.is_file():
                raise ValueError(f"--soundfont names no file: {self.soundfont}")
            os.environ[SOUNDFONT_VARIABLE] = str(self.soundfont.resolve())

    @cached_property
    def output(self) -> Output:
        """Return what is kept of each clip; what writes it must be installed."""
        from emomusic.compose.jobs.job import Output

        formats = parse_formats(self.formats)
        for extra in filter(None, map(FORMATS.get, formats)):
            need(extra)
        return Output(formats, self.pack, self.explained)

    @cached_property
    def part(self) -> Shard:
        from emomusic.compose.jobs.storage import Shard

        return Shard.parse(self.shard)


RUN = described(RunOptions)


@with_options(*OPTIONS.values(), *RUN.values())
def generate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the clips; made if missing.")],
    **given: Any,
) -> None:
    """Compose clips for an emotion, or for each row of a job."""
    sources = {name: context.get_parameter_source(parameter_of(name)) for name in OPTIONS}
    said = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    asked = {name: given.pop(parameter_of(name)) for name in OPTIONS}
    with stop_on_error(ExitStatus.USAGE):
        options = RunOptions(out, **{own: given[field.name] for own, field in RUN.items()})
        job, made_by = _job(asked, said, options)
    do_job(job, options, checkpoint_asked=made_by)


def _job(asked: dict[str, Any], said: set[str], options: RunOptions) -> tuple[Job, str | None]:
    """Return the job that is asked for, and which checkpoint settings are of, if known.

    `asked` are the values of the options of a clip, `said` the names of those that were given.
    """
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.table import JobRow, JobTable, row_of

    if options.settings is not None:
        if options.spec is not None:
            raise ValueError("give --settings or --spec, not both")
        for name in sorted(said):
            option = name.replace("_", "-")
            raise ValueError(f"--settings says all of a clip: leave out --{option}")
        with _opened(options.settings) as file:
            own = parse_settings_file(file.read(MAX_CHARACTERS + 1))
        return Job([JobRow(None, own)]), own.checkpoint
    asked["set"] = parse_attributes(asked["set"] or [])
    if options.spec is not None:
        defaults = {name: asked[name] for name in said}
        if options.spec == "-":
            table = JobTable(sys.stdin.buffer, defaults)
        else:
            path = Path(options.spec)
            folder = path.parent if path.is_file() else Path()  # a pipe is nowhere
            with _opened(path) as file:
                table = JobTable(file, defaults, folder=folder)
        with task_progress() as show:
            return Job(table, partial(show, "reading rows")), None
    return Job([row_of(None, asked)]), None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error


def show_plan(job: Job, options: RunOptions) -> NoReturn:
    """Tell what a job would do, and end with the status that it promises."""
    wanted = options.part.choose(job.n_batches)
    plan = {"clips": job.count_clips(wanted), "rows": job.n_rows, "bad_rows": job.n_bad,
            "blocks": sum(wanted), "block_size": job.items_per_batch}  # fmt: skip
    plan["files"] = plan["clips"] * len(options.output.formats)
    if options.as_json:
        typer.echo(json.dumps({"plan": plan}))
    else:
        typer.echo(
            "{clips} clips of {rows} rows in {blocks} blocks of up to {block_size}, {files} files "
            "in all; {bad_rows} rows cannot be used".format(**plan)
        )
    raise typer.Exit(_status(job.n_rows, job.n_bad))


def _show_bad_rows(job: Job, *, ends_with: str) -> None:
    """Tell the rows that cannot be used, by their lines."""
    for at, row in enumerate(job.bad_rows()):
        if at == MANY:
            typer.echo(f"and {job.n_bad - MANY} more rows that cannot be used{ends_with}", err=True)
            return
        typer.echo(f"{job.counted} {row.line}: {row.reason}", err=True)


@dataclass
class RunReport:
    """What a run did: clips of its shard, those it composed, its time, what is there at its end."""

    n_wanted: int
    n_composed: int = 0
    seconds: float | None = None
    summary: Summary | None = None

    @property
    def resume(self) -> str:
        if self.seconds is None:
            return ""
        n_there = self.summary.n_clips if self.summary else self.n_composed
        return f"; {n_there} of {self.n_wanted} clips are there, the same with --resume goes on"


def do_job(job: Job, options: RunOptions, *, checkpoint_asked: str | None = None) -> None:
    """Do a job, or the part of it that is asked for, and end with its status.

    However it ends, the manifest lists what is there, and a later run can resume. A dry run looks
    at all that would be refused, and tells what would be done.
    """
    from emomusic.compose.jobs.executors import compose_batches, compose_in_processes
    from emomusic.compose.jobs.storage import Store, write_manifest

    _show_bad_rows(job, ends_with="" if options.dry_run else ", all are in failures.jsonl")
    if not job.n_clips:
        if options.dry_run:
            show_plan(job, options)
        stop("no row of the job can be used", ExitStatus.USAGE)
    out = None if options.dry_run else options.out
    composer = load_composer(
        options.checkpoint, out, threads=options.threads, engine=options.engine
    )
    if checkpoint_asked not in (None, composer.name):
        told = f"the settings are of a clip by {checkpoint_asked}: "
        typer.echo(f"{told}{composer.name} writes another one", err=True)
    if options.spec is None:
        _check_music(job, composer)
    run = RunReport(job.count_clips(options.part.choose(job.n_batches)))
    if not run.n_wanted and not options.dry_run:
        told = f"the job has no more than {job.n_batches} parts: nothing is left here"
        typer.echo(told, err=True)
        raise typer.Exit(ExitStatus.DONE)
    store = Store(options.out, options.part)
    with _stop_with(run), ExitStack() as held:
        identity = job.identity(
            options.output, checkpoint=composer.folder, engine=composer.engine.name
        )
        if options.soundfont is not None:
            identity["soundfont"] = options.soundfont.name
        named = (options.settings, options.spec and Path(options.spec), options.soundfont)
        asked: dict[str, Any] = {"resume": options.resume, "overwrite": options.overwrite}
        asked["inputs"] = [*job.music, *filter(None, named)]
        writes = partial(job.writes, output=options.output)
        store.look(identity, writes, **asked)  # before anything is made
        if options.dry_run:
            show_plan(job, options)
        held.enter_context(store.locked())
        store.begin(identity, writes, **asked)
        began, missing = time.perf_counter(), store.missing(job.n_batches)
        n_there = run.n_wanted - job.count_clips(missing)
        compose: Callable[..., Generator[Line, None, None]] = compose_batches
        if (workers := options.workers or 1) > 1:
            compose = partial(compose_in_processes, workers=workers, threads=options.threads)
        how = {"store": store, "output": options.output, "batch_size": options.batch_size}
        lines = compose(composer, job.batches(missing), **how)
        try:
            with batch_progress(run.n_wanted, n_there) as advance, closing(lines):
                for line in lines:
                    run.n_composed += "file" in line
                    advance()
                    _show_clip(line, options)
        finally:
            run.seconds = time.perf_counter() - began
            run.summary = write_manifest(store, job)
    _finish(run, options)


def _check_music(job: Job, composer: Composer) -> None:
    """Refuse given music that cannot be taken up before anything is written."""
    from emomusic.compose.primer import read_primer
    from emomusic.music.bars import Metre

    request = next(job.items()).settings.request
    if request.given is not None:
        with stop_on_error(ExitStatus.USAGE):
            metre = request.time_signature and Metre.parse(request.time_signature)
            read_primer(request.given, composer.tokenizer, metre=metre or None)


@contextmanager
def _stop_with(run: RunReport) -> Iterator[None]:
    """Tell what stops a run, and how to go on; SIGTERM, as clusters send it, does as Ctrl-C."""
    from emomusic.compose.jobs.storage import TakenError

    is_main = threading.current_thread() is threading.main_thread()  # only there signals arrive
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
    except TakenError as error:
        stop(str(error), ExitStatus.USAGE)
    except (OSError, ValueError) as error:
        stop(f"{error}{run.resume}", ExitStatus.FAILED)
    except KeyboardInterrupt:
        stop(f"stopped{run.resume}", ExitStatus.STOPPED)
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)


def _show_clip(line: Line, options: RunOptions) -> None:
    """Tell what became of a clip: what was asked of it, and what is heard."""
    if options.as_json:
        typer.echo(json.dumps(line))
        return
    if "file" not in line:
        typer.echo(f"clip {line['number']}: {line['reason']}", err=True)
        return
    asked = "nothing"
    if line["emotion"] is not None:
        name = "".join(c if c.isprintable() else " " for c in line["emotion"][:200])
        asked = f"{name} ({line['valence']:+.2f}, {line['arousal']:+.2f})"
    heard = f"heard {_heard(line['verdict'])}"
    if line["heard_given"] is not None:
        heard += f": given bars {_heard(line['heard_given'])}, new {_heard(line['heard_new'])}"
    moved = f"  {line['moved']['sentence']}" if line["moved"] else ""
    typer.echo(
        f"{line['file']}  asked {asked}  {heard}  "
        f"{line['bars']} bars  {line['tempo']:g} bpm  {line['key']}{moved}"
    )
    if line["given_grid"] == TRACKED:
        typer.echo(
            f"  the given music is not played to the beats of its file: they were tracked, "
            f"{line['given_time_signature']} (--grid file takes the file's)"
        )
    elif line["given_time_signature"] not in (None, line["time_signature"]):
        typer.echo(
            f"  the given music is in {line['given_time_signature']}, what was written in "
            f"{line['time_signature']}"
        )
    if options.output.explained:
        typer.echo(f"  {line['explanation']['sentence']}")


def _heard(verdict: dict[str, Any]) -> str:
    return (
        f"{verdict['quadrant']} ({verdict['valence']:+.2f}, {verdict['arousal']:+.2f}, "
        f"p={verdict['probabilities'][verdict['quadrant']]:.2f})"
    )


def _finish(run: RunReport, options: RunOptions) -> None:
    """Tell how a job ended, and end with its status."""
    assert run.summary is not None and run.seconds is not None
    summary, rate = run.summary, run.n_composed / max(run.seconds, 1e-9)
    heard = summary.n_heard / summary.n_asked if summary.n_asked else None
    if options.as_json:
        values = {
            "clips": summary.n_clips,
            "composed": run.n_composed,
            "seconds": round(run.seconds, 3),
            "clips_per_second": round(rate, 3),
            "heard_as_asked": None if heard is None else round(heard, 4),
            "failures": dict(summary.reasons.most_common()),
            "complete": summary.is_complete,
        }
        typer.echo(json.dumps({"summary": values}))
    elif options.spec is not None or run.n_wanted > 1 or summary.reasons:
        told = f"{run.n_composed} clips in {run.seconds:.1f} s ({rate:.1f} a second), "
        told += f"{summary.n_clips} are there"
        typer.echo(told if heard is None else f"{told}, {heard:.0%} heard as asked", err=True)
        for reason, n in summary.reasons.most_common(MANY):
            typer.echo(f"  failed {n}: {reason}", err=True)
    raise typer.Exit(_status(summary.n_clips, summary.reasons.total()))


def _status(n_done: int, n_failed: int) -> int:
    if not n_failed:
        return ExitStatus.DONE
    return ExitStatus.PARTLY if n_done else ExitStatus.FAILED


@with_options(RUN["resume"], RUN["overwrite"])
def quadrants(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("out"),
    bars: BarsOption = DEFAULT_BARS,
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = None,
    format_: Annotated[
        str, typer.Option("--format", metavar=",".join(FORMATS), help="Files a clip, by comma.")
    ] = "mid,mp3",
    best_of: Annotated[
        int, typer.Option(min=1, max=64, help="Draws among which the verifier chooses each.")
    ] = 4,
    **given: Any,
) -> None:
    """Compose one clip for each quadrant, and show what was asked and heard."""
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.table import JobRow

    with stop_on_error(ExitStatus.USAGE):
        options = RunOptions(out, checkpoint=checkpoint, formats=format_, **given)
    how = {"n_bars": bars, "best_of": best_of, "performance": OPTIONS["performance"].default}
    asked = (Request(find_emotion(name), **how) for name in QUADRANTS)
    if best_of > 1:
        typer.echo(f"each is the best of {best_of} draws, chosen by the verifier that heard it")
    do_job(Job([JobRow(None, own) for own in number_specs(asked, seed)]), options)


def studio(
    host: Annotated[
        str | None,
        typer.Option(
            envvar="GRADIO_SERVER_NAME", help="Address to listen on; else this machine alone."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, envvar="GRADIO_SERVER_PORT", help="Port; else the first from 7860 on."
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    threads: ThreadsOption = 2,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Serve the endpoint as a tool for agents, too.")
    ] = False,
    browser: Annotated[
        bool | None, typer.Option(help="Whether the page is opened; where there is a display.")
    ] = None,
) -> None:
    """Open the studio: compose in the browser."""
    from emomusic.compose.checkpoint import find_checkpoint

    with stop_on_error(ExitStatus.USAGE):
        folder = find_checkpoint(checkpoint)
    from emomusic.studio.launch import LaunchError, open_studio

    if browser is None:
        screens = map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))
        browser = sys.platform != "linux" or any(screens)
    try:
        open_studio(
            folder, host=host, port=port, threads=threads, mcp=mcp, browser=browser, tell=typer.echo
        )
    except LaunchError as error:
        stop(str(error), ExitStatus.USAGE)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)
