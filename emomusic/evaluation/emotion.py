"""Asked against heard: first draws of every quadrant before judges that selected nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.composer import Clip, Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.emotion import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.verify.checks import wilson
from emomusic.verify.fitting import notes_of_clips, weights_of
from emomusic.verify.judges import FeatureJudge, Judge, SequenceJudge
from emomusic.verify.labels import LabelledClip, read_labels

Progress = Callable[[int], None]
HALVES = {
    "quadrant": np.array([0, 1, 2, 3]),
    "arousal": np.array([1, 1, 0, 0]),
    "valence": np.array([1, 0, 0, 1]),
}


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

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {
            "judge": self.judge,
            "what": self.what,
            "n": int(self.confusion.sum()),
            "confusion": self.confusion.tolist(),
            **{axis: [round(x, 4) for x in self.share(axis)] for axis in HALVES},
        }


def fit_judges(clips: Sequence[LabelledClip]) -> dict[str, Judge]:
    """Fit two judges of different kinds on the judges' half of the labelled songs."""
    own = [clip for clip in clips if clip.part == "judge"]
    notes, quadrant = notes_of_clips(own), [clip.quadrant for clip in own]
    weight = weights_of(own)
    return {
        "features": FeatureJudge().fit(notes, quadrant, weight=weight),
        "sequence": SequenceJudge().fit(notes, quadrant, weight=weight),
    }


def hear(
    judges: Mapping[str, Judge], what: str, notes: Sequence[Notes], asked: Sequence[str]
) -> list[Hearing]:
    """Let each judge hear clips, and both together (their mean probability)."""
    heard = {name: judge.predict_proba(notes) for name, judge in judges.items()}
    if len(heard) > 1:
        heard["both"] = np.mean(list(heard.values()), axis=0)
    truth = np.array([QUADRANTS.index(quadrant) for quadrant in asked])
    found = []
    for name, probabilities in heard.items():
        confusion = np.zeros((4, 4), dtype=np.int64)
        np.add.at(confusion, (truth, probabilities.argmax(axis=1)), 1)
        found.append(Hearing(name, what, confusion))
    return found


def evaluate_emotion(
    composer: Composer,
    source_dir: Path,
    *,
    count: int = 25,
    seed: int = 0,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> tuple[list[Clip], list[Hearing]]:
    """Compose first draws and let the judges hear them, beside real clips they never heard.

    Args:
        composer: A checkpoint whose mapper was fitted on the mapper's half of the songs.
        source_dir: A folder with `emotion/labels.csv`.
        count: Clips of each quadrant.
        seed: Of the run.
        n_bars: Bars of each clip.
        progress: Called with the number of clips just finished.

    Returns:
        The clips, and what each judge heard in them and in the real clips.

    Raises:
        ValueError: If the labels cannot be read or the mapper saw the judges' songs.
    """
    if composer.mapper.about.get("songs") != "mapper part":
        raise ValueError("the mapper was fitted on the judges' songs: accuracy would mean nothing")
    labelled = read_labels(source_dir)
    clips = compose_quadrants(composer, count=count, seed=seed, n_bars=n_bars, progress=progress)
    judges = fit_judges(labelled)
    asked = [q for q in QUADRANTS for _ in range(count)]
    hearings = hear(judges, "composed", [notes_of(clip.score) for clip in clips], asked)
    real = [clip for clip in labelled if clip.part == "mapper" and clip.source == "emopia"]
    hearings += hear(judges, "real EMOPIA", notes_of_clips(real), [c.quadrant for c in real])
    return clips, hearings
