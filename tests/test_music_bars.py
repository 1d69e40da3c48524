from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.composing import given
from hypothesis import example
from hypothesis import given as drawn
from hypothesis import strategies as st
from midi import clean_score, score_of
from symusic.core import ScoreTick

from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, VARY
from emomusic.music.bars import BarReading, Metre, bar_lines, in_quarters, keeps_time
from emomusic.music.score import grid_of, notes_of
from emomusic.music.smf import END_OF_TRACK, MidiFile, events_of, insert_events, meta

Signatures = tuple[tuple[float, int, int], ...]


def piece(n_beats: float, signatures: Signatures, *, rests: tuple[float, ...] = ()) -> ScoreTick:
    """Return an eighth on each beat but for rests, with time signatures at beats."""
    notes = [(beat, 0.5, 60 + i % 8, 64) for i, beat in enumerate(np.arange(0, n_beats, 0.5))]
    return score_of([own for own in notes if own[0] not in rests], signatures=signatures)


def read(score: ScoreTick, use: str, metre: str | None = None) -> BarReading:
    return given(score, use).read(None if metre is None else Metre.parse(metre))


# upbeats, odd bars, changes: by hand


@pytest.mark.parametrize(
    ("signatures", "n_beats", "use", "metre", "n_bars", "end"),
    [
        # an upbeat; the last bar completes it, or not
        (((0, 1, 4), (1, 4, 4), (29, 3, 4)), 32, VARY, "4/4", 9, 32),
        (((0, 1, 4), (1, 4, 4), (29, 3, 4)), 32, CONTINUE, "4/4", 9, 32),
        (((0, 1, 8), (0.5, 4, 4)), 32.5, CONTINUE, "4/4", 9, 32.5),
        (((0, 3, 8), (1.5, 3, 4)), 13.5, CONTINUE, "3/4", 5, 13.5),
        (((0, 2, 4), (2, 4, 4)), 18, VARY, "4/4", 5, 18),
        (((0, 1, 8), (0.5, 6, 8)), 12.5, CONTINUE, "6/8", 5, 12.5),
        # one odd bar on the way is left out
        (((0, 4, 4), (8, 2, 4), (10, 4, 4)), 26, CONTINUE, "4/4", 6, 26),
        (((0, 4, 4), (8, 5, 4), (13, 4, 4)), 29, VARY, "4/4", 6, 29),
        (((0, 3, 4), (6, 7, 8), (9.5, 3, 4)), 18.5, CONTINUE, "3/4", 5, 18.5),
        # the metre changes: most of it, or its end
        (((0, 4, 4), (16, 3, 4)), 25, VARY, "4/4", 4, 25),
        (((0, 4, 4), (16, 3, 4)), 25, CONTINUE, "3/4", 3, 25),
        (((0, 3, 4), (9, 4, 4)), 29, VARY, "4/4", 5, 29),
        (((0, 4, 4), (16, 2, 2)), 32, CONTINUE, "2/2", 8, 32),  # the same to the model
        # a single last bar is none to go on in, unless it is all there is
        (((0, 4, 4), (16, 2, 4)), 18, CONTINUE, "4/4", 5, 18),
        (((0, 4, 4), (16, 5, 4)), 21, CONTINUE, "4/4", 4, 21),
        (((0, 3, 4),), 3, CONTINUE, "3/4", 1, 3),
        # halves and pairs
        (((0, 6, 4),), 12, CONTINUE, "6/4", 4, 12),
        (((0, 3, 8),), 12, CONTINUE, "3/8", 4, 12),
        (((0, 3, 8),), 10.5, CONTINUE, "3/8", 4, 10.5),  # the last one has no partner
        ((), 16, CONTINUE, "4/4", 4, 16),
    ],
)  # fmt: skip
def test_bars_are_counted_as_musicians_count_them(
    signatures: Signatures, n_beats: float, use: str, metre: str, n_bars: int, end: float
) -> None:
    found = read(piece(n_beats, signatures), use)
    assert (str(found.metre), found.n_bars, found.end) == (metre, n_bars, end)
    assert found.notes.onset.min() >= 0 and not found.is_tracked
    assert found.notes.onset.max() < n_bars * found.metre.kind[0]
    assert found.tempo(slice(None)) == pytest.approx(120.0 / found.metre.beat)


def test_an_upbeat_stands_before_the_bar_line_and_a_short_last_bar_after_it() -> None:
    found = read(piece(32, ((0, 1, 4), (1, 4, 4), (29, 3, 4))), CONTINUE)
    assert found.notes.onset[:3].tolist() == [3.0, 3.5, 4.0]
    assert found.notes.onset[-1] == 8 * 4 + 2.5
    compound = read(piece(12.5, ((0, 1, 8), (0.5, 6, 8))), CONTINUE)
    assert compound.notes.onset[:4] == pytest.approx([2 - 1 / 3, 2.0, 2 + 1 / 3, 2 + 2 / 3])


# where the music begins and ends


