"""Chords of half bars: numbers, names, and what is found in notes."""

from __future__ import annotations

import numpy as np
import pytest

from emomusic.music.chords import (
    CHORD_NAMES,
    NO_CHORD,
    chord_chances,
    chord_profiles,
    find_chords,
    half_bars,
    shift_chords,
)
from emomusic.music.notes import Notes, make_notes

CLASSES = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "aug": (0, 4, 8),
           "sus4": (0, 5, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10),
           "m7b5": (0, 3, 6, 10)}  # fmt: skip


def blocks(*chords: list[int], beats: float = 2.0) -> Notes:
    """Return chords struck one after the other, each held for so many beats."""
    onset = [i * beats for i, chord in enumerate(chords) for _ in chord]
    pitch = np.array([pitch for chord in chords for pitch in chord])
    return make_notes(np.array(onset), np.full(len(pitch), beats), pitch, np.full(len(pitch), 64))


def test_half_bars_lie_between_the_lines() -> None:
    assert half_bars(np.array([0.0, 4.0, 7.0])).tolist() == [0.0, 2.0, 4.0, 5.5, 7.0]


def test_profiles_share_a_held_note_out() -> None:
    notes = make_notes(np.array([1.0, 0.0]), np.array([2.0, 1.0]), np.array([64, 36]), np.ones(2))
    sound, bass = chord_profiles(notes, np.array([0.0, 2.0, 4.0, 6.0]))
    assert sound[:, 4].tolist() == [0.5, 0.5, 0.0]
    assert sound[:, 0].tolist() == [0.5, 0.0, 0.0]
    assert bass.argmax(axis=1).tolist()[:2] == [0, 4]
    assert bass.sum(axis=1).tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("root", range(12))
@pytest.mark.parametrize("quality", [name for name in CLASSES if name != "aug"])
def test_a_chord_in_root_position_is_found_on_every_root(root: int, quality: str) -> None:
    chord = [36 + root, *(60 + root + step for step in CLASSES[quality])]
    found, chance = find_chords(blocks(chord, chord), np.array([0.0, 4.0]))
    assert [CHORD_NAMES[number] for number in found[0]] == [f"{root}:{quality}"] * 2
    assert chance.min() > 0.4


def test_chances_add_up_and_silence_has_no_chord() -> None:
    notes = blocks([48, 64, 67, 72])
    chance = chord_chances(notes, half_bars(np.array([0.0, 4.0])))
    assert chance.shape == (2, 109)
    assert chance.sum(axis=1) == pytest.approx(1.0)
    assert chance[0].argmax() == 0
    assert chance[1].argmax() == NO_CHORD


def test_shifting_keeps_none_and_unknown() -> None:
    chords = np.array([[0, 11 * 9 + 5], [NO_CHORD, -1]])
    assert shift_chords(chords, 1).tolist() == [[9, 5], [NO_CHORD, -1]]
    assert shift_chords(shift_chords(chords, -5), 5).tolist() == chords.tolist()
