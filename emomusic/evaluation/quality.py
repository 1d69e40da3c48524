"""Quality and variety: composed pieces beside windows of real songs, and real beside real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from emomusic.compose.clip import Clip
from emomusic.data.prepared import shared_tokenizer
from emomusic.emotion import QUADRANTS
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
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.training.rows import Rows
from emomusic.verify.features import feature_matrix

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

POP_PIANO = ("emopia", "pop1k7")
"""Sources of the rows whose music is piano pop, as the composed pieces are meant to be."""
MIN_PIECES, N_SPLITS, N_DRAWS = 8, 10, 300
NEIGHBOURS, N_AXES = 5, 32
"""Balls reach to so many neighbours, in a space of so many principal axes."""
MAX_Z = 5.0
"""A freak value is no axis of its own, and no distance."""
MEASURES = ("precision", "recall", "density", "coverage")
Indices = NDArray[np.int64]
Drawn = tuple[Matrix, Matrix]
"""The value of each measure, shape (n_measures,), and its draws, shape (n_measures, n_draws)."""
_EMOPIA = re.compile(r"(Q[1-4])_(.+)_\d+\.mid$")
_STRETCH = re.compile(r"#\d+$")
"""What tells a further stretch of a song from its first."""


@dataclass(frozen=True)
class Piece:
    """Hold whole bars of music to compare, at least one note."""

    notes: Notes
    group: str  # its song; pieces of one song are never counted as independent
    n_bars: int  # from beat 0
    quadrant: str | None = None  # asked for or heard by people; None where unknown
    beats_per_bar: int = 4

    def __post_init__(self) -> None:
        if not len(self.notes) or self.n_bars < 1:
            raise ValueError(f"a piece must hold notes and bars, got none from {self.group!r}")

    @property
    def n_beats(self) -> int:
        """Return the length in beats."""
        return self.n_bars * self.beats_per_bar


def composed_pieces(clips: Iterable[Clip]) -> list[Piece]:
    """Return composed clips as pieces, each its own song, with the quadrant asked for, if any."""
    return [
        Piece(
            notes_of(clip.score),
            group=f"composed/{clip.seed}/{clip.index}",
            n_bars=clip.n_bars,
            quadrant=clip.request.emotion.quadrant if clip.request.emotion else None,
            beats_per_bar=clip.metre.beats,
        )
        for clip in clips
    ]


def real_pieces(rows: Rows, source: str, *, n_bars: int, seed: int = 0) -> list[Piece]:
    """Cut windows of whole bars of 4/4 without an empty one out of the songs of a source.

    Every song gives one window before any gives a second, which then shares no bar with the
    first. Windows begin at any bar. Their tempo is that of the clips that hold their bars.
    EMOPIA's have their quadrant.
    """
    ids, clip, rng = music_ids(rows), clips_of_bars(rows), np.random.default_rng(seed)
    tempo = rows.clip_values[clip, rows.meta["attributes"].index("tempo")].astype(np.float64)
    song = rows.clip_song[clip].astype(np.int64)
    four_four = shared_tokenizer().vocabulary.id_of("TimeSig_4/4")
    own = (clip >= 0) & (rows.song_source[song] == rows.meta["sources"].index(source))
    own &= (ids[rows.bar_start[:-1] + 1] == four_four) & ~rows.bar_compound
    n_left_out = np.concatenate([[0], np.cumsum(~own)])
    at = np.arange(len(song) - n_bars + 1)
    whole = (n_left_out[at + n_bars] == n_left_out[at]) & (song[at] == song[at + n_bars - 1])
    starts: dict[str, list[int]] = {}
    for start in rng.permutation(at[whole]).tolist():
        taken = starts.setdefault(_song_of(rows, int(song[start]))[0], [])
        if all(abs(start - other) >= n_bars for other in taken):
            taken.append(start)
    found = []
    groups = [starts[name] for name in rng.permutation(sorted(starts)).tolist()]
    for start in (start for turn in zip_longest(*groups) for start in turn if start is not None):
        music = ids[rows.bar_start[start] : rows.bar_start[start + n_bars]].tolist()
        pace = float(n_bars / (1.0 / tempo[start : start + n_bars]).sum())
        score = shared_tokenizer().decode(music, tempo=pace, n_beats=4.0 * n_bars)
        group, quadrant = _song_of(rows, int(song[start]))
        found.append(Piece(notes_of(score), group, n_bars, quadrant))
    return found


def _song_of(rows: Rows, song: int) -> tuple[str, str | None]:
    """Return the name of a song and its quadrant; EMOPIA's files are clips of songs."""
    source = rows.meta["sources"][rows.song_source[song]]
    name = _STRETCH.sub("", rows.meta["song_names"][song])
    found = _EMOPIA.search(name.rsplit("/", 1)[-1]) if source == "emopia" else None
    return (f"{source}/{found[2]}", found[1]) if found else (name, None)


