"""How many verdicts change when a clip is changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from emomusic.evaluation.intervals import wilson
from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.tasks import Result, Task, fold_tasks
from emomusic.evaluation.trust.measures.hits import KINDS, hits_of
from emomusic.evaluation.trust.unseen.changes import CHANGES
from emomusic.verify.groups import featurize
from emomusic.verify.labels import FittingLabels
from emomusic.verify.verifier import Predictions, Verifier

AS_IT_IS = "as it is"


def changed(corpus: Corpus, *, seed: int, fold: int, n_folds: int) -> Result:
    """Fit as shipped on all folds but one, hear that one unchanged and changed."""
    fit, test = corpus.folds(corpus.every, n_folds=n_folds, seed=seed)[fold]
    verifier = Verifier(seed=seed).fit(corpus.heard.take(fit), FittingLabels.of(corpus.taken(fit)))
    found = {AS_IT_IS: _plain(verifier.predict(corpus.heard.take(test)))}
    pairs = [(corpus.notes[row], corpus.clips[row].path) for row in test.tolist()]
    for name, change in CHANGES.items():
        found[name] = _plain(verifier.predict(featurize([change(*pair) for pair in pairs])))
    return {"rows": test.tolist(), "heard": found}


def _plain(answers: Predictions) -> Result:
    return {
        "probabilities": answers.probabilities.round(4).tolist(),
        "values": answers.values.round(4).tolist(),
        "trust": answers.trust.round(4).tolist(),
    }


def tasks(*, n_folds: int, seed: int = 0) -> list[Task]:
    """Return what is to be done: each clip is heard once by a verifier that did not learn it."""
    return fold_tasks("robustness", changed, seeds=(seed,), n_folds=n_folds)


def found_of(corpus: Corpus, results: Mapping[str, Result]) -> Result:
    """Return a line for each change and source."""
    folds = [one for name, one in results.items() if name.startswith("robustness-")]
    place = np.concatenate([one["rows"] for one in folds])
    heard = {
        name: {
            key: np.concatenate([np.array(one["heard"][name][key]) for one in folds])
            for key in ("probabilities", "values", "trust")
        }
        for name in folds[0]["heard"]
    }
    rows = []
    for name, own in heard.items():
        for source in corpus.sources:
            at = np.flatnonzero(np.isin(place, corpus.of(source)))
            before, after = heard[AS_IT_IS]["probabilities"][at], own["probabilities"][at]
            differs = before.argmax(axis=1) != after.argmax(axis=1)
            share, n = float(differs.mean()), len(at)
            moved = np.abs(own["values"][at] - heard[AS_IT_IS]["values"][at]).mean(axis=0)
            hits = hits_of(after, corpus.truth.y[place[at]]).mean(axis=0)
            rows.append(
                {
                    "change": name,
                    "source": source,
                    "n": n,
                    "changed": [round(x, 4) for x in (share, *wilson(share, n))],
                    "right": dict(zip(KINDS, hits.round(4).tolist(), strict=True)),
                    "moved": {"valence": round(moved[0], 4), "arousal": round(moved[1], 4)},
                    "trust": round(float(own["trust"][at].mean()), 4),
                }
            )
    return {"rows": rows}
