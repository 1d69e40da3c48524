"""Notes and passages: columns, what is cut out, and melody, bass and sounding time in it."""

import numpy as np
import pytest

from emomusic.music.attributes import BASS, MELODY, RIGHT_HAND, Passage, parts_of, passage_of
from emomusic.music.key import Key
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import ScoreError

C_MAJOR = Key(0, 0.2, 0.9)


def notes_at(*played: tuple[float, float, int]) -> Notes:
    """Make notes of (onset, duration, pitch)."""
    onset, duration, pitch = (np.array(column) for column in zip(*played, strict=True))
    return make_notes(onset, duration, pitch, np.full(len(pitch), 64))


def passage(*played: tuple[float, float, int], n_beats: float | None = None) -> Passage:
    return passage_of(notes_at(*played), tempo=120.0, n_beats=n_beats)


def test_only_notes_that_begin_inside_are_cut_out() -> None:
    notes = notes_at((0, 9, 40), (3.9, 1, 41), (4, 1, 42), (7.9, 3, 43), (8, 1, 44))
    found = passage_of(notes, start=4.0, n_beats=4.0, tempo=90.0, key=C_MAJOR)
    assert found.notes.pitch.tolist() == [42, 43]
    assert found.notes.onset == pytest.approx([0, 3.9])
    assert found.notes.duration.tolist() == [1, 3]
    assert (found.n_beats, found.tempo, found.key) == (4.0, 90.0, C_MAJOR)


def test_the_length_reaches_to_the_last_end_rounded_up() -> None:
    assert passage((0, 4, 60), (1, 0.5, 62)).n_beats == 4
    assert passage((0, 1, 60), (3, 1.25, 62)).n_beats == 5
    assert passage_of(notes_at((4, 3, 60)), start=2, tempo=60).n_beats == 5


def test_a_passage_without_notes_is_refused() -> None:
    notes = notes_at((0, 1, 60))
    with pytest.raises(ScoreError, match=r"^a passage without notes has no attributes$"):
        passage_of(notes, start=8.0, n_beats=4.0, tempo=120.0)
    with pytest.raises(ScoreError, match=r"^a passage without notes has no attributes$"):
        passage_of(notes.where(notes.pitch > 99), tempo=120.0)


@pytest.mark.parametrize(("n_beats", "tempo"), [(0.0, 60.0), (4.0, 0.0), (4.0, float("nan"))])
def test_a_passage_needs_beats_and_tempo(n_beats: float, tempo: float) -> None:
    with pytest.raises(ScoreError, match="a passage needs beats and tempo above 0, got"):
        Passage(notes_at((0, 1, 60)), n_beats, tempo, C_MAJOR)


def test_onsets_of_a_chord_count_once() -> None:
    found = passage((0, 1, 60), (0.04, 1, 64), (1, 1, 60), (1.05, 1, 67))
    assert found.onsets.tolist() == [0, 1, 1.05]
    assert found.first_of_onset.tolist() == [0, 2, 3]


def test_sounding_beats_agree_with_painting_them() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        onset, length = rng.integers(0, 60, 12), rng.integers(1, 9, 12)
        painted = np.zeros(100, dtype=bool)
        for a, b in zip(onset, length, strict=True):
            painted[a : min(a + b, 64)] = True
        played = [
            (a / 4, b / 4, 60 + i) for i, (a, b) in enumerate(zip(onset, length, strict=True))
        ]
        assert passage(*played, n_beats=16.0).sounding_beats == pytest.approx(painted.sum() / 4)


def test_the_melody_is_the_top_that_no_held_note_covers() -> None:
    found = passage((0, 1, 48), (0, 1, 72), (1, 1, 74), (1.5, 0.5, 60), (2, 1, 50), (2, 1, 71))
    assert found.melody.tolist() == [72, 74, 71]  # 60 lies below the held 74


def test_the_bass_is_the_lowest_of_each_beat_with_an_onset() -> None:
    found = passage((0, 1, 48), (0.5, 1, 43), (1, 1, 60), (3, 1, 50), (3.75, 0.25, 52))
    assert found.bass.tolist() == [43, 60, 50]


def test_hands_melody_and_bass_are_told_apart() -> None:
    # A held bass, a chord in the middle with a melody note above, then a note below a held one.
    onset = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0])
    duration = np.array([4.0, 1.0, 1.0, 2.0, 1.0, 1.0])
    pitch = np.array([36, 60, 64, 79, 72, 74])
    parts = parts_of(make_notes(onset, duration, pitch, np.full(6, 64)), np.array([0.0, 4.0]))
    assert (parts & MELODY > 0).tolist() == [False, False, False, True, False, True]
    assert (parts & BASS > 0).tolist() == [True, False, False, False, False, True]
    assert not parts[0] & RIGHT_HAND
    assert parts[3] & RIGHT_HAND


def test_one_note_is_melody_and_bass() -> None:
    note = make_notes(np.zeros(1), np.ones(1), np.array([72]), np.ones(1))
    assert parts_of(note, np.array([0.0, 4.0])).tolist() == [RIGHT_HAND | MELODY | BASS]


ONE, TWO = np.zeros(1), np.zeros(2)


def test_notes_are_sorted_by_onset_then_pitch() -> None:
    notes = make_notes(
        np.array([2, 0, 0]), np.array([1, 2, 3]), np.array([50, 72, 60]), np.array([9, 8, 7])
    )
    assert notes.onset.tolist() == [0, 0, 2]
    assert notes.pitch.tolist() == [60, 72, 50]
    assert notes.duration.tolist() == [3, 2, 1]
    assert notes.velocity.tolist() == [7, 8, 9]
    assert (notes.onset.dtype, notes.pitch.dtype) == (np.float64, np.int64)


def test_seconds_follow_the_tempo() -> None:
    notes = make_notes(
        np.array([0.0, 3.0]), np.array([1.0, 0.5]), np.array([60, 62]), np.array([64, 64]), tempo=90
    )
    assert notes.onset_s == pytest.approx([0, 2])
    assert notes.duration_s == pytest.approx([2 / 3, 1 / 3])


@pytest.mark.parametrize("tempo", [0.0, -1.0, float("nan")])
def test_tempo_must_be_above_0(tempo: float) -> None:
    with pytest.raises(ValueError, match="tempo must be above 0 quarter notes a minute, got"):
        make_notes(ONE, ONE, ONE.astype(int), ONE.astype(int), tempo=tempo)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="note columns must be one-dimensional and equally long"):
        Notes(TWO, TWO, TWO, TWO, TWO.astype(int), ONE.astype(int))
