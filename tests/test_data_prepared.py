from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from midi import clean_score, score_of, song

from emomusic.data.prepared import (
    MAX_CLIP_NOTES,
    cut_windows,
    prepare_clean,
    prepare_song,
    shared_tokenizer,
)
from emomusic.data.sources import CorpusFile
from emomusic.music.key import estimate_key
from emomusic.music.score import notes_of, write_score


def test_windows_have_no_empty_bar_and_fit_the_context() -> None:
    n_notes = [60] * 30 + [0] + [60] * 3 + [0] + [30] * 90
    windows = cut_windows(n_notes, "song")
    for first, n_bars in windows:
        inside = n_notes[first : first + n_bars]
        assert n_bars >= 4
        assert min(inside) > 0
        assert sum(inside) <= MAX_CLIP_NOTES
    assert any(first + n_bars == len(n_notes) for first, n_bars in windows)
    assert not any(31 <= first < 34 for first, _ in windows)  # three bars are too few
    assert windows == cut_windows(n_notes, "song")
    assert windows != cut_windows(n_notes, "another")


def test_windows_begin_on_fourth_bars_but_the_last() -> None:
    windows = cut_windows([8] * 397, "song")
    begun = {first for first, n_bars in windows if first + n_bars < 397}
    assert begun
    assert all(first % 4 == 0 for first in begun)


def test_a_clips_shift_brings_its_tonic_to_c() -> None:
    for transpose in (0, 3, 7):
        cleaned = clean_score(song(5, n_bars=16, transpose=transpose))
        prepared = prepare_clean(cleaned, "same name", "test")
        whole = [shift for first, n, shift, _ in prepared.clips if first == 0 and n == 16]
        tonic = estimate_key(notes_of(cleaned.score)).tonic
        assert all((shift + tonic) % 12 == 0 for shift in whole)


def test_a_piece_that_was_cut_off_has_no_ending() -> None:
    cleaned = clean_score(song(5, n_bars=20))
    whole = prepare_clean(cleaned, "a name", "test")
    cut = prepare_clean(replace(cleaned, is_to_the_end=False), "a name", "test")
    assert any(is_end for *_, is_end in whole.clips)
    assert not any(is_end for *_, is_end in cut.clips)
    assert cut.clips[:, :3].tolist() == whole.clips[:, :3].tolist()


def test_stretches_of_a_file_carry_its_name(tmp_path: Path) -> None:
    notes = [(float(beat), 1.0, 60 + beat % 7, 60) for beat in range(85)]
    score = score_of(notes, signatures=((0, 4, 4), (32, 5, 4), (37, 4, 4)))
    write_score(score, tmp_path / "a.mid")
    songs = prepare_song(CorpusFile(tmp_path / "a.mid", "a.mid", "test"))
    assert [(one.name, len(one.bar_lengths)) for one in songs] == [("a.mid", 12), ("a.mid#1", 8)]


def test_synthetic_durations_are_marked(tmp_path: Path) -> None:
    write_score(song(1), tmp_path / "a.mid")
    for source in ("justpiano", "pianocore"):
        (prepared,) = prepare_song(CorpusFile(tmp_path / "a.mid", "a.mid", source))
        assert prepared.has_durations == (source == "pianocore")


def test_what_is_said_of_bars_and_notes_fits_the_ids() -> None:
    texts = shared_tokenizer().vocabulary.texts
    prepared = prepare_clean(clean_score(song(5, n_bars=12)), "a name", "test")
    n_pitches = sum(texts[i].startswith("Pitch_") for i in prepared.ids)
    assert len(prepared.note_part) == n_pitches
    assert len(prepared.bar_lengths) == len(prepared.bar_form) == len(prepared.bar_compound) == 12
    assert prepared.bar_chords.shape == (12, 2)
    assert prepared.bar_form.tolist() == [0] + [6] * 11  # eighths in every bar
