"""All measures of one predictor on the clips of one source, over several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.evaluation.intervals import mean_interval, wilson
from emomusic.evaluation.trust.measures.calibration import (
    Bin,
    brier,
    calibration_error,
    error_by_chance,
    log_loss,
    reliability,
)
from emomusic.evaluation.trust.measures.hits import KINDS, Classes, confusion_of, hits_of, macro_f1
from emomusic.evaluation.trust.measures.values import Values, values_of
from emomusic.verify.groups import Matrix
from emomusic.verify.verifier import Predictions

AXES = ("valence", "arousal")


@dataclass(frozen=True)
class Truth:
    """Hold what people said of n clips.

    Attributes:
        y: Quadrants, 0 to 3, and -1 where nobody said one, shape (n,).
        rated: Listeners' valence and arousal, NaN where nobody was asked, shape (n, 2).
        groups: Song of each clip.
    """

    y: Classes
    rated: Matrix
    groups: tuple[str, ...]

    def take(self, rows: Classes) -> Truth:
        """Return what was said of some of them."""
        return Truth(self.y[rows], self.rated[rows], tuple(self.groups[row] for row in rows))


@dataclass(frozen=True)
class Share:
    """Hold a share of right answers.

    Attributes:
        mean: Over clips and runs.
        sd: Standard deviation over runs.
        wilson: Ends of the 95 % interval as if clips were independent.
        songs: Ends of the 95 % bootstrap interval over songs.
    """

    mean: float
    sd: float
    wilson: tuple[float, float]
    songs: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return all by name, rounded."""
        return {
            "mean": round(self.mean, 4),
            "sd": round(self.sd, 4),
            "wilson": [round(x, 4) for x in self.wilson],
            "songs": [round(x, 4) for x in self.songs],
        }


@dataclass(frozen=True)
class Calibrated:
    """Hold how far probabilities can be believed, mean over runs.

    Attributes:
        error: Expected calibration error in ten bins.
        error_sd: Its standard deviation over runs.
        error_by_chance: What perfect probabilities would show on as many clips.
        error_by_chance_high: What they would stay below in 95 of 100 cases.
        log_loss: Of the label.
        brier: Of the label.
        bins: Of all runs; counts are those of one run.
    """

    error: float
    error_sd: float
    error_by_chance: float
    error_by_chance_high: float
    log_loss: float
    brier: float
    bins: tuple[Bin, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all by name, rounded."""
        plain = {k: round(v, 4) for k, v in vars(self).items() if k != "bins"}
        return {**plain, "bins": [one.to_dict() for one in self.bins]}


@dataclass(frozen=True)
class Scores:
    """Hold how good a predictor is.

    Attributes:
        n: Clips with a quadrant.
        n_songs: Their songs.
        n_runs: Seeds.
        shares: Of right answers, by KINDS; empty where no clip has a quadrant.
        macro_f1: Mean F1 of the quadrants.
        confusion: Clips of each quadrant (row) heard as each (column), mean over runs.
        calibrated: None of answers that are not meant as probabilities.
        values: Against listeners' valence and arousal, where they were asked.
    """

    n: int
    n_songs: int
    n_runs: int
    shares: dict[str, Share]
    macro_f1: float
    confusion: Matrix
    calibrated: Calibrated | None
    values: dict[str, Values]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "n": self.n,
            "n_songs": self.n_songs,
            "n_runs": self.n_runs,
            "shares": {name: share.to_dict() for name, share in self.shares.items()},
            "macro_f1": round(self.macro_f1, 4),
            "confusion": np.round(self.confusion, 2).tolist(),
            "calibration": None if self.calibrated is None else self.calibrated.to_dict(),
            "values": {name: one.to_dict() for name, one in self.values.items()},
        }


def share_of(hits: Matrix, groups: Sequence[str]) -> Share:
    """Return the share of right answers.

    Args:
        hits: 1 where right, shape (n_runs, n).
        groups: Song of each clip.
    """
    of_clip = hits.mean(axis=0)
    mean = float(of_clip.mean())
    sd, ends = float(hits.mean(axis=1).std()), wilson(mean, hits.shape[1])
    return Share(mean, sd, ends, mean_interval(of_clip, groups))


def score(runs: Sequence[Predictions], truth: Truth, *, calibrated: bool = True) -> Scores:
    """Measure answers to the same n clips in one or more runs.

    Args:
        runs: At least one.
        truth: What people said.
        calibrated: Whether the probabilities mean something beyond their order.
    """
    known = np.flatnonzero(truth.y >= 0)
    y, groups = truth.y[known], [truth.groups[k] for k in known]
    said = [run.probabilities[known] for run in runs]
    hits = np.array([hits_of(p, y) for p in said]).reshape(len(runs), len(y), len(KINDS))
    confusion = np.mean([confusion_of(p, y) for p in said], axis=0)
    return Scores(
        n=len(y),
        n_songs=len(set(groups)),
        n_runs=len(runs),
        shares={k: share_of(hits[:, :, i], groups) for i, k in enumerate(KINDS)} if len(y) else {},
        macro_f1=macro_f1(confusion),
        confusion=confusion,
        calibrated=_calibrated(said, y) if calibrated and len(y) else None,
        values=_followed(runs, truth),
    )


def _calibrated(said: Sequence[Matrix], y: Classes) -> Calibrated:
    errors = [calibration_error(p, y) for p in said]
    by_chance, by_chance_high = error_by_chance(said[0])
    return Calibrated(
        error=float(np.mean(errors)),
        error_sd=float(np.std(errors)),
        error_by_chance=by_chance,
        error_by_chance_high=by_chance_high,
        log_loss=float(np.mean([log_loss(p, y) for p in said])),
        brier=float(np.mean([brier(p, y) for p in said])),
        bins=reliability(np.concatenate(said), np.tile(y, len(said)), n_runs=len(said)),
    )


def _followed(runs: Sequence[Predictions], truth: Truth) -> dict[str, Values]:
    found = {}
    for axis, name in enumerate(AXES):
        predicted = np.array([run.values[:, axis] for run in runs])
        spreads = np.array([run.spreads[:, axis] for run in runs])
        own = values_of(predicted, spreads, truth.rated[:, axis], truth.groups)
        if own is not None:
            found[name] = own
    return found
