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
    hear_bars,
    hears_other_bars,
    read_song,
    read_stretches,
    track_song,
)
from emomusic.music.beat import BeatGrid
from emomusic.music.notes import FloatColumn
from emomusic.music.score import notes_of, write_score
from emomusic.verify.labels import read_labels
from emomusic.verify.report import find_midi_files

INDEX = "path,source,grid,bpm,note\n"
LABELS = "path,source,song,quadrant,split,valence,arousal\n"


def write_tables(folder: Path, **tables: str) -> None:
    for name, text in tables.items():
        (folder / name).mkdir()
        table = "labels.csv" if text.startswith(LABELS) else "index.csv"
        (folder / name / table).write_text(text)


def test_a_folder_lists_its_midi_files_or_those_of_every_index(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    with pytest.raises(ValueError, match="no MIDI files"):
        corpus_files(music)
    write_songs(music / "b", range(2))
    write_songs(music / "a", range(1))
    (music / "notes.txt").write_text("no music")
    names = ["a/song_000.mid", "b/song_000.mid", "b/song_001.mid"]
    assert [(f.name, f.source) for f in corpus_files(music)] == [(own, "music") for own in names]
    indices = {name: INDEX + f"{name}/a.mid,pop909,bar,93.5,some\n" for name in ("one", "two")}
    write_tables(tmp_path, **indices)
    one, two = corpus_files(tmp_path)
    told = one.name, one.source, one.grid, one.bpm, one.note
    assert told == ("one/a.mid", "pop909", "bar", 93.5, "some") and two.name == "two/a.mid"
    for text in (
        "path,source\na.mid,x\n",
        INDEX + "a.mid,x,bar,fast,\n",
        INDEX + "a.mid,x,bar,-1,\n",
    ):
        (tmp_path / "one" / "index.csv").write_text(text)
        with pytest.raises(ValueError, match=r"index\.csv: row 1 cannot be read"):
            corpus_files(tmp_path)


def test_links_are_followed_once_and_take_no_name_away(tmp_path: Path) -> None:
    music, away = tmp_path / "music", tmp_path / "away"
    for path in (music / "b" / "one.mid", away / "deep" / "two.mid", tmp_path / "three.mid"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    for link, leads_to in (
        ("a_link", music / "b"),  # to what is there under its own name
        ("b/loop", music),
        ("b/up", tmp_path),  # to what holds all
        ("out", away),
        ("out_again", away / "deep"),
        ("c.mid", tmp_path / "three.mid"),
        ("d.mid", tmp_path / "three.mid"),
        ("dead.mid", tmp_path / "nowhere.mid"),
    ):
        (music / link).symlink_to(leads_to)
    (music / "hard.mid").hardlink_to(away / "deep" / "two.mid")
    (tmp_path / "music_link").symlink_to(music)
    for folder in (music, tmp_path / "music_link"):
        names = [file.name for file in corpus_files(folder)]
        assert names == ["b/one.mid", "c.mid", "dead.mid", "hard.mid"]
        found = [path.relative_to(folder).as_posix() for path in find_midi_files([folder])]
        assert sorted(found) == names and found[:2] == ["hard.mid", "b/one.mid"]
    index = INDEX + "../music/c.mid,x,bar,,\n../music/d.mid,x,bar,,\n../music/c.mid,x,bar,,\n"
    write_tables(tmp_path, listed=index)
    (tmp_path / "listed_again").symlink_to(tmp_path / "listed")
    assert [file.name for file in corpus_files(tmp_path)] == ["../music/c.mid"]


@pytest.mark.parametrize("has_index", [True, False])
def test_songs_of_the_judges_are_not_listed_by_links(tmp_path: Path, has_index: bool) -> None:
    rows = "".join(f"{i}.mid,emopia,song{i},Q1,train,,\n" for i in range(40))
    index = INDEX + "".join(f"../emotion/{i}.mid,x,bar,,\n" for i in range(40))
    write_tables(tmp_path, emotion=LABELS + rows, **({"corpus": index} if has_index else {}))
    for i in range(40):
        (tmp_path / "emotion" / f"{i}.mid").touch()
    (tmp_path / "a_first").symlink_to(tmp_path / "emotion")
    (tmp_path / "one.mid").symlink_to(tmp_path / "emotion" / "1.mid")
    parts = {clip.path.name: clip.part for clip in read_labels(tmp_path)}
    listed = {file.path.name for file in corpus_files(tmp_path)}
    assert listed == {name for name, part in parts.items() if part == "mapper"}


@pytest.mark.parametrize("has_index", [True, False])
def test_songs_of_the_judges_are_not_listed(tmp_path: Path, has_index: bool) -> None:
    rows = "".join(f"{i}.mid,emopia,song{i},Q1,train,,\n" for i in range(40))
    write_tables(tmp_path, emotion=LABELS + rows, **({"corpus": INDEX} if has_index else {}))
    for i in range(40):
        (tmp_path / "emotion" / f"{i}.mid").touch()
    listed = {f.path.name: f.grid for f in corpus_files(tmp_path)}
    parts = {clip.path.name: clip.part for clip in read_labels(tmp_path)}
    assert listed == {name: "none" for name, part in parts.items() if part == "mapper"}
    assert 5 < len(listed) < 35


def written(folder: Path, score: ScoreTick, source: str, *rest: str) -> CorpusFile:
    """Write a file of a source, whose index tells its grid and a note."""
    write_score(score, folder / "a.mid")
    grid, note = rest or ("bar", "")
    return CorpusFile(folder / "a.mid", "a.mid", source, grid, None, note)


def test_chords_of_a_source_are_given_not_played(tmp_path: Path) -> None:
    both = song(1, n_bars=8)
    chords = score_of([(bar * 4.0, 4.0, 48, 60) for bar in range(8)])
    both.tracks = [both.tracks[0], chords.tracks[0]]
    write_score(both, tmp_path / "a.mid")
    for source, extra in (("pop909", 0), ("other", 8)):
        cleaned = read_song(CorpusFile(tmp_path / "a.mid", "a.mid", source, "bar", 60.0))
        assert len(notes_of(cleaned.score)) == len(notes_of(song(1, n_bars=8))) + extra
        assert cleaned.bar_s[1] == pytest.approx(4.0)
    marked = song(1, n_bars=4)
    marked.markers = [symusic.TextMeta(0, "C_M_C"), symusic.TextMeta(8 * TPQ, "A_m_A")]
    found = read_song(written(tmp_path, marked, "pop1k7")).given_chords
    assert found is not None and found.tolist() == [[0, 0], [0, 0], [82, 82], [82, 82]]
    assert read_song(written(tmp_path, marked, "other")).given_chords is None


def noise() -> ScoreTick:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 80, 60))
    return score_of([(beat, 0.2, int(rng.integers(40, 80)), 60) for beat in onset])


