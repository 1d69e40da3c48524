"""Sheet music: grid, rhythm, spelling and marks, what music21 reads back, MusicXML and SVG."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import symusic
from midi import TPQ, score_of, song
from symusic.core import ScoreTick

from emomusic.music import notation
from emomusic.music.key import TONIC_NAMES, Signature, letter_of, signature_of
from emomusic.music.notation import Notation, notate
from emomusic.music.notation.grid import Bar, Chord, Hand, bars_of, written_hands
from emomusic.music.notation.musicxml import dynamic_marks, spell, tempo_marks
from emomusic.music.notation.rhythm import Sign, places_of, signs_of, strengths_of, values_in
from emomusic.music.score import ScoreError, notes_of

music21 = pytest.importorskip("music21")

Rows = list[tuple[float, float, int, int]]
Metre = tuple[int, int]
FOUR, THREE, SIX = (4, 4), (3, 4), (6, 8)


def bars(rows: Rows, *signatures: tuple[float, int, int]) -> list[Bar]:
    score = score_of(rows, signatures=signatures or ((0, 4, 4),))
    return bars_of(score, notes_of(score))


def hands_written(rows: Rows) -> tuple[Hand, Hand]:
    return written_hands(notes_of(score_of(rows)), bars(rows))


def right(onsets: list[float], *, duration: float = 0.25) -> Hand:
    """Return what the right hand plays, high above a bass that keeps the left hand busy."""
    rows = [(onset, duration, 80 + i % 2, 64) for i, onset in enumerate(onsets)]
    return hands_written([*rows, *((beat, 1.0, 40, 64) for beat in range(8))])[1]


def test_bars_follow_the_metre_and_end_with_the_last_note() -> None:
    for spans, signatures, expected in (
        ([(0, 1), (8, 1)], ((0, 3, 4), (6, 2, 4)), [36, 36, 24, 24]),
        ([(0, 8), (7, 1)], ((0, 4, 4), (3, 4, 4), (5.1, 3, 4)), [48, 12, 36]),  # cut in
        ([(3, 1.5)], ((0, 4, 4),), [48]),  # what rings on for less than a beat
        ([(3, 500)], ((0, 4, 4),), [48, 48]),
        ([(0, 8)], ((0, 4, 4), (0.05, 3, 4)), [36, 36]),  # of two at one sixteenth, the last
    ):
        found = bars([(onset, length, 60, 64) for onset, length in spans], *signatures)
        assert [bar.length for bar in found] == expected
        assert all(a.end == b.start for a, b in pairwise(found)) and found[0].start == 0
        assert {bar.metre for bar in found} <= {own[1:] for own in signatures}


def test_onsets_go_to_sixteenths_or_where_the_beat_is_in_triplets_to_thirds() -> None:
    for onsets, steps, triplets in (
        ([0, 0.36, 0.64, 1.02], [0, 4, 8, 12], [0]),
        ([0, 0.28, 0.47, 0.77], [0, 3, 6, 9], []),
        ([0, 2 / 3], [0, 9], []),  # one note between a sixteenth and a triplet
        ([0, 2 / 3, 1, 5 / 3, 2, 8 / 3], [0, 8, 12, 20, 24, 32], [0, 12, 24]),
        ([0.98, 2.96], [12, 36], []),
    ):
        hand = right(onsets)
        assert [chord.start for chord in hand.chords] == steps
        assert sorted(hand.triplets) == triplets


def test_each_hand_has_chords_and_triplets_of_its_own() -> None:
    rows = [(i / 3, 0.3, 80, 64) for i in range(12)] + [(i / 4, 0.25, 40, 64) for i in range(16)]
    left, right_hand = hands_written(rows)
    assert [c.start for c in left.chords] == list(range(0, 48, 3)) and not left.triplets
    assert [c.start for c in right_hand.chords] == list(range(0, 48, 4))
    left, right_hand = hands_written(
        [(0.0, 4.0, 76, 64), (0.0, 1.0, 72, 64), (1.0, 1.0, 77, 64), (0.0, 4.0, 40, 64)]
    )
    assert right_hand.chords[0] == Chord(0, 12, (72, 76))  # cut where the next begins
    assert left.chords == (Chord(0, 48, (40,)),)
    assert hands_written([(0.0, 1.0, 84, 64)])[0].chords == ()
    late = hands_written([(0.0, 1.0, 60, 64), (3.95, 0.05, 60, 64)])  # stays in the last bar
    assert max(c.start for hand in late for c in hand.chords) == 45


def test_only_a_clear_silence_is_a_rest() -> None:
    durations = (2.0, 1.6, 1.1, 0.9, 0.5, 0.3, 0.01)
    ends = [right([0, 2], duration=duration).chords[0].end for duration in durations]
    assert ends == [24, 24, 24, 12, 6, 6, 6]


LENGTHS = {FOUR: 48, THREE: 36, SIX: 36, (7, 8): 42, (5, 4): 60}


def test_notes_are_cut_where_a_beat_would_hide_and_rests_never_hide_one() -> None:
    for metre, start, stop, *expected in (
        (FOUR, 0, 48, [48], [48]),
        (FOUR, 0, 42, [24, 18], [24, 12, 6]),
        (FOUR, 12, 36, [24], [12, 12]),  # a half note in the middle
        (FOUR, 6, 18, [12], [6, 6]),  # a syncopation
        (FOUR, 18, 30, [6, 6], [6, 6]),  # the middle of the bar is shown
        (FOUR, 6, 30, [18, 6], [6, 12, 6]),
        (FOUR, 9, 15, [3, 3], [3, 3]),  # a sixteenth does not hide a beat
        (FOUR, 3, 24, [9, 12], [3, 6, 12]),
        (THREE, 0, 36, [36], [36]),
        (THREE, 12, 36, [24], [12, 12]),
        (SIX, 6, 18, [12], [6, 6]),
        (SIX, 12, 24, [6, 6], [6, 6]),
        (SIX, 6, 36, [12, 18], [6, 6, 18]),
        ((7, 8), 0, 42, [24, 18], [12, 12, 18]),
        ((5, 4), 0, 60, [36, 24], [36, 24]),
    ):
        strengths = strengths_of(metre, LENGTHS[metre], ())
        found = [values_in(strengths, start, stop, is_rest=rest) for rest in (False, True)]
        assert [[length for _, length in own] for own in found] == expected, (metre, start, stop)


def test_any_time_in_any_metre_can_be_written() -> None:
    for metre in [(top, bottom) for bottom in (1, 2, 4, 8, 16) for top in range(1, 16)]:
        length = min(48 * metre[0] // metre[1], 96)
        strengths = strengths_of(metre, length, ())
        for start, is_rest in product(range(0, length, 6), (False, True)):
            pieces = values_in(strengths, start, length, is_rest=is_rest)
            assert sum(value for _, value in pieces) == length - start


def written(
    spans: list[tuple[int, int]], *, metre: Metre = FOUR, triplets: tuple[int, ...] = ()
) -> list[Sign]:
    """Return the signs of one bar with chords at the spans."""
    hand = Hand(tuple(Chord(a, b, (60,)) for a, b in spans), frozenset(triplets))
    return signs_of(hand, [Bar(0, LENGTHS[metre], metre)])[0]


def test_triplets_are_marked_and_a_note_held_into_them_is_cut_at_the_beat() -> None:
    signs = written([(6, 16), (16, 24), (24, 48)], triplets=(12,))
    assert [(s.start, s.length) for s in signs][1:] == [(6, 6), (12, 4), (16, 8), (24, 24)]
    assert [s.triplet for s in signs][1:] == ["", "start", "stop", ""]
    assert [s.value for s in signs][1:] == ["eighth", "eighth", "quarter", "half"]


def test_beams_show_the_beat() -> None:
    eighths = [(6 * i, 6 * i + 6) for i in range(8)]
    for metre, spans, beams in (
        (FOUR, eighths, "start continue continue stop start continue continue stop"),
        (SIX, eighths[:6], "start continue stop start continue stop"),
        (THREE, eighths[:6], "start continue continue continue continue stop"),
        (FOUR, [(0, 3), (3, 9), (9, 12), (12, 48)],
         "start,partial-right continue stop,partial-left -"),
        (SIX, [(0, 6), (6, 9), (9, 15), (15, 18), (18, 36)],
         "start continue,partial-right continue stop,partial-left -"),
        (FOUR, [(0, 6), (12, 18)], "- - - - -"),  # rests and lone notes break beams
        (FOUR, [(6, 12), (12, 18), (18, 24), (24, 48)], "- - start stop -"),
    ):  # fmt: skip
        found = [",".join(sign.beams) or "-" for sign in written(spans, metre=metre)]
        assert " ".join(found) == beams


SIGNS = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}


def tune(*pitches: int) -> Rows:
    return [(float(i), 1.0, pitch, 64) for i, pitch in enumerate(pitches)]


def names(key: str, *pitches: tuple[int, ...]) -> list[str]:
    """Return the names of chords a beat apart, in one bar of one hand."""
    chords = [Chord(12 * i, 12 * i + 12, own) for i, own in enumerate(pitches)]
    bar = Bar(0, 12 * len(chords), FOUR)
    spelled = spell([chords], [bar], signature_of(key))[0]
    letters = [letter_of(spelled[pitch % 12]) for own in pitches for pitch in own]
    return [letter + SIGNS[alter] for letter, alter in letters]


def test_a_key_is_written_with_its_fewest_accidentals() -> None:
    for key, fifths in {
        "C major": 0, "D": 2, "F# major": 6, "Gb major": -6, "C# major": -5, "A minor": 0,
        "Eb minor": -6, "D# minor": -6, "Ab minor": 5, "Gb minor": 3, " c  Minor": -3,
    }.items():  # fmt: skip
        assert signature_of(key) == Signature(fifths, key.lower().endswith("minor"))
    for pitches, fifths in (((62, 66, 69, 74, 67, 71, 69, 73, 62), 2), ((57, 60, 64, 68, 57), 0)):
        sheet = notate(score_of(tune(*pitches))).musicxml  # without a key the notes say it
        assert f"<fifths>{fifths}</fifths>" in sheet


def test_pitches_are_spelled_by_the_key_and_the_notes_around() -> None:
    for key, chords, spelled in (
        ("Bb major", [58, 60, 62, 63, 65, 67, 69], "Bb C D Eb F G A"), ("D minor", [61], "C#"),
        ("F# minor", [65], "E#"), ("Eb minor", [62], "D"), ("Ab minor", [67], "F##"),
        ("C major", [(52, 56, 59)], "E G# B"), ("C major", [(53, 56, 60)], "F Ab C"),  # chords
        ("C major", [62, 63, 64], "D D# E"),  # a foreign note leads to the next
        ("C major", [64, 63, 62], "E Eb D"), ("C major", [62, 61, 60], "D Db C"),
    ):  # fmt: skip
        found = names(key, *((own,) if isinstance(own, int) else own for own in chords))
        assert found == spelled.split()
    up_and_down = names("C major", (62,), (63,), (64,), (63,), (62,))
    assert up_and_down[1] == up_and_down[3]  # alike in all of a bar


def test_every_pitch_has_a_readable_name_in_every_key() -> None:
    for key in (f"{tonic} {mode}" for tonic in TONIC_NAMES for mode in ("major", "minor")):
        found = names(key, *((pitch,) for pitch in range(60, 72)))
        for name, pitch in zip(found, range(60, 72), strict=True):
            letter, alter = name[0], name.count("#") - name.count("b", 1)
            assert ("C D EF G A B".index(letter) + alter) % 12 == pitch % 12
            assert abs(alter) < 2 or (key, name) == ("Ab minor", "F##")


def steady(
    tempos: dict[int, float], *, velocities: list[int] | None = None
) -> tuple[dict[int, float], dict[int, str]]:
    """Return the marks of four quarter notes a bar; tempos by beat, velocities by bar."""
    loud = velocities or [70] * 8
    score = score_of([(beat, 1.0, 60, loud[beat // 4]) for beat in range(32)])
    score.tempos = [symusic.Tempo(beat * TPQ, tempo) for beat, tempo in tempos.items()]
    notes, found = notes_of(score), bars_of(score, notes_of(score))
    tempo = {bar: float(round(tempo)) for bar, tempo in tempo_marks(score, found).items()}
    return tempo, dynamic_marks(notes, found)


def test_tempo_and_dynamics_are_marked_where_they_change_and_stay() -> None:
    for tempos, marks in (
        ({0: 100.0, 16: 80.0}, {0: 100, 4: 80}),
        ({0: 100.0, 16: 103.0}, {0: 100}),  # too small
        ({0: 100.0, 16: 80.0, 20: 100.0}, {0: 100}),  # too short
        ({0: 100.0, 28: 60.0}, {0: 100, 7: 60}),
    ):
        assert steady(tempos)[0] == marks
    for velocities, levels in (
        ([26, 30, 26, 32, 26, 30, 26, 26], {0: "pp"}),
        ([40] * 4 + [90] * 4, {0: "p", 4: "f"}),
        ([70, 70, 70, 110, 70, 70, 70, 70], {0: "mf"}),
    ):
        assert steady({0: 120.0}, velocities=velocities)[1] == levels


def signs(*pitches: list[int], tied: bool = False) -> list[list[Sign]]:
    return [
        [Sign(12 * i, 12, (p,), "quarter", 0, tied and i == 0) for i, p in enumerate(bar)]
        for bar in pitches
    ]


def test_clefs_and_octaves_keep_ledger_lines_few() -> None:
    low, high, top, bottom = [45, 48, 52, 48], [72, 76, 79, 76], [96, 98, 100, 96], [24, 26, 24, 28]
    for content, is_right, places in (
        (signs([60, 72, 81, 84]), True, [("treble", 0)]),
        (signs(low, low, high, high, high, low, low), False,
         [("bass", 0)] * 2 + [("treble", 0)] * 3 + [("bass", 0)] * 2),
        (signs(low, [45, 65, 45, 48], low), False, [("bass", 0)] * 3),  # not for one note
        (signs(top, top), True, [("treble", 1)] * 2),
        (signs(bottom, bottom), False, [("bass", -1)] * 2),
        ([[Sign(0, 48)]] * 3, False, [("bass", 0)] * 3),
    ):  # fmt: skip
        found = places_of(content, is_right=is_right)
        assert found == [[place] * len(bar) for place, bar in zip(places, content, strict=True)]
    bars = [*signs([72] * 4, [72] * 4), *signs([100] * 4, [100] * 4, tied=True)]
    before, after = places_of(bars, is_right=True)[1:3]
    assert before[-1] == after[0]  # nothing changes under a tie


def read(score: ScoreTick, **settings: Any) -> Any:
    return music21.converter.parseData(notate(score, **settings).musicxml, format="musicxml")


def notes_read(parsed: Any) -> list[tuple[Fraction, Fraction, int]]:
    """Return onset, duration and pitch of each note as music21 reads it, ties joined."""
    found: list[tuple[Fraction, Fraction, int]] = []
    for part in parsed.parts:
        ringing: dict[int, tuple[Fraction, Fraction]] = {}
        for element in part.flatten().notes:
            onset, length = (
                Fraction(t).limit_denominator(12) for t in (element.offset, element.quarterLength)
            )
            for own in getattr(element, "notes", [element]):
                kind, pitch = own.tie.type if own.tie else "", int(own.pitch.midi)
                start, before = onset, Fraction(0)
                if kind in ("continue", "stop"):
                    start, before = ringing.pop(pitch)
                    assert start + before == onset
                if kind in ("start", "continue"):
                    ringing[pitch] = (start, before + length)
                else:
                    found.append((start, before + length, pitch))
        assert not ringing
    return sorted(found)


def on_the_grid(seed: int, *, n_beats: int, steps: tuple[int, ...]) -> Rows:
    """Return two hands far apart, each from chord to chord, on some twelfths of the beats."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for low in (38, 72):
        onsets = {0, *(12 * b + s for b in range(n_beats) for s in steps if rng.random() < 0.7)}
        for onset, end in pairwise([*sorted(onsets), 12 * n_beats]):
            for pitch in rng.choice(10, size=int(rng.integers(1, 4)), replace=False):
                rows.append((onset / 12, (end - onset) / 12, low + int(pitch), 64))
    return rows


