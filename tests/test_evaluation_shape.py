from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rows_cases import plain_rows

from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.evaluation.shape import composed_shape, real_shape, shape_of
from emomusic.music.notes import Notes, make_notes
from emomusic.training.rows import Rows


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


def tiny_rows() -> Rows:
    texts = ["Bar_None", "TimeSig_4/4", "Position_0", "Pitch_60", "Velocity_63", "Duration_1.6.12"]
    one = [0, 1, 2, 3, 4, 5]
    two = [0, 1, 2, 3, 4, 5, 3, 4, 5]
    return plain_rows(
        ids=np.array(one + two + two + one, dtype=np.uint16),
        bar_start=np.array([0, 6, 15, 24, 30]),
        clip_bar=np.array([0, 2], dtype=np.int32),
        clip_n_bars=np.array([2, 2], dtype=np.int16),
        clip_is_end=np.array([False, True]),
        clip_song=np.array([0, 0], dtype=np.int32),
        song_source=np.array([0], dtype=np.int16),
        meta={"vocabulary": texts, "sources": ["songs"]},
    )


def test_real_bars_are_counted_from_packed_rows() -> None:
    shape = real_shape(tiny_rows(), "songs")
    assert (shape.what, shape.n_clips, shape.n_empty) == ("songs", 2, 0)
    assert (shape.bar[0], shape.bar[2], shape.bar[-1]) == (1.0, 1.5, 2.0)
    assert shape.last_bar == (1.0,) * 5  # of the clip that ends its song
    assert shape.last_length == (1.5,) * 5


def test_an_unknown_source_is_named() -> None:
    with pytest.raises(ValueError, match="the rows hold no source 'other'"):
        real_shape(tiny_rows(), "other")
