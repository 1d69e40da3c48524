"""A score laid out as sheet music, as MusicXML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element, indent, tostring

from emomusic.music.notation.grid import Bar
from emomusic.music.notation.marks import Place
from emomusic.music.notation.rhythm import Sign
from emomusic.music.notation.spelling import Signature, letter_of, octave_of
from emomusic.music.tokenizer import STEPS_PER_BEAT

Shifted = tuple[int, Any]
"""Octaves that a note or chord sounds above what is written, and the note or chord of music21."""
ACCIDENTALS = {-1: "flat", 0: "natural", 1: "sharp", 2: "double-sharp"}
HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" \
"http://www.musicxml.org/dtds/partwise.dtd">"""


@dataclass(frozen=True)
class Sheet:
    """Hold all that is written, bar by bar; the first staff is the right hand's.

    Attributes:
        bars: The bars.
        staves: For each of two staves, the signs of each bar.
        places: For each staff, clef and octave of each sign of each bar.
        spelled: For each bar, the place on the line of fifths of each pitch class.
        signature: The key.
        tempos: Quarter notes a minute to write, by index of the bar.
        dynamics: Dynamics to write, by index of the bar.
        title: Title, or an empty text.
    """

    bars: Sequence[Bar]
    staves: tuple[Sequence[Sequence[Sign]], Sequence[Sequence[Sign]]]
    places: tuple[Sequence[Sequence[Place]], Sequence[Sequence[Place]]]
    spelled: Sequence[dict[int, int]]
    signature: Signature
    tempos: dict[int, float]
    dynamics: dict[int, str]
    title: str


def musicxml_of(sheet: Sheet) -> str:
    """Return the sheet as a MusicXML 4.0 document, the same text for the same sheet.

    Raises:
        ImportError: If music21 is not installed.
    """
    music21 = import_module("music21")
    exporter = import_module("music21.musicxml.m21ToXml")
    staves = [_staff(sheet, index) for index in range(2)]
    score = music21.stream.Score(staves)
    score.insert(0, music21.layout.StaffGroup(staves, symbol="brace"))
    score.metadata = music21.metadata.Metadata()
    score.metadata.movementName = sheet.title
    return _text(exporter.ScoreExporter(score, makeNotation=False).parse(), sheet.title)


def _text(root: Element, title: str) -> str:
    """Return the document without what changes from run to run and what nobody said."""
    told = root.find("identification")
    if told is not None:
        _remove(told, "creator", "encoding")
    if not title:
        _remove(root, "movement-title")
    for element in (*root.iter("score-part"), *root.iter("part")):
        element.set("id", "P1")
    for part_name in root.iter("part-name"):
        part_name.text = "Piano"
    indent(root, space=" ")
    return f"{HEADER}\n{tostring(root, encoding='unicode')}\n"


def _remove(parent: Element, *names: str) -> None:
    for child in [child for child in parent if child.tag in names]:
        parent.remove(child)


def _staff(sheet: Sheet, index: int) -> Any:
    """Return a staff of music21 with its bars."""
    music21 = import_module("music21")
    staff = music21.stream.PartStaff(id=f"P1-Staff{index + 1}")
    pen, written = _Pen("", {}, {}), list[Shifted]()
    for number, bar in enumerate(sheet.bars):
        measure, elements = _measure(sheet, index, number, pen)
        _head(measure, sheet, index, number)
        staff.coreInsert(bar.start / STEPS_PER_BEAT, measure)
        written += elements
    staff.coreElementsChanged()
    measure.rightBarline = "final"
    for shift in _octave_shifts(written):
        staff.insert(0, shift)
    return staff


def _head(measure: Any, sheet: Sheet, index: int, number: int) -> None:
    """Write key, metre, tempo and dynamics of a bar where they are new."""
    music21 = import_module("music21")
    bar, before = sheet.bars[number], sheet.bars[number - 1]
    if not number:
        measure.keySignature = music21.key.KeySignature(sheet.signature.fifths)
    if not number or bar.metre != before.metre:
        measure.timeSignature = music21.meter.TimeSignature(f"{bar.metre[0]}/{bar.metre[1]}")
    if index:
        return
    if number in sheet.tempos:
        beats = 1.5 if bar.has_dotted_quarters else 1.0
        mark = music21.tempo.MetronomeMark(
            number=max(1, round(sheet.tempos[number] / beats)), referent=beats
        )
        measure.insert(0, mark)
    if number in sheet.dynamics:
        dynamic = music21.dynamics.Dynamic(sheet.dynamics[number])
        dynamic.placement = "below"
        measure.insert(0, dynamic)


