"""Judges for reports: classifiers of other kinds than the verifier, fitted on other songs.

A verifier that also selects among candidates must not report how good they are. The judges do;
fit them on clips whose part is "judge" only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.calibration import softmax
from emomusic.verify.features import FLAT_SPREAD, feature_matrix
from emomusic.verify.features.analysis import analyse, seconds_until
from emomusic.verify.groups import Matrix

FRAME_S = 0.05
"""A frame of the piano roll: a thirty-second note at 150 quarter notes a minute."""
MAX_ROLL_S = 600.0
"""A judge listens to the first ten minutes."""
N_BANDS = 11
"""Registers of the piano roll, eight semitones each, the whole keyboard."""
N_ROWS = 3 * 12 + N_BANDS
FILTER_FRAMES = 7
DILATIONS = (1, 2, 4, 8, 16, 32)
"""Time scales of the sequence judge: filters of 0.35 to 11 seconds."""
N_SAMPLED, N_FRAMES = 24, 800
"""Clips, and frames of each, from which the sequence judge takes its biases."""
FEATURE_JUDGE_TEMPERATURE = 0.7
"""Sharpens forest and machine, which are too modest (likeliest out of fold)."""
MIDDLE_VELOCITY = 64.0
BATCH = 64
"""Rows predicted at a time by `KernelModel`, so that memory stays within some MiB."""


class Judge(Protocol):
    """Judge the quadrants of clips."""

    def fit(
        self, clips: Sequence[Notes], quadrant: Sequence[str], *, weight: Matrix | None = None
    ) -> Self:
        """Learn from labelled clips."""
        ...

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip, shape (n, 4)."""
        ...


def _classes(clips: Sequence[Notes], quadrant: Sequence[str]) -> NDArray[np.int64]:
    if len(clips) != len(quadrant):
        raise ValueError(
            f"clips and quadrant must be equally long, got {len(clips)}, {len(quadrant)}"
        )
    odd = sorted(set(quadrant) ^ set(QUADRANTS))
    if odd:
        raise ValueError(f"quadrant must hold each of Q1 to Q4 and no other, see {odd}")
    return np.array([QUADRANTS.index(name) for name in quadrant])


def _weights(weight: Matrix | None, y: NDArray[np.int64]) -> Matrix:
    if weight is not None and weight.shape != y.shape:
        raise ValueError(f"weight must have shape {y.shape}, got {weight.shape}")
    return np.ones(len(y)) if weight is None else weight


