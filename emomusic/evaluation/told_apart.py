"""Whether composed music is told from real music by its structure alone, and plain rates of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.evaluation.pieces import Piece
from emomusic.evaluation.rows import (
    N_DRAWS,
    Interval,
    Matrix,
    Row,
    Table,
    interval,
    mean_interval,
    row_of,
    section,
    weights,
)
from emomusic.evaluation.structure import STYLE, Values, features_of, louder_end
from emomusic.verify.labels import song_folds

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

N_FOLDS, N_REPEATS = 8, 3
FAR = 8.0
"""Semitones by which the last four bars may be off the rest."""
LOUD = 10.0
"""Velocity by which the last third may be louder than the rest."""


@dataclass(frozen=True)
class Rate:
    """Name a plain rate.

    Attributes:
        what: In words.
        of: From a piece's features to a number; NaN does not count.
        quadrant: Whose pieces it is over; None is all.
    """

    what: str
    of: Callable[[Values], float]
    quadrant: str | None = None


RATES = (
    Rate("left hand's rhythm shared with the bar before", lambda v: v["left_rhythm_lag_1"]),
    Rate("left hand's rhythm exactly that of the bar before", lambda v: v["left_rhythm_same"]),
    Rate("left hand exactly the bar before, note for note", lambda v: v["left_repeats"]),
    Rate("bass struck at a chord change", lambda v: v["bass_at_change"]),
    Rate("motifs of four notes that return", lambda v: v["motif_returns"]),
    Rate("melodic steps", lambda v: v["melody_steps"]),
    Rate("spans of a hand over 14 semitones", lambda v: v["wide_spans"]),
    Rate("minor seconds sounding", lambda v: v["minor_seconds"]),
    Rate("minor seconds sounding, Q3", lambda v: v["minor_seconds"], "Q3"),
    Rate("last four bars over 8 semitones off", lambda v: _over(v["last_bars_off"], FAR)),
    Rate("velocity of the last third less the rest", lambda v: v["louder_end"]),
    Rate("last third louder by over 10", lambda v: _over(v["louder_end"], LOUD)),
    Rate("last third louder by over 10, Q3", lambda v: _over(v["louder_end"], LOUD), "Q3"),
    Rate("bars from the fifth on that return", lambda v: v["returning_bars"]),
    Rate("likeness of the best four bars that return", lambda v: v["theme_returns"]),
)
"""What a reader can picture; all but the velocities are among the features."""


@dataclass(frozen=True)
class Measured:
    """Hold pieces of one kind with what was measured.

    Attributes:
        pieces: The pieces.
        values: Features of each, and `louder_end`.
    """

    pieces: Sequence[Piece]
    values: Sequence[Values]

    def rate(self, rate: Rate) -> Interval | None:
        """Return the mean of a rate, drawing songs for its interval; None where none counts."""
        chosen = [
            (rate.of(values), piece.group)
            for piece, values in zip(self.pieces, self.values, strict=True)
            if rate.quadrant in (None, piece.quadrant)
        ]
        known = [(value, group) for value, group in chosen if not np.isnan(value)]
        if not known:
            return None
        column = np.array([value for value, _ in known])
        return mean_interval(column, [group for _, group in known])

    def table(self, names: Sequence[str]) -> Matrix:
        """Return features, shape (n_pieces, n_names)."""
        rows = [[own.get(name, np.nan) for name in names] for own in self.values]
        return np.array(rows, dtype=np.float64).reshape(len(self.pieces), len(names))


def measure_pieces(pieces: Sequence[Piece]) -> Measured:
    """Measure pieces of as many bars each."""
    values = [features_of(piece) | {"louder_end": louder_end(piece)} for piece in pieces]
    return Measured(pieces, values)


@dataclass(frozen=True)
class Told:
    """Hold how well composed pieces are told from real ones by structure alone.

    Attributes:
        n_composed: Composed pieces.
        n_real: Real pieces.
        auc: By each ear: 0.5 is chance, 1 is always. Intervals draw songs again.
        other: The same of other real pieces, in the place of the composed ones, heard by the ears
            that learnt from these: 0.5 is as real as real. Empty where there are none.
    """

    n_composed: int
    n_real: int
    auc: dict[str, Interval]
    other: dict[str, Interval]


def tell_apart(
    composed: Measured,
    real: Measured,
    other: Measured | None = None,
    *,
    n_repeats: int = N_REPEATS,
    seed: int = 0,
) -> Told:
    """Let two ears learn to tell composed from real pieces, and hear those they did not learn from.

    `plain` is a logistic regression on the features' ranks; `keen` is a forest of extremely
    randomised trees, which hears more, and more that is no music. Both learn on folds without a
    song on both sides, and hear no feature of `STYLE`.

    Args:
        composed: Of as many bars as the others; one that goes on from a real piece is of its group.
        real: Real pieces.
        other: Real pieces of another corpus, as a scale to read by.
        n_repeats: How often they learn anew, on other folds; what they heard is added up.
    """
    names = ear_names(real)
    X = np.concatenate([composed.table(names), real.table(names)])
    y = (np.arange(len(X)) < len(composed.pieces)).astype(np.int64)
    groups = [piece.group for piece in (*composed.pieces, *real.pieces)]
    others = np.zeros((0, len(names))) if other is None else other.table(names)
    auc, beside = {}, {}
    for name, make in LISTENERS.items():
        heard, heard_other = np.zeros(len(X)), np.zeros(len(others))
        for repeat in range(seed, seed + n_repeats):
            for fit, test in song_folds(y, groups, n_folds=N_FOLDS, seed=repeat):
                ear = make(repeat).fit(X[fit], y[fit])
                heard[test] += ear.predict_proba(X[test])[:, 1]
                if len(others):
                    heard_other += ear.predict_proba(others)[:, 1] / N_FOLDS
        auc[name] = _auc(heard[y == 1], heard[y == 0], groups, seed=seed)
        if other is not None:
            known = [piece.group for piece in (*other.pieces, *real.pieces)]
            beside[name] = _auc(heard_other, heard[y == 0], known, seed=seed)
    return Told(len(composed.pieces), len(real.pieces), auc, beside)


def ear_names(measured: Measured) -> list[str]:
    """Return the names of the features that ears hear."""
    return [name for name in measured.values[0] if name not in STYLE and name != "louder_end"]


def feature_aucs(composed: Measured, real: Measured) -> dict[str, float]:
    """Return how well each feature alone tells composed from real, above 0.5 if it is greater."""
    names = [name for name in real.values[0] if name != "louder_end"]
    found = {}
    for name, mine, theirs in zip(names, composed.table(names).T, real.table(names).T, strict=True):
        known = [own[~np.isnan(own)] for own in (mine, theirs)]
        if all(map(len, known)):
            found[name] = float(_wins(*known).mean())
    return found


def _plain(seed: int) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    ranks = QuantileTransformer(n_quantiles=25, output_distribution="normal", random_state=seed)
    model = LogisticRegression(C=0.03, max_iter=2000, class_weight="balanced")
    return make_pipeline(SimpleImputer(strategy="median"), ranks, model)


def _keen(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    forest = ExtraTreesClassifier(
        100, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    return make_pipeline(SimpleImputer(strategy="median"), forest)


LISTENERS: dict[str, Callable[[int], Any]] = {"plain": _plain, "keen": _keen}


def _over(value: float, limit: float) -> float:
    return value if np.isnan(value) else float(value > limit)


def _wins(mine: Matrix, theirs: Matrix) -> Matrix:
    """Return 1 where one is greater, and one half where both are equal, shape (n, m)."""
    apart = mine[:, None] - theirs[None, :]
    wins: Matrix = (apart > 0) + 0.5 * (apart == 0)
    return wins


def _auc(mine: Matrix, theirs: Matrix, groups: Sequence[str], *, seed: int) -> Interval:
    """Return the area under the curve; its interval draws songs, those of both sides together."""
    wins = _wins(mine, theirs)
    counts = weights(groups, N_DRAWS, rng=np.random.default_rng(seed))
    left, right = counts[:, : len(mine)], counts[:, len(mine) :]
    pairs = left.sum(axis=1) * right.sum(axis=1)
    draws = ((left @ wins) * right).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    return interval(float(wins.mean()), draws)


@section(
    "Structure told from real music",
    uses=("count", "bars", "seed", "steering", "rows"),
    needs_rows=True,
    tables=(
        Table(("told from real EMOPIA",), "pieces", note=
              "Area under the curve of classifiers on structure alone (no loudness, no tempo), by "
              "song: 0.5 would be not at all. `plain` is a logistic regression on ranks, `keen` a "
              "forest; intervals draw songs. Pop1K7 is real music of another corpus."),
        Table(tuple(rate.what for rate in RATES), "pieces"),
        Table(("tells alone",), most=15, note="Features that tell most, area under the curve."),
    ),
)  # fmt: skip
def structure(context: Context) -> Iterator[Row | str]:
    """Tell the first draws from windows of real EMOPIA, and those of Pop1K7 beside them."""
    emopia = context.real["EMOPIA"]
    pop = [piece for piece in context.real["pop piano"] if not piece.group.startswith("emopia/")]
    composed, real, other = (measure_pieces(own) for own in (context.pieces, emopia, pop))
    try:
        told = tell_apart(composed, real, other)
    except ValueError as error:
        yield f"Told apart left out: {error}."
    else:
        for ear in told.auc:
            for pieces, found in (("composed", told.auc[ear]), ("Pop1K7", told.other[ear])):
                yield row_of("told from real EMOPIA", found, ear=ear, pieces=pieces)
    for rate in RATES:
        for pieces, own in (("composed", composed), ("EMOPIA", real), ("Pop1K7", other)):
            if (mean := own.rate(rate)) is not None:
                yield row_of(rate.what, mean, pieces=pieces)
    aucs = feature_aucs(composed, real)
    ordered = sorted(aucs, key=lambda name: -abs(aucs[name] - 0.5))
    yield from (Row("tells alone", aucs[name], by={"feature": name}) for name in ordered)
