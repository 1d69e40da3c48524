"""Standard MIDI files as bytes: what stands in them is kept, what is new is put beside it.

Reference: Standard MIDI Files 1.0 (RP-001), MIDI Manufacturers Association.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress, pairwise

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.chords import Chords, chord_name
from emomusic.music.key import Signature
from emomusic.music.notes import LEFT, RIGHT, FloatColumn, Notes, hands_of
from emomusic.music.score import PEDAL, ScoreError, notes_of, unwrap

SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x51, 0x58, 0x59
END_OF_TRACK, PORT, TRACK_NAME, MARKER = 0x2F, 0x21, 0x03, 0x06
META, SYSEX, SYSEX_GOES_ON = 0xFF, 0xF0, 0xF7
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, CHANNEL_PRESSURE, BEND = 0x80, 0x90, 0xB0, 0xC0, 0xD0, 0xE0
DRUM_CHANNEL = 9
MAX_DELTA = 2**28 - 1
"""Ticks between two events: a number has 28 bits at most."""
TICKS = 480
"""Of a quarter note in files of our own: a whole number for each step that the model writes."""
Placed = tuple[int, int, int, int]
"""Onset, end, pitch and velocity of a note, in ticks from the start of the file."""
AT_REST = ((121, 0), (0, 0), (32, 0), (7, 100), (10, 64), (11, 127), (64, 0))
"""Controllers and values of a channel that nothing is left on: all reset, bank, volume, pan,
expression, pedal."""


@dataclass(frozen=True)
class MidiEvent:
    """Hold one event of a track, which stands there from `start` to `stop`."""

    tick: int  # from the start of the track
    status: int  # its status byte, written or running
    data: bytes  # what follows, without lengths; of a meta event its type first
    start: int  # where its delta time begins
    body: int  # where it begins after its delta time
    stop: int  # where the next one begins

    def is_meta(self, kind: int) -> bool:
        """Tell whether it is a meta event of a type."""
        return self.status == META and self.data[0] == kind


@dataclass(frozen=True)
class MidiFile:
    """Hold the chunks of a standard MIDI file."""

    kind: int  # 0 one track, 1 tracks that sound together, 2 tracks one after the other
    division: int  # ticks a quarter note; with its highest bit set, of a second
    n_tracks: int
    chunks: tuple[tuple[bytes, bytes], ...]  # name and bytes of each, as they stand
    rest: bytes = b""  # what stands after the last track; it is kept, and is no music

    @classmethod
    def parse(cls, data: bytes) -> MidiFile:
        """Read the chunks.

        Raises:
            ScoreError: If it is no MIDI file, or ends inside a chunk.
        """
        data = unwrap(data)
        kind, said, division = (int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12))
        at, n_tracks = 14, 0
        chunks: list[tuple[bytes, bytes]] = []
        while at + 8 <= len(data) and n_tracks < said:
            stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if stop > len(data):
                raise ScoreError(f"damaged MIDI file: it ends inside chunk {len(chunks) + 1}")
            chunks.append((data[at : at + 4], data[at + 8 : stop]))
            n_tracks += data[at : at + 4] == b"MTrk"
            at = stop
        if not n_tracks:
            raise ScoreError("the file holds no tracks")
        return cls(kind, division, n_tracks, tuple(chunks), data[at:])

    @property
    def tracks(self) -> list[bytes]:
        """Return the bytes of each track."""
        return [data for name, data in self.chunks if name == b"MTrk"]

    def dump(self) -> bytes:
        """Return the bytes of the file."""
        head = (6, 4), (self.kind, 2), (self.n_tracks, 2), (self.division, 2)
        parts = [b"MThd", *(value.to_bytes(size, "big") for value, size in head)]
        for name, data in self.chunks:
            parts += [name, len(data).to_bytes(4, "big"), data]
        return b"".join([*parts, self.rest])

    def with_track(self, track: bytes) -> MidiFile:
        """Return the file with one more track, which sounds together with the others."""
        chunks = (*self.chunks, (b"MTrk", track))
        return replace(self, kind=1, n_tracks=self.n_tracks + 1, chunks=chunks)

    def with_conductor(self, events: Sequence[tuple[int, bytes]]) -> MidiFile:
        """Return the file with meta events added to its first track.

        Args:
            events: Tick and bytes of each, in order.
        """
        first = next(i for i, (name, _) in enumerate(self.chunks) if name == b"MTrk")
        changed = (b"MTrk", insert_events(self.chunks[first][1], events))
        return replace(self, chunks=(*self.chunks[:first], changed, *self.chunks[first + 1 :]))


def events_of(track: bytes) -> Iterator[MidiEvent]:
    """Read the events of a track, up to its end.

    Raises:
        ScoreError: If one is cut off, or none can be read where one should begin.
    """
    at = tick = running = 0
    try:
        while at < len(track):
            start = at
            delta, at = _number(track, at)
            tick, body = tick + delta, at
            if track[at] & 0x80:
                status, at = track[at], at + 1
            else:
                status = running
            if status in (META, SYSEX, SYSEX_GOES_ON):
                kind = track[at : at + 1] if status == META else b""
                size, at = _number(track, at + len(kind))
                data, at = kind + track[at : at + size], at + size
                running = 0
            elif 0x80 <= status < SYSEX:
                size = 1 if status & 0xF0 in (PROGRAM, CHANNEL_PRESSURE) else 2
                data, at = track[at : at + size], at + size
                running = status
            else:
                raise IndexError
            if at > len(track):
                raise IndexError
            yield MidiEvent(tick, status, data, start, body, at)
            if status == META and data[0] == END_OF_TRACK:
                return
    except IndexError as error:
        raise ScoreError(f"damaged MIDI file: no event at byte {at} of a track") from error


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length; return it and where the next thing begins."""
    value = 0
    for place in range(at, at + 4):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    raise IndexError


