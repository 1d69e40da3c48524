"""Judges for reports: classifiers of other kinds than the verifier, fitted on other songs.

A verifier that also selects among candidates must not report how good they are. The judges do;
fit them on clips whose part is "judge" only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import FloatColumn, Notes
from emomusic.verify.analysis import Matrix, analyse
from emomusic.verify.calibration import softmax
from emomusic.verify.features import FLAT_SPREAD, feature_matrix

Classes = NDArray[np.int64]
Roll = NDArray[np.float32]
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
MIDDLE_VELOCITY = 64
RIGHT_LOGIT, WRONG_LOGIT = 4.5, -1.5
"""Targets of the kernel model: p = 0.993 where all is fitted."""


class Judge(ABC):
    """Judge the quadrants of clips by columns of numbers measured in each."""

    def fit(
        self, clips: Sequence[Notes], quadrant: Sequence[str], *, weight: Matrix | None = None
    ) -> Self:
        """Learn from clips of all quadrants, each counting as much as its weight, or alike."""
        if odd := sorted(set(quadrant) ^ set(QUADRANTS)):
            raise ValueError(f"quadrant must hold each of Q1 to Q4 and no other, see {odd}")
        y = np.array([QUADRANTS.index(name) for name in quadrant])
        return self.fit_columns(
            self.first_columns(clips), y, np.ones(len(y)) if weight is None else weight
        )

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip of at least one note, shape (n, 4)."""
        return self.judge_columns(self.columns(clips))

    def first_columns(self, clips: Sequence[Notes]) -> Matrix:
        """Return the columns of the clips that are learnt from."""
        return self.columns(clips)

    @abstractmethod
    def columns(self, clips: Sequence[Notes]) -> Matrix:
        """Measure clips, shape (n, n_columns)."""

    @abstractmethod
    def fit_columns(self, columns: Matrix, y: Classes, weight: Matrix) -> Self:
        """Learn from columns measured before, quadrants being 0 to 3."""

    @abstractmethod
    def judge_columns(self, columns: Matrix) -> Matrix:
        """Return the probability of Q1 to Q4 for columns measured before, shape (n, 4)."""


