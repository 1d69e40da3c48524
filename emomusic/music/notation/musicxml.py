"""A score laid out as sheet music, as MusicXML: letters and accidentals, marks, and the page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby, pairwise, zip_longest
from typing import Any
from xml.etree.ElementTree import indent, tostring

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.key import Signature, letter_of
from emomusic.music.notation.grid import Bar, Chord
from emomusic.music.notation.rhythm import Sign, places_of
from emomusic.music.notes import Notes
from emomusic.music.score import seconds_at
from emomusic.music.tokenizer import STEPS_PER_BEAT

NEAR = STEPS_PER_BEAT // 2
LED = 2.0
"""Fifths by which a semitone step up or down pulls towards sharp or flat."""
ACCIDENTALS = {-1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
TEMPO_CHANGE = 0.05
"""Share by which the tempo must differ from the last mark, in a bar and the next."""
LEVELS = ("ppp", "pp", "p", "mp", "mf", "f", "ff", "fff")
LEVEL_WIDTH = 16
"""Velocities of one level."""
LEVEL_HOLD = 12.0
"""Velocities from the middle of the marked level, in two bars, before another is marked."""
HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" \
"http://www.musicxml.org/dtds/partwise.dtd">"""


def spell(
    hands: Sequence[Sequence[Chord]], bars: Sequence[Bar], signature: Signature
) -> list[dict[int, int]]:
    """Return, for each bar, the place on the line of fifths of each pitch class struck in it.

    Notes of the key, and the raised sixth and seventh of minor, have one spelling. Any other is
    spelled, alike in all of a bar, as is nearer on the line of fifths to the key and to the
    notes struck around it, and pulled towards the note a semitone away that it leads to.

    Args:
        hands: The chords of each hand, in their order.
        bars: Bars that hold them; a chord is spelled in the one it starts in.
        signature: The key.

    Reference: places on the line of fifths as in Temperley (2001); the rule is ours.
    """
    known, lines = signature.known, [bar.start for bar in bars]
    struck = sorted((chord.start, chord.pitches) for hand in hands for chord in hand)
    centres: dict[tuple[int, int], list[float]] = defaultdict(list)
    for hand in hands:
        for chord, after in zip_longest(hand, hand[1:]):
            first = bisect_left(struck, (chord.start - NEAR, ()))
            last = bisect_left(struck, (chord.start + NEAR + 1, ()))
            around = [p % 12 for _, pitches in struck[first:last] for p in pitches]
            places = [signature.fifths + 2, *(known[c] for c in around if c in known)]
            led_to = after.pitches if after else ()
            for pitch in chord.pitches:
                pull = LED * ((pitch + 1 in led_to) - (pitch - 1 in led_to))
                bar = bisect_right(lines, chord.start) - 1
                centres[bar, pitch % 12].append(sum(places) / len(places) + pull)
    spelled = [dict(known) for _ in bars]
    for (bar, pitch_class), found in centres.items():
        if pitch_class not in known:
            spelled[bar][pitch_class] = signature.nearest(pitch_class, sum(found) / len(found))
    return spelled


def tempo_marks(score: ScoreTick, bars: Sequence[Bar]) -> dict[int, float]:
    """Return the tempo to write at bars, by their index, in quarter notes a minute.

    The first bar has one; another where the tempo of a bar and of the next is over 5 % off.
    """
    steps = np.array([*(bar.start for bar in bars), bars[-1].end])
    ticks = np.round(steps * score.ticks_per_quarter / STEPS_PER_BEAT).astype(np.int64)
    beats = np.diff(ticks) / score.ticks_per_quarter
    tempos = 60.0 * beats / np.maximum(np.diff(seconds_at(score, ticks)), 1e-6)
    marks = {0: float(tempos[0])}
    current = marks[0]
    for index, tempo in enumerate(tempos[1:], start=1):
        if np.all(np.abs(tempos[index : index + 2] / current - 1) > TEMPO_CHANGE):
            marks[index] = current = float(tempo)
    return marks


