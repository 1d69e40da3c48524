"""How far can the verifier be trusted? Songs left out, another corpus, changed clips, few labels.

    python -m studies.verifier.study --source datasets/raw --out out/verifier

All is fitted as shipped. Each verifier hears songs that it did not learn from.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from emomusic.evaluation.accuracy import HALVES
from emomusic.evaluation.judges import flattened
from emomusic.evaluation.rows import (
    LeftOutError,
    Matrix,
    Plot,
    Row,
    Table,
    mean_interval,
    row_of,
    section,
    share,
)
from emomusic.evaluation.verifier import TABLES, Corpus, VerifierCheck, in_order, learned
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score, write_score
from emomusic.verify.analysis import Rows
from emomusic.verify.calibration import AXES, log_odds
from emomusic.verify.ensemble import featurize
from emomusic.verify.features import feature_matrix
from emomusic.verify.labels import Curve, read_curves
from emomusic.verify.verifier import Predictions, Verifier
from studies import main_of, run_study
from studies.verifier.faithful import explanations

GRID_S = 1.0 / 24.0
"""Twelve steps a beat at 120 quarter notes a minute, the grid of generated scores."""
DUMMY_TEMPO = 120.0
N_TREES = 500
PERCENTS = (1, 2, 5, 10, 20, 50, 100)
WINDOW_BARS, FEWEST_NOTES, FEWEST_WINDOWS = 4, 4, 4
Change = Callable[[Notes, Path], Notes]
"""From the notes of a clip and the path of its file."""


@dataclass(frozen=True)
class Given:
    """Hold what is measured on.

    Attributes:
        source: Folder of labelled clips.
        n_seeds: Repetitions.
        n_folds: By song.
        processes: How many work.
        every: Every how many clips one is explained.
    """

    source: Path
    n_seeds: int = 5
    n_folds: int = 5
    processes: int = 2
    every: int = 2

    @cached_property
    def corpus(self) -> Corpus:
        """Return the clips, measured once."""
        return Corpus.read(self.source)

    @cached_property
    def fitted(self) -> list[tuple[Verifier, Rows]]:
        """Return a verifier for each fold, and the clips that it did not learn from."""
        folds = self.corpus.folds(n_folds=self.n_folds, seed=0)
        return [(self.corpus.fit(fit), test) for fit, test in folds]


@section("Songs left out", *TABLES)
def crossed(given: Given) -> Iterator[Row | str]:
    """Fit on all folds but one, hear that one, over several seeds."""
    own = VerifierCheck(
        given.source, n_seeds=given.n_seeds, n_folds=given.n_folds, processes=given.processes
    )
    yield from learned.measure(own)


@section("What numbers must be above", *TABLES[:1])
def controls(given: Given) -> Iterator[Row]:
    """Answer with the commonest quadrant, learn labels of other songs, and let a forest learn."""
    from sklearn.ensemble import RandomForestClassifier

    corpus, every = given.corpus, np.arange(len(given.corpus.clips))
    dealt = dealt_labels(corpus, seed=0)
    wrong = [replace(corpus.clips[other], path=clip.path, song=clip.song)
             for clip, other in zip(corpus.clips, dealt.tolist(), strict=True)]  # fmt: skip
    features, y = feature_matrix(corpus.notes), corpus.truth.y
    said = {name: np.zeros((len(every), 4)) for name in ("majority", "forest", "dealt")}
    for fit, test in corpus.folds(n_folds=given.n_folds, seed=0):
        verifier = corpus.fit(fit, clips=wrong)
        said["dealt"][test] = corpus.answer(verifier, test).probabilities
        forest = RandomForestClassifier(N_TREES, random_state=0, n_jobs=1).fit(
            features[fit], y[fit]
        )
        said["forest"][np.ix_(test, forest.classes_)] = forest.predict_proba(features[test])
        for own in corpus.sources.values():
            counts = np.bincount(y[np.intersect1d(fit, own)], minlength=4)
            said["majority"][np.intersect1d(test, own)] = counts / max(counts.sum(), 1)
    names = {"dealt": "verifier, labels dealt to other songs", "forest": "random forest",
             "majority": "majority"}  # fmt: skip
    for name, probabilities in said.items():
        yield from corpus.scored([(every, without_spread(probabilities))], what=names[name])


def dealt_labels(corpus: Corpus, *, seed: int) -> Rows:
    """Return for each clip the clip whose label it gets: songs swap labels within a source.

    Clips of one song get labels of one song, so they agree as often as they truly do.
    """
    rng, groups = np.random.default_rng(seed), corpus.truth.groups
    dealt = np.arange(len(corpus.clips))
    for own in corpus.sources.values():
        songs = np.unique(groups[own])
        for song, other in zip(songs, rng.permutation(songs), strict=True):
            places, given = np.flatnonzero(groups == song), np.flatnonzero(groups == other)
            dealt[places] = np.resize(given, len(places))
    return dealt


def without_spread(probabilities: Matrix) -> Predictions:
    """Return probabilities as answers that state no spread."""
    n = len(probabilities)
    return Predictions(probabilities, log_odds(probabilities), np.full((n, 2), np.nan), np.ones(n))


@section("Another corpus", *TABLES)
def transfer(given: Given) -> Iterator[Row]:
    """Learn from one corpus, hear the others."""
    corpus = given.corpus
    if len(corpus.sources) < 2:
        raise LeftOutError("there is one source only")
    for source, own in corpus.sources.items():
        others = np.setdiff1d(np.arange(len(corpus.clips)), own)
        answers = corpus.answer(corpus.fit(own), others)
        yield from corpus.scored([(others, answers)], learned=source)


@section(
    "Few labels",
    *TABLES[:1],
    plots=(Plot("right", "curve", "percent", "of", "heard"),),
)  # fmt: skip
def learning(given: Given) -> Iterator[Row]:
    """Learn from a share of the songs of all folds but one, hear that one.

    Music FaderNets (Tan and Herremans 2020) state that 1 % of labels suffice for arousal.
    """
    corpus = given.corpus
    folds = corpus.folds(n_folds=given.n_folds, seed=0)
    for percent in PERCENTS:
        few = [(drawn_songs(corpus, fit, percent, seed=0), test) for fit, test in folds]
        try:
            parts = [(test, corpus.answer(corpus.fit(own), test)) for own, test in few]
        except ValueError:  # too few songs to calibrate on
            continue
        yield from corpus.scored(parts, percent=str(percent))


def drawn_songs(corpus: Corpus, fit: Rows, percent: int, *, seed: int) -> Rows:
    """Return the clips of a share of the songs, drawn so that each quadrant occurs.

    One song of each quadrant is drawn first, then others, until the share is reached. A larger
    share holds the songs of a smaller one.
    """
    rng = np.random.default_rng(seed)
    groups, y = corpus.truth.groups[fit], corpus.truth.y[fit]
    songs = rng.permutation(np.unique(groups)).tolist()
    first: list[str] = []
    for quadrant in rng.permutation(np.unique(y)).tolist():
        holds = set(groups[y == quadrant].tolist()) - set(first)
        first += [song for song in songs if song in holds][:1]
    order = [*first, *(song for song in songs if song not in set(first))]
    return fit[np.isin(groups, order[: max(round(len(songs) * percent / 100), len(first))])]


def louder(notes: Notes, factor: float) -> Notes:
    """Return the notes with velocities multiplied, rounded and kept within 1 to 127."""
    velocity = np.clip(np.round(notes.velocity * factor), 1, 127).astype(notes.velocity.dtype)
    return replace(notes, velocity=velocity)


def transposed(notes: Notes, semitones: int) -> Notes:
    """Return the notes some semitones higher, kept within 0 to 127."""
    return replace(notes, pitch=np.clip(notes.pitch + semitones, 0, 127))


def quantised(notes: Notes) -> Notes:
    """Return the notes with onsets and durations rounded to twelve steps a beat at 120."""
    onset_s = np.round(notes.onset_s / GRID_S) * GRID_S
    duration_s = np.maximum(np.round(notes.duration_s / GRID_S), 1.0) * GRID_S
    order = np.lexsort((notes.pitch, onset_s))
    return replace(notes, onset_s=onset_s, duration_s=duration_s).where(order)


def misread(notes: Notes, factor: float) -> Notes:
    """Return the notes as if played at a multiple of their tempo: the beats stay."""
    return replace(notes, onset_s=notes.onset_s / factor, duration_s=notes.duration_s / factor)


def beats_unknown(notes: Notes) -> Notes:
    """Return the notes as a recording has them: right seconds, beats of a tempo of 120."""
    beats = DUMMY_TEMPO / 60.0
    return replace(notes, onset=notes.onset_s * beats, duration=notes.duration_s * beats)


def with_more_ticks(path: Path) -> Notes:
    """Read a file, write it with twice as many ticks a quarter note, and read that."""
    score = read_score(path)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "doubled.mid"
        write_score(score.resample(2 * score.ticks_per_quarter), written)
        return notes_of(read_score(written))


CHANGES: Mapping[str, Change] = {
    **{f"transposed by {k:+d}": lambda notes, path, k=k: transposed(notes, k)  # type: ignore[misc]
       for k in (-5, -2, -1, 1, 2, 5)},
    "ticks doubled": lambda notes, path: with_more_ticks(path),
    "velocity 64": lambda notes, path: flattened(notes),
    "velocity x 0.7": lambda notes, path: louder(notes, 0.7),
    "velocity x 1.3": lambda notes, path: louder(notes, 1.3),
    "12 steps a beat": lambda notes, path: quantised(notes),
    "beats unknown": lambda notes, path: beats_unknown(notes),
    "tempo misread x 0.5": lambda notes, path: misread(notes, 0.5),
    "tempo misread x 2": lambda notes, path: misread(notes, 2.0),
}  # fmt: skip
"""A misread tempo is heard as slower or faster music: verdicts ought to change with it."""


@section(
    "Changed clips",
    Table(("verdicts changed", *(f"{axis} right" for axis in HALVES),
           *(f"{axis} moved" for axis in AXES), "trust"), "name", note=
          "`moved` is the mean distance on the scale of listeners. A misread tempo is faster or "
          "slower music and ought to be heard so; `beats unknown` keeps the seconds and states a "
          "tempo of 120."),
)  # fmt: skip
def robustness(given: Given) -> Iterator[Row]:
    """Hear clips changed in ways that leave their emotion, or that a file may have suffered."""
    corpus = given.corpus
    plain = _heard(given, lambda notes, path: notes)
    for name, change in CHANGES.items():
        own = _heard(given, change)
        said, before = own.probabilities.argmax(axis=1), plain.probabilities.argmax(axis=1)
        moved = np.abs(own.values - plain.values)
        for source, at in corpus.sources.items():
            by, n = {"change": name, "heard": source}, len(at)
            yield row_of("verdicts changed", share(int((said != before)[at].sum()), n), n, **by)
            for axis, half in HALVES.items():
                right = half[said[at]] == half[corpus.truth.y[at]]
                yield Row(f"{axis} right", float(right.mean()), by=by)
            for k, axis in enumerate(AXES):
                yield Row(f"{axis} moved", float(moved[at, k].mean()), by=by)
            yield Row("trust", float(own.trust[at].mean()), by=by)


def _heard(given: Given, change: Change) -> Predictions:
    corpus, parts = given.corpus, []
    for verifier, test in given.fitted:
        pairs = [(corpus.notes[row], corpus.clips[row].path) for row in test.tolist()]
        parts.append((test, verifier.predict(featurize([change(*pair) for pair in pairs]))))
    return in_order(parts)[1]


@section(
    "The emotion curve of a piece",
    Table(("r within a piece",), "with", note=
          "Windows of four bars, by a verifier that did not learn the piece; mean over pieces, "
          "bootstrap interval over pieces."),
)  # fmt: skip
def course(given: Given) -> Iterator[Row]:
    """Hold the curve of each piece against what listeners said as it went on."""
    corpus, found = given.corpus, []
    folder = given.source / "emotion" if (given.source / "emotion").is_dir() else given.source
    curves = read_curves(folder)
    places = {clip.path.relative_to(folder).as_posix(): k for k, clip in enumerate(corpus.clips)}
    of_clip = {places[name]: curve for name, curve in curves.items() if name in places}
    for verifier, test in given.fitted:
        for row in (row for row in test.tolist() if row in of_clip):
            windows = windows_of(corpus.notes[row], of_clip[row])
            if len(windows) >= FEWEST_WINDOWS:
                trust = verifier.verdict(corpus.notes[row]).trust
                verdicts = [verifier.window_verdict(notes, trust=trust) for notes, _ in windows]
                heard = np.array([[v.valence, v.arousal] for v in verdicts])
                found.append((heard, np.array([said for _, said in windows])))
    if not found:
        raise LeftOutError("there are no curves of listeners")
    yield from followed_rows(found)


def windows_of(notes: Notes, curve: Curve) -> list[tuple[Notes, list[float]]]:
    """Return the notes of each four bars and what listeners said of these, valence and arousal.

    Bars are the measures of the listeners' curve, evenly spread over the recording.
    """
    n = len(curve.valence)
    bar_s, found = curve.duration_s / n, []
    for start in range(0, n, WINDOW_BARS):
        end = min(start + WINDOW_BARS, n)
        inside = (notes.onset_s >= start * bar_s) & (notes.onset_s < end * bar_s)
        if inside.sum() >= FEWEST_NOTES:
            said = [float(np.mean(axis[start:end])) for axis in (curve.valence, curve.arousal)]
            found.append((notes.where(inside), said))
    return found


def followed_rows(pieces: list[tuple[Matrix, Matrix]], *, seed: int = 0) -> Iterator[Row]:
    """Yield how courses heard follow those said within pieces, and those of other pieces.

    Args:
        pieces: Heard and said in each window, shape (n_windows, 2) each.
        seed: Deals the curves.
    """
    order = np.random.default_rng(seed).permutation(len(pieces))
    other = dict(zip(order.tolist(), np.roll(order, 1).tolist(), strict=True))
    for k, axis in enumerate(AXES):
        for kind in ("its own curve", "another piece's"):
            r = []
            for at, (heard, said) in enumerate(pieces):
                curve = said[:, k] if kind == "its own curve" else pieces[other[at]][1][:, k]
                places = np.linspace(0, 1, len(heard)), np.linspace(0, 1, len(curve))
                curve = np.interp(*places, curve)
                if min(heard[:, k].std(), curve.std()) > 1e-9:
                    r.append(np.corrcoef(heard[:, k], curve)[0, 1])
            by = {"axis": axis, "with": kind}
            if r:
                found = mean_interval(np.array(r), np.arange(len(r)))
                yield row_of("r within a piece", found, len(r), **by)


PARTS = (crossed, controls, transfer, learning, robustness, course, explanations)


def measure(args: argparse.Namespace) -> str:
    """Return the report."""
    size = {"n_seeds": 1, "n_folds": 3, "every": 20} if args.quick else {}
    given = Given(args.source, processes=args.processes, **size)
    about = {"folds": f"{given.n_folds}, by song, {given.n_seeds} seeds"}
    title = "How far the verifier can be trusted"
    return run_study(title, PARTS, given, about=about, out=args.out, only=args.only)


main = main_of(
    __doc__, measure, needs={"source": "folder with labels"}, composes=False, processes=2
)


if __name__ == "__main__":
    main()
