"""Free clips composed under a push, and clips asked for by controls, before the judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.asking.request import Request
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.drafting.guide import MAX_BAR_IDS
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.inside.states import pushed
from emomusic.evaluation.intervals import wilson
from emomusic.evaluation.judged.hearing import HALVES, listen
from emomusic.evaluation.loss import Losses, held_back_losses
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows
from emomusic.verify.judges import Judge

Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]
Progress = Callable[[int], None]
LEAST = 1e-3
"""A judge's probability of a side counts as no less: log odds of 7 are certainty."""
N_DRAWS = 2000
IDS_PER_NOTE = 4


@dataclass(frozen=True)
class Setting:
    """Hold what every trial shares.

    Attributes:
        count: Clips.
        seed: Of the clips.
        n_bars: Of each.
        max_ids: About how many ids of songs held back are foretold.
    """

    count: int
    seed: int
    n_bars: int
    max_ids: int


class Writer:
    """Compose without controls with an engine whose states may be pushed."""

    def __init__(self, composer: Composer, engine: TorchEngine, rows: Rows) -> None:
        """Take a composer that writes with the engine.

        Args:
            composer: Of the checkpoint.
            engine: Its engine, on the CPU, where steps are plain.
            rows: Packed rows, whose songs held back are foretold.
        """
        self.composer, self.engine, self.rows = composer, engine, rows
        self._usual: dict[int, Losses] = {}

    def free(self, setting: Setting, *, progress: Progress) -> list[Clip]:
        """Compose clips of which nothing is asked, and that no feedback steers."""
        request = Request(None, n_bars=setting.n_bars, steering=False)
        clips = self.composer.compose(
            request, seed=setting.seed, count=setting.count, progress=progress
        )
        return list(clips)

    def pushed(
        self, setting: Setting, vector: Matrix, *, depth: int, progress: Progress
    ) -> list[Clip]:
        """Compose the same under a push."""
        with pushed(self.engine.model, depth=depth, push=vector):
            return self.free(setting, progress=progress)

    def loss_ratio(self, vector: Matrix, *, depth: int, max_ids: int) -> Triple:
        """Return the loss on songs held back under a push over that without, and its interval."""
        if max_ids not in self._usual:
            self._usual[max_ids] = held_back_losses(self.engine, self.rows, max_ids=max_ids)
        with pushed(self.engine.model, depth=depth, push=vector):
            losses = held_back_losses(self.engine, self.rows, max_ids=max_ids)
        return losses.ratio_to(self._usual[max_ids], n_draws=N_DRAWS)


@dataclass(frozen=True)
class Heard:
    """Hold what judges hear in clips and what is measured in them.

    Attributes:
        odds: Log odds of valence and arousal by each judge, shape (n, 2).
        values: Attributes, shape (n, n_attributes).
        whole: Which clips are whole: each bar has a note, and none was ended by its limit.
    """

    odds: Mapping[str, Matrix]
    values: Matrix
    whole: NDArray[np.bool_]


def hear_clips(clips: Sequence[Clip], judges: Mapping[str, Judge]) -> Heard:
    """Let judges hear clips, each alone and all that hear velocity together."""
    heard = listen(judges, [notes_of(clip.score) for clip in clips])
    values = np.array([[clip.achieved[name] for name in ATTRIBUTE_NAMES] for clip in clips])
    return Heard(
        {name: log_odds_of(probabilities) for name, probabilities in heard.items()},
        values,
        np.array([is_whole(clip) for clip in clips]),
    )


def hear_by_verifier(clips: Sequence[Clip]) -> Matrix:
    """Return the verifier's log odds of valence and arousal, shape (n, 2)."""
    cards = [[clip.verdict.probabilities[q] for q in QUADRANTS] for clip in clips]
    return log_odds_of(np.array(cards))


def log_odds_of(probabilities: Matrix) -> Matrix:
    """Return the log odds of positive valence and of high arousal, each at most 7, (n, 2).

    Args:
        probabilities: Of Q1 to Q4, shape (n, 4).
    """
    upper = np.column_stack([probabilities @ HALVES[axis] for axis in ("valence", "arousal")])
    share = np.clip(upper / probabilities.sum(axis=1, keepdims=True), LEAST, 1.0 - LEAST)
    found: Matrix = np.log(share) - np.log1p(-share)
    return found


