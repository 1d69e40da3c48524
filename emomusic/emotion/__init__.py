"""Valence–arousal space: points, quadrants and named emotions."""

from emomusic.emotion.names import (
    UnknownEmotionError,
    emotion_families,
    emotion_names,
    find_emotion,
    nearest_names,
)
from emomusic.emotion.space import QUADRANT_CENTRES, QUADRANTS, Emotion, quadrant_of

__all__ = [
    "QUADRANTS",
    "QUADRANT_CENTRES",
    "Emotion",
    "UnknownEmotionError",
    "emotion_families",
    "emotion_names",
    "find_emotion",
    "nearest_names",
    "quadrant_of",
]
