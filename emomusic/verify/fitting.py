"""Fit and calibrate a verifier on labelled clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.features import FEATURES, feature_matrix
from emomusic.verify.labels import LabelledClip
from emomusic.verify.members import Matrix, log_odds, tempered
from emomusic.verify.verifier import Verifier

LISTENER_WEIGHT = 3.0
"""Weight of a clip that about 30 listeners rated against one that four annotators sorted."""
UNASKED_SLOPE = 0.2
"""Valence and arousal for a log-odds of 1 without listeners: as fitted on VGMIDI, rounded."""
TEMPERATURES = np.geomspace(0.3, 3.0, 61)


def fit_verifier(
    clips: Sequence[LabelledClip], *, seed: int = 0, notes: Sequence[Notes] | None = None
) -> Verifier:
    """Fit the verifier that is shipped.

    Args:
        clips: Labelled clips of all four quadrants.
        seed: Draws the folds and the trees.
        notes: The notes of each clip, where they are read already.

    Raises:
        ScoreError: If a file cannot be read.
        ValueError: If a quadrant does not occur or has too few songs.
    """
    notes = notes_of_clips(clips) if notes is None else notes
    return fit_on(Verifier(seed=seed), feature_matrix(notes), clips)


def fit_on(verifier: Verifier, X: Matrix, clips: Sequence[LabelledClip]) -> Verifier:
    """Fit a verifier on features measured before, shape (n_clips, n_features)."""
    valence, arousal = listener_values(clips)
    return verifier.fit(
        X,
        [clip.quadrant for clip in clips],
        valence,
        arousal,
        [clip.group for clip in clips],
        weight=weights_of(clips),
    )


def weights_of(clips: Sequence[LabelledClip]) -> Matrix:
    """Return how much each clip counts in fitting, shape (n,).

    Each quadrant weighs the same within a source. Otherwise a source with many Q1, as VGMIDI
    is, teaches that its kind of score (quantised, without pedal) is Q1, whatever it plays.
    Clips rated by listeners count three times.
    """
    cells = Counter((clip.source, clip.quadrant) for clip in clips)
    present = Counter(source for source, _ in cells)
    total = Counter(clip.source for clip in clips)
    balance = [
        total[clip.source] / (present[clip.source] * cells[clip.source, clip.quadrant])
        for clip in clips
    ]
    rated = np.array([clip.valence is not None for clip in clips])
    return np.array(balance, dtype=np.float64) * np.where(rated, LISTENER_WEIGHT, 1.0)


def notes_of_clips(clips: Sequence[LabelledClip]) -> list[Notes]:
    """Read the notes of labelled clips.

    Raises:
        ScoreError: If a file cannot be read.
    """
    return [notes_of(read_score(clip.path)) for clip in clips]


def listener_values(clips: Sequence[LabelledClip]) -> tuple[Matrix, Matrix]:
    """Return the listeners' valence and arousal, NaN where nobody was asked, each shape (n,)."""
    valence = [np.nan if clip.valence is None else clip.valence for clip in clips]
    arousal = [np.nan if clip.arousal is None else clip.arousal for clip in clips]
    return np.array(valence, dtype=np.float64), np.array(arousal, dtype=np.float64)


def checked(
    X: Matrix,
    quadrant: Sequence[str],
    valence: Matrix,
    arousal: Matrix,
    groups: Sequence[str],
) -> NDArray[np.int64]:
    """Check what a verifier is to learn from; return the quadrants as 0 to 3, shape (n,).

    Raises:
        ValueError: If shapes differ, a feature is not finite, or a quadrant is unknown or missing.
    """
    if X.ndim != 2 or X.shape[1] != len(FEATURES) or not np.isfinite(X).all():
        raise ValueError(f"X must be finite, shape (n, {len(FEATURES)}), got {X.shape}")
    lengths = {len(X), len(quadrant), len(valence), len(arousal), len(groups)}
    if len(lengths) != 1:
        raise ValueError(f"X, labels and groups must be equally long, got {sorted(lengths)}")
    unknown = sorted(set(quadrant) ^ set(QUADRANTS))
    if unknown:
        raise ValueError(f"quadrant must hold each of Q1 to Q4 and no other, see {unknown}")
    return np.array([QUADRANTS.index(name) for name in quadrant])


def song_folds(
    y: NDArray[np.int64], groups: Sequence[str], *, n_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the rows to fit on and the rows to test on, no song being on both sides.

    Args:
        y: Classes to keep balanced, shape (n,).
        groups: Song of each row.
        n_folds: At least 2.
        seed: Draws the folds.

    Raises:
        ValueError: If there are fewer songs than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(groups)) < n_folds:
        raise ValueError(
            f"need at least {n_folds} songs for {n_folds} folds, got {len(set(groups))}"
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(y)), y, np.asarray(groups))


def out_of_fold(
    verifier: Verifier,
    X: Matrix,
    y: NDArray[np.int64],
    weight: Matrix,
    groups: Sequence[str],
) -> Matrix:
    """Return the uncalibrated vote on each clip by models that never saw its song, shape (n, 4)."""
    votes = np.empty((len(y), 4))
    folds = song_folds(y, groups, n_folds=verifier.n_folds, seed=verifier.seed)
    for fit, test in folds:
        if len(set(y[fit].tolist())) < 4:
            raise ValueError("each of Q1 to Q4 must hold more songs than one fold takes")
        votes[test] = (
            type(verifier)(**verifier.parameters)
            .fit_members(X[fit], y[fit], weight[fit])
            .votes(X[test])
        )
    return votes


def calibrate(
    votes: Matrix, y: NDArray[np.int64], valence: Matrix, arousal: Matrix, weight: Matrix
) -> tuple[float, Matrix]:
    """Fit the temperature and the slopes of valence and arousal on out-of-fold votes.

    The temperature makes the labels most likely. A slope gives the predicted values the same
    root mean square as the listeners' (regression alone would shrink them towards 0); it is 0.2
    where no listener was asked.

    Reference:
        Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    rows = np.arange(len(y))
    losses = [-weight @ np.log(tempered(votes, t)[rows, y]) for t in TEMPERATURES]
    temperature = float(TEMPERATURES[int(np.argmin(losses))])
    odds = log_odds(tempered(votes, temperature))
    slopes = [_slope(odds[:, axis], values) for axis, values in enumerate((valence, arousal))]
    return temperature, np.array(slopes)


def _slope(odds: Matrix, values: Matrix) -> float:
    asked = ~np.isnan(values)
    if not asked.any():
        return UNASKED_SLOPE
    spread = float(np.sqrt(np.mean(odds[asked] ** 2)))
    return float(np.sqrt(np.mean(values[asked] ** 2))) / max(spread, 1e-6)
