from __future__ import annotations

import numpy as np
import pytest

from emomusic.evaluation.moving.likeness import bars_heard, likeness
from emomusic.music.notes import Notes, make_notes


def melody(*pitches: int, beat: float = 1.0) -> Notes:
    onset = beat * np.arange(len(pitches), dtype=np.float64)
    return make_notes(onset, np.ones(len(pitches)), np.array(pitches), np.full(len(pitches), 64))


def bars(notes: Notes, *, tonic: int = 0, n_bars: int = 2) -> list[frozenset[tuple[int, int]]]:
    return bars_heard(notes, tonic=tonic, n_bars=n_bars)


def test_major_and_minor_of_one_tune_are_the_same() -> None:
    major, minor = melody(60, 64, 67, 69, 71), melody(60, 63, 67, 68, 70)
    assert likeness(bars(major), bars(minor)) == pytest.approx([1.0, 1.0, 1.0])


def test_octaves_do_not_count_and_the_tonic_does() -> None:
    assert bars(melody(60, 76)) == bars(melody(72, 64))
    assert bars(melody(62, 66), tonic=2) == bars(melody(60, 64))


def test_each_view_counts_its_own() -> None:
    four, other = bars(melody(60, 62, 64, 65)), bars(melody(60, 62, 67, 69))
    assert likeness(four, other) == pytest.approx([0.5, 1.0, 0.5])
    double = bars(melody(60, 60, 60, 60, 60, 60, 60, 60, beat=0.5))
    assert likeness(four, double) == pytest.approx([2 / 12, 8 / 12, 2 / 5])


def test_bars_in_which_one_has_nothing_do_not_count() -> None:
    one, two = bars(melody(60, 62, 64, 65)), bars(melody(60, 62, 64, 65, 60, 60))
    assert likeness(one, two) == pytest.approx([1.0, 1.0, 1.0])
    assert np.isnan(likeness([frozenset()], two)).all()


def test_what_lies_beyond_the_last_bar_is_left_out() -> None:
    assert len(bars(melody(60, 62, 64, 65, 67), n_bars=1)) == 1
