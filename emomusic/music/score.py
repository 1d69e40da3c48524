"""Read and write scores: the one door for MIDI files."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from symusic.core import ControlChangeTick, ScoreTick, TrackTick

from emomusic.files import write_atomically
from emomusic.music.limits import (
    MAX_BARS,
    MAX_BEATS,
    MAX_FILE_BYTES,
    MAX_SECONDS,
    check_bytes,
    check_score,
)
from emomusic.music.limits import ScoreError as ScoreError
from emomusic.music.notes import FloatColumn, IntColumn, Notes

PEDAL = 64
"""Controller of the sustain pedal (MIDI 1.0)."""


def read_score(path: str | os.PathLike[str]) -> ScoreTick:
    """Read a MIDI file into a score, in ticks.

    Args:
        path: A standard MIDI file within the limits of `emomusic.music.limits`.

    Raises:
        ScoreError: If the file is missing, not MIDI, damaged, beyond a limit, or holds no notes
            other than drums; or if it has a tempo of 0.
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
    checked = check_bytes(data)
    try:
        score = ScoreTick.from_midi(checked)
    except Exception as error:
        raise ScoreError(f"damaged MIDI file: {_one_line(error)}") from error
    check_score(score)
    _check_length(score)
    return score


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _check_length(score: ScoreTick) -> None:
    end = max(score.end(), 1)
    slowest = max(500_000, int(score.tempos.numpy()["mspq"].max(initial=0)))
    if end * slowest > MAX_SECONDS * 1_000_000 * score.ticks_per_quarter:
        seconds = float(seconds_at(score, np.array([end]))[0])
        if seconds > MAX_SECONDS:
            raise ScoreError(
                f"the file lasts {seconds:.0f} seconds, at most {MAX_SECONDS} are accepted"
            )
    sections = _sections(score, end / score.ticks_per_quarter)
    for most, what, lengths in (
        (MAX_BARS, "bars", [(stop - start) / bar for start, stop, bar, _ in sections]),
        (MAX_BEATS, "beats", [(stop - start) / beat for start, stop, _, beat in sections]),
    ):
        n_lines = sum(map(math.ceil, lengths))
        if n_lines > most:
            raise ScoreError(f"the file holds {n_lines} {what}, at most {most} are accepted")


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
    return elapsed[index] + (ticks - starts[index]) * second_per_tick[index]


def _tempo_map(score: ScoreTick) -> tuple[IntColumn, FloatColumn]:
    tempos = score.tempos.numpy()
    ticks = np.maximum(np.concatenate(([0], tempos["time"])), 0)
    order = np.argsort(ticks, kind="stable")
    ticks, mspq = ticks[order], np.concatenate(([500_000.0], tempos["mspq"]))[order]
    holds = np.ones(len(ticks), dtype=bool)
    holds[:-1] = ticks[1:] > ticks[:-1]  # of two at one time, the last
    return ticks[holds], mspq[holds] / 1e6 / score.ticks_per_quarter


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
    sections = _sections(score, end)
    bars, beats = [], []
    for start, stop, bar, beat in sections:
        if start == sections[-1][0]:
            stop = start + bar * math.ceil((end - start) / bar)
        bars.append(np.arange(start, stop - 1e-9, bar))
        beats.append(np.arange(start, stop - 1e-9, beat))
    return np.append(np.concatenate(bars), stop), np.concatenate(beats)


def _sections(score: ScoreTick, end: float) -> list[tuple[float, float, float, float]]:
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
