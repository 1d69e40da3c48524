from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.evaluation import row
from rows_cases import plain_rows
from synthetic import make_score

from emomusic.compose.clip import Clip, write_clips
from emomusic.compose.composer import Composer
from emomusic.compose.quadrants import compose_quadrants
from emomusic.compose.request import Request
from emomusic.evaluation.validity import (
    FILLED,
    chords_found,
    filled_bars,
    filled_real_bars,
    share_kept,
    whole_clips,
)
from emomusic.music.notes import Notes, make_notes
from emomusic.training.rows import Rows

BAR, LAST, LONGEST = FILLED


def notes_at(onsets: list[float], durations: list[float]) -> Notes:
    n = len(onsets)
    return make_notes(np.array(onsets), np.array(durations), np.full(n, 60), np.full(n, 64))


def quantiles(rows: list[object], name: str) -> list[float]:
    return [row(rows, name, quantile=f"{at}%").value for at in (5, 25, 50, 75, 95)]


def test_bars_are_counted() -> None:
    whole = notes_at([0, 1, 4, 5, 6, 8], [1, 1, 1, 1, 1, 3])
    gap = notes_at([0, 8], [1, 2])
    found = list(filled_bars("some", [(whole, 3, 4), (gap, 3, 4)]))
    assert row(found, "empty bars").value == 1
    assert (row(found, "overlong clips").value, row(found, "overlong clips").n) == (0, 2)
    assert quantiles(found, BAR)[2] == 1.0  # of 2, 3, 1 and 1, 0, 1
    assert quantiles(found, LAST) == [1.0] * 5
    assert quantiles(found, LONGEST)[0] >= 2.0 and quantiles(found, LONGEST)[-1] <= 3.0
    late = list(filled_bars("some", [(notes_at([0, 4, 8], [1, 1, 1]), 2, 4)]))
    assert row(late, "overlong clips").value == 1


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
    found = list(filled_real_bars(tiny_rows(), "songs"))
    assert row(found, "empty bars", clips="songs").value == 0
    assert row(found, "overlong clips").n == 2
    assert quantiles(found, BAR)[0::2] == [1.0, 1.5, 2.0]
    assert quantiles(found, LAST) == [1.0] * 5  # of the clip that ends its song
    assert quantiles(found, LONGEST) == [1.5] * 5
    with pytest.raises(ValueError, match="the rows hold no source 'other'"):
        list(filled_real_bars(tiny_rows(), "other"))


@pytest.fixture
def clips(tiny_checkpoint: Path, tmp_path: Path) -> list[Clip]:
    made = compose_quadrants(Composer(tiny_checkpoint), n_bars=3)
    for _ in write_clips(made, tmp_path):
        pass
    return made


def counted(clips: list[Clip], folder: Path) -> list[float]:
    """Return the share of whole clips; how many hold their notes, their bars, end on time."""
    return [own.value for own in whole_clips(clips, folder)]


def test_composed_clips_are_whole(clips: list[Clip], tmp_path: Path) -> None:
    assert counted(clips, tmp_path) == [1.0, 4, 4, 4]
    whole = next(whole_clips(clips, tmp_path))
    assert whole.low is not None and whole.high == 1.0 and 0.4 < whole.low < 0.6


def test_what_is_missing_or_rings_on_is_counted(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "clip_00000.mid").write_bytes(b"MThd")
    longer = [clips[0], replace(clips[1], n_bars=4), replace(clips[2], n_bars=2), clips[3]]
    assert counted(longer, tmp_path) == [0.25, 3, 1, 1]
    gap = make_score([60, 62], gap=8 * 480)  # onsets in bars 1 and 3, the last note two bars long
    made = replace(clips[0], score=gap)
    for _ in write_clips([made], tmp_path):
        pass
    assert counted([made], tmp_path) == [0.0, 1, 0, 0]


@pytest.mark.parametrize(
    ("chords", "found"),
    [
        ("Am", (1.0, 1.0, 1.0)),
        ("A", (1.0, 0.0, 0.0)),
        ("Am7", (1.0, 1.0, 0.0)),
        ("Am C", (0.5, 0.5, 0.5)),
        ("Am,C", (0.5, 0.5, 0.5)),
        ("G", (0.0, 0.0, 0.0)),
    ],
)
def test_chords_are_found_by_root_third_and_quality(
    tiny_composer: Composer, chords: str, found: tuple[float, ...]
) -> None:
    """Two bars of broken A minor."""
    (clip,) = tiny_composer.compose(Request(None, n_bars=2), seed=0)
    score = make_score([57, 64, 69, 72] * 4, gap=240)
    request = replace(clip.request, chords=chords)
    assert chords_found(replace(clip, score=score, request=request)) == pytest.approx(found)


def test_kept_are_notes_with_their_onset_pitch_and_velocity() -> None:
    onset = np.arange(4.0)
    notes = make_notes(onset, onset * 0 + 1, np.array([60, 62, 64, 65]), np.array([50, 60, 70, 80]))
    longer = make_notes(onset, onset * 0 + 0.5, notes.pitch, np.array([50, 60, 70, 81]))
    assert share_kept(notes, notes) == 1.0
    assert share_kept(notes, longer.where(slice(1, 4))) == 0.5