def number_bytes(value: int) -> bytes:
    """Return a number of variable length, seven bits a byte, the highest first."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(0x80 | value & 0x7F)
    return bytes(reversed(groups))


def meta(kind: int, data: bytes) -> bytes:
    """Return the bytes of a meta event."""
    return bytes((META, kind)) + number_bytes(len(data)) + data


def insert_events(track: bytes, events: Sequence[tuple[int, bytes]]) -> bytes:
    """Return a track with events put in, each after what stands at its tick already.

    Every other byte stays, but for the delta time of what follows next, and for its status, which
    is written out where it was running. The end of the track moves as far as needed.

    Args:
        track: The bytes of a track.
        events: Tick and bytes of each, status bytes written out, in order.
    """
    waiting, now = list(events), 0
    parts: list[bytes] = []
    for old in events_of(track):
        is_end = old.is_meta(END_OF_TRACK)
        before = len(parts)
        while waiting and (waiting[0][0] < old.tick or is_end):
            tick, data = waiting.pop(0)
            parts += [number_bytes(tick - now), data]
            now = tick
        if len(parts) == before:
            parts.append(track[old.start : old.stop])
        else:
            status = b"" if track[old.body] & 0x80 else bytes((old.status,))
            parts += [number_bytes(max(old.tick - now, 0)), status, track[old.body : old.stop]]
        now = max(old.tick, now)
    return b"".join(parts) + track_bytes(waiting, since=now)


def track_bytes(events: Sequence[tuple[int, bytes]], *, since: int = 0) -> bytes:
    """Return the bytes of events in a track, a status that is running left out.

    Args:
        events: Tick and bytes of each, status bytes written out, in order.
        since: Tick of the event before them.
    """
    parts: list[bytes] = []
    running = META
    for tick, data in events:
        is_running = data[0] == running and running < SYSEX
        parts += [number_bytes(tick - since), data[is_running:]]
        since, running = tick, data[0]
    return b"".join(parts)


def free_channel(file: MidiFile) -> int | None:
    """Return the lowest channel that no event uses, drums' left out; None where there is none."""
    used = {
        event.status & 0x0F
        for track in file.tracks
        for event in events_of(track)
        if event.status < SYSEX
    }
    return min(set(range(16)) - used - {DRUM_CHANNEL}, default=None)