class FeatureJudge:
    """Judge by the features of `measure_features`: a random forest and a support vector machine.

    Attributes:
        forest_: The fitted forest.
        machine_: The fitted support vector machine, one quadrant against the rest.
    """

    def __init__(self, *, n_trees: int = 300, C: float = 1.5, seed: int = 0) -> None:
        """Set the number of trees, the machine's penalty and the seed."""
        self.n_trees = n_trees
        self.C = C
        self.seed = seed

    def fit(
        self, clips: Sequence[Notes], quadrant: Sequence[str], *, weight: Matrix | None = None
    ) -> Self:
        """Learn from labelled clips, each counting as much as its weight, shape (n,), or alike.

        Raises:
            ValueError: If a quadrant is missing or unknown, or the lengths differ.
        """
        y = _classes(clips, quadrant)
        return self.fit_features(feature_matrix(clips), y, _weights(weight, y))

    def fit_features(self, X: Matrix, y: NDArray[np.int64], weight: Matrix) -> Self:
        """Learn from features measured before, shape (n, n_features), quadrants being 0 to 3."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        forest = RandomForestClassifier(
            self.n_trees, min_samples_leaf=3, max_features="sqrt", random_state=self.seed
        )
        machine = make_pipeline(StandardScaler(), SVC(C=self.C, gamma=0.004))
        self.forest_: Any = forest.fit(X, y, sample_weight=weight)
        self.machine_: Any = machine.fit(X, y, svc__sample_weight=weight)
        return self

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip, shape (n, 4).

        Raises:
            ValueError: If a clip holds no notes.
        """
        return self.judge_features(feature_matrix(clips))

    def judge_features(self, X: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 for features measured before, shape (n, 4).

        The forest's shares and the softmax of the machine's four decision values, averaged.
        """
        shares = self.forest_.predict_proba(X), softmax(self.machine_.decision_function(X))
        return temper((shares[0] + shares[1]) / 2.0, FEATURE_JUDGE_TEMPERATURE)


def temper(votes: Matrix, temperature: float) -> Matrix:
    """Divide the logs of votes by a temperature; rows sum to 1 again."""
    powers = np.maximum(votes, 1e-9) ** (1.0 / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def roll_of(notes: Notes) -> NDArray[np.float32]:
    """Draw a clip as a piano roll in twentieths of seconds, transposed to the key of C major.

    Args:
        notes: At least one note; a flat velocity counts as 64.

    Returns:
        Shape (47, n_frames). Rows 0 to 11: share of the frame in which each pitch class sounds,
        counted from the tonic of the major key with the clip's signature; 12 to 23: the same of
        the lowest sounding notes; 24 to 35: square roots of the notes struck by pitch class,
        times (the greatest velocity struck / 64) squared; 36 to 46: the same by register.

    Raises:
        ValueError: If there are no notes.
    """
    analysis = analyse(notes)
    begin_s = notes.onset_s - notes.onset_s[0]
    first = (begin_s / FRAME_S).astype(np.int64)
    n_frames = int(min(max(analysis.span_s, FRAME_S), MAX_ROLL_S) / FRAME_S) + 1
    degree = (notes.pitch - analysis.tonic) % 12
    held = _held(begin_s, notes.duration_s, degree, n_frames)
    low = notes.pitch == analysis.bottom[analysis.group]
    bass = _held(begin_s[low], notes.duration_s[low], degree[low], n_frames)
    seen = first < n_frames
    loudness = np.zeros(n_frames)
    np.maximum.at(loudness, first[seen], _loudness(notes)[seen])
    struck = np.zeros((12 + N_BANDS, n_frames))
    band = np.clip((notes.pitch - 21) // 8, 0, N_BANDS - 1)
    np.add.at(struck, (degree[seen], first[seen]), 1.0)
    np.add.at(struck, (12 + band[seen], first[seen]), 1.0)
    return np.concatenate([held, bass, np.sqrt(struck) * loudness]).astype(np.float32)


def _loudness(notes: Notes) -> Matrix:
    """Return (velocity / 64) squared, 1 where a clip's velocity is flat, shape (n,)."""
    if notes.velocity.std() < FLAT_SPREAD:
        return np.ones(len(notes))
    return (notes.velocity / MIDDLE_VELOCITY) ** 2


def _held(begin_s: Matrix, duration_s: Matrix, degree: NDArray[np.int64], n_frames: int) -> Matrix:
    """Return the share of each frame in which each degree sounds, at most 1, shape (12, n)."""
    edges_s = FRAME_S * np.arange(n_frames + 1, dtype=np.float64)
    held = np.zeros((12, n_frames))
    for row in range(12):
        on = begin_s[degree == row]
        off = np.sort(on + duration_s[degree == row])
        held[row] = np.diff(seconds_until(on, edges_s) - seconds_until(off, edges_s)) / FRAME_S
    return np.clip(held, 0.0, 1.0)


class SequenceJudge:
    """Judge by the course of a clip: random convolutions over its beat-free piano roll.

    Each of many random filters is drawn along the roll, at six time scales; how often it answers
    and how its answers spread are the columns on which a linear and a kernel model are fitted.

    Reference:
        Dempster, Petitjean and Webb (2020), ROCKET; here with rows of one roll as channels, and
        mean and standard deviation beside the share of answers above a bias.

    Attributes:
        filters_: Random filters of each time scale, shape (n_filters, 47, 7).
        biases_: What an answer must exceed to count, shape (n_filters,) each.
        row_scale_: Standard deviation of each row of the rolls, shape (47, 1).
        mean_: Mean of each column, shape (n_columns,).
        scale_: Standard deviation of each column, shape (n_columns,).
        members_: The fitted models.
    """

    def __init__(
        self, *, n_filters: int = 150, C: float = 1e-3, ridge: float = 1.0, seed: int = 0
    ) -> None:
        """Set the filters of each time scale, the models' penalties and the seed."""
        self.n_filters = n_filters
        self.C = C
        self.ridge = ridge
        self.seed = seed

    def fit(
        self, clips: Sequence[Notes], quadrant: Sequence[str], *, weight: Matrix | None = None
    ) -> Self:
        """Learn from labelled clips, each counting as much as its weight, shape (n,), or alike.

        Raises:
            ValueError: If a quadrant is missing or unknown, or the lengths differ.
        """
        y, rolls = _classes(clips, quadrant), [roll_of(notes) for notes in clips]
        self.draw(rolls)
        return self.fit_columns(self.columns(rolls), y, _weights(weight, y))

    def draw(self, rolls: Sequence[NDArray[np.float32]]) -> Self:
        """Draw the filters, and their biases from answers to some of the rolls, unlabelled."""
        rng = np.random.default_rng(self.seed)
        spread = np.concatenate(rolls, axis=1).std(axis=1)[:, None]
        self.row_scale_ = np.maximum(spread, 1e-3).astype(np.float32)
        self.filters_ = [_random_filters(rng, self.n_filters) for _ in DILATIONS]
        sample = [rolls[row] for row in rng.permutation(len(rolls))[:N_SAMPLED]]
        self.biases_ = []
        for filters, dilation in zip(self.filters_, DILATIONS, strict=True):
            found = [self._answers(roll[:, :N_FRAMES], filters, dilation) for roll in sample]
            answers = torch.cat(found, dim=1).numpy()
            levels = rng.uniform(0.2, 0.95, self.n_filters)
            rows = zip(answers, levels, strict=True)
            biases = np.array([np.quantile(row, level) for row, level in rows], dtype=np.float32)
            self.biases_.append(torch.from_numpy(biases))
        return self

    def _answers(self, roll: NDArray[np.float32], filters: Tensor, dilation: int) -> Tensor:
        scaled = torch.from_numpy(roll / self.row_scale_)[None]
        padding = dilation * (FILTER_FRAMES - 1) // 2
        return nn.functional.conv1d(scaled, filters, dilation=dilation, padding=padding)[0]

    def columns(self, rolls: Sequence[NDArray[np.float32]]) -> Matrix:
        """Return share above the bias, mean and deviation of all answers, (n, columns)."""
        return np.array([self._row(roll) for roll in rolls], dtype=np.float64)

    def _row(self, roll: NDArray[np.float32]) -> NDArray[np.float32]:
        found = []
        for filters, biases, dilation in zip(self.filters_, self.biases_, DILATIONS, strict=True):
            answers = self._answers(roll, filters, dilation)
            above = (answers > biases[:, None]).float().mean(dim=1)
            found += [above, answers.mean(dim=1), answers.std(dim=1, correction=0)]
        return torch.cat(found).numpy()

    def fit_columns(self, columns: Matrix, y: NDArray[np.int64], weight: Matrix) -> Self:
        """Learn from columns computed before, quadrants being 0 to 3."""
        self.mean_, self.scale_ = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-6)
        Z = self._standardised(columns)
        gamma = 1.0 / (3.0 * Z.shape[1])
        self.members_: tuple[LogisticModel, KernelModel] = (
            LogisticModel.fit(Z, y, weight, C=self.C),
            KernelModel.fit(Z, y, weight, ridge=self.ridge, gamma=gamma),
        )
        return self

    def _standardised(self, columns: Matrix) -> Matrix:
        return np.clip((columns - self.mean_) / self.scale_, -4.0, 4.0)

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip, shape (n, 4).

        Raises:
            ValueError: If a clip holds no notes.
        """
        return self.judge_columns(self.columns([roll_of(notes) for notes in clips]))

    def judge_columns(self, columns: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 for columns computed before, shape (n, 4)."""
        Z = self._standardised(columns)
        return np.mean([member.probabilities(Z) for member in self.members_], axis=0)


