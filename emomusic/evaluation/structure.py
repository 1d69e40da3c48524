"""Whether composed music is built like real music, and told from it by that alone.

Velocity, tempo, density and register as such have no part in it: what is measured is how notes
hang together (figures, motifs, harmony, texture, form), on a grid of sixteenths, so that played
and written music compare.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.quality import Piece
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
from emomusic.music.notes import LEFT, RIGHT, IntColumn, hands_of
from emomusic.verify.analysis import CHORDS
from emomusic.verify.labels import song_folds

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

Flags = NDArray[np.bool_]
Values = dict[str, float]
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
CELLS_PER_BEAT = 4
LAGS = (1, 2, 4, 8)
NEAR_COPY, FAR_BARS, N_SHUFFLES = 0.7, 4, 32
WIDE = 14  # semitones that a hand can span: more than a ninth is for few
LAST_BARS = 4
N_FOLDS, N_REPEATS = 8, 3
STYLE = frozenset(
    ("left_on_first_beat", "melody_steps", "melody_repeats", "melody_leaps", "melody_turns",
     "melody_range", "rhythm_motif_returns", "hand_gap", "minor_seconds", "chord_changes",
     "even_gaps", *(f"rhythm_lag_{lag}" for lag in LAGS), "chroma_lag_1")
)  # fmt: skip
"""Features each of which tells real EMOPIA from real Pop1K7 (AUC 0.6 or more): they are reported,
but what tells composed from real must not be the style of one corpus."""
BESIDE = frozenset(("louder_end", "still_bars"))
"""Measured beside the features; no ear hears them."""


RATES: Mapping[str, tuple[str, float | None, str | None]] = {
    "left hand's rhythm shared with the bar before": ("left_rhythm_lag_1", None, None),
    "left hand's rhythm exactly that of the bar before": ("left_rhythm_same", None, None),
    "left hand exactly the bar before, note for note": ("left_repeats", None, None),
    "bass struck at a chord change": ("bass_at_change", None, None),
    "motifs of four notes that return": ("motif_returns", None, None),
    "melodic steps": ("melody_steps", None, None),
    "spans of a hand over 14 semitones": ("wide_spans", None, None),
    "minor seconds sounding": ("minor_seconds", None, None),
    "minor seconds sounding, Q3": ("minor_seconds", None, "Q3"),
    "last four bars over 8 semitones off": ("last_bars_off", 8.0, None),
    "velocity of the last third less the rest": ("louder_end", None, None),
    "last third louder by over 10": ("louder_end", 10.0, None),
    "last third louder by over 10, Q3": ("louder_end", 10.0, "Q3"),
    "bars with at most two onsets, Q3": ("still_bars", None, "Q3"),
    "bars from the fifth on that return": ("returning_bars", None, None),
    "likeness of the best four bars that return": ("theme_returns", None, None),
}
"""What a reader can picture: the mean of a value, or the share of pieces in which it is over a
limit; over all pieces or those of a quadrant."""
TABLES = (
    Table(("told from real EMOPIA",), "pieces", note=
          "Area under the curve of classifiers on structure alone (no loudness, no tempo), by "
          "song: 0.5 would be not at all. `plain` is a logistic regression on ranks, `keen` a "
          "forest; intervals draw songs. Pop1K7 is real music of another corpus."),
    Table(tuple(RATES), "pieces"),
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
    composed, real, other = (Measured.of(own) for own in (context.pieces, emopia, pop))
    try:
        yield from list(tell_apart(composed, real, {"Pop1K7": other}))
    except ValueError as error:
        yield f"Told apart left out: {error}."
    yield from rate_rows({"composed": composed, "EMOPIA": real, "Pop1K7": other})
    yield from alone_rows(composed, real)


class Measured(NamedTuple):
    """Hold pieces of one kind and as many bars each, with what is measured of each."""

    pieces: Sequence[Piece]
    values: Sequence[Values]

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> Measured:
        """Measure pieces."""
        return cls(pieces, [features_of(piece) for piece in pieces])

    @property
    def groups(self) -> list[str]:
        return [piece.group for piece in self.pieces]

    def names(self, *left_out: Set[str]) -> list[str]:
        """Return the names of the features, without some."""
        return [name for name in self.values[0] if not any(name in own for own in left_out)]

    def table(self, names: Sequence[str]) -> Matrix:
        """Return features, shape (n_pieces, n_names)."""
        rows = [[own.get(name, np.nan) for name in names] for own in self.values]
        return np.array(rows, dtype=np.float64).reshape(len(self.pieces), len(names))


def rate_rows(kinds: Mapping[str, Measured]) -> Iterator[Row]:
    """Yield the rates of each kind of pieces, where any counts; intervals draw songs."""
    for what, (name, limit, quadrant) in RATES.items():
        for kind, measured in kinds.items():
            known = [
                (own[name] if limit is None else float(own[name] > limit), piece.group)
                for own, piece in zip(measured.values, measured.pieces, strict=True)
                if quadrant in (None, piece.quadrant) and not np.isnan(own[name])
            ]
            if known:
                own, groups = zip(*known, strict=True)
                yield row_of(what, mean_interval(np.array(own), groups), pieces=kind)


def tell_apart(
    composed: Measured,
    real: Measured,
    others: Mapping[str, Measured] | None = None,
    *,
    name: str = "composed",
    n_repeats: int = N_REPEATS,
) -> Iterator[Row]:
    """Let two ears learn to tell composed from real pieces, and hear those they did not learn from.

    Yielded is the area under the curve of each ear: 0.5 is chance, 1 is always. `plain` is a
    logistic regression on the features' ranks; `keen` is a forest of extremely randomised trees,
    which hears more, and more that is no music. Both learn on folds without a song on both sides,
    and hear no feature of `STYLE`. Intervals draw songs again.

    Real pieces of other corpora, by name, are a scale to read by: heard in the place of the
    composed ones, named `name`, by the ears that learnt from these, 0.5 is as real as real. The
    ears learn anew `n_repeats` times, on other folds; what they heard is added up.
    """
    names = real.names(STYLE, BESIDE)
    X = np.concatenate([composed.table(names), real.table(names)])
    y = (np.arange(len(X)) < len(composed.pieces)).astype(np.int64)
    groups = [*composed.groups, *real.groups]
    beside = {kind: own for kind, own in (others or {}).items() if own.pieces}
    for ear_name in ("plain", "keen"):
        heard = np.zeros(len(X))
        heard_beside = {kind: np.zeros(len(own.pieces)) for kind, own in beside.items()}
        for repeat in range(n_repeats):
            for fit, test in song_folds(y, groups, n_folds=N_FOLDS, seed=repeat):
                ear = _ear(ear_name, repeat).fit(X[fit], y[fit])
                heard[test] += ear.predict_proba(X[test])[:, 1]
                for kind, own in beside.items():
                    heard_beside[kind] += ear.predict_proba(own.table(names))[:, 1] / N_FOLDS
        real_heard = heard[y == 0]
        found = {name: _auc(heard[y == 1], real_heard, groups)}
        for kind, own in beside.items():
            found[kind] = _auc(heard_beside[kind], real_heard, [*own.groups, *real.groups])
        for kind, auc in found.items():
            yield row_of("told from real EMOPIA", auc, ear=ear_name, pieces=kind)


def alone_rows(composed: Measured, real: Measured) -> Iterator[Row]:
    """Yield how well each feature alone tells composed from real, those first that tell most.

    Above 0.5 it is greater in composed pieces.
    """
    names, found = real.names(BESIDE), {}
    for name, mine, theirs in zip(names, composed.table(names).T, real.table(names).T, strict=True):
        known = [own[~np.isnan(own)] for own in (mine, theirs)]
        if all(map(len, known)):
            found[name] = float(_wins(*known).mean())
    for name in sorted(found, key=lambda name: -abs(found[name] - 0.5)):
        yield Row("tells alone", found[name], by={"feature": name})


def _ear(name: str, seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    median, alike = SimpleImputer(strategy="median"), {"class_weight": "balanced"}
    if name == "keen":
        forest = ExtraTreesClassifier(100, min_samples_leaf=2, random_state=seed, **alike)
        return make_pipeline(median, forest)
    ranks = QuantileTransformer(n_quantiles=25, output_distribution="normal", random_state=seed)
    return make_pipeline(median, ranks, LogisticRegression(C=0.03, max_iter=2000, **alike))


def _wins(mine: Matrix, theirs: Matrix) -> Matrix:
    """Return 1 where one is greater, and one half where both are equal, shape (n, m)."""
    return (1.0 + np.sign(mine[:, None] - theirs)) / 2.0


def _auc(mine: Matrix, theirs: Matrix, groups: Sequence[str]) -> Interval:
    """Return the area under the curve; its interval draws songs, those of both sides together."""
    wins = _wins(mine, theirs)
    counts = weights(groups, N_DRAWS, rng=np.random.default_rng(0))
    left, right = counts[:, : len(mine)], counts[:, len(mine) :]
    pairs = left.sum(axis=1) * right.sum(axis=1)
    draws = ((left @ wins) * right).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    return interval(float(wins.mean()), draws)


def _templates(shapes: Iterable[Sequence[int]]) -> Matrix:
    """Return each shape of pitch classes on the twelve roots, shape (12 * n_shapes, 12)."""
    rows = [np.isin((np.arange(12) - root) % 12, s) for s in shapes for root in range(12)]
    return np.array(rows, dtype=np.float64)


def _unit(rows: Matrix) -> Matrix:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


SCALES, _CHORD_TONES = _templates((MAJOR, MINOR)), _templates(CHORDS.values())
_CHORDS = _unit(_CHORD_TONES)


@dataclass(frozen=True)
class Grid:
    """Hold the notes of whole bars on sixteenths, sorted by step, then pitch, shape (n,) each."""

    step: IntColumn  # sixteenth at which it begins
    length: IntColumn  # sixteenths, at least 1
    pitch: IntColumn
    hand: IntColumn  # 0 left, 1 right
    n_bars: int
    bar_steps: int  # sixteenths of a bar

    @classmethod
    def of(cls, piece: Piece) -> Grid:
        """Put a piece on the grid; notes that begin outside its bars are left out."""
        notes, n_steps = piece.notes, piece.n_beats * CELLS_PER_BEAT
        step = np.floor(notes.onset * CELLS_PER_BEAT + 0.5).astype(np.int64)
        end = np.floor((notes.onset + notes.duration) * CELLS_PER_BEAT + 0.5).astype(np.int64)
        order = np.lexsort((notes.pitch, step))
        order = order[(step[order] >= 0) & (step[order] < n_steps)]
        length, hand = np.maximum(end - step, 1), hands_of(notes)
        bar_steps = piece.beats_per_bar * CELLS_PER_BEAT
        return cls(
            step[order], length[order], notes.pitch[order], hand[order], piece.n_bars, bar_steps
        )

    def of_hand(self, hand: int) -> Grid:
        """Return the notes of one hand."""
        own = self.hand == hand
        step, length, pitch = self.step[own], self.length[own], self.pitch[own]
        return Grid(step, length, pitch, self.hand[own], self.n_bars, self.bar_steps)

    def reached(self, *lags: int) -> list[int]:
        """Return the lags, in bars, that the piece reaches."""
        return [lag for lag in lags if lag < self.n_bars]

    def sounding(self, longest: int) -> Flags:
        """Tell which pitches sound at each step, for so many steps at most, (n_steps, 128)."""
        n_steps = self.n_bars * self.bar_steps
        changes = np.zeros((n_steps + 1, 128), dtype=np.int64)
        end = np.minimum(self.step + np.minimum(self.length, longest), n_steps)
        np.add.at(changes, (self.step, self.pitch), 1)
        np.add.at(changes, (end, self.pitch), -1)
        return np.asarray(np.cumsum(changes, axis=0)[:-1] > 0)

    @cached_property
    def roll(self) -> Flags:
        """Tell which pitches sound at each step, shape (n_steps, 128)."""
        return self.sounding(self.n_bars * self.bar_steps)

    @cached_property
    def classes(self) -> Matrix:
        """Return how many notes of each pitch class sound at each step, shape (n_steps, 12)."""
        return np.stack([self.roll[:, k::12].sum(axis=1) for k in range(12)], axis=1).astype(float)

    @cached_property
    def moments(self) -> IntColumn:
        return np.unique(self.step)

    @cached_property
    def onsets(self) -> Matrix:
        """Return 1 where a note begins, shape (n_bars, bar_steps)."""
        onsets = np.zeros(self.n_bars * self.bar_steps)
        onsets[self.step] = 1.0
        return onsets.reshape(self.n_bars, self.bar_steps)


def features_of(piece: Piece) -> Values:
    """Measure how a piece of at least five bars is built; NaN where there is nothing to measure.

    Lags that it does not reach are left out. Of those beside the features, `louder_end` is the
    mean velocity of the last third less that of the rest, `still_bars` the share of bars with at
    most two onsets, in which notes are held and nothing moves.
    """
    grid, late = Grid.of(piece), piece.notes.onset >= piece.n_beats * 2.0 / 3.0
    found: Values = {}
    for part in (left_hand, melody, hands, harmony, texture, rhythm):
        found |= part(grid)
    found |= form(grid, bar_similarity(piece))
    velocity = piece.notes.velocity
    found["louder_end"] = _mean(velocity[late]) - _mean(velocity[~late])
    found["still_bars"] = float((grid.onsets.sum(axis=1) <= 2).mean())
    return found


def left_hand(grid: Grid) -> Values:
    """Measure the left hand's figure: whether a bar takes up the one before, and its anchor.

    `left_rhythm_lag_k`: shared onsets (Dice) of bars k apart. `left_rhythm_same`: share of bars
    with exactly the rhythm of the one before; `left_repeats`: with exactly its notes.
    `left_figure`: as the first, but of onsets with their height above the bar's lowest note.
    `left_even_gaps`: share of gaps between onsets that equal the one before.
    """
    left = grid.of_hand(LEFT)
    notes = _bar_sets(left, left.pitch)
    figures = [{(at, p - min(q for _, q in bar)) for at, p in bar} for bar in notes]
    rhythms = [{at for at, _ in bar} for bar in notes]
    return {
        **{f"left_rhythm_lag_{k}": _shared(rhythms, lag=k) for k in (1, 2, 4)},
        "left_rhythm_same": _mean(a == b for a, b in pairwise(rhythms) if a or b),
        "left_repeats": _mean(a == b for a, b in pairwise(notes) if a or b),
        "left_figure": _shared(figures),
        "left_even_gaps": _even(left.moments),
        "left_on_first_beat": float(left.onsets[:, 0].mean()),
    }


def melody(grid: Grid) -> Values:
    """Measure the melody, the right hand's highest notes: its moves, and motifs that come again.

    `motif_returns`: share of motifs of four notes (intervals and gaps) that began before, a bar
    earlier or more; `interval_motif_returns` and `rhythm_motif_returns`: by intervals or gaps
    alone. `melody_range`: semitones within a bar.
    """
    right = grid.of_hand(RIGHT)
    top = np.append(np.diff(right.step) > 0, True)[: len(right.step)]
    step, pitch = right.step[top], right.pitch[top]
    moves, gaps, bar = np.diff(pitch), np.diff(step), step // grid.bar_steps
    turns = np.sign(moves[moves != 0])
    windows = [  # the moves, or gaps, of each motif
        [*zip(*(column[k : len(column) - 2 + k].tolist() for k in range(3)), strict=True)]
        for column in (moves, gaps)
    ]
    within = [pitch[bar == b] for b in np.unique(bar)]
    apart = grid.bar_steps
    return {
        "motif_returns": _returns([*zip(*windows, strict=True)], step, apart),
        "interval_motif_returns": _returns(windows[0], step, apart),
        "rhythm_motif_returns": _returns(windows[1], step, apart),
        "melody_steps": _mean((abs(moves) == 1) | (abs(moves) == 2)),
        "melody_repeats": _mean(moves == 0),
        "melody_leaps": _mean(abs(moves) > 7),
        "melody_turns": _mean(turns[1:] != turns[:-1]),
        "melody_range": _mean(np.ptp(own) for own in within if len(own) > 1),
    }


def hands(grid: Grid) -> Values:
    """Measure the hands.

    `wide_spans`: share of a hand's moments at which its notes that were struck within the last
    beat, and sound, span more than 14 semitones. `hand_gap`: semitones between the hands where
    both strike. `hands_together`: share of moments at which they do.
    """
    left, right = grid.of_hand(LEFT), grid.of_hand(RIGHT)
    wide: list[Flags] = []
    for own in (left, right):
        held = own.sounding(CELLS_PER_BEAT)[own.moments]
        wide.append(127 - held[:, ::-1].argmax(axis=1) - held.argmax(axis=1) > WIDE)
    top = dict(zip(left.step.tolist(), left.pitch.tolist(), strict=True))
    bottom = dict(zip(right.step[::-1].tolist(), right.pitch[::-1].tolist(), strict=True))
    both = top.keys() & bottom.keys()
    return {
        "wide_spans": _mean(np.concatenate(wide)),
        "hand_gap": _mean(bottom[at] - top[at] for at in both),
        "hands_together": len(both) / max(len(grid.moments), 1),
    }


def harmony(grid: Grid) -> Values:
    """Measure chords of half bars, found by templates, and how notes keep to them.

    `minor_seconds`: share of moments at which two notes a semitone apart sound.
    `bass_at_change`: share of changes of the root at which the half bar's lowest note is
    struck; `left_at_change`: at which the left hand strikes. `change_on_bar`: share of changes at
    a bar line. `bass_is_root`: share of half bars whose lowest note is the root. `strong_tones`:
    share of notes at the beginnings of half bars that belong to the chord; `chord_tones`: of all.
    `chord_fit`: cosine. `chords_lag_k`: share of half bars with the root of k bars before.
    """
    half, n_halves = grid.bar_steps // 2, 2 * grid.n_bars
    heard = grid.classes.reshape(n_halves, half, 12).sum(axis=1)
    fits = _unit(heard) @ _CHORDS.T  # (n_halves, 12 * n_shapes)
    known, chord = heard.any(axis=1), fits.round(9).argmax(axis=1)
    root = np.where(known, chord % 12, -1)
    changes = np.flatnonzero((root[1:] != root[:-1]) & known[1:] & known[:-1]) + 1
    low = grid.roll.reshape(n_halves, half, 128).any(axis=1).argmax(axis=1)
    struck = np.zeros(grid.roll.shape, dtype=bool)
    struck[grid.step, grid.pitch] = True
    left = grid.of_hand(LEFT).onsets.ravel()
    chord = np.where(known, chord, 0)
    tones = _CHORD_TONES[chord][grid.step // half, grid.pitch % 12]
    classes = np.bincount(grid.pitch % 12, minlength=12)
    seconds = np.flatnonzero((grid.roll[:, 1:] & grid.roll[:, :-1]).any(axis=1))
    return {
        "in_scale": float((SCALES @ classes).max() / classes.sum()),
        "minor_seconds": _mean(np.isin(grid.moments, seconds)),
        "chord_changes": _mean(root[1:] != root[:-1]),
        "change_on_bar": _mean(changes % 2 == 0),
        "bass_at_change": _mean(struck[changes * half, low[changes]]),
        "left_at_change": _mean(left[changes * half]),
        "bass_is_root": _mean((low % 12 == root)[known]),
        "chord_fit": _mean(fits.max(axis=1)[known]),
        "strong_tones": _mean(tones[grid.step % half == 0]),
        "chord_tones": _mean(tones),
        **{f"chords_lag_{k}": _mean(root[2 * k :] == root[: -2 * k]) for k in grid.reached(4, 8)},
    }


def texture(grid: Grid) -> Values:
    """Measure how constant the texture is.

    `voices_same`: share of moments with as many notes as the one before; `voices_change`: mean
    change, as a share of their mean. `fill_spread`, `fill_change`: of notes a bar, as shares of
    their mean. `height_change`, `height_spread`: of the bars' mean pitches, semitones.
    `last_bars_off`, `halves_off`: mean pitch of the last four bars (the second half) off the
    rest. `halves_fill`: |log| of the halves' ratio of notes. `lengths_lag_1`: notes of the same
    place and length (octaves) shared with the bar before. `over_bar_line`: share of notes held.
    """
    voices = np.bincount(grid.step)[grid.moments].astype(np.float64)
    bar = grid.step // grid.bar_steps
    fill = np.bincount(bar, minlength=grid.n_bars).astype(np.float64)
    sums = np.bincount(bar, grid.pitch.astype(np.float64), grid.n_bars)
    height = (sums / np.maximum(fill, 1.0))[fill > 0]
    octave = np.floor(np.log2(grid.length) + 0.5).astype(np.int64).clip(max=6)
    middle = grid.n_bars // 2
    halves = [max(float(part.sum()), 1.0) for part in (fill[:middle], fill[middle:])]
    return {
        "voices_same": _mean(voices[1:] == voices[:-1]),
        "voices_change": _mean(abs(np.diff(voices))) / float(voices.mean()),
        "fill_spread": float(fill.std() / fill.mean()),
        "fill_change": _mean(abs(np.diff(fill))) / float(fill.mean()),
        "height_change": _mean(abs(np.diff(height))),
        "height_spread": float(height.std()),
        "last_bars_off": _off(grid, grid.n_bars - LAST_BARS),
        "halves_off": _off(grid, middle),
        "halves_fill": float(abs(np.log(halves[0] / halves[1]))),
        "lengths_lag_1": _shared(_bar_sets(grid, octave)),
        "over_bar_line": _mean(grid.step % grid.bar_steps + grid.length > grid.bar_steps),
    }


def rhythm(grid: Grid) -> Values:
    """Measure where onsets fall in a bar (entropy as a share of the greatest), and likeness."""
    bars = [set(np.flatnonzero(row).tolist()) for row in grid.onsets]
    place = grid.onsets.sum(axis=0)[grid.onsets.any(axis=0)] / grid.onsets.sum()
    return {
        **{f"rhythm_lag_{k}": _shared(bars, lag=k) for k in grid.reached(*LAGS)},
        "place_entropy": -float(place @ np.log(place)) / float(np.log(grid.bar_steps)),
        "off_eighths": _mean(grid.moments % 2 == 1),
        "on_beats": _mean(grid.moments % CELLS_PER_BEAT == 0),
        "even_gaps": _even(grid.moments),
    }


def form(grid: Grid, similarity: Matrix) -> Values:
    """Measure how bars come back.

    `chroma_lag_k`: cosine of sounding pitch classes of bars k apart; `chroma_decay`: the first
    less the last of these. `theme_returns`: greatest mean similarity of four bars in a row with
    four others, `similarity` being that of bars, (n_bars, n_bars). The rest is `bars_return`.
    """
    lags = grid.reached(*LAGS)
    chroma = _unit(grid.classes.reshape(grid.n_bars, -1, 12).sum(axis=1))
    alike = {k: float(np.diagonal(chroma @ chroma.T, k).mean()) for k in lags}
    lines = [np.diagonal(similarity, k) for k in range(4, grid.n_bars - 3)]
    themes = [float(np.lib.stride_tricks.sliding_window_view(x, 4).mean(1).max()) for x in lines]
    return {
        **{f"chroma_lag_{k}": value for k, value in alike.items()},
        "chroma_decay": alike[lags[0]] - alike[lags[-1]],
        "theme_returns": max(themes, default=float("nan")),
        **bars_return(similarity, lags=lags),
    }


def bar_similarity(piece: Piece) -> Matrix:
    """Return the cosine between each two bars' sets of (sixteenth, pitch class), (bars, bars).

    Onsets count to the nearest sixteenth, so that played bars can be alike; an octave does
    not matter. A bar without onsets is like none.
    """
    bar, step = places_of(piece, CELLS_PER_BEAT)
    grid = np.zeros((piece.n_bars, piece.beats_per_bar * CELLS_PER_BEAT, 12))
    grid[bar, step, piece.notes.pitch % 12] = 1.0
    flat = _unit(grid.reshape(piece.n_bars, -1))
    return flat @ flat.T


def bars_return(similarity: Matrix, *, lags: Sequence[int] = LAGS) -> dict[str, float]:
    """Summarise how bars come back.

    `similarity_lag_k`: mean similarity of bars k apart. `structure_lag_k`: the same less its
    mean if the bars were shuffled, which is the mean over all pairs. `returning_bars`: share of
    the bars from the fifth on that have a near copy (0.7 or more) at least four bars earlier.
    `returning_bars_excess`: the same less its mean over 32 fixed shuffles of the bars. There must
    be more than four bars, and more than all lags.

    Reference:
        In the spirit of Wu and Yang's (2020) structureness indicator; theirs looks for
        repetition in rendered audio, ours in the notes of bars.
    """
    n = len(similarity)
    shuffled = float(similarity[np.triu_indices(n, 1)].mean())
    at_lags = {lag: float(np.diagonal(similarity, lag).mean()) for lag in lags}
    bars = np.tile(np.arange(n), (N_SHUFFLES, 1))
    orders = np.vstack([np.arange(n), np.random.default_rng(0).permuted(bars, axis=1)])
    near = similarity[orders[:, :, None], orders[:, None, :]] >= NEAR_COPY - 1e-9
    earlier = np.tri(n, k=-FAR_BARS, dtype=bool)
    returning, *others = (near & earlier).any(axis=2)[:, FAR_BARS:].mean(axis=1).tolist()
    return {
        **{f"similarity_lag_{lag}": value for lag, value in at_lags.items()},
        **{f"structure_lag_{lag}": value - shuffled for lag, value in at_lags.items()},
        "returning_bars": returning,
        "returning_bars_excess": returning - float(np.mean(others)),
    }


def places_of(piece: Piece, per_beat: int) -> tuple[IntColumn, IntColumn]:
    """Return bar and step of each note, rounded to the grid; none beyond the last step."""
    last = piece.n_beats * per_beat - 1
    at = np.clip(np.floor(piece.notes.onset * per_beat + 0.5).astype(np.int64), 0, last)
    bar, step = np.divmod(at, piece.beats_per_bar * per_beat)
    return bar, step


def _mean(values: Iterable[Any]) -> float:
    column = np.array([*values], dtype=np.float64)
    return float(column.mean()) if len(column) else float("nan")


def _bar_sets(grid: Grid, column: IntColumn) -> list[set[tuple[int, int]]]:
    """Return the places in each bar, each with the value of its notes."""
    found: list[set[tuple[int, int]]] = [set() for _ in range(grid.n_bars)]
    for step, value in zip(grid.step.tolist(), column.tolist(), strict=True):
        found[step // grid.bar_steps].add((step % grid.bar_steps, value))
    return found


def _shared(bars: Sequence[Set[Any]], *, lag: int = 1) -> float:
    """Return the mean share (Dice) of what bars so far apart have in common."""
    pairs = [(a, b) for a, b in zip(bars, bars[lag:], strict=False) if a or b]
    return _mean(2.0 * len(a & b) / (len(a) + len(b)) for a, b in pairs)


def _even(moments: IntColumn) -> float:
    """Return the share of gaps that equal the one before."""
    gaps = np.diff(moments)
    return _mean(gaps[1:] == gaps[:-1])


def _returns(motifs: Sequence[Hashable], step: IntColumn, apart: int) -> float:
    """Return the share of motifs that began before, so many steps earlier at least."""
    first: dict[Hashable, int] = {}
    begins = step.tolist()[: len(motifs)]
    return _mean(
        at - first.setdefault(m, at) >= apart for m, at in zip(motifs, begins, strict=True)
    )


def _off(grid: Grid, bar: int) -> float:
    """Return how far the mean pitch from a bar on is off that before, semitones."""
    late = grid.step // grid.bar_steps >= bar
    return abs(_mean(grid.pitch[late]) - _mean(grid.pitch[~late]))
