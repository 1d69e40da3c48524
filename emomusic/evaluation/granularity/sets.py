"""A set of clips for each emotion, and the points at which judges hear them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.asking.request import Request
from emomusic.compose.composer import Composer
from emomusic.emotion import Emotion, emotion_families, find_emotion
from emomusic.evaluation.judged.grid import AXES, judged_plane
from emomusic.evaluation.judged.hearing import NO_VELOCITY
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.verify.judges import Judge

Matrix = NDArray[np.float64]
FAMILIES = ("typology-positive", "typology-negative")
SUREST = 0.01
"""Judged probabilities count as at least this and at most one less this: a judge that is sure of
one clip does not outweigh all others."""


@dataclass(frozen=True)
class Sets:
    """Hold where judges hear the clips of each emotion.

    Attributes:
        emotions: What was asked for.
        judges: Names of the judges.
        heard: Log odds of positive valence and of positive arousal, shape
            (n_emotions, n_clips, n_judges, 2).
    """

    emotions: tuple[Emotion, ...]
    judges: tuple[str, ...]
    heard: Matrix

    def __post_init__(self) -> None:
        """Check the shape.

        Raises:
            ValueError: If it does not fit emotions and judges, or an emotion has fewer than
                three clips: no direction can be learnt from less.
        """
        n, k = len(self.emotions), len(self.judges)
        shape = self.heard.shape
        if len(shape) != 4 or (shape[0], *shape[2:]) != (n, k, 2):
            raise ValueError(f"heard must have shape ({n}, n_clips, {k}, 2), got {shape}")
        if shape[1] < 3:
            raise ValueError(f"an emotion needs at least 3 clips, got {shape[1]}")

    @property
    def names(self) -> tuple[str, ...]:
        """Return the emotions' names; a point without one is told by its coordinates."""
        return tuple(
            emotion.name or f"({emotion.valence:g}, {emotion.arousal:g})"
            for emotion in self.emotions
        )

    @property
    def asked(self) -> Matrix:
        """Return valence and arousal asked for, each in [-1, 1], shape (n_emotions, 2)."""
        return np.array([(emotion.valence, emotion.arousal) for emotion in self.emotions])

    @property
    def plane(self) -> Matrix:
        """Return valence and arousal heard in each clip, shape (n_emotions, n_clips, 2).

        The judges' mean log odds, drawn back into [-1, 1]: twice the probability less 1.
        """
        plane: Matrix = np.tanh(self.heard.mean(axis=2) / 2.0)
        return plane

    def view(self, name: str = "both") -> Matrix:
        """Return each clip's coordinates, shape (n_emotions, n_clips, n_coordinates).

        Args:
            name: `both` for all, `valence` or `arousal` for those of one axis, or a judge's.
        """
        heard = self.heard
        if name in AXES:
            heard = heard[..., [AXES.index(name)]]
        elif name != "both":
            heard = heard[:, :, [self.judges.index(name)]]
        return heard.reshape(*heard.shape[:2], -1)


def typology() -> tuple[Emotion, ...]:
    """Return the 63 emotions of the typology, alphabetically.

    Reference:
        Fokkinga and Desmet (2022), Emotion Typology: 25 positive emotions, and our selection of
        38 negative ones; with the coordinates of `emomusic.emotion`.
    """
    families = emotion_families()
    names = {name for family in FAMILIES for name in families[family]}
    return tuple(find_emotion(name) for name in sorted(names))


def compose_sets(
    composer: Composer,
    emotions: Sequence[Emotion],
    *,
    count: int,
    seed: int,
    n_bars: int = 16,
    progress: Callable[[int], None] = lambda n_done: None,
) -> list[Notes]:
    """Compose `count` first draws of each emotion, one emotion after the other.

    All are clips of one run: none is shared by two emotions.

    Args:
        composer: A checkpoint.
        emotions: What to ask for.
        count: Clips of each.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with 1 for each clip that is done.
    """
    requests = [Request(emotion, n_bars=n_bars) for emotion in emotions for _ in range(count)]
    clips = composer.compose_each(requests, seed=seed, progress=progress)
    return [notes_of(clip.score) for clip in clips]


def hear_sets(
    judges: Mapping[str, Judge], emotions: Sequence[Emotion], notes: Sequence[Notes]
) -> Sets:
    """Let judges hear as many clips of each emotion, one emotion after the other.

    Args:
        judges: By name; the one that hears no velocity, being of a kind with another, is left
            out.
        emotions: What was asked for.
        notes: Of each clip.

    Raises:
        ValueError: If there is no other judge, or emotions have unequal numbers of clips.
    """
    own = {name: judge for name, judge in judges.items() if name != NO_VELOCITY}
    if not own:
        raise ValueError("no judge to hear the sets")
    if not emotions or len(notes) % len(emotions):
        raise ValueError(f"{len(notes)} clips are no equal sets of {len(emotions)} emotions")
    points = [points_heard(judge.predict_proba(notes)) for judge in own.values()]
    heard = np.stack(points, axis=1).reshape(len(emotions), -1, len(own), 2)
    return Sets(tuple(emotions), tuple(own), heard)


def points_heard(probabilities: Matrix) -> Matrix:
    """Return the log odds of positive valence and of positive arousal, shape (n, 2).

    Args:
        probabilities: Of Q1 to Q4, shape (n, 4).
    """
    positive = np.clip(judged_plane(probabilities), SUREST, 1.0 - SUREST)
    odds: Matrix = np.log(positive / (1.0 - positive))
    return odds
