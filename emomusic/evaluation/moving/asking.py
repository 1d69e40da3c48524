"""What is asked of pieces that move or take up others: curves at random, and requests."""

from __future__ import annotations

import math

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.compose.parse import parse_key
from emomusic.compose.request import Request
from emomusic.emotion import (
    QUADRANTS,
    CurvePoint,
    Emotion,
    EmotionCurve,
    emotion_names,
    find_emotion,
)

LEAST_APART = 0.5
"""Emotions at neighbouring points of a curve lie at least so far from each other."""
MOST_POINTS, PHRASE_BARS = 4, 4
"""A curve has two to so many points, so many bars or more from each other."""


def named_emotions() -> tuple[Emotion, ...]:
    """Return all named emotions, alphabetically; a bare quadrant is none."""
    names = sorted(set(emotion_names()) - set(QUADRANTS))
    return tuple(find_emotion(name) for name in names)


def draw_emotions(n: int, rng: np.random.Generator) -> list[Emotion]:
    """Draw named emotions, one after the other."""
    names = named_emotions()
    return [names[i] for i in rng.integers(len(names), size=n).tolist()]


def draw_elsewhere(emotion: Emotion, rng: np.random.Generator) -> Emotion:
    """Draw a named emotion of another quadrant."""
    others = [other for other in named_emotions() if other.quadrant != emotion.quadrant]
    return others[int(rng.integers(len(others)))]


def draw_curve(n_bars: int, rng: np.random.Generator) -> EmotionCurve:
    """Draw a curve of two to four named emotions, from the first bar to the end.

    Args:
        n_bars: Of the piece, at least 4.
        rng: Decides.
    """
    most = min(MOST_POINTS, n_bars // PHRASE_BARS + 1)
    n_points = int(rng.integers(2, most + 1))
    spare = n_bars - PHRASE_BARS * (n_points - 1)
    cuts = np.sort(rng.integers(spare + 1, size=n_points - 2))
    between = cuts + PHRASE_BARS * np.arange(1, n_points - 1)
    bars = [0, *between.tolist(), n_bars]
    emotions = draw_emotions(1, rng)
    while len(emotions) < n_points:
        (emotion,) = draw_emotions(1, rng)
        if _apart(emotion, emotions[-1]) >= LEAST_APART:
            emotions.append(emotion)
    return EmotionCurve(tuple(map(CurvePoint, bars, emotions)))


def _apart(one: Emotion, other: Emotion) -> float:
    return math.dist((one.valence, one.arousal), (other.valence, other.arousal))


def request_curve(curve: EmotionCurve, n_bars: int) -> Request:
    """Return the request for a piece that follows a curve."""
    return Request(curve.mean(n_bars), curve=curve, n_bars=n_bars)


def emotion_of(clip: Clip) -> Emotion:
    """Return the emotion a clip was asked for.

    Raises:
        ValueError: If it was asked for none.
    """
    if clip.request.emotion is None:
        raise ValueError("the clip was composed for no emotion")
    return clip.request.emotion


def tonic_of(clip: Clip) -> int:
    """Return the pitch class of the key a clip was composed in."""
    return parse_key(clip.key)[0]


def fresh_request(
    clip: Clip, emotion: Emotion, *, n_bars: int, tempo: float | None = None
) -> Request:
    """Return the request for an unrelated clip in the same key."""
    return Request(emotion, n_bars=n_bars, tonic=tonic_of(clip), tempo=tempo)


def draw_lengths(n: int, rng: np.random.Generator, *, n_bars: int) -> list[int]:
    """Draw lengths of pieces in whole phrases, from about so many bars to twice as many."""
    fewest = max(n_bars // PHRASE_BARS, 1)
    phrases: list[int] = rng.integers(fewest, 2 * fewest + 1, size=n).tolist()
    return [PHRASE_BARS * n_phrases for n_phrases in phrases]
