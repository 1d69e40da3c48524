"""Courses asked for and heard: composed along curves, without one, and real music glued."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emomusic.emotion import Emotion, EmotionCurve, quadrant_of
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.moving.hearing import (
    FEWEST_NOTES,
    WINDOW_BARS,
    Matrix,
    hear_windows,
    windows_of,
)
from emomusic.music.notes import Notes

WINDOW_S = 8.0
"""Windows of real music, whose bars are not known: about four bars."""


@dataclass(frozen=True)
class Course:
    """Hold what was asked for and what is heard in each window of a piece.

    Attributes:
        group: Number of the curve it belongs to.
        asked: Valence and arousal, mean over the window, shape (n_windows, 2).
        heard: Log odds of positive valence and arousal, NaN where not heard, the same shape.
        step: So many windows on, the next one begins that shares no bar.
    """

    group: int
    asked: Matrix
    heard: Matrix
    step: int = WINDOW_BARS

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            ValueError: If they differ or are none of windows.
        """
        if self.asked.shape != self.heard.shape or self.asked.shape[1:] != (2,):
            raise ValueError(
                f"asked and heard must have shape (n_windows, 2), got {self.asked.shape} "
                f"and {self.heard.shape}"
            )

    @cached_property
    def apart(self) -> tuple[Matrix, Matrix]:
        """Return asked and heard in windows that share no bar, those heard only."""
        asked, heard = self.asked[:: self.step], self.heard[:: self.step]
        known = ~np.isnan(heard).any(axis=1)
        return asked[known], heard[known]


def asked_course(emotions: Sequence[Emotion]) -> Matrix:
    """Return the mean valence and arousal of each four bars in a row, shape (n_windows, 2).

    Args:
        emotions: Of each bar.
    """
    bars = np.array([(emotion.valence, emotion.arousal) for emotion in emotions])
    starts = range(max(len(bars) - WINDOW_BARS, 0) + 1)
    return np.array([bars[start : start + WINDOW_BARS].mean(axis=0) for start in starts])


def hear_courses(
    judges: Mapping[str, Judge],
    notes: Sequence[Notes],
    emotions: Sequence[Sequence[Emotion]],
    groups: Sequence[int],
) -> tuple[Course, ...]:
    """Let judges hear windows of composed pieces.

    Args:
        judges: By name.
        notes: Of each piece.
        emotions: Of each bar of each piece.
        groups: Number of each piece's curve.
    """
    windows = [windows_of(own, len(bars)) for own, bars in zip(notes, emotions, strict=True)]
    heard = hear_windows(judges, windows)
    return tuple(
        Course(group, asked_course(bars), points)
        for group, bars, points in zip(groups, emotions, heard, strict=True)
    )


def hear_glued(
    judges: Mapping[str, Judge],
    curves: Sequence[tuple[EmotionCurve, int]],
    real: Mapping[str, Sequence[Notes]],
    *,
    seed: int = 0,
) -> tuple[Course, ...]:
    """Let judges hear real music of the quadrants that curves pass through, at the same places.

    In each window a real clip of the quadrant asked for there goes on, the same clip throughout
    a curve. Real music knows only the quadrant: what a curve asks for inside it is lost.

    Args:
        judges: By name.
        curves: Each with the bars of its piece.
        real: Notes of clips by quadrant, that the judges did not learn from.
        seed: Chooses the clips.

    Returns:
        Nothing where a quadrant has no clip long enough.
    """
    slices = {name: [own for own in map(_slices, clips) if own] for name, clips in real.items()}
    if not all(slices.get(name) for name in ("Q1", "Q2", "Q3", "Q4")):
        return ()
    rng = np.random.default_rng(seed)
    asked = [asked_course(curve.over(n_bars))[::WINDOW_BARS] for curve, n_bars in curves]
    glued = [_glue(points, slices, rng) for points in asked]
    heard = hear_windows(judges, glued)
    pairs = enumerate(zip(asked, heard, strict=True))
    return tuple(Course(group, *points, step=1) for group, points in pairs)


def _slices(notes: Notes) -> list[Notes]:
    """Cut a clip into windows of eight seconds, those with notes enough."""
    place = ((notes.onset_s - notes.onset_s[0]) / WINDOW_S).astype(np.int64)
    cut = [notes.where(place == at) for at in range(int(place.max()) + 1)]
    return [window for window in cut if len(window) >= FEWEST_NOTES]


def _glue(
    asked: Matrix, slices: Mapping[str, Sequence[Sequence[Notes]]], rng: np.random.Generator
) -> list[Notes]:
    clips = {name: own[int(rng.integers(len(own)))] for name, own in slices.items()}
    at = dict.fromkeys(clips, 0)
    glued = []
    for valence, arousal in asked.tolist():
        name = quadrant_of(valence, arousal)
        glued.append(clips[name][at[name] % len(clips[name])])
        at[name] += 1
    return glued
