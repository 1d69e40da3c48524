"""Keys and chords: their names, and what is found in notes, against music21's."""

from __future__ import annotations

import numpy as np
import pytest
from midi import notes_at

from emomusic.music.chords import (
    CHORD_NAMES,
    NO_CHORD,
    chord_chances,
    chord_name,
    chord_profiles,
    chord_tones,
    find_chords,
    format_chords,
    half_bars,
    home_of,
    parse_chords,
    shift_chords,
)
from emomusic.music.key import Key, estimate_key, parse_tonic
from emomusic.music.notes import Notes

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11, 12), (0, 2, 3, 5, 7, 8, 11, 12)
CADENCE = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))
MINOR_CADENCE = ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7))
CLASSES = {"maj": (0, 4, 7), "min": (0, 3, 7), "dim": (0, 3, 6), "aug": (0, 4, 8),
           "sus4": (0, 5, 7), "7": (0, 4, 7, 10), "maj7": (0, 4, 7, 11), "min7": (0, 3, 7, 10),
           "m7b5": (0, 3, 6, 10)}  # fmt: skip


def blocks(*chords: tuple[int, ...]) -> Notes:
    """Return chords struck one after the other, each held for two beats."""
    return notes_at(*((2.0 * i, 2.0, pitch) for i, chord in enumerate(chords) for pitch in chord))


def scale(steps: tuple[int, ...], tonic: int) -> Notes:
    """Play a scale up and down from a tonic, which is held at the end."""
    played = [(float(i), 1.0, 60 + tonic + s) for i, s in enumerate((*steps, *steps[::-1]))]
    return notes_at(*played, (16.0, 2.0, 60 + tonic), (16.0, 2.0, 67 + tonic))


@pytest.mark.parametrize("tonic", range(12))
def test_major_and_minor_are_told_apart_on_every_tonic(tonic: int) -> None:
    for is_major, steps, triads in ((True, MAJOR, CADENCE), (False, MINOR, MINOR_CADENCE)):
        moved = [tuple(48 + tonic + step for step in triad) for triad in triads]
        for key in (estimate_key(scale(steps, tonic)), estimate_key(blocks(*moved))):
            assert (key.tonic, key.is_major) == (tonic, is_major)
            assert abs(key.mode) > 0.05 and key.clarity > 0.7


def test_keys_agree_with_music21() -> None:
    music21 = pytest.importorskip("music21")
    oracle = music21.analysis.discrete.AardenEssen()
    rng = np.random.default_rng(5)
    for _ in range(8):
        tonic, steps = int(rng.integers(12)), (MAJOR, MINOR)[rng.integers(2)]
        played = [
            (float(i), float(rng.choice([0.5, 1.0, 2.0])), 48 + tonic + int(rng.choice(steps)))
            for i in range(30)
        ]
        stream = music21.stream.Stream()
        for onset, duration, pitch in played:
            stream.insert(onset, music21.note.Note(pitch, quarterLength=duration))
        found, key = oracle.getSolution(stream), estimate_key(notes_at(*played))
        assert key.tonic == found.tonic.pitchClass
        assert key.is_major == (found.mode == "major")
        assert key.clarity == pytest.approx(found.correlationCoefficient, abs=1e-3)


def test_without_a_key_clarity_is_0_and_a_key_has_a_name() -> None:
    every = notes_at(*((float(i), 1.0, 60 + i) for i in range(12)))
    assert estimate_key(every) == Key(0, 0.0, 0.0)
    held = [estimate_key(notes_at((0, 1, 64), (1, beats, 60))) for beats in (1.5, 2, 8)]
    assert held[0] != held[1] == held[2]  # a note weighs at most two beats
    assert estimate_key(every.where(every.pitch < 0)) == Key(0, 0.0, 0.0)
    assert (Key(3, -0.2, 0.9).name, Key(6, 0.0, 0.9).name) == ("Eb minor", "Gb major")


