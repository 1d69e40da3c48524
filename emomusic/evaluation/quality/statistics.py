"""What each piece is like: scales, pitch classes, grooves, texture, bars that come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.quality.music import Piece, checked_pieces, pieces_per_song
from emomusic.evaluation.quality.resampling import (
    N_DRAWS,
    Column,
    Interval,
    drawn_counts,
    drawn_means,
    interval,
)
from emomusic.music.attributes import measure
from emomusic.music.notes import IntColumn
from emomusic.music.passage import passage_of

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
STEPS_PER_BEAT = 12
CELLS_PER_BEAT = 4
LAGS = (1, 2, 4, 8)
NEAR_COPY = 0.7
FAR_BARS = 4
N_SHUFFLES = 32
_SCALES = np.array(
    [np.isin((np.arange(12) - root) % 12, scale) for scale in (MAJOR, MINOR) for root in range(12)],
    dtype=np.float64,
)


@dataclass(frozen=True)
class Statistic:
    """Hold one statistic of composed pieces beside real ones.

    Attributes:
        name: What is measured of each piece.
        composed_mean: Mean over composed pieces.
        composed_sd: Standard deviation over composed pieces.
        real_mean: Mean over real pieces.
        real_sd: Standard deviation over real pieces.
        shift: Composed mean less real mean, in standard deviations of the real pieces; with
            its interval. An interval that holds 0 is no difference that chance cannot make.
        spread: Standard deviation of the composed over that of the real pieces.
    """

    name: str
    composed_mean: float
    composed_sd: float
    real_mean: float
    real_sd: float
    shift: Interval
    spread: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "name": self.name,
            "composed": [round(self.composed_mean, 4), round(self.composed_sd, 4)],
            "real": [round(self.real_mean, 4), round(self.real_sd, 4)],
            "shift": self.shift.to_list(),
            "spread": self.spread.to_list(),
        }


@dataclass(frozen=True)
class Statistics:
    """Hold all statistics.

    Attributes:
        n_composed: Composed pieces.
        n_real: Real pieces.
        n_of_song: How many real pieces come from one song at most.
        each: The statistics.
    """

    n_composed: int
    n_real: int
    n_of_song: int
    each: tuple[Statistic, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {**vars(self), "each": [statistic.to_dict() for statistic in self.each]}


def compare_statistics(
    composed: Sequence[Piece], real: Sequence[Piece], *, n_draws: int = N_DRAWS, seed: int = 0
) -> Statistics:
    """Measure each piece and compare means and spreads of composed and real pieces.

    Lags that the shortest piece does not reach are left out.

    Args:
        composed: At least 8 pieces with bars.
        real: At least 16 pieces with bars.
        n_draws: Of the bootstrap by songs.
        seed: Of the bootstrap.

    Raises:
        ValueError: If there are too few pieces, or one has no bars or fewer than five.
    """
    checked_pieces(composed, real)
    lags = _reached_lags([*composed, *real])
    tables = [[statistics_of(piece, lags=lags) for piece in own] for own in (composed, real)]
    names = tuple(tables[0][0])
    mine, theirs = (np.array([list(row.values()) for row in table]) for table in tables)
    rng = np.random.default_rng(seed)
    counts = [drawn_counts([p.group for p in own], n_draws, rng) for own in (composed, real)]
    drawn = [_moments(mine, counts[0]), _moments(theirs, counts[1])]
    whole = [_moments(own, np.ones((1, len(own)))) for own in (mine, theirs)]
    each = tuple(_statistic(name, i, whole, drawn) for i, name in enumerate(names))
    return Statistics(len(composed), len(real), pieces_per_song(real), each)


def statistics_of(piece: Piece, *, lags: Sequence[int] = LAGS) -> dict[str, float]:
    """Measure one piece.

    `scale_consistency`: largest share of notes within one of the 24 major and natural minor
    scales. `pitch_class_entropy_1` and `_4`: bits, mean over all windows of one and four bars
    that hold notes. `groove_similarity`: mean over all pairs of bars of 1 less the share of
    steps at which only one of them has an onset. `polyphony`: sounding notes while any sounds.
    `notes_per_beat`, `pitch_range` in semitones, `n_pitch_classes`; and those of `structure`.

    Args:
        piece: With at least five bars.
        lags: In bars, below the number of bars.

    Reference:
        Dong, Chen, McAuley and Berg-Kirkpatrick (2020), MusPy (scale consistency, polyphony,
        range, pitch classes); Wu and Yang (2020), The Jazz Transformer, MusDr (entropies,
        groove similarity: theirs is over 64 steps of at most 1,000 drawn pairs, ours over
        twelve steps a beat of all pairs).
    """
    notes = piece.notes
    classes = np.bincount(notes.pitch % 12, minlength=12)
    passage = passage_of(notes, n_beats=piece.n_beats, tempo=piece.tempo or 120.0)
    taken = measure(passage, ("pitch_range", "polyphony"))
    return {
        "scale_consistency": float((_SCALES @ classes).max() / classes.sum()),
        "pitch_class_entropy_1": _window_entropy(piece, 1),
        "pitch_class_entropy_4": _window_entropy(piece, 4),
        "groove_similarity": groove_similarity(piece),
        "pitch_range": taken["pitch_range"],
        "n_pitch_classes": float((classes > 0).sum()),
        "polyphony": taken["polyphony"],
        "notes_per_beat": len(notes) / piece.n_beats,
        **structure(bar_similarity(piece), lags=lags),
    }


def groove_similarity(piece: Piece) -> float:
    """Return how alike the onsets of all pairs of bars are, 0 to 1; at least two bars."""
    bar, step = _places(piece, STEPS_PER_BEAT)
    grid = np.zeros((piece.bars, piece.beats_per_bar * STEPS_PER_BEAT))
    grid[bar, step] = 1.0
    filled = grid.sum(axis=1)
    apart = filled[:, None] + filled[None, :] - 2.0 * grid @ grid.T
    pairs = np.triu_indices(piece.bars, 1)
    return 1.0 - float(apart[pairs].mean()) / grid.shape[1]


def bar_similarity(piece: Piece) -> NDArray[np.float64]:
    """Return the cosine between each two bars' sets of (sixteenth, pitch class), (bars, bars).

    Onsets count to the nearest sixteenth, so that played bars can be alike; an octave does
    not matter. A bar without onsets is like none.
    """
    bar, step = _places(piece, CELLS_PER_BEAT)
    grid = np.zeros((piece.bars, piece.beats_per_bar * CELLS_PER_BEAT, 12))
    grid[bar, step, piece.notes.pitch % 12] = 1.0
    flat = grid.reshape(piece.bars, -1)
    norm = np.maximum(np.linalg.norm(flat, axis=1), 1e-9)
    similarity: NDArray[np.float64] = (flat / norm[:, None]) @ (flat / norm[:, None]).T
    return similarity


def structure(similarity: NDArray[np.float64], *, lags: Sequence[int] = LAGS) -> dict[str, float]:
    """Summarise how bars come back.

    `similarity_lag_k`: mean similarity of bars k apart. `structure_lag_k`: the same less its
    mean if the bars were shuffled, which is the mean over all pairs. `returning_bars`: share of
    the bars from the fifth on that have a near copy (0.7 or more) at least four bars earlier.
    `returning_bars_excess`: the same less its mean over 32 fixed shuffles of the bars.

    Args:
        similarity: Of bars, shape (n_bars, n_bars), n_bars above 4 and all lags.

    Reference:
        In the spirit of Wu and Yang's (2020) structureness indicator; theirs looks for
        repetition in rendered audio, ours in the notes of bars.
    """
    n = len(similarity)
    shuffled = float(similarity[np.triu_indices(n, 1)].mean())
    at_lags = {lag: float(np.diagonal(similarity, lag).mean()) for lag in lags}
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(n), (N_SHUFFLES, 1)), axis=1)
    control = float(_returning(similarity[orders[:, :, None], orders[:, None, :]]).mean())
    returning = float(_returning(similarity[None])[0])
    return {
        **{f"similarity_lag_{lag}": value for lag, value in at_lags.items()},
        **{f"structure_lag_{lag}": value - shuffled for lag, value in at_lags.items()},
        "returning_bars": returning,
        "returning_bars_excess": returning - control,
    }


def _returning(similarity: NDArray[np.float64]) -> Column:
    """Return the share of returning bars in each matrix, shape (n_matrices,)."""
    n = similarity.shape[-1]
    earlier = np.tri(n, k=-FAR_BARS, dtype=bool)
    copied = ((similarity >= NEAR_COPY - 1e-9) & earlier).any(axis=2)
    share: Column = copied[:, FAR_BARS:].mean(axis=1)
    return share


def _places(piece: Piece, per_beat: int) -> tuple[IntColumn, IntColumn]:
    """Return bar and step of each note, rounded to the grid; none beyond the last step."""
    last = piece.n_beats * per_beat - 1
    at = np.clip(np.floor(piece.notes.onset * per_beat + 0.5).astype(np.int64), 0, last)
    bar, step = np.divmod(at, piece.beats_per_bar * per_beat)
    return bar, step


def _window_entropy(piece: Piece, n_bars: int) -> float:
    bar = _places(piece, STEPS_PER_BEAT)[0]
    counts = np.zeros((piece.bars, 12))
    np.add.at(counts, (bar, piece.notes.pitch % 12), 1.0)
    n_bars = min(n_bars, piece.bars)
    windows = np.lib.stride_tricks.sliding_window_view(counts, n_bars, axis=0).sum(axis=-1)
    filled = windows[windows.any(axis=1)]
    share = filled / filled.sum(axis=1, keepdims=True)
    terms = share * np.log2(share, where=share > 0, out=np.zeros_like(share))
    return float(-terms.sum(axis=1).mean()) + 0.0


def _reached_lags(pieces: Sequence[Piece]) -> tuple[int, ...]:
    shortest = min(piece.bars for piece in pieces)
    if shortest <= FAR_BARS:
        raise ValueError(f"pieces must have more than {FAR_BARS} bars, got one of {shortest}")
    return tuple(lag for lag in LAGS if lag < shortest)


def _moments(values: NDArray[np.float64], counts: Column) -> tuple[Column, Column]:
    """Return mean and standard deviation in each draw, both of shape (n_draws, n_names)."""
    mean = drawn_means(values, counts)
    square = drawn_means((values - values.mean(axis=0)) ** 2, counts)
    variance = square - (mean - values.mean(axis=0)) ** 2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def _statistic(
    name: str,
    column: int,
    whole: Sequence[tuple[Column, Column]],
    drawn: Sequence[tuple[Column, Column]],
) -> Statistic:
    (mean, sd), (real_mean, real_sd) = [(m[0, column], s[0, column]) for m, s in whole]
    (means, sds), (real_means, real_sds) = [(m[:, column], s[:, column]) for m, s in drawn]
    unit, units = max(real_sd, 1e-9), np.maximum(real_sds, 1e-9)
    shift = interval((mean - real_mean) / unit, (means - real_means) / units)
    spread = interval(sd / unit, sds / units)
    return Statistic(name, float(mean), float(sd), float(real_mean), float(real_sd), shift, spread)
