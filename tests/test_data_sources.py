from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from midi import score_of, song, write_songs

from emomusic.data.clean import SkippedError
from emomusic.data.sources import CorpusFile, corpus_files, read_song, track_song
from emomusic.music.notes import make_notes
from emomusic.music.score import notes_of, write_score
from emomusic.verify.labels import read_labels

INDEX = "path,source,grid,bpm,note\n"
LABELS = "path,source,song,quadrant,split,valence,arousal\n"


def test_a_plain_folder_lists_its_midi_files_in_order(tmp_path: Path) -> None:
    write_songs(tmp_path / "music" / "b", range(2))
    write_songs(tmp_path / "music" / "a", range(1))
    (tmp_path / "music" / "notes.txt").write_text("no music")
    files = corpus_files(tmp_path / "music")
    assert [f.name for f in files] == ["a/song_000.mid", "b/song_000.mid", "b/song_001.mid"]
    assert {f.source for f in files} == {"music"}


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no MIDI files"):
        corpus_files(tmp_path)


def test_an_index_tells_source_grid_and_tempo(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "index.csv").write_text(INDEX + "p/a.mid,pop909,bar,93.5,some\n")
    (found,) = corpus_files(tmp_path)
    assert (found.name, found.source, found.grid, found.bpm, found.note) == (
        "p/a.mid", "pop909", "bar", 93.5, "some",
    )  # fmt: skip


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
def test_uncertain_bars_are_skipped(note: str, tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match=f"bars: {note.replace('_', ' ')}"):
        read_song(CorpusFile(tmp_path / "a.mid", "a.mid", "pop1k7", "beat", None, note))


def test_a_performance_without_sure_beats_is_skipped() -> None:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 40, 60))
    noise = make_notes(onset, np.full(60, 0.1), rng.integers(40, 80, 60), np.full(60, 60))
    with pytest.raises(SkippedError, match="beats not found with confidence"):
        track_song(noise, min_confidence=0.95)


def test_a_steady_performance_is_tracked() -> None:
    cleaned = track_song(notes_of(song(3, n_bars=16)), min_confidence=0.0)
    tempo = 60 * cleaned.bar_beats.sum() / (cleaned.bar_s[-1] - cleaned.bar_s[0])
    assert min(abs(tempo / t - 1) for t in (60, 120, 240)) < 0.05
