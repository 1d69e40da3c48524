"""Pieces in another mood, and other takes of them: how far they move, and what stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.evaluation.judged.grid import AXES
from emomusic.evaluation.judges import Judge
from emomusic.evaluation.moving.asking import emotion_of, tonic_of
from emomusic.evaluation.moving.hearing import Matrix, points_of
from emomusic.evaluation.moving.likeness import VIEWS, Bar, bars_heard, likeness
from emomusic.evaluation.moving.telling import told_mean, told_share
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of

ANOTHER_TAKE = "another take"
"""No move: the same mood, other notes."""
SATURATED = 2.0
"""Log odds: pieces heard farther on that side already have little room to move."""


@dataclass(frozen=True)
class Moved:
    """Hold what one move made of pieces, each beside an unrelated clip of the same request.

    Attributes:
        move: Its name.
        asked: What was added to valence and arousal, less where the plane ends, shape (n, 2).
        before: Log odds of positive valence and arousal heard in the pieces, shape (n, 2).
        after: The same in what was made of them.
        retaken: The same in another take of each piece, of the same mood.
        fresh: The same in unrelated clips of the same emotion and key.
        likeness: Of each result and its piece, shape (n, 3), as `likeness` gives it.
        unrelated: The same of the unrelated clip and the piece.
    """

    move: str
    asked: Matrix
    before: Matrix
    after: Matrix
    retaken: Matrix
    fresh: Matrix
    likeness: Matrix
    unrelated: Matrix

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values with 95 % intervals over pieces."""
        return {
            "move": self.move,
            "n": len(self.asked),
            "axes": {axis: self._axis(k) for k, axis in enumerate(AXES)},
            "likeness": {
                view: {
                    "source": told_mean(self.likeness[:, k]),
                    "unrelated": told_mean(self.unrelated[:, k]),
                }
                for k, view in enumerate(VIEWS)
            },
            "before": self.before.round(3).tolist(),
            "after": self.after.round(3).tolist(),
        }

    def _axis(self, k: int) -> dict[str, Any]:
        asked = self.asked[:, k]
        shift, fresh = self.after[:, k] - self.before[:, k], self.fresh[:, k] - self.before[:, k]
        found: dict[str, Any] = {
            "asked": round(float(asked.mean()), 4),
            "shift": told_mean(shift),
            "size": told_mean(np.abs(shift)),
            "fresh": told_mean(fresh),
        }
        is_asked = np.abs(asked) > 1e-9
        if is_asked.any():
            sign = np.sign(asked)
            room = is_asked & (self.before[:, k] * sign < SATURATED)
            right, by_chance = shift * sign > 0, (self.retaken - self.before)[:, k] * sign > 0
            found["right"] = told_share(right[is_asked])
            found["right_by_chance"] = told_share(by_chance[is_asked])
            found["right_with_room"] = told_share(right[room])
            found["room_by_chance"] = told_share(by_chance[room])
            found["n_with_room"] = int(room.sum())
            found["fresh_right"] = told_share((fresh * sign > 0)[is_asked])
        return found


def compare_moves(
    judges: Mapping[str, Judge],
    sources: Sequence[Clip],
    made: Mapping[str, tuple[Sequence[Clip], Sequence[Clip]]],
) -> tuple[Moved, ...]:
    """Hear pieces, what was made of them, and unrelated clips.

    Args:
        judges: By name.
        sources: The pieces.
        made: By move, `ANOTHER_TAKE` among them: a result and an unrelated clip for each piece,
            in their order.
    """
    before = points_of(judges, _notes(sources))
    heard = {move: [points_of(judges, _notes(clips)) for clips in pair]
             for move, pair in made.items()}  # fmt: skip
    places = np.array([_place(clip) for clip in sources])
    return tuple(
        Moved(
            move,
            np.array([_place(clip) for clip in pair[0]]) - places,
            before,
            heard[move][0],
            heard[ANOTHER_TAKE][0],
            heard[move][1],
            *(_likeness(sources, clips) for clips in pair),
        )
        for move, pair in made.items()
    )


def likeness_of_phrases(sources: Sequence[Clip], *, n_bars: int = 4) -> dict[str, list[float]]:
    """Return how alike each piece is to itself some bars later: a scale to read likeness by."""
    own = [_bars(clip, tonic_of(clip)) for clip in sources]
    alike = np.array([likeness(bars, bars[n_bars:]) for bars in own]).reshape(-1, len(VIEWS))
    return {view: told_mean(alike[:, k]) for k, view in enumerate(VIEWS)}


def _notes(clips: Sequence[Clip]) -> list[Notes]:
    return [notes_of(clip.score) for clip in clips]


def _place(clip: Clip) -> tuple[float, float]:
    emotion = emotion_of(clip)
    return emotion.valence, emotion.arousal


def _bars(clip: Clip, tonic: int) -> list[Bar]:
    return bars_heard(notes_of(clip.score), tonic=tonic, n_bars=clip.n_bars)


def _likeness(sources: Sequence[Clip], clips: Sequence[Clip]) -> Matrix:
    pairs = zip(sources, clips, strict=True)
    return np.array(
        [likeness(_bars(one, tonic_of(one)), _bars(other, tonic_of(one))) for one, other in pairs]
    )