def music_ids(rows: Rows) -> Indices:
    """Return the ids of packed rows as this version's tokenizer has them, shape (n_ids,).

    Rows know a checkpoint's attributes, perhaps others than ours; the music stands behind them.
    """
    texts = shared_tokenizer().vocabulary.texts
    own, n_music = rows.meta["vocabulary"], len(texts) - texts.index("Bar_None")
    if list(own[-n_music:]) != list(texts[-n_music:]):
        raise ValueError("the rows are of another vocabulary than this version's: prepare them")
    return rows.ids.astype(np.int64) + (len(texts) - len(own))


def clips_of_bars(rows: Rows) -> Indices:
    """Return the last clip that holds each bar, -1 where none does, shape (n_bars,)."""
    clips = np.full(len(rows.bar_start) - 1, -1, dtype=np.int64)
    ends = rows.clip_bar + rows.clip_n_bars.astype(np.int64)
    for clip, (first, end) in enumerate(zip(rows.clip_bar, ends, strict=True)):
        clips[first:end] = clip
    return clips


@section(
    "Quality and variety",
    Table(MEASURES, "pieces", note=
          "Among real music: the real pieces are halved by songs, several times; composed ones "
          "and the other half, as many, are held against the same half, in the space of the "
          "verifier's features, in seconds. Intervals draw the pieces again, whole songs at a "
          "time."),
    Table(("diversity",), "pieces", note=
          "Mean distance between two pieces of different songs, in standard deviations of real "
          "music; real: windows of EMOPIA."),
    plots=(Plot("diversity", "bars", "quadrant", where={"pieces": "ratio"}),),
    uses=("count", "bars", "seed", "steering", "rows"),
    needs_rows=True,
)  # fmt: skip
def quality(context: Context) -> Iterator[Row | str]:
    """Set the first draws beside windows of real songs; what has too few pieces says so."""
    pieces, real = context.pieces, context.real
    n = ", ".join(f"{len(own)} windows of {name}" for name, own in real.items())
    yield (f"Beside {n}. Pop piano is as many windows of EMOPIA as of Pop1K7, of songs trained on "
           "or not; no two windows of a song share a bar.")  # fmt: skip
    measures: dict[str, Callable[[], Iterator[Row]]] = {
        f"Manifold among {name}": partial(manifold, pieces, own, among=name)
        for name, own in real.items()
    }
    labelled = [piece for piece in real["EMOPIA"] if piece.quadrant]
    measures["Diversity"] = partial(diversity, pieces, labelled)
    for name, measure in measures.items():
        try:
            yield from list(measure())
        except ValueError as error:
            yield f"{name} left out: {error}."


