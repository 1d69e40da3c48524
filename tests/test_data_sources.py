from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import symusic
from midi import TPQ, score_of, song, write_songs
from numpy.typing import NDArray
from symusic.core import ScoreTick

from emomusic.data import sources
from emomusic.data.beat import BeatGrid
from emomusic.data.clean import SkippedError
from emomusic.data.sources import (
    CorpusFile,
    corpus_files,
    hear_bars,
    hears_other_bars,
    read_song,
    read_stretches,
    track_song,
)
from emomusic.music.score import notes_of, write_score
from emomusic.verify.labels import read_labels

INDEX = "path,source,grid,bpm,note\n"
LABELS = "path,source,song,quadrant,split,valence,arousal\n"


def test_a_plain_folder_lists_its_midi_files_in_order(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no MIDI files"):
        corpus_files(tmp_path)
    write_songs(tmp_path / "music" / "b", range(2))
    write_songs(tmp_path / "music" / "a", range(1))
    (tmp_path / "music" / "notes.txt").write_text("no music")
    files = corpus_files(tmp_path / "music")
    assert [f.name for f in files] == ["a/song_000.mid", "b/song_000.mid", "b/song_001.mid"]
    assert {f.source for f in files} == {"music"}


def test_every_index_below_the_folder_tells_source_grid_and_tempo(tmp_path: Path) -> None:
    for name in ("corpus", "corpus2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.csv").write_text(INDEX + f"{name}/a.mid,pop909,bar,93.5,some\n")
    one, other = corpus_files(tmp_path)
    told = one.name, one.source, one.grid, one.bpm, one.note
    assert told == ("corpus/a.mid", "pop909", "bar", 93.5, "some")
    assert other.name == "corpus2/a.mid"


@pytest.mark.parametrize("text", ["path,source\na.mid,x\n", INDEX + "a.mid,x,bar,fast,\n"])
def test_a_damaged_index_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "index.csv").write_text(text)
    with pytest.raises(ValueError, match=r"index\.csv: row 1 cannot be read"):
        corpus_files(tmp_path)


def test_songs_of_the_judges_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "index.csv").write_text(INDEX)
    (tmp_path / "emotion").mkdir()
    rows = "".join(f"emopia/{i}.mid,emopia,song{i},Q1,train,,\n" for i in range(40))
    (tmp_path / "emotion" / "labels.csv").write_text(LABELS + rows)
    listed = {f.path.name for f in corpus_files(tmp_path)}
    parts = {clip.path.name: clip.part for clip in read_labels(tmp_path)}
    assert listed == {name for name, part in parts.items() if part == "mapper"}
    assert 5 < len(listed) < 35


def test_the_chords_of_pop909_are_not_played(tmp_path: Path) -> None:
    both = song(1, n_bars=8)
    chords = score_of([(bar * 4.0, 4.0, 48, 60) for bar in range(8)])
    both.tracks = [both.tracks[0], chords.tracks[0]]
    write_score(both, tmp_path / "a.mid")
    for source, extra in (("pop909", 0), ("other", 8)):
        file = CorpusFile(tmp_path / "a.mid", "a.mid", source, "bar", 60.0)
        cleaned = read_song(file)
        assert len(notes_of(cleaned.score)) == len(notes_of(song(1, n_bars=8))) + extra
        assert cleaned.bar_s[1] == pytest.approx(4.0)


@pytest.mark.parametrize("note", ["bar phase uncertain", "three_four_like"])
def test_uncertain_bars_that_cannot_be_heard_are_skipped(note: str, tmp_path: Path) -> None:
    write_score(noise(), tmp_path / "a.mid")
    with pytest.raises(SkippedError, match=f"bars: {note.replace('_', ' ')}"):
        read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "pop1k7", "beat", None, note))


def test_uncertain_bars_that_are_heard_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = (3, 4), [(2, 44), (46, None)]
    monkeypatch.setattr(sources, "hear_bars", lambda score: heard)
    write_score(song(1, n_bars=40), tmp_path / "a.mid")
    file = CorpusFile(tmp_path / "a.mid", "a.mid", "pop1k7", "beat", None, "bar phase uncertain")
    long, short = read_stretches(file)
    assert set(long.bar_beats) == set(short.bar_beats) == {3}
    assert (long.raw_lines[0], short.raw_lines[[0, -1]].tolist()) == (46.0, [2.0, 44.0])
    assert (long.is_to_the_end, short.is_to_the_end) == (True, False)


def test_the_tracker_has_a_veto_on_estimated_bars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "hears_other_bars", lambda score: True)
    write_score(song(1), tmp_path / "a.mid")
    with pytest.raises(SkippedError, match="the tracker hears others"):
        read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "justpiano"))
    assert len(read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "pianocore")).bar_beats) == 24


def test_given_chords_come_with_a_song(tmp_path: Path) -> None:
    marked = song(1, n_bars=4)
    marked.markers = [symusic.TextMeta(0, "C_M_C"), symusic.TextMeta(8 * TPQ, "A_m_A")]
    write_score(marked, tmp_path / "a.mid")
    found = read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "pop1k7"))
    assert found.given_chords is not None
    assert found.given_chords.tolist() == [[0, 0], [0, 0], [82, 82], [82, 82]]
    assert read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "other")).given_chords is None


def noise() -> ScoreTick:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 80, 60))
    return score_of([(beat, 0.2, int(rng.integers(40, 80)), 60) for beat in onset])


def test_a_performance_without_sure_beats_is_skipped() -> None:
    with pytest.raises(SkippedError, match="beats not found with confidence"):
        track_song(notes_of(noise()), min_confidence=0.95)


def test_a_steady_performance_is_tracked() -> None:
    cleaned = track_song(notes_of(song(3, n_bars=16)), min_confidence=0.0)
    tempo = 60 * cleaned.bar_beats.sum() / (cleaned.bar_s[-1] - cleaned.bar_s[0])
    assert min(abs(tempo / t - 1) for t in (60, 120, 240)) < 0.05


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
