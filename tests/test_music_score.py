"""The one door for MIDI files: what is refused and in which words, and what comes through."""

from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from midi import TPQ, score_of
from symusic.core import (
    ControlChangeTick,
    NoteTick,
    PedalTick,
    ScoreTick,
    TempoTick,
    TimeSignatureTick,
    TrackTick,
)

from emomusic.music import score as score_module
from emomusic.music.score import (
    ScoreError,
    add_pedal_controls,
    grid_of,
    notes_of,
    parse_score,
    read_score,
    seconds_at,
    tempo_of,
    write_score,
)
from fuzz.midi import END, Event, File, dumped, meta

NOTE: list[Event] = [(0, b"\x90\x3c\x40"), (480, b"\x80\x3c\x00")]  # a quarter note on middle C
FAR = 2**28 - 1  # the longest delta time


def midi(events: list[Event], ticks: int = TPQ) -> bytes:
    """Make the bytes of a MIDI file of one track from (delta time, event)."""
    return dumped(File(0, ticks, [[*events, (0, END)]]))


def some_score(n_notes: int = 8) -> ScoreTick:
    """Make eighth notes up from middle C, with three tempi."""
    score = ScoreTick(TPQ)
    score.time_signatures.append(TimeSignatureTick(0, 4, 4))
    for time, tempo in ((0, 100.0), (700, 60.0), (1200, 187.5)):
        score.tempos.append(TempoTick(time, tempo))
    track = TrackTick("Piano", 0, False)
    for i in range(n_notes):
        track.notes.append(NoteTick(i * 240, 200, 60 + i % 12, 40 + i % 80))
    score.tracks.append(track)
    return score


BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello", "not a MIDI file: it does not start with MThd"),
    "riff": (b"RIFF0000RMID", "not a MIDI file: it does not start with MThd"),
    "head only": (b"MThd", "damaged MIDI file: "),
    "no notes": (midi([]), "the file holds no notes"),
    "pedal only": (midi([(0, b"\xb0\x40\x7f")]), "the file holds no notes"),
    "drums": (
        midi([(0, b"\x99\x3c\x40"), (480, b"\x89\x3c\x00")]),
        "the file holds drums only, no pitched notes",
    ),
    "tempo 0": (midi([(0, meta(0x51, bytes(3))), *NOTE]), "the file holds a tempo of 0 or below"),
    "no ticks": (midi(NOTE, ticks=0), "ticks a quarter note must be above 0, got 0"),
    "film frames": (midi(NOTE, ticks=0xE728), "damaged MIDI file: "),
    "pitch 200": (midi([(0, b"\x90\xc8\x40"), (9, b"\x80\xc8\x00")]), "damaged MIDI file: "),
    "late": (
        midi([(FAR, NOTE[0][1]), NOTE[1]], ticks=96),
        "the file is 2796207 quarter notes long, at most 100000 are accepted",
    ),
    "later": (midi([(FAR, b"\xb0\x01\x00")] * 4 + NOTE), "note times must lie in 0 to 1073741824"),
    "past 32 bits": (midi([(FAR, b"\xb0\x01\x00")] * 9 + NOTE), "note times must lie in 0 to"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_in_one_line(name: str, tmp_path: Path) -> None:
    data, words = BAD[name]
    path = tmp_path / "bad.mid"
    path.write_bytes(data)
    with pytest.raises(ScoreError) as told:
        read_score(path)
    assert str(told.value).startswith(words)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 200


def test_too_many_notes_are_refused() -> None:
    data = some_score(50_001).dumps_midi()
    with pytest.raises(ScoreError, match="holds 50001 notes, at most 50000 are accepted"):
        parse_score(data)


def test_a_file_of_more_than_eight_mebibytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.mid"
    path.write_bytes(midi(NOTE) + bytes(8 * 2**20))
    with pytest.raises(ScoreError, match=r"^the file is larger than 8 MiB$"):
        read_score(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match=r"^cannot read the file: No such file or directory$"):
        read_score(tmp_path / "none.mid")
    with pytest.raises(ScoreError, match=r"^cannot read the file: Is a directory$"):
        read_score(tmp_path)


def test_a_file_cut_anywhere_is_refused() -> None:
    data = some_score().dumps_midi()
    for n_bytes in range(len(data)):
        with pytest.raises(ScoreError):
            parse_score(data[:n_bytes])


def test_all_tracks_but_the_drums_are_notes_and_no_note_is_without_length() -> None:
    score = some_score(2)
    left, drums = TrackTick("left", 0, False), TrackTick("drums", 0, True)
    left.notes.append(NoteTick(0, 0, 40, 50))
    drums.notes.append(NoteTick(0, 10, 35, 50))
    score.tracks.append(left)
    score.tracks.append(drums)
    notes = notes_of(score)
    assert notes.pitch.tolist() == [40, 60, 61]
    assert notes.onset.tolist() == [0, 0, 0.5]
    assert notes.duration == pytest.approx([1 / 480, 200 / 480, 200 / 480])
    assert notes.velocity.tolist() == [50, 40, 41]


def test_seconds_agree_with_pretty_midi(tmp_path: Path) -> None:
    score = some_score(24)
    write_score(score, tmp_path / "a.mid")
    oracle = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    ticks = np.array([0, 1, 699, 700, 701, 1200, 5000])
    found = seconds_at(score, ticks)
    assert found == pytest.approx([oracle.tick_to_time(int(tick)) for tick in ticks], abs=1e-9)
    notes = notes_of(score)
    played = sorted(oracle.instruments[0].notes, key=lambda note: note.start)
    assert notes.onset_s == pytest.approx([note.start for note in played], abs=1e-9)
    assert notes.onset_s + notes.duration_s == pytest.approx([n.end for n in played], abs=1e-9)


def test_the_tempo_is_120_where_none_holds() -> None:
    score = ScoreTick(TPQ)
    assert seconds_at(score, np.array([960])) == pytest.approx([1.0])
    score.tempos.append(TempoTick(960, 60.0))
    assert seconds_at(score, np.array([960, 1440])) == pytest.approx([1.0, 2.0])


def test_of_two_tempi_at_one_time_the_last_holds() -> None:
    score = ScoreTick(TPQ)
    for tempo in (30.0, 60.0):
        score.tempos.append(TempoTick(0, tempo))
    assert seconds_at(score, np.array([480])) == pytest.approx([1.0])


def test_tempo_of_is_the_mean_over_the_span_of_the_notes() -> None:
    score = ScoreTick(TPQ)
    score.tempos.append(TempoTick(0, 60.0))
    score.tempos.append(TempoTick(2 * TPQ, 120.0))
    track = TrackTick("Piano", 0, False)
    track.notes.append(NoteTick(TPQ, TPQ, 60, 64))  # one beat of 1 s
    track.notes.append(NoteTick(2 * TPQ, 2 * TPQ, 60, 64))  # two beats of 0.5 s
    score.tracks.append(track)
    assert tempo_of(score) == pytest.approx(60 * 3 / 2)


@pytest.mark.parametrize(("signatures", "end", "bars", "n_beats"), [
    ((), 7.0, [0, 4, 8], 8),
    (((0, 3, 4),), 6.0, [0, 3, 6], 6),
    (((0, 6, 8),), 5.0, [0, 3, 6], 12),
    (((0, 4, 4), (8, 3, 4)), 12.0, [0, 4, 8, 11, 14], 14),
    (((0, 4, 4), (1, 4, 4)), 5.0, [0, 4, 8], 8),  # says the same again
    (((0, 4, 4), (6, 2, 4)), 8.0, [0, 4, 6, 8], 8),  # a change cuts the bar
    (((9, 3, 4),), 4.0, [0, 4], 4),
])  # fmt: skip
def test_the_grid_follows_the_time_signatures(
    signatures: tuple[tuple[float, int, int], ...], end: float, bars: list[float], n_beats: int
) -> None:
    found, beats = grid_of(score_of([(0, end, 60, 80)], signatures=signatures), end)
    assert found.tolist() == bars
    assert len(beats) == n_beats


def test_pedals_are_written_as_controls(tmp_path: Path) -> None:
    score = some_score()
    score.tracks[0].pedals.append(PedalTick(100, 380))
    score.tracks[0].pedals.append(PedalTick(480, 500))
    write_score(score, tmp_path / "a.mid")
    track = read_score(tmp_path / "a.mid").tracks[0]
    assert [(p.time, p.duration) for p in track.pedals] == [(100, 380), (480, 500)]
    assert not len(score.tracks[0].controls)  # the given score stays as it was
    write_score(read_score(tmp_path / "a.mid"), tmp_path / "b.mid")
    assert (tmp_path / "b.mid").read_bytes() == (tmp_path / "a.mid").read_bytes()


def test_pedal_controls_are_not_doubled() -> None:
    track = TrackTick("Piano", 0, False)
    track.controls.append(ControlChangeTick(0, 64, 127))
    track.pedals.append(PedalTick(0, 100))
    add_pedal_controls(track)
    assert len(track.controls) == 1


def test_an_error_without_words_is_named_by_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def from_midi(data: bytes) -> ScoreTick:
            raise RuntimeError

    monkeypatch.setattr(score_module, "ScoreTick", Broken)
    with pytest.raises(ScoreError, match=r"^damaged MIDI file: RuntimeError$"):
        parse_score(midi(NOTE))
