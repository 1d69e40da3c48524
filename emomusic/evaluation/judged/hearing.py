"""Asked against heard: judges that selected nothing, and how often they hear what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.intervals import wilson
from emomusic.evaluation.judges import FeatureJudge, Judge, SequenceJudge
from emomusic.evaluation.trust.unseen.changes import flattened
from emomusic.mapping.mapper import Mapper
from emomusic.music.notes import Notes
from emomusic.verify.labels import LabelledClip, clip_weights, read_labels, read_notes

Matrix = NDArray[np.float64]
Classes = NDArray[np.int64]
NO_VELOCITY, BOTH = "no velocity", "both"
HALVES = {
    "quadrant": np.array([0, 1, 2, 3]),
    "arousal": np.array([1, 1, 0, 0]),
    "valence": np.array([1, 0, 0, 1]),
}
"""Which quadrants count as the same."""


@dataclass(frozen=True)
class Hearing:
    """Hold what one judge heard in clips whose quadrant was asked for or is known.

    Attributes:
        judge: Its name.
        what: Which clips.
        confusion: Clips by asked (rows) and heard (columns) quadrant, int64, shape (4, 4).
    """

    judge: str
    what: str
    confusion: NDArray[np.int64]

    def share(self, axis: str) -> tuple[float, float, float]:
        """Return the share heard right, with its 95 % Wilson interval.

        Args:
            axis: `quadrant`, `arousal` or `valence`: what must agree.
        """
        groups = HALVES[axis]
        right = int(self.confusion[groups[:, None] == groups[None, :]].sum())
        n = int(self.confusion.sum())
        low, high = wilson(right / n, n)
        return right / n, low, high

    @property
    def macro_f1(self) -> float:
        """Return the mean F1 of the quadrants, those that occur only, in [0, 1]."""
        asked, heard = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        f1 = 2.0 * self.confusion.diagonal() / np.maximum(asked + heard, 1)
        return float(f1[asked > 0].mean())

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {
            "judge": self.judge,
            "what": self.what,
            "n": int(self.confusion.sum()),
            "confusion": self.confusion.tolist(),
            **{axis: [round(x, 4) for x in self.share(axis)] for axis in HALVES},
            "macro_f1": round(self.macro_f1, 4),
        }


class NoVelocity:
    """Judge by features of notes that are all equally loud, in fitting and in hearing."""

    def __init__(self, *, seed: int = 0) -> None:
        """Set the seed of the judge that is made deaf to velocity."""
        self.judge = FeatureJudge(seed=seed)

    def fit(
        self, clips: Sequence[Notes], quadrant: Sequence[str], *, weight: Matrix | None = None
    ) -> Self:
        """Learn from labelled clips, as `FeatureJudge` does."""
        self.judge.fit([flattened(notes) for notes in clips], quadrant, weight=weight)
        return self

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip, shape (n, 4)."""
        return self.judge.predict_proba([flattened(notes) for notes in clips])


@dataclass(frozen=True)
class Panel:
    """Hold judges, and the labelled clips from which they and others learnt.

    Attributes:
        judges: By name: `features`, `sequence`, `no velocity`.
        clips: All labelled clips.
        notes: Those of the judges' half of the songs, in the order of `own`.
    """

    judges: Mapping[str, Judge]
    clips: Sequence[LabelledClip]
    notes: Sequence[Notes]

    @property
    def own(self) -> list[LabelledClip]:
        """Return the clips that the judges learnt from."""
        return [clip for clip in self.clips if clip.part == "judge"]

    @property
    def real(self) -> list[LabelledClip]:
        """Return clips of EMOPIA that they did not learn from."""
        return [clip for clip in self.clips if clip.part == "mapper" and clip.source == "emopia"]


