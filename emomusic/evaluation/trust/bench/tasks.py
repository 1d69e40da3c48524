"""Tasks done in several processes, each result kept as soon as it is there."""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import emomusic.verify as verify
from emomusic.evaluation.trust.bench.corpus import Corpus
from emomusic.files import write_text
from emomusic.verify.verifier import Predictions

Result = dict[str, Any]
Work = Callable[..., Result]
Progress = Callable[[str, int, int], None]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIGITS = 6


@dataclass(frozen=True)
class Task:
    """Name something to be done with the clips.

    Attributes:
        name: Unique among tasks; with the arguments it names the file that keeps the result.
        work: A function of a module, called with the corpus and the arguments; gives plain values.
        arguments: Plain values by name.
    """

    name: str
    work: Work
    arguments: dict[str, Any]

    def key(self, corpus_sum: str) -> str:
        """Return the sum of all that the result depends on."""
        code = Path(inspect.getfile(self.work)).read_text(encoding="utf-8")
        said = [corpus_sum, code, self.work.__qualname__, self.arguments]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def fold_tasks(
    name: str, work: Work, *, seeds: Iterable[int], n_folds: int, **arguments: Any
) -> list[Task]:
    """Return a task for each fold of each seed, named by both.

    Args:
        name: What the names begin with.
        work: Takes `seed`, `fold`, `n_folds` and the other arguments.
        seeds: Of the cross-validations.
        n_folds: Of each.
        arguments: The same for all.
    """
    return [
        Task(
            f"{name}-{seed}-{fold}",
            work,
            {**arguments, "seed": seed, "fold": fold, "n_folds": n_folds},
        )
        for seed in seeds
        for fold in range(n_folds)
    ]


def sum_of(corpus: Corpus) -> str:
    """Return the sum of the labels, of what was measured, and of the code that fits."""
    digest = hashlib.sha256()
    for clip in corpus.clips:
        digest.update(repr((clip.path.name, *_labels_of(clip))).encode())
    for column in (corpus.heard.rows, corpus.heard.owner):
        digest.update(np.ascontiguousarray(column).tobytes())
    folders = [Path(str(verify.__file__)).parent, Path(__file__).parent]
    for path in sorted(path for folder in folders for path in folder.rglob("*.py")):
        if path.name not in (
            "explain.py",
            "counterfactuals.py",
            "timeline.py",
            "plots.py",
            "rows.py",
        ):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _labels_of(clip: Any) -> list[Any]:
    return [value for name, value in vars(clip).items() if name != "path"]


def done(
    tasks: Sequence[Task],
    corpus: Corpus,
    folder: Path,
    *,
    processes: int = 1,
    progress: Progress = lambda name, n_done, n: None,
) -> dict[str, Result]:
    """Do tasks, or take what an earlier run kept.

    Args:
        tasks: What to do.
        corpus: What to do it with.
        folder: Where results are kept, a file for each.
        processes: How many do it, each with one thread for linear algebra; 1 works in this one.
        progress: Called with a name, how many tasks are done and how many there are.

    Returns:
        Results by the tasks' names.
    """
    own = sum_of(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    found = {task.name: kept for task in tasks if (kept := _kept(folder, task, own)) is not None}
    missing = [task for task in tasks if task.name not in found]
    progress("kept", len(found), len(tasks))
    for task, result in _worked(missing, corpus, processes):
        content = {"key": task.key(own), "result": result}
        write_text(folder / f"{task.name}.json", json.dumps(content) + "\n")
        found[task.name] = json.loads(json.dumps(result))
        progress(task.name, len(found), len(tasks))
    return found


def _kept(folder: Path, task: Task, corpus_sum: str) -> Result | None:
    try:
        content = json.loads((folder / f"{task.name}.json").read_text(encoding="utf-8"))
        return dict(content["result"]) if content["key"] == task.key(corpus_sum) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _worked(tasks: Sequence[Task], corpus: Corpus, processes: int) -> Iterator[tuple[Task, Result]]:
    if processes < 2 or len(tasks) < 2:
        for task in tasks:
            yield task, task.work(corpus, **task.arguments)
        return
    spawn = multiprocessing.get_context("spawn")
    with (
        _one_thread(),
        ProcessPoolExecutor(
            processes, mp_context=spawn, initializer=_begin, initargs=(corpus,)
        ) as pool,
    ):
        futures = {pool.submit(_work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that start meanwhile use one thread for linear algebra."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_CORPUS: list[Corpus] = []
"""In a process of the pool, the clips that it works on."""


def _begin(corpus: Corpus) -> None:
    _CORPUS[:] = [corpus]


def _work(task: Task) -> Result:
    return task.work(_CORPUS[0], **task.arguments)


def plain_answers(answers: Predictions) -> Result:
    """Return answers as lists of rounded numbers; NaN becomes null."""
    return {
        name: [_known(row) for row in np.round(value, DIGITS).tolist()]
        for name, value in vars(answers).items()
    }


def _known(value: Any) -> Any:
    """Return a number, or a list of them, with None for NaN."""
    if isinstance(value, list):
        return [_known(one) for one in value]
    return None if np.isnan(value) else value


def answers_of(plain: Result) -> Predictions:
    """Return what `plain_answers` was given."""
    return Predictions(
        *(
            np.array(plain[name], dtype=np.float64)
            for name in ("probabilities", "values", "spreads", "trust")
        )
    )
