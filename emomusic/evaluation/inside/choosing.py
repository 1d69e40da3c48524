"""Choose where and how far the states are pushed, by a judge that reports nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.inside.directions import (
    Direction,
    attribute_difference,
    axis_difference,
)
from emomusic.evaluation.inside.music import Excerpt
from emomusic.evaluation.inside.probes import AXES
from emomusic.evaluation.inside.trials import Progress, Setting, Writer, hear_by_verifier
from emomusic.music.attributes import ATTRIBUTE_NAMES

Matrix = NDArray[np.float64]
PUSHED_ATTRIBUTES = ("note_density", "register")
OUTER_DOSES = (-2.0, 2.0)
UNITS = (0.5, 1.0, 2.0, 4.0)
"""Lengths of a dose of 1 that are tried, in differences of means."""
MOST_LOSS = 1.10
"""Under the strongest dose, songs held back may cost so much more to foretell."""


@dataclass(frozen=True)
class Candidate:
    """Hold one depth at which an axis or attribute might be pushed.

    Attributes:
        what: The axis or attribute.
        depth: Where.
        unit: The greatest length tried at which the loss stays within its limit, in differences
            of means.
        length: Of a dose of 1, as a share of the mean length of the states there.
        loss: The greater loss under the two strongest doses, over the usual one.
        moved: By how much the verifier's log odds of the axis, or an attribute in deviations,
            rises from the lowest dose to the highest.
        chosen: Whether it is the depth that is reported on.
    """

    what: str
    depth: int
    unit: float
    length: float
    loss: float
    moved: float
    chosen: bool

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}


@dataclass(frozen=True)
class Study:
    """Hold what steering needs of real music.

    Attributes:
        excerpts: Labelled music of songs that the reporting judges never heard.
        states: Their mean states, shape (n, n_depths, dim).
        depths: Those tried.
    """

    excerpts: Sequence[Excerpt]
    states: Matrix
    depths: Sequence[int]

    @property
    def scale(self) -> Matrix:
        """Return the deviation of each attribute, shape (n_attributes,)."""
        values = np.array([excerpt.values for excerpt in self.excerpts])
        scale: Matrix = np.maximum(np.nanstd(values, axis=0), 1e-6)
        return scale

    def difference(self, what: str, depth: int) -> Matrix:
        """Return the difference of means of an axis or attribute at a depth, shape (dim,)."""
        states = self.states[:, depth]
        if what in AXES:
            return axis_difference(self.excerpts, states, what)
        column = ATTRIBUTE_NAMES.index(what)
        return attribute_difference(states, np.array([e.values[column] for e in self.excerpts]))

    def length(self, vector: Matrix, depth: int) -> float:
        """Return a vector's length as a share of the states' mean length."""
        usual = np.linalg.norm(self.states[:, depth], axis=1).mean()
        return float(np.linalg.norm(vector) / max(usual, 1e-12))


def n_chosen_by(n_depths: int, n_clips: int) -> int:
    """Return how many clips `choose` composes, so many at each end."""
    return 2 * n_clips * (len(AXES) * n_depths + len(PUSHED_ATTRIBUTES))


def choose(
    writer: Writer, study: Study, setting: Setting, *, progress: Progress
) -> tuple[list[Candidate], list[Direction]]:
    """Choose depth and length for each axis and attribute, by the checkpoint's verifier.

    At each depth the length is the greatest that costs little loss on songs held back; of the
    depths, the one where the verifier hears the ends furthest apart is taken. An attribute is
    pushed at the middle one.

    Args:
        writer: What composes.
        study: Real music and its states.
        setting: Of clips that are not reported on.
        progress: Called with 1 for each clip that is done.
    """
    candidates, directions = [], []
    for what in (*AXES, *PUSHED_ATTRIBUTES):
        depths = study.depths if what in AXES else [study.depths[len(study.depths) // 2]]
        tried = [_tried(writer, study, what, depth, setting, progress) for depth in depths]
        best = max(range(len(tried)), key=lambda i: tried[i]["moved"])
        candidates += [Candidate(**own, chosen=i == best) for i, own in enumerate(tried)]
        depth, unit = tried[best]["depth"], tried[best]["unit"]
        vector = unit * study.difference(what, depth)
        directions.append(Direction(what, depth, unit, vector))
    return candidates, directions


def _tried(
    writer: Writer, study: Study, what: str, depth: int, setting: Setting, progress: Progress
) -> dict[str, Any]:
    difference = study.difference(what, depth)
    unit, loss = _longest(writer, difference, depth, setting.max_ids)
    ends = []
    for dose in OUTER_DOSES:
        clips = writer.pushed(setting, dose * unit * difference, depth=depth, progress=progress)
        if what in AXES:
            ends.append(float(hear_by_verifier(clips)[:, AXES.index(what)].mean()))
        else:
            own = study.scale[ATTRIBUTE_NAMES.index(what)]
            ends.append(float(np.mean([clip.achieved[what] for clip in clips]) / own))
    return {
        "what": what,
        "depth": depth,
        "unit": unit,
        "length": study.length(unit * difference, depth),
        "loss": loss,
        "moved": ends[1] - ends[0],
    }


def _longest(writer: Writer, difference: Matrix, depth: int, max_ids: int) -> tuple[float, float]:
    """Return the greatest unit whose outer doses cost little, and their loss over the usual."""
    found = UNITS[0], float("inf")
    for unit in UNITS:
        loss = max(
            writer.loss_ratio(dose * unit * difference, depth=depth, max_ids=max_ids)[0]
            for dose in OUTER_DOSES
        )
        if loss > MOST_LOSS and unit > UNITS[0]:
            break
        found = unit, loss
    return found
