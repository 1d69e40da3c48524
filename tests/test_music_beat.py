"""The beat tracker, and the performances with known beats that it is fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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
from numpy.typing import ArrayLike, NDArray
from symusic import Tempo

from emomusic.music.beat import (
    FRAME_S,
    N_FEATURES,
    BeatGrid,
    BeatNet,
    beat_features,
    decode_bars,
    decode_beats,
    default_net,
    find_beats,
    octave_traits,
    to_beats,
    track_beats,
)
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import write_score

FloatArray = NDArray[np.float64]

CHORDS = ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14))  # C, Am, F, G above C


def perform(
    beats_per_bar: int, tempo: float, *, n_bars: int = 16, rubato: float = 0.0
) -> tuple[Notes, FloatArray]:
    """Play bass, chords and a melody, each note up to 15 ms off; return the notes and the beats."""
    rng = np.random.default_rng(0)
    notes: list[tuple[float, int, int]] = []  # beat, pitch, velocity
    for bar in range(n_bars):
        chord, at = CHORDS[bar % 4], bar * beats_per_bar
        notes.append((at, 36 + chord[0] % 12, 75))
        for k in range(1, beats_per_bar):
            notes += [(at + k, 48 + tone, 60) for tone in chord]
        if beats_per_bar == 4:
            notes.append((at + 2, 43 + chord[0] % 12, 70))
        for offset in np.arange(0, beats_per_bar, 0.5 if bar % 2 == 0 else 1.0):
            notes.append((at + float(offset), 72 + int(rng.choice(chord)), 80))
    beat = np.arange(n_bars * beats_per_bar + 1)
    length = 60 / tempo * (1 + rubato * np.sin(2 * np.pi * beat / 16))
    beats_s = 1.0 + np.concatenate([[0.0], np.cumsum(length[:-1])])
    at_beat, pitch, velocity = map(np.array, zip(*notes, strict=True))
    onset = np.interp(at_beat, beat, beats_s) + rng.uniform(-0.015, 0.015, len(notes))
    return played(onset, pitch, velocity), beats_s[:-1]


def played(
    onset_s: ArrayLike, pitch: ArrayLike = 60, velocity: ArrayLike = 64, duration_s: ArrayLike = 0.0
) -> Notes:
    """Return notes given in seconds."""
    return make_notes(*np.broadcast_arrays(onset_s, duration_s, pitch, velocity), tempo=60.0)


def share_found(true: FloatArray, found: FloatArray, tolerance: float = 0.05) -> float:
    return float(np.mean(np.abs(true[:, None] - found[None, :]).min(axis=1) <= tolerance))


@pytest.mark.parametrize(
    ("per_bar", "tempo", "rubato", "least"),
    [
        *((4, tempo, 0.0, 0.95) for tempo in (72.0, 90.0, 110.0, 140.0)),
        (4, 100.0, 0.1, 0.9),
        (3, 100.0, 0.0, 0.9),
        (3, 150.0, 0.0, 0.9),
    ],
)
def test_pop_and_waltzes_are_tracked_with_their_bars(
    per_bar: int, tempo: float, rubato: float, least: float
) -> None:
    notes, beats = perform(per_bar, tempo, n_bars=16 if per_bar == 4 else 24, rubato=rubato)
    grid = track_beats(notes)
    assert grid.tempo == pytest.approx(tempo, rel=0.03 if not rubato else 0.1)
    assert grid.beats_per_bar == per_bar
    assert share_found(beats, grid.beats_s) >= least
    assert share_found(beats[::per_bar], grid.beats_s[grid.downbeats]) >= least
    at = to_beats(notes.onset_s, grid)
    assert at.min() >= 0
    assert np.mean(np.abs(at * 4 - np.rint(at * 4)) < 0.25) > (0.7 if rubato else 0.95)


def test_a_grid_covers_the_music_whenever_it_is_played() -> None:
    notes, beats = perform(4, 90.0)
    grid = track_beats(notes)
    later = track_beats(played(notes.onset_s + 7.0, notes.pitch, notes.velocity))
    np.testing.assert_allclose(later.beats_s - 7.0, grid.beats_s, atol=0.03)
    np.testing.assert_array_equal(track_beats(notes).beats_s, grid.beats_s)
    # The last note may ring on.
    duration = np.where(np.arange(len(notes)) < len(notes) - 1, 0.5, 10.0)
    grid = track_beats(played(notes.onset_s, notes.pitch, notes.velocity, duration))
    assert grid.beats_s[0] <= notes.onset_s[0]
    assert grid.beats_s[-1] > notes.onset_s[-1] + 10.0
    # An upbeat puts beat zero before the first onset.
    late = notes.where(notes.onset_s > beats[2] + 0.1)
    grid = track_beats(late)
    assert grid.beats_s[0] <= late.onset_s[0]
    assert to_beats(beats[4], grid) == pytest.approx(4.0, abs=0.2)
    # A long silence is bridged.
    onset = notes.onset_s + 20.0 * (notes.onset_s > notes.onset_s.mean())
    assert np.diff(track_beats(played(onset, notes.pitch, notes.velocity)).beats_s).max() < 2.0


def test_music_without_a_tempo_gets_a_steady_grid_and_a_few_notes_are_covered() -> None:
    for onsets in ([], [3.0], [3.0] * 4, [3.0, 3.02]):
        grid = track_beats(played(onsets))
        assert grid.tempo == pytest.approx(120.0)
        assert (grid.confidence, grid.beats_per_bar) == (0.0, 4)
        assert grid.beats_s[0] == pytest.approx(onsets[0] if onsets else 0.0)
    for n in (2, 3, 5):
        onset = 1.0 + 0.5 * np.arange(n)
        grid = track_beats(played(onset))
        assert grid.beats_s[0] <= onset[0] < onset[-1] < grid.beats_s[-1]
        assert (to_beats(onset, grid) >= 0).all()


def test_to_beats_is_linear_between_beats_and_goes_on_outside() -> None:
    grid = BeatGrid(np.array([1.0, 1.5, 2.0, 3.0, 4.0]), 4, 0.5)
    times = [[1.0, 1.25, 3.5], [0.25, 4.75, 1.75]]
    np.testing.assert_allclose(to_beats(times, grid), [[0.0, 0.5, 3.5], [-1.0, 5.0, 1.5]])
    assert grid.downbeats.tolist() == [True, False, False, False, True]
    assert grid.tempo == pytest.approx(80.0)


def test_a_wrong_grid_is_refused() -> None:
    for beats, per_bar, confidence, words in (
        ([1.0, 1.0], 4, 0.5, "ascending times"),
        ([1.0], 4, 0.5, "two or more"),
        ([1.0, 2.0], 5, 0.5, "beats_per_bar must be 3 or 4, got 5"),
        ([1.0, 2.0], 4, 1.5, r"confidence must be in \[0, 1\], got 1.5"),
    ):
        with pytest.raises(ValueError, match=words):
            BeatGrid(np.array(beats), per_bar, confidence)


def test_decoding_follows_a_change_of_tempo_and_the_downbeats() -> None:
    frames = np.concatenate([np.arange(10, 300, 25), np.arange(310, 600, 28)])
    probability = np.full(620, 0.02)
    probability[frames] = 0.9
    found = decode_beats(probability)
    assert share_found(frames.astype(float), found.astype(float), 1.0) >= 0.95
    for n, phase in ((4, 2), (3, 1)):
        downbeat = np.where(np.arange(41) % n == phase, 0.8, 0.1)
        assert decode_bars(downbeat) == (n, phase)


def test_features_ignore_a_transcriptions_velocity_scale_and_a_network_is_written_whole() -> None:
    notes = perform(4, 90.0)[0]
    start, features = beat_features(notes.onset_s, notes.pitch, notes.velocity)
    assert start < notes.onset_s[0]
    assert features.shape[1] == N_FEATURES and len(features) % 2 == 0
    louder = beat_features(notes.onset_s, notes.pitch, notes.velocity * 2)[1]
    np.testing.assert_allclose(louder, features, atol=1e-9)
    net = default_net()
    again = BeatNet.from_bytes(net.to_bytes())
    np.testing.assert_array_equal(again.probabilities(features), net.probabilities(features))


def test_every_other_beat_and_every_beat_differ_in_their_traits() -> None:
    probability = np.full((400, 2), 0.02)
    probability[10::20] = (0.9, 0.1)
    probability[10::80] = (0.9, 0.8)
    beats = np.arange(10, 400, 20)
    onsets = beats.astype(np.float64)
    traits, slow = (octave_traits(probability, own, onsets) for own in (beats, beats[::2]))
    assert [traits[0], slow[0]] == pytest.approx(np.log2([150 / 110, 75 / 110]))  # tempo
    assert traits[3:].tolist() == [1.0, 0.0, 0.0]  # onsets a beat, at middles, at quarters
    assert slow[3:].tolist() == [2.0, 1.0, 0.0]


def test_the_chosen_octave_is_searched_again() -> None:
    notes, _ = perform(4, 100.0)
    start, features = beat_features(notes.onset_s, notes.pitch, notes.velocity)
    weights, found = dict(default_net().weights), []
    for octave in range(3):
        weights["octave.weight"], weights["octave.bias"] = np.zeros((6, 3)), np.eye(3)[octave]
        onset_frames = (notes.onset_s - start) / FRAME_S
        frames = find_beats(features, onset_frames, BeatNet(weights)).frames
        found.append(60 / FRAME_S / float(np.median(np.diff(frames))))
    assert found == pytest.approx([100.0, 200.0, 50.0], rel=0.05)


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
