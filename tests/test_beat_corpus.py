from __future__ import annotations

from pathlib import Path

import numpy as np
from beat_corpus import (
    Performance,
    excerpt,
    is_held_back,
    play_loosely,
    read_performance,
    scores,
    song_paths,
)
from midi import score_of
from symusic import Tempo

from emomusic.music.score import write_score


def write_song(path: Path, *, meter: int = 4) -> None:
    notes = [(beat, 0.5, 60 + beat, 64) for beat in range(12)]
    score = score_of(notes, signatures=((0, meter, 4),))
    score.tempos.append(Tempo(960, 60))
    write_score(score, path)


def test_true_beats_follow_the_tempo_map(tmp_path: Path) -> None:
    write_song(tmp_path / "a.mid")
    song = read_performance(tmp_path / "a.mid")
    np.testing.assert_allclose(song.beats_s[:5], [0.0, 0.5, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(song.onset_s, song.beats_s)
    assert song.downbeats is not None
    assert np.flatnonzero(song.downbeats).tolist() == [0, 4, 8]
    assert read_performance(tmp_path / "a.mid", beats_per_bar=None).downbeats is None


def test_an_excerpt_begins_at_zero_and_may_be_slower() -> None:
    times, pitch = np.arange(10.0), np.arange(60, 70)
    song = Performance("a", times + 0.25, pitch, pitch, times, np.arange(10) % 4 == 0)
    cut = excerpt(song, 3.0, 4.0, stretch=2.0)
    np.testing.assert_allclose(cut.beats_s, [0.0, 2.0, 4.0, 6.0])
    np.testing.assert_allclose(cut.onset_s, [0.5, 2.5, 4.5, 6.5])
    assert cut.pitch.tolist() == [63, 64, 65, 66]
    assert cut.downbeats is not None and cut.downbeats.tolist() == [False, True, False, False]


def test_playing_loosely_keeps_notes_near_their_beats() -> None:
    times, pitch = np.arange(0.0, 60.0, 0.5), np.full(120, 60)
    score = Performance("a", times, pitch, pitch, times, None, is_score=True)
    played = play_loosely(score, np.random.default_rng(0))
    assert np.abs(played.onset_s - played.beats_s).max() < 0.1
    assert 0.01 < np.diff(played.beats_s).std() < 0.1


def test_songs_are_listed_by_note_meter_and_a_side_that_depends_on_the_name(tmp_path: Path) -> None:
    names = [f"src_001_{k}" for k in range(200)]
    held = [is_held_back(name) for name in names]
    assert held == [is_held_back(f"folder/{name}.mid") for name in names]
    assert 0.3 < np.mean(held) < 0.5
    assert held[:6] == [False, True, False, False, False, True]
    lines = ["path,source,grid,bpm,note"]
    for k in range(6):
        write_song(tmp_path / f"{k}.mid", meter=3 if k % 2 else 4)
        lines.append(f"{k}.mid,{'pop1k7' if k < 4 else 'pianocore'},beat,,{'clean44' * (k < 3)}")
    (tmp_path / "index.csv").write_text("\n".join(lines) + "\n")
    paths, waltzes = [], []
    for side in (False, True):
        paths += song_paths(tmp_path, held_back=side)
        waltzes += scores(tmp_path, 3, ("pianocore",), held_back=side)
    assert sorted(path.name for path in paths) == ["0.mid", "1.mid", "2.mid"]
    (waltz,) = waltzes
    assert waltz.name == "5" and waltz.is_score
