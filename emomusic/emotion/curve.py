"""Curves: an emotion that moves over the bars of a piece."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real

from emomusic.emotion.names import UnknownEmotionError, find_emotion
from emomusic.emotion.space import Emotion

MAX_BARS = 512
MAX_POINTS = 64
MAX_CHARACTERS = 4000
_FORM = "write BAR:NAME or BAR:VALENCE,AROUSAL, such as '0:calm 8:tense 16:-0.40,0.30'"


@dataclass(frozen=True)
class CurvePoint:
    """Hold the emotion at one moment of a piece.

    `bar` counts from the beginning: 0 is where the first bar begins, 16 where a piece of 16 bars
    ends, 0.5 the middle of the first bar.

    Raises:
        TypeError: If bar is not a number or emotion no `Emotion`.
        ValueError: If bar is not in [0, 512].
    """

    bar: float
    emotion: Emotion

    def __post_init__(self) -> None:
        """Check the values and keep the bar as a plain float."""
        if isinstance(self.bar, bool) or not isinstance(self.bar, Real):
            raise TypeError(f"bar must be a number in [0, {MAX_BARS}], got {self.bar!r}")
        if not 0.0 <= self.bar <= MAX_BARS:  # false for NaN too
            raise ValueError(f"bar must be in [0, {MAX_BARS}], got {self.bar:g}")
        if not isinstance(self.emotion, Emotion):
            raise TypeError(f"emotion must be an Emotion, got {self.emotion!r}")
        object.__setattr__(self, "bar", float(self.bar) + 0.0)  # -0.0 becomes 0.0


@dataclass(frozen=True)
class EmotionCurve:
    """Hold an emotion that moves in straight lines of the plane from point to point.

    Before its first point and after its last a curve stays where they are.

    Raises:
        TypeError: If a point is no `CurvePoint`.
        ValueError: If there are no points or more than 64, or their bars do not rise strictly.
    """

    points: tuple[CurvePoint, ...]

    def __post_init__(self) -> None:
        """Check the points and keep them as a tuple."""
        points = tuple(self.points)
        if not 1 <= len(points) <= MAX_POINTS:
            raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got {len(points)}")
        for point in points:
            if not isinstance(point, CurvePoint):
                raise TypeError(f"points of a curve must be CurvePoints, got {point!r}")
        for before, after in pairwise(points):
            if after.bar <= before.bar:
                raise ValueError(
                    "bars of a curve must rise from point to point, "
                    f"got {after.bar:g} after {before.bar:g}"
                )
        object.__setattr__(self, "points", points)

    @property
    def n_bars(self) -> int:
        """Return the bars that it spans, at least 1."""
        return max(math.ceil(self.points[-1].bar), 1)

    @property
    def moves(self) -> bool:
        """Tell whether its points are not all in one place."""
        return len({(p.emotion.valence, p.emotion.arousal) for p in self.points}) > 1

    @property
    def text(self) -> str:
        """Write the curve such as "0:calm 8:tense 16:-0.40,0.30", for `parse_curve`.

        A point is written by its name only if that name stands for this very emotion; values are
        rounded to four decimals.
        """
        return " ".join(f"{_bar_text(p.bar)}:{_emotion_text(p.emotion)}" for p in self.points)

    def at(self, bar: float) -> Emotion:
        """Find the emotion at a moment; it has a name only where it is that of a point.

        Args:
            bar: Finite; may lie before or after the piece.

        Raises:
            ValueError: If bar is not finite.
        """
        if not math.isfinite(bar):
            raise ValueError(f"bar must be finite, got {bar}")
        following = bisect_right(self.points, bar, key=lambda point: point.bar)
        if following == 0:
            return self.points[0].emotion
        before = self.points[following - 1]
        if following == len(self.points) or bar == before.bar:
            return before.emotion
        return _between(before, self.points[following], bar=bar)

    def over(self, n_bars: int) -> tuple[Emotion, ...]:
        """List the emotion in the middle of each of the first n_bars bars.

        Raises:
            ValueError: If n_bars is not in [1, 512].
        """
        if not 1 <= n_bars <= MAX_BARS:
            raise ValueError(f"n_bars must be in [1, {MAX_BARS}], got {n_bars}")
        return tuple(self.at(bar + 0.5) for bar in range(n_bars))

    def mean(self, n_bars: int) -> Emotion:
        """Average the emotion over the first n_bars bars; its name is the curve's text.

        Raises:
            ValueError: If n_bars is not in [1, 512].
        """
        emotions = self.over(n_bars)
        return Emotion(
            math.fsum(emotion.valence for emotion in emotions) / n_bars,
            math.fsum(emotion.arousal for emotion in emotions) / n_bars,
            self.text,
        )


def parse_curve(text: str) -> EmotionCurve:
    """Read a curve such as "0:calm 8:tense 16:relief".

    Args:
        text: 1 to 64 points `BAR:NAME` or `BAR:VALENCE,AROUSAL`, separated by blanks or
            semicolons. A name is one that `find_emotion` knows, quadrants too; the words of a
            name of two are joined by a hyphen, an underscore or a blank.

    Raises:
        UnknownEmotionError: If no emotion has a name.
        ValueError: If the text is not of this form, a value lies outside its range, or the bars
            do not rise.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"a curve must have at most {MAX_CHARACTERS} characters, got {len(text)}; {_FORM}"
        )
    joined = re.sub(r"\s*([:,])\s*", r"\1", text).strip("; \t\r\n")
    if not joined:
        raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got none; {_FORM}")
    # a point begins at each word that has a colon; what has none belongs to the name before
    pieces = re.split(r"[;\s]+(?=[^\s:;]*:)", joined)
    if len(pieces) > MAX_POINTS:
        raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got {len(pieces)}")
    return EmotionCurve(tuple(_parsed(piece) for piece in pieces))


