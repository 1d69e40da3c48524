"""Clips of four kinds and a verifier fitted on them, made in code."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes, make_notes
from emomusic.verify.ensemble import FeatureBatch, featurize
from emomusic.verify.labels import FittingLabels, LabelledClip
from emomusic.verify.verifier import Verifier

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
SIGN = {"Q1": (1, 1), "Q2": (-1, 1), "Q3": (-1, -1), "Q4": (1, -1)}
N_SONGS = 10


def clip(quadrant: str, seed: int) -> Notes:
    """Return a random walk over tonic triads: fast where aroused, major where pleasant."""
    rng = np.random.default_rng(seed)
    scale = np.array(MAJOR if quadrant in ("Q1", "Q4") else MINOR)
    gap = 0.25 if quadrant in ("Q1", "Q2") else 1.0
    tonic = 60 + rng.integers(-3, 4)
    steps = np.clip(np.cumsum(rng.integers(-2, 3, 40)), -7, 14)
    melody = tonic + 12 * (steps // 7) + scale[steps % 7]
    triads = tonic - 12 + scale[np.tile([0, 2, 4], 10)]
    onset = np.concatenate([gap * np.arange(40), np.repeat(4 * gap * np.arange(10), 3)])
    n = len(onset)
    velocity = rng.integers(70, 100, n) if gap < 1.0 else rng.integers(30, 60, n)
    held = rng.uniform(0.3, 1.2) * rng.uniform(0.8, 1.2, n)
    return make_notes(
        onset,
        held * np.concatenate([np.full(40, gap), np.full(30, 4 * gap)]),
        np.concatenate([melody, triads]),
        velocity,
        tempo=60.0,  # a beat is a second
    )


LABELS = [quadrant for quadrant in QUADRANTS for _ in range(N_SONGS)]
CLIPS = [clip(quadrant, seed) for seed, quadrant in enumerate(LABELS)]


def labelled(quadrant: str, song: str, *, rated: bool = False, source: str = "made") -> Any:
    """Return a label of a clip whose file is not there; rated ones at 0.4 from the middle."""
    valence, arousal = (0.4 * sign if rated else None for sign in SIGN[quadrant])
    return LabelledClip(Path(f"{song}.mid"), source, song, quadrant, valence, arousal, "judge")


CLIPS_LABELLED = [labelled(quadrant, str(k), rated=True) for k, quadrant in enumerate(LABELS)]


@cache
def measured() -> FeatureBatch:
    """Return the clips, measured."""
    return featurize(CLIPS)


def fitted(seed: int = 0, **parameters: Any) -> Verifier:
    """Return a verifier fitted on the clips, four folds."""
    verifier = Verifier(n_folds=4, seed=seed, **parameters)
    return verifier.fit(measured(), FittingLabels.of(CLIPS_LABELLED))
