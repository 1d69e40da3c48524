"""Nested, song-grouped cross-validation over several seeds, with controls beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from emomusic.evaluation.trust.bench.choosing import choose
from emomusic.evaluation.trust.bench.corpus import EMOPIA, Corpus
from emomusic.evaluation.trust.bench.kernels import Bench, Labels, Logits
from emomusic.evaluation.trust.bench.rows import Row, gathered_runs, rows_of
from emomusic.evaluation.trust.bench.tasks import Result, Task, plain_answers
from emomusic.verify.calibration import log_odds
from emomusic.verify.groups import N_FEATURES, Matrix, Rows
from emomusic.verify.labels import FittingLabels
from emomusic.verify.verifier import Predictions, Verifier

JOINT, ALONE = "all sources", "emopia alone"
FIT, TEST = "train", "val"
"""Published split: the songs of its "test" are kept back."""
N_TREES = 500


def learned_from(corpus: Corpus, what: str) -> Rows:
    """Return the clips that a kind of training may use."""
    return corpus.every if what == JOINT else corpus.of(EMOPIA)


def fitted_and_heard(corpus: Corpus, fit: Rows, test: Rows, seed: int) -> Result:
    """Choose, fit and calibrate on some clips, then hear others."""
    chosen = choose(corpus, fit, seed=seed)
    verifier = Verifier(seed=seed, ridge=chosen.ridge, width=chosen.width)
    verifier.fit(corpus.heard.take(fit), FittingLabels.of(corpus.taken(fit)))
    answers = verifier.predict(corpus.heard.take(test))
    return {"rows": test.tolist(), "chosen": chosen.to_dict(), **plain_answers(answers)}


def nested(corpus: Corpus, *, what: str, seed: int, fold: int, n_folds: int) -> Result:
    """Fit on all folds but one, the parameters chosen within them, and hear that one."""
    rows = learned_from(corpus, what)
    fit, test = corpus.folds(rows, n_folds=n_folds, seed=seed)[fold]
    return fitted_and_heard(corpus, fit, test, seed)


def official(corpus: Corpus, *, what: str) -> Result:
    """Fit on the "train" songs of the published split and hear those of "val"."""
    rows = learned_from(corpus, what)
    split = np.array(corpus.split)[rows]
    return fitted_and_heard(corpus, rows[split == FIT], rows[split == TEST], 0)


def shuffled(corpus: Corpus, *, seed: int, n_folds: int) -> Result:
    """Fit to labels that were dealt to other songs of the same source, in all folds."""
    dealt = dealt_labels(corpus, seed=seed)
    labels = Labels(corpus.shares[dealt], corpus.weight(dealt), corpus.truth.groups)
    logits, trust = np.empty((len(corpus.clips), 4)), np.empty(len(corpus.clips))
    for fit, test in corpus.folds(corpus.every, n_folds=n_folds, seed=seed):
        bench = Bench(corpus.heard, fit)
        found = bench.logits(fit, test, labels, kernels=bench.kernels(1.0))[0]
        logits[test], trust[test] = found.clips, found.trust
    return {"rows": corpus.every.tolist(), **plain_answers(Logits(logits, trust).answers())}


def dealt_labels(corpus: Corpus, *, seed: int) -> Rows:
    """Return for each clip the clip whose label it gets: songs swap labels within a source.

    Clips of one song get labels of one song, so they agree as often as they truly do.
    """
    rng = np.random.default_rng(seed)
    dealt = corpus.every.copy()
    groups = np.array(corpus.truth.groups)
    for source in corpus.sources:
        songs = np.unique(groups[corpus.of(source)])
        for song, other in zip(songs, rng.permutation(songs), strict=True):
            own, given = np.flatnonzero(groups == song), np.flatnonzero(groups == other)
            dealt[own] = np.resize(given, len(own))
    return dealt


def forest(corpus: Corpus, *, seed: int, n_folds: int) -> Result:
    """Let a random forest on the features of the registry learn EMOPIA, as is published."""
    from sklearn.ensemble import RandomForestClassifier

    rows, y = corpus.of(EMOPIA), corpus.truth.y
    features = corpus.heard.rows[: len(y), :N_FEATURES]
    probabilities = np.zeros((len(y), 4))
    for fit, test in corpus.folds(rows, n_folds=n_folds, seed=seed):
        model = RandomForestClassifier(N_TREES, random_state=seed, n_jobs=1)
        model.fit(features[fit], y[fit])
        probabilities[np.ix_(test, model.classes_)] = model.predict_proba(features[test])
    return {"rows": rows.tolist(), **plain_answers(unspread(probabilities[rows]))}


def majority(corpus: Corpus, *, seed: int, n_folds: int) -> Result:
    """Answer with the shares of the quadrants learned from, by source."""
    probabilities = np.empty((len(corpus.clips), 4))
    for fit, test in corpus.folds(corpus.every, n_folds=n_folds, seed=seed):
        for source in corpus.sources:
            own = np.bincount(corpus.truth.y[np.intersect1d(fit, corpus.of(source))], minlength=4)
            probabilities[np.intersect1d(test, corpus.of(source))] = own / own.sum()
    return {"rows": corpus.every.tolist(), **plain_answers(unspread(probabilities))}


def unspread(probabilities: Matrix) -> Predictions:
    """Return probabilities as answers that state no spread."""
    n = len(probabilities)
    return Predictions(probabilities, log_odds(probabilities), np.full((n, 2), np.nan), np.ones(n))


_CONTROLS: dict[str, Callable[..., Result]] = {
    "forest": forest,
    "shuffled": shuffled,
    "majority": majority,
}


def tasks(corpus: Corpus, *, n_seeds: int, n_folds: int) -> list[Task]:
    """Return what is to be done, the longest first."""
    kinds = [JOINT, ALONE] if len(corpus.sources) > 1 else [ALONE]
    kinds = [what for what in kinds if len(learned_from(corpus, what))]
    whole = {"n_folds": n_folds}
    found = [
        Task(f"nested-{what.replace(' ', '-')}-{seed}-{fold}", nested,
             {"what": what, "seed": seed, "fold": fold, **whole})
        for what in kinds for seed in range(n_seeds) for fold in range(n_folds)
    ]  # fmt: skip
    if {FIT, TEST} <= {corpus.split[row] for row in corpus.of(EMOPIA).tolist()}:
        found += [Task(f"official-{w.replace(' ', '-')}", official, {"what": w}) for w in kinds]
    for name, work in _CONTROLS.items():
        if name != "forest" or len(corpus.of(EMOPIA)):
            found += [
                Task(f"{name}-{seed}", work, {"seed": seed, **whole}) for seed in range(n_seeds)
            ]
    return found


def found_of(
    corpus: Corpus, results: Mapping[str, Result], *, n_seeds: int, n_folds: int
) -> Result:
    """Return the table of the tasks that were done, and what was chosen how often."""
    n = len(corpus.clips)
    rows: list[Row] = []
    chosen: dict[str, Any] = {}
    for what in (JOINT, ALONE):
        slug = what.replace(" ", "-")
        nests = [
            [results[f"nested-{slug}-{seed}-{fold}"] for fold in range(n_folds)]
            for seed in range(n_seeds)
            if f"nested-{slug}-{seed}-0" in results
        ]
        if nests:
            runs = [gathered_runs(one, n) for one in nests]
            rows += rows_of(corpus, runs, "verifier", f"{what}, by song")
            pairs = [r["chosen"] for one in nests for r in one]
            counts = Counter((pair["ridge"], pair["width"]) for pair in pairs)
            chosen[what] = {
                "counts": [[*pair, count] for pair, count in sorted(counts.items())],
                "losses": np.mean([p["losses"] for p in pairs], axis=0).round(4).tolist(),
            }
        if f"official-{slug}" in results:
            run = gathered_runs([results[f"official-{slug}"]], n)
            rows += rows_of(corpus, [run], "verifier", f"{what}, published train to val")
    for name, learned in _LEARNED.items():
        runs = [gathered_runs([results[key]], n) for key in results if key.startswith(f"{name}-")]
        if runs:
            rows += rows_of(corpus, runs, _CALLED[name], learned, calibrated=name != "shuffled")
    return {"rows": [row.to_dict() for row in rows], "chosen": chosen}


_LEARNED = {
    "forest": f"{ALONE}, by song",
    "shuffled": f"{JOINT}, by song",
    "majority": "own source, by song",
}
_CALLED = {
    "forest": "random forest, 92 features",
    "shuffled": "verifier, labels dealt to other songs",
    "majority": "majority",
}
