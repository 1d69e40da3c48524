"""Which emotion a clip carries, with calibrated probabilities."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from emomusic import __version__
from emomusic.emotion.space import QUADRANTS
from emomusic.files import UNREADABLE, open_plain, write_atomically
from emomusic.music.notes import Notes
from emomusic.verify.analysis import Matrix
from emomusic.verify.calibration import Calibration, log_odds, softmax
from emomusic.verify.ensemble import (
    MEMBERS,
    FeatureBatch,
    KernelEnsemble,
    Projection,
    Projections,
    featurize,
)
from emomusic.verify.features import (
    COLUMNS,
    GROUPS,
    N_COLUMNS,
    N_FEATURES,
    column_names,
    feature_row,
)

if TYPE_CHECKING:
    from emomusic.verify.labels import FittingLabels

FILE_NAME = "verifier.safetensors"
FORMAT = "emomusic verifier 2"
MAX_BYTES = 32 * 2**20
"""About ten times the size of a verifier fitted on a thousand clips."""
MAX_SHOWN = 300
LICENCE = (
    "Fitted on EMOPIA (CC BY-NC-SA 4.0) and VGMIDI (no licence stated): "
    "for research and non-commercial use."
)

Arrays = dict[str, NDArray[Any]]
Fitted = tuple[Projections, KernelEnsemble, Calibration]


class VerifierError(ValueError):
    """Tell in one line why a file cannot be used as a verifier."""


@dataclass(frozen=True)
class Verdict:
    """The emotion of one clip, as the verifier judges it.

    Attributes:
        quadrant: The most probable quadrant, "Q1" to "Q4".
        probabilities: Calibrated probability of each quadrant, summing to 1.
        valence, arousal: What listeners would say, in [-1, 1].
        valence_sd, arousal_sd: Standard deviation of listeners' mean values from them.
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
        columns = (self.probabilities, self.values, self.spreads, self.trust)
        return [
            Verdict(
                QUADRANTS[int(np.argmax(shares))],
                dict(zip(QUADRANTS, shares.tolist(), strict=True)),
                *map(float, (*values, *spreads, trust)),
            )
            for shares, values, spreads, trust in zip(*columns, strict=True)
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
        ridge: Strength of the ridge of all machines.
        width: Multiplies the width of all kernels.
        n_folds: Folds, grouped by song, on which the probabilities are calibrated.
        seed: Draws the folds.
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
        self.ridge, self.width = ridge, width
        self.n_folds, self.seed = n_folds, seed

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
        logits, familiarity = self.out_of_fold(batch, labels)
        calibration = Calibration.fit(batch, logits, familiarity, labels=labels)
        projections = Projections.fit(batch.rows[: batch.n_clips])
        points, clips = projections.points(batch.rows), np.arange(batch.n_clips)
        ensemble = KernelEnsemble.fit(
            batch, points, labels=labels, clips=clips, ridge=self.ridge, width=self.width
        )
        # As a file keeps it, so that a saved verifier gives the same verdicts.
        return self._take(_fitted_of(_arrays_of((projections, ensemble, calibration))))

    def _take(self, fitted: Fitted) -> Self:
        self.projections_, self.ensemble_, self.calibration_ = fitted
        return self

    def out_of_fold(self, batch: FeatureBatch, labels: FittingLabels) -> tuple[Matrix, Matrix]:
        """Predict each clip with machines that never learned from its song.

        The projections are those of all clips: no label takes part in them.

        Returns:
            Logits of all rows, shape (n + m, 4), and familiarity of each clip, shape (n,).
        """
        from emomusic.verify.labels import song_folds

        y, n = labels.shares.argmax(axis=1), batch.n_clips
        projections = Projections.fit(batch.rows[:n])
        points = projections.points(batch.rows)
        logits, familiarity = np.empty((len(batch.rows), 4)), np.empty(n)
        own: dict[str, Any] = {"labels": labels, "ridge": self.ridge, "width": self.width}
        for fit, test in song_folds(y, labels.songs, n_folds=self.n_folds, seed=self.seed):
            if len(set(y[fit].tolist())) < 4:
                raise ValueError("each of Q1 to Q4 must hold more songs than one fold takes")
            ensemble = KernelEnsemble.fit(batch, points, clips=np.sort(fit), **own)
            judged = _judge(batch.take(test), projections, ensemble)
            logits[batch.rows_of(test)], familiarity[test] = judged
        return logits, familiarity

    def predict(self, batch: FeatureBatch) -> Predictions:
        """Judge the clips of a batch."""
        logits, familiarity = _judge(batch, self.projections_, self.ensemble_)
        probabilities = self.calibration_.probabilities(batch.average(logits), familiarity)
        disagreement = batch.spread(log_odds(softmax(logits)))
        return self._predictions(probabilities, disagreement, familiarity)

    def _predictions(
        self, probabilities: Matrix, disagreement: Matrix, trust: Matrix
    ) -> Predictions:
        values = self.calibration_.values(probabilities)
        return Predictions(probabilities, values, self.calibration_.spreads(disagreement), trust)

    def verdict(self, notes: Notes) -> Verdict:
        """Judge one clip.

        Raises:
            ValueError: If it holds no notes.
        """
        return self.predict(featurize([notes])).verdicts()[0]

    def window_verdict(self, notes: Notes, *, trust: float) -> Verdict:
        """Judge a window of a piece, such as four bars: not cut into halves, as a segment.

        The trust of the verdict on the whole piece decides how touch and dynamics count.

        Raises:
            ValueError: If the window holds no notes.
        """
        familiarity = np.array([trust])
        points = self.projections_.points(feature_row(notes)[None])
        logits = self.ensemble_.logits(points, familiarity)
        probabilities = softmax(logits / self.calibration_.temperatures[2])
        return self._predictions(probabilities, np.zeros((1, 2)), familiarity).verdicts()[0]

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
            "ears": _members(),
            "quadrants": QUADRANTS,
            "parameters": self.parameters,
            "versions": {"emomusic": __version__, "numpy": np.__version__},
            "licence": LICENCE,
        }
        text = json.dumps(description, ensure_ascii=False, sort_keys=True)
        arrays = _arrays_of((self.projections_, self.ensemble_, self.calibration_))
        data = save(arrays, metadata={"verifier": text})
        write_atomically(path := _file(path), lambda file: file.write(data))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a verifier from a file or from a folder that holds `verifier.safetensors`.

        Raises:
            VerifierError: If the file is missing, too large, damaged, not a verifier, or was
                fitted on other features.
        """
        path, known = _file(path), cls().parameters
        try:
            arrays, description = _read(path)
            _check_arrays(arrays)
            parameters = description.get("parameters")
            if not isinstance(parameters, dict) or parameters.keys() != known.keys():
                raise ValueError(f"its description must hold the parameters {list(known)}")
            return cls(**parameters)._take(_fitted_of(arrays))
        except OSError as error:
            raise VerifierError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (*UNREADABLE, SafetensorError) as error:
            raise VerifierError(f"{path}: no sound verifier: {str(error)[:MAX_SHOWN]}") from error

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}


def _judge(
    batch: FeatureBatch, projections: Projections, ensemble: KernelEnsemble
) -> tuple[Matrix, Matrix]:
    """Compute logits of all rows, (n + m, 4), and the familiarity of each clip, (n,)."""
    points, n = projections.points(batch.rows), batch.n_clips
    familiarity = ensemble.familiarity({name: of[:n] for name, of in points.items()})
    return ensemble.logits(points, familiarity[batch.owner]), familiarity


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)


def _members() -> list[list[object]]:
    """List the members as plain values, that a file is never used with other members."""
    return [list(asdict(member).values()) for member in MEMBERS]


# Axes by name: one length wherever the name stands; "d:" is that of one feature group.
_LAYOUT: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "mean": ("float64", (N_FEATURES,)),
    "scale": ("float64", (N_FEATURES,)),
    "whole": ("int64", (1,)),
    "trust": ("float64", (2,)),
    "width": ("float64", (1,)),
    "calibration.temperatures": ("float64", (3,)),
    "calibration.slopes": ("float64", (2,)),
    "calibration.spread": ("float64", (2,)),
    "calibration.spread_factor": ("float64", (2,)),
}
for _group, _own in COLUMNS.items():
    _n = sum(map(len, _own))
    _LAYOUT[f"{_group}.mean"] = ("float32", (_n,))
    _LAYOUT[f"{_group}.basis"] = ("float32", (_n, f"d:{_group}"))
    _LAYOUT[f"{_group}.supports"] = ("float16", ("s", f"d:{_group}"))
for _member in MEMBERS:
    _LAYOUT[f"ear.{_member.name}"] = ("float32", ("s", 4 if _member.output == "quadrants" else 1))
_ABOVE_ZERO = {"scale", "width", "trust"}
_ABOVE_ZERO |= {f"calibration.{name}" for name in ("temperatures", "slopes", "spread")}


def _arrays_of(fitted: Fitted) -> Arrays:
    """Name all arrays of what was fitted, in the precision of a file."""
    projections, ensemble, calibration = fitted
    named: Arrays = {
        "mean": projections.mean,
        "scale": projections.scale,
        "whole": np.array([ensemble.n_whole]),
        "trust": ensemble.bounds,
        "width": np.array([ensemble.width]),
    }
    for name, own in projections.groups.items():
        named |= {f"{name}.mean": own.mean, f"{name}.basis": own.basis}
        named[f"{name}.supports"] = ensemble.supports[name]
    named |= {f"ear.{name}": array for name, array in ensemble.coefficients.items()}
    named |= {f"calibration.{name}": array for name, array in vars(calibration).items()}
    # A view that is not contiguous would be written in the order of what it views.
    return {name: np.ascontiguousarray(of, _LAYOUT[name][0]) for name, of in named.items()}


def _fitted_of(arrays: Arrays) -> Fitted:
    """Build what was fitted from checked arrays."""
    wide = {name: array.astype(np.float64) for name, array in arrays.items()}
    groups = {name: Projection(wide[f"{name}.mean"], wide[f"{name}.basis"]) for name in GROUPS}
    ensemble = KernelEnsemble(
        supports={name: wide[f"{name}.supports"] for name in GROUPS},
        coefficients={member.name: wide[f"ear.{member.name}"] for member in MEMBERS},
        n_whole=int(arrays["whole"][0]),
        bounds=wide["trust"],
        width=float(wide["width"][0]),
    )
    calibration = Calibration(*(wide[f"calibration.{own.name}"] for own in fields(Calibration)))
    return Projections(wide["mean"], wide["scale"], groups), ensemble, calibration


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read the arrays of a file and their description, that of this version's verifiers."""
    with open_plain(path) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is too large, a verifier has at most {MAX_BYTES} bytes")
    arrays = load(data)
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(head.get("__metadata__", {}).get("verifier", "null"))
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ValueError(f"its description lacks format {FORMAT!r}")
    if description.get("columns") != column_names():
        raise ValueError("it was fitted on other features than this version measures")
    if description.get("ears") != _members():
        raise ValueError("it was fitted with other ears than this version has")
    return arrays, description


def _check_arrays(arrays: Arrays) -> None:
    """Check that names, types, shapes and numbers are as `Verifier.save` writes them."""
    if odd := sorted(set(arrays) ^ _LAYOUT.keys()):
        raise ValueError(f"arrays missing or unknown: {odd}")
    sizes: dict[str | int, int] = {}
    for name, (kind, axes) in _LAYOUT.items():
        array = arrays[name]
        if str(array.dtype) != kind or array.ndim != len(axes) or not array.size:
            raise ValueError(f"{name} must be {kind}{axes}, got {array.dtype}{array.shape}")
        wanted = tuple(
            axis if isinstance(axis, int) else sizes.setdefault(axis, length)
            for axis, length in zip(axes, array.shape, strict=True)
        )
        if array.shape != wanted:
            raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds numbers that are not finite")
        if name in _ABOVE_ZERO and not (array > 0).all():
            raise ValueError(f"{name} must be above 0")
    if not 1 <= arrays["whole"][0] <= sizes["s"]:
        raise ValueError(f"whole must be 1 to {sizes['s']}")
