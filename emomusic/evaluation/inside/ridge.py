"""Ridge regression of many targets at once, foretold song by song, and how well it foretells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]
ALPHAS = np.geomspace(1.0, 1e5, 11)
"""Penalties on weights of columns with deviation 1, summed over the clips."""
N_FOLDS, N_INNER = 5, 4


def out_of_fold(X: Matrix, Y: Matrix, groups: Sequence[str], *, seed: int = 0) -> Matrix:
    """Foretell each clip by ridge regressions that never saw its song.

    Each target has a penalty of its own, chosen by folds of songs within what is fitted on.
    All folds share one intercept, the mean over all clips: with intercepts of their own, guesses
    that know nothing would be ranked against the truth, for where a fold's clips are low, those
    it is fitted on are high.

    Args:
        X: Shape (n, dim).
        Y: Shape (n, n_targets), finite.
        groups: The song of each clip.
        seed: Draws the folds.

    Returns:
        Shape (n, n_targets).

    Raises:
        ValueError: If there are too few songs.
    """
    groups_of = np.unique(np.asarray(groups), return_inverse=True)[1]
    found = np.empty(Y.shape)
    for fit, test in _folds(groups_of, N_FOLDS, seed):
        losses = np.zeros((len(ALPHAS), Y.shape[1]))
        for inner, left in _folds(groups_of[fit], N_INNER, seed + 1):
            guesses = _foretold(X[fit[inner]], Y[fit[inner]], X[fit[left]])
            losses += ((guesses - Y[fit[left]]) ** 2).sum(axis=1)
        best = losses.argmin(axis=0)
        guesses = _foretold(X[fit], Y[fit], X[test])[best, :, np.arange(Y.shape[1])].T
        found[test] = guesses - Y[fit].mean(axis=0) + Y.mean(axis=0)
    return found


def _folds(groups: Rows, n_folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    names = np.unique(groups)
    if len(names) < n_folds:
        raise ValueError(f"{n_folds} folds need as many songs, got {len(names)}")
    order = np.random.default_rng(seed).permutation(len(names))
    fold = (order % n_folds)[np.searchsorted(names, groups)]
    for i in range(n_folds):
        yield np.flatnonzero(fold != i), np.flatnonzero(fold == i)


def _foretold(X: Matrix, Y: Matrix, new: Matrix) -> Matrix:
    """Fit with each penalty and foretell new rows, shape (n_alphas, n_new, n_targets)."""
    mean, scale, middle = X.mean(axis=0), np.maximum(X.std(axis=0), 1e-9), Y.mean(axis=0)
    A, B = (X - mean) / scale, (new - mean) / scale
    power, turned = np.linalg.eigh(A @ A.T)
    left, right = B @ A.T @ turned, turned.T @ (Y - middle)
    shrunk = 1.0 / (np.maximum(power, 0.0) + ALPHAS[:, None])
    found: Matrix = left @ (shrunk[:, :, None] * right) + middle
    return found


def drawn_weights(groups: Sequence[str], *, n_draws: int, seed: int = 0) -> Matrix:
    """Return how often each clip counts: once, then as songs are drawn anew, (1 + n_draws, n)."""
    song = np.unique(np.asarray(groups), return_inverse=True)[1]
    n = int(song.max()) + 1
    times = np.random.default_rng(seed).multinomial(n, np.full(n, 1.0 / n), size=n_draws)
    weights: Matrix = np.concatenate([np.ones((1, n)), times])[:, song]
    return weights


def with_interval(values: Matrix) -> tuple[float, float, float]:
    """Return the first value and the 95 % interval of the others, drawn anew.

    The ends are NaN where no draw had a value.
    """
    known = values[1:][~np.isnan(values[1:])]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return float(values[0]), float(low), float(high)


def area(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    """Return how often a positive clip is guessed above a negative one, for each row of weights.

    Args:
        truth: Above 0 where positive, shape (n,).
        guess: Any scale, shape (n,).
        weights: Shape (n_draws, n).

    Returns:
        Shape (n_draws,), NaN where a draw holds clips of one kind only.
    """
    positive = truth > 0
    higher, lower = guess[positive][:, None], guess[~positive]
    wins = (higher > lower) + 0.5 * (higher == lower)
    own, other = weights[:, positive], weights[:, ~positive]
    n_pairs = own.sum(axis=1) * other.sum(axis=1)
    n_won = ((own @ wins) * other).sum(axis=1)
    found: Matrix = np.where(n_pairs > 0, n_won / np.maximum(n_pairs, 1.0), np.nan)
    return found


def accuracy(right: NDArray[np.bool_], weights: Matrix) -> Matrix:
    """Return the share right for each row of weights, shape (n_draws,)."""
    found: Matrix = weights @ right / weights.sum(axis=1)
    return found


def explained(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    """Return R², 1 less the squared error over the variance; as `area`. It may be below 0."""
    total = weights.sum(axis=1)
    spread = weights @ truth**2 / total - (weights @ truth / total) ** 2
    found: Matrix = 1.0 - (weights @ (truth - guess) ** 2 / total) / np.maximum(spread, 1e-12)
    return found


def correlation(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    """Return Pearson's correlation; as `area`. It is 0 where one does not vary."""
    total = weights.sum(axis=1)
    a, b = truth - truth.mean(), guess - guess.mean()
    mean_a, mean_b = weights @ a / total, weights @ b / total
    shared = weights @ (a * b) / total - mean_a * mean_b
    spread = (weights @ a**2 / total - mean_a**2) * (weights @ b**2 / total - mean_b**2)
    found: Matrix = np.where(spread > 1e-18, shared / np.sqrt(np.maximum(spread, 1e-18)), 0.0)
    return found


def rank_correlation(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    """Return Spearman's ρ with the ranks of all clips in every draw; as `area`."""
    return correlation(rankdata(truth), rankdata(guess), weights)
