"""Judges for reports: classifiers of other kinds than the verifier, fitted on other songs.

A verifier that also selects among candidates must not report how good they are. The judges do;
fit them on clips whose part is "judge" only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.features import feature_matrix
from emomusic.verify.features.hearing import hear, seconds_until
from emomusic.verify.members import Matrix, softmax

FRAME_S = 0.1
"""A frame of the piano roll: a sixteenth note at 150 quarter notes a minute."""
MAX_ROLL_S = 600.0
"""A judge listens to the first ten minutes."""
N_BANDS = 11
"""Registers of the piano roll, eight semitones each, the whole keyboard."""
N_ROWS = 3 * 12 + N_BANDS


class Judge(Protocol):
    """Judge the quadrants of clips."""

    def fit(self, clips: Sequence[Notes], quadrant: Sequence[str]) -> Self:
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


class FeatureJudge:
    """Judge by the features of `features_of`: a random forest and a support vector machine.

    Attributes:
        forest_: The fitted forest.
        machine_: The fitted support vector machine, one quadrant against the rest.
    """

    def __init__(self, *, n_trees: int = 300, C: float = 1.5, seed: int = 0) -> None:
        """Set the number of trees, the machine's penalty and the seed."""
        self.n_trees = n_trees
        self.C = C
        self.seed = seed

    def fit(self, clips: Sequence[Notes], quadrant: Sequence[str]) -> Self:
        """Learn from labelled clips.

        Raises:
            ValueError: If a quadrant is missing or unknown, or the lengths differ.
        """
        return self.fit_features(feature_matrix(clips), _classes(clips, quadrant))

    def fit_features(self, X: Matrix, y: NDArray[np.int64]) -> Self:
        """Learn from features measured before, shape (n, n_features), quadrants being 0 to 3."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        forest = RandomForestClassifier(
            self.n_trees, min_samples_leaf=3, max_features="sqrt", random_state=self.seed
        )
        machine = make_pipeline(StandardScaler(), SVC(C=self.C, gamma=0.004))
        self.forest_: Any = forest.fit(X, y)
        self.machine_: Any = machine.fit(X, y)
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
        votes: Matrix = (
            self.forest_.predict_proba(X) + softmax(self.machine_.decision_function(X))
        ) / 2.0
        return votes


def roll_of(notes: Notes) -> NDArray[np.float32]:
    """Draw a clip as a piano roll in tenths of seconds, transposed to the key of C major.

    Args:
        notes: At least one note; velocities are not drawn.

    Returns:
        Shape (47, n_frames). Rows 0 to 11: share of the frame in which each pitch class sounds,
        counted from the tonic of the major key with the clip's signature; 12 to 23: the same of
        the lowest sounding notes; 24 to 35: square roots of the notes struck by pitch class;
        36 to 46: the same by register.

    Raises:
        ValueError: If there are no notes.
    """
    h = hear(notes)
    begin_s = notes.onset_s - notes.onset_s[0]
    first = (begin_s / FRAME_S).astype(np.int64)
    n_frames = int(min(max(h.span_s, FRAME_S), MAX_ROLL_S) / FRAME_S) + 1
    degree = (notes.pitch - h.tonic) % 12
    held = _held(begin_s, notes.duration_s, degree, n_frames)
    low = notes.pitch == h.bottom[h.group]
    bass = _held(begin_s[low], notes.duration_s[low], degree[low], n_frames)
    seen = first < n_frames
    struck = np.zeros((12 + N_BANDS, n_frames))
    band = np.clip((notes.pitch - 21) // 8, 0, N_BANDS - 1)
    np.add.at(struck, (degree[seen], first[seen]), 1.0)
    np.add.at(struck, (12 + band[seen], first[seen]), 1.0)
    return np.concatenate([held, bass, np.sqrt(struck)]).astype(np.float32)


def _held(begin_s: Matrix, duration_s: Matrix, degree: NDArray[np.int64], n_frames: int) -> Matrix:
    """Return the share of each frame in which each degree sounds, at most 1, shape (12, n)."""
    edges_s = FRAME_S * np.arange(n_frames + 1, dtype=np.float64)
    held = np.zeros((12, n_frames))
    for row in range(12):
        on = begin_s[degree == row]
        off = np.sort(on + duration_s[degree == row])
        held[row] = np.diff(seconds_until(on, edges_s) - seconds_until(off, edges_s)) / FRAME_S
    return np.clip(held, 0.0, 1.0)


class _Net(nn.Module):
    """Convolve a roll over time, average what was found, name the quadrant."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Dropout1d(dropout / 2)]
        for n_in in (N_ROWS, width, width):
            layers += [nn.Conv1d(n_in, width, 5, padding=2), nn.BatchNorm1d(width), nn.ReLU()]
            layers += [nn.AvgPool1d(2), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * width, len(QUADRANTS))

    def forward(self, rolls: Tensor) -> Tensor:
        found = self.layers(rolls)
        logits: Tensor = self.head(torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1))
        return logits


