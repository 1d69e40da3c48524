"""Whether explanations hold: undo the cause that they name, in other ways than theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.explaining.edits import OTHER_EDITS
from emomusic.evaluation.intervals import wilson
from emomusic.music.notes import Notes
from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.counterfactuals import Reference, default_reference
from emomusic.verify.explain import (
    AGAINST,
    FOR,
    Effect,
    Explanation,
    explain,
    verdict_odds,
)
from emomusic.verify.labels import LabelledClip, read_notes
from emomusic.verify.verifier import Verifier, fit_verifier

NAMED = (FOR, AGAINST)


@dataclass(frozen=True)
class Trial:
    """Hold what one edit did to one cause of one clip.

    Attributes:
        clip: Which clip.
        cause: As in `CAUSES`.
        role: What the explanation says of it.
        rank: Its place among the causes of its role, from 0.
        edit: As in `OTHER_EDITS`.
        moved: Log odds by which the axis named moved to the side said; of a cause without axis,
            by which the axis that moved more did so away from the verdict.
        quadrant: Log odds that the quadrant heard lost, for a cause for it; gained, for a cause
            against it; lost, for one that does not matter.
        flipped: Whether another quadrant is heard.
    """

    clip: int
    cause: str
    role: str
    rank: int
    edit: str
    moved: float
    quadrant: float
    flipped: bool


@dataclass(frozen=True)
class Share:
    """Hold how often the verdict moved as said.

    Attributes:
        what: Which trials.
        n: How many clips.
        axis: Share whose axis moved as said, with its 95 % Wilson interval.
        quadrant: Share whose quadrant's probability moved as said, likewise.
        median: Log odds by which the axis moved as said, median.
        flipped: Share heard as another quadrant.
    """

    what: str
    n: int
    axis: tuple[float, float, float]
    quadrant: tuple[float, float, float]
    median: float
    flipped: float


@dataclass(frozen=True)
class Explained:
    """Hold the check of many explanations.

    Attributes:
        n_clips: How many clips were explained.
        n_named: How many of them have a cause for the verdict.
        trials: Each cause of each clip, undone in each other way.
        seed: Draws the one way of each clip that `shares` counts.
    """

    n_clips: int
    n_named: int
    trials: tuple[Trial, ...]
    seed: int = 0

    @property
    def shares(self) -> list[Share]:
        """Return the shares of clips; each clip counts once, undone in one way drawn by chance.

        The first cause for the verdict, the second, any, and those against it; then, as controls,
        causes that explanations say do not matter, and those that are as usual.
        """
        kinds: dict[str, Callable[[Trial], bool]] = {
            "first cause": lambda t: t.role == FOR and t.rank == 0,
            "second cause": lambda t: t.role == FOR and t.rank == 1,
            "third cause or later": lambda t: t.role == FOR and t.rank > 1,
            "any cause against": lambda t: t.role == AGAINST,
            "control: no cause": lambda t: t.role not in NAMED,
        }
        shares = [share_of(what, self._one_a_clip(chosen)) for what, chosen in kinds.items()]
        return [share for share in shares if share is not None]

    @property
    def each(self) -> list[Share]:
        """Return the shares of each way of undoing each cause, where it is for the verdict."""
        shares = [
            share_of(f"{cause}: {edit}", self._chosen(FOR, cause, edit))
            for cause, edits in OTHER_EDITS.items()
            for edit in edits
        ]
        return [share for share in shares if share is not None]

    def _chosen(self, role: str, cause: str, edit: str) -> list[Trial]:
        return [t for t in self.trials if (t.role, t.cause, t.edit) == (role, cause, edit)]

    def _one_a_clip(self, chosen: Callable[[Trial], bool]) -> list[Trial]:
        own: dict[int, list[Trial]] = {}
        for trial in filter(chosen, self.trials):
            own.setdefault(trial.clip, []).append(trial)
        rng = np.random.default_rng(self.seed)
        return [trials[int(rng.integers(len(trials)))] for trials in own.values()]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the trials as plain rounded values."""
        return {
            "n_clips": self.n_clips,
            "n_named": self.n_named,
            "shares": [_plain(share) for share in self.shares],
            "each": [_plain(share) for share in self.each],
        }


def share_of(what: str, trials: Sequence[Trial]) -> Share | None:
    """Count how many trials moved as said; None of none."""
    if not trials:
        return None
    moved = np.array([trial.moved for trial in trials])
    return Share(
        what,
        len(trials),
        _interval(moved > 0),
        _interval(np.array([trial.quadrant for trial in trials]) > 0),
        float(np.median(moved)),
        float(np.mean([trial.flipped for trial in trials])),
    )


