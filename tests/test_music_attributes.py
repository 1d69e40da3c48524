"""Passages and attributes: values worked out by hand, limits, transposition, other libraries'."""

import math
import statistics

import numpy as np
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi import notes_at

from emomusic.music.attributes import (
    ATTRIBUTE_NAMES,
    ATTRIBUTES,
    BAR_ATTRIBUTE_NAMES,
    BASS,
    MELODY,
    RIGHT_HAND,
    Passage,
    attribute,
    measure,
    parts_of,
    passage_of,
)
from emomusic.music.key import Key
from emomusic.music.score import ScoreError

C_MAJOR = Key(0, 0.25, 0.8)
Played = tuple[float, float, int, int]


def passage(
    *played: Played, n_beats: float | None = None, tempo: float = 90.0, key: Key | None = C_MAJOR
) -> Passage:
    """Make a passage of (onset, duration, pitch, velocity)."""
    return passage_of(notes_at(*played, tempo=tempo), n_beats=n_beats, tempo=tempo, key=key)


def line(*onsets: float, length: float = 0.25, pitch: int = 60) -> tuple[Played, ...]:
    return tuple((onset, length, pitch, 64) for onset in onsets)


def tune(*pitches: int) -> tuple[Played, ...]:
    return tuple((float(i), 1.0, pitch, 64) for i, pitch in enumerate(pitches))


# A C major chord and a C above it; then F below an A and an F sharp; a beat of silence.
PIECE: tuple[Played, ...] = (
    (0, 2, 48, 60),
    (0, 1, 64, 80),
    (0, 1, 67, 100),
    (1, 1, 72, 80),
    (2, 2, 53, 60),
    (2.5, 0.5, 69, 80),
    (3, 1, 78, 80),
)
BY_HAND = {
    "tempo": 90.0,
    "note_density": 7 / 5,
    "onset_density": 5 / 5,  # at 0, 1, 2, 2.5, 3
    "polyphony": 8.5 / 4,  # 8.5 beats of notes in 4 sounding ones
    "velocity_mean": 540 / 7,
    "velocity_spread": math.sqrt(42_800 / 7 - (540 / 7) ** 2),
    "register": 451 / 7,
    "pitch_range": 30.0,
    "note_length": 8.5 / 7,
    "articulation": 1.0,  # shares of the gap: 2 1 1, 1, 4, 1, 0.5
    "mode": 0.25,  # the given key's
    "key_clarity": 0.8,
    "chromaticism": 1 / 8.5,  # the F sharp
    "chord_mode": 0.5,  # C major; then F-A is as much F major as D minor
    "dissonance": 1 / 6,  # of C-E C-G C-C E-G, F-A, F-F#
    "bass_change": 2 / 3,  # C C F F#
    "leap_size": (5 + 19 + 16 + 9) / 4,  # G C F A F#
    "melodic_direction": (1 - 1 + 1 + 1) / 4,
    "regularity": 2 / 4,  # gaps 1 1 0.5 0.5
    "syncopation": 0.0,  # the A at 2.5 is followed by an onset at 3
    "silence": 1 / 5,
    "pitch_class_entropy": -(2 / 7 * math.log2(2 / 7) + 5 / 7 * math.log2(1 / 7)),
}


@pytest.mark.parametrize("name", ATTRIBUTE_NAMES)
def test_each_attribute_has_the_value_worked_out_by_hand(name: str) -> None:
    assert measure(passage(*PIECE, n_beats=5.0), [name]) == {name: pytest.approx(BY_HAND[name])}


CHORDS = {"major": (0, 4, 7), "minor": (0, 3, 7), "fifth": (0, 7)}


def chord(kind: str, onset: float, root: int = 48, length: float = 2.0) -> tuple[Played, ...]:
    return tuple((onset, length, root + step, 64) for step in CHORDS[kind])


