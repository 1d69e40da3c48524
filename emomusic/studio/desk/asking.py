"""From what a person set on the page to a request, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emomusic.compose import derive
from emomusic.compose.fields import Door, Field, Kind
from emomusic.compose.parse import parse_key
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, DEFAULT_BARS, METRES, VALUES, VARY, Request
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import dump_score
from emomusic.studio.desk.session import StudioPiece

ANY = "any"
BARS, SECONDS = "bars", "seconds"
KEYS = (ANY, *TONIC_NAMES)
MODES = (ANY, "major", "minor")
FINE = {name: own for name, own in VALUES.items() if Door.PAGE in own.doors}
"""What has a control of its own on the page, by name in a request."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """Hold what a person asked for, as the page's controls have it.

    Attributes:
        emotion: A point or a mixture; None for a curve.
        curve: Instead of it.
        unit: `bars` or `seconds`.
        length: In that unit.
        key: A tonic, or `any`.
        mode: `major`, `minor` or `any`.
        time_signature: `4/4` or `3/4`.
        fixed: Attributes that were set.
        fine: The values of `FINE`; what is missing takes its default.
    """

    emotion: Emotion | None = None
    curve: EmotionCurve | None = None
    unit: str = BARS
    length: float = DEFAULT_BARS
    key: str = ANY
    mode: str = ANY
    time_signature: str = METRES[0]
    fixed: Mapping[str, float] = field(default_factory=dict)
    fine: Mapping[str, Any] = field(default_factory=dict)

    def request(self) -> Request:
        """Return the request.

        Raises:
            ValueError: If a value is out of its range.
        """
        words = {"unit": (BARS, SECONDS), "key": KEYS, "mode": MODES, "time_signature": METRES}
        for name, choices in words.items():
            Field(Kind.CHOICE, name=name, choices=choices).read(getattr(self, name))
        in_bars = self.unit == BARS
        length = VALUES["n_bars" if in_bars else "seconds"].read(self.length)
        emotion = self.emotion
        if self.curve is not None:
            emotion = self.curve.mean(length if in_bars else self.curve.n_bars)
        return Request(
            emotion,
            curve=self.curve,
            n_bars=length if in_bars else None,
            seconds=None if in_bars else length,
            tonic=None if self.key == ANY else parse_key(self.key)[0],
            is_major=None if self.mode == ANY else self.mode == "major",
            beats_per_bar=int(self.time_signature[0]),
            fixed=self.fixed,
            **self.fine,
        )

    @classmethod
    def of(cls, request: Request) -> Form:
        """Return what the controls are to show for a request."""
        tempo = {} if request.tempo is None else {"tempo": request.tempo}
        is_major = request.is_major
        return cls(
            emotion=None if request.curve is not None else request.emotion,
            curve=request.curve,
            unit=BARS if request.seconds is None else SECONDS,
            length=request.seconds or request.n_bars or request.default_bars,
            key=ANY if request.tonic is None else TONIC_NAMES[request.tonic],
            mode=ANY if is_major is None else "major" if is_major else "minor",
            time_signature=METRES[1] if request.beats_per_bar == 3 else METRES[0],
            fixed={**request.fixed, **tempo},
            fine={name: getattr(request, name) for name in FINE},
        )


def continue_piece(piece: StudioPiece, n_bars: int, *, emotion: Emotion | None = None) -> Request:
    """Return what goes on from a piece.

    Args:
        piece: Composed or brought.
        n_bars: Bars to add.
        emotion: What they are to carry; None is what the piece carries.
    """
    if piece.clip is not None:
        return derive.continue_clip(piece.clip, n_bars, emotion=emotion)
    return Request(emotion, given=_given(piece, CONTINUE), n_bars=n_bars)


def vary_piece(piece: StudioPiece, *, take: int) -> Request:
    """Return what takes up a piece with other notes.

    Args:
        piece: Composed or brought.
        take: Another number gives another variation.
    """
    if piece.clip is not None:
        return derive.vary_clip(piece.clip, take=take)
    return Request(None, given=_given(piece, VARY), take=take)


def shift_piece(piece: StudioPiece, move: str) -> Request:
    """Return what takes up a piece in another mood; from where it is heard if none was asked.

    Args:
        piece: Composed or brought, and heard.
        move: One of `MOVES`.
    """
    if piece.clip is not None and piece.clip.request.emotion is not None:
        return derive.shift_clip(piece.clip, move)
    verdict = piece.verdict
    here = Emotion(0.0, 0.0) if verdict is None else Emotion(verdict.valence, verdict.arousal)
    return Request(derive.shift_emotion(here, move), given=_given(piece, VARY))


def _given(piece: StudioPiece, use: str) -> Primer:
    return Primer(dump_score(piece.score), use)