def test_a_note_name_is_a_tonic_and_another_text_is_none() -> None:
    known = {"C": 0, "c": 0, "F#": 6, "Gb": 6, "bb": 10, " Eb ": 3, "Cb": 11, "B#": 0}
    assert {text: parse_tonic(text) for text in known} == known
    for text in ("", "H", "C##", "F♯", "BB", "Do", "60"):
        with pytest.raises(ValueError, match="tonic must be a note name such as C, F# or Bb, got"):
            parse_tonic(text)


def test_half_bars_share_a_held_note_and_have_chances_of_chords_that_can_be_shifted() -> None:
    assert half_bars(np.array([0.0, 4.0, 7.0])).tolist() == [0.0, 2.0, 4.0, 5.5, 7.0]
    notes = notes_at((1.0, 2.0, 64), (0.0, 1.0, 36))
    sound, bass = chord_profiles(notes, np.array([0.0, 2.0, 4.0, 6.0]))
    assert sound[:, 4].tolist() == [0.5, 0.5, 0.0]
    assert sound[:, 0].tolist() == [0.5, 0.0, 0.0]
    assert bass.argmax(axis=1).tolist()[:2] == [0, 4]
    assert bass.sum(axis=1).tolist() == [1.0, 1.0, 0.0]
    chance = chord_chances(blocks((48, 64, 67, 72)), half_bars(np.array([0.0, 4.0])))
    assert chance.shape == (2, 109) and chance.sum(axis=1) == pytest.approx(1.0)
    assert chance.argmax(axis=1).tolist() == [0, NO_CHORD]  # silence has none
    chords = np.array([[0, 11 * 9 + 5], [NO_CHORD, -1]])
    assert shift_chords(chords, 1).tolist() == [[9, 5], [NO_CHORD, -1]]


@pytest.mark.parametrize("root", range(12))
@pytest.mark.parametrize("quality", [name for name in CLASSES if name != "aug"])
def test_a_chord_in_root_position_is_found_on_every_root(root: int, quality: str) -> None:
    chord = (36 + root, *(60 + root + step for step in CLASSES[quality]))
    found, chance = find_chords(blocks(chord, chord), np.array([0.0, 4.0]))
    assert [CHORD_NAMES[number] for number in found[0]] == [f"{root}:{quality}"] * 2
    assert chance.min() > 0.4


def test_every_chord_has_a_name_and_its_tones() -> None:
    assert format_chords(parse_chords("Am F#m7b5 | C,G7 N")) == "Am Gbm7b5 C,G7 N"
    names = [chord_name(number) for number in range(NO_CHORD + 1)]
    assert len(set(names)) == 109 and names[0] == "C" and names[-1] == "N"
    assert parse_chords(" ".join(names)) == tuple((n, n) for n in range(NO_CHORD + 1))
    for name, tones in zip(CHORD_NAMES[:NO_CHORD], chord_tones()[:-1], strict=True):
        root, quality = name.split(":")
        own = sorted((int(root) + step) % 12 for step in CLASSES[quality])
        assert np.flatnonzero(tones).tolist() == own
    assert not chord_tones()[NO_CHORD].any()


def test_what_is_no_chord_is_refused() -> None:
    for text, words in (
        *((text, "a chord must be one of C, Cm, .* on any root such as F# or Bb, or N for none")
          for text in ("H", "c", "Cmin", "C/E", "F##", "Xm7")),
        ("C,F,G", "a bar has one chord or two with a comma between them, got 'C,F,G'"),
        ("", "chords must be of 1 to 1024 bars, got 0"),
        ("C " * 1025, "chords must be of 1 to 1024 bars, got 1025"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            parse_chords(text)


def test_chords_are_at_home_in_a_key() -> None:
    for text, is_major, tonic in (
        ("C F G C", None, 0), ("Am F C G", False, 9), ("Am F C G", True, 0), ("D G A7 D", None, 2),
        ("Em Am B7 Em", None, 4), ("N N", None, 0),
        ("Am C C C C", None, 0),  # of two that fit, that of the chord that comes often
        ("Am C C C Am", None, 9),  # and first and last
    ):  # fmt: skip
        assert home_of(parse_chords(text), is_major=is_major) == tonic
