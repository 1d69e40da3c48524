from __future__ import annotations

import numpy as np
import pytest
import symusic
from midi import TPQ, score_of

from emomusic.data.chord_labels import (
    agreement,
    block_chord,
    given_chords,
    known_chords,
    label_half_bars,
    marker_chord,
)
from emomusic.music.chords import CHORD_NAMES, NO_CHORD
from emomusic.music.notes import make_notes


@pytest.mark.parametrize(
    ("pitches", "name"),
    [
        ([59, 63, 66], "11:maj"),
        ([58, 61, 65], "10:min"),
        ([52, 55, 60], "0:maj"),  # first inversion
        ([55, 60, 64, 67], "0:maj"),
        ([51, 53, 58], "3:maj"),  # sus2
        ([48, 53, 55], "0:sus4"),
        ([48, 52, 55, 57], "9:min7"),  # a sixth: of the nine, the seventh chord on its third
        ([48, 52, 55, 58, 62], "0:7"),  # a ninth
        ([48, 51, 54, 57], "0:dim"),
    ],
)
def test_a_block_spells_its_chord(pitches: list[int], name: str) -> None:
    assert CHORD_NAMES[block_chord(pitches)] == name


@pytest.mark.parametrize("pitches", [[60], [60, 67], [60, 61, 62]])
def test_a_block_without_a_third_is_unknown(pitches: list[int]) -> None:
    assert block_chord(pitches) == -1


def test_markers_are_read() -> None:
    assert CHORD_NAMES[marker_chord("F#_m7_C#") or 0] == "6:min7"
    assert CHORD_NAMES[marker_chord("D#_/o7_D#") or 0] == "3:m7b5"
    assert marker_chord("N_N_N") == NO_CHORD
    assert marker_chord("global_bpm_88") is None
    assert marker_chord("Verse") is None


def test_chords_of_a_file_hold_until_the_next() -> None:
    marked = score_of([(float(beat), 1.0, 60, 64) for beat in range(16)])
    marked.markers = [symusic.TextMeta(0, "C_M_C"), symusic.TextMeta(4 * TPQ, "A_m_A")]
    assert given_chords(marked, "pop1k7") == [(0.0, 4.0, 0), (4.0, 16.0, 82)]
    assert given_chords(marked, "other") == []
    marked.tracks.append(score_of([(0.0, 2.0, p, 64) for p in (48, 52, 55)]).tracks[0])
    assert given_chords(marked, "pop909") == [(0.0, 2.0, 0)]


def test_a_half_bar_has_the_chord_that_holds_longest() -> None:
    spans = [(0.0, 1.5, 0), (1.5, 4.5, 82), (4.5, 5.0, 9)]
    labels = label_half_bars(spans, np.array([0.0, 4.0, 8.0]))
    assert labels.tolist() == [[0, 82], [-1, -1]]


def test_a_given_chord_counts_where_the_notes_allow_it() -> None:
    pitch = np.array([48, 64, 67, 48, 64, 67])
    onset = np.array([0.0, 0.0, 0.0, 2.0, 2.0, 2.0])
    notes = make_notes(onset, np.full(6, 2.0), pitch, np.full(6, 64))
    chords, told = known_chords(notes, np.array([0.0, 4.0]), np.array([[-1, 1 * 9 + 2]]))
    assert chords.tolist() == [[0, -1]]  # C major is found; C# diminished is not in the notes
    assert told.tolist() == [1, 0, 0, 0]
    assert known_chords(notes, np.array([0.0, 4.0]), None)[0].tolist() == [[0, 0]]


def test_agreement_counts_roots_thirds_and_all() -> None:
    given = np.array([0, 0, 0, 0, NO_CHORD, NO_CHORD, -1])
    found = np.array([0, 6, 1, 9, NO_CHORD, 0, 5])  # C, Cmaj7, Cm, C#, none, C
    assert agreement(given, found).tolist() == [6, 4, 3, 2]
