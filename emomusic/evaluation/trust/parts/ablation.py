"""What each sense is worth: the verifier without it, and with it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.evaluation.trust.bench.kernels import Bench, Labels
from emomusic.evaluation.trust.bench.rows import gathered_runs, rows_of
from emomusic.evaluation.trust.bench.tasks import Result, Task, fold_tasks, plain_answers
from emomusic.verify.ensemble import MEMBERS, Member
from emomusic.verify.groups import GROUP_NAMES

WHOLE = "all senses"


def kinds() -> dict[str, tuple[str, ...]]:
    """Return which senses are left, by what is tried."""
    without = {
        f"without {out}": tuple(name for name in GROUP_NAMES if name != out) for out in GROUP_NAMES
    }
    alone = {f"{name} alone": (name,) for name in GROUP_NAMES}
    return {WHOLE: GROUP_NAMES, **without, **alone}


def ears_with(senses: Sequence[str]) -> tuple[Member, ...]:
    """Return the ears with some senses only.

    What is left of an ear is weighted so that its kernel keeps its width; an ear that has
    nothing left is dropped. Where no ear is left that votes without trust, all do.
    """
    left = []
    for ear in MEMBERS:
        weights = {name: weight for name, weight in ear.kernel.items() if name in senses}
        if weights:
            factor = sum(ear.kernel.values()) / sum(weights.values())
            widened = {name: factor * weight for name, weight in weights.items()}
            left.append(replace(ear, kernel=widened))
    if not any(ear.weight_unfamiliar for ear in left):
        left = [replace(ear, weight_unfamiliar=ear.weight) for ear in left]
    if not any(ear.weight for ear in left):
        left = [replace(ear, weight=ear.weight_unfamiliar) for ear in left]
    return tuple(left)


def ablated(
    corpus: Corpus, *, kinds: Sequence[str], seed: int, fold: int, n_folds: int
) -> dict[str, Result]:
    """Fit with some senses at a time on all folds but one, hear that one; not calibrated.

    Trust is always measured with touch and dynamics: what is tried is what is heard, not
    whether it may be heard.
    """
    fit, test = corpus.folds(corpus.every, n_folds=n_folds, seed=seed)[fold]
    bench = Bench(corpus.heard, fit)
    labels = Labels(corpus.shares, corpus.weight(corpus.every), corpus.truth.groups)
    found = {}
    for kind in kinds:
        ears = ears_with(_KINDS[kind])
        one = bench.logits(fit, test, labels, kernels=bench.kernels(1.0, ears), ears=ears)[0]
        found[kind] = {"rows": test.tolist(), **plain_answers(one.answers())}
    return found


_KINDS = kinds()


def tasks(*, n_seeds: int, n_folds: int) -> list[Task]:
    """Return what is to be done."""
    return fold_tasks(
        "ablation", ablated, seeds=range(n_seeds), n_folds=n_folds, kinds=list(_KINDS)
    )


def found_of(
    corpus: Corpus, results: Mapping[str, Result], *, n_seeds: int, n_folds: int
) -> Result:
    """Return the table of the tasks that were done."""
    rows = []
    for kind in _KINDS:
        runs = [
            gathered_runs(
                [results[f"ablation-{seed}-{fold}"][kind] for fold in range(n_folds)],
                len(corpus.clips),
            )
            for seed in range(n_seeds)
        ]
        rows += rows_of(corpus, runs, kind, "all sources, by song", calibrated=False)
    return {"rows": [row.to_dict() for row in rows]}
