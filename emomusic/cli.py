"""The command line: parse, call, show."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

import emomusic

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compose piano music for an emotion, and show that the emotion is in it.",
)
DEFAULT_CHECKPOINT = Path("checkpoints/emomusic-10m")


class ExitStatus:
    """What a command's exit status says."""

    DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 3


class TimeSignature(StrEnum):
    """Time signatures that can be asked for."""

    FOUR = "4/4"
    THREE = "3/4"


def main() -> None:
    """Run the command line."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(ExitStatus.FAILED) from None


def stop(message: str, status: int) -> NoReturn:
    """Print one line on stderr and end with a status."""
    typer.echo(f"Error: {' '.join(message.split())}", err=True)
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


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(emomusic.__version__)
        raise typer.Exit(ExitStatus.DONE)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Compose piano music for an emotion, and show that the emotion is in it."""


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="Folder for the clips; made if missing.")],
    emotion: Annotated[str | None, typer.Option(help="A named emotion, or Q1 to Q4.")] = None,
    valence: Annotated[float | None, typer.Option(help="Unpleasant -1 to pleasant 1.")] = None,
    arousal: Annotated[float | None, typer.Option(help="Calm -1 to excited 1.")] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="Clips.")] = 1,
    bars: Annotated[int | None, typer.Option(help="Length in bars; 16 unless seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length in seconds.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same clips.")] = 0,
    tempo: Annotated[float | None, typer.Option(help="Quarter notes a minute.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as D, 'F# minor' or Bbm.")] = None,
    time_signature: Annotated[TimeSignature, typer.Option(help="Metre.")] = TimeSignature.FOUR,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ATTRIBUTE=VALUE", help="Fix an attribute; repeatable."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling, up to 5.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Of sampling, up to 1.")] = 0.95,
    best_of: Annotated[int, typer.Option(help="Candidates a clip; 1 is the first draw.")] = 1,
    diversity: Annotated[float, typer.Option(help="Spread of the targets, 0 to 1.")] = 0.5,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Clips in hand at once.")] = 8,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="mid,wav,mp3", help="Files a clip, by comma.")
    ] = "mid",
    threads: Annotated[int, typer.Option(min=0, max=256, help="CPU threads; 0: torch's.")] = 0,
) -> None:
    """Compose clips for an emotion."""
    from emomusic.compose.request import (
        Request,
        make_emotion,
        parse_formats,
        parse_key,
        parse_settings,
    )

    try:
        tonic, is_major = (None, None) if key is None else parse_key(key)
        request = Request(
            make_emotion(emotion, valence, arousal),
            n_bars=bars,
            seconds=seconds,
            tempo=tempo,
            tonic=tonic,
            is_major=is_major,
            beats_per_bar=int(time_signature.value[0]),
            fixed=parse_settings(set_ or []),
            temperature=temperature,
            top_p=top_p,
            best_of=best_of,
            diversity=diversity,
        )
        formats = parse_formats(format_)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.compose.output import OutputError, check_folder, write_clips

    try:
        check_folder(out)
    except OutputError as error:
        stop(str(error), ExitStatus.USAGE)
    composer = _composer(checkpoint, threads)
    try:
        with progress_bar() as bar:
            task = bar.add_task("composing", total=count)
            clips = composer.compose(
                request,
                seed=seed,
                count=count,
                batch_size=batch_size,
                progress=lambda n: bar.advance(task),
            )
            for card in write_clips(clips, out, formats=formats):
                typer.echo(_told(card))
    except (OutputError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)


def _told(card: dict[str, Any]) -> str:
    heard = card["verdict"]
    return (
        f"{card['file']}  asked {card['emotion']} "
        f"({card['valence']:+.2f}, {card['arousal']:+.2f})  heard {heard['quadrant']} "
        f"({heard['valence']:+.2f}, {heard['arousal']:+.2f}, "
        f"p={heard['probabilities'][heard['quadrant']]:.2f})  "
        f"{card['bars']} bars  {card['tempo']:g} bpm  {card['key']}"
    )


def _composer(checkpoint: Path | None, threads: int = 0) -> Any:
    from emomusic.compose.find import find_checkpoint

    try:
        folder = find_checkpoint(checkpoint)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    import torch

    from emomusic.compose.composer import Composer

    if threads:
        torch.set_num_threads(threads)
    try:
        return Composer(folder)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)


