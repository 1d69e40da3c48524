"""Read and write scores: the one door for MIDI files, and what they may hold.

A file is checked in its bytes before they are parsed, and in the score.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from symusic.core import ControlChangeTick, ScoreTick, TempoTick, TempoTickList, TrackTick

from emomusic.files import write_bytes
from emomusic.music.notes import FloatColumn, IntColumn, Notes

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi", ".smf")
"""Endings of MIDI files where folders are gone through, in lower case."""
PEDAL = 64
"""Controller of the sustain pedal (MIDI 1.0)."""
HALF_DOWN = 64
"""Its value from which on it holds."""
MAX_FILE_BYTES = 8 * 2**20  # 50,000 notes with pedals and bends take a tenth of it
MAX_TRACKS = 512  # of a file, and of the score: the parser makes one of each program of a channel
MAX_NOTES = 50_000  # drums among them: an hour of fast music
MAX_TICKS = 2**30  # ticks are 32 bits wide in symusic: sums of two stay within
MAX_BEATS = 100_000  # quarter notes, or beats of the time signatures: seven hours at 240 a minute
MAX_SECONDS = 86_400  # a day: however slow its tempi are
MAX_BARS = 50_000  # by the time signatures: as many as 100,000 beats have in 2/4
MAX_TEMPOS = 20_000  # one on each eighth note of the longest pieces that are played
MAX_TIME_SIGNATURES = 5_000  # each costs a step in Python, wherever bars are counted
MAX_MEMORY = 256 * 2**20
"""Bytes that reading any file takes at most, the file itself among them, beside the libraries."""

_MAX_CHUNKS = 4 * MAX_TRACKS
_MAX_PARTS = 16_384  # tracks that the parser makes before they can be counted, 5 KiB each
_MAX_NAME_BYTES = 32 * 2**20  # of all tracks: the parser gives each a copy of its chunk's name
_CHANNELS, _PROGRAMS = 16, 128
_BYTES_OF_A_PART = 7  # a change of the program and a note: what makes the parser add a track
_HEAD = b"MThd\0\0\0\6"
_HEAD_BYTES = 14
_IN_RIFF = re.compile(rb"data(.{4})(?=MThd)", re.DOTALL)
_FRAME_RATES = (24, 25, 29, 30)  # a second; 29 stands for 29.97
_PADDING = bytes(8)
Bytes = NDArray[np.uint8]


class ScoreError(ValueError):
    """Tell in one line why a file or score cannot be used."""


def read_score(path: str | os.PathLike[str]) -> ScoreTick:
    """Read a MIDI file into a score, in ticks.

    Args:
        path: A standard MIDI file within the limits of `this module`, plain or in a container
            (`.rmi`). One that counts film frames is read at 120 quarter notes a minute.

    Raises:
        ScoreError: If the file is missing, not MIDI, damaged, beyond a limit, or holds no notes
            other than drums, or several pieces; or if a note sounds at a tempo of 0.
    """
    return parse_score(read_bytes(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read what may be a MIDI file, at most one byte more than `parse_score` takes.

    Raises:
        ScoreError: If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ScoreError(f"cannot read the file: {error.strerror or error}") from error


def parse_score(data: bytes) -> ScoreTick:
    """Parse the bytes of a MIDI file into a score, in ticks.

    Raises:
        ScoreError: As `read_score`.
    """
    plain = unwrap(data)
    checked = check_bytes(plain)
    try:
        score = ScoreTick.from_midi(checked)
    except Exception as error:
        words = " ".join(str(error).split())[:160] or type(error).__name__
        raise ScoreError(f"damaged MIDI file: {words}") from error
    if plain[12] >= 0x80:  # film frames
        slower = 256 - plain[12] == 29  # 30 frames in 1.001 seconds
        score.tempos = TempoTickList([TempoTick(0, mspq=500_500 if slower else 500_000)])
        _check_score(score)  # before its ticks are doubled
        per_second = score.ticks_per_quarter
        score = score.resample(2 * per_second)
        score.ticks_per_quarter = per_second
    _check_score(score)
    return score


def unwrap(data: bytes) -> bytes:
    """Return the standard MIDI file that bytes are, or that a container holds (`.rmi`).

    Raises:
        ScoreError: If there is none.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ScoreError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    if not data:
        raise ScoreError("the file is empty")
    own = data
    if data[:4] == b"RIFF" and (held := _IN_RIFF.search(data)):
        own = data[held.end() :][: int.from_bytes(held[1], "little") or None]
    elif data[:4] != b"MThd":
        raise ScoreError("not a MIDI file, nor an .rmi that holds one")
    if len(own) < _HEAD_BYTES:
        raise ScoreError("damaged MIDI file: it ends inside its head")
    n_head = max(int.from_bytes(own[4:8], "big"), 6)  # later formats may say more
    return _HEAD + own[8:_HEAD_BYTES] + own[8 + n_head :]


