"""Do distributions of pitches, lengths, textures and loudness overlap with those of real music?

python -m studies.distributions.study --rows datasets/packed/rows.npz --out out/distributions
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.distance import cdist

from emomusic.compose.best_of import LAGS
from emomusic.compose.checkpoint import find_checkpoint
from emomusic.compose.composer import Composer
from emomusic.evaluation.quality import MIN_PIECES, N_DRAWS, Drawn, Piece, beside
from emomusic.evaluation.rows import (
    Matrix,
    Plot,
    Row,
    Table,
    drawn_means,
    interval,
    row_of,
    section,
    weights,
)
from emomusic.evaluation.run import Context, Settings
from emomusic.evaluation.structure import FAR_BARS, SCALES, bar_similarity, bars_return, places_of
from emomusic.music.attributes import SAME_ONSET_BEATS, measure, passage_of
from emomusic.music.key import estimate_key
from studies import main_of, run_study
from studies.distributions.filled import fills

STEPS_PER_BEAT = 12
N_LENGTHS, LENGTHS_PER_OCTAVE = 28, 4
MAX_POLYPHONY, MAX_DENSITY, VELOCITIES_PER_BIN = 16, 12.0, 8
N_GRID = 512


@section(
    "Overlap with pop piano",
    Table(("overlap",), "pieces", note=
          "Overlap area, 0 to 1, on shared grids; real: other real songs against the same ones. "
          "Distances: within real pieces against to them."),
    plots=(
        Plot("overlap", "bars", "quantity", "pieces", "kind"),
        Plot("histogram", "curve", "bin", "pieces", "quantity"),
    ),
)  # fmt: skip
def distributions(context: Context) -> Iterator[Row]:
    """Set the first draws beside windows of pop piano."""
    pieces, pop = context.pieces, context.real["pop piano"]
    yield from overlap(pieces, pop)
    yield from mean_histograms(pieces, pop)


def overlap(
    composed: Sequence[Piece], real: Sequence[Piece], *, n_draws: int = N_DRAWS
) -> Iterator[Row]:
    """Compare the distributions of composed pieces with those of real ones.

    Every piece weighs the same, whatever its notes. `pooled` is Σ min(p, q) of mean histograms
    on one grid. `distances` is the same of two densities: distances between the histograms of
    two reference pieces, and of a reference piece and one held against it. Both are high for a
    set that is like the reference as a whole; only the second tells a set of like pieces from
    one as varied as the reference.

    Args:
        composed: At least 8 pieces with bars.
        real: At least 16 pieces with bars, of at least two songs.
        n_draws: Of the bootstrap.

    Raises:
        ValueError: If there are too few pieces.

    Reference:
        Yang and Lerch (2020), On the evaluation of generative models in music (mgeval): theirs
        samples the two densities where each has its own range, ours on one grid; Euclidean
        distances and Scott's bandwidth as theirs, densities reflected at 0.
    """
    means: dict[tuple[str, str], list[float]] = {}
    for quantity in QUANTITIES:
        both = histograms(composed, quantity), histograms(real, quantity)
        kinds = ("pooled", "distances")
        for row in beside((composed, real), both, kinds, _areas, n_draws=n_draws):
            by = {"quantity": quantity, "kind": row.name, "pieces": row.by["pieces"]}
            means.setdefault((row.name, row.by["pieces"]), []).append(row.value)
            yield replace(row, name="overlap", by=by)
    for (kind, pieces), values in means.items():
        by = {"quantity": "mean", "kind": kind, "pieces": pieces}
        yield Row("overlap", float(np.mean(values)), by=by)


def _areas(reference: Matrix, drawn: Matrix, held: Matrix, held_drawn: Matrix) -> Drawn:
    del drawn  # the reference stays
    target = reference.mean(axis=0)
    pooled = overlap_area(held.mean(axis=0), target)
    draws = overlap_area(drawn_means(held, held_drawn), target)
    apart, apart_draws = distance_overlap(reference, held, held_drawn)
    return np.array([pooled, apart]), np.array([draws, apart_draws])


def overlap_area(p: Matrix, q: Matrix) -> Matrix:
    """Return Σ min(p, q) over the last axis of histograms or densities, each made to sum to 1."""
    area: Matrix = np.minimum(
        p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    ).sum(axis=-1)
    return area


def distance_overlap(reference: Matrix, held: Matrix, counts: Matrix) -> tuple[float, Matrix]:
    """Return the overlap area of distances within a set and to it, and its draws.

    Args:
        reference: Histograms, shape (n, n_bins).
        held: Histograms of pieces held against it, shape (m, n_bins).
        counts: Of `weights` over the m pieces, shape (n_draws, m).
    """
    within = cdist(reference, reference)[np.triu_indices(len(reference), 1)]
    across = cdist(held, reference)
    width = max(float(within.max()), float(across.max()), 1e-9) / N_GRID * (1.0 + 1e-9)
    inside = np.bincount((within / width).astype(np.int64), minlength=N_GRID)
    rows = np.arange(len(held))[:, None] * N_GRID + (across / width).astype(np.int64)
    per_piece = np.bincount(rows.ravel(), minlength=len(held) * N_GRID).reshape(-1, N_GRID)
    smooth = _smoothed(per_piece.astype(np.float64), _bandwidth(across.ravel()) / width)
    target = _smoothed(inside.astype(np.float64), _bandwidth(within) / width)
    value = float(overlap_area(smooth.mean(axis=0), target))
    return value, overlap_area(drawn_means(smooth, counts), target)


def _bandwidth(distances: Matrix) -> float:
    """Return Scott's bandwidth of a one-dimensional density."""
    return max(float(distances.std()) * float(len(distances) ** -0.2), 1e-12)


