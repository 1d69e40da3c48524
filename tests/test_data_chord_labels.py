from __future__ import annotations

import numpy as np
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


def test_blocks_spell_and_markers_say_their_chords() -> None:
    for pitches, name in (
        ([59, 63, 66], "11:maj"),
        ([58, 61, 65], "10:min"),
        ([52, 55, 60], "0:maj"),  # first inversion
        ([55, 60, 64, 67], "0:maj"),
        ([51, 53, 58], "3:maj"),  # sus2
        ([48, 53, 55], "0:sus4"),
        ([48, 52, 55, 57], "9:min7"),  # a sixth: of the nine, the seventh chord on its third
        ([48, 52, 55, 58, 62], "0:7"),  # a ninth
        ([48, 52, 55, 59, 62], "0:maj7"),
        ([48, 51, 55, 58, 62], "0:min7"),
        ([48, 51, 54, 57, 62], "0:dim"),
        ([48, 51, 54, 57], "0:dim"),
        *((pitches, None) for pitches in ([60], [60, 67], [60, 61, 62])),  # no third
    ):
        assert block_chord(pitches) == (CHORD_NAMES.index(name) if name else -1)
    told = ("F#_m7_C#", "D#_/o7_D#", "N_N_N", "global_bpm_88", "Verse", "H_M_H")
    names = [None if number is None else CHORD_NAMES[number] for number in map(marker_chord, told)]
    assert names == ["6:min7", "3:m7b5", "none", None, None, None]


def test_chords_of_a_file_hold_until_the_next_and_a_half_bar_has_the_longest() -> None:
    marked = score_of([(float(beat), 1.0, 60, 64) for beat in range(16)])
    marked.markers = [symusic.TextMeta(0, "C_M_C"), symusic.TextMeta(4 * TPQ, "A_m_A")]
    assert given_chords(marked, "pop1k7") == [(0.0, 4.0, 0), (4.0, 16.0, 82)]
    assert given_chords(marked, "other") == []
    marked.tracks.append(score_of([(0.0, 2.0, p, 64) for p in (48, 52, 55)]).tracks[0])
    assert given_chords(marked, "pop909") == [(0.0, 2.0, 0)]
    spans = [(0.0, 1.5, 0), (1.5, 4.5, 82), (4.5, 5.0, 9)]
    assert label_half_bars(spans, np.array([0.0, 4.0, 8.0])).tolist() == [[0, 82], [-1, -1]]


def test_a_given_chord_counts_where_the_notes_allow_it() -> None:
    pitch, onset = np.array([48, 64, 67] * 2), np.repeat([0.0, 2.0], 3)
    notes = make_notes(onset, np.full(6, 2.0), pitch, np.full(6, 64))
    chords, told = known_chords(notes, np.array([0.0, 4.0]), np.array([[-1, 1 * 9 + 2]]))
    assert chords.tolist() == [[0, -1]]  # C major is found; C# diminished is not in the notes
    assert told.tolist() == [1, 0, 0, 0]
    assert known_chords(notes, np.array([0.0, 4.0]), None)[0].tolist() == [[0, 0]]
    given = np.array([0, 0, 0, 0, NO_CHORD, NO_CHORD, -1])
    found = np.array([0, 6, 1, 9, NO_CHORD, 0, 5])  # C, Cmaj7, Cm, C#, none, C
    assert agreement(given, found).tolist() == [6, 4, 3, 2]