def make_panel(mapper: Mapper, source_dir: Path) -> Panel:
    """Fit judges on the half of the labelled songs that neither mapper nor model saw.

    Args:
        mapper: Of the checkpoint that is to be judged.
        source_dir: A folder with `emotion/labels.csv`.

    Raises:
        ValueError: If the labels cannot be read or the mapper saw the judges' songs.
    """
    if mapper.about.get("songs") != "mapper part":
        raise ValueError("the mapper was fitted on the judges' songs: accuracy would mean nothing")
    clips = read_labels(source_dir)
    own = [clip for clip in clips if clip.part == "judge"]
    notes = read_notes(own)
    return Panel(fit_judges(own, notes), clips, notes)


def fit_judges(clips: Sequence[LabelledClip], notes: Sequence[Notes]) -> dict[str, Judge]:
    """Fit two judges of different kinds, and a third that hears no velocity.

    Args:
        clips: Labelled clips, of songs that neither mapper nor model saw.
        notes: Of each clip.

    Raises:
        ValueError: If a quadrant is missing.
    """
    judges: dict[str, Judge] = {
        "features": FeatureJudge(),
        "sequence": SequenceJudge(),
        NO_VELOCITY: NoVelocity(),
    }
    quadrant, weight = [clip.quadrant for clip in clips], clip_weights(clips)
    return {name: judge.fit(notes, quadrant, weight=weight) for name, judge in judges.items()}


def listen(judges: Mapping[str, Judge], notes: Sequence[Notes]) -> dict[str, Matrix]:
    """Return what each judge hears in clips, and `both`, probabilities of shape (n, 4).

    `both` is the mean of all judges but the one without velocity, where there are several.
    """
    heard = {name: judge.predict_proba(notes) for name, judge in judges.items()}
    counted = [probabilities for name, probabilities in heard.items() if name != NO_VELOCITY]
    if len(counted) > 1:
        mean: Matrix = np.mean(counted, axis=0)
        heard[BOTH] = mean
    return heard


def hear(
    judges: Mapping[str, Judge], what: str, notes: Sequence[Notes], asked: Sequence[str]
) -> list[Hearing]:
    """Let each judge hear clips, and both together (their mean probability).

    Args:
        judges: By name.
        what: Which clips.
        notes: Of each clip.
        asked: Quadrant of each clip.
    """
    truth = classes_of(asked)
    return [
        Hearing(name, what, confusion_of(truth, probabilities.argmax(axis=1)))
        for name, probabilities in listen(judges, notes).items()
    ]


def classes_of(quadrants: Sequence[str]) -> Classes:
    """Return quadrants as 0 to 3, shape (n,)."""
    return np.array([QUADRANTS.index(quadrant) for quadrant in quadrants], dtype=np.int64)


def confusion_of(truth: Classes, heard: Classes) -> NDArray[np.int64]:
    """Count clips by asked (rows) and heard (columns) quadrant, shape (4, 4)."""
    confusion = np.zeros((4, 4), dtype=np.int64)
    np.add.at(confusion, (truth, heard), 1)
    return confusion


def best_of(
    selector: Matrix, scorer: Matrix, asked: Sequence[str], *, judge: str, what: str
) -> Hearing:
    """Let one judge choose among candidates and another hear what was chosen.

    Args:
        selector: Probabilities by the judge that chooses, shape (n_clips, n_candidates, 4); the
            candidate likeliest to be what was asked is taken, the first of equal ones.
        scorer: Probabilities by the judge that hears, of the same shape.
        asked: Quadrant of each clip.
        judge: Name of the judge that hears.
        what: Which clips.

    Raises:
        ValueError: If the shapes differ.
    """
    truth = classes_of(asked)
    if selector.shape != scorer.shape or selector.shape[:1] + selector.shape[2:] != (len(truth), 4):
        raise ValueError(
            f"selector and scorer must have shape ({len(truth)}, n_candidates, 4), "
            f"got {selector.shape} and {scorer.shape}"
        )
    rows = np.arange(len(truth))
    chosen = selector[rows, :, truth].argmax(axis=1)
    return Hearing(judge, what, confusion_of(truth, scorer[rows, chosen].argmax(axis=1)))