def metas(file: MidiFile, kind: int) -> list[tuple[int, bytes]]:
    """Return tick and bytes of all meta events of a type, its type left out, by tick."""
    found = [
        (event.tick, event.data[1:])
        for track in file.tracks
        for event in events_of(track)
        if event.is_meta(kind)
    ]
    return sorted(found, key=lambda event: event[0])


def with_part(
    file: MidiFile,
    notes: Sequence[Placed],
    *,
    at: int,
    end: int,
    pedal: Sequence[tuple[int, int]] = (),
    conductor: Sequence[tuple[int, int, bytes]] = (),
    markers: Sequence[tuple[int, bytes]] = (),
    anew: Sequence[int] = (),
    name: str = "emomusic",
) -> tuple[MidiFile, int | None]:
    """Return a file with a part added in a track of its own, and the channel it plays on.

    The part plays the first piano on a channel that nothing else uses, everything on it reset.
    Where all are taken it plays on the first channel of a second port, and None is returned.

    Args:
        file: Of kind 0 or 1; its tracks stay byte for byte, but for what is said of `conductor`.
        notes: What it plays.
        at: Tick at which the part begins.
        end: Tick at which its track ends.
        pedal: Tick and value of each time it is moved.
        conductor: Tick, type and bytes of the meta events that hold from there on. What holds
            already is not said again; what would undo it later is said once more after it. They go
            into the first track.
        markers: Tick and bytes of those of its own track.
        anew: Types of those that are said even if they hold.
        name: Of the track.
    """
    channel = free_channel(file)
    on = channel or 0
    head = [(0, meta(TRACK_NAME, name.encode()))]
    if channel is None:
        head.append((0, meta(PORT, b"\1")))
    rest = [bytes((CONTROL | on, number, value)) for number, value in AT_REST]
    rest += [bytes((PROGRAM | on, 0)), bytes((BEND | on, 0, 64))]
    head += [(at, data) for data in rest]
    file_with = file.with_track(_track([*head, *markers, *_struck(notes, on, pedal)], end))
    said = _new_conductor(file, conductor, anew)
    return (file_with.with_conductor(said) if said else file_with), channel


def _struck(
    notes: Sequence[Placed], channel: int, pedal: Sequence[tuple[int, int]] = ()
) -> list[tuple[int, bytes]]:
    """Return tick and bytes of what strikes and ends notes, ends first, and of the pedal."""
    on, off = NOTE_ON | channel, NOTE_OFF | channel
    events = [(tick, 2, bytes((CONTROL | channel, PEDAL, value))) for tick, value in pedal]
    events += [(start, 1, bytes((on, pitch, loud))) for start, _, pitch, loud in notes]
    events += [(stop, 0, bytes((off, pitch, 64))) for _, stop, pitch, _ in notes]
    return [(tick, data) for tick, _, data in sorted(events)]


def _track(events: list[tuple[int, bytes]], end: int) -> bytes:
    """Return the bytes of a track of events in any order, which ends at a tick or later."""
    own = sorted(events, key=lambda event: event[0])
    return track_bytes([*own, (max(end, own[-1][0]), meta(END_OF_TRACK, b""))])