@dataclass
class _Pen:
    """Keep in mind what bears on the next note of a staff.

    Attributes:
        clef: The clef in force, empty at first.
        spelled: Place on the line of fifths of each pitch class, where the last chord began.
        altered: Sharps of each letter and octave, as far as written in the bar.
    """

    clef: str
    spelled: dict[int, int]
    altered: dict[tuple[str, int], int]


def _measure(sheet: Sheet, index: int, number: int, pen: _Pen) -> tuple[Any, list[Shifted]]:
    """Return a bar of a staff, and its notes and chords, each after its octave shift."""
    music21 = import_module("music21")
    measure = music21.stream.Measure(number=number + 1)
    pen.altered = {}
    sounding = []
    for sign, place in zip(sheet.staves[index][number], sheet.places[index][number], strict=True):
        if place.clef != pen.clef:
            pen.clef = place.clef
            sign_of = {"treble": music21.clef.TrebleClef, "bass": music21.clef.BassClef}[place.clef]
            measure.coreInsert(sign.start / STEPS_PER_BEAT, sign_of())
        if not sign.tied_from:
            pen.spelled = sheet.spelled[number]
        element = _element(sign, sheet.signature, pen)
        measure.coreInsert(sign.start / STEPS_PER_BEAT, element)
        if sign.pitches:
            sounding.append((place.octave, element))
    measure.coreElementsChanged()
    return measure, sounding


def _element(sign: Sign, signature: Signature, pen: _Pen) -> Any:
    """Return a note, chord or rest of music21."""
    music21 = import_module("music21")
    duration = _duration(sign)
    if not sign.pitches:
        rest = music21.note.Rest(duration=duration)
        rest.fullMeasure = not sign.value
        return rest
    pitches = [_pitch(pitch, sign, signature, pen) for pitch in sign.pitches]
    kind = music21.chord.Chord if len(pitches) > 1 else music21.note.Note
    element: Any = kind(pitches if len(pitches) > 1 else pitches[0], duration=duration)
    if sign.tied_from or sign.tied_to:
        tied = "stop" if not sign.tied_to else "continue" if sign.tied_from else "start"
        for own in element.notes if len(pitches) > 1 else [element]:
            own.tie = music21.tie.Tie(tied)
    for beam in sign.beams:
        element.beams.append(*beam.split("-"))
    return element


def _duration(sign: Sign) -> Any:
    music21 = import_module("music21")
    if not sign.value:
        return music21.duration.Duration(quarterLength=sign.length / STEPS_PER_BEAT)
    duration = music21.duration.Duration(type=sign.value, dots=sign.dots)
    if sign.triplet:
        edge = sign.triplet if sign.triplet != "within" else None
        duration.appendTuplet(music21.duration.Tuplet(3, 2, "eighth", type=edge))
    return duration


def _pitch(pitch: int, sign: Sign, signature: Signature, pen: _Pen) -> Any:
    """Return a pitch with an accidental where the key, or one before in the bar, says otherwise."""
    music21 = import_module("music21")
    letter, alter = letter_of(pen.spelled[pitch % 12])
    octave = octave_of(pitch, alter)
    of_the_key = dict(letter_of(place) for place in signature.scale)
    is_new = pen.altered.get((letter, octave), of_the_key[letter]) != alter
    accidental = None
    if is_new or alter:
        accidental = music21.pitch.Accidental(ACCIDENTALS[alter])
        accidental.displayStatus = is_new and not sign.tied_from
    if not sign.tied_from:
        pen.altered[letter, octave] = alter
    return music21.pitch.Pitch(step=letter, octave=octave, accidental=accidental)


def _octave_shifts(written: Sequence[Shifted]) -> Iterator[Any]:
    """Return the octave lines of a staff."""
    music21 = import_module("music21")
    for octave, group in groupby(written, lambda own: own[0]):
        elements = [element for _, element in group]
        if octave:
            kind, placement = ("8va", "above") if octave > 0 else ("8vb", "below")
            shift = music21.spanner.Ottava(type=kind, transposing=False, placement=placement)
            shift.addSpannedElements(elements[:1] + elements[1:][-1:])
            yield shift
