"""How varied the pieces of a quadrant are, as a ratio to real clips of that quadrant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.quality.music import MIN_PIECES, Piece
from emomusic.evaluation.quality.resampling import (
    N_DRAWS,
    Column,
    Interval,
    drawn_counts,
    interval,
)
from emomusic.verify.features import feature_matrix

MAX_Z = 5.0


@dataclass(frozen=True)
class QuadrantDiversity:
    """Hold the diversity inside one quadrant.

    Attributes:
        quadrant: "Q1" to "Q4".
        n_composed: Composed pieces.
        n_real: Real clips.
        composed: Mean distance between two composed pieces.
        real: Mean distance between two real clips of different songs.
        ratio: Composed over real.
    """

    quadrant: str
    n_composed: int
    n_real: int
    composed: float
    real: float
    ratio: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        means = {"composed": round(self.composed, 4), "real": round(self.real, 4)}
        return {**vars(self), **means, "ratio": self.ratio.to_list()}


@dataclass(frozen=True)
class Diversity:
    """Hold the diversity inside each quadrant that both sets have.

    Attributes:
        each: The quadrants.
        mean: Mean of their ratios.
    """

    each: tuple[QuadrantDiversity, ...]
    mean: Interval

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {"each": [own.to_dict() for own in self.each], "mean": self.mean.to_list()}


def diversity(
    composed: Sequence[Piece], real: Sequence[Piece], *, n_draws: int = N_DRAWS, seed: int = 0
) -> Diversity:
    """Compare the distances inside each quadrant of composed pieces with those of real clips.

    A distance is the root mean square difference of the verifier's features, each standardised
    by all real clips and cut at five standard deviations. Two pieces of one song are no pair:
    clips of a song are alike, and would make real music look less varied than it is. Real
    clips should be about as long as the composed ones: shorter ones vary more (EMOPIA's windows
    of 8 bars 1.07 times as much as its whole clips, those of 16 bars 0.98 times).

    Args:
        composed: Pieces with quadrants, at least 8 of each quadrant that they name.
        real: The same of real clips.
        n_draws: Of the bootstrap by songs.
        seed: Of the bootstrap.

    Raises:
        ValueError: If no quadrant is in both, or one has fewer than 8 pieces in either or only
            one song.

    Reference:
        The mean pairwise distance within a set of Yang and Lerch (2020), On the evaluation of
        generative models in music; ours is of all features at once and between songs only.
    """
    shared = _shared_quadrants(composed, real)
    mine, theirs = (feature_matrix([piece.notes for piece in own]) for own in (composed, real))
    centre, spread = theirs.mean(axis=0), theirs.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 1.0)
    places = [np.clip((own - centre) / spread, -MAX_Z, MAX_Z) for own in (mine, theirs)]
    rng = np.random.default_rng(seed)
    each, draws = [], []
    for quadrant in shared:
        found = []
        for pieces, own in zip((composed, real), places, strict=True):
            where = [i for i, piece in enumerate(pieces) if piece.quadrant == quadrant]
            songs = [pieces[i].group for i in where]
            counts = drawn_counts(songs, n_draws, rng)
            found.append((len(where), *mean_distance(own[where], songs, counts)))
        (n, value, drawn), (n_real, real_value, real_drawn) = found
        draws.append(drawn / real_drawn)
        ratio = interval(value / real_value, draws[-1])
        each.append(QuadrantDiversity(quadrant, n, n_real, value, real_value, ratio))
    mean = interval(float(np.mean([own.ratio.value for own in each])), np.mean(draws, axis=0))
    return Diversity(tuple(each), mean)


def mean_distance(places: Column, songs: Sequence[str], counts: Column) -> tuple[float, Column]:
    """Return the mean distance between pieces of different songs, and its draws.

    Args:
        places: Shape (n, d).
        songs: Song of each piece; at least two songs.
        counts: How often each piece occurs in each draw, shape (n_draws, n).

    Returns:
        The mean, and that of each draw; a draw that holds one song only takes the mean.
    """
    song = np.unique(np.asarray(songs), return_inverse=True)[1]
    other = (song[:, None] != song[None, :]).astype(np.float64)
    apart = cdist(places, places) / np.sqrt(places.shape[1]) * other
    value = float(apart.sum() / other.sum())
    pairs = ((counts @ other) * counts).sum(axis=1)
    total = ((counts @ apart) * counts).sum(axis=1)
    return value, np.where(pairs > 0, total / np.maximum(pairs, 1.0), value)


def _shared_quadrants(composed: Sequence[Piece], real: Sequence[Piece]) -> list[str]:
    named = [{piece.quadrant for piece in own} for own in (composed, real)]
    shared = [quadrant for quadrant in QUADRANTS if quadrant in named[0] & named[1]]
    if not shared:
        raise ValueError("composed and real pieces share no quadrant")
    for what, pieces in (("composed", composed), ("real", real)):
        for quadrant in shared:
            songs = [piece.group for piece in pieces if piece.quadrant == quadrant]
            if len(songs) < MIN_PIECES or len(set(songs)) < 2:
                raise ValueError(
                    f"at least {MIN_PIECES} {what} pieces of {quadrant} and two songs are needed, "
                    f"got {len(songs)} of {len(set(songs))}"
                )
    return shared