@pytest.mark.parametrize(
    ("notes", "end"),
    [
        ([(0, 1, 60, 64), (28, 4, 64, 64)], 32),  # a whole note
        ([(0, 1, 60, 64), (28, 8, 64, 64)], 36),  # tied over a bar line
        ([(0, 1, 60, 64), (28, 8.1, 64, 64)], 40),
        ([(0, 40, 36, 64), (28, 1, 64, 64)], 40),  # it rings on under others
        ([(0, 1, 60, 64), (31.9, 0.1, 64, 64)], 32),
    ],
)
def test_music_ends_with_the_bar_of_its_last_sound(notes: Any, end: float) -> None:
    assert read(score_of(notes, signatures=((0, 4, 4),)), CONTINUE).end == end


def test_what_is_taken_up_may_ring_on_a_little_without_another_bar() -> None:
    score = score_of([(0, 1, 60, 64), (28, 4.3, 64, 64)], signatures=((0, 4, 4),))
    assert [read(score, use).n_bars for use in (VARY, CONTINUE)] == [8, 9]


@pytest.mark.parametrize(
    ("controls", "end_of_track", "end"),
    [
        ([], 8.0, 8), ([], 4.0, 4), ([], 12.0, 12), ([], 11.9, 8), ([], 20.0, 20),
        ([], 24.0, 4),  # so much room is no rest
        ([(0, 127), (6.0, 0)], 6.0, 8),  # a pedal that holds what was struck
        ([(0, 127), (4.25, 0)], 4.25, 4),  # lifted late
        ([(4.5, 127), (9.0, 0)], 5.0, 8),  # pressed when all is over: only the track goes on
        ([(0, 127), (2.0, 0), (3.0, 30), (7.0, 0)], 4.0, 4),  # never down far enough
        ([(0, 127)], 4.0, 4),  # never lifted
    ],
)  # fmt: skip
def test_pedals_and_the_end_of_the_track_are_heeded(
    controls: list[tuple[float, int]], end_of_track: float, end: float
) -> None:
    score = score_of([(0, 4, 60, 64), (1, 1, 67, 64)], signatures=((0, 4, 4),))
    file = MidiFile.parse(given(score).midi)
    track = b"".join(
        file.tracks[-1][event.start : event.stop]
        for event in events_of(file.tracks[-1])
        if not event.is_meta(END_OF_TRACK)
    )
    events = [(round(at * 480), bytes((0xB0, 64, value))) for at, value in controls]
    last = max([end_of_track, *(at for at, _ in controls)])
    events.append((round(last * 480), meta(END_OF_TRACK, b"")))
    sounding = insert_events(track, sorted(events, key=lambda event: event[0]))
    chunks = (*file.chunks[:-1], (b"MTrk", sounding))
    data = MidiFile(file.kind, file.division, file.n_tracks, chunks).dump()
    assert Primer(data, CONTINUE).read(None).end == end


def test_silence_before_the_first_note_is_no_music() -> None:
    late = score_of([(9.0 + beat, 1, 60 + beat, 64) for beat in range(7)], signatures=((0, 4, 4),))
    for use in (CONTINUE, VARY):
        found = read(late, use)
        assert found.n_bars == 2 and found.notes.onset[0] == 1.0 and found.end == 16.0


def test_a_metre_said_at_the_end_is_for_what_comes_after_it() -> None:
    announced = piece(16, ((0, 4, 4), (16, 3, 4)))
    assert read(announced, CONTINUE).announced == Metre(3, 4)
    assert read(piece(16, ((0, 4, 4), (20, 3, 4))), CONTINUE).end == 20.0
    assert read(piece(16, ((0, 4, 4),)), CONTINUE).announced is None


def test_music_that_says_no_metre_is_counted_in_the_one_asked_for() -> None:
    for metre, n_bars, end in (("3/4", 6, 18.0), ("6/8", 6, 18.0), ("4/4", 5, 20.0)):
        found = read(piece(18, ()), CONTINUE, metre)
        assert (str(found.metre), found.n_bars, found.end) == (metre, n_bars, end)
    assert str(read(piece(18, ((0, 3, 4),)), CONTINUE, "4/4").metre) == "3/4"


def test_prepare_reads_the_same_metres() -> None:
    for text in ("4/4", "2/2", "6/8", "9/8", "12/8", "3/8", "6/4", "6/16", "4/8"):
        metre = Metre.parse(text)
        score = piece(24 * metre.written.quarters, ((0, metre.numerator, metre.denominator),))
        song, found = clean_score(score, performed=False), read(score, CONTINUE)
        assert (song.bar_beats == found.metre.beats).all() and len(song.bar_beats) == found.n_bars
        assert (song.bar_compound == (found.metre.beat != 1)).all()
        onset = notes_of(song.score).onset
        assert onset == pytest.approx(found.notes.onset, abs=1 / 24)


# performances without a click


