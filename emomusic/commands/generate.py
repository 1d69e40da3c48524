"""Commands that compose: generate, quadrants."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emomusic.commands.jobs import RunOptions, do_job, open_spec, show_plan
from emomusic.terminal import MAX_SEED, ExitStatus, load_composer, progress_bar, stop

if TYPE_CHECKING:
    from emomusic.compose.asking.settings import Settings
    from emomusic.compose.jobs.job import Job

FORMATS = "mid,wav,flac,mp3,musicxml,svg,json"
JOBS = "Jobs of many clips"
BESIDE_SETTINGS = frozenset(
    {"out", "settings", "format_", "checkpoint", "threads", "engine", "explained", "batch_size"}
)
FOR_JOBS = frozenset(
    {"spec", "shard", "resume", "pack", "workers", "dry_run", "as_json"}
)  # fmt: skip


class TimeSignature(StrEnum):
    """Time signatures that can be asked for."""

    FOUR = "4/4"
    THREE = "3/4"


def generate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the clips; made if missing.")],
    emotion: Annotated[str | None, typer.Option(help="A named emotion, or Q1 to Q4.")] = None,
    valence: Annotated[float | None, typer.Option(help="Unpleasant -1 to pleasant 1.")] = None,
    arousal: Annotated[float | None, typer.Option(help="Calm -1 to excited 1.")] = None,
    mix: Annotated[
        str | None, typer.Option(metavar='"NAME:WEIGHT …"', help="A mixture of emotions.")
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(metavar='"BAR:NAME …"', help="An emotion that moves, from bar 0 on."),
    ] = None,
    free: Annotated[
        bool, typer.Option("--free", help="No emotion: ask for what --set and others say alone.")
    ] = False,
    continue_: Annotated[
        Path | None, typer.Option("--continue", metavar="FILE", help="MIDI to go on from.")
    ] = None,
    vary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="MIDI to write a variation of.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A clip's settings, to have it again.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="Clips.")] = 1,
    bars: Annotated[
        int | None, typer.Option(help="Length in bars; else 16, a curve's, or 8 to continue.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Length in seconds.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    take: Annotated[int, typer.Option(help="Other notes for the same plan.")] = 0,
    tempo: Annotated[float | None, typer.Option(help="Quarter notes a minute.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as D, 'F# minor' or Bbm.")] = None,
    time_signature: Annotated[TimeSignature, typer.Option(help="Metre.")] = TimeSignature.FOUR,
    chords: Annotated[
        str | None,
        typer.Option(
            metavar='"Am F C,G7 …"', help="A chord a bar, or two with a comma; else its own."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ATTRIBUTE=VALUE", help="Fix an attribute; repeatable."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling, up to 5.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Of sampling pitches and moments, up to 1.")] = 0.9,
    guidance: Annotated[
        float, typer.Option(help="How strongly controls count, 1 to 5; 1 is fastest.")
    ] = 1.0,
    guided_bars: Annotated[int, typer.Option(help="Bars at the beginning that it holds for.")] = 8,
    steering: Annotated[
        bool, typer.Option(help="Whether what is heard so far corrects what is written next.")
    ] = True,
    two_hands: Annotated[
        bool,
        typer.Option("--two-hands/--any-hands", help="Strike nothing that two hands cannot reach."),
    ] = True,
    best_of: Annotated[int, typer.Option(help="Candidates a clip; 1 is the first draw.")] = 1,
    diversity: Annotated[float, typer.Option(help="Spread of the targets, 0 to 1.")] = 0.85,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Clips in hand at once.")] = 32,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder, or owner/name on a hub.")] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar=FORMATS, help="Files a clip, by comma.")
    ] = "mid",
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
) -> None:
    """Compose clips for an emotion, or for each row of a job."""
    from emomusic.compose.asking.request import parse_formats
    from emomusic.compose.jobs.job import Output
    from emomusic.compose.jobs.storage import parse_shard

    said = _said(context)
    try:
        output = Output(parse_formats(format_), pack, explained)
        part = parse_shard(shard)
        job, made_by = _job(context, said)
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


def _said(context: typer.Context) -> set[str]:
    """Return the options that were given, by name."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def _job(context: typer.Context, said: set[str]) -> tuple[Job, str | None]:
    """Return the job that the options ask for, and which checkpoint settings are of, if known.

    Raises:
        ValueError: If they ask for none.
    """
    from emomusic.compose.asking.options import settings_of
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.rows import JobRow

    given = context.params
    if given["settings"] is not None:
        if given["spec"] is not None:
            raise ValueError("give --settings or --spec, not both")
        settings = _read(given["settings"], said)
        return Job([JobRow(None, settings)]), settings.checkpoint
    if given["spec"] is not None:
        defaults = _options({name: given[name] for name in said})
        with open_spec(given["spec"]) as file:
            return Job(
                file, defaults | ({"count": given["count"]} if "count" in said else {})
            ), None
    return Job([JobRow(None, settings_of(_options(given)), given["count"])]), None


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what options say of a clip, by the names that rows of a job use."""
    from emomusic.compose.asking.options import OPTIONS
    from emomusic.compose.asking.request import parse_settings

    named = {name.rstrip("_"): value for name, value in given.items()}
    options = {name: named[name] for name in OPTIONS if name in named}
    if "time_signature" in options:
        options["time_signature"] = options["time_signature"].value
    return options | ({"set": parse_settings(named["set"] or [])} if "set" in named else {})


def _read(path: Path, said: set[str]) -> Settings:
    """Return the settings of a file; what they say is said by no option."""
    from emomusic.compose.asking.settings import MAX_CHARACTERS, parse_settings_file

    for name in sorted(said - BESIDE_SETTINGS - FOR_JOBS):
        option = name.rstrip("_").replace("_", "-")
        raise ValueError(f"--settings says all of a clip: leave out --{option}")
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
    bars: Annotated[int, typer.Option(min=1, max=512, help="Length in bars.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder, or owner/name on a hub.")] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar=FORMATS, help="Files a clip, by comma.")
    ] = "mid,mp3",
    best_of: Annotated[
        int, typer.Option(min=1, max=64, help="Draws among which the verifier chooses each.")
    ] = 4,
) -> None:
    """Compose one clip for each quadrant, and show what was asked and heard."""
    from emomusic.compose.asking.request import parse_formats

    try:
        formats = parse_formats(format_)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.compose.output import OutputError, write_clips
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
