"""A score laid out as sheet music, as MusicXML 4.0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from xml.etree.ElementTree import Element, indent, tostring

from emomusic.music.notation.grid import Bar
from emomusic.music.notation.marks import Place
from emomusic.music.notation.rhythm import Sign
from emomusic.music.notation.spelling import Signature, letter_of, octave_of
from emomusic.music.tokenizer import STEPS_PER_BEAT

CLEFS = {"treble": ("G", 2), "bass": ("F", 4)}
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
    """Return the sheet as a MusicXML 4.0 document, the same text for the same sheet."""
    staves = [_Staff(sheet, index) for index in range(2)]
    measures = []
    for number, bar in enumerate(sheet.bars):
        upper, lower = (staff.bar(number) for staff in staves)
        back = _element("backup", _element("duration", bar.length))
        measures.append(
            _element("measure", *_head(sheet, number), *upper, back, *lower, number=number + 1)
        )
    measures[-1].append(_element("barline", _element("bar-style", "light-heavy"), location="right"))
    root = _element(
        "score-partwise",
        _element("movement-title", sheet.title) if sheet.title else None,
        _element("part-list", _element("score-part", _element("part-name", "Piano"), id="P1")),
        _element("part", *measures, id="P1"),
        version="4.0",
    )
    indent(root, space=" ")
    return f"{HEADER}\n{tostring(root, encoding='unicode')}\n"


def _element(tag: str, *content: Element | str | int | None, **attributes: object) -> Element:
    """Return an element with what is not None of its text or children."""
    element = Element(tag, {name: str(value) for name, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            element.append(part)
        elif part is not None:
            element.text = str(part)
    return element


def _direction(staff: int, content: Element, *after: Element, **attributes: object) -> Element:
    kind, place = _element("direction-type", content), _element("staff", staff)
    return _element("direction", kind, place, *after, **attributes)


def _clef(staff: int, name: str) -> Element:
    sign, line = CLEFS[name]
    return _element("clef", _element("sign", sign), _element("line", line), number=staff)


def _head(sheet: Sheet, number: int) -> Iterator[Element]:
    """Yield key, metre, clefs, tempo and dynamics of a bar where they are new."""
    bar, is_first = sheet.bars[number], not number
    top, bottom = bar.metre
    time = _element("time", _element("beats", top), _element("beat-type", bottom))
    if is_first:
        key = _element("key", _element("fifths", sheet.signature.fifths))
        clefs = (_clef(i, places[0][0].clef) for i, places in enumerate(sheet.places, start=1))
        divisions, staves = _element("divisions", STEPS_PER_BEAT), _element("staves", 2)
        yield _element("attributes", divisions, key, time, staves, *clefs)
    elif bar.metre != sheet.bars[number - 1].metre:
        yield _element("attributes", time)
    if number in sheet.tempos:
        is_dotted = bar.has_dotted_quarters
        beats = 1.5 if is_dotted else 1.0
        per_minute = max(1, round(sheet.tempos[number] / beats))
        unit, dot = _element("beat-unit", "quarter"), _element("beat-unit-dot")
        mark = [unit, dot if is_dotted else None, _element("per-minute", per_minute)]
        sound = _element("sound", tempo=f"{per_minute * beats:g}")
        yield _direction(1, _element("metronome", *mark), sound)
    if number in sheet.dynamics:
        level = _element("dynamics", _element(sheet.dynamics[number]))
        yield _direction(1, level, placement="below")


class _Staff:
    """Writes a staff bar by bar, and keeps in mind what bears on its next note."""

    def __init__(self, sheet: Sheet, index: int) -> None:
        """Find where the octave lines of the upper (0) or the lower (1) staff begin and end."""
        self.sheet, self.number = sheet, index + 1
        self.signs, self.places = sheet.staves[index], sheet.places[index]
        self.clef = self.places[0][0].clef
        self.spelled = sheet.spelled[0]  # of the bar in which the last chord began
        self.altered: dict[tuple[str, int], int] = {}  # sharps by letter and octave, in this bar
        self.of_the_key = dict(letter_of(place) for place in sheet.signature.scale)
        sounding = [
            (place.octave, (number, sign.start))
            for number, bar in enumerate(zip(self.signs, self.places, strict=True))
            for sign, place in zip(*bar, strict=True)
            if sign.pitches
        ]
        groups = [list(group) for _, group in groupby(sounding, key=lambda own: own[0])]
        self.opens = {group[0][1] for group in groups if group[0][0]}
        self.closes = {group[-1][1] for group in groups if group[0][0]}

    def bar(self, number: int) -> Iterator[Element]:
        """Yield the signs of a bar, and the clefs and octave lines among them."""
        self.altered = {}
        for sign, place in zip(self.signs[number], self.places[number], strict=True):
            at = (number, sign.start)
            if place.clef != self.clef:
                self.clef = place.clef
                yield _element("attributes", _clef(self.number, self.clef))
            if not sign.tied_from:
                self.spelled = self.sheet.spelled[number]
            if at in self.opens:
                yield self._octave_line(place, "down" if place.octave > 0 else "up")
            for pitch in sign.pitches or (None,):
                yield self._note(sign, pitch)
            if at in self.closes:
                yield self._octave_line(place, "stop")

    def _octave_line(self, place: Place, what: str) -> Element:
        line = _element("octave-shift", type=what, size=8, number=self.number)
        return _direction(self.number, line, placement="above" if place.octave > 0 else "below")

    def _note(self, sign: Sign, pitch: int | None) -> Element:
        """Return a note of a sign, or its rest; its parts stand in the order of the schema."""
        is_first = pitch is None or pitch == sign.pitches[0]
        ties = ["stop"] * sign.tied_from + ["start"] * sign.tied_to
        marks = [_element("tied", type=tie) for tie in ties]
        if is_first and sign.triplet in ("start", "stop"):
            look = {"bracket": "yes", "placement": "above"} if sign.triplet == "start" else {}
            marks.append(_element("tuplet", type=sign.triplet, number=1, **look))
        accidental = None
        if pitch is None:
            sound = _element("rest", **({} if sign.value else {"measure": "yes"}))
        else:
            sound, accidental = self._pitch(sign, pitch)
        return _element(
            "note",
            None if is_first else _element("chord"),
            sound,
            _element("duration", sign.length),
            *(_element("tie", type=tie) for tie in ties),
            _element("voice", self.number),
            _element("type", sign.value) if sign.value else None,
            *(_element("dot") for _ in range(sign.dots)),
            _element("accidental", accidental) if accidental else None,
            _element("time-modification", *_three_in_two()) if sign.triplet else None,
            _element("staff", self.number),
            *(
                _element("beam", beam, number=level)
                for level, beam in enumerate(sign.beams if is_first else (), start=1)
            ),
            _element("notations", *marks) if marks else None,
        )

    def _pitch(self, sign: Sign, pitch: int) -> tuple[Element, str | None]:
        """Return a pitch, and its accidental where the key, or one before, says otherwise."""
        letter, alter = letter_of(self.spelled[pitch % 12])
        octave = octave_of(pitch, alter)
        sharps = _element("alter", alter) if alter else None
        written = _element("pitch", _element("step", letter), sharps, _element("octave", octave))
        if sign.tied_from:
            return written, None
        before = self.altered.get((letter, octave), self.of_the_key[letter])
        self.altered[letter, octave] = alter
        return written, ACCIDENTALS[alter] if alter != before else None


def _three_in_two() -> Iterator[Element]:
    yield _element("actual-notes", 3)
    yield _element("normal-notes", 2)
    yield _element("normal-type", "eighth")