CASES: tuple[tuple[str, tuple[Played, ...], float | None, float], ...] = (
    ("onset_density", line(0, 0.02, 0.04, 1), 4.0, 0.5),  # a rolled chord is one onset
    ("polyphony", line(0, 2, 4), 8.0, 1.0),  # silence does not thin the texture
    ("polyphony", ((0, 99, 60, 64), (0, 99, 64, 64)), 4.0, 2.0),  # cut at the end
    ("articulation", line(0, 1, 2, 3, length=0.25), 4.0, 0.25),
    ("articulation", line(0, 1, 2, 3, length=99.0), 4.0, 4.0),  # no more than four
    ("articulation", line(0, length=2.0), 4.0, 0.5),  # the last gap reaches to the end
    ("chord_mode", chord("major", 0) + chord("major", 2, 55), None, 1.0),
    ("chord_mode", chord("major", 0) + chord("minor", 2, 57), None, 0.0),
    ("chord_mode", chord("fifth", 0), None, 0.0),
    ("chord_mode", chord("minor", 0) + chord("minor", 60), None, -1.0),  # silent pairs are left out
    *(
        ("dissonance", ((0, 1, 60, 64), (0, 1, 60 + step, 64)), None, step in (1, 2, 6, 10, 11))
        for step in range(1, 12)
    ),
    ("dissonance", tune(60, 61, 66), None, 0.0),  # one after the other
    ("bass_change", tune(48, 60, 36, 48), None, 0.0),  # octaves are no change
    ("bass_change", tune(48), None, 0.0),
    ("leap_size", tune(60), None, 0.0),
    ("melodic_direction", tune(60, 62, 62, 64), None, 1.0),  # a repeated note goes nowhere
    ("melodic_direction", tune(60, 60), None, 0.0),
    ("regularity", line(0), None, 1.0),
    ("regularity", line(0, 0.334, 0.665, 1), None, 1.0),  # triplets a little off
    ("syncopation", line(0, 0.5, 1.5, 3), 4.0, 0.5),
    ("syncopation", line(0, 0.25, 0.5, 0.75, 2), 4.0, 0.2),  # only the last before the beat
    ("syncopation", line(0, 3.5), 4.0, 0.0),  # nobody knows what follows
    ("syncopation", line(0.5), 4.0, 1.0),
    ("silence", line(0, length=99.0), 4.0, 0.0),
    ("pitch_class_entropy", tune(60, 72, 48), None, 0.0),
    ("pitch_class_entropy", tune(*range(60, 72)), None, math.log2(12)),
)


@pytest.mark.parametrize(("name", "played", "n_beats", "value"), CASES)
def test_small_cases(
    name: str, played: tuple[Played, ...], n_beats: float | None, value: float
) -> None:
    assert measure(passage(*played, n_beats=n_beats), [name])[name] == pytest.approx(float(value))


def test_all_minor_scales_belong_to_a_minor_key() -> None:
    for pitches, share in (((60, 62, 63, 65, 67, 68, 70, 71), 0.0), ((60, 64), 0.5)):
        own = passage(*tune(*pitches), key=Key(0, -0.25, 0.8))
        assert measure(own)["chromaticism"] == share


def test_only_notes_that_begin_inside_are_cut_out() -> None:
    notes = notes_at((0, 9, 40), (3.9, 1, 41), (4, 1, 42), (7.9, 3, 43), (8, 1, 44))
    found = passage_of(notes, start=4.0, n_beats=4.0, tempo=90.0, key=C_MAJOR)
    assert found.notes.pitch.tolist() == [42, 43]
    assert found.notes.onset == pytest.approx([0, 3.9])
    assert found.notes.duration.tolist() == [1, 3]
    assert (found.n_beats, found.tempo, found.key) == (4.0, 90.0, C_MAJOR)
    for start, n_beats, *played in (
        (0, 4, (0, 4, 60), (1, 0.5, 62)), (0, 5, (0, 1, 60), (3, 1.25, 62)), (2, 5, (4, 3, 60)),
    ):  # fmt: skip
        assert passage_of(notes_at(*played), start=start, tempo=60).n_beats == n_beats


