"""What each piece is like: scales, pitch classes, grooves, texture, bars that come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emomusic.evaluation.pieces import Piece
from emomusic.evaluation.rows import Matrix
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


def statistics_of(piece: Piece, *, lags: Sequence[int] = LAGS) -> dict[str, float]:
    """Measure one piece.

    `scale_consistency`: largest share of notes within one of the 24 major and natural minor
    scales. `pitch_class_entropy_1` and `_4`: bits, mean over all windows of one and four bars
    that hold notes. `groove_similarity`: mean over all pairs of bars of 1 less the share of
    steps at which only one of them has an onset. `polyphony`: sounding notes while any sounds.
    `notes_per_beat`, `pitch_range` in semitones, `n_pitch_classes`; and those of `bars_return`.

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
        **bars_return(bar_similarity(piece), lags=lags),
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


def bar_similarity(piece: Piece) -> Matrix:
    """Return the cosine between each two bars' sets of (sixteenth, pitch class), (bars, bars).

    Onsets count to the nearest sixteenth, so that played bars can be alike; an octave does
    not matter. A bar without onsets is like none.
    """
    bar, step = _places(piece, CELLS_PER_BEAT)
    grid = np.zeros((piece.bars, piece.beats_per_bar * CELLS_PER_BEAT, 12))
    grid[bar, step, piece.notes.pitch % 12] = 1.0
    flat = grid.reshape(piece.bars, -1)
    norm = np.maximum(np.linalg.norm(flat, axis=1), 1e-9)
    similarity: Matrix = (flat / norm[:, None]) @ (flat / norm[:, None]).T
    return similarity


def bars_return(similarity: Matrix, *, lags: Sequence[int] = LAGS) -> dict[str, float]:
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


def _returning(similarity: Matrix) -> Matrix:
    """Return the share of returning bars in each matrix, shape (n_matrices,)."""
    n = similarity.shape[-1]
    earlier = np.tri(n, k=-FAR_BARS, dtype=bool)
    copied = ((similarity >= NEAR_COPY - 1e-9) & earlier).any(axis=2)
    share: Matrix = copied[:, FAR_BARS:].mean(axis=1)
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


def reached_lags(pieces: Sequence[Piece]) -> tuple[int, ...]:
    """Return the lags below the length of the shortest piece.

    Raises:
        ValueError: If one has no bars or fewer than five.
    """
    shortest = min(piece.bars for piece in pieces)
    if shortest <= FAR_BARS:
        raise ValueError(f"pieces must have more than {FAR_BARS} bars, got one of {shortest}")
    return tuple(lag for lag in LAGS if lag < shortest)
