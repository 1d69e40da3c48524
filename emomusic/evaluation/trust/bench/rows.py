"""Answers of several tasks brought together: one line of a table for each source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.tasks import Result, answers_of
from emomusic.evaluation.trust.measures.scores import Scores, score
from emomusic.verify.verifier import Predictions


@dataclass(frozen=True)
class Row:
    """Hold one line of the table.

    Attributes:
        what: The predictor.
        learned: What it learned from, and the split.
        source: Which clips it was asked about.
        scores: How it did.
    """

    what: str
    learned: str
    source: str
    scores: Scores

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        told = {"what": self.what, "learned": self.learned, "source": self.source}
        return {**told, **self.scores.to_dict()}


def gathered_runs(results: Sequence[Result], n: int) -> Predictions:
    """Return the answers of several folds, in the places of their clips; NaN elsewhere."""
    whole = Predictions(*(np.full(shape, np.nan) for shape in ((n, 4), (n, 2), (n, 2), (n,))))
    for result in results:
        for name, value in vars(answers_of(result)).items():
            getattr(whole, name)[result["rows"]] = value
    return whole


def rows_of(
    corpus: Corpus, runs: Sequence[Predictions], what: str, learned: str, *, calibrated: bool = True
) -> list[Row]:
    """Return a line for each source of which all clips were answered in all runs."""
    found = []
    for source in corpus.sources:
        own = corpus.of(source)
        own = own[~np.isnan([run.probabilities[own, 0] for run in runs]).any(axis=0)]
        if len(own):
            taken = [Predictions(*(value[own] for value in vars(run).values())) for run in runs]
            scores = score(taken, corpus.truth.take(own), calibrated=calibrated)
            found.append(Row(what, learned, source, scores))
    return found
