"""Compose pieces that move and take up others, and hear whether they do as asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.derive import MOVES, continue_clip, shift_clip, shift_emotion, vary_clip
from emomusic.compose.request import Request
from emomusic.emotion import QUADRANTS, EmotionCurve
from emomusic.evaluation.judged.hearing import NO_VELOCITY, Panel
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.moving.asking import (
    draw_curve,
    draw_elsewhere,
    draw_emotions,
    draw_lengths,
    emotion_of,
    fresh_request,
    request_curve,
)
from emomusic.evaluation.moving.courses import Course, hear_courses, hear_glued
from emomusic.evaluation.moving.following import LAGS, Following, follow
from emomusic.evaluation.moving.going_on import (
    GoneOn,
    compare_continuations,
    distance_of_halves,
)
from emomusic.evaluation.moving.moves import (
    ANOTHER_TAKE,
    Moved,
    compare_moves,
    likeness_of_phrases,
)
from emomusic.music.score import notes_of
from emomusic.verify.labels import read_notes

N_CURVES, N_PIECES = 60, 60
N_DRAWS = 2
"""First draws of each curve."""
N_SHOWN = 6
"""Curves that are kept whole, to be drawn."""
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Moving:
    """Hold how music moves as it is asked to.

    Attributes:
        judges: Names of those that heard it.
        curves: Each with the bars of its pieces.
        composed: Pieces that follow curves, as heard.
        still: Pieces that stay where their curve begins.
        following: How the axes heard follow those asked for.
        moves: What each move made of pieces, and another take of them.
        phrases: How alike the pieces are to themselves four bars later.
        gone_on: What was heard in continuations.
        halves: How far the first half of a piece is from its last, in features.
    """

    judges: tuple[str, ...]
    curves: tuple[tuple[EmotionCurve, int], ...]
    composed: tuple[Course, ...]
    still: tuple[Course, ...]
    following: tuple[Following, ...]
    moves: tuple[Moved, ...]
    phrases: Mapping[str, Sequence[float]]
    gone_on: tuple[GoneOn, ...]
    halves: Sequence[float]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "judges": list(self.judges),
            "n_curves": len(self.curves),
            "n_composed": len(self.composed),
            "n_windows": sum(len(course.apart[0]) for course in self.composed),
            "lags": list(LAGS),
            "following": [one.to_dict() for one in self.following],
            "shown": [self._shown(group) for group in range(min(N_SHOWN, len(self.curves)))],
            "moves": [one.to_dict() for one in self.moves],
            "phrases": {view: list(values) for view, values in self.phrases.items()},
            "gone_on": [one.to_dict() for one in self.gone_on],
            "halves": list(self.halves),
        }

    def _shown(self, group: int) -> dict[str, Any]:
        """Tell one curve and what was heard along it, drawn back into [-1, 1]."""
        curve, n_bars = self.curves[group]
        own = [course.heard for course in self.composed if course.group == group]
        points = [
            {
                "bar": point.bar,
                "name": point.emotion.name,
                "at": [point.emotion.valence, point.emotion.arousal],
            }
            for point in curve.points
        ]
        return {"n_bars": n_bars, "points": points, "heard": [_plane(heard) for heard in own]}


def _plane(points: Any) -> list[list[float | None]]:
    """Return log odds as twice the probability less 1, None where nothing is heard."""
    places = np.tanh(points / 2.0).round(4).tolist()
    return [[None if x != x else x for x in place] for place in places]


def n_composed(n_curves: int, n_pieces: int) -> int:
    """Return how many clips `measure_moving` composes."""
    return n_curves * (N_DRAWS + 1) + n_pieces * (1 + 2 * (len(MOVES) + 1) + 2 * 2)


def measure_moving(
    composer: Composer,
    panel: Panel,
    *,
    n_curves: int = N_CURVES,
    n_pieces: int = N_PIECES,
    seed: int = 0,
    n_bars: int = 16,
    progress: Progress = lambda n_done: None,
) -> Moving:
    """Compose along random curves, in other moods, other takes and continuations; hear them.

    All are first draws, steered as the composer is. Unrelated clips are of the next seed.

    Args:
        composer: A checkpoint.
        panel: Judges of a half of the songs that nothing else saw, and real clips.
        n_curves: Curves, at least 2.
        n_pieces: Pieces that are taken up, at least 2.
        seed: Of the run, and of all that is drawn.
        n_bars: Bars of a piece that is taken up; half as many are added to it, and pieces along
            curves have as many to twice as many.
        progress: Called with 1 for each clip that is done, `n_composed` times.

    Raises:
        ValueError: If a number is too small, or there is no judge.
    """
    if min(n_curves, n_pieces) < 2:
        raise ValueError(f"2 curves and 2 pieces are needed, got {n_curves} and {n_pieces}")
    desk = _Desk(composer, panel.judges, seed, n_bars, progress)
    rng = np.random.default_rng(seed)
    bars = draw_lengths(n_curves, rng, n_bars=n_bars)
    curves = tuple((draw_curve(n, rng), n) for n in bars)
    composed, still = desk.along(curves)
    glued = hear_glued(panel.judges, curves, _real(panel), seed=seed)
    sources = desk.compose([Request(e, n_bars=n_bars) for e in draw_emotions(n_pieces, rng)])
    elsewhere = [draw_elsewhere(emotion_of(clip), rng) for clip in sources]
    moves = desk.moves(sources)
    gone_on = (
        desk.go_on("the same emotion", sources, [emotion_of(clip) for clip in sources]),
        desk.go_on("an emotion of another quadrant", sources, elsewhere),
    )
    return Moving(
        tuple(name for name in panel.judges if name != NO_VELOCITY),
        curves,
        composed,
        still,
        follow(composed, still, glued, seed=seed),
        moves,
        likeness_of_phrases(sources),
        gone_on,
        distance_of_halves(sources, n_bars=max(n_bars // 2, 1)),
    )


def _real(panel: Panel) -> dict[str, list[Any]]:
    """Return the notes of real clips that the judges did not learn from, by quadrant."""
    return {
        name: read_notes([clip for clip in panel.real if clip.quadrant == name])
        for name in QUADRANTS
    }


@dataclass(frozen=True)
class _Desk:
    """Compose for all parts of the measurement."""

    composer: Composer
    judges: Mapping[str, Judge]
    seed: int
    n_bars: int
    progress: Progress

    def compose(self, requests: Iterable[Request], *, fresh: bool = False) -> list[Clip]:
        """Compose a clip for each; what takes up a piece has that piece's number and seed."""
        seed = (self.seed + 1) % 2**63 if fresh else self.seed
        return list(self.composer.compose_each(requests, seed=seed, progress=self.progress))

    def along(
        self, curves: Sequence[tuple[EmotionCurve, int]]
    ) -> tuple[tuple[Course, ...], tuple[Course, ...]]:
        """Compose and hear pieces along curves, and pieces that stay where these begin."""
        requests = [request_curve(*own) for own in curves for _ in range(N_DRAWS)]
        groups = [group for group in range(len(curves)) for _ in range(N_DRAWS)]
        emotions = [curve.over(n) for curve, n in curves]
        moving = self._heard(requests, [emotions[group] for group in groups], groups)
        first = [curve.points[0].emotion for curve, _ in curves]
        still = [Request(e, n_bars=n) for e, (_, n) in zip(first, curves, strict=True)]
        stays = [(e,) * n for e, (_, n) in zip(first, curves, strict=True)]
        return moving, self._heard(still, stays, range(len(curves)), fresh=True)

    def _heard(
        self, requests: Sequence[Request], emotions: Any, groups: Sequence[int], **how: bool
    ) -> tuple[Course, ...]:
        notes = [notes_of(clip.score) for clip in self.compose(requests, **how)]
        return hear_courses(self.judges, notes, emotions, groups)

    def moves(self, sources: Sequence[Clip]) -> tuple[Moved, ...]:
        """Compose each piece in other moods, and another take of it; hear them."""
        made = {}
        for move in MOVES:
            results = self.compose([shift_clip(clip, move) for clip in sources])
            fresh = [
                fresh_request(clip, shift_emotion(emotion_of(clip), move), n_bars=self.n_bars)
                for clip in sources
            ]
            made[move] = results, self.compose(fresh, fresh=True)
        fresh = [fresh_request(clip, emotion_of(clip), n_bars=self.n_bars) for clip in sources]
        others = self.compose([vary_clip(clip, take=1) for clip in sources])
        made[ANOTHER_TAKE] = others, self.compose(fresh, fresh=True)
        return compare_moves(self.judges, sources, made)

    def go_on(self, what: str, sources: Sequence[Clip], emotions: Sequence[Any]) -> GoneOn:
        """Continue each piece; hear the new bars."""
        n_bars, pairs = max(self.n_bars // 2, 1), list(zip(sources, emotions, strict=True))
        results = self.compose([continue_clip(clip, n_bars, emotion=e) for clip, e in pairs])
        others = self.compose(
            [fresh_request(clip, e, n_bars=n_bars, tempo=clip.tempo) for clip, e in pairs],
            fresh=True,
        )
        return compare_continuations(self.judges, what, sources, results, others, n_bars=n_bars)
