"""Commands that compose: generate, quadrants."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emomusic.commands.jobs import RunOptions, do_job, open_spec, show_plan
from emomusic.compose.fields import Field, Kind, parse_attributes
from emomusic.compose.parse import (
    COUNT,
    MAX_CHARACTERS,
    MAX_SEED,
    OPTIONS,
    ClipSpec,
    parse_formats,
    parse_settings_file,
    spec_from_options,
)
from emomusic.compose.request import DEFAULT_BARS, FORMATS, MAX_BARS
from emomusic.extras import need
from emomusic.terminal import ExitStatus, load_composer, progress_bar, stop

if TYPE_CHECKING:
    from emomusic.compose.jobs.job import Job

JOBS = "Jobs of many clips"
EXTRA_OF = {
    "wav": "audio", "flac": "audio", "mp3": "audio", "musicxml": "notation", "svg": "notation",
}  # fmt: skip
TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: str,
    Kind.CHOICE: StrEnum,
    Kind.WHOLE: int,
    Kind.NUMBER: float,
    Kind.FLAG: bool,
    Kind.PATH: Path,
    Kind.ATTRIBUTES: list[str],
}
FORMAT_OPTION = typer.Option("--format", metavar=",".join(FORMATS), help="Files a clip, by comma.")


def option_of(field: Field) -> inspect.Parameter:
    """Return the parameter of a command that asks for what a field describes."""
    named = [] if field.flag is None else [field.flag]
    hint, default = TYPES[field.kind], field.default
    if field.choices:
        hint = hint(field.name, {word: word for word in field.choices})
        default = hint(default)
    elif default is None:
        hint = hint | None
    option = typer.Option(*named, help=field.help, metavar=field.metavar)
    return inspect.Parameter(
        f"{field.name}_" if field.name == "continue" else field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, option],
    )


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command offer what may be asked of a clip, instead of its `**asked`."""
    own = inspect.signature(command, eval_str=True)
    out, *others, _ = (p.replace(kind=p.KEYWORD_ONLY) for p in own.parameters.values())
    parameters = [others[0], out, *map(option_of, OPTIONS.values()), *others[1:]]
    command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


@with_options
def generate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the clips; made if missing.")],
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip's settings, to have it again.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Clips in hand at once.")] = 32,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder, or owner/name on a hub.")] = None,
    format_: Annotated[str, FORMAT_OPTION] = "mid",
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU cores to use.")] = 2,
    engine: Annotated[
        str, typer.Option(metavar="auto|int8|torch|cuda", help="What writes the notes.")
    ] = "auto",
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell what moved each verdict, and where.")
    ] = False,
    spec: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-",
            help="Rows of requests, CSV or JSON lines; - is stdin.",
            rich_help_panel=JOBS,
        ),
    ] = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="I/K", help="Which part of the job, from 0/K to K-1/K.", rich_help_panel=JOBS
        ),
    ] = "0/1",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on where the same job was stopped.", rich_help_panel=JOBS
        ),
    ] = False,
    pack: Annotated[
        str,
        typer.Option(
            metavar="files|tar|parquet",
            help="Clips as files, or many in one.",
            rich_help_panel=JOBS,
        ),
    ] = "files",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Processes.", rich_help_panel=JOBS),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the job, and write nothing.", rich_help_panel=JOBS),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="A line of JSON for each clip, and a summary.", rich_help_panel=JOBS
        ),
    ] = False,
    **asked: Any,
) -> None:
    """Compose clips for an emotion, or for each row of a job."""
    from emomusic.compose.jobs.job import Output
    from emomusic.compose.jobs.storage import parse_shard

    try:
        output = Output(_formats(format_), pack, explained)
        part = parse_shard(shard)
        job, made_by = _job(asked, _said(context), settings=settings, spec=spec)
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.USAGE)
    options = RunOptions(
        out=out,
        output=output,
        shard=part,
        resume=resume,
        workers=workers,
        threads=threads,
        engine=engine,
        batch_size=batch_size,
        checkpoint=checkpoint,
        as_json=as_json,
        has_rows=spec is not None,
    )
    if dry_run:
        show_plan(job, options)
    do_job(job, options, checkpoint_asked=made_by)


def _formats(text: str) -> tuple[str, ...]:
    """Read formats, and check that what writes them is installed before anything is composed."""
    formats = parse_formats(text)
    for name in formats:
        if name in EXTRA_OF:
            need(EXTRA_OF[name])
    return formats


def _said(context: typer.Context) -> set[str]:
    """Return which options of a clip were given, by the names that rows use."""
    sources = {name.rstrip("_"): context.get_parameter_source(name) for name in context.params}
    return {name for name in OPTIONS if (own := sources[name]) and own.name == "COMMANDLINE"}


def _job(
    asked: Mapping[str, Any], said: set[str], *, settings: Path | None, spec: str | None
) -> tuple[Job, str | None]:
    """Return the job that the options ask for, and which checkpoint settings are of, if known.

    Args:
        asked: What is asked of a clip, by parameter.
        said: What of it was said.
        settings: A settings file.
        spec: A file of rows.

    Raises:
        ValueError: If they ask for none.
    """
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.rows import JobRow

    if settings is not None:
        if spec is not None:
            raise ValueError("give --settings or --spec, not both")
        for name in sorted(said):
            option = name.replace("_", "-")
            raise ValueError(f"--settings says all of a clip: leave out --{option}")
        own = _read(settings)
        return Job([JobRow(None, own)]), own.checkpoint
    options = {name.rstrip("_"): value for name, value in asked.items()}
    options["set"] = parse_attributes(options["set"] or [])
    if spec is not None:
        with open_spec(spec) as file:
            return Job(file, {name: options[name] for name in said}), None
    count = COUNT.read(options.pop(COUNT.name))
    return Job([JobRow(None, spec_from_options(options), count)]), None


def _read(path: Path) -> ClipSpec:
    """Return what the clip of a settings file follows from."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} holds no text") from error
    return parse_settings_file(text)


def quadrants(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("out"),
    bars: Annotated[int, typer.Option(min=1, max=MAX_BARS, help="Length in bars.")] = DEFAULT_BARS,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder, or owner/name on a hub.")] = None,
    format_: Annotated[str, FORMAT_OPTION] = "mid,mp3",
    best_of: Annotated[
        int, typer.Option(min=1, max=64, help="Draws among which the verifier chooses each.")
    ] = 4,
) -> None:
    """Compose one clip for each quadrant, and show what was asked and heard."""
    try:
        formats = _formats(format_)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.compose.export import OutputError, write_clips
    from emomusic.compose.quadrants import asked_and_heard, compose_quadrants

    composer = load_composer(checkpoint, out)
    try:
        with progress_bar() as bar:
            task = bar.add_task("composing", total=None)
            clips = compose_quadrants(composer, seed=seed, n_bars=bars, best_of=best_of)
            bar.update(task, total=len(clips), description="writing")
            cards = []
            for card in write_clips(clips, out, formats=formats):
                cards.append(card)
                bar.advance(task)
    except (OutputError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)
    typer.echo(asked_and_heard(cards))
    if best_of > 1:
        typer.echo(f"each is the best of {best_of} draws, chosen by the verifier that heard it")
    typer.echo(f"the clips and their cards are in {out}/")
