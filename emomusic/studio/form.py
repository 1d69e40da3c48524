"""From what a person set on the page to a request, and back; what follows from a piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomusic.compose import derive
from emomusic.compose.fields import Door, Field, Kind
from emomusic.compose.parse import ENDPOINT, parse_key
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, DEFAULT_BARS, METRES, VALUES, VARY, Request
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import dump_score
from emomusic.studio.session import StudioPiece

ANY = "any"
BARS, SECONDS = "bars", "seconds"
CHOICES = {
    "unit": Field(Kind.CHOICE, name="unit", choices=(BARS, SECONDS)),
    "key": Field(Kind.CHOICE, name="key", choices=(ANY, *TONIC_NAMES)),
    "mode": Field(Kind.CHOICE, name="mode", choices=(ANY, "major", "minor")),
    "time_signature": ENDPOINT["time_signature"],
}
"""What is chosen among words on the page."""
FINE = {name: own for name, own in VALUES.items() if Door.PAGE in own.doors}
"""What has a control of its own on the page, by name in a request."""
NOTHING_SAID = {
    "unit": BARS, "length": DEFAULT_BARS, "key": ANY, "mode": ANY, "time_signature": METRES[0],
    "fixed": {},
}  # fmt: skip


def read_form(feeling: Emotion | EmotionCurve | None, form: Mapping[str, Any]) -> Request:
    """Return the request that the page's controls make.

    Args:
        feeling: What the picker holds.
        form: What the other controls hold: `unit` (`bars` or `seconds`) and `length` in it, `key`,
            `mode` and `time_signature` as in `CHOICES`, `fixed` attributes, and those of `FINE`.
            What is missing is not said.

    Raises:
        ValueError: If a value is of another kind or out of its range.
    """
    held = {**NOTHING_SAID, **form}
    unit, key, mode, metre = (field.read(held[name]) for name, field in CHOICES.items())
    in_bars = unit == BARS
    length = VALUES["n_bars" if in_bars else "seconds"].read(held["length"])
    emotion, curve = None, None
    if isinstance(feeling, EmotionCurve):
        curve, emotion = feeling, feeling.mean(length if in_bars else feeling.n_bars)
    elif feeling is not None:
        emotion = feeling
    return Request(
        emotion,
        curve=curve,
        n_bars=length if in_bars else None,
        seconds=None if in_bars else length,
        tonic=None if key == ANY else parse_key(key)[0],
        is_major=None if mode == ANY else mode == "major",
        beats_per_bar=int(metre[0]),
        fixed=held["fixed"],
        **{name: held[name] for name in FINE if name in held},
    )


def show_form(request: Request) -> dict[str, Any]:
    """Return what the controls are to hold for a request; the picker has its emotion."""
    tempo = {} if request.tempo is None else {"tempo": request.tempo}
    is_major = request.is_major
    return {
        "unit": BARS if request.seconds is None else SECONDS,
        "length": request.seconds or request.n_bars or request.default_bars,
        "key": ANY if request.tonic is None else TONIC_NAMES[request.tonic],
        "mode": ANY if is_major is None else "major" if is_major else "minor",
        "time_signature": METRES[1] if request.beats_per_bar == 3 else METRES[0],
        "fixed": {**request.fixed, **tempo},
        **{name: getattr(request, name) for name in FINE},
    }


def continue_piece(piece: StudioPiece, n_bars: int, *, emotion: Emotion | None = None) -> Request:
    """Return what goes on from a piece.

    Args:
        piece: Composed or brought.
        n_bars: Bars to add.
        emotion: What they are to carry; None is what the piece carries.
    """
    if piece.clip is not None:
        return derive.continue_clip(piece.clip, n_bars, emotion=emotion)
    return Request(emotion, given=Primer(dump_score(piece.score), CONTINUE), n_bars=n_bars)


def vary_piece(piece: StudioPiece, *, take: int) -> Request:
    """Return what takes up a piece with other notes; another take gives another variation."""
    if piece.clip is not None:
        return derive.vary_clip(piece.clip, take=take)
    return Request(None, given=Primer(dump_score(piece.score), VARY), take=take)


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
    given = Primer(dump_score(piece.score), VARY)
    return Request(derive.shift_emotion(here, move), given=given)