def test_a_passage_needs_notes_beats_and_tempo() -> None:
    notes = notes_at((0, 1, 60))
    with pytest.raises(ScoreError, match=r"^a passage without notes has no attributes$"):
        passage_of(notes, start=8.0, n_beats=4.0, tempo=120.0)
    for n_beats, tempo in ((0.0, 60.0), (4.0, 0.0), (4.0, float("nan"))):
        with pytest.raises(ScoreError, match="a passage needs beats and tempo above 0, got"):
            Passage(notes, n_beats, tempo, C_MAJOR)


def test_onsets_melody_and_bass_of_a_passage() -> None:
    found = passage((0, 1, 60, 64), (0.04, 1, 64, 64), (1, 1, 60, 64), (1.05, 1, 67, 64))
    assert found.onsets.tolist() == [0, 1, 1.05]  # those of a chord count once
    assert found.first_of_onset.tolist() == [0, 2, 3]
    rows = ((0, 1, 48), (0, 1, 72), (1, 1, 74), (1.5, 0.5, 60), (2, 1, 50), (2, 1, 71))
    found = passage_of(notes_at(*rows), tempo=60)
    assert found.melody.tolist() == [72, 74, 71]  # 60 lies below the held 74
    rows = ((0, 1, 48), (0.5, 1, 43), (1, 1, 60), (3, 1, 50), (3.75, 0.25, 52))
    assert passage_of(notes_at(*rows), tempo=60).bass.tolist() == [43, 60, 50]


def test_hands_melody_and_bass_are_told_apart() -> None:
    # A held bass, a chord in the middle with a melody note above, then a note below a held one.
    rows = ((0, 4, 36), (0, 1, 60), (0, 1, 64), (0, 2, 79), (1, 1, 72), (2, 1, 74))
    parts = parts_of(notes_at(*rows), np.array([0.0, 4.0]))
    assert (parts & MELODY > 0).tolist() == [False, False, False, True, False, True]
    assert (parts & BASS > 0).tolist() == [True, False, False, False, False, True]
    assert not parts[0] & RIGHT_HAND and parts[3] & RIGHT_HAND
    one = parts_of(notes_at((0, 1, 72)), np.array([0.0, 4.0]))
    assert one.tolist() == [RIGHT_HAND | MELODY | BASS]


def random_piece(seed: int, n_notes: int = 40) -> tuple[Played, ...]:
    """Draw notes of different pitches on a grid of sixteenths."""
    rng = np.random.default_rng(seed)
    pitches = rng.choice(np.arange(30, 90), n_notes, replace=False)
    return tuple(
        (int(rng.integers(64)) / 4, int(rng.integers(1, 9)) / 4, int(p), int(rng.integers(1, 128)))
        for p in pitches
    )


@pytest.mark.parametrize("seed", range(5))
def test_values_agree_with_pretty_midi(seed: int) -> None:
    played = random_piece(seed)
    oracle = pretty_midi.PrettyMIDI()
    piano = pretty_midi.Instrument(0)
    for onset, duration, pitch, velocity in played:
        piano.notes.append(pretty_midi.Note(velocity, pitch, onset, onset + duration))
    oracle.instruments.append(piano)
    found = measure(passage(*played, tempo=60.0))
    share = oracle.get_pitch_class_histogram(use_duration=False, normalize=True)
    share = share[share > 0]
    assert found["pitch_class_entropy"] == pytest.approx(-float(np.sum(share * np.log2(share))))
    sounding = (oracle.get_piano_roll(fs=4) > 0).sum(axis=0)
    assert found["polyphony"] == pytest.approx(float(sounding[sounding > 0].mean()))
    n_steps = 4 * math.ceil(oracle.get_end_time())
    assert found["silence"] == pytest.approx(1 - float((sounding > 0).sum()) / n_steps)
    pitches = [note.pitch for note in piano.notes]
    assert found["register"] == pytest.approx(statistics.fmean(pitches))
    assert found["pitch_range"] == max(pitches) - min(pitches)
    assert found["onset_density"] * n_steps / 4 == pytest.approx(len(set(oracle.get_onsets())))


