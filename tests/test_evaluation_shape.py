from __future__ import annotations

from pathlib import Path

import numpy as np

from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.evaluation.shape import composed_shape, shape_of
from emomusic.music.notes import Notes, make_notes


def notes_at(onsets: list[float], durations: list[float]) -> Notes:
    n = len(onsets)
    return make_notes(np.array(onsets), np.array(durations), np.full(n, 60), np.full(n, 64))


def test_bars_are_counted() -> None:
    whole = notes_at([0, 1, 4, 5, 6, 8], [1, 1, 1, 1, 1, 3])
    gap = notes_at([0, 8], [1, 2])
    shape = shape_of("some", [(whole, 3, 4), (gap, 3, 4)])
    assert (shape.n_clips, shape.n_empty, shape.n_overlong) == (2, 1, 0)
    assert shape.bar[2] == 1.0  # of 2, 3, 1 and 1, 0, 1
    assert shape.last_bar == (1.0,) * 5
    assert shape.last_length[0] >= 2.0
    assert shape.last_length[-1] <= 3.0


def test_notes_outside_the_bars_asked_for_are_found() -> None:
    assert shape_of("some", [(notes_at([0, 4, 8], [1, 1, 1]), 2, 4)]).n_overlong == 1


def test_composed_clips_have_their_bars_and_none_empty(tiny_checkpoint: Path) -> None:
    clips = compose_quadrants(Composer(tiny_checkpoint), seed=2, n_bars=5)
    shape = composed_shape(clips)
    assert (shape.n_clips, shape.n_empty, shape.n_overlong) == (4, 0, 0)