def _smoothed(counts: Matrix, sigma: float) -> Matrix:
    """Return counts on the grid smoothed by a Gaussian of `sigma` cells, reflected at the ends."""
    smooth: Matrix = gaussian_filter1d(counts, sigma, axis=-1, mode="reflect")
    return smooth


def mean_histograms(composed: Sequence[Piece], real: Sequence[Piece]) -> Iterator[Row]:
    """Yield the mean histograms of composed and real pieces."""
    for quantity in QUANTITIES:
        for what, pieces in (("composed", composed), ("real", real)):
            shares = histograms(pieces, quantity).mean(axis=0).tolist()
            for at, value in enumerate(shares):
                by = {"quantity": quantity, "pieces": what, "bin": str(at)}
                yield Row("histogram", value, by=by)


def _pitch(piece: Piece) -> Matrix:
    """Count the notes at each MIDI pitch."""
    return _counted(piece.notes.pitch, 128)


def _pitch_class(piece: Piece) -> Matrix:
    """Count the notes at each pitch class above the tonic of the key heard."""
    return _counted((piece.notes.pitch - estimate_key(piece.notes).tonic) % 12, 12)


def _polyphony(piece: Piece) -> Matrix:
    """Count the twelfths of a beat at which 1, 2, … 16 or more notes sound."""
    n = piece.n_beats * STEPS_PER_BEAT
    start = np.clip(np.rint(piece.notes.onset * STEPS_PER_BEAT), 0, n - 1)
    end = np.rint((piece.notes.onset + piece.notes.duration) * STEPS_PER_BEAT)
    end = np.clip(np.maximum(end, start + 1), 0, n)
    change = np.bincount(start.astype(np.int64), minlength=n + 1) - np.bincount(
        end.astype(np.int64), minlength=n + 1
    )
    sounding = np.cumsum(change)[:n]
    return _counted(sounding[sounding > 0] - 1, MAX_POLYPHONY)


