"""From what a person set on the page to a request, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from emomusic.compose.asking import onward
from emomusic.compose.asking.given import CONTINUE, VARY, Given
from emomusic.compose.asking.request import DEFAULT_BARS, TOP_P, Request, parse_key
from emomusic.emotion import Emotion, EmotionCurve
from emomusic.music.key import TONIC_NAMES
from emomusic.music.score import dump_score
from emomusic.studio.desk.session import Piece

ANY = "any"
BARS, SECONDS = "bars", "seconds"
KEYS = (ANY, *TONIC_NAMES)
MODES = (ANY, "major", "minor")
METRES = ("4/4", "3/4")
CHOICES = {"unit": (BARS, SECONDS), "key": KEYS, "mode": MODES, "metre": METRES}


@dataclass(frozen=True)
class Sheet:
    """Hold what a person asked for, as the page's controls have it.

    Attributes:
        emotion: A point or a mixture; None for a curve.
        curve: Instead of it.
        unit: `bars` or `seconds`.
        length: In that unit.
        key: A tonic, or `any`.
        mode: `major`, `minor` or `any`.
        metre: `4/4` or `3/4`.
        fixed: Attributes that were set.
        temperature: As of `Request`, like those that follow.
        top_p: The same.
        best_of: The same.
    """

    emotion: Emotion | None = None
    curve: EmotionCurve | None = None
    unit: str = BARS
    length: float = DEFAULT_BARS
    key: str = ANY
    mode: str = ANY
    metre: str = METRES[0]
    fixed: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    top_p: float = TOP_P
    best_of: int = 1

    def request(self) -> Request:
        """Return the request.

        Raises:
            ValueError: If a value is out of its range.
        """
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}")
        in_bars = self.unit == BARS
        n_bars = whole("bars", self.length) if in_bars else None
        emotion = self.emotion
        if self.curve is not None:
            emotion = self.curve.mean(n_bars or self.curve.n_bars)
        return Request(
            emotion,
            curve=self.curve,
            n_bars=n_bars,
            seconds=None if in_bars else float(self.length),
            tonic=None if self.key == ANY else parse_key(self.key)[0],
            is_major=None if self.mode == ANY else self.mode == "major",
            beats_per_bar=int(self.metre[0]),
            fixed=dict(self.fixed),
            temperature=float(self.temperature),
            top_p=float(self.top_p),
            best_of=whole("best_of", self.best_of),
        )


def whole(name: str, value: object) -> int:
    """Return the whole number that a control holds.

    Raises:
        ValueError: If it is empty, or holds something else.
    """
    if isinstance(value, int | float) and float(value).is_integer():
        return int(value)
    raise ValueError(f"{name} must be a whole number, got {value!r:.40}")


def sheet_of(request: Request) -> Sheet:
    """Return what the controls are to show for a request."""
    tempo = {} if request.tempo is None else {"tempo": request.tempo}
    by_seconds = request.seconds is not None
    return Sheet(
        None if request.curve is not None else request.emotion,
        request.curve,
        SECONDS if by_seconds else BARS,
        request.seconds or request.n_bars or request.default_bars,
        ANY if request.tonic is None else TONIC_NAMES[request.tonic],
        ANY if request.is_major is None else MODES[1] if request.is_major else MODES[2],
        METRES[1] if request.beats_per_bar == 3 else METRES[0],
        {**request.fixed, **tempo},
        request.temperature,
        request.top_p,
        request.best_of,
    )


def continued(piece: Piece, n_bars: int, *, emotion: Emotion | None = None) -> Request:
    """Return what goes on from a piece.

    Args:
        piece: Composed or brought.
        n_bars: Bars to add.
        emotion: What they are to carry; None is what the piece carries.
    """
    if piece.clip is not None:
        return onward.continued(piece.clip, n_bars, emotion=emotion)
    return Request(emotion, given=_given(piece, CONTINUE), n_bars=n_bars)


def varied(piece: Piece, *, take: int) -> Request:
    """Return what takes up a piece with other notes.

    Args:
        piece: Composed or brought.
        take: Another number gives another variation.
    """
    if piece.clip is not None:
        return onward.varied(piece.clip, take=take)
    return Request(None, given=_given(piece, VARY), take=take)


def moved(piece: Piece, move: str) -> Request:
    """Return what takes up a piece in another mood; from where it is heard if none was asked.

    Args:
        piece: Composed or brought, and heard.
        move: One of `MOVES`.
    """
    if piece.clip is not None and piece.clip.request.emotion is not None:
        return onward.moved(piece.clip, move)
    verdict = piece.verdict
    here = Emotion(0.0, 0.0) if verdict is None else Emotion(verdict.valence, verdict.arousal)
    return Request(onward.shifted(here, move), given=_given(piece, VARY))


def _given(piece: Piece, use: str) -> Given:
    return Given(dump_score(piece.score), use)
