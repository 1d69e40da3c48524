"""The emotion curve of a piece against what listeners said as it went on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emomusic.evaluation.intervals import mean_interval
from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.tasks import Result, Task, fold_tasks
from emomusic.evaluation.trust.measures.scores import AXES
from emomusic.evaluation.trust.measures.values import correlation
from emomusic.music.notes import Notes
from emomusic.verify.groups import Matrix
from emomusic.verify.labels import Curve, FittingLabels
from emomusic.verify.verifier import Verifier

WINDOW_BARS = 4
FEWEST_NOTES = 4
"""A window of fewer notes is not heard."""
FEWEST_WINDOWS = 4
"""Of a piece with fewer, no correlation is taken."""


def windows_of(notes: Notes, curve: Curve) -> list[tuple[Notes, list[float]]]:
    """Return the notes of each four bars and what listeners said of these, valence and arousal.

    Bars are the measures of the listeners' curve, evenly spread over the recording.
    """
    n = len(curve.valence)
    bar_s = curve.duration_s / n
    found = []
    for start in range(0, n, WINDOW_BARS):
        end = min(start + WINDOW_BARS, n)
        inside = (notes.onset_s >= start * bar_s) & (notes.onset_s < end * bar_s)
        if inside.sum() >= FEWEST_NOTES:
            said = [float(np.mean(axis[start:end])) for axis in (curve.valence, curve.arousal)]
            found.append((notes.where(inside), said))
    return found


def followed(corpus: Corpus, *, seed: int, fold: int, n_folds: int) -> Result:
    """Fit as shipped on all folds but one, hear windows of the pieces of that one."""
    fit, test = corpus.folds(corpus.every, n_folds=n_folds, seed=seed)[fold]
    verifier = Verifier(seed=seed).fit(corpus.heard.take(fit), FittingLabels.of(corpus.taken(fit)))
    pieces = []
    for row in test.tolist():
        if row in corpus.curves:
            windows = windows_of(corpus.notes[row], corpus.curves[row])
            verdicts = verifier.window_verdicts(
                [notes for notes, _ in windows], trust=verifier.verdict(corpus.notes[row]).trust
            )
            heard = [[round(v.valence, 4), round(v.arousal, 4)] for v in verdicts]
            pieces.append({"row": row, "heard": heard, "said": [said for _, said in windows]})
    return {"pieces": pieces}


def tasks(corpus: Corpus, *, n_folds: int, seed: int = 0) -> list[Task]:
    """Return what is to be done, nothing where there are no curves."""
    if not corpus.curves:
        return []
    return fold_tasks("course", followed, seeds=(seed,), n_folds=n_folds)


def found_of(results: Mapping[str, Result], *, seed: int = 0) -> Result:
    """Return how curves follow listeners within pieces, and those of other pieces instead."""
    pieces = [
        (np.array(piece["heard"]), np.array(piece["said"]))
        for name, one in results.items()
        if name.startswith("course-")
        for piece in one["pieces"]
        if len(piece["said"]) >= FEWEST_WINDOWS
    ]
    found: Result = {"n_pieces": len(pieces), "axes": {}}
    if not pieces:
        return found
    found["n_windows"] = int(sum(len(said) for _, said in pieces))
    rng = np.random.default_rng(seed)
    shift = int(rng.integers(1, max(len(pieces), 2)))
    order = rng.permutation(len(pieces))
    others = np.empty(len(pieces), dtype=np.int64)
    others[order] = np.roll(order, shift)
    for axis, name in enumerate(AXES):
        heard = [piece[0][:, axis] for piece in pieces]
        said = [piece[1][:, axis] for piece in pieces]
        pairs = zip(others.tolist(), heard, strict=True)
        wrong = [_stretched(said[other], len(own)) for other, own in pairs]
        found["axes"][name] = {
            "within": _within(heard, said),
            "other_piece": _within(heard, wrong),
            "over_all_windows": round(correlation(np.concatenate(heard), np.concatenate(said)), 4),
            "listeners_sd_within": round(float(np.mean([own.std() for own in said])), 4),
            "heard_sd_within": round(float(np.mean([own.std() for own in heard])), 4),
        }
    return found


def _stretched(values: Matrix, n: int) -> Matrix:
    """Return a curve read at n even places."""
    stretched: Matrix = np.interp(np.linspace(0, 1, n), np.linspace(0, 1, len(values)), values)
    return stretched


def _within(heard: list[Matrix], said: list[Matrix]) -> dict[str, Any]:
    """Return the mean correlation within pieces, its interval over pieces, and how many rise."""
    each = np.array([correlation(*pair) for pair in zip(heard, said, strict=True)])
    each = each[~np.isnan(each)]
    if not len(each):
        return {"n": 0}
    ends = mean_interval(each, [str(k) for k in range(len(each))])
    return {
        "n": len(each),
        "r": [round(float(x), 4) for x in (each.mean(), *ends)],
        "above_0": round(float((each > 0).mean()), 4),
    }
