"""Measure the verifier and the judges on songs that they did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emomusic.emotion.space import QUADRANTS
from emomusic.music.notes import Notes
from emomusic.verify.features import feature_matrix
from emomusic.verify.fitting import fit_on, listener_values, notes_of_clips, song_folds, weights_of
from emomusic.verify.judges import FeatureJudge, SequenceJudge, roll_of
from emomusic.verify.labels import LabelledClip
from emomusic.verify.members import Matrix, log_odds
from emomusic.verify.verifier import Verifier

GRID_S = 1.0 / 24.0
"""Twelve steps a beat at 120 quarter notes a minute, the grid of generated scores."""
N_BINS = 10

Classes = NDArray[np.int64]
Rows = NDArray[np.int64]
Predict = Callable[[Rows, Rows, int], dict[str, Matrix]]
"""From the rows to fit on, the rows to test on and a seed to probabilities, shape (n_test, 4)."""


@dataclass(frozen=True)
class Result:
    """Hold how well one predictor did on the clips of one source.

    Attributes:
        what: The predictor and what it heard.
        source: Where the clips are from.
        n: Number of clips.
        quadrant: Share of right quadrants, mean over the seeds.
        quadrant_low: Lower end of the 95 % Wilson interval of `quadrant` at n clips.
        quadrant_high: Upper end.
        arousal: Share of right signs of arousal (Q1, Q2 against Q3, Q4).
        valence: Share of right signs of valence (Q1, Q4 against Q2, Q3).
        calibration_error: Expected calibration error of the quadrant in ten equal bins.
        listener_valence: Correlation with the listeners' valence; None where nobody was asked.
        listener_arousal: The same for arousal.
    """

    what: str
    source: str
    n: int
    quadrant: float
    quadrant_low: float
    quadrant_high: float
    arousal: float
    valence: float
    calibration_error: float
    listener_valence: float | None = None
    listener_arousal: float | None = None

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return the fields by name."""
        return asdict(self)


def wilson(share: float, n: int, *, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson interval of a share of n, 95 % wide by default.

    Reference:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(centre - half), float(centre + half)


def calibration_error(probabilities: Matrix, y: Classes) -> float:
    """Return how far confidence and accuracy lie apart, mean over clips, in ten equal bins.

    Args:
        probabilities: Shape (n, 4).
        y: Quadrants, 0 to 3, shape (n,).

    Reference:
        Guo, Pleiss, Sun and Weinberger (2017), On Calibration of Modern Neural Networks.
    """
    confidence = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == y).astype(np.float64)
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(y))


def flattened(notes: Notes) -> Notes:
    """Return the notes with every velocity 64."""
    return replace(notes, velocity=np.full_like(notes.velocity, 64))


def quantised(notes: Notes) -> Notes:
    """Return the notes with onsets and durations rounded to twelve steps a beat at 120."""
    onset_s = np.round(notes.onset_s / GRID_S) * GRID_S
    duration_s = np.maximum(np.round(notes.duration_s / GRID_S), 1.0) * GRID_S
    order = np.lexsort((notes.pitch, onset_s))
    return replace(notes, onset_s=onset_s, duration_s=duration_s).where(order)


