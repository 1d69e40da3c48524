"""The commands that make a checkpoint: prepare, train, fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emomusic.terminal import MAX_SEED, ExitStatus, load_composer, progress_bar, stop


def prepare(
    source: Annotated[Path, typer.Option(help="Folder of MIDI files, or of a data set.")],
    out: Annotated[Path, typer.Option(help="The packed rows.")] = Path("datasets/packed/rows.npz"),
    tables: Annotated[
        Path | None, typer.Option(help="A checkpoint whose attribute bins are kept.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; one for each core.")
    ] = None,
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
        from emomusic.evaluation.samples import write_samples
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


def evaluate(
    source: Annotated[Path, typer.Option(help="Folder with emotion/labels.csv.")],
    out: Annotated[Path, typer.Option(help="Folder for clips and report.")] = Path("evaluation"),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    rows: Annotated[
        Path | None, typer.Option(help="Packed rows, to set real bars beside the composed.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="Clips a quadrant.")] = 25,
    bars: Annotated[int, typer.Option(min=1, max=512, help="Length in bars.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU cores to use.")] = 2,
) -> None:
    """Compose first draws of every quadrant and let judges that saw no such song hear them."""
    from emomusic.compose.output import write_clips

    composer = load_composer(checkpoint, out, threads=threads)
    from emomusic.evaluation.control.joint import rank_correlations
    from emomusic.evaluation.judged.hearing import make_panel
    from emomusic.evaluation.judged.run import evaluate_emotion
    from emomusic.evaluation.report import write_report
    from emomusic.evaluation.shape import composed_shape, real_shape
    from emomusic.training.rows import Rows

    try:
        with progress_bar() as bar:
            task = bar.add_task("composing", total=4 * count)
            draws = evaluate_emotion(
                composer,
                make_panel(composer.mapper, source),
                count=count,
                seed=seed,
                n_bars=bars,
                progress=lambda n: bar.advance(task, n),
            )
        for _ in write_clips(draws.clips, out):
            pass
        about = {
            "checkpoint": composer.name,
            "clips": f"{count} first draws a quadrant, {bars} bars, seed {seed}",
            "judges": "fitted on the half of the labelled songs that the mapper never saw",
        }
        shapes = [composed_shape(draws.clips)]
        if rows is not None:
            packed = Rows.load(rows)
            shapes += [real_shape(packed, source) for source in packed.meta["sources"]]
        typer.echo(write_report(out, draws.hearings, rank_correlations(draws.clips), shapes, about))
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)