class SequenceJudge:
    """Judge by the course of a clip: a small convolutional network on beat-free piano rolls.

    It learns from random crops, with the tonic moved to a neighbour in the circle of fifths now
    and then (as a wrong key would) and the register moved by up to one band.

    Attributes:
        nets_: The fitted networks, whose probabilities are averaged.
    """

    def __init__(
        self,
        *,
        n_nets: int = 2,
        width: int = 64,
        dropout: float = 0.3,
        n_epochs: int = 40,
        batch: int = 32,
        crop_s: float = 20.0,
        rate: float = 2e-3,
        seed: int = 0,
    ) -> None:
        """Set the size of the networks and the course of learning.

        Args:
            n_nets: Networks that vote.
            width: Channels of each layer.
            dropout: Share of channels left out in learning.
            n_epochs: Times that each clip is seen by a network.
            batch: Clips in a step.
            crop_s: Seconds of a clip in a step.
            rate: Greatest learning rate.
            seed: Draws weights, crops and order.
        """
        self.n_nets = n_nets
        self.width = width
        self.dropout = dropout
        self.n_epochs = n_epochs
        self.batch = batch
        self.crop_s = crop_s
        self.rate = rate
        self.seed = seed

    def fit(self, clips: Sequence[Notes], quadrant: Sequence[str]) -> Self:
        """Learn from labelled clips.

        Raises:
            ValueError: If a quadrant is missing or unknown, or the lengths differ.
        """
        y = torch.from_numpy(_classes(clips, quadrant))
        rolls = [roll_of(notes) for notes in clips]
        with torch.random.fork_rng(devices=[]):
            self.nets_ = [self._fitted(rolls, y, index) for index in range(self.n_nets)]
        return self

    def _fitted(self, rolls: list[NDArray[np.float32]], y: Tensor, index: int) -> _Net:
        torch.manual_seed(self.seed * 1000 + index)
        rng = np.random.default_rng([self.seed, index])
        net = _Net(self.width, self.dropout).train()
        optimizer = torch.optim.AdamW(net.parameters(), lr=self.rate, weight_decay=0.05)
        n_steps = self.n_epochs * -(-len(rolls) // self.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.rate, total_steps=n_steps)
        for _ in range(self.n_epochs):
            order = rng.permutation(len(rolls))
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                seen = torch.from_numpy(np.stack([self._crop(rolls[row], rng) for row in rows]))
                loss = nn.functional.cross_entropy(net(seen), y[rows], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
        return net.eval()

    @property
    def _n_crop(self) -> int:
        return round(self.crop_s / FRAME_S)

    def _crop(self, roll: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        start = int(rng.integers(max(roll.shape[1] - self._n_crop, 0) + 1))
        crop = _padded(roll[:, start : start + self._n_crop], self._n_crop)
        if rng.random() < 0.1:
            crop[:36] = np.roll(crop[:36].reshape(3, 12, -1), rng.choice((5, 7)), 1).reshape(36, -1)
        crop[36:] = np.roll(crop[36:], rng.integers(-1, 2), axis=0)
        return crop

    def predict_proba(self, clips: Sequence[Notes]) -> Matrix:
        """Return the probability of Q1 to Q4 for each clip, averaged over its length, (n, 4).

        Raises:
            ValueError: If a clip holds no notes.
        """
        rows = [self._judge(roll_of(notes)) for notes in clips]
        return np.array(rows, dtype=np.float64).reshape(-1, len(QUADRANTS))

    def _judge(self, roll: NDArray[np.float32]) -> Matrix:
        last = max(roll.shape[1] - self._n_crop, 0)
        starts = np.unique(np.append(np.arange(0, last + 1, max(self._n_crop // 2, 1)), last))
        crops = [_padded(roll[:, start : start + self._n_crop], self._n_crop) for start in starts]
        with torch.no_grad():
            logits = [net(torch.from_numpy(np.stack(crops))) for net in self.nets_]
        shares = torch.stack(logits).softmax(dim=-1).mean(dim=(0, 1))
        judged: Matrix = shares.double().numpy()
        return judged


def _padded(roll: NDArray[np.float32], n_frames: int) -> NDArray[np.float32]:
    """Repeat a roll until it is long enough: silence at the end would sound calm."""
    return np.tile(roll, (1, -(-n_frames // roll.shape[1])))[:, :n_frames].copy()
