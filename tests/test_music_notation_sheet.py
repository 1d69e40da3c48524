"""The sheet: MusicXML with the accidentals, clefs, marks and ties that are due."""

from __future__ import annotations

from xml.etree import ElementTree

from midi import score_of

from emomusic.music.notation import notate

Rows = list[tuple[float, float, int, int]]


def root_of(
    rows: Rows, *, key: str = "C major", top: int = 4, bottom: int = 4
) -> ElementTree.Element:
    score = score_of(rows, signatures=((0, top, bottom),))
    return ElementTree.fromstring(notate(score, key=key).musicxml)


def melody(pitches: list[int], *, duration: float = 1.0) -> Rows:
    return [(i * duration, duration, pitch, 64) for i, pitch in enumerate(pitches)]


def accidentals(pitches: list[int], key: str = "C major") -> list[str]:
    notes = [
        n for n in root_of(melody(pitches), key=key).iter("note") if n.find("pitch") is not None
    ]
    return [n.findtext("accidental", "") for n in notes]


def test_an_accidental_is_written_once_a_bar_and_taken_back() -> None:
    assert accidentals([78, 78, 77, 77]) == ["sharp", "", "natural", ""]
    assert accidentals([78, 76, 76, 76, 78, 77, 76, 76]) == [
        "sharp",
        *[""] * 3,
        "sharp",
        "natural",
        "",
        "",
    ]
    assert accidentals([78, 90, 76, 76]) == ["sharp", "sharp", "", ""]  # each octave its own


def test_notes_of_the_key_have_none() -> None:
    assert accidentals([82, 75, 77, 70], "Bb major") == [""] * 4
    assert accidentals([82, 76, 77, 75], "Bb major") == ["", "natural", "", "flat"]


def test_a_tied_note_keeps_its_spelling_and_shows_no_second_accidental() -> None:
    rows: Rows = [(0.0, 3.0, 74, 64), (3.0, 2.0, 78, 64), (5.0, 1.0, 78, 64), (6.0, 2.0, 79, 64)]
    notes = [n for n in root_of(rows).iter("note") if n.findtext("pitch/step") == "F"]
    assert [n.findtext("pitch/alter") for n in notes] == ["1", "1", "1"]
    assert [n.findtext("accidental", "") for n in notes] == ["sharp", "", "sharp"]
    assert [[t.get("type") for t in n.findall("tie")] for n in notes] == [["start"], ["stop"], []]


def test_the_page_is_a_piano_with_two_staves() -> None:
    root = root_of(melody([84, 86, 88, 84]))
    assert [part.get("id") for part in root.findall("part")] == ["P1"]
    assert root.findtext("part-list/score-part/part-name") == "Piano"
    assert root.findtext(".//staves") == "2"
    assert [clef.findtext("sign") for clef in root.iter("clef")] == ["G", "F"]
    assert [rest.get("measure") for rest in root.iter("rest")] == ["yes"]


def test_key_metre_tempo_and_dynamics_stand_at_the_start() -> None:
    root = root_of(melody([84, 86, 88, 84]), key="Eb minor", top=3)
    assert root.findtext(".//fifths") == "-6"
    assert (root.findtext(".//beats"), root.findtext(".//beat-type")) == ("3", "4")
    assert root.findtext(".//per-minute") == "120"
    assert len(list(root.iter("time"))) == len(list(root.iter("metronome"))) == 1
    assert [[mark.tag for mark in own] for own in root.iter("dynamics")] == [["mf"]]


def test_the_tempo_of_six_eight_counts_dotted_quarters() -> None:
    root = root_of(melody([84] * 12, duration=0.5), top=6, bottom=8)
    assert root.findtext(".//per-minute") == "80"
    assert root.find(".//metronome/beat-unit-dot") is not None


def test_very_high_notes_stand_under_an_octave_line_and_keep_their_pitch() -> None:
    root = root_of(melody([96, 98, 100, 101] * 2))
    assert [shift.get("type") for shift in root.iter("octave-shift")] == ["down", "stop"]
    assert {pitch.findtext("octave") for pitch in root.iter("pitch")} == {"7"}


def test_triplets_have_a_bracket() -> None:
    root = root_of([(i / 3, 1 / 3, 84, 64) for i in range(12)])
    assert [t.get("type") for t in root.iter("tuplet")] == ["start", "stop"] * 4
    assert {m.findtext("actual-notes") for m in root.iter("time-modification")} == {"3"}


def test_the_makers_of_the_file_and_its_date_are_left_out() -> None:
    text = notate(score_of(melody([84, 86])), key="C major").musicxml
    assert "usic21" not in text and "encoding-date" not in text and "movement-title" not in text
