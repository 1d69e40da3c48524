"""A finished piece: its card of what was asked and what is heard, and its files."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symusic.core import ScoreTick

import emomusic
from emomusic.compose.fields import Door
from emomusic.compose.request import FORMATS, TRACKS, VALUES, Request
from emomusic.extras import MissingExtraError, need
from emomusic.files import raise_as_output_error, rounded, write_bytes, write_text
from emomusic.music.bars import Metre
from emomusic.music.chords import parse_chords
from emomusic.music.key import TONIC_NAMES, key_correlations, parse_tonic, signature_of
from emomusic.music.score import grid_of, notes_of
from emomusic.music.smf import piano_midi
from emomusic.verify.verifier import Verdict, Verifier

if TYPE_CHECKING:
    from pretty_midi import PrettyMIDI

    from emomusic.verify.explain import Movement

MANIFEST_NAME = "manifest.jsonl"
CARDED = [name for name, own in VALUES.items() if Door.CARD in own.doors]
"""What a card says as the request does."""


@dataclass(frozen=True)
class Clip:
    """Hold a finished piece with its card.

    Attributes:
        index: Its number in the run.
        seed: The run's seed.
        candidate: Its number among the candidates.
        request: What was asked for.
        score: Its music as it is played, and what was given before it.
        n_bars: Bars of the score, those included that were given.
        n_given: Bars at its beginning that were there already.
        tempo: Quarter notes a minute; where it moves, the mean of what was written.
        key: The key it was composed in.
        chords: Those that its bars were written to, in its key, as `parse_chords` reads them.
        targets: Attribute values asked of the model.
        achieved: The same attributes, measured on what was written.
        verdict: What the verifier hears in the whole score.
        moved: Whether an emotion that was to move is heard to; None where none was.
        heard_given, heard_new: What the verifier hears in music that was continued or of which
            bars were written anew, and in what was written; None where none was.
        checkpoint: Name of the checkpoint.
        metre: Of what was written.
        taken_up: How given music was read: its `time_signature`, and its `grid`: beats of the
            `file`, or `tracked` ones.
        joined: The bytes of a MIDI file in which given music stands as it was given; None where
            the score says all.
        written: The score as it is written, where it is played otherwise; sheet music is made of
            it, and what goes on or varies it reads it.
    """

    index: int
    seed: int
    candidate: int
    request: Request
    score: ScoreTick
    n_bars: int
    n_given: int
    tempo: float
    key: str
    chords: str
    targets: Mapping[str, float]
    achieved: Mapping[str, float]
    verdict: Verdict
    checkpoint: str
    metre: Metre
    taken_up: Mapping[str, str] = field(default_factory=dict)
    joined: bytes | None = None
    written: ScoreTick | None = None
    moved: Movement | None = None
    heard_given: Verdict | None = None
    heard_new: Verdict | None = None

    @property
    def midi(self) -> bytes:
        """Return the bytes of its MIDI file."""
        return self.joined or piano_midi(
            self.score,
            n_beats=self.n_bars * self.metre.quarters,
            signature=signature_of(self.key),
            chords=parse_chords(self.chords),
            by_hand=self.request.tracks == TRACKS[0],
        )

    @property
    def sheet(self) -> ScoreTick:
        """Return the score as it is written."""
        return self.written or self.score

    @property
    def sounding_key(self) -> str:
        """Return the tonic it was composed on with the mode that sounds on it, asked or not."""
        tonic = parse_tonic(self.key.split()[0])
        major, minor = key_correlations(notes_of(self.sheet))[:, tonic]
        return f"{TONIC_NAMES[tonic]} {'major' if major >= minor else 'minor'}"

    def card(self) -> dict[str, Any]:
        """Return what was asked and what is heard, as plain values."""
        request, emotion = self.request, self.request.emotion
        return {
            "index": self.index,
            "seed": self.seed,
            "emotion": None if emotion is None else emotion.name or emotion.quadrant,
            "valence": None if emotion is None else emotion.valence,
            "arousal": None if emotion is None else emotion.arousal,
            "curve": None if request.curve is None else request.curve.text,
            "given": None if request.given is None else request.given.use,
            "at": None if request.given is None else request.given.at or None,
            "lock": None if request.given is None else request.given.lock or None,
            "given_bars": self.n_given,
            "given_time_signature": self.taken_up.get("time_signature"),
            "given_grid": self.taken_up.get("grid"),
            "bars": self.n_bars,
            "tempo": self.tempo,
            "key": self.key,
            "time_signature": str(self.metre),
            "chords": self.chords,
            "targets": rounded(self.targets, 4),
            "achieved": rounded(self.achieved, 4),
            "verdict": rounded(asdict(self.verdict), 4),
            "moved": self.moved and self.moved.to_dict(),
            "heard_given": self.heard_given and rounded(asdict(self.heard_given), 4),
            "heard_new": self.heard_new and rounded(asdict(self.heard_new), 4),
            "best_of": request.best_of,
            "candidate": self.candidate,
            "take": request.take,
            **{name: getattr(request, name) for name in CARDED},
            "checkpoint": self.checkpoint,
            "version": emomusic.__version__,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, whole or not at all, as its ending says; return the path.

        Args:
            path: It ends in `.mid`, `.wav`, `.flac`, `.mp3`, `.musicxml`, `.svg`, or `.json` for
                the settings that bring the same clip back. Its folder is there.

        Raises:
            OSError: If it cannot be written.
            ValueError: If the ending is another, or the piece is too long for notation.
        """
        from emomusic.compose.parse import parse_formats

        parse_formats(Path(path).suffix.removeprefix("."))
        write_files(self, Path(path).parent, [Path(path).name])
        return Path(path)

    def to_pretty_midi(self) -> PrettyMIDI:
        """Return it as `pretty_midi` has it, for its piano rolls, chroma and the like.

        Raises:
            MissingExtraError: If pretty_midi is not installed.
        """
        need("pretty_midi")
        from pretty_midi import PrettyMIDI

        return PrettyMIDI(io.BytesIO(self.midi))

    def _repr_html_(self) -> str:
        """Show it in a notebook: what was asked and heard, a roll, a player; load nothing."""
        emotion = self.request.emotion
        asked = "" if emotion is None else f"asked {emotion.name or emotion.quadrant}, "
        sure = max(self.verdict.probabilities.values())
        words = (
            f"{asked}heard {self.verdict.quadrant} ({sure:.2f} sure) · {self.n_bars} bars, "
            f"{self.key}, {self.tempo:g} quarter notes a minute"
        )
        roll = _roll(self.score)
        return f"<div><p>{escape(words)}</p>{roll}{_player(self.score)}</div>"


