"""Linear probes of emotion and attributes on the states of every depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.inside.music import Excerpt
from emomusic.evaluation.inside.ridge import (
    accuracy,
    area,
    correlation,
    drawn_weights,
    explained,
    out_of_fold,
    rank_correlation,
    with_interval,
)
from emomusic.evaluation.judged.hearing import HALVES

Matrix = NDArray[np.float64]
Triple = tuple[float, float, float]
Measure = Callable[[Matrix, Matrix, Matrix], Matrix]
AXES = ("valence", "arousal")
SORTED_BY_PEOPLE, RATED = "emopia", "listeners"
N_SHUFFLES, N_DRAWS = 8, 400
MIN_RATED = 30
"""Fewer clips with listeners' values are not reported on."""


@dataclass(frozen=True)
class Curve:
    """Hold how well one thing can be read from the states, depth by depth from the embedding.

    Attributes:
        target: `valence`, `arousal`, `quadrant`, `listeners' valence` or an attribute.
        measure: `AUC`, `accuracy`, `R2`, `rho` (Spearman) or `r` (Pearson).
        chance: What knowing nothing gives; for the quadrant, answering always the commonest.
        n_clips: Clips on which it is measured.
        n_songs: Songs of these.
        trained: With 95 % bootstrap intervals over songs, for each depth.
        untrained: The same of a network with random weights.
        shuffled: Of the trained network, on labels shuffled among songs: mean, least and
            greatest of several shuffles.
    """

    target: str
    measure: str
    chance: float
    n_clips: int
    n_songs: int
    trained: tuple[Triple, ...]
    untrained: tuple[Triple, ...]
    shuffled: tuple[Triple, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        curves = {
            name: [[round(x, 4) for x in triple] for triple in getattr(self, name)]
            for name in ("trained", "untrained", "shuffled")
        }
        return {**vars(self), "chance": round(self.chance, 4), **curves}


def probe(
    excerpts: Sequence[Excerpt],
    trained: Matrix,
    untrained: Matrix,
    names: Sequence[str],
    *,
    n_shuffles: int = N_SHUFFLES,
    seed: int = 0,
) -> list[Curve]:
    """Read emotion and attributes from mean states by ridge regression, at each depth.

    Folds are cut between songs, inside and out. Valence, arousal and quadrant are learnt from
    all clips as sides of 1 and -1, and measured on those that people sorted, as collections
    differ in their shares of each. What the sides then foretell of clips that listeners rated
    is set against their means.

    Args:
        excerpts: Labelled music.
        trained: Their states, shape (n, n_depths, dim). At depth 0 a state is the mean embedding,
            so that depth 0 is what a bag of tokens tells.
        untrained: Those of a network of random weights, of the same shape.
        names: Attributes, in the order of `Excerpt.values`.
        n_shuffles: Shuffles of labels.
        seed: Of folds and shuffles.

    Raises:
        ValueError: If shapes do not fit, or there are too few songs.

    Reference: Alain and Bengio (2016) for probes by depth; the shuffles and the untrained
        network are the control tasks of Hewitt and Liang (2019), who shuffle by word: we
        shuffle by song.
    """
    if trained.shape != untrained.shape or len(trained) != len(excerpts):
        raise ValueError(
            f"states must fit {len(excerpts)} excerpts, got {trained.shape} and {untrained.shape}"
        )
    groups = [excerpt.group for excerpt in excerpts]
    values = np.array([excerpt.values for excerpt in excerpts])
    run = _Run(trained, untrained, n_shuffles, seed)
    curves = _emotions(excerpts, groups, run)
    known = np.isfinite(values)
    for mask in np.unique(known, axis=1).T:
        own = [i for i in range(len(names)) if (known[:, i] == mask).all()]
        rows = np.flatnonzero(mask)
        curves += _attributes(rows, [names[i] for i in own], values[:, own], groups, run)
    order = [*AXES, "quadrant", *(f"{RATED}' {axis}" for axis in AXES), *names]
    return sorted(curves, key=lambda curve: order.index(curve.target))


@dataclass(frozen=True)
class _Run:
    trained: Matrix
    untrained: Matrix
    n_shuffles: int
    seed: int

    def guesses(self, rows: NDArray[np.int64], Y: Matrix, groups: Sequence[str]) -> _Guesses:
        """Foretell targets of some clips, true ones by both networks and shuffled ones by one."""
        shuffled = self._shuffled(Y, groups)
        wide, n = np.concatenate([Y, *shuffled], axis=1), Y.shape[1]
        found: dict[str, list[Matrix]] = {"trained": [], "untrained": []}
        by_chance: list[list[Matrix]] = []
        for depth in range(self.trained.shape[1]):
            guess = out_of_fold(self.trained[rows, depth], wide, groups, seed=self.seed)
            found["trained"].append(guess[:, :n])
            by_chance.append(np.split(guess[:, n:], self.n_shuffles, axis=1))
            plain = out_of_fold(self.untrained[rows, depth], Y, groups, seed=self.seed)
            found["untrained"].append(plain)
        return _Guesses(Y, shuffled, found, by_chance)

    def _shuffled(self, Y: Matrix, groups: Sequence[str]) -> list[Matrix]:
        """Give each song the targets of another one's clips."""
        rng = np.random.default_rng(self.seed)
        song = np.unique(np.asarray(groups), return_inverse=True)[1]
        clips = [np.flatnonzero(song == i) for i in range(int(song.max()) + 1)]
        found = []
        for _ in range(self.n_shuffles):
            wrong = np.empty_like(Y)
            for own, other in zip(clips, rng.permutation(len(clips)), strict=True):
                wrong[own] = Y[np.resize(clips[other], len(own))]
            found.append(wrong)
        return found


@dataclass(frozen=True)
class _Guesses:
    Y: Matrix
    shuffled: list[Matrix]
    found: dict[str, list[Matrix]]
    by_chance: list[list[Matrix]]

    def curve(
        self,
        target: str,
        kind: str,
        measure: Measure,
        columns: slice,
        groups: Sequence[str],
        *,
        among: NDArray[np.int64],
        truth: Matrix | None = None,
        chance: float = 0.0,
    ) -> Curve:
        """Measure the guesses of some columns on some clips, against a truth other than Y's."""
        own = [groups[i] for i in among]
        weights = drawn_weights(own, n_draws=N_DRAWS)
        true = (self.Y[:, columns] if truth is None else truth)[among]
        told = {
            network: tuple(
                with_interval(measure(true, guess[among, columns], weights)) for guess in depths
            )
            for network, depths in self.found.items()
        }
        shuffled = []
        for guesses in self.by_chance:
            against = self.shuffled if truth is None else [truth] * len(guesses)
            values = [
                float(measure((y[:, columns] if truth is None else y)[among], g[among, columns],
                              weights[:1])[0])
                for y, g in zip(against, guesses, strict=True)
            ]  # fmt: skip
            shuffled.append((float(np.mean(values)), min(values), max(values)))
        return Curve(
            target, kind, chance, len(own), len(set(own)), told["trained"], told["untrained"],
            tuple(shuffled),
        )  # fmt: skip


def _flat(measure: Callable[[Matrix, Matrix, Matrix], Matrix]) -> Measure:
    return lambda truth, guess, weights: measure(truth.ravel(), guess.ravel(), weights)


def _sides_right(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    return accuracy((truth > 0).ravel() == (guess > 0).ravel(), weights)


def _quadrants_right(truth: Matrix, guess: Matrix, weights: Matrix) -> Matrix:
    return accuracy(truth.argmax(axis=1) == guess.argmax(axis=1), weights)


def sides(excerpts: Sequence[Excerpt], axis: str) -> Matrix:
    """Return 1 for clips on the upper side of an axis and -1 for others, shape (n,)."""
    quadrant = np.array([QUADRANTS.index(excerpt.quadrant) for excerpt in excerpts])
    return np.where(HALVES[axis][quadrant] == 1, 1.0, -1.0)


def _emotions(excerpts: Sequence[Excerpt], groups: Sequence[str], run: _Run) -> list[Curve]:
    quadrant = np.array([QUADRANTS.index(excerpt.quadrant) for excerpt in excerpts])
    Y = np.column_stack([*(sides(excerpts, axis) for axis in AXES), np.eye(4)[quadrant]])
    guesses = run.guesses(np.arange(len(Y)), Y, groups)
    sorted_ = np.flatnonzero([excerpt.source == SORTED_BY_PEOPLE for excerpt in excerpts])
    among = sorted_ if len(sorted_) else np.arange(len(Y))
    curves = []
    for i, axis in enumerate(AXES):
        own = slice(i, i + 1)
        curves += [
            guesses.curve(axis, "AUC", _flat(area), own, groups, among=among, chance=0.5),
            guesses.curve(axis, "accuracy", _sides_right, own, groups, among=among,
                          chance=_commonest(Y[among, i] > 0)),
        ]  # fmt: skip
        rated = np.array([getattr(excerpt, axis) for excerpt in excerpts])
        heard = np.flatnonzero(np.isfinite(rated))
        if len(heard) >= MIN_RATED:
            curves.append(
                guesses.curve(f"{RATED}' {axis}", "r", _flat(correlation), own, groups,
                              among=heard, truth=rated)
            )  # fmt: skip
    return [
        *curves,
        guesses.curve("quadrant", "accuracy", _quadrants_right, slice(2, 6), groups, among=among,
                      chance=_commonest(quadrant[among])),
    ]  # fmt: skip


def _commonest(classes: NDArray[Any]) -> float:
    return float(np.unique(classes, return_counts=True)[1].max() / len(classes))


def _attributes(
    rows: NDArray[np.int64],
    names: Sequence[str],
    values: Matrix,
    groups: Sequence[str],
    run: _Run,
) -> list[Curve]:
    own = [groups[i] for i in rows]
    guesses = run.guesses(rows, values[rows], own)
    among, curves = np.arange(len(rows)), []
    for i, name in enumerate(names):
        for kind, measure in (("R2", explained), ("rho", rank_correlation)):
            found = guesses.curve(name, kind, _flat(measure), slice(i, i + 1), own, among=among)
            curves.append(found)
    return curves
