"""Learn from one corpus, hear another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emomusic.evaluation.trust.bench.choosing import choose
from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.rows import Row, gathered_runs, rows_of
from emomusic.evaluation.trust.bench.tasks import Result, Task, plain_answers
from emomusic.verify.labels import FittingLabels
from emomusic.verify.verifier import Verifier

SHIPPED, CHOSEN = "shipped parameters", "parameters chosen within"


def transferred(corpus: Corpus, *, source: str, parameters: str) -> Result:
    """Fit on all clips of one source and hear all others.

    The seed draws the folds of calibration alone, so there is one run; songs are what varies.
    """
    fit = corpus.of(source)
    test = corpus.every[[row not in set(fit.tolist()) for row in corpus.every.tolist()]]
    verifier = Verifier()
    if parameters == CHOSEN:
        chosen = choose(corpus, fit, seed=0)
        verifier = Verifier(ridge=chosen.ridge, width=chosen.width)
    verifier.fit(corpus.heard.take(fit), FittingLabels.of(corpus.taken(fit)))
    answers = verifier.predict(corpus.heard.take(test))
    told: dict[str, Any] = {"ridge": verifier.ridge, "width": verifier.width}
    return {"rows": test.tolist(), "chosen": told, **plain_answers(answers)}


def tasks(corpus: Corpus) -> list[Task]:
    """Return what is to be done: each source by itself, where there are several."""
    if len(corpus.sources) < 2:
        return []
    return [
        Task(f"transfer-{source}-{parameters.split()[0]}", transferred,
             {"source": source, "parameters": parameters})
        for source in corpus.sources for parameters in (SHIPPED, CHOSEN)
    ]  # fmt: skip


def found_of(corpus: Corpus, results: Mapping[str, Result]) -> Result:
    """Return the table of the tasks that were done."""
    rows: list[Row] = []
    for task in tasks(corpus):
        if task.name in results:
            run = gathered_runs([results[task.name]], len(corpus.clips))
            told = task.arguments
            rows += rows_of(corpus, [run], "verifier", f"{told['source']}, {told['parameters']}")
    return {"rows": [row.to_dict() for row in rows]}
