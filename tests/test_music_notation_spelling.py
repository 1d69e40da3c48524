"""Spelling: what a key and the notes around make of a pitch."""

from __future__ import annotations

import pytest
from midi import score_of

from emomusic.music.key import TONIC_NAMES
from emomusic.music.notation.grid import Bar, Chord
from emomusic.music.notation.spelling import Signature, letter_of, octave_of, signature_of, spell
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of

SIGNS = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}


def some_notes(pitches: list[int]) -> Notes:
    return notes_of(score_of([(i, 1.0, pitch, 64) for i, pitch in enumerate(pitches)]))


C_MAJOR = some_notes([60, 64, 67, 72, 65, 69, 67, 71, 60])


def names(pitches: list[tuple[int, ...]], key: str) -> list[str]:
    """Return the names of chords a beat apart, in one bar of one hand."""
    chords = [Chord(12 * i, 12 * i + 12, own) for i, own in enumerate(pitches)]
    bar = Bar(0, 12 * len(chords), (4, 4))
    spelled = spell([chords], [bar], signature_of(C_MAJOR, key))[0]
    letters = [letter_of(spelled[pitch % 12]) for own in pitches for pitch in own]
    return [letter + SIGNS[alter] for letter, alter in letters]


@pytest.mark.parametrize(
    ("key", "fifths"),
    [
        ("C major", 0), ("D", 2), ("Bb major", -2), ("F# major", 6), ("Gb major", -6),
        ("Db major", -5), ("C# major", -5), ("A minor", 0), ("F# minor", 3), ("Eb minor", -6),
        ("D# minor", -6), ("Ab minor", 5), ("Db minor", 4), ("Gb minor", 3), (" c  Minor", -3),
    ],
)  # fmt: skip
def test_a_key_is_written_with_its_fewest_accidentals(key: str, fifths: int) -> None:
    is_minor = key.lower().endswith("minor")
    assert signature_of(C_MAJOR, key) == Signature(fifths, is_minor)


def test_without_a_key_the_notes_say_it() -> None:
    assert signature_of(C_MAJOR, None) == Signature(0, False)
    assert signature_of(some_notes([57, 60, 64, 68, 69, 64, 60, 57]), None) == Signature(0, True)


@pytest.mark.parametrize("key", ["H major", "C dorian", "", "C major please", "major"])
def test_a_text_that_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="must be a note name"):
        signature_of(C_MAJOR, key)


def test_flat_keys_have_flats() -> None:
    scale = [(p,) for p in (58, 60, 62, 63, 65, 67, 69)]
    assert names(scale, "Bb major") == ["Bb", "C", "D", "Eb", "F", "G", "A"]


@pytest.mark.parametrize(
    ("key", "leading", "name"),
    [("G minor", 66, "F#"), ("C minor", 71, "B"), ("A minor", 68, "G#"), ("F# minor", 65, "E#"),
     ("Eb minor", 62, "D"), ("Ab minor", 67, "F##"), ("Bb minor", 69, "A"), ("D minor", 61, "C#")],
)  # fmt: skip
def test_minor_keys_have_raised_leading_tones(key: str, leading: int, name: str) -> None:
    assert names([(leading,), (leading + 1,)], key)[0] == name


def test_a_chord_decides_how_a_foreign_note_is_spelled() -> None:
    assert names([(52, 56, 59)], "C major") == ["E", "G#", "B"]
    assert names([(53, 56, 60)], "C major") == ["F", "Ab", "C"]
    assert names([(57, 61, 64)], "C major") == ["A", "C#", "E"]


def test_a_foreign_note_leads_to_the_next() -> None:
    assert names([(62,), (63,), (64,)], "C major")[1] == "D#"
    assert names([(64,), (63,), (62,)], "C major")[1] == "Eb"


def test_a_pitch_is_spelled_alike_in_all_of_a_bar() -> None:
    spelled = names([(62,), (63,), (64,), (63,), (62,)], "C major")
    assert spelled[1] == spelled[3]


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", TONIC_NAMES)
def test_every_pitch_has_a_readable_name_in_every_key(tonic: str, mode: str) -> None:
    pitches = list(range(60, 72))
    for name, pitch in zip(names([(p,) for p in pitches], f"{tonic} {mode}"), pitches, strict=True):
        letter, alter = name[0], name.count("#") - name.count("b", 1)
        assert ("C D EF G A B".index(letter) + alter) % 12 == pitch % 12
        assert abs(alter) < 2 or (f"{tonic} {mode}", name) == ("Ab minor", "F##")


def test_octaves_follow_the_letter() -> None:
    assert [octave_of(60, alter) for alter in (0, 1)] == [4, 3]  # C4 is B sharp 3
    assert octave_of(59, -1) == 4  # B3 is C flat 4