def write_clips(
    clips: Iterable[Clip], folder: Path, *, formats: Sequence[str] = ("mid",)
) -> list[dict[str, Any]]:
    """Write clips, then the manifest of those that were written, and return its lines.

    Raises:
        OutputError: If a file cannot be written; the manifest then names the clips before.
    """
    lines: list[dict[str, Any]] = []
    with raise_as_output_error(folder):
        try:
            for clip in clips:
                line = line_of(clip, formats, number=clip.index)
                write_files(clip, folder, line["files"])
                lines.append(line)
        finally:
            if lines:
                text = "".join(f"{json.dumps(line)}\n" for line in lines)
                write_text(folder / MANIFEST_NAME, text)
    return lines


def line_of(
    clip: Clip, formats: Sequence[str], *, number: int, explain_by: Verifier | None = None
) -> dict[str, Any]:
    """Return the line of the manifest of a clip: its card, its files, why the verdict is so.

    The verdict is explained where its verifier is given.
    """
    files = [f"clip_{number:05d}.{suffix}" for suffix in formats]
    line = {"file": files[0], **clip.card(), "files": files}
    if explain_by is not None:
        from emomusic.verify.explain import explain_score

        explanation, course = explain_score(clip.score, explain_by)
        line |= {"explanation": explanation.to_dict(), "course": course.to_dict()}
    return line


