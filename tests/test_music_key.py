"""Keys: of scales and triads, moved to every tonic, and against music21's."""

import numpy as np
import pytest

from emomusic.music.key import Key, estimate_key, parse_tonic
from emomusic.music.notes import Notes, make_notes

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11, 12), (0, 2, 3, 5, 7, 8, 11, 12)
CADENCE = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7))
MINOR_CADENCE = ((0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7))


def notes_at(*steps: tuple[float, float, int]) -> Notes:
    """Make notes of (onset, duration, pitch)."""
    onset, duration, pitch = (np.array(column) for column in zip(*steps, strict=True))
    return make_notes(onset, duration, pitch, np.full(len(pitch), 64))


def scale(steps: tuple[int, ...], tonic: int = 0) -> Notes:
    """Play a scale up and down from a tonic, which is held at the end."""
    up = [(float(i), 1.0, 60 + tonic + step) for i, step in enumerate(steps)]
    down = [(8.0 + i, 1.0, 60 + tonic + step) for i, step in enumerate(steps[::-1])]
    return notes_at(*up, *down, (16.0, 2.0, 60 + tonic), (16.0, 2.0, 67 + tonic))


def chords(triads: tuple[tuple[int, ...], ...], tonic: int = 0) -> Notes:
    return notes_at(
        *((2.0 * i, 2.0, 48 + tonic + step) for i, triad in enumerate(triads) for step in triad)
    )


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("make", [scale, chords])
def test_major_and_minor_are_told_apart_on_every_tonic(make, tonic: int) -> None:  # type: ignore[no-untyped-def] # either of two
    material = (MAJOR, MINOR) if make is scale else (CADENCE, MINOR_CADENCE)
    major, minor = (estimate_key(make(part, tonic)) for part in material)
    assert (major.tonic, major.is_major) == (tonic, True)
    assert (minor.tonic, minor.is_major) == (tonic, False)
    assert major.mode > 0.05
    assert minor.mode < -0.05
    assert min(major.clarity, minor.clarity) > 0.7


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
        found = oracle.getSolution(stream)
        key = estimate_key(notes_at(*played))
        assert key.tonic == found.tonic.pitchClass
        assert key.is_major == (found.mode == "major")
        assert key.clarity == pytest.approx(found.correlationCoefficient, abs=1e-3)


def test_without_a_key_clarity_is_0() -> None:
    every = notes_at(*((float(i), 1.0, 60 + i) for i in range(12)))
    assert estimate_key(every) == Key(0, 0.0, 0.0)
    assert estimate_key(every.where(every.pitch < 0)) == Key(0, 0.0, 0.0)


def test_a_key_has_a_name() -> None:
    assert Key(3, -0.2, 0.9).name == "Eb minor"
    assert Key(6, 0.0, 0.9).name == "Gb major"


@pytest.mark.parametrize(
    ("text", "tonic"),
    [("C", 0), ("c", 0), ("F#", 6), ("Gb", 6), ("bb", 10), (" Eb ", 3), ("Cb", 11), ("B#", 0)],
)
def test_a_note_name_is_a_tonic(text: str, tonic: int) -> None:
    assert parse_tonic(text) == tonic


@pytest.mark.parametrize("text", ["", "H", "C##", "F♯", "BB", "Do", "60"])
def test_another_text_is_no_tonic(text: str) -> None:
    with pytest.raises(ValueError, match="tonic must be a note name such as C, F# or Bb, got "):
        parse_tonic(text)
