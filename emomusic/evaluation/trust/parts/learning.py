"""How good the verifier is when only a share of the songs is labelled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.kernels import Bench, Labels
from emomusic.evaluation.trust.bench.rows import gathered_runs, rows_of
from emomusic.evaluation.trust.bench.tasks import Result, Task, fold_tasks, plain_answers
from emomusic.verify.groups import Rows

PERCENTS = (1, 2, 5, 10, 20, 50, 100)


def drawn_songs(corpus: Corpus, fit: Rows, percent: int, *, seed: int) -> Rows:
    """Return the clips of some songs, drawn so that each quadrant occurs.

    One song of each quadrant is drawn first, then others, until the share is reached: of 440
    songs, 1 % are 4.

    Args:
        corpus: All clips.
        fit: Clips that may be drawn, rising.
        percent: Share of the songs, above 0.
        seed: Draws them; a larger share holds the songs of a smaller one.
    """
    rng = np.random.default_rng(seed)
    groups = np.array([corpus.truth.groups[row] for row in fit.tolist()])
    y = corpus.truth.y[fit]
    songs = rng.permutation(np.unique(groups)).tolist()
    first: list[str] = []
    for quadrant in rng.permutation(np.unique(y)).tolist():
        holds = set(groups[y == quadrant].tolist()) - set(first)
        first += [song for song in songs if song in holds][:1]
    order = [*first, *(song for song in songs if song not in set(first))]
    n = max(round(len(songs) * percent / 100), len(first))
    return fit[np.isin(groups, order[:n])]


def learned(corpus: Corpus, *, seed: int, fold: int, n_folds: int, n_draws: int) -> Result:
    """Learn from shares of the songs of all folds but one, hear that one; not calibrated.

    Senses are projected by all songs of these folds, labelled or not, as in semi-supervised
    learning; labels and machines come from the share alone.
    """
    fit, test = corpus.folds(corpus.every, n_folds=n_folds, seed=seed)[fold]
    bench = Bench(corpus.heard, fit)
    kernels = bench.kernels(1.0)
    shares: Result = {}
    for percent in PERCENTS:
        draws, sizes = [], []
        for draw in range(n_draws if percent < 100 else 1):
            own = drawn_songs(corpus, fit, percent, seed=1000 * seed + draw)
            weight = np.zeros(len(corpus.clips))
            weight[own] = corpus.weight(own)
            labels = Labels(corpus.shares, weight, corpus.truth.groups)
            found = bench.logits(own, test, labels, kernels=kernels)[0]
            draws.append({"rows": test.tolist(), **plain_answers(found.answers())})
            sizes.append([len({corpus.truth.groups[row] for row in own.tolist()}), len(own)])
        shares[str(percent)] = {"draws": draws, "sizes": sizes}
    return shares


def tasks(*, n_seeds: int, n_folds: int, n_draws: int) -> list[Task]:
    """Return what is to be done."""
    return fold_tasks("learning", learned, seeds=range(n_seeds), n_folds=n_folds, n_draws=n_draws)


def found_of(
    corpus: Corpus, results: Mapping[str, Result], *, n_seeds: int, n_folds: int
) -> Result:
    """Return the curve: a line for each share and source, runs being seeds and draws."""
    rows = []
    for percent in PERCENTS:
        own = [
            [results[f"learning-{seed}-{fold}"][str(percent)] for fold in range(n_folds)]
            for seed in range(n_seeds)
        ]
        sizes = np.array([size for folds in own for one in folds for size in one["sizes"]])
        runs = [
            gathered_runs([one["draws"][draw] for one in folds], len(corpus.clips))
            for folds in own
            for draw in range(len(folds[0]["draws"]))
        ]
        songs, clips = sizes.mean(axis=0).tolist()
        for row in rows_of(corpus, runs, f"{percent} %", "all sources, by song", calibrated=False):
            told = {"percent": percent, "n_songs_learned": songs, "n_clips_learned": clips}
            rows.append({**row.to_dict(), **told})
    return {"rows": rows}