ONSETS, LENGTHS = (st.integers(*ends).map(lambda step: step / 4) for ends in ((0, 127), (1, 64)))
NOTES = st.lists(
    st.tuples(ONSETS, LENGTHS, st.integers(30, 90), st.integers(1, 127)), min_size=1, max_size=40
)
QUIETLY = settings(max_examples=60, deadline=None, database=None, derandomize=True)
BETWEEN = {
    **dict.fromkeys(("note_density", "onset_density", "note_length", "polyphony"), (0, math.inf)),
    **dict.fromkeys(("velocity_mean", "velocity_spread", "register", "pitch_range"), (0, 127)),
    **dict.fromkeys(("mode", "key_clarity", "chord_mode", "melodic_direction"), (-1, 1)),
    **dict.fromkeys(("chromaticism", "dissonance", "bass_change", "regularity"), (0, 1)),
    **dict.fromkeys(("syncopation", "silence"), (0, 1)),
    **{"tempo": (90, 90), "articulation": (0, 4), "leap_size": (0, 127)},
    "pitch_class_entropy": (0, math.log2(12) + 1e-9),
}


@QUIETLY
@given(NOTES, st.one_of(st.none(), st.integers(1, 33).map(float)))
def test_attributes_are_never_nan_and_stay_in_their_range(
    played: list[Played], n_beats: float | None
) -> None:
    if n_beats is not None and min(note[0] for note in played) >= n_beats:
        n_beats = None
    values = measure(passage(*played, n_beats=n_beats, key=None))
    assert values.keys() == BETWEEN.keys()
    for name, (low, high) in BETWEEN.items():
        assert low - 1e-9 <= values[name] <= high + 1e-9, name


@QUIETLY
@given(NOTES, st.integers(-12, 12))
def test_each_attribute_moves_by_its_semitones_when_transposed(
    played: list[Played], shift: int
) -> None:
    values = measure(passage(*played))
    moved_key = Key(shift % 12, C_MAJOR.mode, C_MAJOR.clarity)
    moved = measure(
        passage(*((a, b, pitch + shift, v) for a, b, pitch, v in played), key=moved_key)
    )
    for entry in ATTRIBUTES:
        expected = values[entry.name] + shift * entry.per_semitone
        assert moved[entry.name] == pytest.approx(expected, abs=1e-9), entry.name


@pytest.mark.parametrize("seed", range(3))
def test_only_tempo_depends_on_tempo_and_only_dynamics_on_velocities(seed: int) -> None:
    played = random_piece(seed)
    slow, fast = (measure(passage(*played, tempo=t, key=None)) for t in (50.0, 170.0))
    assert {name for name in slow if slow[name] != fast[name]} == {"tempo"}
    flat = measure(passage(*((*note[:3], 64) for note in played), tempo=50.0, key=None))
    needing = {entry.name for entry in ATTRIBUTES if entry.needs_dynamics}
    assert {name for name in slow if slow[name] != flat[name]} == needing


def test_the_registry_is_sound() -> None:
    assert len(set(ATTRIBUTE_NAMES)) == len(ATTRIBUTES) == 22
    assert set(BAR_ATTRIBUTE_NAMES) < set(ATTRIBUTE_NAMES)
    for entry in ATTRIBUTES:
        assert entry.low < entry.high and entry.unit and entry.source
        assert entry.explanation.endswith(".") and attribute(entry.name) is entry
    with pytest.raises(ValueError, match=r"^unknown attribute 'loudness'; known are tempo, note_"):
        measure(passage(*PIECE), ["loudness"])
