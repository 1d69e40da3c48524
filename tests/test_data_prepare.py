"""A folder of MIDI files becomes packed rows, every file counted."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from multiprocessing import get_start_method
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from midi import clean_score, score_of, song, write_songs

from emomusic.data import prepare as room
from emomusic.data.packing import pack
from emomusic.data.prepare import format_summary, prepare
from emomusic.data.prepared import (
    MAX_CLIP_NOTES,
    PreparedSong,
    cut_windows,
    prepare_clean,
    prepare_song,
)
from emomusic.data.sources import CorpusFile
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES
from emomusic.music.key import estimate_key
from emomusic.music.score import notes_of, write_score
from emomusic.music.tokenizer import Tokenizer
from emomusic.training.rows import Rows

Prepared = tuple[Path, Rows, dict[str, Any]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Return a folder of twelve songs and others, its rows and the account."""
    root = tmp_path_factory.mktemp("prepare")
    write_songs(root / "music", range(12))
    write_score(song(3, transpose=4), root / "music" / "song_100_transposed.mid")
    (root / "music" / "broken.mid").write_bytes(b"MThd no more")
    (root / "music" / "empty.mid").write_bytes(b"")
    write_score(song(50, n_bars=2), root / "music" / "short.mid")
    account = prepare(root / "music", root / "rows.npz", workers=1)
    return root / "music", Rows.load(root / "rows.npz"), account


def test_the_rows_are_whole_and_the_account_adds_up(prepared: Prepared) -> None:
    _, rows, account = prepared
    own, texts = account["music"], rows.meta["vocabulary"]
    assert own["songs"] == len(rows.song_source) == 13
    assert own["clips"] == len(rows.clip_bar)
    assert own["ids"] == len(rows.ids) == rows.bar_start[-1]
    assert own["notes"] == sum(texts[i].startswith("Pitch_") for i in rows.ids)
    assert own["validation_songs"] == rows.song_is_validation.sum()
    assert sum(own["skipped"].values()) == 3
    assert own["skipped"]["the file is empty"] == own["skipped"]["fewer than 4 bars"] == 1
    assert rows.meta["account"] == account
    assert rows.clip_values.shape == (len(rows.clip_bar), len(ATTRIBUTE_NAMES))
    assert rows.bar_values.shape == (len(rows.bar_start) - 1, len(BAR_ATTRIBUTE_NAMES))
    assert np.isfinite(rows.clip_values).all() and rows.song_has_durations.all()
    assert rows.clip_shift.min() >= -6 and rows.clip_shift.max() <= 5
    told = rows.meta["chords"]["music"]
    assert told["half_bars"] == rows.bar_chords.size
    assert told["known"] == (rows.bar_chords >= 0).sum()
    assert (rows.ids[rows.bar_start[:-1]] == texts.index("Bar_None")).all()
    ends = (rows.clip_bar + rows.clip_n_bars)[rows.clip_is_end]
    assert set(ends.tolist()) == {24 * n for n in range(1, 14)}  # each song has its ending
    # Near-duplicates stay on one side, and either side has songs.
    side = dict(zip(rows.meta["song_names"], rows.song_is_validation, strict=True))
    assert side["song_003.mid"] == side["song_100_transposed.mid"]
    assert set(side.values()) == {False, True}


