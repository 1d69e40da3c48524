from __future__ import annotations

import numpy as np
import pytest
from midi import song
from numpy.typing import NDArray

from emomusic.data import sources
from emomusic.data.beat import BeatGrid
from emomusic.data.sources import hear_bars, hears_other_bars

N_BARS = 40
"""Of a song at 120 quarter notes a minute: a beat lasts half a second."""


def track(
    monkeypatch: pytest.MonkeyPatch,
    downbeats: NDArray[np.float64],
    *,
    beats_per_bar: int = 4,
    confidence: float = 0.9,
) -> None:
    """Let the tracker find these downbeats, in beats of the file, and beats between them."""
    places = np.arange((len(downbeats) - 1) * beats_per_bar + 1) / beats_per_bar
    beats_s = np.interp(places, np.arange(len(downbeats)), downbeats * 0.5)
    grid = BeatGrid(beats_s, beats_per_bar, confidence)
    monkeypatch.setattr(sources, "track_beats", lambda notes: grid)


def test_bars_begin_where_the_tracker_hears_them(monkeypatch: pytest.MonkeyPatch) -> None:
    track(monkeypatch, 1.1 + 4.0 * np.arange(N_BARS))
    assert hear_bars(song(0, n_bars=N_BARS)) == ((4, 4), [(1, None)])
    track(monkeypatch, 2.0 + 3.0 * np.arange(4 * N_BARS // 3), beats_per_bar=3)
    assert hear_bars(song(0, n_bars=N_BARS)) == ((3, 4), [(2, None)])


def test_only_long_runs_on_the_prevailing_beat_count(monkeypatch: pytest.MonkeyPatch) -> None:
    # 25 bars from beat 1 on, then 8 bars from beat 107, then from beat 141 to the end at 160.
    heard = np.concatenate([1.0 + 4 * np.arange(26), 107.0 + 4 * np.arange(8), [141.0, 145.0]])
    track(monkeypatch, heard)
    assert hear_bars(song(0, n_bars=N_BARS)) == ((4, 4), [(1, 101)])


def test_an_unsure_tracker_hears_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    track(monkeypatch, 4.0 * np.arange(N_BARS), confidence=0.5)
    assert hear_bars(song(0, n_bars=N_BARS)) is None
    track(monkeypatch, 0.5 + 4.0 * np.arange(N_BARS))  # off the beats of the file
    assert hear_bars(song(0, n_bars=N_BARS)) is None
    track(monkeypatch, 5.0 * np.arange(30))  # of other lengths than theirs
    assert hear_bars(song(0, n_bars=N_BARS)) is None


@pytest.mark.parametrize(
    ("offset", "confidence", "is_other"),
    [(0.0, 0.9, False), (0.2, 0.9, False), (1.0, 0.9, True), (0.5, 0.9, True), (1.0, 0.7, False)],
)
def test_a_sure_tracker_off_the_written_bars_is_told(
    monkeypatch: pytest.MonkeyPatch, offset: float, confidence: float, is_other: bool
) -> None:
    track(monkeypatch, offset + 4.0 * np.arange(N_BARS), confidence=confidence)
    assert hears_other_bars(song(0, n_bars=N_BARS)) is is_other


def test_another_pulse_is_no_other_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    track(monkeypatch, 1.0 + 8.0 * np.arange(N_BARS // 2))
    assert not hears_other_bars(song(0, n_bars=N_BARS))
