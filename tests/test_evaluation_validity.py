from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import make_score

from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.export import write_clips
from emomusic.compose.quadrants import compose_quadrants
from emomusic.compose.request import Request
from emomusic.evaluation.validity import chords_found, share_kept, whole_clips
from emomusic.music.notes import make_notes


@pytest.fixture
def clips(tiny_checkpoint: Path, tmp_path: Path) -> list[Clip]:
    made = compose_quadrants(Composer(tiny_checkpoint), n_bars=3)
    for _ in write_clips(made, tmp_path):
        pass
    return made


def test_what_is_missing_or_rings_on_is_counted(clips: list[Clip], tmp_path: Path) -> None:
    """Counted are the share of whole clips; how many hold their notes, their bars, end on time."""

    def counted(clips: list[Clip]) -> list[float]:
        return [own.value for own in whole_clips(clips, tmp_path)]

    assert counted(clips) == [1.0, 4, 4, 4]
    whole = next(whole_clips(clips, tmp_path))
    assert whole.low is not None and whole.high == 1.0 and 0.4 < whole.low < 0.6
    (tmp_path / "clip_00000.mid").write_bytes(b"MThd")
    longer = [clips[0], replace(clips[1], n_bars=4), replace(clips[2], n_bars=2), clips[3]]
    assert counted(longer) == [0.25, 3, 1, 1]
    gap = make_score([60, 62], gap=8 * 480)  # onsets in bars 1 and 3, the last note two bars long
    made = replace(clips[0], score=gap)
    for _ in write_clips([made], tmp_path):
        pass
    assert counted([made]) == [0.0, 1, 0, 0]


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
