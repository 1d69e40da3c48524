"""Commands that compose: generate, quadrants."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emomusic.terminal import MAX_SEED, ExitStatus, load_composer, progress_bar, stop

if TYPE_CHECKING:
    from emomusic.compose.asking.given import Given
    from emomusic.compose.asking.settings import Settings

FORMATS = "mid,wav,flac,mp3,musicxml,svg,json"
BESIDE_SETTINGS = frozenset(
    {"out", "settings", "format_", "checkpoint", "threads", "engine", "explained", "batch_size"}
)


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
        str, typer.Option("--format", metavar=FORMATS, help="Files a clip, by comma.")
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
    from emomusic.compose.asking.request import parse_formats

    try:
        formats = parse_formats(format_)
        run = _asked(context.params) if settings is None else _read(settings, context)
    except (OSError, ValueError) as error:
        stop(str(error), ExitStatus.USAGE)
    from emomusic.compose.output import OutputError, write_clips
    from emomusic.music.score import ScoreError

    composer = load_composer(checkpoint, out, threads=threads, engine=engine)
    if run.checkpoint not in (None, composer.name):
        typer.echo(
            f"the settings are of a clip by {run.checkpoint}: {composer.name} writes another one",
            err=True,
        )
    try:
        with progress_bar() as bar:
            task = bar.add_task("composing", total=count)
            clips = composer.compose(
                run.request,
                seed=run.seed,
                start=run.index,
                count=count,
                batch_size=batch_size,
                progress=lambda n: bar.advance(task, n),
            )
            explain_by = composer.verifier if explained else None
            for card in write_clips(clips, out, formats=formats, explain_by=explain_by):
                typer.echo(_told(card))
                if explained:
                    typer.echo(f"  {card['explanation']['sentence']}")
    except ScoreError as error:
        stop(str(error), ExitStatus.USAGE)
    except (OutputError, ValueError) as error:
        stop(str(error), ExitStatus.FAILED)


def _asked(given: Mapping[str, Any]) -> Settings:
    """Return what the options ask for."""
    from emomusic.compose.asking.request import Request, make_emotion, parse_key, parse_settings
    from emomusic.compose.asking.settings import Settings
    from emomusic.emotion import Emotion, parse_curve

    music = _music(given["continue_"], given["vary"])
    curve = None if given["curve"] is None else parse_curve(given["curve"])
    named = {name: given[name] for name in ("emotion", "valence", "arousal", "mix")}
    says_nothing = not curve and all(value is None for value in named.values())
    if curve is not None:
        if given["free"] or any(value is not None for value in named.values()):
            raise ValueError("a curve says what to feel: give no other emotion")
        emotion: Emotion | None = curve.mean(given["bars"] or curve.n_bars)
    else:
        free = given["free"] or (music is not None and says_nothing)
        emotion = make_emotion(*named.values(), free=free)
    tonic, is_major = (None, None) if given["key"] is None else parse_key(given["key"])
    same = ("seconds", "tempo", "temperature", "top_p", "guidance", "guided_bars", "steering",
            "best_of", "diversity", "take")  # fmt: skip
    request = Request(
        emotion,
        curve=curve,
        given=music,
        n_bars=given["bars"],
        tonic=tonic,
        is_major=is_major,
        beats_per_bar=int(given["time_signature"].value[0]),
        fixed=parse_settings(given["set_"] or []),
        **{name: given[name] for name in same},
    )
    return Settings(request, given["seed"])


def _music(continued: Path | None, varied: Path | None) -> Given | None:
    """Return the music of a file that is to be continued or varied."""
    from emomusic.compose.asking.given import CONTINUE, VARY, Given
    from emomusic.music.score import ScoreError, read_bytes

    if continued is not None and varied is not None:
        raise ValueError("give --continue or --vary, not both")
    path = continued or varied
    if path is None:
        return None
    try:
        return Given(read_bytes(path), CONTINUE if continued else VARY)
    except ScoreError as error:
        raise ValueError(f"{path}: {error}") from error


def _read(path: Path, context: typer.Context) -> Settings:
    """Return the settings of a file; what they say is said by no option."""
    from emomusic.compose.asking.settings import MAX_CHARACTERS, parse_settings_file

    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in BESIDE_SETTINGS and source is not None and source.name == "COMMANDLINE":
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


def quadrants(
    out: Annotated[Path, typer.Option(help="Folder for the clips.")] = Path("out"),
    bars: Annotated[int, typer.Option(min=1, max=512, help="Length in bars.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Same seed, same clips.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder of the model.")] = None,
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