def test_what_cannot_be_used_is_skipped_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = score_of([(beat * 1000.0, 1.0, 60, 64) for beat in range(30)])
    # The tracker has a veto on bars that somebody estimated, and on no others.
    monkeypatch.setattr(sources, "hears_other_bars", lambda score: True)
    for score, told, words in (
        (noise(), ("pop1k7", "beat", "bar phase uncertain"), "bars: bar phase uncertain"),
        (noise(), ("pop1k7", "beat", "three_four_like"), "bars: three four like"),
        (song(1), ("touhou_nsdn",), "written by a neural network"),
        (noise(), ("pijama", "none", ""), "beats not found with confidence"),
        (hours, ("pijama", "none", ""), "longer than three hours"),
        (song(1), ("justpiano",), "the tracker hears others"),
    ):
        with pytest.raises(SkippedError, match=words):
            read_song(written(tmp_path, score, *told))
    assert len(read_song(written(tmp_path, song(1), "pianocore")).bar_beats) == 24


def test_uncertain_bars_that_are_heard_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = (3, 4), [(2, 44), (46, None)]
    monkeypatch.setattr(sources, "hear_bars", lambda score: heard)
    file = written(tmp_path, song(1, n_bars=40), "pop1k7", "beat", "bar phase uncertain")
    long, short = read_stretches(file)
    assert set(long.bar_beats) == set(short.bar_beats) == {3}
    assert (long.raw_lines[0], short.raw_lines[[0, -1]].tolist()) == (46.0, [2.0, 44.0])
    assert (long.is_to_the_end, short.is_to_the_end) == (True, False)


def test_a_steady_performance_is_tracked() -> None:
    cleaned = track_song(notes_of(song(3, n_bars=16)), min_confidence=0.0)
    tempo = 60 * cleaned.bar_beats.sum() / (cleaned.bar_s[-1] - cleaned.bar_s[0])
    assert min(abs(tempo / t - 1) for t in (60, 120, 240)) < 0.05


N_BARS = 40
"""Of a song at 120 quarter notes a minute: a beat lasts half a second."""
BARS = 4.0 * np.arange(N_BARS)
# 25 bars from beat 1 on, then 8 bars from beat 107, then from beat 141 to the end at 160.
RUNS = np.concatenate([1.0 + 4 * np.arange(26), 107.0 + 4 * np.arange(8), [141.0, 145.0]])


def track(
    monkeypatch: pytest.MonkeyPatch, downbeats: FloatColumn, bar: int, confidence: float
) -> None:
    """Let the tracker find these downbeats, in beats of the file, and beats between them."""
    places = np.arange((len(downbeats) - 1) * bar + 1) / bar
    beats_s = np.interp(places, np.arange(len(downbeats)), downbeats * 0.5)
    monkeypatch.setattr(sources, "track_beats", lambda notes: BeatGrid(beats_s, bar, confidence))


def test_bars_begin_where_the_tracker_hears_them(monkeypatch: pytest.MonkeyPatch) -> None:
    others = (RUNS > 106) & (RUNS < 140)
    for downbeats, bar, confidence, heard in (
        (1.1 + BARS, 4, 0.9, ((4, 4), [(1, None)])),
        (2.0 + 3.0 * np.arange(4 * N_BARS // 3), 3, 0.9, ((3, 4), [(2, None)])),
        (RUNS, 4, 0.9, ((4, 4), [(1, 101)])),  # only runs on the prevailing beat count,
        (RUNS + 2 * others, 4, 0.9, ((4, 4), [(1, 101)])),  # long ones
        (BARS, 4, 0.5, None),  # unsure
        (0.5 + BARS, 4, 0.9, None),  # off the beats of the file
        (5.0 * np.arange(30), 4, 0.9, None),  # of other lengths than theirs
    ):
        track(monkeypatch, downbeats, bar, confidence)
        assert hear_bars(song(0, n_bars=N_BARS)) == heard


def test_a_sure_tracker_off_the_written_bars_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for downbeats, confidence, is_other in (
        (BARS, 0.9, False),
        (0.2 + BARS, 0.9, False),
        (1.0 + BARS, 0.9, True),
        (0.5 + BARS, 0.9, True),
        (1.0 + BARS, 0.7, False),
        (1.0 + 2 * BARS[: N_BARS // 2], 0.9, False),  # another pulse is no other bar
    ):
        track(monkeypatch, downbeats, 4, confidence)
        assert hears_other_bars(song(0, n_bars=N_BARS)) is is_other
