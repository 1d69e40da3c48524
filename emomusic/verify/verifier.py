"""Tell which emotion a clip carries, with calibrated probabilities."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from emomusic import __version__
from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.ears.calibration import Calibration, calibrate
from emomusic.verify.ears.kernel import Machines, ears_of
from emomusic.verify.ears.senses import Matrix, Senses, columns_of, parts_of, sensed_rows
from emomusic.verify.members import log_odds, softmax
from emomusic.verify.store import (
    FILE_NAME,
    FORMAT,
    LICENCE,
    VerifierError,
    check_arrays,
    read_arrays,
    write_arrays,
)

if TYPE_CHECKING:
    from emomusic.verify.fitting import Heard


@dataclass(frozen=True)
class Verdict:
    """Hold what was heard in one clip.

    Attributes:
        quadrant: The most probable quadrant, "Q1" to "Q4".
        probabilities: Calibrated probability of each quadrant, summing to 1.
        valence: What listeners would say, in [-1, 1].
        arousal: The same.
        valence_sd: Standard deviation of listeners' mean valence round it.
        arousal_sd: The same of arousal.
        trust: How familiar touch and dynamics are, from 0, where they were not heard, to 1.
    """

    quadrant: str
    probabilities: dict[str, float]
    valence: float
    arousal: float
    valence_sd: float
    arousal_sd: float
    trust: float


@dataclass(frozen=True)
class Answers:
    """Hold what was heard in n clips, as matrices.

    Attributes:
        probabilities: Of Q1 to Q4, calibrated, shape (n, 4).
        values: What listeners would say of valence and arousal, shape (n, 2).
        spreads: Standard deviation of listeners' mean values round them, shape (n, 2).
        trust: How familiar touch and dynamics are, shape (n,).
    """

    probabilities: Matrix
    values: Matrix
    spreads: Matrix
    trust: Matrix


class Verifier:
    """Hear the quadrant, valence and arousal of clips.

    Kernel machines ("ears") listen with different senses: harmony, motion, touch, register,
    dynamics. Touch and dynamics tell as much about how a file was made as about the music; where
    they are unlike all that was learned from, only ears without them vote. A clip is heard as a
    whole and in its first and last half, and the answers are averaged. A flat velocity
    is unheard, not "soft".

    Valence and arousal are log-odds (of Q1 and Q4 against Q2 and Q3; of Q1 and Q2 against Q3 and
    Q4) on the scale of listeners' values, so 0 means undecided.

    Reference:
        Kang and Herremans (2025), Towards Unified Music Emotion Recognition across Dimensional
        and Categorical Models: one model for both kinds of label; here with kernels on symbolic
        features in place of a network on audio.

    Attributes:
        senses_: What turns features and patterns into points.
        machines_: The fitted ears.
        calibration_: Temperatures, slopes and spreads; fitted on clips of songs left out.
    """

    senses_: Senses
    machines_: Machines
    calibration_: Calibration

    def __init__(
        self, *, ridge: float = 1.0, width: float = 1.0, n_folds: int = 5, seed: int = 0
    ) -> None:
        """Set the parameters of fitting.

        Args:
            ridge: Strength of the ridge of all ears.
            width: Multiplies the width of all kernels.
            n_folds: Song-grouped folds from which probabilities are calibrated.
            seed: Draws the folds.
        """
        self.ridge = ridge
        self.width = width
        self.n_folds = n_folds
        self.seed = seed

    def fit(
        self,
        heard: Heard,
        shares: Matrix,
        valence: Matrix,
        arousal: Matrix,
        groups: Sequence[str],
        *,
        weight: Matrix | None = None,
    ) -> Self:
        """Fit the ears, then calibrate them on songs left out.

        Args:
            heard: The n clips, measured by `fitting.listen`.
            shares: Share of people who heard each quadrant, shape (n, 4).
            valence: Listeners' values, NaN where nobody was asked, shape (n,).
            arousal: The same.
            groups: Song of each clip: clips of one song stay on one side of a split.
            weight: How much each clip counts, shape (n,); 1 by default.

        Raises:
            ValueError: If a shape or a number is wrong, or there are fewer songs in a quadrant
                than folds.
        """
        from emomusic.verify.fitting import checked, fit_machines, leave_out

        checked(heard, shares, valence, arousal, groups)
        n = heard.n_clips
        weight = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
        left_out = leave_out(self, heard, shares, weight, groups)
        self.senses_ = Senses.fit(heard.rows[:n])
        points = self.senses_.points(heard.rows)
        self.machines_ = fit_machines(
            heard, points, shares, weight, groups, np.arange(n), ridge=self.ridge, width=self.width
        ).rounded()
        self.calibration_ = calibrate(left_out, shares, valence, arousal, weight)
        return self

    def hear(self, heard: Heard) -> Answers:
        """Hear many clips measured before by `fitting.listen`."""
        from emomusic.verify.fitting import gathered

        points = self.senses_.points(heard.rows)
        n = heard.n_clips
        trust = self.machines_.trust({name: of[:n] for name, of in points.items()})
        logits = self.machines_.logits(points, trust[heard.owner])
        found = gathered(heard, logits, trust)
        probabilities = self.calibration_.probabilities(found.logits, trust)
        return Answers(
            probabilities,
            self.calibration_.values(probabilities),
            self.calibration_.spreads(found.disagreement),
            trust,
        )

    def _heard(self, rows: Matrix) -> Verdict:
        points = self.senses_.points(rows)
        trust = self.machines_.trust({name: of[:1] for name, of in points.items()})
        logits = self.machines_.logits(points, np.repeat(trust, len(rows)))
        disagreement = log_odds(softmax(logits)).std(axis=0)
        probabilities = self.calibration_.probabilities(logits.mean(axis=0)[None], trust)
        return self._verdict(probabilities[0], disagreement, float(trust[0]))

    def _verdict(self, probabilities: Matrix, disagreement: Matrix, trust: float) -> Verdict:
        values = self.calibration_.values(probabilities[None])[0]
        spreads = self.calibration_.spreads(disagreement[None])[0]
        return Verdict(
            quadrant=QUADRANTS[int(np.argmax(probabilities))],
            probabilities=dict(zip(QUADRANTS, probabilities.tolist(), strict=True)),
            valence=float(values[0]),
            arousal=float(values[1]),
            valence_sd=float(spreads[0]),
            arousal_sd=float(spreads[1]),
            trust=trust,
        )

    def verdicts(self, clips: Sequence[Notes]) -> list[Verdict]:
        """Hear many clips, each as if alone.

        Raises:
            ValueError: If a clip holds no notes.
        """
        return [self.verdict(notes) for notes in clips]

    def verdict(self, notes: Notes) -> Verdict:
        """Hear one clip.

        Raises:
            ValueError: If it holds no notes.
        """
        return self._heard(sensed_rows(parts_of(notes)))

    def course(self, notes: Notes, windows: Sequence[Notes]) -> list[Verdict]:
        """Hear windows of a piece, such as four bars each: an emotion curve.

        Each is heard once, as it is, with the temperature of single parts; whether touch and
        dynamics are heard is decided for the piece.

        Args:
            notes: The whole piece.
            windows: Notes of each window, at least one.

        Raises:
            ValueError: If the piece or a window holds no notes.
        """
        if not windows:
            return []
        whole = self.senses_.points(sensed_rows([notes]))
        trust = self.machines_.trust(whole)
        found = []
        for window in windows:
            points = self.senses_.points(sensed_rows([window]))
            logits = self.machines_.logits(points, trust)
            probabilities = self.calibration_.part_probabilities(logits)
            found.append(self._verdict(probabilities[0], np.zeros(2), float(trust[0])))
        return found

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fitted verifier to a file, or as `verifier.safetensors` into a folder.

        Returns:
            The path of the file.

        Raises:
            OSError: If the folder is not writable or full; an older file is left as it was then.
        """
        write_arrays(path := _file(path), self.arrays(), self._description())
        return path

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was fitted as named arrays."""
        fitted = (self.senses_, self.machines_, self.calibration_)
        return {name: array for part in fitted for name, array in part.arrays().items()}

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "columns": columns_of(),
            "ears": ears_of(),
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
        if description.get("columns") != columns_of():
            raise VerifierError(f"{path}: fitted on other features than this version measures")
        if description.get("ears") != ears_of():
            raise VerifierError(f"{path}: fitted with other ears than this version has")
        check_arrays(path, arrays)
        verifier = cls._with(path, description.get("parameters"))
        verifier.senses_ = Senses.from_arrays(arrays)
        verifier.machines_ = Machines.from_arrays(arrays)
        verifier.calibration_ = Calibration.from_arrays(arrays)
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


def _file(path: str | os.PathLike[str]) -> Path:
    return Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