def test_what_is_read_back_is_what_was_played() -> None:
    grids = {FOUR: (0, 3, 6, 9), THREE: (0, 6), (2, 4): (0, 4, 8), SIX: (0, 6), (5, 4): (3, 6)}
    for metre, steps in grids.items():
        rows = on_the_grid(sum(metre), n_beats=30, steps=steps)
        parsed = read(score_of(rows, signatures=((0, *metre),)), key="D minor")
        played = [(*(Fraction(round(12 * x), 12) for x in row[:2]), row[2]) for row in rows]
        assert notes_read(parsed) == sorted(played)
        bar = Fraction(4 * metre[0], metre[1])
        for part in parsed.parts:
            measures = list(part.getElementsByClass("Measure"))
            assert len(measures) == -(-30 // bar)
            assert {Fraction(m.highestTime).limit_denominator(12) for m in measures} == {bar}
            assert all(m.barDuration.quarterLength == bar for m in measures)


def test_metres_tempi_tracks_and_performed_timing_are_read_back() -> None:
    rng = np.random.default_rng(4)
    rows = [(b + float(rng.uniform(-0.05, 0.05)), 0.8, 72 + b % 4, 64) for b in range(1, 14)]
    score = score_of([(0.0, 1.0, 72, 64), *rows], signatures=((0, 4, 4), (8, 3, 4)))
    score.tempos = [symusic.Tempo(0, 120), symusic.Tempo(8 * TPQ, 60)]
    for name, pitch, is_drum in (("Bass", 40, False), ("Drums", 35, True)):
        track = symusic.Track(name, 0, is_drum)
        track.notes = [symusic.Note(0, 14 * TPQ, pitch, 64)]
        score.tracks.append(track)
    before = score.dumps_midi()
    parsed = read(score)
    assert score.dumps_midi() == before
    metres = parsed.parts[0].flatten()["TimeSignature"]
    assert [metre.ratioString for metre in metres] == ["4/4", "3/4"]
    assert [mark.number for mark in parsed.flatten()["MetronomeMark"]] == [120, 60]
    found = notes_read(parsed)
    assert [own for own in found if own[2] == 40] == [(0, 14, 40)]
    assert [(onset, length) for onset, length, pitch in found if pitch != 40] == [
        (beat, 1) for beat in range(14)
    ]


def test_the_same_score_is_the_same_bytes_within_one_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sheet = notate(song(5, n_bars=4), title="  <b>Dusk\x00\n</b> & Ünï " + "x" * 500)
        sheet.write_musicxml(tmp_path / f"{name}.musicxml")
        sheet.write_svg(tmp_path / f"{name}.svg")
    for kind, text in (("musicxml", sheet.musicxml), ("svg", sheet.svg())):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
        assert (tmp_path / f"a.{kind}").read_text(encoding="utf-8") == text
    assert len(list(tmp_path.iterdir())) == 4
    title = ElementTree.fromstring(sheet.musicxml).findtext("movement-title")
    assert title is not None and title.startswith("<b>Dusk</b> & Ünï xxx") and len(title) <= 120
    assert "usic21" not in sheet.musicxml and "encoding-date" not in sheet.musicxml


def root_of(
    rows: Rows, *, key: str = "C major", top: int = 4, bottom: int = 4
) -> ElementTree.Element:
    score = score_of(rows, signatures=((0, top, bottom),))
    return ElementTree.fromstring(notate(score, key=key).musicxml)


def test_an_accidental_is_written_once_a_bar_and_taken_back() -> None:
    for pitches, key, shown in (
        ([78, 76, 76, 76, 78, 77, 76, 76], "C major", "sharp - - - sharp natural - -"),
        ([78, 90, 76, 76], "C major", "sharp sharp - -"),  # each octave its own
        ([82, 76, 77, 75], "Bb major", "- natural - flat"),
    ):
        notes = root_of(tune(*pitches), key=key).iter("note")
        found = [n.findtext("accidental", "-") for n in notes if n.find("pitch") is not None]
        assert found == shown.split()


def test_a_tied_note_keeps_its_spelling_and_shows_no_second_accidental() -> None:
    rows: Rows = [(0.0, 3.0, 74, 64), (3.0, 2.0, 78, 64), (5.0, 1.0, 78, 64), (6.0, 2.0, 79, 64)]
    notes = [n for n in root_of(rows).iter("note") if n.findtext("pitch/step") == "F"]
    assert [n.findtext("pitch/alter") for n in notes] == ["1", "1", "1"]
    assert [n.findtext("accidental", "") for n in notes] == ["sharp", "", "sharp"]


def test_the_page_is_a_piano_of_two_staves_with_its_marks_at_the_start() -> None:
    root = root_of(tune(84, 86, 88, 84), key="Eb minor", top=2)
    assert [part.get("id") for part in root.findall("part")] == ["P1"]
    assert root.findtext("part-list/score-part/part-name") == "Piano"
    assert [clef.findtext("sign") for clef in root.iter("clef")] == ["G", "F"]
    assert [rest.get("measure") for rest in root.iter("rest")] == ["yes", "yes"]
    for tag, text in (("staves", "2"), ("fifths", "-6"), ("beats", "2"), ("per-minute", "120")):
        assert [own.text for own in root.iter(tag)] == [text]
    assert root.find("movement-title") is None
    assert [[mark.tag for mark in own] for own in root.iter("dynamics")] == [["mf"]]


def test_dotted_beats_octave_lines_and_triplets_are_written() -> None:
    root = root_of([(i / 2, 0.5, 84, 64) for i in range(12)], top=6, bottom=8)
    assert root.findtext(".//per-minute") == "80"
    assert root.find(".//metronome/beat-unit-dot") is not None
    root = root_of(tune(*[96, 98, 100, 101] * 2))
    assert [shift.get("type") for shift in root.iter("octave-shift")] == ["down", "stop"]
    assert {pitch.findtext("octave") for pitch in root.iter("pitch")} == {"7"}
    root = root_of([(i / 3, 1 / 3, 84, 64) for i in range(12)])
    assert [t.get("type") for t in root.iter("tuplet")] == ["start", "stop"] * 4
    assert {m.findtext("actual-notes") for m in root.iter("time-modification")} == {"3"}


def test_what_cannot_be_written_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notation, "MAX_NOTES", 8)
    far = [(0.0, 1.0, 60, 64), (2401.0, 1.0, 60, 64)]
    for rows, metre, words in (
        (far, FOUR, "over 600 bars"),
        (tune(60), (5, 32), "5/32 cannot be written"),
        ([], FOUR, "holds no notes"),
        (tune(*[60] * 9), FOUR, "has 9 notes, sheet music is written for at most 8"),
    ):
        with pytest.raises(ScoreError, match=words):
            notate(score_of(rows, signatures=((0, *metre),)))
    for key in ("H major", "C dorian", "", "C major please", "major"):
        with pytest.raises(ValueError, match="must be a note name"):
            notate(score_of(tune(60)), key=key)
    with pytest.raises(ValueError, match="no MusicXML"):
        Notation("no music").svg()


