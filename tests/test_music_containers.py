"""Headers and containers of MIDI files: what is read as the plain file, and what is said else."""

from __future__ import annotations

import io
import itertools

import mido
import numpy as np
import pretty_midi
import pytest
from helpers.composing import tune

from emomusic.compose.composer import Composer
from emomusic.compose.primer import Primer
from emomusic.compose.request import CONTINUE, VARY, Request
from emomusic.music.score import ScoreError, dump_score, notes_of, parse_score, tempo_of
from emomusic.music.smf import END_OF_TRACK, SET_TEMPO, MidiFile, insert_events, meta, track_bytes

PLAIN = dump_score(tune(4))
N_TICKS = 4 * 4 * 480
TRACKS = MidiFile.parse(PLAIN).tracks


def riff(*chunks: tuple[bytes, bytes], kind: bytes = b"RMID", pads: bool = True) -> bytes:
    body = kind
    for name, data in chunks:
        body += name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2 * pads)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def file_of(
    *tracks: bytes, kind: int = 1, division: int = 480, said: int | None = None, more: bytes = b""
) -> bytes:
    head = (6 + len(more), 4), (kind, 2), (len(tracks) if said is None else said, 2), (division, 2)
    data = b"MThd" + b"".join(value.to_bytes(size, "big") for value, size in head) + more
    return data + b"".join(b"MTrk" + len(own).to_bytes(4, "big") + own for own in tracks)


def with_tempo(tick: int, mspq: int) -> bytes:
    first = insert_events(TRACKS[0], [(tick, meta(SET_TEMPO, mspq.to_bytes(3, "big")))])
    return file_of(first, *TRACKS[1:])


def on_drums() -> bytes:
    notes = b"".join(b"\0\x99" + bytes((p, 64)) + b"\x60\x89" + bytes((p, 0)) for p in (60, 64))
    return file_of(notes + b"\0" + meta(END_OF_TRACK, b""))


LIST, SOUNDS = (b"LIST", b"INFOINAM\3\0\0\0abc"), (b"RIFF", b"DLS colh\4\0\0\0\0\0\0\0")
ODD = (b"DISP", b"\1\0\0\0abc")
ALIEN = b"XFIH\0\0\0\3abc"
RMI = riff((b"data", PLAIN))
SIZE = RMI.index(PLAIN) - 4
SAME = {
    "a RIFF": RMI,
    "chunks around it": riff(LIST, ODD, (b"data", PLAIN), SOUNDS),
    "sounds before it, unpadded": riff(SOUNDS, ODD, (b"data", PLAIN), LIST, pads=False),
    "a RIFF that says nothing of its length": RMI[:4] + bytes(4) + RMI[8:SIZE] + bytes(4) + PLAIN,
    "a RIFF that says too much": RMI[:SIZE] + b"\xff\xff\xff\x7f" + PLAIN,
    "a RIFF cut off after the music": riff((b"data", PLAIN), SOUNDS)[: SIZE + 4 + len(PLAIN) + 5],
    "a longer head": file_of(*TRACKS, more=b"abcd"),
    "chunks of others": PLAIN[:14] + ALIEN + PLAIN[14:] + ALIEN,
    "bytes after the end": PLAIN + b"\x1aTAG and so on" + bytes(200),
    "fewer tracks than it says": file_of(*TRACKS, said=40),
    "one piece of format 2": file_of(dump_one := TRACKS[-1], kind=2),
    "one track of format 0": file_of(dump_one, kind=0),
    "no tempo after the music": with_tempo(N_TICKS + 7, 0),
    "no tempo at its end": with_tempo(N_TICKS, 0),
    "no tempo at its end, in another track": file_of(
        *TRACKS,
        track_bytes([(N_TICKS, meta(SET_TEMPO, bytes(3))), (N_TICKS, meta(END_OF_TRACK, b""))]),
    ),
    "a tempo of a quarter a minute after it": with_tempo(N_TICKS + 9_000, 0xFFFFFF),
}


@pytest.mark.parametrize("name", SAME)
def test_it_is_read_and_goes_on_as_the_plain_file(name: str, composer: Composer) -> None:
    data, plain = SAME[name], parse_score(PLAIN)
    for own, same in zip(notes_of(parse_score(data)).columns, notes_of(plain).columns, strict=True):
        np.testing.assert_array_equal(own, same)
    (clip,) = composer.compose(Request(None, given=Primer(data, CONTINUE), n_bars=1), seed=1)
    inner = MidiFile.parse(data).tracks
    added = MidiFile.parse(clip.midi).tracks
    assert clip.midi[:8] == b"MThd\0\0\0\6" and len(added) == len(inner) + 1
    assert added[1:-1] == inner[1:]
    if "tempo" not in name:
        assert added[0] == inner[0]
    if "tempo" not in name and "others" not in name:  # on which the libraries stumble themselves
        assert len(mido.MidiFile(file=io.BytesIO(clip.midi)).tracks) == len(added)
        pretty_midi.PrettyMIDI(io.BytesIO(clip.midi))
    assert len(notes_of(parse_score(clip.midi))) > len(notes_of(plain))


