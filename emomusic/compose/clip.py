"""A finished piece and its card: what was asked and what is heard."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from symusic.core import ScoreTick

import emomusic
from emomusic.compose.fields import Door
from emomusic.compose.request import VALUES, Request
from emomusic.extras import MissingExtraError, need
from emomusic.music.key import TONIC_NAMES, key_correlations, parse_tonic
from emomusic.music.score import notes_of
from emomusic.verify.verifier import Verdict

HEIGHT, BEAT = 160, 12
"""Pixels of the height of a roll in a notebook, and of a beat's width."""
MARGIN = 2
"""Semitones above and below the outermost notes."""


@dataclass(frozen=True)
class Clip:
    """Hold a finished piece with its card.

    Attributes:
        index: Its number in the run.
        seed: The run's seed.
        candidate: Its number among the candidates.
        request: What was asked for.
        score: One piano track at one tempo.
        n_bars: Bars of the score, those included that were given.
        n_given: Bars at its beginning that were there already.
        tempo: Quarter notes a minute; where it moves, the mean of what was written.
        key: The key it was composed in.
        chords: Those that its bars were written to, in its key, as `parse_chords` reads them.
        targets: Attribute values asked of the model.
        achieved: The same attributes, measured on what was written.
        verdict: What the verifier hears in the whole score.
        checkpoint: Name of the checkpoint.
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

    @property
    def sounding_key(self) -> str:
        """Return the tonic it was composed on with the mode that sounds on it, asked or not."""
        tonic = parse_tonic(self.key.split()[0])
        major, minor = key_correlations(notes_of(self.score))[:, tonic]
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
            "given_bars": self.n_given,
            "bars": self.n_bars,
            "tempo": self.tempo,
            "key": self.key,
            "time_signature": f"{request.beats_per_bar}/4",
            "chords": self.chords,
            "targets": {name: round(value, 4) for name, value in self.targets.items()},
            "achieved": {name: round(value, 4) for name, value in self.achieved.items()},
            "verdict": {
                "quadrant": self.verdict.quadrant,
                "probabilities": {q: round(p, 4) for q, p in self.verdict.probabilities.items()},
                "valence": round(self.verdict.valence, 4),
                "arousal": round(self.verdict.arousal, 4),
                "valence_sd": round(self.verdict.valence_sd, 4),
                "arousal_sd": round(self.verdict.arousal_sd, 4),
                "trust": round(self.verdict.trust, 4),
            },
            "best_of": request.best_of,
            "candidate": self.candidate,
            "take": request.take,
            **{
                name: getattr(request, name)
                for name, own in VALUES.items()
                if Door.CARD in own.doors
            },
            "checkpoint": self.checkpoint,
            "version": emomusic.__version__,
        }

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it to a file, whole or not at all, as its ending says.

        Args:
            path: It ends in `.mid`, `.wav`, `.flac`, `.mp3`, `.musicxml`, `.svg`, or `.json` for
                the settings that bring the same clip back. Its folder is there.

        Returns:
            The path.

        Raises:
            OSError: If it cannot be written.
            ValueError: If the ending is another, or the piece is too long for notation.
        """
        from emomusic.compose.export import writers_of
        from emomusic.compose.parse import ClipSpec, parse_formats

        formats = parse_formats(Path(path).suffix.removeprefix("."))
        for _, write in writers_of(
            self.score, formats, key=self.sounding_key, settings=ClipSpec.of(self).to_json
        ):
            write(Path(path))
        return Path(path)

    def _repr_html_(self) -> str:
        """Show it in a notebook: what was asked and heard, a roll, a player.

        Nothing is loaded from elsewhere. The player needs the extra `audio`; without it a line
        says so.
        """
        emotion, beats = self.request.emotion, self.request.beats_per_bar
        asked = "" if emotion is None else f"asked {emotion.name or emotion.quadrant}, "
        sure = max(self.verdict.probabilities.values())
        words = (
            f"{asked}heard {self.verdict.quadrant} ({sure:.2f} sure) · {self.n_bars} bars, "
            f"{self.key}, {self.tempo:g} quarter notes a minute"
        )
        roll = _roll(self.score, n_beats=self.n_bars * beats, beats_per_bar=beats)
        return f"<div><p>{escape(words)}</p>{roll}{_player(self.score)}</div>"


def _roll(score: ScoreTick, *, n_beats: int, beats_per_bar: int) -> str:
    notes = notes_of(score)
    low, high = int(notes.pitch.min()) - MARGIN, int(notes.pitch.max()) + MARGIN
    lines = "".join(
        f'<path d="M{beat} 0V{high - low + 1}" stroke="#a9a9b4" stroke-width=".05"/>'
        for beat in range(0, n_beats + 1, beats_per_bar)
    )
    bars = "".join(
        f'<rect x="{onset:.3f}" y="{high - pitch}" width="{max(length - 0.05, 0.05):.3f}"'
        f' height="1" fill="#6a3fb5" fill-opacity="{0.25 + 0.75 * velocity / 127:.2f}"/>'
        for onset, length, pitch, velocity in zip(
            notes.onset, notes.duration, notes.pitch, notes.velocity, strict=True
        )
    )
    style = f"width:100%;max-width:{n_beats * BEAT}px;height:{HEIGHT}px"
    return (
        f'<svg viewBox="0 0 {n_beats} {high - low + 1}" preserveAspectRatio="none" role="img" '
        f'aria-label="piano roll" style="{style}">{lines}{bars}</svg>'
    )


def _player(score: ScoreTick) -> str:
    try:
        need("audio")
    except MissingExtraError as error:
        return f"<p>{escape(str(error))}</p>"
    from emomusic.music.audio import render_audio

    data = base64.b64encode(render_audio(score).encode(".mp3")).decode()
    return f'<audio controls src="data:audio/mpeg;base64,{data}"></audio>'