SVG = "{http://www.w3.org/2000/svg}"
SHEET = notate(song(1, n_bars=8), title="A & <b>")


def test_the_drawing_is_one_document_whole_in_itself(capfd: pytest.CaptureFixture[str]) -> None:
    text = SHEET.svg()
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    width, height = (int(root.attrib[name]) for name in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width} {height}"
    assert len([e for e in root.iter() if e.get("class") == "measure"]) == 8
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http" not in outside and "@import" not in outside
    assert not re.search(r'href="[^#]', outside)
    assert all(url.startswith("data:") for url in re.findall(r"url\(['\"]?([^)]*)", outside))
    assert "<script" not in text and not re.search(r"\son\w+=", text)
    assert "<b>" not in text and "A &amp; &lt;b&gt;" in text
    other = notate(song(2, n_bars=2)).svg()  # in one web page, each with ids of its own
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (text, other)]
    assert not ids[0] & ids[1] and capfd.readouterr() == ("", "")


def test_what_fills_several_pages_is_still_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SHEET.svg()
    monkeypatch.setattr(notation, "PAGE_WIDTH", 800)
    assert Notation(SHEET.musicxml).svg().count('class="system"') > whole.count('class="system"')
    monkeypatch.setattr(notation, "MAX_PAGE", 1000)
    root = ElementTree.fromstring(SHEET.svg())
    pages = [child for child in root if child.tag == f"{SVG}svg"]
    assert len(pages) > 1
    assert len([e for e in root.iter() if e.get("class") == "measure"]) == 8
    tops = [(int(page.attrib["y"]), int(page.attrib["height"])) for page in pages]
    assert all(y + h == below for (y, h), (below, _) in pairwise(tops))
    assert int(root.attrib["height"]) == sum(tops[-1])
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    links = [v[1:] for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert links and set(links) <= set(ids)