def is_whole(clip: Clip) -> bool:
    """Tell whether each bar of a clip has a note and none so many that its limit ended it."""
    onset = notes_of(clip.score).onset
    bar = np.floor(onset / clip.request.beats_per_bar + 1e-6).astype(np.int64)
    struck = np.bincount(bar, minlength=clip.n_bars)[: clip.n_bars]
    return bool((struck > 0).all() and struck.max() < MAX_BAR_IDS // IDS_PER_NOTE)


@dataclass(frozen=True)
class Trial:
    """Hold what one way of asking did, against the free clips of the same seeds.

    Attributes:
        what: The axis or attribute that was to move.
        by: `push`, `random`, `halves`, `controls` or another way to ask by controls.
        dose: Strength of a push in its units; for controls the side, 1 or -1.
        n: Clips.
        shift: Mean rise of the judges' log odds of the axis, or of the attribute in
            deviations of real music; with its 95 % bootstrap interval over clips.
        shifts: The same by each judge alone.
        beside: Mean rise of the log odds of valence and arousal by both judges.
        share: Share of clips heard on the side that the dose asks for, with its interval.
        whole: Share of clips that are whole.
        density: Mean notes a beat over those of the free clips.
        drift: Mean rise of every attribute in deviations of real music.
        loss: Loss on songs held back over that without the push; None for controls.
    """

    what: str
    by: str
    dose: float
    n: int
    shift: Triple
    shifts: Mapping[str, Triple]
    beside: Mapping[str, Triple]
    share: Triple | None
    whole: float
    density: float
    drift: Mapping[str, float]
    loss: Triple | None

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {name: _rounded(value) for name, value in vars(self).items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(own) for name, own in value.items()}
    if isinstance(value, tuple):
        return [round(x, 4) for x in value]
    return round(value, 4) if isinstance(value, float) else value


def compare(
    heard: Heard,
    free: Heard,
    scale: Matrix,
    *,
    what: str,
    by: str,
    dose: float,
    judge: str,
    loss: Triple | None = None,
) -> Trial:
    """Set clips against the free ones of the same numbers.

    Args:
        heard: The clips.
        free: Those of which nothing was asked.
        scale: Deviation of each attribute in real music, shape (n_attributes,).
        what: `valence`, `arousal` or an attribute.
        by: How it was asked.
        dose: How strongly.
        judge: Whose log odds count.
        loss: Of the push.
    """
    rise = (heard.values - free.values) / scale
    axes = {"valence": 0, "arousal": 1}
    moved = {
        axis: mean_with_interval(heard.odds[judge][:, i] - free.odds[judge][:, i])
        for axis, i in axes.items()
    }
    share: Triple | None = None
    shifts: dict[str, Triple] = {}
    if what in axes:
        at, n = axes[what], len(heard.whole)
        right = float((heard.odds[judge][:, at] * np.sign(dose) > 0).mean())
        share = (right, *wilson(right, n))
        shifts = {
            name: mean_with_interval(odds[:, at] - free.odds[name][:, at])
            for name, odds in heard.odds.items()
        }
        shift = moved[what]
    else:
        shift = mean_with_interval(rise[:, ATTRIBUTE_NAMES.index(what)])
    density = ATTRIBUTE_NAMES.index("note_density")
    return Trial(
        what, by, dose, len(heard.whole), shift, shifts, moved, share, float(heard.whole.mean()),
        float(heard.values[:, density].mean() / free.values[:, density].mean()),
        dict(zip(ATTRIBUTE_NAMES, rise.mean(axis=0).tolist(), strict=True)), loss,
    )  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Hold how far apart the outer ends of one way of asking lie, clip by clip.

    Attributes:
        what: The axis or attribute.
        by: As in `Trial`.
        cosine: Of what is added with the direction pushed; None for controls.
        rise: Mean rise from the low end to the high end, in log odds or deviations, with its
            95 % bootstrap interval over clips.
        beyond: By how much the push's span is the greater; None for the push itself.
    """

    what: str
    by: str
    cosine: float | None
    rise: Triple
    beyond: Triple | None

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {name: _rounded(value) for name, value in vars(self).items()}


def measured(heard: Heard, scale: Matrix, *, what: str, judge: str) -> Matrix:
    """Return a judge's log odds of an axis, or an attribute in deviations, shape (n,)."""
    axes = {"valence": 0, "arousal": 1}
    if what in axes:
        return heard.odds[judge][:, axes[what]]
    column = ATTRIBUTE_NAMES.index(what)
    found: Matrix = heard.values[:, column] / scale[column]
    return found


def mean_with_interval(values: Matrix) -> Triple:
    """Return a mean and its 95 % bootstrap interval."""
    drawn = np.random.default_rng(0).integers(len(values), size=(N_DRAWS, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