def check_explanations(
    verifier: Verifier,
    clips: Iterable[Notes],
    *,
    usual: Reference | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Explained:
    """Explain clips, and undo every cause by edits that explanations do not use.

    Args:
        verifier: What hears; it should not have learnt from the clips.
        clips: Any number.
        usual: What is usual, as `explain` takes it.
        seed: Draws the one way of each clip that counts.
        progress: Called with 1 for each clip that is done.
    """
    usual = default_reference() if usual is None else usual
    trials: list[Trial] = []
    n_clips = n_named = 0
    for notes in clips:
        explanation = explain(notes, verifier, reference=usual)
        trials += _trials(n_clips, notes, explanation, verifier)
        n_clips, n_named = n_clips + 1, n_named + bool(explanation.reasons)
        progress(1)
    return Explained(n_clips, n_named, tuple(trials), seed)


def check_on_other_songs(
    clips: Sequence[LabelledClip],
    *,
    every: int = 1,
    seed: int = 0,
    progress: Callable[[int], None] = lambda n_done: None,
) -> Explained:
    """Fit a verifier on each half of the labelled songs, explain clips of the other half.

    What is usual is measured on the half that is fitted on, too.

    Args:
        clips: Labelled clips of both halves.
        every: Explain every how many-th clip, at least 1.
        seed: As in `check_explanations`.
        progress: Called with 1 for each clip that is done.

    Raises:
        ScoreError: If a file cannot be read.
        ValueError: If a half lacks a quadrant.
    """
    found = []
    for part in ("mapper", "judge"):
        own = [clip for clip in clips if clip.part == part]
        notes = read_notes(own)
        verifier = fit_verifier(own, notes=notes)
        others = read_notes([clip for clip in clips if clip.part != part][::every])
        usual = Reference.measure(notes)
        found.append(check_explanations(verifier, others, usual=usual, progress=progress))
    first, second = found
    later = [
        Trial(**{**vars(trial), "clip": trial.clip + first.n_clips}) for trial in second.trials
    ]
    return Explained(
        first.n_clips + second.n_clips,
        first.n_named + second.n_named,
        (*first.trials, *later),
        seed,
    )


def _trials(clip: int, notes: Notes, explanation: Explanation, verifier: Verifier) -> list[Trial]:
    tried = [
        (effect, name, edit(notes, _side(effect)))
        for effect in explanation.effects
        for name, edit in OTHER_EDITS[effect.cause].items()
    ]
    verdicts = verifier.verdicts([notes, *(edited for _, _, edited in tried)])
    odds = verdict_odds(verdicts, explanation.quadrant)
    lost = (odds[0] - odds[1:]) * np.append(SIGNS[QUADRANTS.index(explanation.quadrant)], 1.0)
    ranks = _ranks(explanation.effects)
    return [
        Trial(
            clip,
            effect.cause,
            effect.role,
            ranks[effect.cause],
            name,
            *_moved(effect, row),
            flipped=verdict.quadrant != explanation.quadrant,
        )
        for (effect, name, _), row, verdict in zip(tried, lost, verdicts[1:], strict=True)
    ]


def _side(effect: Effect) -> int:
    """Return 1 for a clip that has much of a cause, else -1."""
    return 1 if effect.value >= effect.usual else -1


def _ranks(effects: Sequence[Effect]) -> dict[str, int]:
    seen: dict[str, int] = {}
    ranks = {}
    for effect in effects:
        ranks[effect.cause] = seen.get(effect.role, 0)
        seen[effect.role] = ranks[effect.cause] + 1
    return ranks


def _moved(effect: Effect, lost: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[float, float]:
    """Return by how much the axis and the quadrant moved as said."""
    sign = -1.0 if effect.role == AGAINST else 1.0
    axis = int(np.argmax(np.abs(lost[:2]))) if effect.axis is None else AXES.index(effect.axis)
    return sign * float(lost[axis]), sign * float(lost[2])


def _interval(hits: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[float, float, float]:
    share = float(hits.mean())
    return share, *wilson(share, len(hits))


def _plain(share: Share) -> dict[str, Any]:
    return {
        name: [round(x, 4) for x in value]
        if isinstance(value, tuple)
        else round(value, 4)
        if isinstance(value, float)
        else value
        for name, value in vars(share).items()
    }
