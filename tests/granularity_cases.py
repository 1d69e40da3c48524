"""Sets of clips as judges would hear them, made in code, for the tests of granularity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.emotion import Emotion
from emomusic.evaluation.granularity.run import Granularity, granularity_of
from emomusic.evaluation.granularity.sets import Sets

FIVE = (
    Emotion(0.7, 0.7, "joy"),
    Emotion(0.68, 0.7, "glee"),
    Emotion(-0.7, 0.7, "anger"),
    Emotion(-0.7, -0.7, "grief"),
    Emotion(0.7, -0.7, "calm"),
)
"""Joy and glee are asked for at one place, the others far from each other."""


def made_sets(
    emotions: Sequence[Emotion] = FIVE, *, n_clips: int = 12, gain: float = 4.0, seed: int = 0
) -> Sets:
    """Return what two judges hear: what is asked, `gain` times, and noise of their own."""
    rng = np.random.default_rng(seed)
    asked = np.array([(emotion.valence, emotion.arousal) for emotion in emotions])
    noise = rng.standard_normal((len(emotions), n_clips, 2, 2))
    return Sets(tuple(emotions), ("ear", "eye"), gain * asked[:, None, None] + noise)


def made_granularity(*, gain: float = 4.0) -> Granularity:
    """Return how finely five emotions are told apart."""
    again = made_sets(FIVE[1:4], gain=gain, seed=2)
    return granularity_of(made_sets(gain=gain, seed=1), again, n_permutations=199)