def _new_conductor(
    file: MidiFile, conductor: Sequence[tuple[int, int, bytes]], anew: Sequence[int]
) -> list[tuple[int, bytes]]:
    said: list[tuple[int, bytes]] = []
    for kind in sorted({kind for _, kind, _ in conductor}):
        own = [(tick, data) for tick, its_kind, data in conductor if its_kind == kind]
        given = metas(file, kind)
        holds = [DEFAULTS.get(kind, b""), *(data for tick, data in given if tick <= own[0][0])][-1]
        for (tick, data), until in zip(own, [*(t for t, _ in own[1:]), None], strict=True):
            if kind in anew or not _is_same(kind, data, holds):
                said.append((tick, meta(kind, data)))
            undone = [t for t, _ in given if t > tick and (until is None or t < until)]
            said += [(t, meta(kind, data)) for t in undone]
            holds = data
    return sorted(said, key=lambda event: event[0])


def _is_same(kind: int, data: bytes, other: bytes) -> bool:
    """Tell whether two meta events say the same: tempi of one part in 10,000, equal metres."""
    if kind == SET_TEMPO:
        own, held = int.from_bytes(data, "big"), int.from_bytes(other, "big")
        return abs(own - held) <= 1e-4 * own
    return data[:2] == other[:2]


def check_can_go_on(data: bytes) -> None:
    """Check that a part can be added to a MIDI file.

    Raises:
        ScoreError: If the file counts film frames instead of beats, or holds something that is no
            event.
    """
    file = MidiFile.parse(data)
    if file.division & 0x8000:
        raise ScoreError(
            "the file counts film frames (SMPTE), not beats: to be continued it must be saved "
            "with ticks a quarter note; it can be varied as it is"
        )
    for track in file.tracks:
        for event in events_of(track):
            if event.status < SYSEX and max(event.data) > 0x7F:
                raise ScoreError(f"damaged MIDI file: an event at tick {event.tick} is none")


def infill_midi(
    given: bytes,
    added: ScoreTick,
    *,
    bars: FloatColumn,
    lines: FloatColumn,
    signature: Signature,
    chords: Chords = (),
    stay: Collection[tuple[int, int]] = (),
) -> bytes:
    """Return a MIDI file in which other notes stand in some bars, in a track of their own.

    Given notes that begin in these bars are left out, drums not. Every other event stays as it is,
    at its tick; what sounds from before goes on.

    Args:
        given: The bytes of a MIDI file that can go on.
        added: One track; its tempi and metres are left out.
        bars: Its bar lines and end, in quarter notes, shape (n_bars + 1,).
        lines: Where they are to be in the file, in quarter notes from the beginning.
        signature: Its key.
        chords: Those of its half bars, which become markers of its track.
        stay: Tick and pitch of given notes in these bars that are kept.

    Raises:
        ScoreError: As `check_can_go_on`.
    """
    file = MidiFile.parse(given)

    def tick_of(quarters: FloatColumn) -> list[int]:
        return [round(tick) for tick in (np.interp(quarters, bars, lines) * file.division).tolist()]

    first, last = tick_of(bars[[0, -1]])
    chunks = [
        (name, _without_notes(data, first, last, stay) if name == b"MTrk" else data)
        for name, data in file.chunks
    ]
    own = [note for track in added.tracks for note in track.notes]
    times = np.array([(note.time, note.end) for note in own], np.float64).reshape(-1, 2).T
    begins, ends = map(tick_of, times / added.ticks_per_quarter)
    pitches, velocities = [note.pitch for note in own], [note.velocity for note in own]
    moved = [*_pedal(added, added.ticks_per_quarter)]
    pedal_ticks = tick_of(np.array([tick for tick, _ in moved]) / added.ticks_per_quarter)
    filled, _ = with_part(
        replace(file, chunks=tuple(chunks)),
        _apart(zip(begins, ends, pitches, velocities, strict=True)),
        at=first,
        end=last,
        markers=_markers(chords, signature, first, last) if chords else (),
        pedal=[*zip(pedal_ticks, (value for _, value in moved), strict=True)],
    )
    return filled.dump()