def splits(
    n_composed: int, groups: Sequence[str], rng: np.random.Generator
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield drawn halves of the real pieces, no song in both, with as many composed pieces.

    Yielded are the indices of the real pieces that are held against, of composed ones, and of the
    other real ones, shape (n,) each. `groups` are the songs of the real ones.
    """
    song = np.unique(np.asarray(groups), return_inverse=True)[1]
    for _ in range(N_SPLITS):
        place = rng.permutation(int(song.max(initial=0)) + 1)[song]
        middle = np.sort(place)[len(place) // 2 :][:1]
        halves = [np.flatnonzero(place < middle), np.flatnonzero(place >= middle)]
        n = min(n_composed, *map(len, halves))
        if n < MIN_PIECES:
            raise ValueError(
                f"at least {MIN_PIECES} composed pieces, and two halves of as many real ones "
                f"without a song in both, are needed, got {n_composed}, {len(halves[0])} and "
                f"{len(halves[1])}"
            )
        reference, other = (rng.choice(half, n, replace=False) for half in halves)
        yield reference, rng.choice(n_composed, n, replace=False), other


def beside(
    pieces: tuple[Sequence[Piece], Sequence[Piece]],
    measured: tuple[Matrix, Matrix],
    names: Sequence[str],
    compare: Callable[[Matrix, Matrix, Matrix, Matrix], Drawn],
    *,
    n_draws: int = N_DRAWS,
    **by: str,
) -> Iterator[Row]:
    """Hold composed pieces against halves of the real ones, and the other halves beside them.

    Yielded are the means over the halvings: of composed pieces, of real ones, their difference.
    The intervals are those of drawing the pieces that are held against the reference again; that
    other real songs might have been the reference is not in them. The draws of a halving are
    moved so that their mean is its value: a distribution that is drawn again is rougher than it
    was, and overlaps less.

    Args:
        pieces: Composed ones, at least 8, and real ones, at least 16 of at least two songs.
        measured: What is known of each of both, shape (n_pieces, ...).
        names: Of the measures.
        compare: From what is known of a reference, how often each of it is drawn, and the same of
            the pieces that are held against it, to the measures.
    """
    rng = np.random.default_rng(0)
    groups = [[piece.group for piece in own] for own in pieces]
    halvings = list(splits(len(pieces[0]), groups[1], rng))
    counts = [weights(own, n_draws, rng=rng) for own in groups]
    values, draws = np.zeros((2, len(names))), np.zeros((2, len(names), n_draws))
    for reference, *held in halvings:
        against = measured[1][reference], counts[1][:, reference]
        for k, at in enumerate(held):
            value, drawn = compare(*against, measured[k][at], counts[k][:, at])
            values[k] += value / len(halvings)
            draws[k] += (drawn - drawn.mean(axis=1, keepdims=True) + value[:, None]) / len(halvings)
    values, draws = (np.stack([*own, own[0] - own[1]]) for own in (values, draws))
    for k, name in enumerate(names):
        for kind, of in enumerate(("composed", "real", "difference")):
            found = interval(values[kind, k], draws[kind, k])
            yield row_of(name, found, len(halvings[0][0]), **by, pieces=of)


def manifold(
    composed: Sequence[Piece], real: Sequence[Piece], *, among: str, n_draws: int = N_DRAWS
) -> Iterator[Row]:
    """Compare composed and real pieces, named `among`, in the space of the verifier's features."""

    def near(reference: Matrix, drawn: Matrix, held: Matrix, held_drawn: Matrix) -> Drawn:
        to_axes = white_axes(reference)
        found = neighbourhood(to_axes(reference), to_axes(held), k=NEIGHBOURS)
        draws = [drawn_means(*own) for own in zip(found, (held_drawn, drawn) * 2, strict=True)]
        return np.array([own.mean() for own in found]), np.array(draws)

    features = _features(composed), _features(real)
    yield from beside((composed, real), features, MEASURES, near, n_draws=n_draws, among=among)


def _features(pieces: Sequence[Piece]) -> Matrix:
    return feature_matrix([piece.notes for piece in pieces])


def standardised(reference: Matrix) -> Callable[[Matrix], Matrix]:
    """Return what standardises features by the reference, and cuts at five deviations."""
    mean, spread = reference.mean(axis=0), reference.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    return lambda features: np.clip((features - mean) / spread, -MAX_Z, MAX_Z)


def white_axes(reference: Matrix, n_axes: int = N_AXES) -> Callable[[Matrix], Matrix]:
    """Return what maps features, (n, n_features), to at most `n_axes` axes of equal spread.

    They are the principal axes of the standardised reference: many features of one thing count
    once. 32 such axes part real pop piano from what is none: with 200 pieces, precision is 0.85
    for other real songs, 0.67 at 1.7 times their tempo, 0.68 with their pitches shuffled, 0.49
    with both; with 250 whole features all four lie within 0.20.
    """
    from sklearn.decomposition import PCA

    standardise = standardised(reference)
    z = standardise(reference)
    rank = max(int(np.linalg.matrix_rank(z - z.mean(axis=0))), 1)
    axes = PCA(min(n_axes, rank), whiten=True, svd_solver="full").fit(z)
    return lambda features: np.asarray(axes.transform(standardise(features)))


def neighbourhood(reference: Matrix, points: Matrix, *, k: int) -> tuple[Matrix, ...]:
    """Return what precision, recall, density and coverage are means of.

    They are, of m points held against n real pieces, shapes (m, d) and (n, d), balls reaching to
    the k-th neighbour within their own set: of the points whether each is in a ball of the
    reference; of the reference whether each is in a ball of the points; of the points how many
    balls each is in, over k; of the reference whether each one's ball holds a point.

    Reference:
        Kynkäänniemi et al. (2019), Improved precision and recall metric for assessing
        generative models; Naeem et al. (2020), Reliable fidelity and diversity metrics for
        generative models (density, coverage).
    """
    radius, own_radius = (
        np.partition(cdist(own, own), k, axis=1)[:, k] for own in (reference, points)
    )
    apart = cdist(points, reference)
    inside = apart <= radius
    values = (
        inside.any(axis=1),
        (apart <= own_radius[:, None]).any(axis=0),
        inside.sum(axis=1) / k,
        inside.any(axis=0),
    )
    return tuple(value.astype(np.float64) for value in values)


def diversity(
    composed: Sequence[Piece], real: Sequence[Piece], *, n_draws: int = N_DRAWS
) -> Iterator[Row]:
    """Compare the distances inside each quadrant of composed pieces with those of real clips.

    A distance is the root mean square difference of the verifier's features, each standardised
    by all real clips and cut at five standard deviations. Two pieces of one song are no pair:
    clips of a song are alike, and would make real music look less varied than it is. Real
    clips should be about as long as the composed ones: shorter ones vary more. Of each quadrant
    that both name there must be at least 8 of both.

    Reference:
        The mean pairwise distance within a set of Yang and Lerch (2020), On the evaluation of
        generative models in music; ours is of all features at once and between songs only.
    """
    kinds = {"composed": composed, "real": real}
    named = [{piece.quadrant for piece in own} for own in kinds.values()]
    shared = [quadrant for quadrant in QUADRANTS if quadrant in named[0] & named[1]]
    if not shared:
        raise ValueError("composed and real pieces share no quadrant")
    standardise, rng = standardised(_features(real)), np.random.default_rng(0)
    places = {kind: standardise(_features(own)) for kind, own in kinds.items()}
    ratios = []  # of each quadrant, the value and then its draws
    for quadrant in shared:
        found = []
        for kind, pieces in kinds.items():
            where = [i for i, piece in enumerate(pieces) if piece.quadrant == quadrant]
            songs = [pieces[i].group for i in where]
            if len(songs) < MIN_PIECES or len(set(songs)) < 2:
                raise ValueError(
                    f"at least {MIN_PIECES} {kind} pieces of {quadrant} and two songs are needed, "
                    f"got {len(songs)} of {len(set(songs))}"
                )
            counts = np.vstack([np.ones(len(songs)), weights(songs, n_draws, rng=rng)])
            found.append(mean_distances(places[kind][where], songs, counts))
            by = {"quadrant": quadrant, "pieces": kind}
            yield Row("diversity", float(found[-1][0]), n=len(where), by=by)
        ratios.append(found[0] / found[1])
        n = sum(piece.quadrant == quadrant for piece in composed)
        ratio = interval(ratios[-1][0], ratios[-1][1:])
        yield row_of("diversity", ratio, n, quadrant=quadrant, pieces="ratio")
    mean = np.mean(ratios, axis=0)
    yield row_of("diversity", interval(mean[0], mean[1:]), quadrant="mean", pieces="ratio")


def mean_distances(places: Matrix, songs: Sequence[str], counts: Matrix) -> Matrix:
    """Return the mean distance between pieces of different songs in each draw, shape (n_draws,).

    A draw that holds one song only takes what the first has, which must hold two.

    Args:
        places: Shape (n, d).
        counts: How often each piece occurs in each draw, shape (n_draws, n).
    """
    other = (np.asarray(songs)[:, None] != np.asarray(songs)).astype(np.float64)
    apart = cdist(places, places) / np.sqrt(places.shape[1]) * other
    n_pairs, total = (((counts @ own) * counts).sum(axis=1) for own in (other, apart))
    return np.where(n_pairs > 0, total / np.maximum(n_pairs, 1.0), total[0] / n_pairs[0])
