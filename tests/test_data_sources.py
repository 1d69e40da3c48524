from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import symusic
from midi import TPQ, score_of, song, write_songs
from symusic.core import ScoreTick

from emomusic.data import sources
from emomusic.data.clean import SkippedError
from emomusic.data.sources import (
    CorpusFile,
    corpus_files,
    read_song,
    read_stretches,
    track_song,
)
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


def test_every_index_below_the_folder_is_read(tmp_path: Path) -> None:
    for name in ("corpus", "corpus2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.csv").write_text(INDEX + f"{name}/a.mid,some,bar,,\n")
    assert [file.name for file in corpus_files(tmp_path)] == ["corpus/a.mid", "corpus2/a.mid"]


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