RATES = {24: 24.0, 25: 25.0, 29: 30_000 / 1_001, 30: 30.0}


@pytest.mark.parametrize(("rate", "ticks"), [*itertools.product(RATES, (1, 4, 25, 40, 80))])
def test_film_frames_are_read_in_seconds(rate: int, ticks: int, composer: Composer) -> None:
    slow = insert_events(TRACKS[0], [(0, meta(SET_TEMPO, b"\x0f\x42\x40"))])  # says nothing here
    data = file_of(slow, *TRACKS[1:], division=(256 - rate) << 8 | ticks)
    score = parse_score(data)
    notes, plain = notes_of(score), notes_of(parse_score(PLAIN))
    np.testing.assert_allclose(notes.onset_s, plain.onset * 480 / ticks / RATES[rate], rtol=1e-6)
    assert tempo_of(score) == pytest.approx(120.0 if rate != 29 else 120 / 1.001)
    with pytest.raises(ScoreError, match=r"^the file counts film frames .* can be varied as it is"):
        Primer(data, CONTINUE)
    if ticks == 40:
        request = Request(None, given=Primer(data, VARY), n_bars=1)
        assert next(composer.compose(request, seed=1)).n_bars == 1


TOLD = {
    "several pieces": (file_of(*TRACKS, *TRACKS, kind=2), "the file holds [2-9] pieces one after"),
    "a format of its own": (file_of(*TRACKS, kind=7), "a MIDI file is of format 0, 1 or 2, this"),
    "no ticks": (file_of(*TRACKS, division=0), "ticks a quarter note must be above 0, got 0"),
    "no ticks a frame": (file_of(*TRACKS, division=0xE700), "the file counts 0 ticks a frame"),
    "frames unheard of": (file_of(*TRACKS, division=0x8028), "the file counts 40 ticks a frame"),
    "no tempo under notes": (with_tempo(900, 0), "a note of the file sounds at a tempo of 0"),
    "drums alone": (on_drums(), "all notes are on channel 10, which General MIDI keeps for drums"),
    "a cut file": (PLAIN[:-9], "damaged MIDI file: it ends inside chunk"),
    "a cut RIFF": (RMI[:-9], "damaged MIDI file: it ends inside chunk"),
    "a RIFF of nothing": (riff((b"data", b"")), "not a MIDI file, nor an .rmi"),
    "a sound": (riff((b"data", b"\0\1\2\3"), kind=b"WAVE"), "not a MIDI file, nor an .rmi"),
    "an MP3": (b"ID3\4\0\0\0\0\0\0", "not a MIDI file, nor an .rmi"),
    "an MP3 without a title": (b"\xff\xfb\x90\0" * 9, "not a MIDI file, nor an .rmi"),
    "MusicXML": (b"\xef\xbb\xbf<?xml version='1.0'?>", "not a MIDI file, nor an .rmi"),
    "compressed": (b"PK\3\4" + bytes(30) + PLAIN, "not a MIDI file, nor an .rmi"),
    "words": ("Für Elise\n".encode(), "not a MIDI file, nor an .rmi"),
    "anything": (bytes(2_000) + PLAIN, "not a MIDI file, nor an .rmi"),
    "nothing": (b"", "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_be_read_is_told_in_one_sentence(name: str) -> None:
    data, words = TOLD[name]
    for use in (CONTINUE, VARY):
        with pytest.raises(ScoreError, match=f"^{words}") as told:
            Primer(data, use)
        assert "\n" not in str(told.value) and len(str(told.value)) < 200


def test_a_tempo_of_nothing_in_a_rest_is_nothing() -> None:
    score = tune(4)
    for track in score.tracks:
        track.notes = track.notes.filter(lambda note: not 1_920 <= note.time < 3_840, inplace=False)
    first, *others = MidiFile.parse(dump_score(score)).tracks
    zero = [(2_400, meta(SET_TEMPO, bytes(3))), (3_000, meta(SET_TEMPO, b"\x09\x89\x68"))]
    read = parse_score(file_of(insert_events(first, zero), *others))
    np.testing.assert_allclose(notes_of(read).onset_s, notes_of(score).onset_s)
