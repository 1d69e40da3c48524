from __future__ import annotations

import numpy as np
import pytest
from midi import clean_score, score_of

from emomusic.data.clean import SkippedError, Song, clean_performance, clean_stretches
from emomusic.music.beat import BeatGrid
from emomusic.music.notes import make_notes
from emomusic.music.score import notes_of

Note = tuple[float, float, int, int]


def steady(n_beats: int) -> list[Note]:
    return [(float(i), 1.0, 60 + i % 3, 50 + i % 9) for i in range(n_beats)]


def signatures_of(song: Song) -> list[tuple[int, int, int]]:
    return [(s.time, s.numerator, s.denominator) for s in song.score.time_signatures]


@pytest.mark.parametrize(
    ("metre", "n_quarters", "clean", "n_bars"),
    [
        ((4, 4), 16, 4, 4),
        ((6, 8), 15, 2, 5),  # two dotted quarters
        ((12, 8), 24, 4, 4),
        ((3, 8), 12, 2, 4),  # paired
        ((6, 4), 24, 3, 8),  # halved
        ((2, 2), 16, 4, 4),
    ],
)
def test_metres_become_two_to_four_beats(
    metre: tuple[int, int], n_quarters: int, clean: int, n_bars: int
) -> None:
    song = clean_score(score_of(steady(n_quarters), signatures=((0, *metre),)))
    assert signatures_of(song) == [(0, clean, 4)]
    assert song.bar_beats.tolist() == [clean] * n_bars
    assert song.bar_compound.tolist() == [metre[1] == 8] * n_bars
    lines = n_quarters / n_bars * np.arange(n_bars + 1)
    assert song.raw_lines == pytest.approx(lines) and song.bar_s == pytest.approx(lines / 2)
    dotted = 1.5 if metre[1] == 8 else 1.0
    assert notes_of(song.score).onset == pytest.approx(np.arange(n_quarters) / dotted)


def test_a_change_of_metre_keeps_bars_whole_and_marks_the_compound_ones() -> None:
    song = clean_score(score_of(steady(20), signatures=((0, 4, 4), (8, 3, 4))))
    assert song.bar_beats.tolist() == [4, 4, 3, 3, 3, 3]
    assert signatures_of(song) == [(0, 4, 4), (96, 3, 4)]
    song = clean_score(score_of(steady(20), signatures=((0, 4, 4), (8, 6, 8))))
    assert song.bar_beats.tolist() == [4, 4, 2, 2, 2, 2]
    assert song.bar_compound.tolist() == [False, False, True, True, True, True]
    assert song.raw_lines.tolist() == [0, 4, 8, 11, 14, 17, 20]


def test_what_cannot_be_used_is_told_in_a_few_words() -> None:
    for notes, signatures, words in (
        (steady(40), ((0, 5, 4),), "^time signature 5/4$"),
        (steady(40), ((0, 7, 8),), "^time signature 7/8$"),
        (steady(40), ((0, 1, 4),), "^time signature 1/4$"),
        (steady(40), ((0, 4, 4), (12, 5, 4), (17, 4, 4), (29, 7, 8)), "^fewer than 4 bars$"),
        (steady(12), ((0, 4, 4),), "^fewer than 4 bars$"),
        ([(0, 1, 5, 60)], ((0, 4, 4),), "^no notes on the piano$"),
    ):
        with pytest.raises(SkippedError, match=words):
            clean_score(score_of(notes, signatures=signatures))
    short = make_notes(np.arange(4.0), np.ones(4), np.full(4, 60), np.full(4, 60))
    with pytest.raises(SkippedError, match=r"^fewer than 4 bars$"):
        clean_performance(short, BeatGrid(np.arange(0, 9, 0.5), 4, 0.9))


