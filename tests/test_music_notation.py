"""Notation of whole scores: what music21 reads in it, and what is due in its MusicXML."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import symusic
from midi import TPQ, score_of, song
from symusic.core import ScoreTick

from emomusic.music import notation
from emomusic.music.notation import notate
from emomusic.music.score import ScoreError

music21 = pytest.importorskip("music21")

Rows = list[tuple[float, float, int, int]]


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
                if kind in ("continue", "stop"):
                    start, before = ringing.pop(pitch)
                    assert start + before == onset
                    ringing[pitch] = (start, before + length)
                else:
                    ringing[pitch] = (onset, length)
                if kind in ("", "stop"):
                    found.append((*ringing.pop(pitch), pitch))
        assert not ringing
    return sorted(found)


def on_the_grid(seed: int, *, n_beats: int, steps: tuple[int, ...]) -> Rows:
    """Return two hands far apart, each from chord to chord, on some twelfths of the beats."""
    rng = np.random.default_rng(seed)
    rows: Rows = []
    for low in (38, 72):
        onsets = [0, *(12 * b + s for b in range(n_beats) for s in steps if rng.random() < 0.7)]
        onsets = sorted(set(onsets))
        for onset, end in zip(onsets, [*onsets[1:], 12 * n_beats], strict=True):
            for pitch in rng.choice(10, size=int(rng.integers(1, 4)), replace=False):
                rows.append((onset / 12, (end - onset) / 12, low + int(pitch), 64))
    return rows


@pytest.mark.parametrize(
    ("signature", "steps"),
    [
        ((4, 4), (0, 3, 6, 9)),
        ((3, 4), (0, 6)),
        ((2, 4), (0, 4, 8)),
        ((6, 8), (0, 6)),
        ((5, 4), (3, 6)),
    ],
)
def test_what_is_read_back_is_what_was_played(
    signature: tuple[int, int], steps: tuple[int, ...]
) -> None:
    rows = on_the_grid(sum(signature), n_beats=30, steps=steps)
    parsed = read(score_of(rows, signatures=((0, *signature),)), key="D minor")
    played = [(Fraction(round(o * 12), 12), Fraction(round(d * 12), 12), p) for o, d, p, _ in rows]
    assert notes_read(parsed) == sorted(played)
    bar = Fraction(4 * signature[0], signature[1])
    for part in parsed.parts:
        measures = list(part.getElementsByClass("Measure"))
        assert len(measures) == -(-30 // bar)
        assert {Fraction(m.highestTime).limit_denominator(12) for m in measures} == {bar}
        assert all(m.barDuration.quarterLength == bar for m in measures)


def test_a_wandering_piece_keeps_its_pitches_and_its_bars() -> None:
    parsed = read(song(3, n_bars=12))
    assert len(parsed.parts) == 2
    assert all(len(part.getElementsByClass("Measure")) == 12 for part in parsed.parts)
    pitches = sorted(note.pitch for note in song(3, n_bars=12).tracks[0].notes)
    assert sorted(pitch for _, _, pitch in notes_read(parsed)) == pitches


def test_changes_of_metre_and_tempo_are_read_back() -> None:
    score = score_of(
        [(beat, 1.0, 60 + beat % 5, 64) for beat in range(14)], signatures=((0, 4, 4), (8, 3, 4))
    )
    score.tempos = [symusic.Tempo(0, 120), symusic.Tempo(8 * TPQ, 60)]
    parsed = read(score)
    metres = [sign.ratioString for sign in parsed.parts[0].flatten()["TimeSignature"]]
    marks = [mark.number for mark in parsed.flatten()["MetronomeMark"]]
    assert metres == ["4/4", "3/4"] and marks == [120, 60]


def test_several_tracks_become_two_hands_and_drums_are_left_out() -> None:
    score = score_of([(0.0, 4.0, 76, 64), (4.0, 4.0, 77, 64)])
    for name, pitch, is_drum in (("Bass", 40, False), ("Drums", 35, True)):
        track = symusic.Track(name, 0, is_drum)
        track.notes = [symusic.Note(0, 8 * TPQ, pitch, 64)]
        score.tracks.append(track)
    assert sorted(pitch for _, _, pitch in notes_read(read(score))) == [40, 76, 77]


def test_performed_timing_is_rounded_without_crumbs() -> None:
    rng = np.random.default_rng(4)
    rows = [(b + float(rng.uniform(-0.05, 0.05)), 0.8, 72 + b % 4, 64) for b in range(1, 12)]
    found = notes_read(read(score_of([(0.0, 1.0, 72, 64), *rows])))
    assert [(onset, length) for onset, length, _ in found] == [(b, 1) for b in range(12)]


def test_the_same_score_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written = notate(song(5, n_bars=4), title="Song")
        written.write_musicxml(tmp_path / f"{name}.musicxml")
        written.write_svg(tmp_path / f"{name}.svg")
    for kind in ("musicxml", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4
    assert (tmp_path / "a.musicxml").read_text(encoding="utf-8") == written.musicxml
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == written.svg()


def test_the_score_is_left_as_it_was() -> None:
    score = song(6, n_bars=4)
    before = score.dumps_midi()
    notate(score)
    assert score.dumps_midi() == before


def test_a_title_is_written_without_what_cannot_be_printed() -> None:
    parsed = read(song(1, n_bars=2), title="  <b>Dusk\x00\n</b> & Ünï " + "x" * 500)
    assert parsed.metadata.movementName.startswith("<b>Dusk</b> & Ünï xxx")
    assert len(parsed.metadata.movementName) <= 120


def test_what_is_too_long_or_empty_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ScoreError, match="over 600 bars"):
        notate(score_of([(0.0, 1.0, 60, 64), (2401.0, 1.0, 60, 64)]))
    with pytest.raises(ScoreError, match="holds no notes"):
        notate(score_of([]))
    monkeypatch.setattr(notation, "MAX_NOTES", 3)
    with pytest.raises(ScoreError, match="has 4 notes, sheet music is written for at most 3"):
        notate(score_of([(i, 1.0, 60, 64) for i in range(4)]))


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


def test_a_key_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="key must be a note name and major or minor"):
        notate(song(1, n_bars=2), key="C lydian")