def check_bytes(data: bytes) -> bytes:
    """Check what costs time or memory while a file is parsed, and return what is safe to parse.

    The parser makes a track of each program of a channel in a chunk, and gives each a copy of the
    chunk's name: both are bounded from above, without reading the events one by one. It reads up
    to three bytes past the end of an event that claims too few: so zeros follow the file. Where
    the file counts film frames, a quarter note has as many ticks as a second.

    Args:
        data: As `unwrap` returns it.

    Raises:
        ScoreError: If it holds several pieces, is of no known format, or beyond a limit.
    """
    chunks = _chunks(data)
    kind, division = int.from_bytes(data[8:10], "big"), data[12:14]
    if kind > 2:
        raise ScoreError(f"a MIDI file is of format 0, 1 or 2, this one says {kind}")
    if kind == 2 and len(chunks) > 1:
        raise ScoreError(
            f"the file holds {len(chunks)} pieces one after the other (format 2): save the one "
            "that is wanted as a file of its own"
        )
    if division[0] >= 0x80:
        rate, ticks = 256 - division[0], division[1]
        if rate not in _FRAME_RATES or not ticks:
            raise ScoreError(
                f"the file counts {ticks} ticks a frame, {rate} frames a second: at least 1 tick "
                f"is needed, and {', '.join(map(str, _FRAME_RATES))} frames are known"
            )
        division = ((30 if rate == 29 else rate) * ticks).to_bytes(2, "big")
    lengths = [len(chunk) for chunk in chunks]
    most = [min(length // _BYTES_OF_A_PART, _CHANNELS * _PROGRAMS) for length in lengths]
    if not _are_few([_CHANNELS + n for n in most], lengths):  # seldom: so look nearer
        n_parts, names = map(_most_parts, chunks), map(_longest_name, chunks)
        _check_parts(list(n_parts), list(names))
    n_tracks = len(chunks).to_bytes(2, "big")  # some claim more; no zero is to be read as one
    return data[:10] + n_tracks + division + data[_HEAD_BYTES:] + _PADDING


def _chunks(data: bytes) -> list[Bytes]:
    """Return the bytes of the tracks that the head counts."""
    values = np.frombuffer(data, np.uint8)
    n_tracks, at, n_chunks = int.from_bytes(data[10:12], "big"), _HEAD_BYTES, 0
    found: list[Bytes] = []
    while len(found) < n_tracks and at < len(data):
        start, n_chunks = at + 8, n_chunks + 1
        stop = start + int.from_bytes(data[at + 4 : start], "big")
        if n_chunks > _MAX_CHUNKS or len(found) == MAX_TRACKS:
            raise ScoreError(f"the file holds over {MAX_TRACKS} tracks")
        if max(start, stop) > len(data):
            raise ScoreError(f"damaged MIDI file: it ends inside chunk {n_chunks}")
        if data[at : at + 4] == b"MTrk":
            found.append(values[start:stop])
        at = stop
    return found


def _are_few(n_parts: list[int], names: list[int]) -> bool:
    """Tell whether so many tracks, each with a name of so many bytes, may be made."""
    n_bytes = sum(n * name for n, name in zip(n_parts, names, strict=True))
    return sum(n_parts) <= _MAX_PARTS and n_bytes <= _MAX_NAME_BYTES


def _check_parts(n_parts: list[int], names: list[int]) -> None:
    if sum(n_parts) > _MAX_PARTS:
        raise ScoreError(
            f"programs and channels cut the file into up to {sum(n_parts)} tracks, "
            f"at most {MAX_TRACKS} are accepted"
        )
    if not _are_few(n_parts, names):
        raise ScoreError(f"a name of a track is {max(names)} bytes long, too long for its tracks")


def _most_parts(chunk: Bytes) -> int:
    """Return a number of tracks that a chunk cannot exceed: different programs, and channels."""
    changes = np.flatnonzero((chunk[:-1] & 0xF0 == 0xC0) & (chunk[1:] < _PROGRAMS))
    pairs = (chunk[changes].astype(np.int64) << 8) + chunk[changes + 1]
    return _CHANNELS + len(np.unique(pairs))


def _longest_name(chunk: Bytes) -> int:
    """Return a length that no name in a chunk exceeds."""
    at = np.flatnonzero((chunk[:-1] == 0xFF) & (chunk[1:] == 0x03)) + 2
    padded = np.append(chunk, np.zeros(4, np.uint8)).astype(np.int64)
    length, goes_on = np.zeros(len(at), np.int64), np.ones(len(at), bool)
    for place in range(4):
        value = padded[at + place]
        length = np.where(goes_on, (length << 7) + (value & 0x7F), length)
        goes_on &= value > 0x7F
    return int(np.minimum(length, len(chunk) - at).max(initial=0))


def _check_score(score: ScoreTick) -> None:
    """Check what a parsed score holds, or raise a ScoreError; drop unheard tempi of 0."""
    _check_counts(score)
    _drop_unheard_stops(score)
    per_quarter, end = score.ticks_per_quarter, score.end()
    if end > MAX_TICKS or score.start() < 0:
        raise ScoreError(f"note times must lie in 0 to {MAX_TICKS} ticks, got {end}")
    if end > MAX_BEATS * per_quarter:
        raise ScoreError(
            f"the file is {end // per_quarter} quarter notes long, at most {MAX_BEATS} are accepted"
        )
    mspq = score.tempos.numpy()["mspq"]
    if len(mspq) and not (mspq.min() >= 1 and mspq.max() < 2**24):
        raise ScoreError("a note of the file sounds at a tempo of 0, so it has no length in time")
    end, slowest = max(end, 1), max(500_000, int(mspq.max(initial=0)))
    if end * slowest > MAX_SECONDS * 1_000_000 * per_quarter:
        seconds = float(seconds_at(score, np.array([end]))[0])
        if seconds > MAX_SECONDS:
            raise ScoreError(
                f"the file lasts {seconds:.0f} seconds, at most {MAX_SECONDS} are accepted"
            )
    sections = metres_of(score, end / per_quarter)
    n_bars = sum(math.ceil((stop - start) / bar) for start, stop, bar, _ in sections)
    n_beats = sum(math.ceil((stop - start) / beat) for start, stop, _, beat in sections)
    _check_most((n_bars, MAX_BARS, "bars"), (n_beats, MAX_BEATS, "beats"))


def _drop_unheard_stops(score: ScoreTick) -> None:
    """Drop tempi of 0 while no note sounds, as after the last one, or beside another one."""
    if (score.tempos.numpy()["mspq"] > 0).all():
        return
    columns = [track.notes.numpy() for track in score.tracks]
    start = np.concatenate([c["time"] for c in columns]).astype(np.int64)
    end = start + np.concatenate([c["duration"] for c in columns])
    tempos = sorted(score.tempos, key=lambda tempo: (tempo.time, tempo.mspq > 0))
    time = np.array([tempo.time for tempo in tempos], np.int64)
    until = np.append(time[1:], MAX_TICKS)
    n_begun = np.searchsorted(np.sort(start), until)  # before the next tempo
    n_over = np.searchsorted(np.sort(end), time, side="right")
    is_heard = (n_begun > n_over) & (until > time)
    kept = [own for own, heard in zip(tempos, is_heard, strict=True) if heard or own.mspq > 0]
    score.tempos = TempoTickList(kept)


def _check_counts(score: ScoreTick) -> None:
    if score.ticks_per_quarter <= 0:
        raise ScoreError(f"ticks a quarter note must be above 0, got {score.ticks_per_quarter}")
    _check_most((len(score.tracks), MAX_TRACKS, "tracks"))  # before they are gone through
    n_notes = sum(len(track.notes) for track in score.tracks)
    n_drums = sum(len(track.notes) for track in score.tracks if track.is_drum)
    if n_notes == n_drums:
        raise ScoreError(
            "all notes are on channel 10, which General MIDI keeps for drums: if they are a "
            "piano's, move them to another channel"
            if n_drums
            else "the file holds no notes"
        )
    _check_most(
        (n_notes, MAX_NOTES, "notes"),
        (len(score.tempos), MAX_TEMPOS, "tempos"),
        (len(score.time_signatures), MAX_TIME_SIGNATURES, "time signatures"),
    )


def _check_most(*counts: tuple[int, int, str]) -> None:
    for found, most, what in counts:
        if found > most:
            raise ScoreError(f"the file holds {found} {what}, at most {most} are accepted")


def notes_of(score: ScoreTick) -> Notes:
    """Return all notes of a score but the drums, as columns.

    Notes of no duration count as one tick long; the sustain pedal is left out.

    Raises:
        ScoreError: If there are none.
    """
    columns = [track.notes.numpy() for track in score.tracks if not track.is_drum]
    if not sum(len(c["time"]) for c in columns):
        raise ScoreError("the score holds no notes")
    time, duration, pitch, velocity = (
        np.concatenate([c[name] for c in columns]).astype(np.int64)
        for name in ("time", "duration", "pitch", "velocity")
    )
    order = np.lexsort((pitch, time))
    time, duration = time[order], np.maximum(duration[order], 1)
    onset_s, end_s = seconds_at(score, time), seconds_at(score, time + duration)
    return Notes(
        onset=time / score.ticks_per_quarter,
        duration=duration / score.ticks_per_quarter,
        onset_s=onset_s,
        duration_s=end_s - onset_s,
        pitch=pitch[order],
        velocity=velocity[order],
    )


def dampers_s(score: ScoreTick, notes: Notes) -> FloatColumn:
    """Return when the damper falls on each note of one piano, in seconds, shape (n,).

    That is when its key is up and the pedal, too; or when the key is struck again. It is infinite
    where the pedal stays down for good.

    Args:
        score: A score in ticks.
        notes: Its notes, as `notes_of` returns them.
    """
    events = list[tuple[int, int]]()
    for track in score.tracks:
        if not track.is_drum:
            own = track.copy()
            add_pedal_controls(own)
            events += [(c.time, c.value) for c in own.controls if c.number == PEDAL]
    events.sort(key=lambda event: event[0])  # the order of those at one time stays
    ticks, values = np.array([(-1, 0), *events], dtype=np.int64).T
    moved_s, is_down = seconds_at(score, np.maximum(ticks, 0)), values >= HALF_DOWN
    lifted_s = np.append(moved_s[~is_down], np.inf)
    end_s = notes.onset_s + notes.duration_s
    near = end_s + 1e-9
    held = is_down[np.searchsorted(moved_s, near, side="right") - 1]
    until_s = np.where(held, lifted_s[np.searchsorted(lifted_s, near, side="right")], end_s)
    order = np.lexsort((notes.onset_s, notes.pitch))
    again = notes.pitch[order][1:] == notes.pitch[order][:-1]
    next_s = np.full(len(notes), np.inf)
    next_s[order[:-1][again]] = notes.onset_s[order[1:][again]]
    return np.minimum(until_s, next_s)


def seconds_at(score: ScoreTick, ticks: IntColumn) -> FloatColumn:
    """Return the time in seconds of each tick, by the score's tempo map (120 where none holds).

    Args:
        score: A score in ticks.
        ticks: Ticks from the start, shape (n,).
    """
    starts, elapsed, second_per_tick = _tempo_map(score)
    index = np.searchsorted(starts, ticks, side="right") - 1
    return elapsed[index] + (ticks - starts[index]) * second_per_tick[index]


def ticks_at(score: ScoreTick, seconds: FloatColumn) -> FloatColumn:
    """Return the tick of each time in seconds, at least 0: what `seconds_at` undoes."""
    starts, elapsed, second_per_tick = _tempo_map(score)
    seconds = np.maximum(seconds, 0.0)
    index = np.searchsorted(elapsed, seconds, side="right") - 1
    return starts[index] + (seconds - elapsed[index]) / second_per_tick[index]


def _tempo_map(score: ScoreTick) -> tuple[IntColumn, FloatColumn, FloatColumn]:
    """Return where each tempo begins, in ticks and in seconds, and how long its ticks last."""
    tempos = score.tempos.numpy()
    ticks = np.maximum(np.concatenate(([0], tempos["time"])), 0)
    order = np.argsort(ticks, kind="stable")
    ticks, mspq = ticks[order], np.concatenate(([500_000.0], tempos["mspq"]))[order]
    holds = np.ones(len(ticks), dtype=bool)
    holds[:-1] = ticks[1:] > ticks[:-1]  # of two at one time, the last
    ticks, second_per_tick = ticks[holds], mspq[holds] / 1e6 / score.ticks_per_quarter
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * second_per_tick[:-1])])
    return ticks, elapsed, second_per_tick


