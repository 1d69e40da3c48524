from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.evaluation.given import chords_found, share_kept
from emomusic.music.notes import make_notes


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
