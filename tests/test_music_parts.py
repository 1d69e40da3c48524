from __future__ import annotations

import numpy as np

from emomusic.music.notes import make_notes
from emomusic.music.parts import BASS, MELODY, RIGHT_HAND, parts_of


def test_hands_melody_and_bass_are_told_apart() -> None:
    # A held bass, a chord in the middle with a melody note above, then a note below a held one.
    onset = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0])
    duration = np.array([4.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    pitch = np.array([36, 60, 64, 79, 72, 74])
    parts = parts_of(make_notes(onset, duration, pitch, np.full(6, 64)), np.array([0.0, 4.0]))
    assert (parts & MELODY > 0).tolist() == [False, False, False, True, False, True]
    assert (parts & BASS > 0).tolist() == [True, False, False, False, False, True]
    assert not parts[0] & RIGHT_HAND
    assert parts[3] & RIGHT_HAND


def test_one_note_is_melody_and_bass() -> None:
    note = make_notes(np.zeros(1), np.ones(1), np.array([72]), np.ones(1))
    assert parts_of(note, np.array([0.0, 4.0])).tolist() == [RIGHT_HAND | MELODY | BASS]