def _without_notes(track: bytes, first: int, last: int, stay: Collection[tuple[int, int]]) -> bytes:
    """Return a track without the notes that begin from one tick on, before another."""
    kept: list[bytes] = []
    sounding: dict[tuple[int, int], deque[bool]] = {}  # of each channel and pitch, what is left out
    now, is_joined = 0, True  # whether the event before it is kept
    for event in events_of(track):
        kind, channel = event.status & 0xF0, event.status & 0x0F
        is_out = False
        if event.status < SYSEX and kind in (NOTE_ON, NOTE_OFF) and channel != DRUM_CHANNEL:
            key = channel, event.data[0]
            if kind == NOTE_ON and event.data[1]:
                is_out = first <= event.tick < last and (event.tick, event.data[0]) not in stay
                sounding.setdefault(key, deque()).append(is_out)
            elif open_notes := sounding.get(key):
                is_out = open_notes.popleft()
        if is_out:
            is_joined = False
            continue
        if event.tick - now > MAX_DELTA:
            raise ScoreError(f"damaged MIDI file: nothing for {event.tick - now} ticks of a track")
        if is_joined:
            kept.append(track[event.start : event.stop])
        else:
            status = b"" if track[event.body] & 0x80 else bytes((event.status,))
            kept += [number_bytes(event.tick - now), status, track[event.body : event.stop]]
        now, is_joined = event.tick, True
    return b"".join(kept)


def continue_midi(
    given: bytes,
    added: ScoreTick,
    *,
    at: float,
    n_beats: float,
    signature: Signature,
    chords: Chords = (),
    begins_bars: bool = False,
    changes_key: bool = False,
) -> bytes:
    """Return a MIDI file with what was written after it, which plays in a track of its own.

    Every track that was given stays byte for byte; but a tempo, a metre or a key that did not hold
    at the join is said in the first one, a key only where the file says one, or it changes.

    Args:
        given: The bytes of a MIDI file that can go on.
        added: One track, with tempi and time signatures, from the join on.
        at: The join, in quarter notes from the beginning.
        n_beats: Length of what is added.
        signature: Its key.
        chords: Those of its half bars, which become markers of its track.
        begins_bars: Whether the join is no bar line of the file's, and has to become one.
        changes_key: Whether its key is another than what is heard before it.

    Raises:
        ScoreError: As `check_can_go_on`.
    """
    file = MidiFile.parse(given)
    start = round(at * file.division)
    end = start + round(n_beats * file.division)
    conductor = _conductor(added, signature, file.division, start)
    keys = [data for tick, data in metas(file, KEY_SIGNATURE) if tick <= start]
    if not changes_key and (not keys or keys[-1][:1] == bytes([signature.fifths % 256])):
        conductor = [event for event in conductor if event[1] != KEY_SIGNATURE]
    longer, _ = with_part(
        file,
        _placed(added, notes_of(added), file.division, start) if len(added.tracks[0].notes) else [],
        at=start,
        end=end,
        pedal=_pedal(added, file.division, start),
        conductor=conductor,
        markers=_markers(chords, signature, start, end),
        anew=(TIME_SIGNATURE,) if begins_bars else (),
    )
    return longer.dump()


def piano_midi(
    score: ScoreTick,
    *,
    n_beats: float,
    signature: Signature,
    chords: Chords = (),
    by_hand: bool = True,
) -> bytes:
    """Return a MIDI file of piano music as sequencers and notation programs take it.

    A track of tempi, metres, the key and chords, then the right hand's and the left hand's, or one
    of both; all end at the last bar line. A quarter note has 480 ticks.

    Args:
        score: All of its notes are the piano's.
        n_beats: Its length in quarter notes.
        signature: Its key.
        chords: Those of its half bars.
        by_hand: Whether each hand has a track and a channel of its own.
    """
    notes, end, pedal = notes_of(score), round(n_beats * TICKS), _pedal(score, TICKS)
    said = [(tick, meta(kind, data)) for tick, kind, data in _conductor(score, signature, TICKS)]
    tracks = [_track([*said, *_markers(chords, signature, 0, end)], end)]
    hands = hands_of(notes)
    parts = {b"Piano": notes}
    if by_hand:
        parts = {
            b"Right hand": notes.where(hands == RIGHT), b"Left hand": notes.where(hands == LEFT)
        }  # fmt: skip
    for channel, (name, own) in enumerate(parts.items()):
        head = [(0, meta(TRACK_NAME, name)), (0, bytes((PROGRAM | channel, 0)))]
        tracks.append(_track([*head, *_struck(_placed(score, own, TICKS), channel, pedal)], end))
    return MidiFile(1, TICKS, len(tracks), tuple((b"MTrk", own) for own in tracks)).dump()


