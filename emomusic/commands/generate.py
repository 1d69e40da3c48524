"""Commands that compose: generate, quadrants."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emomusic.commands.jobs import (
    FORMAT_OPTION,
    RunOptions,
    do_job,
    open_spec,
    show_plan,
)
from emomusic.compose.fields import Field, Kind, parse_attributes
from emomusic.compose.parse import (
    COUNT,
    MAX_CHARACTERS,
    OPTIONS,
    ClipSpec,
    number_specs,
    parse_settings_file,
    spec_from_options,
)
from emomusic.compose.request import DEFAULT_BARS, Request
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.emotion.curve import MAX_BARS
from emomusic.terminal import (
    CheckpointOption,
    ExitStatus,
    SeedOption,
    stop_on_error,
)

if TYPE_CHECKING:
    from emomusic.compose.jobs.job import Job

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: str,
    Kind.CHOICE: StrEnum,
    Kind.WHOLE: int,
    Kind.NUMBER: float,
    Kind.FLAG: bool,
    Kind.PATH: Path,
    Kind.ATTRIBUTES: list[str],
}


def _parameter_of(name: str) -> str:
    """Return what an option is called in Python, where `continue` is a word of its own."""
    return f"{name}_" if iskeyword(name) else name


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
        _parameter_of(field.name),
        KEYWORD_ONLY,
        default=default,
        annotation=Annotated[hint, option],
    )


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command offer what may be asked of a clip and of a run, instead of its `**given`."""
    own = inspect.signature(RunOptions, eval_str=True).parameters
    out, *run = (p.replace(kind=KEYWORD_ONLY) for p in own.values())
    context = inspect.Parameter("context", KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, out, *map(option_of, OPTIONS.values()), *run]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


@with_options
def generate(context: typer.Context, **given: Any) -> None:
    """Compose clips for an emotion, or for each row of a job."""
    asked = {name: given.pop(_parameter_of(name)) for name in OPTIONS}
    options = RunOptions(**given)
    with stop_on_error(ExitStatus.USAGE):
        options.apply()
        job, made_by = _job(asked, _said(context), options)
    if options.dry_run:
        show_plan(job, options)
    do_job(job, options, checkpoint_asked=made_by)


def _said(context: typer.Context) -> set[str]:
    """Return which options of a clip were given, by the names that rows use."""
    sources = {name: context.get_parameter_source(_parameter_of(name)) for name in OPTIONS}
    return {name for name, own in sources.items() if own and own.name == "COMMANDLINE"}


def _job(asked: dict[str, Any], said: set[str], options: RunOptions) -> tuple[Job, str | None]:
    """Return the job that is asked for, and which checkpoint settings are of, if known.

    Args:
        asked: What is asked of a clip, by the names that rows use.
        said: What of it was said.
        options: Where else it may be said.

    Raises:
        ValueError: If no job is asked for.
    """
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.rows import JobRow

    if options.settings is not None:
        if options.spec is not None:
            raise ValueError("give --settings or --spec, not both")
        for name in sorted(said):
            option = name.replace("_", "-")
            raise ValueError(f"--settings says all of a clip: leave out --{option}")
        own = _read(options.settings)
        return Job([JobRow(None, own)]), own.checkpoint
    asked["set"] = parse_attributes(asked["set"] or [])
    if options.spec is not None:
        with open_spec(options.spec) as file:
            return Job(file, {name: asked[name] for name in said}), None
    count = COUNT.read(asked.pop(COUNT.name))
    return Job([JobRow(None, spec_from_options(asked), count)]), None


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
    seed: SeedOption = 0,
    checkpoint: CheckpointOption = None,
    format_: Annotated[str, FORMAT_OPTION] = "mid,mp3",
    best_of: Annotated[
        int, typer.Option(min=1, max=64, help="Draws among which the verifier chooses each.")
    ] = 4,
) -> None:
    """Compose one clip for each quadrant, and show what was asked and heard."""
    from emomusic.compose.jobs.job import Job
    from emomusic.compose.jobs.rows import JobRow

    options = RunOptions(out, checkpoint=checkpoint, formats=format_)
    with stop_on_error(ExitStatus.USAGE):
        options.apply()
    asked = (Request(find_emotion(name), n_bars=bars, best_of=best_of) for name in QUADRANTS)
    if best_of > 1:
        typer.echo(f"each is the best of {best_of} draws, chosen by the verifier that heard it")
    do_job(Job([JobRow(None, own) for own in number_specs(asked, seed)]), options)
