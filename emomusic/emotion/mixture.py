"""Mixtures: several emotions with weights, as one point of the plane."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from numbers import Real

from emomusic.emotion.names import UnknownEmotionError, find_emotion
from emomusic.emotion.space import Emotion

MAX_PARTS = 8
MAX_CHARACTERS = 1000
_FORM = "write NAME:WEIGHT, such as 'nostalgia:0.7 hope:0.3'"


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
        TypeError: If a weight is not a number.
        ValueError: If there are no parts or too many, a weight is negative or not finite, or all
            are 0.
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
    if len(text) > MAX_CHARACTERS:
        raise ValueError(
            f"a mixture must have at most {MAX_CHARACTERS} characters, got {len(text)}; {_FORM}"
        )
    chunks = re.sub(r"\s*:\s*", ":", text).split(",")
    parts = [part for chunk in chunks for part in _parts(chunk.split())]
    if not parts:
        raise ValueError(f"a mixture must name 1 to {MAX_PARTS} emotions, got none; {_FORM}")
    return mix(parts)


def _parts(words: list[str]) -> Iterator[tuple[Emotion, float]]:
    while words:
        taken = 2 if _is_name_of_two_words(words) else 1
        name, colon, weight = " ".join(words[:taken]).partition(":")
        words = words[taken:]
        yield find_emotion(name), _weight(name, weight) if colon else 1.0


def _is_name_of_two_words(words: list[str]) -> bool:
    if len(words) < 2 or ":" in words[0]:
        return False
    try:
        find_emotion(f"{words[0]} {words[1].partition(':')[0]}")
    except UnknownEmotionError:
        return False
    return True


def _weight(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"weight of {name!r} must be a number, got {text[:40]!r}; {_FORM}"
        ) from None


def _checked(emotion: Emotion, weight: float) -> float:
    if isinstance(weight, bool) or not isinstance(weight, Real):
        raise TypeError(f"weight of {_label(emotion)} must be a number, got {weight!r}")
    if not 0.0 <= weight < math.inf:  # false for NaN too
        raise ValueError(f"weight of {_label(emotion)} must be finite and 0 or more, got {weight}")
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
    return emotion.name or f"({_decimals(emotion.valence)}, {_decimals(emotion.arousal)})"


def _decimals(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # + 0.0: never -0.00
