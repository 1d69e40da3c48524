"""Stretches of music, and the registry of attributes: what is asked for and measured of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from emomusic.music.chords import half_bars
from emomusic.music.key import MAJOR_SCALE, MINOR_SCALES, Key, estimate_key
from emomusic.music.notes import FloatColumn, IntColumn, Notes, hands_of
from emomusic.music.score import ScoreError

SAME_ONSET_BEATS = 1 / 24
MAX_PARTNERS = 8
"""Notes before one, or after it, that are looked at for one that sounds with it."""
RIGHT_HAND, MELODY, BASS = 1, 2, 4
"""Bits of the parts of a note."""
DISSONANT_CLASSES = (1, 2, 6)
CHORD_BEATS = 2.0


@dataclass(frozen=True)
class Passage:
    """Hold the notes of a stretch of music, counted from its own start.

    Attributes:
        notes: At least one note; beats count from the start of the passage.
        n_beats: Length in beats, above 0.
        tempo: Quarter notes a minute, above 0.
        key: The key that key-relative attributes refer to; a bar takes its clip's.
    """

    notes: Notes
    n_beats: float
    tempo: float
    key: Key

    def __post_init__(self) -> None:
        if not len(self.notes):
            raise ScoreError("a passage without notes has no attributes")
        if not (self.n_beats > 0 and self.tempo > 0):
            raise ScoreError(
                f"a passage needs beats and tempo above 0, got {self.n_beats} and {self.tempo}"
            )

    @cached_property
    def first_of_onset(self) -> IntColumn:
        """Return the index of the first note of each distinct onset, shape (n_onsets,)."""
        onset = self.notes.onset
        later = np.flatnonzero(onset[1:] - onset[:-1] > SAME_ONSET_BEATS) + 1
        return np.concatenate([[0], later])

    @cached_property
    def onsets(self) -> FloatColumn:
        """Return the distinct onsets in beats, shape (n_onsets,)."""
        return self.notes.onset[self.first_of_onset]

    @cached_property
    def sounding_beats(self) -> float:
        """Return how many beats of the passage have at least one note sounding."""
        end = np.minimum(self.notes.onset + self.notes.duration, self.n_beats)
        reached = np.maximum.accumulate(np.concatenate([[0.0], end[:-1]]))
        return float(np.maximum(end - np.maximum(self.notes.onset, reached), 0.0).sum())

    @cached_property
    def melody(self) -> IntColumn:
        """Return the skyline: the top pitch of each onset that no held note lies above."""
        top = np.maximum.reduceat(self.notes.pitch, self.first_of_onset)
        return top[~_covered(self.notes, self.first_of_onset, top, together=SAME_ONSET_BEATS)]

    @cached_property
    def bass(self) -> IntColumn:
        """Return the lowest pitch struck in each beat that has an onset, in order."""
        beat = np.floor(self.notes.onset).astype(np.int64)
        starts = np.flatnonzero(np.diff(beat, prepend=-1))
        return np.minimum.reduceat(self.notes.pitch, starts)

    @cached_property
    def sounding_intervals(self) -> IntColumn:
        """Return semitones between notes sounding together, each with its next 8 in order."""
        onset, pitch = self.notes.onset, self.notes.pitch
        end = onset + self.notes.duration
        found = []
        for step in range(1, min(MAX_PARTNERS, len(pitch) - 1) + 1):
            together = onset[step:] < end[:-step] - SAME_ONSET_BEATS
            found.append(np.abs(pitch[step:] - pitch[:-step])[together])
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def passage_of(
    notes: Notes,
    *,
    start: float = 0.0,
    n_beats: float | None = None,
    tempo: float,
    key: Key | None = None,
) -> Passage:
    """Cut the notes that begin within a stretch of music.

    Args:
        notes: Notes in beats.
        start: First beat of the stretch.
        n_beats: Its length; None reaches to the end of the last note, rounded up to a beat.
        tempo: Quarter notes a minute.
        key: None estimates it from the notes of the stretch.

    Raises:
        ScoreError: If no note begins there.
    """
    if not len(notes):
        raise ScoreError("a passage without notes has no attributes")
    if n_beats is None:
        n_beats = float(np.ceil((notes.onset + notes.duration).max() - start - 1e-9))
    inside = notes.where((notes.onset >= start - 1e-9) & (notes.onset < start + n_beats - 1e-9))
    moved = replace(inside, onset=np.maximum(inside.onset - start, 0.0))
    return Passage(moved, n_beats, tempo, key or estimate_key(moved))


def _covered(
    notes: Notes, first: IntColumn, top: IntColumn, *, together: float
) -> NDArray[np.bool_]:
    """Tell which onsets have a note above their top that is held from before.

    An onset is the index of its first note, and its top pitch; a note is held if it goes on for
    more than `together` beats.
    """
    end, covered = notes.onset + notes.duration, np.zeros(len(first), dtype=bool)
    for back in range(1, MAX_PARTNERS + 1):
        held = np.maximum(first - back, 0)
        sounds = (first >= back) & (end[held] > notes.onset[first] + together)
        covered |= sounds & (notes.pitch[held] > top)
    return covered


def parts_of(notes: Notes, lines: FloatColumn) -> NDArray[np.uint8]:
    """Return the parts of each note, bits added up, shape (n,).

    `RIGHT_HAND` after `hands_of`; `MELODY` the skyline: the top note of each onset that no held
    note lies above; `BASS` the lowest note struck in its half bar.

    Args:
        notes: In beats, at least one.
        lines: Bar lines in beats, shape (n_bars + 1,).
    """
    parts = np.where(hands_of(notes) == 1, RIGHT_HAND, 0).astype(np.uint8)
    onset, pitch = notes.onset, notes.pitch
    top = np.flatnonzero(np.append(np.diff(onset) > 1e-6, True))  # sorted by onset, then pitch
    first = np.append(0, top[:-1] + 1)
    parts[top[~_covered(notes, first, pitch[top], together=1e-6)]] |= MELODY
    cell = np.searchsorted(half_bars(lines), onset + 1e-6, side="right")
    order = np.lexsort((onset, pitch, cell))
    lowest = order[np.diff(cell[order], prepend=-1) != 0]
    parts[lowest] |= BASS
    return parts


@dataclass(frozen=True)
class Attribute:
    """Describe one attribute: a pure function of a passage, never NaN.

    Attributes:
        name: Its name in every table, flag and slider.
        unit: What the number counts.
        low: Lowest value that real piano music shows (a slider's left end).
        high: Highest such value.
        source: Where the definition comes from.
        explanation: One sentence for people.
        measure: The function.
        per_semitone: How much the value moves when the passage moves up a semitone.
        needs_dynamics: Whether it means nothing where velocities are flat.
    """

    name: str
    unit: str
    low: float
    high: float
    source: str
    explanation: str
    measure: Callable[[Passage], float]
    per_semitone: float = 0.0
    needs_dynamics: bool = False


def _polyphony(p: Passage) -> float:
    end = np.minimum(p.notes.onset + p.notes.duration, p.n_beats)
    return float((end - p.notes.onset).sum() / max(p.sounding_beats, 1e-9))


def _articulation(p: Passage) -> float:
    following = np.concatenate([p.onsets[1:], [max(p.n_beats, p.onsets[-1] + 1e-3)]])
    which = p.onsets.searchsorted(p.notes.onset + 1e-9, side="right") - 1
    gap = np.maximum(following - p.onsets, 1e-3)[which]
    ratio = np.sort(np.minimum(p.notes.duration / gap, 4.0))
    return float(ratio[(len(ratio) - 1) // 2] + ratio[len(ratio) // 2]) / 2  # the median, quickly


def _chromaticism(p: Passage) -> float:
    scale = MAJOR_SCALE if p.key.is_major else MINOR_SCALES
    outside = ~np.isin((p.notes.pitch - p.key.tonic) % 12, scale)
    return float(p.notes.duration[outside].sum() / p.notes.duration.sum())


_MAJOR_TRIAD = [float(step in (0, 4, 7)) for step in range(12)]
_MINOR_TRIAD = [float(step in (0, 3, 7)) for step in range(12)]
_TRIADS = np.array(
    [np.roll(triad, root) for triad in (_MAJOR_TRIAD, _MINOR_TRIAD) for root in range(12)]
).T


def _chord_mode(p: Passage) -> float:
    """Match a triad to every two beats: shares of major less shares of minor ones."""
    window = (p.notes.onset // CHORD_BEATS).astype(np.int64)
    length = np.minimum(p.notes.duration, CHORD_BEATS)
    cell, n_windows = window * 12 + p.notes.pitch % 12, int(window.max()) + 1
    profile = np.bincount(cell, weights=length, minlength=12 * n_windows).reshape(-1, 12)
    profile = profile[profile.any(axis=1)]
    fit = profile @ _TRIADS
    best = fit.max(axis=1)
    major, minor = fit[:, :12].max(axis=1), fit[:, 12:].max(axis=1)
    margin = np.where(best > 0, (major - minor) / np.maximum(best, 1e-9), 0.0)
    return float(np.sign(margin).mean())


def _dissonance(p: Passage) -> float:
    classes = p.sounding_intervals % 12
    classes = np.minimum(classes, 12 - classes)
    return float(np.isin(classes, DISSONANT_CLASSES).mean()) if len(classes) else 0.0


def _bass_change(p: Passage) -> float:
    return float((np.diff(p.bass % 12) != 0).mean()) if len(p.bass) > 1 else 0.0


def _leap_size(p: Passage) -> float:
    return float(np.abs(np.diff(p.melody)).mean()) if len(p.melody) > 1 else 0.0


def _melodic_direction(p: Passage) -> float:
    steps = np.diff(p.melody)
    moving = steps[steps != 0]
    return float(np.sign(moving).mean()) if len(moving) else 0.0


def _regularity(p: Passage) -> float:
    if len(p.onsets) < 2:
        return 1.0
    gaps = np.rint(np.diff(p.onsets) * 12).astype(np.int64)
    return float(np.unique(gaps, return_counts=True)[1].max() / len(gaps))


def _syncopation(p: Passage) -> float:
    """Share the onsets off the beat that no onset on the next beat resolves."""
    near = np.rint(p.onsets * 12) / 12
    off_beat = near[near % 1.0 > 1e-6]
    on_beat = near[near % 1.0 <= 1e-6]
    last = off_beat[np.diff(np.floor(off_beat), append=np.inf) != 0]  # of each beat
    inside = last[np.ceil(last) < p.n_beats]
    unresolved = ~np.isin(np.ceil(inside), on_beat)
    return float(unresolved.sum() / len(near))


def _pitch_class_entropy(p: Passage) -> float:
    share = np.bincount(p.notes.pitch % 12, minlength=12) / len(p.notes)
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum()) + 0.0


_OURS = "emomusic"
_KEY_SOURCE = "Krumhansl and Schmuckler, Aarden's profiles"
ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("tempo", "quarter notes a minute", 40, 200, "MIDI", "How fast the beat is.",
              lambda p: p.tempo),
    Attribute("note_density", "notes a beat", 0.5, 10,
              "jSymbolic 2.2, Note Density per Quarter Note",
              "How many notes fall on a beat.", lambda p: len(p.notes) / p.n_beats),
    Attribute("onset_density", "onsets a beat", 0.25, 4, "MuseMorphose's rhythmic intensity",
              "How many moments of a beat have a note struck.",
              lambda p: len(p.onsets) / p.n_beats),
    Attribute("polyphony", "notes", 1, 9, "muspy.polyphony, weighted by time",
              "How many notes sound together while any sounds.", _polyphony),
    Attribute("velocity_mean", "MIDI velocity", 30, 110, "MIDI", "How hard the keys are struck.",
              lambda p: p.notes.velocity.mean(), needs_dynamics=True),
    Attribute("velocity_spread", "MIDI velocity", 0, 30, "jSymbolic 2.2, Variation of Dynamics",
              "How much loud and soft differ.",
              lambda p: p.notes.velocity.std(), needs_dynamics=True),
    Attribute("register", "MIDI pitch", 45, 80, "jSymbolic 2.2, Mean Pitch",
              "How high the music lies.", lambda p: p.notes.pitch.mean(), per_semitone=1.0),
    Attribute("pitch_range", "semitones", 12, 80, "muspy.pitch_range",
              "How far lowest and highest note are apart.", lambda p: float(np.ptp(p.notes.pitch))),
    Attribute("note_length", "beats", 0.2, 3, "jSymbolic 2.2, Average Note Duration, in beats",
              "How long the notes are held.", lambda p: p.notes.duration.mean()),
    Attribute("articulation", "share of the gap", 0.3, 3, _OURS,
              "Short of the next onset (staccato), up to it (legato), or beyond it.",
              _articulation),
    Attribute("mode", "correlation margin", -0.4, 0.4, _KEY_SOURCE,
              "Minor (below 0) against major (above 0).", lambda p: p.key.mode),
    Attribute("key_clarity", "correlation", 0.5, 1, _KEY_SOURCE,
              "How clearly one key is heard.", lambda p: p.key.clarity),
    Attribute("chromaticism", "share of sounding time", 0, 0.3, _OURS,
              "How much lies outside the key's scale.", _chromaticism),
    Attribute("chord_mode", "share of chords", -1, 1, _OURS,
              "Minor chords (below 0) against major chords (above 0).", _chord_mode),
    Attribute("dissonance", "share of intervals", 0, 0.5,
              "jSymbolic 2.2, Vertical Dissonance Ratio, as a share",
              "How many simultaneous intervals are seconds, sevenths or tritones.", _dissonance),
    Attribute("bass_change", "share of beats", 0, 1, _OURS,
              "How often the bass moves to another pitch class.", _bass_change),
    Attribute("leap_size", "semitones", 0, 12, "jSymbolic 2.2, Mean Melodic Interval, skyline",
              "How far the melody leaps.", _leap_size),
    Attribute("melodic_direction", "share of steps", -0.5, 0.5,
              "jSymbolic 2.2, Direction of Melodic Motion, centred",
              "Falling (below 0) against rising (above 0) melody.", _melodic_direction),
    Attribute("regularity", "share of gaps", 0.2, 1,
              "jSymbolic 2.2, Prevalence of Most Common Rhythmic Value, on onsets",
              "How much one rhythmic value prevails.", _regularity),
    Attribute("syncopation", "share of onsets", 0, 0.5, "after Longuet-Higgins and Lee (1984)",
              "How often an off-beat note steals the next beat.", _syncopation),
    Attribute("silence", "share of time", 0, 0.5, "MusDr's empty-beat rate, by time",
              "How much of the time nothing sounds.",
              lambda p: max(1.0 - p.sounding_beats / p.n_beats, 0.0)),
    Attribute("pitch_class_entropy", "bits", 1.5, 3.6, "MusDr, Wu and Yang (2020)",
              "How many different pitch classes are used, and how evenly.", _pitch_class_entropy),
)  # fmt: skip
ATTRIBUTE_NAMES: tuple[str, ...] = tuple(attribute.name for attribute in ATTRIBUTES)
BAR_ATTRIBUTE_NAMES: tuple[str, ...] = (
    *("note_density", "onset_density", "polyphony", "velocity_mean"),
    *("register", "articulation", "chord_mode"),
)
_BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}


def attribute(name: str) -> Attribute:
    """Return the attribute of that name.

    Raises:
        ValueError: If there is none; the message lists the names.
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown attribute {name!r}; known are {', '.join(ATTRIBUTE_NAMES)}")
    return _BY_NAME[name]


def measure(passage: Passage, names: Iterable[str] = ATTRIBUTE_NAMES) -> dict[str, float]:
    """Measure attributes of a passage.

    Returns:
        A finite number for each name, in the order asked for.

    Raises:
        ValueError: If a name is unknown.
    """
    return {name: float(attribute(name).measure(passage)) for name in names}