def played(tempo: float, *, beats: int = 4, n_bars: int = 16, jitter: float = 0.012) -> ScoreTick:
    """Return chords and a tune at a tempo of their own, in a file that counts 120 a minute."""
    rng, notes = np.random.default_rng(1), []
    for beat in range(beats * n_bars):
        at = 0.3 + beat * 60.0 / tempo * (1 + 0.02 * np.sin(beat / 9)) + rng.normal(0, jitter)
        notes.append((at * 2, 0.9, 72 + beat % 5, 70 + 20 * (beat % beats == 0)))
        if beat % beats == 0:
            notes += [(at * 2, 2.0, pitch, 75) for pitch in (41 + beat % 3, 48, 53)]
    return score_of(notes, signatures=((0, 4, 4),), tempo=120.0)


@pytest.mark.parametrize("tempo", [66.0, 84.0, 103.0, 139.0])
def test_beats_are_tracked_where_nothing_is_played_to_those_of_the_file(tempo: float) -> None:
    score = played(tempo)
    assert not keeps_time(notes_of(score))
    found = read(score, CONTINUE)
    assert found.is_tracked
    assert min(abs(found.tempo(slice(None)) / tempo / n - 1) for n in (0.5, 1, 2)) < 0.04
    assert found.end * 480 >= score.end() - 1
    assert not given(score).read(None).notes.onset.min() < 0


@pytest.mark.parametrize("late", [0.0, 0.01, 0.02])
def test_what_is_played_to_a_click_keeps_time(late: float) -> None:
    rng = np.random.default_rng(2)
    beats = np.sort(rng.choice(np.arange(0, 64, 0.25), 150, replace=False))
    onset = np.maximum(beats + rng.normal(0, late * 2, 150), 0)  # at 120 a minute
    assert keeps_time(notes_of(score_of([(at, 0.2, 60, 64) for at in np.sort(onset)])))
    thirds = [(beat / 3, 0.3, 60, 64) for beat in range(96)]
    assert keeps_time(notes_of(score_of(thirds)))


def test_whose_beats_hold_can_be_said() -> None:
    score, on_grid = played(72.0), piece(32, ((0, 4, 4),))
    for own, grid, tracked in (
        (score, "auto", True), (score, "file", False), (score, "tracked", True),
        (on_grid, "auto", False), (on_grid, "file", False), (on_grid, "tracked", True),
    ):  # fmt: skip
        assert Primer(given(own).midi, CONTINUE, grid=grid).read(None).is_tracked == tracked
    asked = read(score, CONTINUE, "3/4")
    assert asked.metre == Metre(3, 4) and asked.notes.onset[0] == pytest.approx(0.0, abs=0.1)


# of any file


@drawn(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 20), st.integers(30, 90)),
        min_size=1, max_size=30,
    ),
    st.lists(st.sampled_from([(4, 4), (3, 4), (6, 8), (2, 4), (1, 4), (5, 8), (12, 8)]),
             min_size=1, max_size=3),
    st.sampled_from((CONTINUE, VARY)),
)  # fmt: skip
@example([(0, 1, 30)], [(4, 4), (3, 4), (4, 4)], CONTINUE)
def test_the_join_lies_on_a_bar_line_at_or_after_the_end_of_the_sound(
    notes: list[tuple[int, int, int]], metres: list[tuple[int, int]], use: str
) -> None:
    signatures, at = [], 0.0
    for metre in metres:
        signatures.append((at, *metre))
        at += 2 * metre[0] * 4 / metre[1]
    score = score_of([(a / 2, d / 2, p, 64) for a, d, p in notes], signatures=tuple(signatures))
    found = read(score, use)
    lines, _ = grid_of(score, found.end)
    assert lines[-1] == pytest.approx(found.end)
    assert use == VARY or found.end >= max(a + d for a, d, _ in notes) / 2 - 1e-6
    assert (found.notes.onset >= 0).all() and (np.diff(found.notes.onset) >= 0).all()
    assert (found.notes.onset < found.n_bars * found.metre.kind[0]).all()
    assert len(found.notes) and (found.spans > 0).all()


def test_a_score_in_beats_of_a_metre_becomes_one_in_quarter_notes() -> None:
    score = score_of([(0, 1, 60, 64), (3, 1 / 3, 62, 64)], signatures=((0, 2, 4),), tempo=60.0)
    found = in_quarters(score.resample(12), Metre(6, 8))
    notes = notes_of(found)
    assert notes.onset.tolist() == [0.0, 4.5] and notes.duration.tolist() == [1.5, 0.5]
    assert notes.onset_s == pytest.approx([0.0, 3.0])
    assert [(s.numerator, s.denominator) for s in found.time_signatures] == [(6, 8)]


def test_lines_are_drawn_where_bars_are_heard() -> None:
    free, written = played(84.0), piece(12, ((0, 1, 4), (1, 3, 4)))
    lines = bar_lines(free, notes_of(free), 20.0)
    assert (np.diff(lines) > 0).all() and lines[-2] < 20.0 <= lines[-1]
    beats = np.diff(lines[1:]).mean() / 2 * 84 / 60  # of the performance, a bar
    assert min(abs(beats - n) for n in (3, 4, 6, 8)) < 0.3
    assert bar_lines(written, notes_of(written), 12.0).tolist() == [0, 1, 4, 7, 10, 13]