def test_more_processes_and_a_stop_give_the_same_rows(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen = tmp_path / "rows.npz", list[int]()

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    monkeypatch.setattr(room, "CHUNK", 4)
    with pytest.raises(KeyboardInterrupt):
        prepare(prepared[0], out, workers=1, progress=stop)
    assert list((tmp_path / "rows.parts").glob("*.npz")) and not out.exists()
    prepare(prepared[0], out, workers=2, progress=lambda done, _: seen.append(done))
    assert seen[0] >= 4 and seen[-1] == 16  # not begun anew
    assert_same(prepared[1], out)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.npz"]  # no parts are left
    monkeypatch.setattr(room, "CHUNK", 3)
    prepare(prepared[0], out)
    assert_same(prepared[1], out)


def assert_same(rows: Rows, path: Path) -> None:
    other = Rows.load(path)
    assert rows.meta == other.meta
    for name, value in vars(rows).items():
        if name != "meta":
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


@pytest.mark.skipif(get_start_method() != "fork", reason="the fault is put in before the fork")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_kills_its_process_or_that_no_one_thought_of_costs_no_other(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    def deadly(file: CorpusFile, **how: bool) -> list[PreparedSong]:
        if file.name in {"song_004.mid", "song_009.mid"}:
            os._exit(9)
        if file.name == "song_007.mid":
            raise IndexError("out of range")
        return prepare_song(file, **how)

    monkeypatch.setattr(room, "CHUNK", 3)
    monkeypatch.setattr(room, "prepare_song", deadly)
    account = prepare(prepared[0], tmp_path / "rows.npz", workers=workers)
    assert account["music"]["skipped"]["the process that prepared it died"] == 2
    assert account["music"]["skipped"]["cannot be prepared: IndexError"] == 1
    lost = {"song_004.mid", "song_009.mid", "song_007.mid"}
    kept = [name for name in prepared[1].meta["song_names"] if name not in lost]
    assert Rows.load(tmp_path / "rows.npz").meta["song_names"] == kept


def test_ids_that_are_not_miditoks_end_it(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Tokenizer.encode
    monkeypatch.setattr(Tokenizer, "encode", lambda own, score: encode(own, score)[::-1])
    with pytest.raises(ValueError, match=r"MidiTok writes song_001.mid with other ids than"):
        prepare(prepared[0], tmp_path / "rows.npz", workers=1)
    assert not (tmp_path / "rows.npz").exists()


EDGES = [float(edge) for edge in range(11)]


def test_a_checkpoint_of_fewer_attributes_keeps_its_list_and_its_bins(
    prepared: Prepared, tmp_path: Path
) -> None:
    whole = prepared[1]
    names = {"attributes": ["register", "tempo"], "bar_attributes": ["polyphony"]}
    tables = {**names, "edges": [EDGES] * 2, "bar_edges": [EDGES]}
    (tmp_path / "tables.json").write_text(json.dumps(tables))
    prepare(prepared[0], tmp_path / "rows.npz", tables_dir=tmp_path, workers=1)
    rows = Rows.load(tmp_path / "rows.npz")
    assert {key: rows.meta[key] for key in tables} == tables
    at = [ATTRIBUTE_NAMES.index(name) for name in names["attributes"]]
    np.testing.assert_array_equal(rows.clip_values, whole.clip_values[:, at])
    texts, whole_texts = rows.meta["vocabulary"], whole.meta["vocabulary"]
    assert len(texts) < len(whole_texts)
    assert [texts[i] for i in rows.ids[:200]] == [whole_texts[i] for i in whole.ids[:200]]


def test_tables_and_folders_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"no midi")
    plain = {"attributes": ["tempo"], "edges": [EDGES]}
    plain |= {"bar_attributes": ["polyphony"], "bar_edges": [EDGES]}
    for change, words in (
        (None, "cannot read the bins .*No such file"),
        ({"attributes": ["mood"]}, "this version cannot measure 'mood'"),
        ({"edges": [EDGES[1:]]}, "edges must be 11 for each of its attributes"),
        ({}, "none of 1 files could be used: not a MIDI file"),
    ):
        if change is not None:
            (tmp_path / "tables.json").write_text(json.dumps(plain | change))
        with pytest.raises(ValueError, match=words):
            prepare(tmp_path, tmp_path / "rows.npz", tables_dir=tmp_path, workers=1)


def test_forms_are_those_of_the_songs_from_their_first_bar(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        phrase = [(beat / 2, 0.5, int(rng.integers(70, 90)), 60) for beat in range(32)]
        phrase += [(beat + beat // 4 % 2 / 2, 0.5, 36, 60) for beat in range(16)]
        twice = [(16 * k + beat, *rest) for k in range(5) for beat, *rest in phrase]
        write_score(score_of(twice), tmp_path / f"{name}.mid")
    prepare(tmp_path, tmp_path / "rows.npz", workers=1)
    meta = Rows.load(tmp_path / "rows.npz").meta
    # Four bars of eighths that come five times: within the phrase their rhythm is one bar back,
    # later each is that of four bars back, note for note. One of three songs is held back.
    assert meta["forms"] == ["0666" + "3333" * 4] * 2
    assert meta["copies"] == ["0000" + "3333" * 4] * 2
    assert meta["figures"] == ["00" + "2" * 18] * 2  # the left hand is off the beat in odd bars
    assert [len(own) for own in meta["harmonies"]] == [20, 20]
    # Songs of eight bars have none.
    short = [prepare_clean(clean_score(song(seed, n_bars=8)), str(seed), "test") for seed in (1, 2)]
    assert "forms" not in pack(short, []).meta


def test_a_song_tells_its_copies_by_sixteenths_and_whether_its_chords_are_known() -> None:
    def prepared_of(pitches: list[int]) -> PreparedSong:
        notes = [
            (4.0 * bar + beat + (2 / 3, 3 / 4)[bar % 2], 0.25, pitch, 60 + bar)
            for bar in range(16)
            for beat in range(4)
            for pitch in pitches
        ]
        return prepare_clean(clean_score(score_of(notes)), f"{pitches}", "test")

    triads, clusters = prepared_of([60, 64, 67]), prepared_of([60, 61, 62, 63])
    assert (triads.knows_chords, clusters.knows_chords) == (True, False)
    assert triads.forms[2] == "0" + "1" * 15
    kept = pack([triads, clusters, clusters], []).meta
    assert kept["harmonies"] == [triads.forms[1]] and triads.forms[1] != clusters.forms[1]


def test_the_summary_is_a_table_with_reasons() -> None:
    row = {"songs": 2, "clips": 3, "notes": 1400, "ids": 5000, "skipped": {"no beat grid": 4}}
    other = {"songs": 1, "clips": 1, "notes": 10, "ids": 50, "skipped": {}}
    row["validation_songs"], other["validation_songs"] = 1, 0
    lines = format_summary({"pop": row, "other": other}).splitlines()
    assert lines[1].split() == ["pop", "2", "3", "1,400", "5,000", "4"]
    assert lines[3].split() == ["all", "3", "4", "1,410", "5,050", "4"]
    assert lines[-1].strip() == "pop: no beat grid (4)"


def test_what_is_one_piece_says_that_there_is_nothing_to_validate_with(tmp_path: Path) -> None:
    write_songs(tmp_path / "music", range(1))
    for n_takes in (1, 2):  # one song, and one in two keys
        account = prepare(tmp_path / "music", tmp_path / "rows.npz", workers=1)
        assert account["music"]["songs"] == n_takes
        told = format_summary(account).splitlines()[-1]
        assert told == "nothing to validate with: all is one piece, and train needs another one"
        write_score(song(0, transpose=3), tmp_path / "music" / "again.mid")
    write_songs(tmp_path / "music", range(3))
    account = prepare(tmp_path / "music", tmp_path / "rows.npz", workers=1)
    assert "validate" not in format_summary(account)


def test_windows_have_no_empty_bar_fit_the_context_and_begin_on_fourth_bars() -> None:
    n_notes = [60] * 30 + [0] + [60] * 3 + [0] + [30] * 90
    windows = cut_windows(n_notes, "song")
    for first, n_bars in windows:
        inside = n_notes[first : first + n_bars]
        assert n_bars >= 4 and min(inside) > 0 and sum(inside) <= MAX_CLIP_NOTES
    assert any(first + n_bars == len(n_notes) for first, n_bars in windows)
    assert not any(31 <= first < 34 for first, _ in windows)  # three bars are too few
    assert windows == cut_windows(n_notes, "song") != cut_windows(n_notes, "another")
    begun = {first for first, n_bars in cut_windows([8] * 397, "song") if first + n_bars < 397}
    assert begun and all(first % 4 == 0 for first in begun)


def test_a_cleaned_song_says_its_key_its_end_its_rhythm_and_whether_lengths_were_played() -> None:
    cleaned = clean_score(song(5, n_bars=20))
    whole = prepare_clean(cleaned, "a name", "test")
    cut = prepare_clean(replace(cleaned, is_to_the_end=False), "a name", "justpiano")
    assert whole.clips[:, 3].any() and not cut.clips[:, 3].any()
    assert cut.clips[:, :3].tolist() == whole.clips[:, :3].tolist()
    assert whole.has_durations and not cut.has_durations
    assert whole.bar_form.tolist() == [0] + [6] * 19  # eighths, as in the bar before
    for transpose in (0, 3, 7):  # a clip's shift brings its tonic to C
        cleaned = clean_score(song(5, n_bars=16, transpose=transpose))
        clips = prepare_clean(cleaned, "same name", "test").clips
        tonic = estimate_key(notes_of(cleaned.score)).tonic
        assert all((shift + tonic) % 12 == 0 for first, n, shift, _ in clips if n == 16)


def test_stretches_of_a_file_carry_its_name(tmp_path: Path) -> None:
    notes = [(float(beat), 1.0, 60 + beat % 7, 60) for beat in range(85)]
    score = score_of(notes, signatures=((0, 4, 4), (32, 5, 4), (37, 4, 4)))
    write_score(score, tmp_path / "a.mid")
    songs = prepare_song(CorpusFile(tmp_path / "a.mid", "a.mid", "test"), with_miditok=True)
    assert [(one.name, len(one.bar_lengths)) for one in songs] == [("a.mid", 12), ("a.mid#1", 8)]
