"""How far a verifier can be trusted on labelled clips: as it is, or learned anew by folds."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.accuracy import HALVES, classes_of, macro_f1
from emomusic.evaluation.judges import Classes
from emomusic.evaluation.rows import (
    N_DRAWS,
    Matrix,
    Row,
    Table,
    interval,
    mean_interval,
    plain_rows,
    row_of,
    section,
    weights,
)
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.verify.analysis import Rows
from emomusic.verify.calibration import AXES
from emomusic.verify.ensemble import FeatureBatch, featurize
from emomusic.verify.labels import (
    COLUMNS,
    FittingLabels,
    LabelError,
    LabelledClip,
    read_labels,
    read_notes,
    song_folds,
)
from emomusic.verify.verifier import Predictions, Verifier

N_BINS, N_SIMULATED = 10, 200
FEWEST = 3
"""Of fewer rated clips no correlation is taken."""
SPREADS = {"within 1 sd": 1.0, "within 1.64 sd": 1.645}
"""A normal error lies within in 68 % and 90 %."""
TABLES = (
    Table(("right", "macro F1"), "of", note=
          "Arousal and valence are the signs of the quadrant said, so that all three come from one "
          "answer. Shares with the 95 % bootstrap interval over songs: clips of a song are not "
          "independent."),
    Table(("calibration error", "error by chance", "log loss", "Brier score"), "name", note=
          "Expected calibration error in ten bins; by chance: what perfect probabilities would "
          "show on as many clips. Log loss 1.386 and Brier 0.75 for equal shares."),
    Table(("r with listeners", "error", "spread stated", *SPREADS), "name", note=
          "Against listeners' means; a normal error lies within 1 sd in 0.68, within 1.64 sd in "
          "0.90."),
    Table(("confusion",), "said"),
)  # fmt: skip


class VerifierCheck(NamedTuple):
    """Say what is heard, or learned from, and how often.

    The source is a folder with `labels.csv` (path, source, song, and quadrant, valence, arousal
    where known), or with a folder `emotion` that has it. `progress` is called with how many
    clips, or fits, are done and how many there are.
    """

    source: Path
    checkpoint: Path = Path()  # of the verifier, its folder or file
    n_seeds: int = 5  # repetitions
    n_folds: int = 5  # by song
    processes: int = 2  # each with one thread for linear algebra
    progress: Callable[[int, int], None] = lambda n_done, n: None


class Truth(NamedTuple):
    """Hold what people said of n clips."""

    y: Classes  # quadrants, 0 to 3, and -1 where nobody said one, shape (n,)
    rated: Matrix  # listeners' valence and arousal, NaN where nobody was asked, shape (n, 2)
    groups: Any  # song of each clip, shape (n,)
    sources: Any  # shape (n,)

    def take(self, rows: Rows) -> Truth:
        """Return what was said of some of them."""
        return Truth(self.y[rows], self.rated[rows], self.groups[rows], self.sources[rows])


def score_sources(runs: Sequence[Predictions], truth: Truth, **by: str) -> Iterator[Row]:
    """Measure answers to the same n clips, source by source."""
    for source in sorted(set(truth.sources.tolist())):
        own = np.flatnonzero(truth.sources == source)
        yield from score_rows(
            [taken(run, own) for run in runs], truth.take(own), **by, heard=source
        )


def score_rows(runs: Sequence[Predictions], truth: Truth, **by: str) -> Iterator[Row]:
    """Measure answers to the same n clips in one or more runs."""
    known = np.flatnonzero(truth.y >= 0)
    if len(known):
        y, groups = truth.y[known], truth.groups[known]
        said = np.array([run.probabilities[known] for run in runs])  # (n_runs, n, 4)
        heard = said.argmax(axis=2)
        for axis, half in HALVES.items():
            hits = (half[heard] == half[y]).mean(axis=0)
            yield row_of("right", mean_interval(hits, groups), len(y), **by, of=axis)
        confusion = np.zeros((4, 4))
        np.add.at(confusion, (np.tile(y, len(runs)), heard.ravel()), 1.0 / len(runs))
        yield Row("macro F1", macro_f1(confusion), by=by)
        yield from _calibration(said, y, by)
        for (i, j), count in np.ndenumerate(confusion.round(2)):
            of = {"label": QUADRANTS[i], "said": QUADRANTS[j]}
            yield Row("confusion", float(count), by={**by, **of})
    for k, axis in enumerate(AXES):
        asked = np.flatnonzero(~np.isnan(truth.rated[:, k]))
        if len(asked) >= FEWEST:
            values, spreads = (
                np.array([own[asked, k] for own in column])
                for column in zip(*((run.values, run.spreads) for run in runs), strict=True)
            )
            rated, groups = truth.rated[asked, k], truth.groups[asked]
            yield from _agreement(values, spreads, rated, groups, {**by, "axis": axis})


def _calibration(said: Matrix, y: Classes, by: dict[str, str]) -> Iterator[Row]:
    """Yield whether a probability of 0.8 means right in eight of ten.

    Reference:
        Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    confidence, right = said.max(axis=2), said.argmax(axis=2) == y
    drawn = np.random.default_rng(0).random((N_SIMULATED, len(y))) < confidence[0]
    by_chance = np.array([calibration_error(confidence[0], own) for own in drawn])
    errors = [calibration_error(*own) for own in zip(confidence, right, strict=True)]
    measured = {
        "calibration error": np.mean(errors),
        "log loss": -np.log(np.maximum(said[:, np.arange(len(y)), y], 1e-12)).mean(),
        "Brier score": ((said - np.eye(4)[y]) ** 2).sum(axis=2).mean(),
    }
    yield from plain_rows(measured, **by)
    yield row_of("error by chance", interval(by_chance.mean(), by_chance), **by)


