"""Standard MIDI files as bytes: what stands in them is kept, what is new is put beside it.

Reference: Standard MIDI Files 1.0 (RP-001), MIDI Manufacturers Association.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from symusic.core import ScoreTick

from emomusic.music.score import ScoreError

SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x51, 0x58, 0x59
END_OF_TRACK, PORT, TRACK_NAME = 0x2F, 0x21, 0x03
META, SYSEX, SYSEX_GOES_ON = 0xFF, 0xF0, 0xF7
NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, CHANNEL_PRESSURE, BEND = 0x80, 0x90, 0xB0, 0xC0, 0xD0, 0xE0
DRUM_CHANNEL = 9
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
    n_tracks: int  # of the chunks; what comes after them is kept, and is no music
    chunks: tuple[tuple[bytes, bytes], ...]  # name and bytes of each, as they stand

    @classmethod
    def parse(cls, data: bytes) -> MidiFile:
        """Read the chunks.

        Raises:
            ScoreError: If it is no MIDI file, or ends inside a chunk.
        """
        if data[:4] != b"MThd" or len(data) < 14:
            raise ScoreError("not a MIDI file: it does not start with MThd")
        at = 8 + int.from_bytes(data[4:8], "big")
        chunks: list[tuple[bytes, bytes]] = []
        while at + 8 <= len(data):
            stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if stop > len(data):
                raise ScoreError(f"damaged MIDI file: it ends inside chunk {len(chunks) + 1}")
            chunks.append((data[at : at + 4], data[at + 8 : stop]))
            at = stop
        kind, said, division = (int.from_bytes(data[i : i + 2], "big") for i in (8, 10, 12))
        n_tracks = min(said, sum(name == b"MTrk" for name, _ in chunks))
        if not n_tracks:
            raise ScoreError("the file holds no tracks")
        return cls(kind, division, n_tracks, tuple(chunks))

    @property
    def tracks(self) -> list[bytes]:
        """Return the bytes of each track."""
        return [data for name, data in self.chunks if name == b"MTrk"][: self.n_tracks]

    def dump(self) -> bytes:
        """Return the bytes of the file."""
        head = (6, 4), (self.kind, 2), (self.n_tracks, 2), (self.division, 2)
        parts = [b"MThd", *(value.to_bytes(size, "big") for value, size in head)]
        for name, data in self.chunks:
            parts += [name, len(data).to_bytes(4, "big"), data]
        return b"".join(parts)

    def with_track(self, track: bytes) -> MidiFile:
        """Return the file with one more track, which sounds together with the others."""
        places = [i for i, (name, _) in enumerate(self.chunks) if name == b"MTrk"]
        at = places[self.n_tracks - 1] + 1
        chunks = (*self.chunks[:at], (b"MTrk", track), *self.chunks[at:])
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
    """Return the bytes of events in a track.

    Args:
        events: Tick and bytes of each, status bytes written out, in order.
        since: Tick of the event before them.
    """
    parts: list[bytes] = []
    for tick, data in events:
        parts += [number_bytes(tick - since), data]
        since = tick
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
    notes: Sequence[tuple[int, int, int, int]],
    *,
    at: int,
    end: int,
    conductor: Sequence[tuple[int, int, bytes]] = (),
    anew: Sequence[int] = (),
    name: str = "emomusic",
) -> tuple[MidiFile, int | None]:
    """Return a file with a part added in a track of its own, and the channel it plays on.

    The part plays the first piano on a channel that nothing else uses, everything on it reset.
    Where all are taken it plays on the first channel of a second port, and None is returned.

    Args:
        file: Of kind 0 or 1; its tracks stay byte for byte, but for what is said of `conductor`.
        notes: Onset, end, pitch and velocity of each, in ticks from the start of the file.
        at: Tick at which the part begins.
        end: Tick at which its track ends.
        conductor: Tick, type and bytes of the meta events that hold from there on. What holds
            already is not said again; what would undo it later is said once more after it. They go
            into the first track.
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
    events = [(start, 1, bytes((NOTE_ON | on, pitch, loud))) for start, _, pitch, loud in notes]
    events += [(stop, 0, bytes((NOTE_OFF | on, pitch, 64))) for _, stop, pitch, _ in notes]
    played = [(tick, data) for tick, _, data in sorted(events)]
    ended = [(max([end, *(tick for tick, _ in played)]), meta(END_OF_TRACK, b""))]
    file_with = file.with_track(
        track_bytes([*head, *((at, data) for data in rest), *played, *ended])
    )
    said = _new_conductor(file, conductor, anew)
    return (file_with.with_conductor(said) if said else file_with), channel


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
        ScoreError: If the file counts seconds instead of beats, holds pieces one after the other,
            or something that is no event.
    """
    file = MidiFile.parse(data)
    if file.kind > 1 or file.division & 0x8000:
        raise ScoreError("only a file whose tracks sound together, in beats, can be continued")
    for track in file.tracks:
        for _ in events_of(track):
            pass


def continue_midi(
    given: bytes, added: ScoreTick, *, at: float, n_beats: float, begins_bars: bool = False
) -> bytes:
    """Return a MIDI file with what was written after it, which plays in a track of its own.

    Every track that was given stays byte for byte; but a tempo or a metre that did not hold at the
    join is said in the first one.

    Args:
        given: The bytes of a MIDI file that can go on.
        added: One track, with tempi and time signatures, from the join on.
        at: The join, in quarter notes from the beginning.
        n_beats: Length of what is added.
        begins_bars: Whether the join is no bar line of the file's, and has to become one.

    Raises:
        ScoreError: As `check_can_go_on`.
    """
    file = MidiFile.parse(given)
    per_tick = file.division / added.ticks_per_quarter
    start = round(at * file.division)

    def tick_of(ticks: Sequence[int]) -> list[int]:
        return [start + round(tick * per_tick) for tick in ticks]

    notes = {name: column.tolist() for name, column in added.tracks[0].notes.numpy().items()}
    ends = np.add(notes["time"], notes["duration"]).tolist()
    placed = zip(
        tick_of(notes["time"]), tick_of(ends), notes["pitch"], notes["velocity"], strict=True
    )
    tempos = [(tempo.time, SET_TEMPO, tempo.mspq.to_bytes(3, "big")) for tempo in added.tempos]
    metres = [
        (
            sign.time,
            TIME_SIGNATURE,
            bytes((sign.numerator, sign.denominator.bit_length() - 1, 24, 8)),
        )
        for sign in added.time_signatures
    ]
    conductor = [(tick_of([tick])[0], kind, data) for tick, kind, data in (*tempos, *metres)]
    end = start + round(n_beats * file.division)
    anew = (TIME_SIGNATURE,) if begins_bars else ()
    return with_part(file, _apart(placed), at=start, end=end, conductor=conductor, anew=anew)[
        0
    ].dump()


def _apart(notes: Iterable[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """Return notes of which none is without length and none overlaps the next of its pitch.

    Where ticks are too coarse for two of a pitch, the later one goes.
    """
    latest: dict[int, tuple[int, int, int, int]] = {}
    kept: list[tuple[int, int, int, int]] = []
    for note in sorted(notes):
        start, end, pitch, velocity = note
        before = latest.get(pitch)
        if before is not None and start < before[0] + 1:
            continue
        if before is not None and before[1] > start:
            kept[kept.index(before)] = before[0], start, pitch, before[3]
        latest[pitch] = start, max(end, start + 1), pitch, velocity
        kept.append(latest[pitch])
    return kept


DEFAULTS = {SET_TEMPO: (500_000).to_bytes(3, "big"), TIME_SIGNATURE: bytes((4, 2, 24, 8))}
"""What holds where a file says nothing."""
