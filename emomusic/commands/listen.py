"""Commands that judge or play music, or list what can be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emomusic.extras import need
from emomusic.terminal import (
    ExitStatus,
    JsonOption,
    SeedOption,
    VerifierOption,
    stop,
    stop_on_error,
)

if TYPE_CHECKING:
    from emomusic.verify.verifier import Verifier


def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="MIDI files.")],
    as_json: JsonOption = False,
    checkpoint: VerifierOption = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell what moved the verdict, and where.")
    ] = False,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw each explanation as PNG.")
    ] = None,
) -> None:
    """Tell which emotion MIDI files carry, and why."""
    from emomusic.compose.checkpoint import find_checkpoint

    if pictures is not None:
        need("pictures")
    with stop_on_error(ExitStatus.USAGE):
        folder = find_checkpoint(checkpoint)
    from emomusic.verify.verifier import Verifier

    with stop_on_error(ExitStatus.FAILED):
        verifier = Verifier.load(folder)
    _report(paths, verifier, as_json=as_json, explained=explained, pictures=pictures)


def perform(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="MIDI on a grid.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="MIDI file to write.")],
    emotion: Annotated[
        str | None, typer.Option(help="What it is to carry: a named emotion, or Q1 to Q4.")
    ] = None,
    performance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="From as written to as pianists play.")
    ] = 1.0,
    seed: SeedOption = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Even if --out is there.")] = False,
) -> None:
    """Play a MIDI file as a pianist does: timing, velocities, pedal."""
    from emomusic.emotion import find_emotion
    from emomusic.music.bars import is_written
    from emomusic.music.score import ScoreError, notes_of, read_score, write_score
    from emomusic.performance.player import perform as play

    with stop_on_error(ExitStatus.USAGE):
        asked = None if emotion is None else find_emotion(emotion)
        if out.exists() and not overwrite:
            raise ValueError(f"{out} is there already: --overwrite replaces it")
    try:
        score = read_score(path)
        if not is_written(notes_of(score)):
            raise ScoreError("it is played already: only what lies on a grid can be performed")
        played = play(score, seed=seed, emotion=asked, depth=performance)
    except ScoreError as error:
        stop(f"{path}: {error}", ExitStatus.USAGE)
    with stop_on_error(ExitStatus.FAILED):
        write_score(played, out)


def attributes(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|DIR…]", help="MIDI files.")
    ] = None,
    as_json: JsonOption = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Tell which attributes there are.")
    ] = False,
) -> None:
    """Measure the musical attributes of MIDI files, or list them."""
    if bool(paths) == listed:
        stop("give MIDI files, or --list", ExitStatus.USAGE)
    if not listed:
        _report(paths or [], None, as_json=as_json)
        return
    from emomusic.music.attributes import ATTRIBUTES

    names = ("name", "unit", "low", "high", "explanation", "source")
    _list([{name: getattr(own, name) for name in names} for own in ATTRIBUTES], as_json=as_json)


def emotions(as_json: JsonOption = False) -> None:
    """List the emotions that have a name: valence, arousal, quadrant."""
    from emomusic.emotion import emotion_names, find_emotion

    names = ("name", "valence", "arousal", "quadrant")
    found = map(find_emotion, emotion_names())
    _list([{name: getattr(own, name) for name in names} for own in found], as_json=as_json)


def _list(rows: list[dict[str, str | float | None]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row))
        return
    table: list[list[str | float | None]] = [list(rows[0]), *(list(row.values()) for row in rows)]
    lines = [[f"{x:g}" if isinstance(x, (int, float)) else str(x) for x in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def _report(
    paths: list[Path],
    verifier: Verifier | None,
    *,
    as_json: bool,
    explained: bool = False,
    pictures: Path | None = None,
) -> None:
    from emomusic.music.score import MIDI_SUFFIXES
    from emomusic.verify.report import examine, find_midi_files

    n_good = n_bad = 0
    for path in find_midi_files(paths):
        try:
            report = examine(path, verifier, explained=explained, pictures=pictures)
        except (ImportError, OSError) as error:  # a picture cannot be drawn or written
            stop(str(error), ExitStatus.FAILED)
        is_bad = report.error is not None
        n_bad, n_good = n_bad + is_bad, n_good + (not is_bad)
        if as_json:
            typer.echo(json.dumps(report.to_dict()))
        else:
            typer.echo(str(report), err=is_bad)
    if not n_good and not n_bad:
        stop(f"no MIDI files ({', '.join(MIDI_SUFFIXES)}) found", ExitStatus.USAGE)
    if n_bad:
        raise typer.Exit(ExitStatus.PARTLY if n_good else ExitStatus.FAILED)
