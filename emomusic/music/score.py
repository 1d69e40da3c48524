"""Read and write scores: the one door for MIDI files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from symusic.core import ControlChangeTick, ScoreTick, TrackTick

from emomusic.files import write_atomically
from emomusic.music.notes import FloatColumn, IntColumn, Notes

MAX_FILE_BYTES = 8 * 2**20
MAX_NOTES = 50_000
MAX_TICKS = 2**30
"""Ticks are 32 bits wide in symusic: sums of two stay within."""
MAX_BEATS = 100_000
"""Seven hours at 240 quarter notes a minute: what counts beats stays small in memory."""
PEDAL = 64
"""Controller of the sustain pedal (MIDI 1.0)."""


class ScoreError(ValueError):
    """Tell in one line why a file or score cannot be used."""


def read_score(path: str | os.PathLike[str]) -> ScoreTick:
    """Read a MIDI file into a score, in ticks.

    Args:
        path: A standard MIDI file of at most 8 MiB and 50,000 notes.

    Raises:
        ScoreError: If the file is missing, not MIDI, damaged, too large, or holds no notes
            other than drums; or if it is longer than 100,000 quarter notes, or has a tempo of 0.
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
    if len(data) > MAX_FILE_BYTES:
        raise ScoreError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    if not data:
        raise ScoreError("the file is empty")
    if data[:4] != b"MThd":
        raise ScoreError("not a MIDI file: it does not start with MThd")
    try:
        score = ScoreTick.from_midi(data)
    except Exception as error:
        raise ScoreError(f"damaged MIDI file: {_one_line(error)}") from error
    _check(score)
    return score


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check(score: ScoreTick) -> None:
    if score.ticks_per_quarter <= 0:
        raise ScoreError(f"ticks a quarter note must be above 0, got {score.ticks_per_quarter}")
    n_notes = sum(len(track.notes) for track in score.tracks)
    n_drums = sum(len(track.notes) for track in score.tracks if track.is_drum)
    if n_notes == 0:
        raise ScoreError("the file holds no notes")
    if n_notes == n_drums:
        raise ScoreError("the file holds drums only, no pitched notes")
    if n_notes > MAX_NOTES:
        raise ScoreError(f"the file holds {n_notes} notes, at most {MAX_NOTES} are accepted")
    if score.end() > MAX_TICKS or score.start() < 0:
        raise ScoreError(f"note times must lie in 0 to {MAX_TICKS} ticks, got {score.end()}")
    if score.end() > MAX_BEATS * score.ticks_per_quarter:
        beats = score.end() // score.ticks_per_quarter
        raise ScoreError(
            f"the file is {beats} quarter notes long, at most {MAX_BEATS} are accepted"
        )
    if any(not 1 <= tempo.mspq < 2**24 for tempo in score.tempos):
        raise ScoreError("the file holds a tempo of 0 or below")


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


def seconds_at(score: ScoreTick, ticks: IntColumn) -> FloatColumn:
    """Return the time in seconds of each tick, by the score's tempo map (120 where none holds).

    Args:
        score: A score in ticks.
        ticks: Ticks from the start, shape (n,).
    """
    starts, second_per_tick = _tempo_map(score)
    elapsed = np.concatenate([[0.0], np.cumsum(np.diff(starts) * second_per_tick[:-1])])
    index = np.searchsorted(starts, ticks, side="right") - 1
    seconds: FloatColumn = elapsed[index] + (ticks - starts[index]) * second_per_tick[index]
    return seconds


def _tempo_map(score: ScoreTick) -> tuple[IntColumn, FloatColumn]:
    changes = {0: 500_000}
    for tempo in sorted(score.tempos, key=lambda tempo: tempo.time):
        changes[max(int(tempo.time), 0)] = int(tempo.mspq)
    starts = np.array(sorted(changes), dtype=np.int64)
    mspq = np.array([changes[int(start)] for start in starts], dtype=np.float64)
    return starts, mspq / 1e6 / score.ticks_per_quarter


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
    signatures = {0.0: (4.0, 1.0)}  # start of the section: beats a bar, beats between lines
    current = signatures[0.0]
    for signature in sorted(score.time_signatures, key=lambda signature: signature.time):
        beat = 4.0 / max(1, signature.denominator)
        read = (max(1, signature.numerator) * beat, beat)
        if read != current:
            current = signatures[signature.time / score.ticks_per_quarter] = read
    starts = sorted(start for start in signatures if start < end)
    bars, beats = [], []
    for start, stop in zip(starts, [*starts[1:], end], strict=True):
        bar, beat = signatures[start]
        if start == starts[-1]:
            stop = start + bar * math.ceil((end - start) / bar)
        bars.append(np.arange(start, stop - 1e-9, bar))
        beats.append(np.arange(start, stop - 1e-9, beat))
    return np.append(np.concatenate(bars), stop), np.concatenate(beats)


def write_score(score: ScoreTick, path: str | os.PathLike[str]) -> None:
    """Write a score as a standard MIDI file, whole or not at all.

    Raises:
        OSError: If the folder is missing, not writable or full; nothing is left behind then.
    """
    data = dump_score(score)
    write_atomically(Path(path), lambda file: file.write(data))


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
