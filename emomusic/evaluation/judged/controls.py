"""What a number must be above: answering always the same, and learning from shuffled labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emomusic.evaluation.judged.hearing import (
    HALVES,
    Hearing,
    Matrix,
    classes_of,
    confusion_of,
)
from emomusic.evaluation.judges import FeatureJudge
from emomusic.music.notes import Notes
from emomusic.verify.features import feature_matrix
from emomusic.verify.labels import LabelledClip, clip_weights

N_SHUFFLES = 8
Heard = tuple[str, Sequence[Notes], Sequence[str]]
"""Which clips, their notes, and the quadrant of each."""


@dataclass(frozen=True)
class Shuffled:
    """Hold how often judges that learnt nothing hear what was asked.

    Attributes:
        what: Which clips.
        hearings: Of judges fitted on labels shuffled anew each.
    """

    what: str
    hearings: tuple[Hearing, ...]

    def share(self, axis: str) -> tuple[float, float, float]:
        """Return mean, least and greatest share heard right over the shuffles.

        Clips that sound alike are heard alike, so single shuffles scatter more widely than
        their Wilson intervals say; the mean is what counts.

        Args:
            axis: `quadrant`, `arousal` or `valence`.
        """
        shares = [hearing.share(axis)[0] for hearing in self.hearings]
        return float(np.mean(shares)), min(shares), max(shares)

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        shares = {axis: [round(x, 4) for x in self.share(axis)] for axis in HALVES}
        return {"what": self.what, "n_shuffles": len(self.hearings), **shares}


def majority(clips: Sequence[LabelledClip], what: str, asked: Sequence[str]) -> Hearing:
    """Hear in everything the commonest quadrant of the clips that judges learn from.

    Args:
        clips: What judges learn from.
        what: Which clips are heard.
        asked: Quadrant of each of those.
    """
    commonest = Counter(clip.quadrant for clip in clips).most_common(1)[0][0]
    return Hearing(
        "majority", what, confusion_of(classes_of(asked), classes_of(len(asked) * [commonest]))
    )


def shuffled_controls(
    clips: Sequence[LabelledClip],
    notes: Sequence[Notes],
    heard: Sequence[Heard],
    *,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> list[Shuffled]:
    """Fit feature judges on shuffled labels and let them hear clips.

    Args:
        clips: What judges learn from.
        notes: Of each.
        heard: The clips to be heard.
        n_shuffles: Judges.
        seed: Of the shuffles.

    Raises:
        ValueError: If n_shuffles is below 1.
    """
    if n_shuffles < 1:
        raise ValueError(f"n_shuffles must be at least 1, got {n_shuffles}")
    X = feature_matrix(notes)
    measured = [feature_matrix(own) for _, own, _ in heard]
    rng = np.random.default_rng(seed)
    judges = [_unlearned(clips, X, rng) for _ in range(n_shuffles)]
    found = []
    for (what, _, asked), columns in zip(heard, measured, strict=True):
        truth = classes_of(asked)
        answers = [judge.judge_features(columns).argmax(axis=1) for judge in judges]
        hearings = [Hearing("shuffled labels", what, confusion_of(truth, a)) for a in answers]
        found.append(Shuffled(what, tuple(hearings)))
    return found


def _unlearned(clips: Sequence[LabelledClip], X: Matrix, rng: np.random.Generator) -> FeatureJudge:
    order = rng.permutation(len(clips))
    wrong = [
        replace(clip, quadrant=clips[i].quadrant) for clip, i in zip(clips, order, strict=True)
    ]
    truth = classes_of([clip.quadrant for clip in wrong])
    return FeatureJudge().fit_features(X, truth, clip_weights(wrong))
