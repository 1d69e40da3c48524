"""MIDI files made in code, and mutations that know how such a file is built."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

END = b"\xff\x2f\x00"
MAX_EVENTS = 1_000
MAX_BYTES = 20_000
"""Of a mutated file: the limits beyond are tried one by one, with files made for it."""
FORMS = (1, 1, 1, 1, 1, 0, 2, 9)
TICKS = (480, 480, 96, 1, 2, 24, 960, 32_767, 0, 0x8000, 0xE728)
DELTAS = (0, 0, 1, 2, 3, 60, 120, 127, 128, 240, 480, 1920, 16_383, 16_384, 2**21, 2**28 - 1)
LENGTH_OF = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
Event = tuple[int, bytes]


@dataclass
class File:
    """Hold a MIDI file to be changed: of each track delta times, and bytes behind a status."""

    form: int = 1
    ticks: int = 480
    tracks: list[list[Event]] = field(default_factory=list)


def quantity(value: int) -> bytes:
    """Return a number as a file writes delta times: seven bits a byte."""
    found = [value & 127]
    while value := value >> 7:
        found.insert(0, value & 127 | 128)
    return bytes(found)


def meta(kind: int, data: bytes) -> bytes:
    """Return an event that is no sound."""
    return bytes([0xFF, kind]) + quantity(len(data)) + data


def dumped(file: File, rng: random.Random | None = None) -> bytes:
    """Return the bytes of a file; with `rng`, some write running status, and a few lie."""
    runs = rng is not None and rng.random() < 0.5
    lies = rng is not None and rng.random() < 0.03
    chunks = []
    for track in file.tracks:
        body, status = bytearray(), -1
        for delta, event in track:
            body += quantity(delta)
            short = runs and event[0] == status and event[0] < 0xF0
            body += event[1:] if short else event
            status = event[0]
        length = len(body) if rng is None or not lies else rng.choice((0, 1, 2**31, 2**32 - 1))
        chunks.append(b"MTrk" + length.to_bytes(4, "big") + bytes(body))
    count = len(chunks) if rng is None or not lies else rng.choice((0, 1, 65_535))
    head = b"MThd\0\0\0\6" + b"".join(
        number.to_bytes(2, "big") for number in (file.form, count, file.ticks)
    )
    return head + b"".join(chunks)


def parsed(data: bytes) -> File | None:
    """Return what can be understood of a file; None where that is nothing."""
    if data[:4] != b"MThd" or len(data) < 22:
        return None
    file = File(int.from_bytes(data[8:10], "big"), int.from_bytes(data[12:14], "big"))
    at = 14
    while at + 8 <= len(data) and len(file.tracks) < 64:
        stop = min(at + 8 + int.from_bytes(data[at + 4 : at + 8], "big"), len(data))
        file.tracks.append(_events(data[at + 8 : stop]))
        at = stop
    return file if file.tracks else None


def _events(body: bytes) -> list[Event]:
    found: list[Event] = []
    at, status = 0, 0
    while at < len(body) and len(found) < MAX_EVENTS:
        delta, at = _read_quantity(body, at)
        if at < len(body) and body[at] & 0x80:
            status, at = body[at], at + 1
        if status >= 0xF0:
            kind = body[at : at + 1] if status == 0xFF else b""
            length, start = _read_quantity(body, at + len(kind))
            stop = min(start + length, len(body))
            found.append((delta, bytes([status]) + body[at:stop]))
        else:
            stop = at + LENGTH_OF.get(status & 0xF0, 1)
            if status:
                found.append((delta, bytes([status]) + body[at:stop]))
        at = max(stop, at + 1)
    return found


def _read_quantity(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for at in range(at, min(at + 4, len(body))):  # noqa: B020 - goes on from where it is
        value = value << 7 | body[at] & 0x7F
        if body[at] < 0x80:
            break
    return value, at + 1


def seeds() -> list[bytes]:
    """Return small files of many kinds, all of which can be read."""
    rng = random.Random(7)
    head = [(0, meta(0x51, b"\x07\xa1\x20")), (0, meta(0x58, b"\x04\x02\x18\x08"))]
    return [
        dumped(File(1, 480, [[*head, *_tune(rng, 12), (0, END)]])),
        dumped(File(0, 96, [[*_tune(rng, 30), (0, END)]])),
        dumped(File(1, 480, [[*head, (0, END)], [*_tune(rng, 8), (0, END)],
                             [*_tune(rng, 8, channel=3), (5, END)]])),
        dumped(File(1, 220, [[(0, meta(3, b"Piano")), (0, b"\xc0\x05"), *_pedalled(rng), (0, END)],
                             [*_tune(rng, 6, channel=9), (0, END)]])),
        dumped(File(1, 12, [[*_changes(), *_tune(rng, 40), (0, END)]]), random.Random(3)),
    ]  # fmt: skip


def _tune(rng: random.Random, n_notes: int, *, channel: int = 0) -> list[Event]:
    found: list[Event] = []
    for _ in range(n_notes):
        pitch = rng.randrange(40, 90)
        found.append((rng.choice((0, 60, 120)), bytes([0x90 | channel, pitch, 64])))
        found.append((rng.choice((60, 240)), bytes([0x80 | channel, pitch, 0])))
    return found


def _pedalled(rng: random.Random) -> list[Event]:
    return [(0, b"\xb0\x40\x7f"), *_tune(rng, 6), (9, b"\xb0\x40\x00"), (0, b"\xe0\x00\x40")]


def _changes() -> list[Event]:
    return [
        (0, meta(0x58, b"\x03\x02\x18\x08")),
        (36, meta(0x58, b"\x06\x03\x18\x08")),
        (0, meta(0x59, b"\xfd\x01")),
        (12, meta(0x51, b"\x0a\x00\x00")),
        (0, b"\xf0\x03\x01\x02\xf7"),
    ]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file changed in a few places, most of them as one that can be read."""
    file = parsed(data) or parsed(rng.choice(SEEDS)) or File()
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        if not file.tracks:
            file.tracks.append([(0, END)])
        rng.choice(CHANGES)(file, rng.choice(file.tracks), rng)
    made = bytearray(dumped(file, rng)[:MAX_BYTES])
    if rng.random() < 0.12:
        for _ in range(rng.choice((1, 2, 8))):
            made[rng.randrange(len(made))] = rng.randrange(256)
    if rng.random() < 0.03:
        del made[rng.randrange(len(made)) :]
    return bytes(made)


