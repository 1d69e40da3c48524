"""Several emotions: curves that move over the bars of a piece, and mixtures of one point."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from emomusic.emotion.space import (
    Emotion,
    UnknownEmotionError,
    find_emotion,
    is_number,
    plain,
    plain_number,
    refusal,
)

MAX_BARS = 512
MAX_POINTS = 64
MAX_PARTS = 8
MAX_CURVE_CHARACTERS, MAX_MIX_CHARACTERS = 4000, 1000
_CURVE_FORM = "write BAR:NAME or BAR:VALENCE,AROUSAL, such as '0:calm 8:tense 16:-0.40,0.30'"
_MIX_FORM = "write NAME:WEIGHT, such as 'nostalgia:0.7 hope:0.3'"


@dataclass(frozen=True)
class CurvePoint:
    """Hold the emotion at one moment of a piece.

    `bar` counts from the beginning: 0 is where the first bar begins, 16 where a piece of 16 bars
    ends, 0.5 the middle of the first bar.

    Raises:
        ValueError: If bar is not a number in [0, 512], or emotion no `Emotion`.
    """

    bar: float
    emotion: Emotion

    def __post_init__(self) -> None:
        bar = plain_number("bar", self.bar, (0.0, MAX_BARS)) + 0.0  # -0.0 becomes 0.0
        object.__setattr__(self, "bar", bar)
        if not isinstance(self.emotion, Emotion):
            raise refusal("emotion", "an Emotion", self.emotion)


@dataclass(frozen=True)
class EmotionCurve:
    """Hold an emotion that moves in straight lines of the plane from point to point.

    Before its first point and after its last a curve stays where they are.

    Raises:
        ValueError: If there are no points or more than 64, one is no `CurvePoint`, or their bars
            do not rise strictly.
    """

    points: tuple[CurvePoint, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.points, Iterable):
            raise refusal("points of a curve", "CurvePoints", self.points)
        points = tuple(self.points)
        if not 1 <= len(points) <= MAX_POINTS:
            raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got {len(points)}")
        for point in points:
            if not isinstance(point, CurvePoint):
                raise refusal("points of a curve", "CurvePoints", point)
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
        return len({(p.emotion.valence, p.emotion.arousal) for p in self.points}) > 1

    @property
    def text(self) -> str:
        """Write the curve such as "0:calm 8:tense 16:-0.40,0.30", for `parse_curve`.

        A point is written by its name only if that name stands for this very emotion; values are
        rounded to four decimals.
        """
        return " ".join(map(_point_text, self.points))

    def at(self, bar: float) -> Emotion:
        """Find the emotion at a moment; it has a name only where it is that of a point.

        Args:
            bar: Finite; may lie before or after the piece.

        Raises:
            ValueError: If bar is not finite.
        """
        if not is_number(bar := plain(bar)) or not math.isfinite(bar):
            raise refusal("bar", "finite", bar)
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
            ValueError: If n_bars is not a whole number in [1, 512].
        """
        if not plain_number("n_bars", n_bars, (1, MAX_BARS)).is_integer():
            raise refusal("n_bars", "a whole number", n_bars)
        return tuple(self.at(bar + 0.5) for bar in range(int(n_bars)))

    def mean(self, n_bars: int) -> Emotion:
        """Average the emotion over the first n_bars bars; its name is the curve's text.

        Raises:
            ValueError: As `over`.
        """
        emotions = self.over(n_bars)
        return Emotion(
            math.fsum(emotion.valence for emotion in emotions) / len(emotions),
            math.fsum(emotion.arousal for emotion in emotions) / len(emotions),
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
    if not isinstance(text, str):
        raise refusal("a curve", "a text", text)
    if len(text) > MAX_CURVE_CHARACTERS:
        raise ValueError(
            f"a curve must have at most {MAX_CURVE_CHARACTERS} characters, got {len(text)}; "
            f"{_CURVE_FORM}"
        )
    joined = re.sub(r"\s*([:,])\s*", r"\1", text).strip("; \t\r\n")
    if not joined:
        raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got none; {_CURVE_FORM}")
    # a point begins at each word that has a colon; what has none belongs to the name before
    pieces = re.split(r"[;\s]+(?=[^\s:;]*:)", joined)
    if len(pieces) > MAX_POINTS:
        raise ValueError(f"a curve must have 1 to {MAX_POINTS} points, got {len(pieces)}")
    return EmotionCurve(tuple(_parsed(piece) for piece in pieces))


def _parsed(piece: str) -> CurvePoint:
    def number(what: str, text: str) -> float:
        return _number(text, f"{what} must be a number in {piece[:60]!r}", _CURVE_FORM)

    bar, colon, emotion = piece.partition(":")
    if not colon or not emotion or ":" in emotion:
        raise ValueError(f"{piece[:60]!r} is not a point of a curve; {_CURVE_FORM}")
    at = number("bar", bar)
    if "," not in emotion:
        return CurvePoint(at, find_emotion(emotion))
    valence, _, arousal = emotion.partition(",")
    return CurvePoint(at, Emotion(number("valence", valence), number("arousal", arousal)))


def _number(text: str, rule: str, form: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{rule}, got {text[:40]!r}; {form}") from None


def _between(before: CurvePoint, after: CurvePoint, *, bar: float) -> Emotion:
    if before.emotion == after.emotion:
        return before.emotion
    share = (bar - before.bar) / (after.bar - before.bar)

    def along(start: float, end: float) -> float:
        low, high = sorted((start, end))
        return min(high, max(low, start + share * (end - start)))  # rounding may step past an end

    here, there = before.emotion, after.emotion
    return Emotion(along(here.valence, there.valence), along(here.arousal, there.arousal))


def _point_text(point: CurvePoint) -> str:
    bar = repr(point.bar).removesuffix(".0")  # not rounded: two bars must not become one
    emotion = point.emotion
    if emotion.name is not None and _known(emotion.name) == emotion:
        return f"{bar}:{emotion.name.replace(' ', '-')}"
    return f"{bar}:{_decimals(emotion.valence, 4)},{_decimals(emotion.arousal, 4)}"


def _known(name: str) -> Emotion | None:
    try:
        return find_emotion(name)
    except UnknownEmotionError:
        return None


def _decimals(value: float, most: int) -> str:
    """Write two decimals, up to so many where they are not 0, and never a negative zero."""
    text = f"{round(value, most) + 0.0:.{most}f}"
    return text[: len(text) - most + 2] + text[len(text) - most + 2 :].rstrip("0")


def mix(parts: Sequence[tuple[Emotion, float]]) -> Emotion:
    """Mix emotions into the weighted mean of their valence and arousal.

    The order of the parts does not matter; the weights of the same emotion add up, and an emotion
    of weight 0 is left out.

    Args:
        parts: 1 to 8 pairs of an emotion and its weight, which is finite and not negative; the
            weights need not add up to 1.

    Returns:
        The emotion itself where only one is left; else the mean, named after its parts, heaviest
        first, such as "nostalgia 0.70 + hope 0.30"; a part without a name stands there as its
        valence and arousal, "(-0.20, 0.40)".

    Raises:
        ValueError: If there are no parts or too many, one is no `Emotion`, a weight is no number,
            negative or not finite, or all are 0.
    """
    if not 1 <= len(parts) <= MAX_PARTS:
        raise ValueError(f"a mixture must have 1 to {MAX_PARTS} parts, got {len(parts)}")
    shares = _shares([(emotion, _checked(emotion, weight)) for emotion, weight in parts])
    if len(shares) == 1:
        return shares[0][0]
    return Emotion(
        _mean([(emotion.valence, share) for emotion, share in shares]),
        _mean([(emotion.arousal, share) for emotion, share in shares]),
        " + ".join(f"{_label(emotion)} {share:.2f}" for emotion, share in shares),
    )


def parse_mix(text: str) -> Emotion:
    """Read a mixture such as "nostalgia:0.7 hope:0.3" and mix it.

    Args:
        text: 1 to 8 parts `NAME:WEIGHT`, separated by blanks or commas. A name is one that
            `find_emotion` knows, quadrants and names of two words too; a part without a weight
            weighs 1.

    Raises:
        UnknownEmotionError: If no emotion has a name.
        ValueError: If the text is not of this form, or `mix` refuses its weights.
    """
    if not isinstance(text, str):
        raise refusal("a mixture", "a text", text)
    if len(text) > MAX_MIX_CHARACTERS:
        raise ValueError(
            f"a mixture must have at most {MAX_MIX_CHARACTERS} characters, got {len(text)}; "
            f"{_MIX_FORM}"
        )
    chunks = re.sub(r"\s*:\s*", ":", text).split(",")
    parts = [part for chunk in chunks for part in _parts(chunk.split())]
    if not parts:
        raise ValueError(f"a mixture must name 1 to {MAX_PARTS} emotions, got none; {_MIX_FORM}")
    return mix(parts)


def _parts(words: list[str]) -> Iterator[tuple[Emotion, float]]:
    while words:
        pair = " ".join(words[:2])  # a name of two words, if the first has no weight
        is_pair = ":" not in words[0] and _known(pair.partition(":")[0]) is not None
        name, colon, weight = (pair if is_pair else words[0]).partition(":")
        if not colon and _known(name) is None:
            name = " ".join(words).partition(":")[0]  # all of "very sad:0.7" is unknown
        words = words[1 + is_pair :]
        rule = f"weight of {name!r} must be a number"
        yield find_emotion(name), _number(weight, rule, _MIX_FORM) if colon else 1.0


def _checked(emotion: Emotion, weight: float) -> float:
    if not isinstance(emotion, Emotion):
        raise refusal("emotion", "an Emotion", emotion)
    weight = plain(weight)
    if not is_number(weight):
        raise refusal(f"weight of {_label(emotion)}", "a number", weight)
    if not 0.0 <= weight < math.inf:  # false for NaN too
        raise refusal(f"weight of {_label(emotion)}", "finite and 0 or more", weight)
    return float(weight)


def _shares(parts: list[tuple[Emotion, float]]) -> list[tuple[Emotion, float]]:
    largest = max(weight for _, weight in parts)
    if largest == 0.0:
        raise ValueError(f"weights of a mixture must not all be 0, got {len(parts)} of 0")
    weights: dict[Emotion, list[float]] = {}
    for emotion, weight in parts:
        if weight:
            # divided by the largest first: the sum of huge weights would overflow
            weights.setdefault(emotion, []).append(weight / largest)
    total = math.fsum(weight for each in weights.values() for weight in each)
    shares = [(emotion, math.fsum(each) / total) for emotion, each in weights.items()]
    return sorted(shares, key=lambda part: (-part[1], _label(part[0]), part[0].valence))


def _mean(values: list[tuple[float, float]]) -> float:
    total = math.fsum(share for _, share in values)  # 1 but for rounding, which may leave the plane
    return math.fsum(value * share for value, share in values) / total


def _label(emotion: Emotion) -> str:
    return emotion.name or f"({_decimals(emotion.valence, 2)}, {_decimals(emotion.arousal, 2)})"