def test_of_a_piece_with_an_odd_bar_the_longer_side_is_kept() -> None:
    odd_bar_early = ((0, 4, 4), (16, 5, 4), (21, 4, 4))
    after = clean_score(score_of(steady(45), signatures=odd_bar_early))
    assert after.bar_beats.tolist() == [4] * 6 and signatures_of(after) == [(0, 4, 4)]
    assert after.bar_s.tolist() == pytest.approx([10.5 + 2 * bar for bar in range(7)])
    assert notes_of(after.score).pitch.tolist() == [60 + i % 3 for i in range(21, 45)]
    odd_bar_late = ((0, 3, 4), (12, 4, 4), (24, 5, 4), (29, 4, 4))
    before = clean_score(score_of(steady(45), signatures=odd_bar_late))
    assert before.bar_beats.tolist() == [3, 3, 3, 3, 4, 4, 4]
    assert before.bar_s[[0, -1]].tolist() == [0.0, 12.0]
    assert after.is_to_the_end and not before.is_to_the_end


def test_other_stretches_of_eight_bars_are_taken_too() -> None:
    changes = ((0, 4, 4), (48, 5, 4), (53, 4, 4), (69, 5, 4), (74, 3, 4))
    stretches = clean_stretches(score_of(steady(98), signatures=changes), performed=False)
    assert [len(one.bar_beats) for one in stretches] == [12, 8]  # not the four bars between
    assert [one.raw_lines[0] for one in stretches] == [0, 74]
    assert [one.is_to_the_end for one in stretches] == [False, True]


def test_upbeats_silence_and_what_is_off_the_piano_are_left_out() -> None:
    song = clean_score(score_of(steady(17), signatures=((0, 1, 4), (1, 4, 4))))
    assert song.bar_beats.tolist() == [4, 4, 4, 4]
    assert notes_of(song.score).onset.tolist() == list(range(16))
    late = [(onset + 8, d, p, v) for onset, d, p, v in steady(16)]
    song = clean_score(score_of([*late, (8, 1, 5, 60), (8, 1, 120, 60)]))
    assert len(song.bar_beats) == 4 and song.bar_s[0] == pytest.approx(4.0)
    notes = notes_of(song.score)
    assert (notes.onset[0], notes.pitch.min(), notes.pitch.max()) == (0, 60, 62)
    ringing = [*steady(15), (15.0, 9.0, 50, 60), (17.0, 1.0, 60, 60)]
    held = notes_of(clean_score(score_of(ringing, signatures=((0, 4, 4), (16, 5, 4)))).score)
    assert float((held.onset + held.duration).max()) == 16.0


def test_played_onsets_snap_to_sixteenths_and_written_ones_to_twelfths() -> None:
    loose = [(i + 0.04, 0.9, 60, 50 + i) for i in range(16)] + [(0.33, 0.05, 70, 50)]
    played = notes_of(clean_score(score_of(loose), performed=True).score)
    assert (played.onset * 4 % 1 == 0).all() and played.duration.min() == pytest.approx(2 / 12)
    written = notes_of(clean_score(score_of(loose)).score)
    assert 1 / 3 in written.onset and written.duration.min() == pytest.approx(1 / 12)


def test_flat_velocities_are_no_dynamics() -> None:
    for n_velocities in (1, 2, 3):
        notes = [(o, d, p, 64 + int(o) % n_velocities) for o, d, p, _ in steady(16)]
        assert clean_score(score_of(notes)).has_dynamics is (n_velocities > 2)


def test_a_performance_lands_on_its_tracked_beats() -> None:
    beats_s = 1.0 + np.cumsum(np.r_[0, np.tile([0.5, 0.55], 12)])  # an uneven pulse
    velocity = np.arange(24) + 40
    notes = make_notes(beats_s[:24] * 2, np.full(24, 0.5), np.full(24, 60), velocity, tempo=120)
    song = clean_performance(notes, BeatGrid(beats_s, 4, 0.9))
    assert notes_of(song.score).onset.tolist() == list(range(24))
    assert song.bar_beats.tolist() == [4] * 6
    assert song.bar_s == pytest.approx(beats_s[::4])
