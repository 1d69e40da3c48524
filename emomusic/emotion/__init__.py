"""Valence–arousal space: points, quadrants, named emotions, mixtures and curves over bars."""

from emomusic.emotion.curve import CurvePoint, EmotionCurve, mix, parse_curve, parse_mix
from emomusic.emotion.space import (
    QUADRANT_CENTRES,
    QUADRANTS,
    Emotion,
    UnknownEmotionError,
    emotion_families,
    emotion_names,
    find_emotion,
    nearest_names,
    quadrant_of,
)

__all__ = [
    "QUADRANTS",
    "QUADRANT_CENTRES",
    "CurvePoint",
    "Emotion",
    "EmotionCurve",
    "UnknownEmotionError",
    "emotion_families",
    "emotion_names",
    "find_emotion",
    "mix",
    "nearest_names",
    "parse_curve",
    "parse_mix",
    "quadrant_of",
]
