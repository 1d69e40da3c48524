from __future__ import annotations

from dataclasses import replace

from midi import song

from emomusic.data.clean import clean_score
from emomusic.data.songs import MAX_CLIP_IDS, cut_windows, prepare_clean
from emomusic.music.key import estimate_key
from emomusic.music.score import notes_of


def test_windows_have_no_empty_bar_and_fit_the_context() -> None:
    lengths = [60] * 30 + [2] + [60] * 3 + [2] + [300] * 20
    windows = cut_windows(lengths, "song")
    for first, n_bars in windows:
        inside = lengths[first : first + n_bars]
        assert n_bars >= 4
        assert min(inside) > 2
        assert sum(inside) <= MAX_CLIP_IDS
    assert any(first + n_bars == len(lengths) for first, n_bars in windows)
    assert not any(31 <= first < 34 for first, _ in windows)  # three bars are too few
    assert windows == cut_windows(lengths, "song")
    assert windows != cut_windows(lengths, "another")


def test_windows_begin_on_fourth_bars_but_the_last() -> None:
    windows = cut_windows([50] * 97, "song")
    begun = {first for first, n_bars in windows if first + n_bars < 97}
    assert begun
    assert all(first % 4 == 0 for first in begun)


def test_a_clips_shift_brings_its_tonic_to_c() -> None:
    for transpose in (0, 3, 7):
        cleaned = clean_score(song(5, n_bars=16, transpose=transpose), performed=False)
        prepared = prepare_clean(cleaned, "same name", "test")
        whole = [shift for first, n, shift, _ in prepared.clips if first == 0 and n == 16]
        tonic = estimate_key(notes_of(cleaned.score)).tonic
        assert all((shift + tonic) % 12 == 0 for shift in whole)


def test_a_piece_that_was_cut_off_has_no_ending() -> None:
    cleaned = clean_score(song(5, n_bars=20), performed=False)
    whole = prepare_clean(cleaned, "a name", "test")
    cut = prepare_clean(replace(cleaned, is_to_the_end=False), "a name", "test")
    assert any(is_end for *_, is_end in whole.clips)
    assert not any(is_end for *_, is_end in cut.clips)
    assert [clip[:3] for clip in cut.clips] == [clip[:3] for clip in whole.clips]
