"""The commands that make a checkpoint and measure it: prepare, train, fit, evaluate, check."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import emomusic
from emomusic.compose.fields import Field, Kind
from emomusic.terminal import (
    BarsOption,
    CheckpointOption,
    ExitStatus,
    LabelsOption,
    SeedOption,
    ThreadsOption,
    VerifierOption,
    load_composer,
    progress_bar,
    stop,
    stop_on_error,
    task_progress,
    with_options,
)

SAMPLE_BARS = 8


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
    from emomusic.data.prepare import format_summary
    from emomusic.data.prepare import prepare as run

    if not source.is_dir():
        stop(f"no such folder: {source}", ExitStatus.USAGE)
    with stop_on_error(ExitStatus.FAILED), task_progress() as show:
        progress = partial(show, "preparing")
        summary = run(source, out, tables_dir=tables, workers=workers, progress=progress)
    typer.echo(format_summary(summary))


OVERRIDES = (
    Field(Kind.TEXT, "small, base, half or tiny.", name="size"),
    Field(Kind.NUMBER, "Time budget.", name="minutes"),
    Field(Kind.WHOLE, "Most optimiser steps.", name="max_steps"),
    Field(Kind.WHOLE, "Batches in a step, of all processes.", name="micro_batches"),
    Field(
        Kind.TEXT, "A run's folder, to begin from its state.", name="branch_from", metavar="PATH"
    ),
    Field(Kind.WHOLE, "Last steps, over which the rate falls to 0.", name="decay_steps"),
    Field(Kind.NUMBER, "Learning rate.", name="lr"),
    Field(Kind.WHOLE, "Of weights and order.", name="seed"),
    Field(Kind.TEXT, "auto, cpu or cuda.", name="device"),
    Field(Kind.WHOLE, "CPU threads.", name="threads"),
    Field(Kind.FLAG, "Use torch.compile.", name="compile", flag="--compile"),
)
"""Options of `train` that override the settings of their name."""


@with_options(*OVERRIDES)
def train(
    rows: Annotated[Path, typer.Option(help="Packed rows.")] = Path("datasets/packed/rows.npz"),
    out: Annotated[Path, typer.Option(help="The checkpoint's folder.")] = Path("checkpoints/new"),
    config: Annotated[Path | None, typer.Option(help="Settings, TOML or JSON.")] = None,
    **overrides: Any,
) -> None:
    """Train a model on packed rows; the same command goes on where it was stopped."""
    from emomusic.training.config import make_config

    with stop_on_error(ExitStatus.USAGE):
        settings = make_config(config, overrides)
    from emomusic.training.train import train as run

    with stop_on_error(ExitStatus.FAILED), progress_bar() as bar:
        task = bar.add_task("training", total=1.0)

        def report(record: dict[str, Any]) -> None:
            bar.update(task, completed=record["progress"])
            bar.console.print(_line_of(record))

        evaluated = run(rows, out, settings, report=report, on_evaluation=write_samples)
    if not int(os.environ.get("RANK", "0")):  # of several processes one tells
        typer.echo(f"{out}: {evaluated}")


def _line_of(record: Mapping[str, Any]) -> str:
    where = f"step {record['step']}"
    if "loss" in record:
        return f"{where}  {record['loss']:.4f} nats a note, {record['notes_per_s']:.0f} notes/s"
    if "precision" in record:
        return f"{where}  {record['machine']}, products in {record['precision']}"
    return f"{where}  held back: {record['validation_nats_per_note']:.4f} nats a note"


def write_samples(folder: Path, step: int) -> None:
    """Write clips of a checkpoint to `run/samples`: nothing asked, all low, all high density.

    The tokenizer of the checkpoint's attributes is written into it, too. Nothing is written for
    a model of another vocabulary, nor where the music libraries are missing: to train, ids do.
    `step` names the files.
    """
    try:
        import numpy as np

        from emomusic.compose import token_plan
        from emomusic.model.engine import EngineRow, Uniforms, open_engine
        from emomusic.music.score import write_score
        from emomusic.music.tokenizer import (
            N_BINS,
            Tokenizer,
            built_vocabulary,
            special_tokens,
            write_vocabulary,
        )
    except ImportError:
        return
    tables = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    names = tables["attributes"]
    vocabulary = built_vocabulary(special_tokens(names, tables["bar_attributes"]))
    engine = open_engine(folder)
    if len(vocabulary) != engine.config.vocab_size:
        return
    write_vocabulary(vocabulary, folder / "tokenizer.json")
    tokenizer = Tokenizer(folder / "tokenizer.json")
    samples_dir = folder / "run" / "samples"
    samples_dir.mkdir(parents=True, exist_ok=True)
    grammar, context = token_plan.clip_grammar(vocabulary), engine.config.context
    low = int(vocabulary.control_ids(("note_density",))[0])
    asked = {"free": (), "low": (low,), "high": (low + N_BINS - 1,)}
    bars = (token_plan.BarPlan(),) * SAMPLE_BARS
    plans = [token_plan.TokenPlan(own, bars) for own in asked.values()]
    scripts = [token_plan.to_script(p, vocabulary, grammar, context=context) for p in plans]
    rows = [
        EngineRow(script, Uniforms(np.random.default_rng([step, i])))
        for i, script in enumerate(scripts)
    ]
    edges = tables["edges"][names.index("tempo")]
    tempo = float(edges[len(edges) // 2])
    for at, segments in engine.write(rows, grammar):
        score = token_plan.decode_bars(tokenizer, segments, tempo=tempo)
        write_score(score, samples_dir / f"step_{step:06d}_{list(asked)[at]}.mid")


def fit(
    source: LabelsOption,
    checkpoint: Annotated[Path, typer.Option(help="Where mapper and verifier go.")],
    all_songs: Annotated[
        bool, typer.Option(help="Fit the mapper on the judges' songs too.")
    ] = False,
    steering_clips: Annotated[
        int, typer.Option(min=0, max=100_000, help="Clips by which steering is measured; 0: none.")
    ] = 3000,
    threads: ThreadsOption = 2,
) -> None:
    """Fit mapper, verifier and realness on labelled clips, and measure how to steer the model."""
    from emomusic import fit as fitting

    with stop_on_error(ExitStatus.FAILED), progress_bar() as bar:
        task = bar.add_task("measuring", total=None)

        def measured(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        told, excerpts = fitting.fit_checkpoint(
            source, checkpoint, all_songs=all_songs, progress=measured
        )
        if steering_clips and fitting.has_model(checkpoint):
            task = bar.add_task("steering", total=steering_clips)
            fitting.measure_response(
                checkpoint,
                n_clips=steering_clips,
                threads=threads,
                progress=lambda n: bar.advance(task, n),
            ).save(checkpoint)
            told += f"\nsteering: measured on {steering_clips} clips"
            task = bar.add_task("realness", total=fitting.N_COMPOSED)
            fitting.fit_realness(
                checkpoint, excerpts, threads=threads, progress=lambda n: bar.advance(task, n)
            ).save(checkpoint)
            told += f"\nrealness: {len(excerpts)} clips and {fitting.N_COMPOSED} composed ones"
    typer.echo(told)


def evaluate(
    source: LabelsOption,
    out: Annotated[Path, typer.Option(help="Folder for clips and report.")] = Path("evaluation"),
    checkpoint: CheckpointOption = None,
    rows: Annotated[
        Path | None, typer.Option(help="Packed rows, to set real music beside the composed.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Clips a quadrant; 25, or 8 if quick.")
    ] = None,
    bars: BarsOption = 16,
    seed: SeedOption = 0,
    threads: ThreadsOption = 2,
    quick: Annotated[bool, typer.Option("--quick", help="Little of all, in a minute.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="SECTION", help="Measure this section alone; repeatable."),
    ] = None,
    baselines: Annotated[
        bool | None, typer.Option(help="Hear simpler systems, in minutes; not if quick.")
    ] = None,
    steering: Annotated[bool, typer.Option(help="Steer, where the checkpoint can be.")] = True,
) -> None:
    """Measure a model: emotion, control, quality, memory; goes on where it was stopped."""
    composer = load_composer(checkpoint, out, threads=threads)
    from emomusic.evaluation import run

    with stop_on_error(ExitStatus.USAGE):
        run.check_names(only or ())
    if count is None:
        count = run.QUICK_COUNT if quick else run.FULL_COUNT
    settings = run.Settings(count=count, bars=bars, seed=seed, quick=quick, steering=steering)
    with stop_on_error(ExitStatus.FAILED):
        context = run.Context(
            composer, composer.folder, source, out, rows_path=rows, settings=settings
        )
        with task_progress() as show:
            found = run.run_sections(context, only=only or (), baselines=baselines, progress=show)
        typer.echo(found.write(out))


def check_verifier(
    source: Annotated[
        Path | None, typer.Option(help="Folder with emotion/labels.csv, to learn and test on.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder with labels.csv, for the trained verifier to hear.")
    ] = None,
    checkpoint: VerifierOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("verifier_check"),
    quick: Annotated[bool, typer.Option("--quick", help="Few fits, to see all work.")] = False,
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="Repetitions; 5.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, max=20, help="Folds by song; 5.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=256, help="How many work.")] = 2,
) -> None:
    """Measure how far the verifier can be trusted: trained anew by folds, or as it is on --data."""
    if source is None and data is None:
        stop("name --source, to measure by folds, or --data, or both", ExitStatus.USAGE)
    from emomusic.compose.checkpoint import find_checkpoint

    with stop_on_error(ExitStatus.USAGE):
        folder = None if data is None else find_checkpoint(checkpoint)
    from emomusic.evaluation import verifier
    from emomusic.evaluation.render import Report
    from emomusic.evaluation.rows import Found

    with stop_on_error(ExitStatus.FAILED):
        found = {}
        with task_progress() as progress:
            show = partial(progress, "hearing")
            if data is not None and folder is not None:
                given = verifier.VerifierCheck(data, folder, progress=show)
                found[verifier.trained] = Found.of(verifier.trained, given)
            if source is not None:
                n_seeds, n_folds = seeds or (1 if quick else 5), folds or (3 if quick else 5)
                given = verifier.VerifierCheck(
                    source, n_seeds=n_seeds, n_folds=n_folds, processes=processes, progress=show
                )
                found[verifier.learned] = Found.of(verifier.learned, given)
        report = Report({"emomusic": emomusic.__version__}, found, title="The verifier, measured")
        text = report.write(out, "trained" if source is None else "verifier")
    typer.echo(text)
