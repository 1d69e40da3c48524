from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import make_score

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.export import write_clips
from emomusic.compose.quadrants import compose_quadrants
from emomusic.evaluation.report.whole import whole_clips


@pytest.fixture
def clips(tiny_checkpoint: Path, tmp_path: Path) -> list[Clip]:
    made = compose_quadrants(Composer(tiny_checkpoint), n_bars=3)
    for _ in write_clips(made, tmp_path):
        pass
    return made


def test_composed_clips_are_whole(clips: list[Clip], tmp_path: Path) -> None:
    found = whole_clips(clips, tmp_path)
    assert vars(found) == {"n_clips": 4, "n_read": 4, "n_bars": 4, "n_ended": 4, "n_whole": 4}
    share, low, high = found.to_dict()["share"]
    assert share == high == 1.0 and 0.4 < low < 0.6


def test_what_is_missing_is_counted(clips: list[Clip], tmp_path: Path) -> None:
    (tmp_path / "clip_00000.mid").write_bytes(b"MThd")
    longer = [clips[0], replace(clips[1], n_bars=4), replace(clips[2], n_bars=2), clips[3]]
    found = whole_clips(longer, tmp_path)
    assert vars(found) == {"n_clips": 4, "n_read": 3, "n_bars": 1, "n_ended": 1, "n_whole": 1}


def test_an_empty_bar_and_a_note_that_rings_on_are_found(clips: list[Clip], tmp_path: Path) -> None:
    gap = make_score([60, 62], gap=8 * 480)  # onsets in bars 1 and 3, the last note two bars long
    made = replace(clips[0], score=gap)
    for _ in write_clips([made], tmp_path):
        pass
    found = whole_clips([made], tmp_path)
    assert (found.n_read, found.n_bars, found.n_ended) == (1, 0, 0)