def write_files(clip: Clip, folder: Path, names: Iterable[str]) -> None:
    """Write the files of a clip, all of them or none; what is in each, its ending says.

    Raises:
        OSError: If one cannot be written.
        ScoreError: If the clip is too long for notation.
    """
    from emomusic.compose.parse import ClipSpec

    paths = {name.rpartition(".")[2].lower(): folder / name for name in names}
    written: list[Path] = []
    try:
        for suffix, write in writers_of(
            clip.score,
            [*paths],
            midi=clip.midi,
            sheet=clip.sheet,
            key=clip.sounding_key,
            settings=ClipSpec.of(clip).to_json,
        ):
            write(paths[suffix])
            written.append(paths[suffix])
    except (OSError, ValueError):
        for path in written:
            path.unlink(missing_ok=True)
        raise


def writers_of(
    score: ScoreTick,
    formats: Sequence[str],
    *,
    midi: bytes,
    sheet: ScoreTick | None = None,
    key: str | None = None,
    settings: Callable[[], str] | None = None,
) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield each format of `FORMATS` with what writes a piece into a file of that ending.

    Sound is rendered, and notation made, once for all that need it.

    Args:
        score: The piece.
        formats: Which.
        midi: The bytes of its MIDI file.
        sheet: It as it is written, where it is played otherwise.
        key: For the notation, such as `D minor`; None lets it be found.
        settings: Returns the text of the settings file.

    Raises:
        ScoreError: If the piece is too long for notation.
    """
    if "mid" in formats:
        yield "mid", partial(write_bytes, data=midi)
    if "json" in formats and settings is not None:
        yield "json", partial(write_text, text=settings())
    if sounding := [suffix for suffix in formats if FORMATS[suffix] == "audio"]:
        from emomusic.music.audio import render_audio

        audio = render_audio(score)
        yield from ((suffix, audio.write) for suffix in sounding)
    if notated := [suffix for suffix in formats if FORMATS[suffix] == "notation"]:
        from emomusic.music.notation import notate

        notation = notate(sheet or score, key=key)
        known = {"musicxml": notation.write_musicxml, "svg": notation.write_svg}
        yield from ((suffix, known[suffix]) for suffix in notated)


def _roll(score: ScoreTick) -> str:
    notes = notes_of(score)
    lines, _ = grid_of(score, float(notes.onset.max()) + 1e-6)
    low, high = int(notes.pitch.min()) - 2, int(notes.pitch.max()) + 2  # semitones of margin
    strokes = "".join(
        f'<path d="M{beat:g} 0V{high - low + 1}" stroke="#a9a9b4" stroke-width=".05"/>'
        for beat in lines
    )
    bars = "".join(
        f'<rect x="{onset:.3f}" y="{high - pitch}" width="{max(length - 0.05, 0.05):.3f}"'
        f' height="1" fill="#6a3fb5" fill-opacity="{0.25 + 0.75 * velocity / 127:.2f}"/>'
        for onset, length, pitch, velocity in zip(
            notes.onset, notes.duration, notes.pitch, notes.velocity, strict=True
        )
    )
    style = f"width:100%;max-width:{lines[-1] * 12:g}px;height:160px"
    return (
        f'<svg viewBox="0 0 {lines[-1]:g} {high - low + 1}" preserveAspectRatio="none" role="img" '
        f'aria-label="piano roll" style="{style}">{strokes}{bars}</svg>'
    )


def _player(score: ScoreTick) -> str:
    try:
        need("audio")
    except MissingExtraError as error:
        return f"<p>{escape(str(error))}</p>"
    from emomusic.music.audio import render_audio

    data = base64.b64encode(render_audio(score).encode(".mp3")).decode()
    return f'<audio controls src="data:audio/mpeg;base64,{data}"></audio>'
