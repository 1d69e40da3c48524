"""Commands that hear music: verify, attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from emomusic.terminal import ExitStatus, stop


def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="MIDI files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the verifier.")] = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell what moved the verdict, and where.")
    ] = False,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw each explanation as PNG.")
    ] = None,
) -> None:
    """Tell which emotion MIDI files carry, and why."""
    from emomusic.compose.checkpoint import find_checkpoint
    from emomusic.evaluation.examine import examine

    try:
        folder = find_checkpoint(checkpoint)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.verify.verifier import Verifier

    try:
        verifier = Verifier.load(folder)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)
    _examine(lambda: examine(paths, verifier, explained=explained, pictures=pictures), as_json)


def attributes(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="MIDI files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Measure the musical attributes of MIDI files."""
    from emomusic.evaluation.examine import examine

    _examine(lambda: examine(paths, None), as_json)


def _examine(found: Callable[[], Iterator[dict[str, Any]]], as_json: bool) -> None:
    import json

    from emomusic.evaluation.examine import told

    n_good = n_bad = 0
    for record in _until_unwritable(found()):
        bad = "error" in record
        n_bad, n_good = n_bad + bad, n_good + (not bad)
        if as_json:
            typer.echo(json.dumps(record))
        else:
            typer.echo(told(record), err=bad)
    if not n_good and not n_bad:
        stop("no MIDI files (.mid, .midi) found", ExitStatus.USAGE)
    if n_bad:
        raise typer.Exit(ExitStatus.PARTLY if n_good else ExitStatus.FAILED)


def _until_unwritable(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Pass records on; stop with a sentence where a picture cannot be drawn or written."""
    try:
        yield from records
    except (ImportError, OSError) as error:
        stop(str(error), ExitStatus.FAILED)
