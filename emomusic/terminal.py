"""What all commands show on a terminal: one-line errors, exit statuses, progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from emomusic.compose.composer import Composer


MAX_SEED = 2**63 - 1


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
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on stderr, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress


def load_composer(checkpoint: Path | None, threads: int = 2) -> Composer:
    """Load the checkpoint that is named, or the one that is found, or end with one line."""
    from emomusic.compose.find import find_checkpoint

    try:
        folder = find_checkpoint(checkpoint)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    import torch

    from emomusic.compose.composer import Composer

    # Blocks of clips share the cores; torch's own threads would only get in their way.
    torch.set_num_threads(1)
    try:
        return Composer(folder, threads=threads)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)
