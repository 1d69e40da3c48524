"""What all commands show on a terminal: one-line errors, exit statuses, progress."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from emomusic.compose.fields import Field, Kind
from emomusic.compose.parse import MAX_SEED
from emomusic.emotion.curve import MAX_BARS
from emomusic.files import check_folder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from emomusic.compose.composer import Composer


CheckpointOption = Annotated[Path | None, typer.Option(help="Folder, or owner/name on a hub.")]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help="CPU cores to use.")]
BarsOption = Annotated[int, typer.Option(min=1, max=MAX_BARS, help="Length in bars.")]
LabelsOption = Annotated[Path, typer.Option(help="Folder with emotion/labels.csv.")]
VerifierOption = Annotated[Path | None, typer.Option(help="Folder of the verifier.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One object a line.")]
SeedOption = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")]
FIRST_TOLD_S, LAST_TOLD_S = 5.0, 60.0
"""After so long a job that writes to no terminal says how far it is; then ever more seldom."""


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


def parameter_of(name: str) -> str:
    """Return what an option is called in Python, where `continue` is a word of its own."""
    return f"{name}_" if iskeyword(name) else name


def option_of(field: Field) -> inspect.Parameter:
    """Return the parameter of a command that asks for what a field describes."""
    named = [] if field.flag is None else [field.flag]
    hint, default = TYPES[field.kind], field.default
    if field.choices:
        hint = hint(field.name, {word: word for word in field.choices})
        default = None if default is None else hint(default)
    if default is None:
        hint = hint | None
    option = typer.Option(
        *named, help=field.help, metavar=field.metavar, rich_help_panel=field.panel
    )
    name = parameter_of(field.name)
    return inspect.Parameter(
        name, KEYWORD_ONLY, default=default, annotation=Annotated[hint, option]
    )


def with_options(*fields: Field) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command offer what fields describe, instead of its `**given`."""

    def offer(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        said = [p.replace(kind=KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]
        parameters = [*said, *map(option_of, fields)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return offer


class ExitStatus:
    """What a command's exit status says."""

    DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3
    STOPPED = 130  # by hand (Ctrl-C), as shells have it


def one_line(message: str) -> str:
    """Return an error as the one line that is shown of it."""
    return f"Error: {' '.join(message.split())}"


def stop(message: str, status: int) -> NoReturn:
    """Print one line on stderr and end with a status."""
    typer.echo(one_line(message), err=True)
    raise typer.Exit(status)


@contextmanager
def stop_on_error(status: int) -> Iterator[None]:
    """End with a status where something is wrong with what was asked, or with a file."""
    try:
        yield
    except (OSError, ValueError) as error:
        stop(str(error), status)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


@contextmanager
def task_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show the progress of things by name; yield what takes how much of how much is done."""
    tasks: dict[str, TaskID] = {}
    with progress_bar() as bar:

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=None)
            bar.update(tasks[name], completed=done, total=total)

        yield show


@contextmanager
def batch_progress(n_total: int, n_there: int) -> Iterator[Callable[[], None]]:
    """Show how far a job is, how fast, and how long it will take; yield what counts a clip.

    On a terminal as a bar, else as a line on stderr now and then. `n_there` of `n_total` clips
    were there before.
    """
    began = time.monotonic()
    next_told, n_done = began + FIRST_TOLD_S, 0
    with progress_bar() as bar:
        task = bar.add_task("composing", total=n_total, completed=n_there)

        def advance() -> None:
            nonlocal n_done, next_told
            n_done += 1
            now = time.monotonic()
            rate = n_done / max(now - began, 1e-9)
            bar.update(task, advance=1, description=f"composing, {rate:.1f} a second")
            if bar.disable and now > next_told:
                next_told = now + min(max(now - began, FIRST_TOLD_S), LAST_TOLD_S)
                left = timedelta(seconds=round((n_total - n_there - n_done) / rate))
                done = f"{n_there + n_done} of {n_total} clips"
                typer.echo(f"{done}, {rate:.1f} a second, {left} left", err=True)

        yield advance


def load_composer(
    checkpoint: Path | None, out: Path | None, *, threads: int = 2, engine: str = "auto"
) -> Composer:
    """Make the output folder, if one is named, and load the checkpoint that is named or found, or
    end in one line."""
    from emomusic.compose.checkpoint import find_checkpoint

    with stop_on_error(ExitStatus.USAGE):
        if out is not None:
            check_folder(out)
        folder = find_checkpoint(checkpoint)
    from emomusic.compose.composer import Composer
    from emomusic.model.engine import EngineError

    try:
        composer = Composer(folder, threads=threads, engine=engine)
    except EngineError as error:
        stop(str(error), ExitStatus.USAGE)
    except (MemoryError, ValueError) as error:
        stop(str(error) or "there is not enough memory", ExitStatus.FAILED)
    if composer.engine.name != "int8":
        import torch

        # Blocks of clips share the cores; torch's own threads would only get in their way.
        torch.set_num_threads(1)
        if engine == "auto":
            told = "The int8 engine is not built, so torch composes, many times slower: "
            typer.echo(f"{told}install emomusic again where there is a C compiler.", err=True)
    return composer
