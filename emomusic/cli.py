"""The command line: parse, call, show."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

import emomusic
from emomusic.commands import check_verifier, evaluate, fit, prepare, train
from emomusic.terminal import MAX_SEED, ExitStatus, load_composer, one_line, progress_bar, stop

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Compose piano music for an emotion, and show that the emotion is in it.",
)


class TimeSignature(StrEnum):
    """Time signatures that can be asked for."""

    FOUR = "4/4"
    THREE = "3/4"


def main() -> None:
    """Run the command line; a mistake in it is one line on stderr and exit status 2."""
    # Clips share the cores; numpy's threads would wait for each other in small products.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except BrokenPipeError:
        sys.stderr.close()
        status = ExitStatus.FAILED
    except typer.Abort:
        status = ExitStatus.STOPPED
    except Exception as error:
        # Typer's own usage errors, which its versions define in different modules.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(one_line(error.format_message()), err=True)
        status = ExitStatus.USAGE
    raise SystemExit(status or ExitStatus.DONE)


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
    free: Annotated[
        bool, typer.Option("--free", help="No emotion: ask for what --set and others say alone.")
    ] = False,
    count: Annotated[int, typer.Option(min=1, max=10_000_000, help="Clips.")] = 1,
    bars: Annotated[int | None, typer.Option(help="Length in bars; 16 unless seconds.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Length in seconds.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    tempo: Annotated[float | None, typer.Option(help="Quarter notes a minute.")] = None,
    key: Annotated[str | None, typer.Option(help="Such as D, 'F# minor' or Bbm.")] = None,
    time_signature: Annotated[TimeSignature, typer.Option(help="Metre.")] = TimeSignature.FOUR,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ATTRIBUTE=VALUE", help="Fix an attribute; repeatable."),
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of sampling, up to 5.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Of sampling, up to 1.")] = 0.99,
    guidance: Annotated[
        float, typer.Option(help="How strongly controls count, 1 to 5; 1 is fastest.")
    ] = 1.0,
    guided_bars: Annotated[int, typer.Option(help="Bars at the beginning that it holds for.")] = 8,
    steering: Annotated[
        bool, typer.Option(help="Whether what is heard so far corrects what is written next.")
    ] = True,
    best_of: Annotated[int, typer.Option(help="Candidates a clip; 1 is the first draw.")] = 1,
    diversity: Annotated[float, typer.Option(help="Spread of the targets, 0 to 1.")] = 0.85,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Clips in hand at once.")] = 32,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="mid,wav,mp3", help="Files a clip, by comma.")
    ] = "mid",
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU cores to use.")] = 2,
    engine: Annotated[
        str, typer.Option(metavar="auto|int8|torch|cuda", help="What writes the notes.")
    ] = "auto",
    explained: Annotated[
        bool, typer.Option("--explain", help="Tell what moved each verdict, and where.")
    ] = False,
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
            make_emotion(emotion, valence, arousal, free=free),
            n_bars=bars,
            seconds=seconds,
            tempo=tempo,
            tonic=tonic,
            is_major=is_major,
            beats_per_bar=int(time_signature.value[0]),
            fixed=parse_settings(set_ or []),
            temperature=temperature,
            top_p=top_p,
            guidance=guidance,
            guided_bars=guided_bars,
            steering=steering,
            best_of=best_of,
            diversity=diversity,
        )
        formats = parse_formats(format_)
    except ValueError as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.compose.output import OutputError, write_clips

    composer = load_composer(checkpoint, out, threads=threads, engine=engine)
    try:
        with progress_bar() as bar:
            task = bar.add_task("composing", total=count)
            clips = composer.compose(
                request,
                seed=seed,
                count=count,
                batch_size=batch_size,
                progress=lambda n: bar.advance(task, n),
            )
            explain_by = composer.verifier if explained else None
            for card in write_clips(clips, out, formats=formats, explain_by=explain_by):
                typer.echo(_told(card))
                if explained:
                    typer.echo(f"  {card['explanation']['sentence']}")
    except (OutputError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)


def _told(card: dict[str, Any]) -> str:
    heard = card["verdict"]
    asked = "nothing" if card["emotion"] is None else card["emotion"]
    if card["emotion"] is not None:
        asked += f" ({card['valence']:+.2f}, {card['arousal']:+.2f})"
    return (
        f"{card['file']}  asked {asked}  heard {heard['quadrant']} "
        f"({heard['valence']:+.2f}, {heard['arousal']:+.2f}, "
        f"p={heard['probabilities'][heard['quadrant']]:.2f})  "
        f"{card['bars']} bars  {card['tempo']:g} bpm  {card['key']}"
    )


@app.command()
def quadrants(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("out"),
    bars: Annotated[int, typer.Option(min=1, max=512, help="Length in bars.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="mid,wav,mp3", help="Files a clip, by comma.")
    ] = "mid,mp3",
    best_of: Annotated[
        int, typer.Option(min=1, max=64, help="Draws among which the verifier chooses each.")
    ] = 4,
) -> None:
    """Compose one clip for each quadrant, and show what was asked and heard."""
    from emomusic.compose.request import parse_formats

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


@app.command()
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
    from emomusic.compose.find import find_checkpoint
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


@app.command()
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


for command in (prepare, train, fit, evaluate, check_verifier):
    app.command()(command)


if __name__ == "__main__":
    main()