class Check:
    """Measure predictors on labelled clips by song-grouped cross-validation."""

    def __init__(self, clips: Sequence[LabelledClip], *, n_folds: int, n_seeds: int) -> None:
        """Read the clips and measure what all checks share.

        Args:
            clips: Labelled clips of all quadrants.
            n_folds: Folds of each cross-validation, at least 2.
            n_seeds: Cross-validations, at least 1.

        Raises:
            ScoreError: If a file cannot be read.
            ValueError: If a number is too small.
        """
        if n_folds < 2 or n_seeds < 1:
            raise ValueError(f"need folds >= 2 and seeds >= 1, got {n_folds} and {n_seeds}")
        self.clips, self.n_folds, self.n_seeds = list(clips), n_folds, n_seeds
        self.y = np.array([QUADRANTS.index(clip.quadrant) for clip in clips])
        self.sources = np.array([clip.source for clip in clips])
        self.mapper = np.array([clip.part == "mapper" for clip in clips])
        self.valence, self.arousal = listener_values(clips)
        notes = notes_of_clips(clips)
        self.heard = {
            "as they are": feature_matrix(notes),
            "velocity 64": feature_matrix([flattened(clip) for clip in notes]),
            "12 steps a beat": feature_matrix([quantised(clip) for clip in notes]),
        }
        self.X = self.heard["as they are"]
        self.rolls = [roll_of(clip) for clip in notes]

    def results(self) -> Iterator[Result]:
        """Yield all results, one after the other."""
        every = np.arange(len(self.y))
        emopia = every[self.sources == "emopia"]
        yield from self._crossed("verifier", self._verified, every)
        yield from self._crossed("verifier, EMOPIA alone", self._verified_plainly, emopia)
        yield from self._transferred(emopia)
        yield from self._crossed("feature judge", self._judged_by_features, every)
        columns = self._sequence_columns(every)
        yield from self._crossed("sequence judge", self._judged_by_sequence(columns), every)
        yield from self._judged_across()
        yield from self._crossed("majority", self._majority, every, n_seeds=1)
        yield from self._crossed("verifier, labels shuffled", self._shuffled, emopia, n_seeds=1)

    def _crossed(
        self, what: str, predict: Predict, rows: Rows, *, n_seeds: int | None = None
    ) -> Iterator[Result]:
        """Cross-validate on some rows, folds balanced over quadrants and sources."""
        strata = self.y[rows] + 4 * (self.sources[rows] == "vgmidi")
        groups = [self.clips[row].group for row in rows]
        runs: dict[str, list[Matrix]] = {}
        for seed in range(self.n_seeds if n_seeds is None else n_seeds):
            run: dict[str, Matrix] = {}
            for fit, test in song_folds(strata, groups, n_folds=self.n_folds, seed=seed):
                for how, probabilities in predict(rows[fit], rows[test], seed).items():
                    run.setdefault(how, np.zeros((len(self.y), 4)))[rows[test]] = probabilities
            for how, probabilities in run.items():
                runs.setdefault(how, []).append(probabilities)
        for how, predicted in runs.items():
            yield from self._summed(f"{what}{how and ', '}{how}", predicted, rows)

    def _summed(self, what: str, runs: list[Matrix], rows: Rows) -> Iterator[Result]:
        for source in sorted(set(self.sources[rows])):
            own = rows[self.sources[rows] == source]
            yield self._result(what, source, [run[own] for run in runs], own)

    def _result(self, what: str, source: str, runs: list[Matrix], rows: Rows) -> Result:
        y = self.y[rows]
        hits = [_hits(run, y) for run in runs]
        quadrant, arousal, valence = np.mean(hits, axis=0).tolist()
        low, high = wilson(quadrant, len(rows))
        odds = np.mean([log_odds(run) for run in runs], axis=0)
        return Result(
            what,
            source,
            len(rows),
            quadrant,
            low,
            high,
            arousal,
            valence,
            float(np.mean([calibration_error(run, y) for run in runs])),
            _correlation(odds[:, 0], self.valence[rows]),
            _correlation(odds[:, 1], self.arousal[rows]),
        )

    def _fitted(self, rows: Rows, seed: int) -> Verifier:
        return fit_on(Verifier(seed=seed), self.X[rows], [self.clips[row] for row in rows])

    def _weight(self, rows: Rows) -> Matrix:
        return weights_of([self.clips[row] for row in rows])

    def _verified(self, fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
        verifier = self._fitted(fit, seed)
        return {how: verifier.predict_proba(X[test]) for how, X in self.heard.items()}

    def _verified_plainly(self, fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
        verifier = Verifier(seed=seed).fit_members(self.X[fit], self.y[fit], self._weight(fit))
        return {"uncalibrated": verifier.votes(self.X[test])}

    def _shuffled(self, fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
        y = np.random.default_rng(seed).permutation(self.y[fit])
        verifier = Verifier(seed=seed).fit_members(self.X[fit], y, np.ones(len(fit)))
        return {"": verifier.votes(self.X[test])}

    def _majority(self, fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
        del seed
        shares = np.bincount(self.y[fit], minlength=4) / len(fit)
        return {"": np.tile(shares, (len(test), 1))}

    def _transferred(self, emopia: Rows) -> Iterator[Result]:
        """Fit on EMOPIA alone, test on the clips of other sources."""
        others = np.flatnonzero(self.sources != "emopia")
        if len(others):
            runs = [
                self._fitted(emopia, seed).predict_proba(self.X) for seed in range(self.n_seeds)
            ]
            yield from self._summed("verifier, fitted on EMOPIA", runs, others)

    def _judged_by_features(self, fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
        judge = FeatureJudge(seed=seed).fit_features(self.X[fit], self.y[fit], self._weight(fit))
        return {"": judge.judge_features(self.X[test])}

    def _sequence_columns(self, rows: Rows) -> Matrix:
        """Draw filters by the rolls of some rows, without their labels; answer on all."""
        judge = SequenceJudge().draw([self.rolls[row] for row in rows])
        return judge.columns(self.rolls)

    def _judged_by_sequence(self, columns: Matrix) -> Predict:
        def predict(fit: Rows, test: Rows, seed: int) -> dict[str, Matrix]:
            judge = SequenceJudge(seed=seed).fit_columns(
                columns[fit], self.y[fit], self._weight(fit)
            )
            return {"": judge.judge_columns(columns[test])}

        return predict

    def _judged_across(self) -> Iterator[Result]:
        """Fit the judges on the "judge" part and test them on the "mapper" part, as in reports."""
        judge, mapper = np.flatnonzero(~self.mapper), np.flatnonzero(self.mapper)
        predictors = {
            "feature judge": self._judged_by_features,
            "sequence judge": self._judged_by_sequence(self._sequence_columns(judge)),
        }
        every = np.arange(len(self.y))
        for name, predict in predictors.items():
            runs = list(predict(judge, every, 0).values())
            yield from self._summed(f"{name}, judge part to mapper part", runs, mapper)


def _hits(probabilities: Matrix, y: Classes) -> tuple[float, float, float]:
    """Return the shares of right quadrants, right signs of arousal, right signs of valence."""
    said = probabilities.argmax(axis=1)
    arousal = (said < 2) == (y < 2)
    valence = np.isin(said, (0, 3)) == np.isin(y, (0, 3))
    return float(np.mean(said == y)), float(arousal.mean()), float(valence.mean())


def _correlation(predicted: Matrix, values: Matrix) -> float | None:
    asked = ~np.isnan(values)
    if asked.sum() < 3 or min(predicted[asked].std(), values[asked].std()) < 1e-9:
        return None
    return float(np.corrcoef(predicted[asked], values[asked])[0, 1])
