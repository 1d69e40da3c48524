"""What a card says of emotion, read and checked once for all pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emomusic.emotion import (
    QUADRANTS,
    CurvePoint,
    Emotion,
    EmotionCurve,
    nearest_names,
    parse_curve,
)
from emomusic.studio.result.words import number, section
from emomusic.verify.timeline import name_bars, name_seconds

LOW_TRUST = 0.5
"""Below it the verifier hears more by the ears without touch and dynamics than by the others."""


@dataclass(frozen=True)
class Asked:
    """Hold what was asked of the emotion.

    Attributes:
        emotion: Of the whole; None where only a curve is known.
        curve: How it was to move; None where it stays.
        start: Bars that were there already: the curve begins after them.
    """

    emotion: Emotion | None
    curve: EmotionCurve | None = None
    start: float = 0.0

    def at(self, place: float) -> Emotion:
        """Return what was asked at a place of the piece, in bars from its beginning.

        Raises:
            ValueError: If neither a curve nor an emotion is known.
        """
        if self.curve is not None:
            return self.curve.at(place - self.start)
        if self.emotion is None:
            raise ValueError("nothing was asked")
        return self.emotion

    def corners(self, start: float, end: float) -> list[float]:
        """Return the places from one to another between which it runs straight."""
        points = () if self.curve is None else self.curve.points
        places = [point.bar + self.start for point in points]
        return [start, *(place for place in places if start < place < end), end]


@dataclass(frozen=True)
class Heard:
    """Hold a verdict.

    Attributes:
        point: Where listeners would put the clip.
        spread: Standard deviations of valence and of arousal round it.
        quadrant: "Q1" to "Q4".
        probabilities: Of the four.
        trust: From 0 to 1.
        word: The adjective of the explanation, or empty.
    """

    point: Emotion
    spread: tuple[float, float]
    quadrant: str
    probabilities: Mapping[str, float]
    trust: float
    word: str


@dataclass(frozen=True)
class HeardWindow:
    """Hold what is heard in one window of a piece.

    Attributes:
        start: Bars, or seconds, before it.
        end: Bars, or seconds, until its end.
        quadrant: "Q1" to "Q4".
        point: What is heard in it alone.
    """

    start: float
    end: float
    quadrant: str
    point: Emotion

    @property
    def middle(self) -> float:
        """Return the place half-way through."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class Run:
    """Hold how the emotion runs through a piece.

    Attributes:
        stretches: In the order of time; there may be gaps.
        in_bars: Whether places count bars; they count seconds otherwise.
        sentence: Of the card, or empty.
    """

    stretches: tuple[HeardWindow, ...]
    in_bars: bool
    sentence: str

    @property
    def end(self) -> float:
        """Return the place where the last window ends."""
        return max((stretch.end for stretch in self.stretches), default=0.0)

    def where(self, stretch: HeardWindow) -> str:
        """Name a window by its bars, or by its time."""
        if self.in_bars:
            return name_bars(round(stretch.start) + 1, round(stretch.end))
        return name_seconds(stretch.start, stretch.end)


def asked_of(
    card: Mapping[str, Any], points: Sequence[Mapping[str, float]] | None = None
) -> Asked | None:
    """Return what was asked; None if no emotion was.

    Args:
        card: With `valence` and `arousal`, and maybe `emotion`, `curve` and `given_bars`.
        points: Of a curve, each with `bar`, `valence` and `arousal`, bars rising; what the card
            has, if None.

    Raises:
        ValueError: If a value is missing or out of range.
    """
    curve = _curve(points) if points else None
    if points is None and card.get("curve"):
        curve = parse_curve(str(card["curve"]))
    named = card.get("valence") is not None and card.get("arousal") is not None
    emotion = _point(card, str(card.get("emotion") or "") or None) if named else None
    if emotion is None and curve is None:
        return None
    return Asked(emotion, curve, number(card.get("given_bars", 0), "given_bars"))


def heard_of(card: Mapping[str, Any]) -> Heard:
    """Return the verdict of a card.

    Raises:
        ValueError: If something is missing or out of range.
    """
    verdict = section(card, "verdict")
    shares = section(verdict, "probabilities")
    probabilities = {name: number(shares.get(name), f"probability of {name}") for name in QUADRANTS}
    valence_sd, arousal_sd = (
        max(0.0, number(verdict.get(name), name)) for name in ("valence_sd", "arousal_sd")
    )
    return Heard(
        point=_point(verdict),
        spread=(valence_sd, arousal_sd),
        quadrant=_quadrant(verdict),
        probabilities=probabilities,
        trust=number(verdict.get("trust"), "trust"),
        word=str(section(card, "explanation").get("emotion") or ""),
    )


def run_of(card: Mapping[str, Any]) -> Run:
    """Return the course of a card, without windows if it has none.

    Raises:
        ValueError: If a window is out of shape.
    """
    course = section(card, "course")
    windows: Sequence[Mapping[str, Any]] = course.get("windows") or ()
    in_bars = all(window.get("bars") is not None for window in windows)
    stretches = tuple(_stretch(window, in_bars) for window in windows)
    return Run(stretches, in_bars, str(course.get("sentence") or ""))


def near(emotion: Emotion) -> str:
    """Name the two emotions that lie nearest to a point."""
    return ", ".join(nearest_names(emotion, 2))


def _curve(points: Sequence[Mapping[str, float]]) -> EmotionCurve:
    return EmotionCurve(
        tuple(CurvePoint(number(point.get("bar"), "bar"), _point(point)) for point in points)
    )


def _stretch(window: Mapping[str, Any], in_bars: bool) -> HeardWindow:
    if in_bars:
        first, last = window["bars"]
        start, end = number(first, "bars") - 1, number(last, "bars")
    else:
        start, end = (number(window.get(name), name) for name in ("start_s", "end_s"))
    return HeardWindow(start, end, _quadrant(window), _point(window))


def _point(values: Mapping[str, Any], name: str | None = None) -> Emotion:
    valence, arousal = (number(values.get(axis), axis) for axis in ("valence", "arousal"))
    return Emotion(valence, arousal, name)


def _quadrant(values: Mapping[str, Any]) -> str:
    quadrant = values.get("quadrant")
    if quadrant not in QUADRANTS:
        raise ValueError(f"quadrant must be Q1 to Q4, got {quadrant!r}")
    return str(quadrant)