@app.command()
def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="MIDI files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the verifier.")] = None,
) -> None:
    """Tell which emotion MIDI files carry."""
    from emomusic.compose.find import find_checkpoint
    from emomusic.verify.examine import examine

    try:
        folder = find_checkpoint(checkpoint)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.verify.verifier import Verifier

    try:
        verifier = Verifier.load(folder)
    except ValueError as error:
        stop(str(error), ExitStatus.FAILED)
    _examine(lambda: examine(paths, verifier), as_json)


@app.command()
def attributes(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR…", help="MIDI files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Measure the musical attributes of MIDI files."""
    from emomusic.verify.examine import examine

    _examine(lambda: examine(paths, None), as_json)


def _examine(found: Callable[[], Iterator[dict[str, Any]]], as_json: bool) -> None:
    import json

    from emomusic.verify.examine import told

    n_good = n_bad = 0
    for record in found():
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


@app.command()
def prepare(
    source: Annotated[Path, typer.Option(help="Folder of MIDI files, or of a data set.")],
    out: Annotated[Path, typer.Option(help="The packed rows.")] = Path("datasets/packed/rows.npz"),
    tables: Annotated[
        Path | None, typer.Option(help="A checkpoint whose attribute bins are kept.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 2,
) -> None:
    """Turn MIDI files into packed rows to train on."""
    from emomusic.data.account import told_account
    from emomusic.data.prepare import prepare as run

    if not source.is_dir():
        stop(f"no such folder: {source}", ExitStatus.USAGE)
    try:
        with progress_bar() as bar:
            task = bar.add_task("preparing", total=None)
            account = run(
                source,
                out,
                tables_dir=tables,
                workers=workers,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)
    typer.echo(told_account(account))


@app.command()
def train(
    rows: Annotated[Path, typer.Option(help="Packed rows.")] = Path("datasets/packed/rows.npz"),
    out: Annotated[Path, typer.Option(help="The checkpoint's folder.")] = Path("checkpoints/new"),
    config: Annotated[Path | None, typer.Option(help="Settings, TOML or JSON.")] = None,
    size: Annotated[str | None, typer.Option(help="small, base or tiny.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time budget.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Most optimiser steps.")] = None,
    batch_ids: Annotated[int | None, typer.Option(help="Ids in a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights and order.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    compile_: Annotated[bool | None, typer.Option("--compile", help="Use torch.compile.")] = None,
) -> None:
    """Train a model on packed rows; the same command goes on where it was stopped."""
    from emomusic.training.config import make_config

    overrides = {
        "size": size,
        "minutes": minutes,
        "max_steps": max_steps,
        "batch_ids": batch_ids,
        "lr": lr,
        "seed": seed,
        "device": device,
        "threads": threads,
        "compile": compile_,
    }
    try:
        settings = make_config(config, overrides)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.training.train import train as run

    try:
        from emomusic.compose.samples import write_samples
    except ImportError:  # a machine that trains needs no music libraries; ids are all there is
        write_samples = _no_samples

    try:
        with progress_bar() as bar:
            task = bar.add_task("training", total=1.0)

            def report(record: dict[str, float]) -> None:
                bar.update(task, completed=record["progress"])
                loss = record.get("loss", record.get("validation_loss", 0.0))
                kind = "loss" if "loss" in record else "validation loss"
                bar.console.print(f"step {record['step']:.0f}  {kind} {loss:.4f}")

            evaluated = run(rows, out, settings, report=report, on_evaluation=write_samples)
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)
    typer.echo(f"{out}: {evaluated}")


def _no_samples(folder: Path, step: int) -> None:
    """Write no samples."""


@app.command()
def fit(
    source: Annotated[Path, typer.Option(help="Folder with emotion/labels.csv.")],
    checkpoint: Annotated[Path, typer.Option(help="Where mapper and verifier go.")],
    all_songs: Annotated[
        bool, typer.Option(help="Fit the mapper on the judges' songs too.")
    ] = False,
) -> None:
    """Fit the mapper and the verifier on labelled clips."""
    from emomusic.evaluation.fitting import fit_checkpoint

    try:
        with progress_bar() as bar:
            task = bar.add_task("measuring", total=None)
            told = fit_checkpoint(
                source,
                checkpoint,
                all_songs=all_songs,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)
    typer.echo(told)


if __name__ == "__main__":
    main()
