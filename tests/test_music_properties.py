"""What holds of all scores, ids and files of the music room, tried on drawn ones."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from symusic.core import NoteTick, ScoreTick, TempoTick, TimeSignatureTick, TrackTick

from emomusic.music.score import dump_score, grid_of, notes_of, parse_score, tempo_of
from emomusic.music.tokenizer import Tokenizer

Rows = list[tuple[int, ...]]
QUIETLY = settings(max_examples=50, deadline=None, database=None, derandomize=True)
TOKENIZER = Tokenizer()
TIMES = st.integers(0, 6_000)
NOTES = st.lists(
    st.tuples(TIMES, st.integers(1, 3_000), st.integers(0, 127), st.integers(1, 127)),
    min_size=1,
    max_size=40,
    unique_by=lambda note: (note[0], note[2]),
)
TEMPOS = st.lists(st.tuples(TIMES, st.integers(6_000, 12_000_000)), max_size=5)
METRES = st.lists(
    st.tuples(TIMES, st.integers(1, 12), st.sampled_from((1, 2, 4, 8, 16))), max_size=5
)


def score_of(notes: Rows, tempos: Rows, metres: Rows, *, ticks: int = 480) -> ScoreTick:
    score, track = ScoreTick(ticks), TrackTick("Piano", 0, False)
    for note in notes:
        track.notes.append(NoteTick(*note))
    score.tracks.append(track)
    for time, mspq in tempos:
        score.tempos.append(TempoTick(time, mspq=mspq))
    for metre in metres:
        score.time_signatures.append(TimeSignatureTick(*metre))
    return score


@QUIETLY
@given(NOTES, TEMPOS, METRES, st.sampled_from((1, 24, 480, 960)))
def test_a_score_that_is_written_is_read_back_note_by_note(
    notes: Rows, tempos: Rows, metres: Rows, ticks: int
) -> None:
    free, begins = [], dict.fromkeys(range(128), 10_000)
    for onset, length, pitch, velocity in sorted(notes, reverse=True):
        # ends where the next of its pitch begins: a MIDI file has no others
        free.append((onset, min(length, begins[pitch] - onset), pitch, velocity))
        begins[pitch] = onset
    score = score_of(free, tempos, metres, ticks=ticks)
    again = parse_score(dump_score(score))
    for column, read in zip(notes_of(score).columns, notes_of(again).columns, strict=True):
        np.testing.assert_array_equal(read, column)


@QUIETLY
@given(NOTES, TEMPOS, METRES)
def test_notes_and_bars_are_finite_whatever_the_tempos_and_metres(
    notes: Rows, tempos: Rows, metres: Rows
) -> None:
    score = score_of(notes, tempos, metres)
    found = notes_of(score)
    assert all(np.isfinite(column).all() for column in found.columns)
    assert found.duration.min() > 0 and found.duration_s.min() > 0 and found.onset_s.min() >= 0
    assert 0 < tempo_of(score) < np.inf
    end = float((found.onset + found.duration).max())
    bars, beats = grid_of(score, end)
    assert (np.diff(bars) > 0).all() and (np.diff(beats) > 0).all()
    assert bars[0] == 0 and bars[-1] >= end - 1e-6


@QUIETLY
@given(NOTES, st.lists(st.sampled_from((2, 3, 4)), min_size=1, max_size=4))
def test_what_is_decoded_is_encoded_to_the_same_ids(notes: Rows, beats: list[int]) -> None:
    metres: Rows = [(48 * 12 * at, own, 4) for at, own in enumerate(beats)]  # at bar lines of each
    near: Rows = [(time % 800, length % 200 + 1, *rest) for time, length, *rest in notes]
    bars = TOKENIZER.encode(score_of(near, [], metres, ticks=12))
    score = TOKENIZER.decode([token for bar in bars for token in bar])
    if len(score.tracks[0].notes):
        own = TOKENIZER.encode(score)
        again = TOKENIZER.decode([token for bar in own for token in bar])
        assert TOKENIZER.encode(again) == own


@QUIETLY
@given(
    st.lists(st.integers(0, len(TOKENIZER.vocabulary) - 1), max_size=60),
    st.one_of(st.none(), st.floats(0.1, 100)),
)
def test_any_ids_decode_to_notes_that_can_be_written(ids: list[int], n_beats: float | None) -> None:
    score = TOKENIZER.decode(ids, n_beats=n_beats)
    played = score.tracks[0].notes.numpy()
    assert (played["duration"] >= 1).all() and (played["time"] >= 0).all()
    if len(played["time"]):
        assert len(notes_of(parse_score(dump_score(score)))) == len(played["time"])