def calibration_error(confidence: Matrix, right: Any) -> float:
    """Return how far confidence and accuracy lie apart, mean over clips, in ten equal bins."""
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = np.bincount(bins, weights=right.astype(np.float64) - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(right))


def _agreement(
    values: Matrix, spreads: Matrix, rated: Matrix, groups: Any, by: dict[str, str]
) -> Iterator[Row]:
    """Yield how answers on one axis follow listeners, shape (n_runs, n) each."""
    counts = np.vstack([np.ones(len(rated)),
                        weights(groups, N_DRAWS, rng=np.random.default_rng(0))])  # fmt: skip
    r = np.mean([weighted_correlation(run, rated, counts) for run in values], axis=0)
    if np.isnan(r[0]):
        return
    yield row_of("r with listeners", interval(r[0], r[1:]), len(rated), **by)
    errors = values - rated
    yield Row("error", float(np.sqrt((errors**2).mean())), by=by)
    if not np.isnan(spreads).any():
        within = {name: (np.abs(errors) <= z * spreads).mean() for name, z in SPREADS.items()}
        yield from plain_rows({"spread stated": spreads.mean(), **within}, **by)


def weighted_correlation(x: Matrix, y: Matrix, counts: Matrix) -> Matrix:
    """Return Pearson's correlation in each draw, shape (n_draws,); NaN where one never varies."""
    x, y = x - x.mean(), y - y.mean()
    n, sx, sy = counts.sum(axis=1), counts @ x, counts @ y
    spread = np.sqrt(np.maximum((n * (counts @ x**2) - sx**2) * (n * (counts @ y**2) - sy**2), 0))
    r: Matrix = np.full(len(counts), np.nan)
    np.divide(n * (counts @ (x * y)) - sx * sy, spread, out=r, where=spread > 1e-9)
    return r


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return answers one after the other."""
    return Predictions(
        *map(np.concatenate, zip(*(vars(own).values() for own in parts), strict=True))
    )


def taken(answers: Predictions, rows: Rows) -> Predictions:
    """Return the answers to some of the clips."""
    return Predictions(*(value[rows] for value in vars(answers).values()))


def in_order(parts: Sequence[tuple[Rows, Predictions]]) -> tuple[Rows, Predictions]:
    """Return the places of clips that were answered part by part, rising, and the answers."""
    places = np.concatenate([rows for rows, _ in parts])
    order = np.argsort(places)
    return places[order], taken(joined([answers for _, answers in parts]), order)


@section("The trained verifier", *TABLES)
def trained(given: VerifierCheck) -> Iterator[Row | str]:
    """Let the verifier of a checkpoint hear all clips of a folder.

    A clip whose row or file cannot be used is counted, with the reason; an error says that none
    can. A row may lack the quadrant, or valence and arousal; what it has is used.
    """
    verifier = Verifier.load(given.checkpoint)
    below = given.source / "emotion"
    table = (below if (below / "labels.csv").is_file() else given.source) / "labels.csv"
    rows, skipped = labelled_rows(table)
    heard, used = [], []
    for at, row in enumerate(rows):
        given.progress(at, len(rows))
        try:
            heard.append(verifier.predict(featurize([notes_of(read_score(row.path))])))
            used.append(row)
        except ScoreError as error:
            skipped.append(str(error))
    given.progress(len(rows), len(rows))
    if not used:
        raise LabelError(f"no clip of {table} can be used: {(skipped or ['it is empty'])[0]}")
    answers = joined(heard)
    _, sources, groups, y, rated = (np.array(column) for column in zip(*used, strict=True))
    truth = Truth(y, rated, groups, sources)
    yield from score_sources([answers], truth)
    if len(set(sources)) > 1:
        yield from score_rows([answers], truth, heard="all")
    kinds = Counter(reason.partition(":")[0].partition(", got")[0] for reason in skipped)
    told = "; ".join(f"{n} × {why}" for why, n in kinds.items()) or "none"
    names = [path.resolve().name for path in (given.checkpoint, given.source)]
    yield f"`{names[0]}` on `{names[1]}`: {len(used)} clips heard."
    yield f"Skipped: {told}."
    yield "Songs that it learned from are no test."


class LabelledRow(NamedTuple):
    """Hold a row of a table of labelled clips: quadrant -1 and NaN are what it does not tell."""

    path: Path
    source: str
    group: str
    y: int
    rated: tuple[float, float]


def labelled_rows(table: Path) -> tuple[list[LabelledRow], list[str]]:
    """Return the usable rows of a table of labelled clips, and why each other cannot be used."""
    found, skipped = [], []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS[:3] if name not in (reader.fieldnames or ())]:
                raise LabelError(f"{table} lacks the columns {missing}")
            for row in reader:
                try:
                    found.append(_row(table.parent, row))
                except ValueError as error:
                    skipped.append(str(error))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read {table}: {error}") from error
    return found, skipped


def _row(folder: Path, row: Mapping[str | None, Any]) -> LabelledRow:
    path, source, song, quadrant, *told = ((row.get(name) or "").strip() for name in COLUMNS)
    if not (path and source and song):
        raise ValueError("path, source and song must be named")
    if quadrant and quadrant not in QUADRANTS:
        raise ValueError(f"quadrant must be one of {', '.join(QUADRANTS)}, got {quadrant!r}")
    try:
        inside = all(-1.0 <= float(text or 0) <= 1.0 for text in told)
    except ValueError:
        inside = False
    if not inside:
        raise ValueError(f"valence and arousal must be numbers in [-1, 1], got {told}")
    if not (quadrant or any(told)):
        raise ValueError("neither a quadrant nor valence or arousal is told")
    valence, arousal = (float(text or "nan") for text in told)
    y = QUADRANTS.index(quadrant) if quadrant else -1
    return LabelledRow(folder / path, source, f"{source}/{song}", y, (valence, arousal))


@dataclass(frozen=True)
class Corpus:
    """Hold labelled clips, their notes, and features and patterns of them and their parts."""

    clips: tuple[LabelledClip, ...]
    notes: tuple[Notes, ...]
    heard: FeatureBatch

    @classmethod
    def read(cls, source: Path) -> Corpus:
        """Read and measure the labelled clips of a folder."""
        clips = read_labels(source)
        notes = read_notes(clips)
        return cls(tuple(clips), tuple(notes), featurize(notes))

    @cached_property
    def truth(self) -> Truth:
        labels = FittingLabels.of(self.clips)
        y = classes_of([clip.quadrant for clip in self.clips])
        sources = np.array([clip.source for clip in self.clips])
        return Truth(y, labels.values, np.array(labels.songs), sources)

    @cached_property
    def sources(self) -> dict[str, Rows]:
        own = self.truth.sources
        return {name: np.flatnonzero(own == name) for name in sorted(set(own.tolist()))}

    def folds(self, *, n_folds: int, seed: int) -> list[tuple[Rows, Rows]]:
        """Return the clips to fit and to test on, by song, balanced over quadrants and sources."""
        source = np.unique(self.truth.sources, return_inverse=True)[1]
        groups = self.truth.groups.tolist()
        return list(song_folds(self.truth.y + 4 * source, groups, n_folds=n_folds, seed=seed))

    def fit(self, rows: Rows, *, clips: Sequence[LabelledClip] = (), seed: int = 0) -> Verifier:
        """Fit a verifier as shipped on some clips; `clips` stand in for all, with other labels."""
        own = [(clips or self.clips)[row] for row in rows.tolist()]
        return Verifier(seed=seed).fit(self.heard.take(rows), FittingLabels.of(own))

    def answer(self, verifier: Verifier, rows: Rows) -> Predictions:
        """Let a verifier hear some clips."""
        return verifier.predict(self.heard.take(rows))

    def scored(self, *runs: Sequence[tuple[Rows, Predictions]], **by: str) -> Iterator[Row]:
        """Yield the measures of each source; each run answers to the same clips, part by part."""
        ordered = [in_order(parts) for parts in runs]
        answers, places = [own for _, own in ordered], ordered[0][0]
        yield from score_sources(answers, self.truth.take(places), **by)


@section("Songs left out", *TABLES)
def learned(given: VerifierCheck) -> Iterator[Row | str]:
    """Fit as shipped on all folds but one, hear that one; no song is on both sides."""
    corpus = Corpus.read(given.source)
    jobs = [
        (seed, *fold)
        for seed in range(given.n_seeds)
        for fold in corpus.folds(n_folds=given.n_folds, seed=seed)
    ]
    runs: list[list[tuple[Rows, Predictions]]] = [[] for _ in range(given.n_seeds)]
    for at, answers in enumerate(_answered(corpus, jobs, given.processes)):
        given.progress(at + 1, len(jobs))
        seed, _, test = jobs[at]
        runs[seed].append((test, answers))
    yield from corpus.scored(*runs)
    songs = {name: len(set(corpus.truth.groups[own])) for name, own in corpus.sources.items()}
    told = "; ".join(f"{name}: {len(own)} clips of {songs[name]} songs"
                     for name, own in corpus.sources.items())  # fmt: skip
    yield f"{told}. {given.n_folds} folds by song, {given.n_seeds} seeds."


def _answered(
    corpus: Corpus, jobs: Sequence[tuple[int, Rows, Rows]], processes: int
) -> Iterator[Predictions]:
    if processes < 2:
        yield from map(partial(_answer, corpus), jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(_answer, corpus), jobs)


def _answer(corpus: Corpus, job: tuple[int, Rows, Rows]) -> Predictions:
    from threadpoolctl import threadpool_limits

    seed, fit, test = job
    with threadpool_limits(1):
        return corpus.answer(corpus.fit(fit, seed=seed), test)