class FeatureJudge(Judge):
    """Judge by the verifier's features: a random forest and a support vector machine."""

    def __init__(self, *, n_trees: int = 300) -> None:
        self.n_trees = n_trees

    def columns(self, clips: Sequence[Notes]) -> Matrix:
        """Return the features of clips, shape (n, n_features)."""
        return feature_matrix(clips)

    def fit_columns(self, columns: Matrix, y: Classes, weight: Matrix) -> Self:
        """Fit forest and machine."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        forest = RandomForestClassifier(
            self.n_trees, min_samples_leaf=3, max_features="sqrt", random_state=0
        )
        machine = make_pipeline(StandardScaler(), SVC(C=1.5, gamma=0.004))
        self.forest_: Any = forest.fit(columns, y, sample_weight=weight)
        self.machine_: Any = machine.fit(columns, y, svc__sample_weight=weight)
        return self

    def judge_columns(self, columns: Matrix) -> Matrix:
        """Average the forest's shares and the softmax of the machine's four decision values."""
        shares = self.forest_.predict_proba(columns)
        sides = softmax(self.machine_.decision_function(columns))
        powers = np.maximum((shares + sides) / 2.0, 1e-9) ** (1.0 / FEATURE_JUDGE_TEMPERATURE)
        return powers / powers.sum(axis=1, keepdims=True)


class NoVelocity(FeatureJudge):
    """Judge by features of notes that are all equally loud, in fitting and in hearing."""

    def columns(self, clips: Sequence[Notes]) -> Matrix:
        """Return the features of flattened clips."""
        return super().columns([flattened(notes) for notes in clips])


def flattened(notes: Notes) -> Notes:
    """Return the notes with every velocity 64."""
    return replace(notes, velocity=np.full_like(notes.velocity, MIDDLE_VELOCITY))


def roll_of(notes: Notes) -> Roll:
    """Draw a clip of one note or more as a piano roll, moved to C major, shape (47, n_frames).

    A frame is a twentieth of a second; a flat velocity counts as 64. Rows 0 to 11: share of the
    frame in which each pitch class sounds, counted from the tonic of the major key with the clip's
    signature; 12 to 23: the same of the lowest sounding notes; 24 to 35: square roots of the notes
    struck by pitch class, times (the greatest velocity struck / 64) squared; 36 to 46: the same by
    register.
    """
    analysis = analyse(notes)
    begin_s = notes.onset_s - notes.onset_s[0]
    first = (begin_s / FRAME_S).astype(np.int64)
    n_frames = int(min(max(analysis.span_s, FRAME_S), MAX_ROLL_S) / FRAME_S) + 1
    degree = (notes.pitch - analysis.tonic) % 12
    held = _held(begin_s, notes.duration_s, degree, n_frames)
    low = notes.pitch == np.repeat(analysis.bottom, analysis.size)
    bass = _held(begin_s[low], notes.duration_s[low], degree[low], n_frames)
    seen = first < n_frames
    loudness = np.zeros(n_frames)
    velocity = (notes if notes.velocity.std() >= FLAT_SPREAD else flattened(notes)).velocity
    np.maximum.at(loudness, first[seen], (velocity[seen] / MIDDLE_VELOCITY) ** 2)
    struck = np.zeros((12 + N_BANDS, n_frames))
    band = np.clip((notes.pitch - 21) // 8, 0, N_BANDS - 1)
    np.add.at(struck, (degree[seen], first[seen]), 1.0)
    np.add.at(struck, (12 + band[seen], first[seen]), 1.0)
    return np.concatenate([held, bass, np.sqrt(struck) * loudness]).astype(np.float32)


def _held(begin_s: Matrix, duration_s: Matrix, degree: Classes, n_frames: int) -> Matrix:
    """Return the share of each frame in which each degree sounds, at most 1, shape (12, n)."""
    edges_s = FRAME_S * np.arange(n_frames + 1, dtype=np.float64)
    held = np.zeros((12, n_frames))
    for row in range(12):
        on = begin_s[degree == row]
        off = np.sort(on + duration_s[degree == row])
        held[row] = np.diff(_seconds_until(on, edges_s) - _seconds_until(off, edges_s)) / FRAME_S
    return np.clip(held, 0.0, 1.0)


def _seconds_until(times: FloatColumn, at_s: FloatColumn) -> FloatColumn:
    """Sum, over the `times` before each `at_s`, the seconds since then; `times` must rise."""
    sums = np.concatenate([[0.0], np.cumsum(times)])
    count = np.searchsorted(times, at_s)
    return count * at_s - sums[count]


class SequenceJudge(Judge):
    """Judge by the course of a clip: random convolutions over its beat-free piano roll.

    Each of many random filters is drawn along the roll, at six time scales; how often it answers
    and how its answers spread are the columns on which a linear and a kernel model are fitted.

    Reference:
        Dempster, Petitjean and Webb (2020), ROCKET; here with rows of one roll as channels, and
        mean and standard deviation beside the share of answers above a bias.
    """

    def __init__(self, *, n_filters: int = 150, C: float = 1e-3) -> None:
        self.n_filters, self.C = n_filters, C

    def first_columns(self, clips: Sequence[Notes]) -> Matrix:
        """Draw the filters, and their biases from answers to some of the clips, unlabelled."""
        rolls, rng = [roll_of(notes) for notes in clips], np.random.default_rng(0)
        spread = np.concatenate(rolls, axis=1).std(axis=1)[:, None]
        self.row_scale_ = np.maximum(spread, 1e-3).astype(np.float32)  # (47, 1)
        self.filters_ = [_random_filters(rng, self.n_filters) for _ in DILATIONS]
        sample = [rolls[row] for row in rng.permutation(len(rolls))[:N_SAMPLED]]
        self.biases_ = []  # what an answer must exceed to count, (n_filters,) each
        for filters, dilation in zip(self.filters_, DILATIONS, strict=True):
            found = [self._answers(roll[:, :N_FRAMES], filters, dilation) for roll in sample]
            answers = torch.cat(found, dim=1).numpy()
            levels = rng.uniform(0.2, 0.95, self.n_filters)
            biases = [np.quantile(*pair) for pair in zip(answers, levels, strict=True)]
            self.biases_.append(torch.tensor(biases, dtype=torch.float32))
        return np.array([self._row(roll) for roll in rolls], dtype=np.float64)

    def columns(self, clips: Sequence[Notes]) -> Matrix:
        """Return share above the bias, mean and deviation of all answers, (n, n_columns)."""
        return np.array([self._row(roll_of(notes)) for notes in clips], dtype=np.float64)

    def _row(self, roll: Roll) -> Roll:
        found = []
        for filters, biases, dilation in zip(self.filters_, self.biases_, DILATIONS, strict=True):
            answers = self._answers(roll, filters, dilation)
            above = (answers > biases[:, None]).float().mean(dim=1)
            found += [above, answers.mean(dim=1), answers.std(dim=1, correction=0)]
        return torch.cat(found).numpy()

    def _answers(self, roll: Roll, filters: Tensor, dilation: int) -> Tensor:
        scaled = torch.from_numpy(roll / self.row_scale_)[None]
        padding = dilation * (FILTER_FRAMES - 1) // 2
        return nn.functional.conv1d(scaled, filters, dilation=dilation, padding=padding)[0]

    def fit_columns(self, columns: Matrix, y: Classes, weight: Matrix) -> Self:
        """Fit a logistic regression, and a ridge regression on radial basis functions."""
        from sklearn.kernel_ridge import KernelRidge
        from sklearn.linear_model import LogisticRegression

        self.mean_, self.scale_ = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-6)
        Z = self._standardised(columns)
        targets = np.where(y[:, None] == np.arange(len(QUADRANTS)), RIGHT_LOGIT, WRONG_LOGIT)
        kernel = KernelRidge(alpha=1.0, kernel="rbf", gamma=1.0 / (3.0 * Z.shape[1]))
        self.linear_: Any = LogisticRegression(C=self.C, max_iter=1000).fit(Z, y, weight)
        self.kernel_: Any = kernel.fit(Z, targets, weight)
        return self

    def judge_columns(self, columns: Matrix) -> Matrix:
        """Average the probabilities of both models."""
        Z = self._standardised(columns)
        return (self.linear_.predict_proba(Z) + softmax(self.kernel_.predict(Z))) / 2.0

    def _standardised(self, columns: Matrix) -> Matrix:
        return np.clip((columns - self.mean_) / self.scale_, -4.0, 4.0)


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