def _place(track: list[Event], rng: random.Random) -> int:
    return rng.randrange(max(len(track), 1))


def _insert(_: File, track: list[Event], rng: random.Random) -> None:
    at = _place(track, rng)
    track[at:at] = [(rng.choice(DELTAS[:12]), rng.choice(EVENTS)(rng)) for _ in range(2)]


def _add_note(_: File, track: list[Event], rng: random.Random) -> None:
    at, channel, pitch = _place(track, rng), rng.randrange(16), rng.randrange(128)
    track[at:at] = [
        (rng.choice(DELTAS[:10]), bytes([0x90 | channel, pitch, rng.randrange(128)])),
        (rng.choice(DELTAS[:12]), bytes([0x80 | channel, pitch, 0])),
    ]


def _repeat(_: File, track: list[Event], rng: random.Random) -> None:
    at = _place(track, rng)
    piece = track[at : at + rng.choice((1, 2, 5))]
    track[at:at] = piece * rng.choice((1, 2, 8, 64)) if len(track) < MAX_EVENTS else []


def _remove(_: File, track: list[Event], rng: random.Random) -> None:
    at = _place(track, rng)
    del track[at : at + rng.choice((1, 1, 2, 9))]


def _change(_: File, track: list[Event], rng: random.Random) -> None:
    """Set a delta time or a byte of an event, or move it."""
    if not track:
        return
    at, way = _place(track, rng), rng.randrange(5)
    delta, event = track.pop(at)
    if way < 2:
        delta = rng.choice(DELTAS if rng.random() < 0.2 else DELTAS[:14])
    elif way < 4:
        place = rng.randrange(len(event))
        low = rng.random() < 0.9 and place > 0  # what follows a status is below 128
        event = event[:place] + bytes([rng.randrange(128 if low else 256)]) + event[place + 1 :]
    else:
        at = _place(track, rng)
    track.insert(at, (delta, event))


def _set_tracks(file: File, track: list[Event], rng: random.Random) -> None:
    """Double a track, take one of another file, or drop one."""
    way = rng.randrange(3)
    if way == 0 and len(file.tracks) < 40:
        file.tracks += [list(track)] * rng.choice((1, 1, 2, 12))
    elif way == 1:
        other = parsed(rng.choice(SEEDS))
        file.tracks.append(rng.choice(other.tracks) if other else [])
    elif len(file.tracks) > 1:
        file.tracks.remove(track)


def _set_head(file: File, _: list[Event], rng: random.Random) -> None:
    if rng.random() < 0.3:
        file.form = rng.choice(FORMS)
    else:
        file.ticks = rng.choice(TICKS)


EVENTS: tuple[Callable[[random.Random], bytes], ...] = (
    lambda rng: bytes([0x90 | rng.randrange(16), rng.randrange(128), rng.randrange(128)]),
    lambda rng: bytes([0x80 | rng.randrange(16), rng.randrange(128), 0]),
    lambda rng: bytes([0xB0 | rng.randrange(16), rng.choice((64, 7, 123)), rng.choice((0, 127))]),
    lambda rng: bytes([0xC0 | rng.randrange(16), rng.randrange(128)]),
    lambda rng: bytes([0xE0 | rng.randrange(16), rng.randrange(128), rng.randrange(128)]),
    lambda rng: bytes([rng.choice((0xA0, 0xD0, 0xF0, 0xF7, 0xF8)), rng.randrange(4), 0, 0, 0]),
    lambda rng: meta(0x51, rng.choice((b"\x07\xa1\x20", b"\0\0\1", b"\xff\xff\xff", b"\0\0\0"))),
    lambda rng: meta(0x51, rng.randbytes(rng.randrange(6))),
    lambda rng: meta(0x58, bytes([rng.choice((2, 3, 6, 0)), rng.choice((2, 2, 3, 7, 255)), 24])),
    lambda rng: meta(0x58, rng.randbytes(rng.randrange(6))),
    lambda rng: meta(0x59, rng.randbytes(rng.choice((2, 2, 0, 1, 5)))),
    lambda rng: meta(rng.randrange(1, 9), rng.randbytes(rng.choice((0, 1, 5, 200)))),
    lambda rng: meta(rng.randrange(256), rng.randbytes(rng.randrange(4))),
    lambda rng: END,
)  # fmt: skip
CHANGES: tuple[Callable[[File, list[Event], random.Random], None], ...] = (
    *(_insert, _add_note) * 2, _repeat, _remove, *(_change,) * 5, *(_set_tracks,) * 3, _set_head,
)  # fmt: skip
SEEDS = seeds()