def _random_filters(rng: np.random.Generator, n_filters: int) -> Tensor:
    """Draw filters over one to eight rows of the roll, half of them blind to its level."""
    filters = np.zeros((n_filters, N_ROWS, FILTER_FRAMES), dtype=np.float32)
    for row in filters:
        n_rows = int(2.0 ** rng.uniform(0.0, 3.17))
        weights = rng.normal(size=(n_rows, FILTER_FRAMES))
        if rng.random() < 0.5:
            weights -= weights.mean(axis=1, keepdims=True)
        row[rng.choice(N_ROWS, n_rows, replace=False)] = weights / np.sqrt(n_rows)
    return torch.from_numpy(filters)


@dataclass(frozen=True)
class LogisticModel:
    """Vote by multinomial logistic regression.

    Attributes:
        weights: Shape (n_features, 4).
        bias: Shape (4,).
    """

    weights: Matrix
    bias: Matrix

    @classmethod
    def fit(cls, Z: Matrix, y: NDArray[np.int64], weight: Matrix, *, C: float) -> Self:
        """Fit to quadrants 0 to 3 with one weight a row; C is the inverse of the ridge."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=C, max_iter=1000).fit(Z, y, weight)
        return cls(np.ascontiguousarray(model.coef_.T), model.intercept_)

    def probabilities(self, Z: Matrix) -> Matrix:
        """Compute the probability of Q1 to Q4 in each row, shape (n, 4)."""
        return softmax(Z @ self.weights + self.bias)


@dataclass(frozen=True)
class KernelModel:
    """Vote by ridge regression on radial basis functions, through a softmax.

    Attributes:
        support: Standardised rows seen in fitting, float32, shape (n_support, n_features).
        alpha: Shape (n_support, 4).
        gamma: The kernel is exp(-gamma * squared distance), shape (1,).
    """

    support: NDArray[np.float32]
    alpha: Matrix
    gamma: Matrix

    TARGETS: ClassVar[tuple[float, float]] = (4.5, -1.5)
    """Logit of the right quadrant and of the others: p = 0.993 where all is fitted."""

    @classmethod
    def fit(
        cls, Z: Matrix, y: NDArray[np.int64], weight: Matrix, *, ridge: float, gamma: float
    ) -> Self:
        """Fit to quadrants 0 to 3 with one weight a row."""
        from sklearn.kernel_ridge import KernelRidge

        right, wrong = cls.TARGETS
        targets = np.where(y[:, None] == np.arange(len(QUADRANTS)), right, wrong)
        model = KernelRidge(alpha=ridge, kernel="rbf", gamma=gamma).fit(Z, targets, weight)
        return cls(Z.astype(np.float32), model.dual_coef_, np.array([gamma]))

    def probabilities(self, Z: Matrix) -> Matrix:
        """Compute the probability of Q1 to Q4 in each row, shape (n, 4)."""
        rows = [Z[start : start + BATCH] for start in range(0, len(Z), BATCH)]
        logits = [self._logits(block) for block in rows]
        return softmax(np.concatenate([np.empty((0, len(QUADRANTS))), *logits]))

    @cached_property
    def _wide(self) -> tuple[Matrix, Matrix]:
        """The supports in float64, one a column, and their squared lengths."""
        wide = self.support.astype(np.float64)
        return np.ascontiguousarray(wide.T), (wide**2).sum(axis=1)

    def _logits(self, Z: Matrix) -> Matrix:
        columns, squares = self._wide
        distance = (Z**2).sum(axis=1)[:, None] + squares - 2.0 * Z @ columns
        return np.exp(-self.gamma * np.maximum(distance, 0.0)) @ self.alpha
