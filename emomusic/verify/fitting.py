"""Fit and calibrate a verifier on labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.ears.calibration import LeftOut
from emomusic.verify.ears.kernel import (
    DOUBTED,
    EARS,
    FAMILIAR_QUANTILES,
    Machines,
    Points,
    distances,
    nearest,
    targets,
)
from emomusic.verify.ears.senses import N_COLUMNS, Matrix, Senses, parts_of, sensed_rows
from emomusic.verify.labelled import (
    Rows,
    listener_values,
    notes_of_clips,
    quadrant_shares,
    song_folds,
    weights_of,
)
from emomusic.verify.labels import LabelledClip
from emomusic.verify.members import log_odds, softmax
from emomusic.verify.verifier import Verifier

PART_WEIGHT = 0.4
"""Weight of each half of a clip, which is learned from beside the whole."""


@dataclass(frozen=True)
class Heard:
    """Hold what all fits and checks of some clips share: measured once.

    Attributes:
        rows: Features and patterns of the whole clips, then of all parts, (n + m, N_COLUMNS).
        owner: The clip of each row; the whole clips are 0 to n - 1, shape (n + m,).
    """

    rows: Matrix
    owner: Rows

    @property
    def n_clips(self) -> int:
        """Return the number of whole clips."""
        return int(self.owner.max(initial=-1)) + 1

    def take(self, clips: Rows) -> Heard:
        """Return some clips with their parts, in the order given."""
        place = np.full(self.n_clips, -1, dtype=np.int64)
        place[clips] = np.arange(len(clips))
        rows = self.of(clips)
        return Heard(self.rows[rows], place[self.owner[rows]])

    def of(self, clips: Rows) -> Rows:
        """Return the rows of some clips: whole ones first, in their order."""
        return np.concatenate(
            [clips, np.flatnonzero(np.isin(self.owner[self.n_clips :], clips)) + self.n_clips]
        )


def listen(clips: Sequence[Notes]) -> Heard:
    """Measure clips and their parts.

    Raises:
        ValueError: If a clip holds no notes.
    """
    parts = [parts_of(notes)[1:] for notes in clips]
    rows = sensed_rows([*clips, *(part for own in parts for part in own)])
    owner = [k for k, own in enumerate(parts) for _ in own]
    return Heard(rows, np.array([*range(len(clips)), *owner], dtype=np.int64))


def fit_verifier(
    clips: Sequence[LabelledClip], *, seed: int = 0, notes: Sequence[Notes] | None = None
) -> Verifier:
    """Fit the verifier that is shipped.

    Args:
        clips: Labelled clips of all four quadrants.
        seed: Draws the folds.
        notes: The notes of each clip, where they are read already.

    Raises:
        ScoreError: If a file cannot be read.
        ValueError: If a quadrant does not occur or has too few songs.
    """
    notes = notes_of_clips(clips) if notes is None else notes
    return fit_on(Verifier(seed=seed), listen(notes), clips)


def fit_on(verifier: Verifier, heard: Heard, clips: Sequence[LabelledClip]) -> Verifier:
    """Fit a verifier on clips measured before."""
    valence, arousal = listener_values(clips)
    return verifier.fit(
        heard,
        quadrant_shares(clips),
        valence,
        arousal,
        [clip.group for clip in clips],
        weight=weights_of(clips),
    )


def checked(
    heard: Heard, shares: Matrix, valence: Matrix, arousal: Matrix, groups: Sequence[str]
) -> None:
    """Check what a verifier is to learn from.

    Raises:
        ValueError: If shapes differ, a number is not finite, or a quadrant is missing.
    """
    if heard.rows.ndim != 2 or heard.rows.shape[1] != N_COLUMNS:
        raise ValueError(f"rows must have shape (n, {N_COLUMNS}), got {heard.rows.shape}")
    if not np.isfinite(heard.rows).all():
        raise ValueError("rows must be finite")
    if shares.ndim != 2 or shares.shape[1] != 4 or not np.isfinite(shares).all():
        raise ValueError(f"shares must be finite, shape (n, 4), got {shares.shape}")
    lengths = {heard.n_clips, len(shares), len(valence), len(arousal), len(groups)}
    if len(lengths) != 1:
        raise ValueError(f"rows, labels and groups must be equally long, got {sorted(lengths)}")
    missing = sorted(set(range(4)) - set(shares.argmax(axis=1).tolist()))
    if missing:
        raise ValueError(f"each of Q1 to Q4 must occur, missing is {QUADRANTS[missing[0]]}")


def fit_machines(
    heard: Heard,
    points: Points,
    shares: Matrix,
    weight: Matrix,
    groups: Sequence[str],
    clips: Rows,
    *,
    ridge: float,
    width: float,
) -> Machines:
    """Fit the machines of all ears on some clips.

    Args:
        heard: All clips.
        points: Of all rows, by sense.
        shares: Of quadrants, of all clips, shape (n, 4).
        weight: Of all clips, shape (n,).
        groups: Songs of all clips.
        clips: Which of them to learn from, rising.
        ridge: Strength of the ridge.
        width: Multiplies the width of the kernels.
    """
    from sklearn.kernel_ridge import KernelRidge

    rows = heard.of(clips)
    own, owner = {name: of[rows] for name, of in points.items()}, heard.owner[rows]
    counts = weight[owner] * np.where(rows < heard.n_clips, 1.0, PART_WEIGHT)
    alphas = {}
    for ear in EARS:
        kernel = np.exp(-distances(own, own, ear.weights) / width**2)
        model = KernelRidge(alpha=ridge, kernel="precomputed")
        model.fit(kernel, targets(shares[owner], ear.answers), sample_weight=counts)
        alphas[ear.name] = np.asarray(model.dual_coef_, dtype=np.float64)
    whole = {name: of[: len(clips)] for name, of in own.items()}
    bounds = trust_bounds(distances(whole, whole, DOUBTED), [groups[clip] for clip in clips])
    return Machines(own, alphas, len(clips), bounds, width)


def trust_bounds(distance: Matrix, groups: Sequence[str]) -> tuple[float, float]:
    """Return how far a learned clip lies from others' songs where few, and most, lie nearer.

    Args:
        distance: In touch and dynamics, between all learned clips, shape (n, n).
        groups: Song of each.
    """
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    same = names[:, None] == names
    distance = np.where(same, distance.max() + 1.0, distance)
    none, full = np.maximum(np.quantile(nearest(distance), FAMILIAR_QUANTILES), 1e-6)
    return float(none), float(full)


def leave_out(
    verifier: Verifier, heard: Heard, shares: Matrix, weight: Matrix, groups: Sequence[str]
) -> LeftOut:
    """Hear each clip by machines that never learned from its song.

    Senses are projected as all clips suggest: no label takes part in that.

    Raises:
        ValueError: If a fold leaves no clip of a quadrant to learn from.
    """
    y, n = shares.argmax(axis=1), heard.n_clips
    points = Senses.fit(heard.rows[:n]).points(heard.rows)
    logits, trust = np.empty((len(heard.rows), 4)), np.empty(n)
    for fit, test in song_folds(y, groups, n_folds=verifier.n_folds, seed=verifier.seed):
        if len(set(y[fit].tolist())) < 4:
            raise ValueError("each of Q1 to Q4 must hold more songs than one fold takes")
        machines = fit_machines(
            heard,
            points,
            shares,
            weight,
            groups,
            np.sort(fit),
            ridge=verifier.ridge,
            width=verifier.width,
        )
        rows = heard.of(test)
        own = {name: of[rows] for name, of in points.items()}
        trust[test] = machines.trust({name: points[name][test] for name in points})
        logits[rows] = machines.logits(own, trust[heard.owner[rows]])
    return gathered(heard, logits, trust)


def gathered(heard: Heard, logits: Matrix, trust: Matrix) -> LeftOut:
    """Average the logits of each clip and its parts, and tell how far these disagree."""
    n = heard.n_clips
    counts = np.bincount(heard.owner, minlength=n)
    mean = np.stack([np.bincount(heard.owner, column, n) / counts for column in logits.T], axis=1)
    odds = log_odds(softmax(logits))
    centre = np.stack([np.bincount(heard.owner, column, n) / counts for column in odds.T], axis=1)
    squares = (odds - centre[heard.owner]) ** 2
    spread = np.stack(
        [np.bincount(heard.owner, column, n) / counts for column in squares.T], axis=1
    )
    parts = np.arange(n, len(logits))
    return LeftOut(mean, trust, np.sqrt(spread), logits[parts], heard.owner[parts])
