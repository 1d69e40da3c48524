"""Continuations: whether new bars carry what is asked, and go on in the manner of those given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.judged.grid import AXES
from emomusic.evaluation.judged.hearing import HALVES
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.moving.asking import emotion_of
from emomusic.evaluation.moving.hearing import FEWEST_NOTES, Matrix, bars_of, quadrants_heard
from emomusic.evaluation.moving.telling import told_mean, told_share
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.verify.features import feature_matrix


@dataclass(frozen=True)
class GoneOn:
    """Hold what was heard in new bars, beside unrelated clips of the same emotion, key and tempo.

    Attributes:
        what: Which emotion was asked of the new bars.
        asked: Quadrant asked of each.
        before: Quadrant that the given bars were asked for.
        given: Quadrant heard in as many of the last given bars.
        heard: Quadrant heard in the new bars.
        late: Quadrant heard in their second half, empty where it has too few notes.
        fresh: Quadrant heard in the unrelated clip.
        distance: Of the new bars' features to those of every piece's last given bars, shape
            (n, n): the root mean square of differences in standard deviations of the latter.
        fresh_distance: The same of unrelated clips.
    """

    what: str
    asked: tuple[str, ...]
    before: tuple[str, ...]
    given: tuple[str, ...]
    heard: tuple[str, ...]
    late: tuple[str, ...]
    fresh: tuple[str, ...]
    distance: Matrix
    fresh_distance: Matrix

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values with 95 % intervals over pieces."""
        return {
            "what": self.what,
            "n": len(self.asked),
            "right": _same(self.asked, self.heard),
            "late_right": _same(self.asked, self.late),
            "fresh_right": _same(self.asked, self.fresh),
            "axes": {
                axis: {
                    "right": _same(self.asked, self.heard, axis),
                    "fresh_right": _same(self.asked, self.fresh, axis),
                }
                for axis in AXES
            },
            "given_right": _same(self.before, self.given),
            "as_before": _same(self.before, self.heard),
            "to_own": told_mean(self.distance.diagonal()),
            "fresh_to_own": told_mean(self.fresh_distance.diagonal()),
            "to_others": told_mean(_others(self.distance)),
            "nearer_than_fresh": told_share(
                self.distance.diagonal() < self.fresh_distance.diagonal()
            ),
            "nearest": told_share(_is_nearest(self.distance)),
            "fresh_nearest": told_share(_is_nearest(self.fresh_distance)),
        }


def _same(one: Sequence[str], other: Sequence[str], axis: str = "quadrant") -> list[float]:
    """Return the share of quadrants that are the same, or on the same side of an axis."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a and b]
    side = HALVES[axis]
    return told_share([side[QUADRANTS.index(a)] == side[QUADRANTS.index(b)] for a, b in pairs])


def _others(distance: Matrix) -> Matrix:
    """Return the mean distance to all but one's own."""
    n = len(distance)
    if n < 2:
        return np.zeros(0)
    others: Matrix = (distance.sum(axis=1) - distance.diagonal()) / (n - 1)
    return others


def _is_nearest(distance: Matrix) -> Any:
    return distance.argmin(axis=1) == np.arange(len(distance)) if len(distance) else []


def new_bars(clip: Clip) -> Notes:
    """Return the notes that begin after the bars that were given."""
    return bars_of(notes_of(clip.score), clip.n_given, clip.n_bars)


def last_bars(clip: Clip, n_bars: int) -> Notes:
    """Return the notes of a clip's last bars."""
    return bars_of(notes_of(clip.score), max(clip.n_bars - n_bars, 0), clip.n_bars)


def compare_continuations(
    judges: Mapping[str, Judge],
    what: str,
    sources: Sequence[Clip],
    results: Sequence[Clip],
    others: Sequence[Clip],
    *,
    n_bars: int,
) -> GoneOn:
    """Hear new bars and unrelated clips, and measure how near they are to the given bars.

    Pieces of which one part has fewer than four notes do not count.

    Args:
        judges: By name.
        what: Which emotion was asked of the new bars.
        sources: The pieces.
        results: The same with new bars.
        others: Unrelated clips as long as these.
        n_bars: New bars of each.
    """
    trios = list(zip(sources, results, others, strict=True))
    parts = [
        (last_bars(source, n_bars), new_bars(result), notes_of(other.score))
        for source, result, other in trios
    ]
    used = [i for i, part in enumerate(parts) if min(map(len, part)) >= FEWEST_NOTES]
    if not used:
        none = np.zeros((0, 0))
        return GoneOn(what, (), (), (), (), (), (), none, none)
    given, new, fresh = ([parts[i][k] for i in used] for k in range(3))
    return GoneOn(
        what,
        tuple(emotion_of(results[i]).quadrant for i in used),
        tuple(emotion_of(sources[i]).quadrant for i in used),
        tuple(quadrants_heard(judges, given)),
        tuple(quadrants_heard(judges, new)),
        _late(judges, [results[i] for i in used], n_bars // 2),
        tuple(quadrants_heard(judges, fresh)),
        distances(given, new),
        distances(given, fresh),
    )


def _late(judges: Mapping[str, Judge], results: Sequence[Clip], n_bars: int) -> tuple[str, ...]:
    """Return the quadrant heard in clips' last bars, empty where there are too few notes."""
    late = [last_bars(clip, n_bars) for clip in results]
    known = [notes for notes in late if len(notes) >= FEWEST_NOTES]
    heard = iter(quadrants_heard(judges, known) if known else ())
    return tuple(next(heard) if len(notes) >= FEWEST_NOTES else "" for notes in late)


def distances(given: Sequence[Notes], other: Sequence[Notes]) -> Matrix:
    """Return distances of others' features to those given, shape (n_other, n_given).

    The root mean square of differences, in standard deviations over those given; features that
    are the same in all given do not count.
    """
    X, Y = feature_matrix(given), feature_matrix(other)
    scale = X.std(axis=0)
    used = scale > 1e-9
    if not used.any():
        return np.zeros((len(Y), len(X)))
    gap = (Y[:, None, used] - X[None, :, used]) / scale[used]
    distance: Matrix = np.sqrt((gap**2).mean(axis=2))
    return distance


def distance_of_halves(sources: Sequence[Clip], *, n_bars: int) -> list[float]:
    """Return how far the bars before a piece's last ones are from these: a scale to read by."""
    pairs = []
    for clip in sources:
        notes, stop = notes_of(clip.score), max(clip.n_bars - n_bars, 0)
        pairs.append((bars_of(notes, max(stop - n_bars, 0), stop), last_bars(clip, n_bars)))
    pairs = [pair for pair in pairs if min(map(len, pair)) >= FEWEST_NOTES]
    if not pairs:
        return []
    return told_mean(
        distances([last for _, last in pairs], [first for first, _ in pairs]).diagonal()
    )