def _parsed(piece: str) -> CurvePoint:
    bar, colon, emotion = piece.partition(":")
    if not colon or not emotion or ":" in emotion:
        raise ValueError(f"{piece[:60]!r} is not a point of a curve; {_FORM}")
    return CurvePoint(_number("bar", bar, piece=piece), _emotion(emotion, piece=piece))


def _emotion(text: str, *, piece: str) -> Emotion:
    if "," not in text:
        return find_emotion(text)
    valence, _, arousal = text.partition(",")
    return Emotion(
        _number("valence", valence, piece=piece), _number("arousal", arousal, piece=piece)
    )


def _number(what: str, text: str, *, piece: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"{what} must be a number in {piece[:60]!r}, got {text[:40]!r}; {_FORM}"
        ) from None


def _between(before: CurvePoint, after: CurvePoint, *, bar: float) -> Emotion:
    here, there = before.emotion, after.emotion
    if here == there:
        return here
    share = (bar - before.bar) / (after.bar - before.bar)
    return Emotion(
        _along(here.valence, there.valence, share=share),
        _along(here.arousal, there.arousal, share=share),
    )


def _along(start: float, end: float, *, share: float) -> float:
    low, high = sorted((start, end))
    return min(high, max(low, start + share * (end - start)))  # rounding may step past an end


def _bar_text(bar: float) -> str:
    return repr(bar).removesuffix(".0")  # not rounded: two bars must not become one


def _emotion_text(emotion: Emotion) -> str:
    if _stands_for(emotion.name, emotion):
        return str(emotion.name).replace(" ", "-")
    return f"{_decimals(emotion.valence)},{_decimals(emotion.arousal)}"


def _stands_for(name: str | None, emotion: Emotion) -> bool:
    try:
        return name is not None and find_emotion(name) == emotion
    except UnknownEmotionError:
        return False


def _decimals(value: float) -> str:
    """Write two to four decimals, and never a negative zero."""
    text = f"{round(value, 4) + 0.0:.4f}"
    return text[:-2] + text[-2:].rstrip("0")
