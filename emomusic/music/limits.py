"""What a MIDI file may hold: checked in its bytes before they are parsed, and in the score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick

MAX_FILE_BYTES = 8 * 2**20
"""Bytes of a file: 50,000 notes with pedals and bends take a tenth of it."""
MAX_TRACKS = 512
"""Tracks of a file, and of the score: the parser makes one of each program of a channel."""
MAX_NOTES = 50_000
"""Notes, drums among them: an hour of fast music."""
MAX_TICKS = 2**30
"""Ticks are 32 bits wide in symusic: sums of two stay within."""
MAX_BEATS = 100_000
"""Quarter notes, or beats of the time signatures: seven hours at 240 a minute."""
MAX_SECONDS = 86_400
"""A day: however slow its tempi are."""
MAX_BARS = 50_000
"""Bars by the time signatures: as many as 100,000 beats have in 2/4."""
MAX_TEMPOS = 20_000
"""Tempo changes: one on each eighth note of the longest pieces that are played."""
MAX_TIME_SIGNATURES = 5_000
"""Changes of the time signature: each costs a step in Python, wherever bars are counted."""
MAX_MEMORY = 256 * 2**20
"""Bytes that reading any file takes at most, the file itself among them, beside the libraries."""

_MAX_CHUNKS = 4 * MAX_TRACKS
_MAX_PARTS = 16_384
"""Tracks that the parser makes before they can be counted, at about 5 KiB each."""
_MAX_NAME_BYTES = 32 * 2**20
"""Bytes of the tracks' names: the parser gives each track a copy of its chunk's."""
_CHANNELS, _PROGRAMS = 16, 128
_BYTES_OF_A_PART = 7
"""A change of the program and a note: what makes the parser add a track."""
_HEAD_BYTES = 14
_PADDING = bytes(8)
Bytes = NDArray[np.uint8]


class ScoreError(ValueError):
    """Tell in one line why a file or score cannot be used."""


def check_bytes(data: bytes) -> bytes:
    """Check what costs time or memory while a file is parsed, and return what is safe to parse.

    The parser makes a track of each program of a channel in a chunk, and gives each a copy of the
    chunk's name: both are bounded from above, without reading the events one by one. It reads up
    to three bytes past the end of an event that claims too few: so zeros follow the file.

    Raises:
        ScoreError: If it is no MIDI file, or beyond a limit.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ScoreError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    if not data:
        raise ScoreError("the file is empty")
    if data[:4] != b"MThd":
        raise ScoreError("not a MIDI file: it does not start with MThd")
    if len(data) < _HEAD_BYTES:
        raise ScoreError("damaged MIDI file: it ends inside its head")
    chunks = _chunks(data)
    if not _are_small([stop - start for start, stop in chunks]):
        values = np.frombuffer(data, np.uint8)
        _check_parts([values[start:stop] for start, stop in chunks])
    n_tracks = len(chunks).to_bytes(2, "big")  # some claim more; no zero is to be read as one
    return data[:10] + n_tracks + data[12:] + _PADDING


def _chunks(data: bytes) -> list[tuple[int, int]]:
    """Return where the tracks that the head counts begin and stop."""
    n_tracks, at, n_chunks = int.from_bytes(data[10:12], "big"), _HEAD_BYTES, 0
    found: list[tuple[int, int]] = []
    while len(found) < n_tracks and at < len(data):
        start, n_chunks = at + 8, n_chunks + 1
        stop = start + int.from_bytes(data[at + 4 : start], "big")
        if n_chunks > _MAX_CHUNKS or len(found) == MAX_TRACKS:
            raise ScoreError(f"the file holds over {MAX_TRACKS} tracks")
        if max(start, stop) > len(data):
            raise ScoreError(f"damaged MIDI file: it ends inside chunk {n_chunks}")
        if data[at : at + 4] == b"MTrk":
            found.append((start, stop))
        at = stop
    return found


def _are_small(lengths: list[int]) -> bool:
    """Tell whether chunks are too short to make too many tracks, or too many bytes of names."""
    most = [
        _CHANNELS + min(length // _BYTES_OF_A_PART, _CHANNELS * _PROGRAMS) for length in lengths
    ]
    names = sum(n * length for n, length in zip(most, lengths, strict=True))
    return sum(most) <= _MAX_PARTS and names <= _MAX_NAME_BYTES


def _check_parts(chunks: list[Bytes]) -> None:
    n_parts = [_most_parts(chunk) for chunk in chunks]
    if sum(n_parts) > _MAX_PARTS:
        raise ScoreError(
            f"programs and channels cut the file into up to {sum(n_parts)} tracks, "
            f"at most {MAX_TRACKS} are accepted"
        )
    names = [_longest_name(chunk) for chunk in chunks]
    if sum(n * name for n, name in zip(n_parts, names, strict=True)) > _MAX_NAME_BYTES:
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


def check_score(score: ScoreTick) -> None:
    """Check what a parsed score holds, but for its bars and its length in seconds.

    Raises:
        ScoreError: If it holds no pitched notes, or is beyond a limit.
    """
    per_quarter = score.ticks_per_quarter
    if per_quarter <= 0:
        raise ScoreError(f"ticks a quarter note must be above 0, got {per_quarter}")
    _check_counts(score)
    if score.end() > MAX_TICKS or score.start() < 0:
        raise ScoreError(f"note times must lie in 0 to {MAX_TICKS} ticks, got {score.end()}")
    if score.end() > MAX_BEATS * per_quarter:
        beats = score.end() // per_quarter
        raise ScoreError(
            f"the file is {beats} quarter notes long, at most {MAX_BEATS} are accepted"
        )
    mspq = score.tempos.numpy()["mspq"]
    if len(mspq) and not (mspq.min() >= 1 and mspq.max() < 2**24):
        raise ScoreError("the file holds a tempo of 0 or below")


def _check_counts(score: ScoreTick) -> None:
    n_tracks = len(score.tracks)
    if n_tracks > MAX_TRACKS:  # before they are gone through
        raise ScoreError(f"the file holds {n_tracks} tracks, at most {MAX_TRACKS} are accepted")
    n_notes = sum(len(track.notes) for track in score.tracks)
    n_drums = sum(len(track.notes) for track in score.tracks if track.is_drum)
    if n_notes == 0:
        raise ScoreError("the file holds no notes")
    if n_notes == n_drums:
        raise ScoreError("the file holds drums only, no pitched notes")
    for found, most, what in (
        (n_notes, MAX_NOTES, "notes"),
        (len(score.tempos), MAX_TEMPOS, "tempos"),
        (len(score.time_signatures), MAX_TIME_SIGNATURES, "time signatures"),
    ):
        if found > most:
            raise ScoreError(f"the file holds {found} {what}, at most {most} are accepted")