def dynamic_marks(notes: Notes, bars: Sequence[Bar]) -> dict[int, str]:
    """Return the dynamics to write at bars, by their index: few, only where they stay.

    A level spans sixteen velocities, `mf` from 64.
    """

    def level_of(velocity: float) -> int:
        return min(int(velocity) // LEVEL_WIDTH, len(LEVELS) - 1)

    starts = np.array([bar.start for bar in bars]) / STEPS_PER_BEAT
    own = np.searchsorted(starts, notes.onset + 0.1, side="right") - 1
    means = [(int(b), float(notes.velocity[own == b].mean())) for b in np.unique(own)]
    level = level_of(float(np.mean([mean for _, mean in means[:2]])))
    marks = {means[0][0]: LEVELS[level]}
    for (bar, mean), (_, ahead) in pairwise(means):
        middle = (level + 0.5) * LEVEL_WIDTH
        is_off = min(abs(mean - middle), abs(ahead - middle)) > LEVEL_HOLD
        if bar not in marks and is_off and (mean > middle) == (ahead > middle):
            level = level_of((mean + ahead) / 2)
            marks[bar] = LEVELS[level]
    return marks


@dataclass(frozen=True)
class Sheet:
    """Hold all that is written, bar by bar; the first staff is the right hand's."""

    bars: Sequence[Bar]
    staves: tuple[Sequence[Sequence[Sign]], Sequence[Sequence[Sign]]]  # signs of each bar
    spelled: Sequence[dict[int, int]]  # for each bar, as `spell` returns them
    signature: Signature
    tempos: dict[int, float]  # quarter notes a minute to write, by index of the bar
    dynamics: dict[int, str]  # to write, by index of the bar
    title: str = ""


def musicxml_of(sheet: Sheet) -> str:
    """Return the sheet as a MusicXML 4.0 document, the same text for the same sheet.

    Raises:
        ImportError: If music21 is not installed.
    """
    music21 = import_module("music21")
    exporter = import_module("music21.musicxml.m21ToXml")
    staves = [_StaffWriter(music21, sheet, index).written() for index in range(2)]
    score = music21.stream.Score(staves)
    score.insert(0, music21.layout.StaffGroup(staves, symbol="brace"))
    score.metadata = music21.metadata.Metadata()
    score.metadata.movementName = sheet.title
    root = exporter.ScoreExporter(score, makeNotation=False).parse()
    about = root.find("identification")
    for name in ("creator", "encoding"):  # what changes from run to run, or nobody said
        about.remove(about.find(name))
    if not sheet.title:
        root.remove(root.find("movement-title"))
    for element in (*root.iter("score-part"), *root.iter("part")):
        element.set("id", "P1")
    for part_name in root.iter("part-name"):
        part_name.text = "Piano"
    indent(root, space=" ")
    return f"{HEADER}\n{tostring(root, encoding='unicode')}\n"


class _StaffWriter:
    """Write one staff of a sheet with the classes of music21."""

    def __init__(self, music21: Any, sheet: Sheet, index: int) -> None:
        self._music21, self._sheet, self._index = music21, sheet, index
        self._signs = sheet.staves[index]
        self._clef = ""  # in force, none at first
        self._spelled: dict[int, int] = {}  # of the bar in which the last chord began
        self._altered: dict[tuple[str, int], int] = {}  # sharps of letters and octaves of the bar

    def written(self) -> Any:
        """Return the staff with its bars and octave lines."""
        music21 = self._music21
        staff = music21.stream.PartStaff(id=f"P1-Staff{self._index + 1}")
        places = places_of(self._signs, is_right=not self._index)
        sounding: list[tuple[int, Any]] = []  # the octave and the note or chord
        for number, bar in enumerate(self._sheet.bars):
            measure = music21.stream.Measure(number=number + 1)
            self._altered = {}
            for sign, (clef, octave) in zip(self._signs[number], places[number], strict=True):
                element = self._element(sign, measure, clef, number)
                if sign.pitches:
                    sounding.append((octave, element))
            measure.coreElementsChanged()
            self._head(measure, number)
            staff.coreInsert(bar.start / STEPS_PER_BEAT, measure)
        staff.coreElementsChanged()
        measure.rightBarline = "final"
        for octave, group in groupby(sounding, lambda own: own[0]):
            elements = [element for _, element in group]
            if octave:
                kind, placement = ("8va", "above") if octave > 0 else ("8vb", "below")
                shift = music21.spanner.Ottava(type=kind, transposing=False, placement=placement)
                shift.addSpannedElements(elements[:1] + elements[1:][-1:])
                staff.insert(0, shift)
        return staff

    def _head(self, measure: Any, number: int) -> None:
        """Write key, metre, tempo and dynamics of a bar where they are new."""
        sheet, music21 = self._sheet, self._music21
        top, bottom = metre = sheet.bars[number].metre
        if not number:
            measure.keySignature = music21.key.KeySignature(sheet.signature.fifths)
        if not number or metre != sheet.bars[number - 1].metre:
            measure.timeSignature = music21.meter.TimeSignature(f"{top}/{bottom}")
        if self._index:
            return
        if number in sheet.tempos:
            beats = 1.5 if bottom == 8 and top > 3 and top % 3 == 0 else 1.0  # dotted quarters
            tempo = max(1, round(sheet.tempos[number] / beats))
            measure.insert(0, music21.tempo.MetronomeMark(number=tempo, referent=beats))
        if number in sheet.dynamics:
            dynamic = music21.dynamics.Dynamic(sheet.dynamics[number])
            dynamic.placement = "below"
            measure.insert(0, dynamic)

    def _element(self, sign: Sign, measure: Any, clef: str, number: int) -> Any:
        """Write a note, chord or rest into a measure, and a clef where it is new."""
        music21 = self._music21
        start = sign.start / STEPS_PER_BEAT
        if clef != self._clef:
            self._clef = clef
            kinds = {"treble": music21.clef.TrebleClef, "bass": music21.clef.BassClef}
            measure.coreInsert(start, kinds[clef]())
        if not sign.tied_from:
            self._spelled = self._sheet.spelled[number]
        duration, pitches = self._duration(sign), [self._pitch(p, sign) for p in sign.pitches]
        if not pitches:
            element = music21.note.Rest(duration=duration)
            element.fullMeasure = not sign.value
        elif len(pitches) > 1:
            element = music21.chord.Chord(pitches, duration=duration)
        else:
            element = music21.note.Note(pitches[0], duration=duration)
        if sign.tied_from or sign.tied_to:
            tied = "stop" if not sign.tied_to else "continue" if sign.tied_from else "start"
            for own in element.notes if len(pitches) > 1 else [element]:
                own.tie = music21.tie.Tie(tied)
        for beam in sign.beams:
            element.beams.append(*beam.split("-"))
        measure.coreInsert(start, element)
        return element

    def _duration(self, sign: Sign) -> Any:
        kinds = self._music21.duration
        if not sign.value:
            return kinds.Duration(quarterLength=sign.length / STEPS_PER_BEAT)
        duration = kinds.Duration(type=sign.value, dots=sign.dots)
        if sign.triplet:
            edge = sign.triplet if sign.triplet != "within" else None
            duration.appendTuplet(kinds.Tuplet(3, 2, "eighth", type=edge))
        return duration

    def _pitch(self, pitch: int, sign: Sign) -> Any:
        """Return a pitch, its accidental shown where key, or one before in the bar, say else."""
        letter, alter = letter_of(self._spelled[pitch % 12])
        octave = (pitch - alter) // 12 - 1  # of the letter: C flat 4 is B 3
        of_the_key = dict(letter_of(place) for place in self._sheet.signature.scale)
        is_new = self._altered.get((letter, octave), of_the_key[letter]) != alter
        accidental = None
        if is_new or alter:
            accidental = self._music21.pitch.Accidental(ACCIDENTALS[alter])
            accidental.displayStatus = is_new and not sign.tied_from
        if not sign.tied_from:
            self._altered[letter, octave] = alter
        return self._music21.pitch.Pitch(step=letter, octave=octave, accidental=accidental)