def _conductor(
    score: ScoreTick, signature: Signature, division: int, start: int = 0
) -> list[tuple[int, int, bytes]]:
    """Return tick, type and bytes of metres, key and tempi, from a tick on."""
    per_tick = division / score.ticks_per_quarter
    said = [(start, KEY_SIGNATURE, bytes((signature.fifths % 256, signature.is_minor)))]
    for sign in score.time_signatures:
        top, power = sign.numerator, sign.denominator.bit_length() - 1
        clocks = 96 * (3 if power > 2 and not top % 3 else 1) >> power  # dotted beats of 6/8
        said.append(
            (start + round(sign.time * per_tick), TIME_SIGNATURE, bytes((top, power, clocks, 8)))
        )
    for tempo in score.tempos:
        said.append(
            (start + round(tempo.time * per_tick), SET_TEMPO, tempo.mspq.to_bytes(3, "big"))
        )
    return said


def _pedal(score: ScoreTick, division: int, start: int = 0) -> list[tuple[int, int]]:
    """Return tick and value of each move of the pedal, in other ticks."""
    per_tick, controls = division / score.ticks_per_quarter, score.tracks[0].controls
    return [(start + round(own.time * per_tick), own.value) for own in controls
            if own.number == PEDAL]  # fmt: skip


def _markers(chords: Chords, signature: Signature, start: int, end: int) -> list[tuple[int, bytes]]:
    """Return a marker for each new chord of half bars that fill the time between two ticks."""
    halves = [*chain(*chords)]
    ticks = [start + (end - start) * at // len(halves) for at in range(len(halves))]
    is_new = [True, *(own != before for before, own in pairwise(halves))]
    names = [chord_name(number, signature).encode() for number in halves]
    return [*compress(zip(ticks, (meta(MARKER, name) for name in names), strict=True), is_new)]


def _placed(score: ScoreTick, notes: Notes, division: int, start: int = 0) -> list[Placed]:
    """Return notes of a score in other ticks, as `_apart` has them."""
    edges = np.rint(np.stack([notes.onset, notes.onset + notes.duration]) * score.ticks_per_quarter)
    ticks = start + np.rint(edges * (division / score.ticks_per_quarter)).astype(np.int64)
    columns = (*ticks, notes.pitch, notes.velocity)
    return _apart(zip(*(column.tolist() for column in columns), strict=True))


def _apart(notes: Iterable[Placed]) -> list[Placed]:
    """Return notes of which none is without length and none overlaps the next of its pitch.

    Where ticks are too coarse for two of a pitch, the later one goes.
    """
    latest = dict[int, Placed]()
    kept: list[Placed] = []
    for note in sorted(notes):
        begin, end, pitch, velocity = note
        before = latest.get(pitch)
        if before is not None and begin < before[0] + 1:
            continue
        if before is not None and before[1] > begin:
            kept[kept.index(before)] = before[0], begin, pitch, before[3]
        latest[pitch] = begin, max(end, begin + 1), pitch, velocity
        kept.append(latest[pitch])
    return kept


DEFAULTS = {SET_TEMPO: (500_000).to_bytes(3, "big"), TIME_SIGNATURE: bytes((4, 2, 24, 8))}
"""What holds where a file says nothing."""