def _density(piece: Piece) -> Matrix:
    """Count the bars by their notes a beat, in steps of a half up to 12 or more."""
    last = piece.n_bars - 1
    bar = np.clip((piece.notes.onset // piece.beats_per_bar).astype(np.int64), 0, last)
    per_beat = np.bincount(bar, minlength=piece.n_bars) / piece.beats_per_bar
    return _counted(np.floor(per_beat * 2.0), int(MAX_DENSITY * 2) + 1)


def _duration(piece: Piece) -> Matrix:
    """Count the notes by their length, a quarter of an octave a bin from a twelfth of a beat."""
    return _lengths(piece.notes.duration)


def _gap(piece: Piece) -> Matrix:
    """Count the gaps between distinct onsets, in the bins of durations."""
    gaps = np.diff(piece.notes.onset)
    return _lengths(gaps[gaps > SAME_ONSET_BEATS])


def _velocity(piece: Piece) -> Matrix:
    """Count the notes by velocity, eight to a bin."""
    return _counted(piece.notes.velocity // VELOCITIES_PER_BIN, 128 // VELOCITIES_PER_BIN)


QUANTITIES: dict[str, Callable[[Piece], Matrix]] = {
    "pitch": _pitch,
    "pitch_class": _pitch_class,
    "polyphony": _polyphony,
    "density": _density,
    "duration": _duration,
    "onset_gap": _gap,
    "velocity": _velocity,
}


def histograms(pieces: Sequence[Piece], name: str) -> Matrix:
    """Return the histogram of each piece, each summing to 1, shape (n_pieces, n_bins).

    A piece that has nothing to count (one onset has no gap) is spread evenly.

    Args:
        pieces: At least one, with bars.
        name: One of QUANTITIES.

    Raises:
        ValueError: If a piece has no bars.
    """
    counts = np.array([QUANTITIES[name](piece) for piece in pieces])
    counts[~counts.any(axis=1)] = 1.0
    shares: Matrix = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _lengths(beats: Matrix) -> Matrix:
    octaves = np.log2(np.maximum(beats * STEPS_PER_BEAT, 1.0))
    return _counted(np.floor(octaves * LENGTHS_PER_OCTAVE + 1e-6), N_LENGTHS)


def _counted(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], n_bins: int) -> Matrix:
    """Count whole numbers from 0; the last bin takes all above it."""
    own = np.minimum(values.astype(np.int64), n_bins - 1)
    return np.bincount(own, minlength=n_bins).astype(np.float64)


@section(
    "Statistics of each piece",
    Table(("statistic",), "of", note=
          "Means and standard deviations of clips and of windows of pop piano; shift in "
          "standard deviations of the real, spread over theirs."),
)  # fmt: skip
def pieces(context: Context) -> Iterator[Row]:
    """Measure the first draws and windows of pop piano one by one."""
    yield from statistics(context.pieces, context.real["pop piano"])


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
    passage = passage_of(notes, n_beats=piece.n_beats, tempo=120.0)
    taken = measure(passage, ("pitch_range", "polyphony"))
    return {
        "scale_consistency": float((SCALES @ classes).max() / classes.sum()),
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
    bar, step = places_of(piece, STEPS_PER_BEAT)
    grid = np.zeros((piece.n_bars, piece.beats_per_bar * STEPS_PER_BEAT))
    grid[bar, step] = 1.0
    filled = grid.sum(axis=1)
    apart = filled[:, None] + filled[None, :] - 2.0 * grid @ grid.T
    pairs = np.triu_indices(piece.n_bars, 1)
    return 1.0 - float(apart[pairs].mean()) / grid.shape[1]


def _window_entropy(piece: Piece, n_bars: int) -> float:
    bar = places_of(piece, STEPS_PER_BEAT)[0]
    counts = np.zeros((piece.n_bars, 12))
    np.add.at(counts, (bar, piece.notes.pitch % 12), 1.0)
    n_bars = min(n_bars, piece.n_bars)
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
    shortest = min(piece.n_bars for piece in pieces)
    if shortest <= FAR_BARS:
        raise ValueError(f"pieces must have more than {FAR_BARS} bars, got one of {shortest}")
    return tuple(lag for lag in LAGS if lag < shortest)


def statistics(
    composed: Sequence[Piece], real: Sequence[Piece], *, n_draws: int = N_DRAWS, seed: int = 0
) -> Iterator[Row]:
    """Measure each piece and compare means and spreads of composed and real pieces.

    `shift` is the composed mean less the real one, in standard deviations of the real pieces; an
    interval that holds 0 is no difference that chance cannot make. Lags that the shortest piece
    does not reach are left out.

    Args:
        composed: At least 8 pieces with bars.
        real: At least 16 pieces with bars.
        n_draws: Of the bootstrap by songs.
        seed: Of the bootstrap.

    Raises:
        ValueError: If there are too few pieces, or one has no bars or fewer than five.
    """
    if len(composed) < MIN_PIECES or len(real) < 2 * MIN_PIECES:
        raise ValueError(f"too few pieces: {len(composed)} composed, {len(real)} real")
    lags = reached_lags([*composed, *real])
    tables = [[statistics_of(piece, lags=lags) for piece in own] for own in (composed, real)]
    values = [np.array([list(row.values()) for row in table]) for table in tables]
    rng = np.random.default_rng(seed)
    counts = [weights([p.group for p in own], n_draws, rng=rng) for own in (composed, real)]
    # Each (1 or n_draws, n_statistics); the first draw of each is the pieces as they are.
    (mean, sd), (real_mean, real_sd) = (
        _moments(own, np.vstack([np.ones(len(own)), count]))
        for own, count in zip(values, counts, strict=True)
    )
    unit = np.maximum(real_sd, 1e-9)
    shift, spread = (mean - real_mean) / unit, sd / unit
    for k, name in enumerate(tables[0][0]):
        for of, column in (("composed mean", mean), ("composed sd", sd),
                           ("real mean", real_mean), ("real sd", real_sd)):  # fmt: skip
            yield Row("statistic", float(column[0, k]), by={"statistic": name, "of": of})
        for of, column in (("shift", shift), ("spread", spread)):
            own = interval(column[0, k], column[1:, k])
            yield row_of("statistic", own, statistic=name, of=of)


def _moments(values: Matrix, counts: Matrix) -> tuple[Matrix, Matrix]:
    """Return mean and standard deviation in each draw, both of shape (n_draws, n_names)."""
    mean = drawn_means(values, counts)
    square = drawn_means((values - values.mean(axis=0)) ** 2, counts)
    variance = square - (mean - values.mean(axis=0)) ** 2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def report(args: argparse.Namespace) -> str:
    """Return the report."""
    folder = find_checkpoint(args.checkpoint)
    settings = Settings(args.count, args.bars, args.seed)
    composer = Composer(folder)
    args.out.mkdir(parents=True, exist_ok=True)  # first draws are written there
    context = Context(composer, folder, folder, args.out, rows_path=args.rows, settings=settings)
    about = {"checkpoint": composer.name, "clips": f"{args.count} a quadrant, seed {args.seed}"}
    return run_study(
        "Distributions",
        [distributions, pieces, fills],
        context,
        about=about,
        out=args.out,
        only=args.only,
    )


main = main_of(
    __doc__, report, needs={"rows": "packed rows, with pop piano"}, count=25, bars=16, seed=0
)


if __name__ == "__main__":
    main()
