"""Whether composed music is told from real music by its structure alone, and plain rates of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

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
from emomusic.evaluation.structure import STYLE, Values, features_of, louder_end, still_bars
from emomusic.verify.labels import song_folds

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

N_FOLDS, N_REPEATS = 8, 3
FAR = 8.0
"""Semitones by which the last four bars may be off the rest."""
LOUD = 10.0
"""Velocity by which the last third may be louder than the rest."""
BESIDE = {"louder_end": louder_end, "still_bars": still_bars}
"""Measured beside the features; no ear hears them."""


class Rate(NamedTuple):
    """Name a plain rate: the mean of a value, or the share of pieces in which it is over a limit.

    Attributes:
        what: In words.
        value: A feature, or one of those beside them; NaN does not count.
        over: The limit.
        quadrant: Whose pieces it is over; None is all.
    """

    what: str
    value: str
    over: float | None = None
    quadrant: str | None = None


RATES = (
    Rate("left hand's rhythm shared with the bar before", "left_rhythm_lag_1"),
    Rate("left hand's rhythm exactly that of the bar before", "left_rhythm_same"),
    Rate("left hand exactly the bar before, note for note", "left_repeats"),
    Rate("bass struck at a chord change", "bass_at_change"),
    Rate("motifs of four notes that return", "motif_returns"),
    Rate("melodic steps", "melody_steps"),
    Rate("spans of a hand over 14 semitones", "wide_spans"),
    Rate("minor seconds sounding", "minor_seconds"),
    Rate("minor seconds sounding, Q3", "minor_seconds", quadrant="Q3"),
    Rate("last four bars over 8 semitones off", "last_bars_off", FAR),
    Rate("velocity of the last third less the rest", "louder_end"),
    Rate("last third louder by over 10", "louder_end", LOUD),
    Rate("last third louder by over 10, Q3", "louder_end", LOUD, "Q3"),
    Rate("bars with at most two onsets, Q3", "still_bars", quadrant="Q3"),
    Rate("bars from the fifth on that return", "returning_bars"),
    Rate("likeness of the best four bars that return", "theme_returns"),
)
"""What a reader can picture."""


class Measured(NamedTuple):
    """Hold pieces of one kind, with the features of each and what is measured beside them."""

    pieces: Sequence[Piece]
    values: Sequence[Values]

    def table(self, names: Sequence[str]) -> Matrix:
        """Return features, shape (n_pieces, n_names)."""
        rows = [[own.get(name, np.nan) for name in names] for own in self.values]
        return np.array(rows, dtype=np.float64).reshape(len(self.pieces), len(names))


def measure_pieces(pieces: Sequence[Piece]) -> Measured:
    """Measure pieces of as many bars each."""
    values = [
        features_of(piece) | {name: value_of(piece) for name, value_of in BESIDE.items()}
        for piece in pieces
    ]
    return Measured(pieces, values)


def rate_rows(kinds: Mapping[str, Measured]) -> Iterator[Row]:
    """Yield the rates of each kind of pieces, where any counts; intervals draw songs."""
    for rate in RATES:
        for kind, measured in kinds.items():
            own = [i for i, piece in enumerate(measured.pieces)
                   if rate.quadrant in (None, piece.quadrant)]  # fmt: skip
            values = measured.table([rate.value])[own, 0]
            groups = [measured.pieces[i].group for i in own]
            known = np.flatnonzero(~np.isnan(values)).tolist()
            if known:
                values = values if rate.over is None else (values > rate.over).astype(np.float64)
                found = mean_interval(values[known], [groups[i] for i in known])
                yield row_of(rate.what, found, pieces=kind)


def tell_apart(
    composed: Measured,
    real: Measured,
    others: Mapping[str, Measured] | None = None,
    *,
    name: str = "composed",
    n_repeats: int = N_REPEATS,
    seed: int = 0,
) -> Iterator[Row]:
    """Let two ears learn to tell composed from real pieces, and hear those they did not learn from.

    Yielded is the area under the curve of each ear: 0.5 is chance, 1 is always. `plain` is a
    logistic regression on the features' ranks; `keen` is a forest of extremely randomised trees,
    which hears more, and more that is no music. Both learn on folds without a song on both sides,
    and hear no feature of `STYLE`. Intervals draw songs again.

    Args:
        composed: Of as many bars as the others; one that goes on from a real piece is of its group.
        others: Real pieces of another corpus, by name, as a scale to read by: heard in the place
            of the composed ones by the ears that learnt from these, 0.5 is as real as real.
        name: Of the composed pieces.
        n_repeats: How often they learn anew, on other folds; what they heard is added up.
    """
    names = ear_names(real)
    X = np.concatenate([composed.table(names), real.table(names)])
    y = (np.arange(len(X)) < len(composed.pieces)).astype(np.int64)
    groups = [piece.group for piece in (*composed.pieces, *real.pieces)]
    beside = {kind: own.table(names) for kind, own in (others or {}).items() if own.pieces}
    for ear_name, make in LISTENERS.items():
        heard = np.zeros(len(X))
        heard_beside = {kind: np.zeros(len(own)) for kind, own in beside.items()}
        for repeat in range(seed, seed + n_repeats):
            for fit, test in song_folds(y, groups, n_folds=N_FOLDS, seed=repeat):
                ear = make(repeat).fit(X[fit], y[fit])
                heard[test] += ear.predict_proba(X[test])[:, 1]
                for kind, own in beside.items():
                    heard_beside[kind] += ear.predict_proba(own)[:, 1] / N_FOLDS
        auc = _auc(heard[y == 1], heard[y == 0], groups, seed=seed)
        yield row_of("told from real EMOPIA", auc, ear=ear_name, pieces=name)
        for kind, own in heard_beside.items():
            known = [piece.group for piece in (*(others or {})[kind].pieces, *real.pieces)]
            auc = _auc(own, heard[y == 0], known, seed=seed)
            yield row_of("told from real EMOPIA", auc, ear=ear_name, pieces=kind)


def ear_names(measured: Measured) -> list[str]:
    """Return the names of the features that ears hear."""
    return [name for name in measured.values[0] if name not in STYLE and name not in BESIDE]


def alone_rows(composed: Measured, real: Measured) -> Iterator[Row]:
    """Yield how well each feature alone tells composed from real, those first that tell most.

    Above 0.5 it is greater in composed pieces.
    """
    names = [name for name in real.values[0] if name not in BESIDE]
    found = {}
    for name, mine, theirs in zip(names, composed.table(names).T, real.table(names).T, strict=True):
        known = [own[~np.isnan(own)] for own in (mine, theirs)]
        if all(map(len, known)):
            found[name] = float(_wins(*known).mean())
    for name in sorted(found, key=lambda name: -abs(found[name] - 0.5)):
        yield Row("tells alone", found[name], by={"feature": name})


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


def _wins(mine: Matrix, theirs: Matrix) -> Matrix:
    """Return 1 where one is greater, and one half where both are equal, shape (n, m)."""
    apart = mine[:, None] - theirs[None, :]
    return (apart > 0) + 0.5 * (apart == 0)


def _auc(mine: Matrix, theirs: Matrix, groups: Sequence[str], *, seed: int) -> Interval:
    """Return the area under the curve; its interval draws songs, those of both sides together."""
    wins = _wins(mine, theirs)
    counts = weights(groups, N_DRAWS, rng=np.random.default_rng(seed))
    left, right = counts[:, : len(mine)], counts[:, len(mine) :]
    pairs = left.sum(axis=1) * right.sum(axis=1)
    draws = ((left @ wins) * right).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    return interval(float(wins.mean()), draws)


TABLES = (
    Table(("told from real EMOPIA",), "pieces", note=
          "Area under the curve of classifiers on structure alone (no loudness, no tempo), by "
          "song: 0.5 would be not at all. `plain` is a logistic regression on ranks, `keen` a "
          "forest; intervals draw songs. Pop1K7 is real music of another corpus."),
    Table(tuple(rate.what for rate in RATES), "pieces"),
    Table(("tells alone",), most=15, note="Features that tell most, area under the curve."),
)  # fmt: skip


@section(
    "Structure told from real music",
    *TABLES,
    uses=("count", "bars", "seed", "steering", "rows"),
    needs_rows=True,
)
def structure(context: Context) -> Iterator[Row | str]:
    """Tell the first draws from windows of real EMOPIA, and those of Pop1K7 beside them."""
    emopia = context.real["EMOPIA"]
    pop = [piece for piece in context.real["pop piano"] if not piece.group.startswith("emopia/")]
    composed, real, other = (measure_pieces(own) for own in (context.pieces, emopia, pop))
    try:
        yield from list(tell_apart(composed, real, {"Pop1K7": other}))
    except ValueError as error:
        yield f"Told apart left out: {error}."
    yield from rate_rows({"composed": composed, "EMOPIA": real, "Pop1K7": other})
    yield from alone_rows(composed, real)
