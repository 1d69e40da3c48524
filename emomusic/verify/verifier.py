"""Tell which emotion a clip carries, with calibrated probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from emomusic import __version__
from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.features import FEATURE_NAMES, FEATURES, FLAT_SPREAD, features_of
from emomusic.verify.members import (
    Kernel,
    Linear,
    Matrix,
    Member,
    Trees,
    arrays_of,
    log_odds,
    members_from,
    tempered,
)
from emomusic.verify.store import (
    FILE_NAME,
    FORMAT,
    LICENCE,
    VerifierError,
    check_arrays,
    read_arrays,
    write_arrays,
)

MAX_DEVIATION = 4.0
"""Standardised features are cut here: a strange clip must not run away with the linear vote."""


@dataclass(frozen=True)
class Verdict:
    """Hold what was heard in one clip.

    Attributes:
        quadrant: The most probable quadrant, "Q1" to "Q4".
        probabilities: Calibrated probability of each quadrant, summing to 1.
        valence: What listeners would say, in [-1, 1].
        arousal: The same.
    """

    quadrant: str
    probabilities: dict[str, float]
    valence: float
    arousal: float


class Verifier:
    """Hear the quadrant, valence and arousal of clips.

    Three models vote with equal weight: a linear one, a kernel one and trees. Clips are learned
    twice, once with their dynamics taken out, so that a flat velocity is unheard, not "soft".
    Valence and arousal are log-odds (of Q1 and Q4 against Q2 and Q3; of Q1 and Q2 against Q3 and
    Q4) on the scale of listeners' values, so 0 means undecided.

    Attributes:
        mean_: Mean of each feature, shape (n_features,).
        scale_: Standard deviation of each feature, shape (n_features,).
        neutral_: Dynamics of a typical clip; takes their place where velocity is flat.
        members_: The fitted models.
        temperature_: Divides the log of the mean vote; fitted on clips of songs left out.
        slopes_: Listeners' valence and arousal for a log-odds of 1, shape (2,).
    """

    mean_: Matrix
    scale_: Matrix
    neutral_: Matrix
    members_: tuple[Member, ...]
    temperature_: float
    slopes_: Matrix

    def __init__(
        self,
        *,
        C: float = 0.03,
        ridge: float = 3.0,
        gamma: float = 0.004,
        n_trees: int = 80,
        min_leaf: int = 5,
        n_folds: int = 5,
        seed: int = 0,
    ) -> None:
        """Set the parameters of fitting.

        Args:
            C: Inverse strength of the linear model's ridge.
            ridge: Strength of the kernel model's ridge.
            gamma: Inverse squared width of the kernel.
            n_trees: Number of trees.
            min_leaf: Fewest rows in a leaf.
            n_folds: Song-grouped folds from which probabilities are calibrated.
            seed: Draws the folds and the trees.
        """
        self.C = C
        self.ridge = ridge
        self.gamma = gamma
        self.n_trees = n_trees
        self.min_leaf = min_leaf
        self.n_folds = n_folds
        self.seed = seed

    def fit(
        self,
        X: Matrix,
        quadrant: Sequence[str],
        valence: Matrix,
        arousal: Matrix,
        groups: Sequence[str],
        *,
        weight: Matrix | None = None,
    ) -> Self:
        """Fit the models, then calibrate them on songs left out.

        Args:
            X: Features by `features_of`, shape (n, n_features).
            quadrant: "Q1" to "Q4" of each clip; each must occur.
            valence: Listeners' values, NaN where nobody was asked, shape (n,).
            arousal: The same.
            groups: Song of each clip: clips of one song stay on one side of a split.
            weight: How much each clip counts, shape (n,); 1 by default.

        Raises:
            ValueError: If a shape, a quadrant or a number is wrong, or there are fewer songs in
                a quadrant than folds.
        """
        from emomusic.verify.fitting import calibrate, checked, out_of_fold

        y = checked(X, quadrant, valence, arousal, groups)
        weight = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
        votes = out_of_fold(self, X, y, weight, groups)
        self.fit_members(X, y, weight)
        self.temperature_, self.slopes_ = calibrate(votes, y, valence, arousal, weight)
        return self

    def fit_members(self, X: Matrix, y: NDArray[np.int64], weight: Matrix) -> Self:
        """Fit the models to quadrants 0 to 3 without calibrating them.

        Args:
            X: Features, shape (n, n_features).
            y: Quadrants, 0 to 3, each occurring, shape (n,).
            weight: How much each clip counts, shape (n,).
        """
        heard = X[_spread(X) >= FLAT_SPREAD]
        self.neutral_ = (heard if len(heard) else X).mean(axis=0)[_DYNAMICS]
        both = np.concatenate([self._without_flat(X), self._without_dynamics(X)])
        self.mean_, self.scale_ = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
        Z, y, weight = self._standardised(both), np.tile(y, 2), np.tile(weight, 2) / 2.0
        self.members_ = (
            Linear.fit(Z, y, weight, C=self.C),
            Kernel.fit(Z, y, weight, ridge=self.ridge, gamma=self.gamma),
            Trees.fit(Z, y, weight, n_trees=self.n_trees, min_leaf=self.min_leaf, seed=self.seed),
        )
        return self

    def _without_dynamics(self, X: Matrix) -> Matrix:
        X = X.copy()
        X[:, _DYNAMICS] = self.neutral_
        return X

    def _without_flat(self, X: Matrix) -> Matrix:
        flat = (_spread(X) < FLAT_SPREAD)[:, None]
        return np.where(flat, self._without_dynamics(X), X)

    def _standardised(self, X: Matrix) -> Matrix:
        Z = np.clip((X - self.mean_) / self.scale_, -MAX_DEVIATION, MAX_DEVIATION)
        # Through float32, in which the trees and the kernel keep their rows.
        return Z.astype(np.float32).astype(np.float64)

    def votes(self, X: Matrix) -> Matrix:
        """Return the mean vote of the models before calibration, shape (n, 4)."""
        Z = self._standardised(self._without_flat(X))
        votes: Matrix = np.mean([member.probabilities(Z) for member in self.members_], axis=0)
        return votes

    def predict_proba(self, X: Matrix) -> Matrix:
        """Return the calibrated probability of Q1 to Q4 for feature rows, shape (n, 4)."""
        return tempered(self.votes(X), self.temperature_)

    def values(self, probabilities: Matrix) -> Matrix:
        """Return the valence and arousal that go with probabilities, shape (n, 2)."""
        return np.clip(log_odds(probabilities) * self.slopes_, -1.0, 1.0)

    def verdicts(self, clips: Sequence[Notes]) -> list[Verdict]:
        """Hear many clips.

        Raises:
            ValueError: If a clip holds no notes.
        """
        # One row at a time: products of wider blocks may round a clip's last bit otherwise.
        rows = [self.predict_proba(features_of(notes)[None]) for notes in clips]
        probabilities = np.concatenate([np.empty((0, len(QUADRANTS))), *rows])
        values = self.values(probabilities)
        return [_verdict(row, value) for row, value in zip(probabilities, values, strict=True)]

    def verdict(self, notes: Notes) -> Verdict:
        """Hear one clip.

        Raises:
            ValueError: If it holds no notes.
        """
        return self.verdicts([notes])[0]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fitted verifier to a file, or as `verifier.safetensors` into a folder.

        Returns:
            The path of the file.

        Raises:
            OSError: If the folder is not writable or full; an older file is left as it was then.
        """
        path = _file(path)
        arrays = {
            "mean": self.mean_,
            "scale": self.scale_,
            "neutral": self.neutral_,
            "temperature": np.array([self.temperature_]),
            "slopes": self.slopes_,
            **arrays_of(self.members_),
        }
        write_arrays(path, arrays, self._description())
        return path

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "features": [[feature.name, feature.unit] for feature in FEATURES],
            "quadrants": QUADRANTS,
            "parameters": self.parameters,
            "versions": {"emomusic": __version__, "numpy": np.__version__},
            "licence": LICENCE,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a verifier from a file or from a folder that holds `verifier.safetensors`.

        Raises:
            VerifierError: If the file is missing, damaged, not a verifier, or was fitted on
                other features.
        """
        path = _file(path)
        arrays, description = read_arrays(path)
        if description.get("features") != [[feature.name, feature.unit] for feature in FEATURES]:
            raise VerifierError(f"{path}: fitted on other features than this version measures")
        check_arrays(path, arrays, n_features=len(FEATURES), n_dynamics=int(_DYNAMICS.sum()))
        verifier = cls._with(path, description.get("parameters"))
        verifier.mean_, verifier.scale_ = arrays["mean"], arrays["scale"]
        verifier.neutral_, verifier.slopes_ = arrays["neutral"], arrays["slopes"]
        verifier.temperature_ = float(arrays["temperature"][0])
        verifier.members_ = members_from(arrays)
        return verifier

    @classmethod
    def _with(cls, path: Path, parameters: Any) -> Self:
        known = cls().parameters
        if not isinstance(parameters, dict) or parameters.keys() != known.keys():
            raise VerifierError(f"{path}: its description must hold the parameters {list(known)}")
        return cls(**parameters)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of fitting by name."""
        return {name: value for name, value in vars(self).items() if not name.endswith("_")}


_DYNAMICS = np.array([feature.group == "dynamics" for feature in FEATURES])
_SPREAD = FEATURE_NAMES.index("velocity_spread")


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)


def _spread(X: Matrix) -> Matrix:
    spread: Matrix = X[:, _SPREAD]
    return spread


def _verdict(probabilities: Matrix, values: Matrix) -> Verdict:
    return Verdict(
        quadrant=QUADRANTS[int(np.argmax(probabilities))],
        probabilities=dict(zip(QUADRANTS, probabilities.tolist(), strict=True)),
        valence=float(values[0]),
        arousal=float(values[1]),
    )
