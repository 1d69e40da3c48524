"""How a clip shows itself in a notebook: a piano roll, what was asked and heard, a player."""

from __future__ import annotations

import base64
from html import escape

from symusic.core import ScoreTick

from emomusic.compose.clip import Clip
from emomusic.extras import MissingExtraError, need
from emomusic.music.score import notes_of

HEIGHT, BEAT = 160, 12
"""Pixels of the roll's height, and of a beat's width."""
MARGIN = 2
"""Semitones above and below the outermost notes."""


def clip_html(clip: Clip) -> str:
    """Return a clip as HTML that loads nothing from elsewhere.

    The player needs the extra `audio`; without it a line says so.
    """
    emotion = clip.request.emotion
    asked = "" if emotion is None else f"asked {emotion.name or emotion.quadrant}, "
    sure = max(clip.verdict.probabilities.values())
    words = (
        f"{asked}heard {clip.verdict.quadrant} ({sure:.2f} sure) · {clip.n_bars} bars, {clip.key}, "
        f"{clip.tempo:g} quarter notes a minute"
    )
    beats = clip.n_bars * clip.request.beats_per_bar
    roll = _roll(clip.score, n_beats=beats, beats_per_bar=clip.request.beats_per_bar)
    return f"<div><p>{escape(words)}</p>{roll}{_player(clip.score)}</div>"


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