def tempo_of(score: ScoreTick) -> float:
    """Return the tempo of a score, quarter notes a minute: the mean over its notes' span."""
    notes = notes_of(score)
    beats = float((notes.onset + notes.duration).max() - notes.onset[0])
    seconds = float((notes.onset_s + notes.duration_s).max() - notes.onset_s[0])
    return 60.0 * beats / seconds


def grid_of(score: ScoreTick, end: float) -> tuple[FloatColumn, FloatColumn]:
    """Return the bar lines up to the first one at or after `end`, and the beats, in beats.

    A change of time signature starts a new bar; one that says the same again does not.

    Args:
        score: A score in ticks.
        end: Beats, above 0.
    """
    sections = metres_of(score, end)
    bars, beats = [], []
    for start, stop, bar, beat in sections:
        if start == sections[-1][0]:
            stop = start + bar * math.ceil((end - start) / bar)
        bars.append(np.arange(start, stop - 1e-9, bar))
        beats.append(np.arange(start, stop - 1e-9, beat))
    return np.append(np.concatenate(bars), stop), np.concatenate(beats)


def metres_of(score: ScoreTick, end: float) -> list[tuple[float, float, float, float]]:
    """Return start and stop of each metre, its beats a bar, and the beats between its lines."""
    signatures = {0.0: (4.0, 1.0)}
    current = signatures[0.0]
    for signature in sorted(score.time_signatures, key=lambda signature: signature.time):
        beat = 4.0 / max(1, signature.denominator)
        read = (max(1, signature.numerator) * beat, beat)
        if read != current:
            current = signatures[signature.time / score.ticks_per_quarter] = read
    starts = sorted(start for start in signatures if start < end)
    stops = [*starts[1:], end]
    return [(start, stop, *signatures[start]) for start, stop in zip(starts, stops, strict=True)]


def write_score(score: ScoreTick, path: str | os.PathLike[str]) -> None:
    """Write a score as a standard MIDI file, whole or not at all.

    Raises:
        OSError: If the folder is missing, not writable or full; nothing is left behind then.
    """
    write_bytes(Path(path), dump_score(score))


def dump_score(score: ScoreTick) -> bytes:
    """Return the bytes of a standard MIDI file."""
    written = score.copy()
    for track in written.tracks:
        add_pedal_controls(track)
    return bytes(written.dumps_midi())


def add_pedal_controls(track: TrackTick) -> None:
    """Add the pedals of a track to its controls, in place, unless it has pedal controls.

    A MIDI file holds controls only; symusic reads pedals from them, but writes none.
    """
    if any(control.number == PEDAL for control in track.controls):
        return
    for pedal in track.pedals:
        track.controls.append(ControlChangeTick(pedal.time, PEDAL, 127))
        track.controls.append(ControlChangeTick(pedal.time + pedal.duration, PEDAL, 0))
