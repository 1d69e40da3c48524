"""Which emotion a clip carries, with calibrated probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from emomusic import __version__
from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.calibration import Calibration, ClipLogits
from emomusic.verify.ensemble import KernelEnsemble, describe_members
from emomusic.verify.groups import (
    N_COLUMNS,
    FeatureBatch,
    Matrix,
    Projections,
    column_names,
    feature_row,
    featurize,
)
from emomusic.verify.labels import FittingLabels, LabelledClip, read_notes, song_folds
from emomusic.verify.store import (
    FILE_NAME,
    FORMAT,
    LICENCE,
    Fitted,
    VerifierError,
    arrays_of,
    check_arrays,
    fitted_of,
    read_arrays,
    write_arrays,
)


@dataclass(frozen=True)
class Verdict:
    """The emotion of one clip, as the verifier judges it.

    Attributes:
        quadrant: The most probable quadrant, "Q1" to "Q4".
        probabilities: Calibrated probability of each quadrant, summing to 1.
        valence: What listeners would say, in [-1, 1].
        arousal: The same.
        valence_sd: Standard deviation of listeners' mean valence from it.
        arousal_sd: The same of arousal.
        trust: How familiar touch and dynamics are, from 0 (they were ignored) to 1.
    """

    quadrant: str
    probabilities: dict[str, float]
    valence: float
    arousal: float
    valence_sd: float
    arousal_sd: float
    trust: float


@dataclass(frozen=True)
class Predictions:
    """The emotions of n clips, as matrices.

    Attributes:
        probabilities: Of Q1 to Q4, calibrated, shape (n, 4).
        values: Valence and arousal that listeners would give, shape (n, 2).
        spreads: Standard deviation of listeners' mean values from them, shape (n, 2).
        trust: How familiar touch and dynamics are, shape (n,).
    """

    probabilities: Matrix
    values: Matrix
    spreads: Matrix
    trust: Matrix

    def verdicts(self) -> list[Verdict]:
        """Turn each row into a verdict."""
        return [
            Verdict(
                quadrant=QUADRANTS[int(np.argmax(shares))],
                probabilities=dict(zip(QUADRANTS, shares.tolist(), strict=True)),
                valence=float(values[0]),
                arousal=float(values[1]),
                valence_sd=float(spreads[0]),
                arousal_sd=float(spreads[1]),
                trust=float(trust),
            )
            for shares, values, spreads, trust in zip(
                self.probabilities, self.values, self.spreads, self.trust, strict=True
            )
        ]


class Verifier:
    """Judges the quadrant, valence and arousal of clips.

    Kernel machines look at different feature groups: harmony, motion, touch, register, dynamics.
    Touch and dynamics tell as much about how a file was made as about the music; where they are
    unlike all that was learned from, only the machines without them count. The logits of a clip
    are averaged over the whole and its two halves. A flat velocity counts as unknown, not as soft.

    Valence and arousal are log-odds (of Q1 and Q4 against Q2 and Q3; of Q1 and Q2 against Q3 and
    Q4) on the scale of listeners' values, so 0 means undecided.

    Reference:
        Kang and Herremans (2025), Towards Unified Music Emotion Recognition across Dimensional
        and Categorical Models: one model for both kinds of label; here with kernels on symbolic
        features in place of a network on audio.

    Attributes:
        projections_: From feature rows to points.
        ensemble_: The fitted machines.
        calibration_: Temperatures, slopes and spreads, fitted on clips of songs left out.
    """

    projections_: Projections
    ensemble_: KernelEnsemble
    calibration_: Calibration

    def __init__(
        self, *, ridge: float = 1.0, width: float = 1.0, n_folds: int = 5, seed: int = 0
    ) -> None:
        """Set the parameters of fitting.

        Args:
            ridge: Strength of the ridge of all machines.
            width: Multiplies the width of all kernels.
            n_folds: Folds, grouped by song, on which the probabilities are calibrated.
            seed: Draws the folds.
        """
        self.ridge = ridge
        self.width = width
        self.n_folds = n_folds
        self.seed = seed

    def fit(self, batch: FeatureBatch, labels: FittingLabels) -> Self:
        """Fit the ensemble, then calibrate it on songs left out.

        Raises:
            ValueError: If the lengths differ, a number is not finite, a quadrant is missing, or
                there are fewer songs in a quadrant than folds.
        """
        if batch.rows.ndim != 2 or batch.rows.shape[1] != N_COLUMNS:
            raise ValueError(f"rows must have shape (n, {N_COLUMNS}), got {batch.rows.shape}")
        if not np.isfinite(batch.rows).all():
            raise ValueError("rows must be finite")
        if batch.n_clips != len(labels.songs):
            raise ValueError(
                f"there must be as many clips as labels, got {batch.n_clips}, {len(labels.songs)}"
            )
        missing = sorted(set(range(4)) - set(labels.shares.argmax(axis=1).tolist()))
        if missing:
            raise ValueError(f"each of Q1 to Q4 must occur, missing is {QUADRANTS[missing[0]]}")
        calibration = Calibration.fit(self.out_of_fold(batch, labels), labels)
        projections = Projections.fit(batch.rows[: batch.n_clips])
        ensemble = KernelEnsemble.fit(
            batch,
            projections.points(batch.rows),
            labels=labels,
            clips=np.arange(batch.n_clips),
            ridge=self.ridge,
            width=self.width,
        )
        # As a file keeps it, so that a saved verifier gives the same verdicts.
        return self._take(fitted_of(arrays_of((projections, ensemble, calibration))))

    def _take(self, fitted: Fitted) -> Self:
        self.projections_, self.ensemble_, self.calibration_ = fitted
        return self

    def out_of_fold(self, batch: FeatureBatch, labels: FittingLabels) -> ClipLogits:
        """Predict each clip with machines that never learned from its song.

        The projections are those of all clips: no label takes part in them.
        """
        y, n = labels.shares.argmax(axis=1), batch.n_clips
        points = Projections.fit(batch.rows[:n]).points(batch.rows)
        logits, familiarity = np.empty((len(batch.rows), 4)), np.empty(n)
        for fit, test in song_folds(y, labels.songs, n_folds=self.n_folds, seed=self.seed):
            if len(set(y[fit].tolist())) < 4:
                raise ValueError("each of Q1 to Q4 must hold more songs than one fold takes")
            ensemble = KernelEnsemble.fit(
                batch, points, labels=labels, clips=np.sort(fit), ridge=self.ridge, width=self.width
            )
            rows = batch.rows_of(test)
            own = {name: of[rows] for name, of in points.items()}
            familiarity[test] = ensemble.familiarity({k: of[test] for k, of in points.items()})
            logits[rows] = ensemble.logits(own, familiarity[batch.owner[rows]])
        return ClipLogits.average(batch, logits, familiarity)

    def predict(self, batch: FeatureBatch) -> Predictions:
        """Judge the clips of a batch."""
        points, n = self.projections_.points(batch.rows), batch.n_clips
        familiarity = self.ensemble_.familiarity({name: of[:n] for name, of in points.items()})
        logits = self.ensemble_.logits(points, familiarity[batch.owner])
        clips = ClipLogits.average(batch, logits, familiarity)
        probabilities = self.calibration_.probabilities(clips.logits, familiarity)
        return self._predictions(probabilities, clips.disagreement, familiarity)

    def _predictions(
        self, probabilities: Matrix, disagreement: Matrix, familiarity: Matrix
    ) -> Predictions:
        values = self.calibration_.values(probabilities)
        spreads = self.calibration_.spreads(disagreement)
        return Predictions(probabilities, values, spreads, familiarity)

    def verdict(self, notes: Notes) -> Verdict:
        """Judge one clip.

        Raises:
            ValueError: If it holds no notes.
        """
        return self.predict(featurize([notes])).verdicts()[0]

    def verdicts(self, clips: Sequence[Notes]) -> list[Verdict]:
        """Judge clips one by one, so that none depends on the others beside it.

        Raises:
            ValueError: If a clip holds no notes.
        """
        return [self.verdict(notes) for notes in clips]

    def window_verdicts(self, windows: Sequence[Notes], *, trust: float) -> list[Verdict]:
        """Judge windows of a piece, such as four bars each, one by one.

        They are not cut into halves, and have the temperature of segments.

        Args:
            windows: Notes of each window.
            trust: Of the verdict on the whole piece: it decides how touch and dynamics count.

        Raises:
            ValueError: If a window holds no notes.
        """
        familiarity, verdicts = np.array([trust]), []
        for window in windows:
            points = self.projections_.points(feature_row(window)[None])
            logits = self.ensemble_.logits(points, familiarity)
            probabilities = self.calibration_.segment_probabilities(logits)
            verdicts += self._predictions(probabilities, np.zeros((1, 2)), familiarity).verdicts()
        return verdicts

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fitted verifier to a file, or as `verifier.safetensors` into a folder.

        Returns:
            The path of the file.

        Raises:
            OSError: If the folder is not writable or full; an older file is left as it was then.
        """
        description = {
            "format": FORMAT,
            "columns": column_names(),
            "ears": describe_members(),
            "quadrants": QUADRANTS,
            "parameters": self.parameters,
            "versions": {"emomusic": __version__, "numpy": np.__version__},
            "licence": LICENCE,
        }
        fitted = (self.projections_, self.ensemble_, self.calibration_)
        write_arrays(path := _file(path), arrays_of(fitted), description)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a verifier from a file or from a folder that holds `verifier.safetensors`.

        Raises:
            VerifierError: If the file is missing, damaged, not a verifier, or was fitted on
                other features.
        """
        path = _file(path)
        arrays, description = read_arrays(path)
        if description.get("columns") != column_names():
            raise VerifierError(f"{path}: fitted on other features than this version measures")
        if description.get("ears") != describe_members():
            raise VerifierError(f"{path}: fitted with other ears than this version has")
        check_arrays(path, arrays)
        parameters, known = description.get("parameters"), cls().parameters
        if not isinstance(parameters, dict) or parameters.keys() != known.keys():
            raise VerifierError(f"{path}: its description must hold the parameters {list(known)}")
        return cls(**parameters)._take(fitted_of(arrays))

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of fitting by name."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}


def fit_verifier(
    clips: Sequence[LabelledClip], *, seed: int = 0, notes: Sequence[Notes] | None = None
) -> Verifier:
    """Fit the verifier of a checkpoint.

    Args:
        clips: Labelled clips of all four quadrants.
        seed: Draws the folds.
        notes: The notes of each clip, if they have been read already.

    Raises:
        ScoreError: If a file cannot be read.
        ValueError: If a quadrant does not occur or has too few songs.
    """
    notes = read_notes(clips) if notes is None else notes
    return Verifier(seed=seed).fit(featurize(notes), FittingLabels.of(clips))


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
