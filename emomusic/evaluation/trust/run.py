"""One command that measures how far the verifier can be trusted."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import emomusic
from emomusic.evaluation.trust.bench.choosing import N_INNER, RIDGES, WIDTHS
from emomusic.evaluation.trust.bench.corpus import Corpus, read_corpus
from emomusic.evaluation.trust.bench.tasks import Progress, Result, Task, done
from emomusic.evaluation.trust.parts import (
    ablation,
    crossed,
    explained,
    learning,
    listeners,
    transfer,
)
from emomusic.evaluation.trust.shown.published import FADERNETS, PUBLISHED
from emomusic.evaluation.trust.unseen import course, robustness
from emomusic.evaluation.trust.unseen.trained import check_trained

PARTS = ("crossed", "transfer", "ablation", "learning", "robustness", "course", "listeners",
         "explanations")  # fmt: skip
KEPT_DIR = "verifier_kept"
N_PROCESSES = 2


@dataclass(frozen=True)
class Settings:
    """Say how much is measured.

    Attributes:
        n_seeds: Repetitions of the nested cross-validation and its controls, at least 1.
        n_folds: Song-grouped folds, at least 2.
        n_ablation_seeds: Repetitions of the ablation.
        n_draws: Draws of labelled songs for each point of the learning curve.
        every: Every how many clips one is explained.
        quick: Whether this is only to see that all works.
    """

    n_seeds: int = 5
    n_folds: int = 5
    n_ablation_seeds: int = 2
    n_draws: int = 5
    every: int = 2
    quick: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: If one is too small.
        """
        if (
            self.n_folds < 2
            or min(self.n_seeds, self.n_ablation_seeds, self.n_draws, self.every) < 1
        ):
            raise ValueError(
                f"need folds >= 2 and seeds >= 1, got {self.n_folds} and {self.n_seeds}"
            )


QUICK = Settings(n_seeds=1, n_folds=3, n_ablation_seeds=1, n_draws=2, every=20, quick=True)


@dataclass(frozen=True)
class Check:
    """Hold what was found.

    Attributes:
        about: What was measured and how.
        parts: Result of each part.
        trained: How the trained verifier did on a folder; None where none was named.
        left_out: Why each other part is missing.
    """

    about: dict[str, Any]
    parts: dict[str, Result]
    trained: Result | None
    left_out: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return {**vars(self), "published": [one.to_dict() for one in PUBLISHED], "note": FADERNETS}


def check_verifier(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    processes: int = N_PROCESSES,
    progress: Progress = lambda name, n_done, n: None,
) -> Check:
    """Measure the verifier on labelled songs that it did not learn from.

    Results of single fits are kept in `verifier_kept` of `out`, so that a run that was stopped
    goes on; they hold for the same clips, code and settings only.

    Args:
        source: Folder of labelled clips.
        out: Folder for what is kept; made if missing.
        settings: How much is measured; all by default.
        checkpoint: Folder of a trained verifier; `data` needs it.
        data: Folder of labelled clips that the trained verifier hears.
        only: Names of PARTS; none means all.
        processes: How many work, each with one thread for linear algebra.
        progress: Called with a name, how many tasks are done and how many there are.

    Raises:
        ValueError: If a part is unknown, a label or a file cannot be used, or there are too few
            songs.
        VerifierError: If the checkpoint holds no verifier.
    """
    settings = Settings() if settings is None else settings
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise ValueError(f"unknown part {unknown[0]!r}; known are {', '.join(PARTS)}")
    if data is not None and checkpoint is None:
        raise ValueError("a trained verifier is needed to hear other data: name a checkpoint")
    begun = time.monotonic()
    trained = check_trained(data, checkpoint).to_dict() if data and checkpoint else None
    corpus = read_corpus(source)
    wanted = [name for name in PARTS if not only or name in only]
    tasks = {name: _tasks(name, corpus, settings) for name in wanted}
    results = done(
        [task for own in tasks.values() for task in own],
        corpus,
        Path(out) / KEPT_DIR,
        processes=processes,
        progress=progress,
    )
    parts, left_out = {}, dict.fromkeys(set(PARTS) - set(wanted), "it was not asked for")
    for name in wanted:
        own = {task.name: results[task.name] for task in tasks[name]}
        if own or name == "listeners":
            parts[name] = _found(name, corpus, settings, own)
        else:
            left_out[name] = _MISSING[name]
    about = {**_about(corpus, settings), "seconds": round(time.monotonic() - begun, 1)}
    return Check(about, parts, trained, left_out)


def _tasks(name: str, corpus: Corpus, settings: Settings) -> list[Task]:
    seeds, folds = settings.n_ablation_seeds, settings.n_folds
    found: dict[str, Any] = {
        "crossed": lambda: crossed.tasks(corpus, n_seeds=settings.n_seeds, n_folds=folds),
        "transfer": lambda: transfer.tasks(corpus),
        "ablation": lambda: ablation.tasks(n_seeds=seeds, n_folds=folds),
        "learning": lambda: learning.tasks(n_seeds=1, n_folds=folds, n_draws=settings.n_draws),
        "robustness": lambda: robustness.tasks(n_folds=folds),
        "course": lambda: course.tasks(corpus, n_folds=folds),
        "listeners": list,
        "explanations": lambda: explained.tasks(every=settings.every),
    }
    tasks: list[Task] = found[name]()
    return tasks


def _found(name: str, corpus: Corpus, settings: Settings, own: dict[str, Result]) -> Result:
    seeds, folds = settings.n_ablation_seeds, settings.n_folds
    found: dict[str, Any] = {
        "crossed": lambda: crossed.found_of(corpus, own, n_seeds=settings.n_seeds, n_folds=folds),
        "transfer": lambda: transfer.found_of(corpus, own),
        "ablation": lambda: ablation.found_of(corpus, own, n_seeds=seeds, n_folds=folds),
        "learning": lambda: learning.found_of(corpus, own, n_seeds=1, n_folds=folds),
        "robustness": lambda: robustness.found_of(corpus, own),
        "course": lambda: course.found_of(own),
        "listeners": lambda: listeners.listeners(corpus),
        "explanations": lambda: explained.found_of(own),
    }
    result: Result = found[name]()
    return result


_MISSING = {
    "transfer": "there is one source only",
    "course": "there are no curves of listeners",
}


def _about(corpus: Corpus, settings: Settings) -> dict[str, Any]:
    clips = {
        source: f"{len(rows)} clips of {len({corpus.truth.groups[row] for row in rows})} songs"
        for source in corpus.sources
        if (rows := corpus.of(source).tolist())
    }
    about: dict[str, Any] = {
        "emomusic": emomusic.__version__,
        "clips": "; ".join(f"{source}: {told}" for source, told in clips.items()),
        "folds": f"{settings.n_folds}, by song, {settings.n_seeds} seeds",
        "chosen within": f"ridge of {RIDGES}, width of {WIDTHS}, {N_INNER} inner folds by song",
    }
    if settings.quick:
        about["quick"] = "few fits, to see whether all works: no numbers to show"
    return about
