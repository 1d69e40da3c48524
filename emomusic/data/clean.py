"""A raw score made regular: bars of 2, 3 or 4 beats, twelfths of a beat, no silent bars."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from symusic.core import (
    NoteTickList,
    ScoreTick,
    TimeSignatureTick,
    TimeSignatureTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.data.beat import BeatGrid, to_beats
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import notes_of, seconds_at
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, STEPS_PER_BEAT

SIMPLE = {(2, 4): 2, (3, 4): 3, (4, 4): 4, (2, 2): 4, (4, 8): 2, (6, 4): 3, (3, 2): 3, (4, 2): 4,
          (8, 4): 4, (8, 8): 4}  # fmt: skip
COMPOUND = {(3, 8): 1, (6, 8): 2, (9, 8): 3, (12, 8): 4, (6, 16): 2, (12, 16): 2}
Stretch = tuple[dict[int, tuple[int, int]], int | None]
"""Time signatures by the tick at which they begin, rising, and the tick after the stretch, None
where it lasts to the end."""


class SkippedError(ValueError):
    """Tell in a few words why a file is left out; files are counted by this reason."""


@dataclass(frozen=True)
class Metre:
    """Hold a stretch of one time signature, in raw beats and in clean ones."""

    start: float
    scale: float
    beats: int
    clean_start: float


def known_stretches(score: ScoreTick) -> list[Stretch]:
    """Return the stretches of a score that have known metres only.

    Raises:
        SkippedError: If no metre is known.
    """
    changes = {0: (4, 4)}
    for change in score.time_signatures:
        changes[int(change.time)] = (change.numerator, change.denominator)
    ticks = sorted(changes)
    unknown = [tick for tick in ticks if changes[tick] not in SIMPLE | COMPOUND]
    begins = [0, *(bisect_right(ticks, tick) for tick in unknown)]
    stretches: list[Stretch] = [
        ({tick: changes[tick] for tick in ticks[begin:] if stop is None or tick < stop}, stop)
        for begin, stop in zip(begins, [*unknown, None], strict=True)
    ]
    found = [(own, stop) for own, stop in stretches if own]
    if not found:
        top, bottom = changes[unknown[0]]
        raise SkippedError(f"time signature {top}/{bottom}")
    return found


def metres_of(changes: dict[int, tuple[int, int]], ticks_per_quarter: int) -> list[Metre]:
    """Return the metres of a stretch that has known ones only.

    Args:
        changes: Time signatures by the tick at which they begin, rising.
        ticks_per_quarter: Of the score.
    """
    found: list[Metre] = []
    for tick, signature in changes.items():
        start = tick / ticks_per_quarter
        beats, scale = _beats_of(signature)
        clean = 0.0
        if found:
            before = found[-1]
            length = (start - before.start) * before.scale
            clean = before.clean_start + np.ceil(length / before.beats - 1e-3) * before.beats
        found.append(Metre(start, scale, beats, float(clean)))
    return found


def _beats_of(signature: tuple[int, int]) -> tuple[int, float]:
    if signature in SIMPLE:
        return SIMPLE[signature], 1.0
    dotted = 12.0 / signature[1]
    return max(COMPOUND[signature], 2), 1.0 / dotted


def to_clean(beats: FloatColumn, metres: list[Metre], which: IntColumn) -> FloatColumn:
    """Return clean beats of raw ones, `which` being the index of each one's metre."""
    start = np.array([m.start for m in metres])[which]
    scale = np.array([m.scale for m in metres])[which]
    clean: FloatColumn = np.array([m.clean_start for m in metres])[which] + (beats - start) * scale
    return clean


def to_raw(beats: FloatColumn, metres: list[Metre]) -> FloatColumn:
    """Return the raw beats of clean ones."""
    starts = [m.clean_start for m in metres]
    which = np.searchsorted(starts, beats + 1e-6, side="right") - 1
    scale = np.array([m.scale for m in metres])[which]
    raw: FloatColumn = np.array([m.start for m in metres])[which] + (
        (beats - np.array(starts)[which]) / scale
    )
    return raw


def bar_lines(metres: list[Metre], end: int) -> IntColumn:
    """Return the clean tick of each bar line, up to the first at or after `end`."""
    lines: list[int] = []
    for i, m in enumerate(metres):
        start, bar = round(m.clean_start * STEPS_PER_BEAT), m.beats * STEPS_PER_BEAT
        last = i + 1 == len(metres) or metres[i + 1].clean_start * STEPS_PER_BEAT >= end
        stop = end if last else round(metres[i + 1].clean_start * STEPS_PER_BEAT)
        lines.extend(range(start, stop, bar))
        if last:
            lines.append(lines[-1] + bar)
            break
    return np.array(lines, dtype=np.int64)


PERFORMED_STEP = STEPS_PER_BEAT // 4
SHORTEST_PERFORMED = 2
FLAT_VELOCITIES = 2
Spans = Sequence[tuple[int, int | None]]
"""First quarter note of each stretch, which is a bar line, and the first after it, None for the
end of the piece."""
EVERYWHERE: Spans = ((0, None),)
MIN_BARS, MIN_FURTHER_BARS = 4, 8
"""Bars of a song, and of the stretches of it that are taken beside the longest."""


@dataclass(frozen=True)
class Song:
    """Hold a cleaned piece.

    Attributes:
        score: One track, twelve ticks a beat, time signatures 2/4, 3/4 and 4/4.
        bar_s: Seconds at each bar line, shape (n_bars + 1,).
        bar_beats: Beats of each bar, shape (n_bars,).
        bar_compound: Whether they are dotted quarters, cut into twelfths all the same, (n_bars,).
        raw_lines: Quarter notes of the file at each bar line, shape (n_bars + 1,); of a
            performance its tracked beats.
        has_dynamics: Whether there are more than two velocities.
        is_to_the_end: Whether its last bar is the piece's last.
        given_chords: Chord of each half bar that the file came with, -1 where there is none,
            shape (n_bars, 2); None if it came with none at all.
    """

    score: ScoreTick
    bar_s: FloatColumn
    bar_beats: IntColumn
    bar_compound: NDArray[np.bool_]
    raw_lines: FloatColumn
    has_dynamics: bool
    is_to_the_end: bool = True
    given_chords: IntColumn | None = None


def clean_score(
    score: ScoreTick,
    *,
    performed: bool,
    metre: tuple[int, int] | None = None,
    tempo: float | None = None,
) -> Song:
    """Make a score regular: the longest of its `clean_stretches`."""
    return clean_stretches(score, performed=performed, metre=metre, tempo=tempo)[0]


def clean_stretches(
    score: ScoreTick,
    *,
    performed: bool,
    metre: tuple[int, int] | None = None,
    spans: Spans = EVERYWHERE,
    tempo: float | None = None,
) -> list[Song]:
    """Make a score regular.

    Compound metres become simple ones with triplets (a dotted quarter is a beat), bars of
    six or eight beats are halved, silent bars at both ends are cut off. Where bars of other
    metres come in between, the stretches without them are taken.

    Args:
        score: A raw score with bars.
        performed: Whether onsets are played, not written: they snap to sixteenths; written
            ones to twelfths of a beat.
        metre: Overrides the file's time signatures.
        spans: Where it does so.
        tempo: Overrides the file's tempo map, in quarter notes a minute.

    Returns:
        The longest stretch, then the others of at least 8 bars, longer ones first.

    Raises:
        SkippedError: If no time signature is one of those, or the longest stretch has less
            than 4 bars.
    """
    quarter = score.ticks_per_quarter
    if metre is None:
        stretches = known_stretches(score)
    else:
        stretches = [({first * quarter: metre}, stop and stop * quarter) for first, stop in spans]
    notes = notes_of(score)
    longest_first = sorted(stretches, key=lambda one: min(one[0]) - (one[1] or score.end()))
    songs: list[Song] = []
    for changes, stop in longest_first:
        metres = metres_of(changes, quarter)
        end = math.inf if stop is None else stop / quarter
        try:
            song = _clean_stretch(score, notes, metres, end=end, performed=performed, tempo=tempo)
        except SkippedError:
            if not songs:
                raise
            continue
        if not songs or len(song.bar_beats) >= MIN_FURTHER_BARS:
            songs.append(song)
    return songs


def _clean_stretch(
    score: ScoreTick,
    notes: Notes,
    metres: list[Metre],
    *,
    end: float,
    performed: bool,
    tempo: float | None,
) -> Song:
    keep = (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)
    keep &= (notes.onset >= metres[0].start - 1e-6) & (notes.onset < end - 1e-6)
    notes = notes.where(keep)
    if not len(notes):
        raise SkippedError("no notes on the piano")
    duration = np.minimum(notes.duration, end - notes.onset)
    which = np.searchsorted([m.start for m in metres], notes.onset + 1e-6, side="right") - 1
    scale = np.array([m.scale for m in metres])[which]
    onset = to_clean(notes.onset, metres, which)
    ticks, lengths = _snap(onset, duration * scale, performed=performed)
    bar_ticks = bar_lines(metres, int(ticks.max()) + 1)
    first, last = np.searchsorted(bar_ticks, [ticks.min(), ticks.max()], side="right") - 1
    lines = bar_ticks[first : last + 2]
    if len(lines) - 1 < MIN_BARS:
        raise SkippedError(f"fewer than {MIN_BARS} bars")
    raw_beats = to_raw(lines / STEPS_PER_BEAT, metres)
    bar_beats = (np.diff(lines) // STEPS_PER_BEAT).astype(np.int64)
    starts = [m.clean_start for m in metres]
    of_bar = np.searchsorted(starts, lines[:-1] / STEPS_PER_BEAT + 1e-6, side="right") - 1
    return Song(
        score=_build(ticks - lines[0], lengths, notes.pitch, notes.velocity, bar_beats),
        bar_s=_seconds(score, raw_beats, tempo),
        bar_beats=bar_beats,
        bar_compound=np.array([m.scale != 1.0 for m in metres])[of_bar],
        raw_lines=raw_beats,
        has_dynamics=len(np.unique(notes.velocity)) > FLAT_VELOCITIES,
        is_to_the_end=math.isinf(end),
    )


def clean_performance(notes: Notes, grid: BeatGrid) -> Song:
    """Make a performance regular whose beats were tracked.

    Args:
        notes: As played; only their seconds count.
        grid: Its beats.

    Raises:
        SkippedError: If less than 4 bars are left.
    """
    notes = notes.where((notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH))
    if not len(notes):
        raise SkippedError("no notes on the piano")
    onset = np.asarray(to_beats(notes.onset_s, grid))
    duration = np.asarray(to_beats(notes.onset_s + notes.duration_s, grid)) - onset
    ticks, lengths = _snap(np.maximum(onset, 0.0), duration, performed=True)
    bar = grid.beats_per_bar * STEPS_PER_BEAT
    first, last = int(ticks.min()) // bar, int(ticks.max()) // bar
    if last - first + 1 < MIN_BARS:
        raise SkippedError(f"fewer than {MIN_BARS} bars")
    lines = np.arange(first, last + 2) * bar
    bar_beats = np.full(last - first + 1, grid.beats_per_bar, dtype=np.int64)
    return Song(
        score=_build(ticks - lines[0], lengths, notes.pitch, notes.velocity, bar_beats),
        bar_s=_at_beats(lines / STEPS_PER_BEAT, grid),
        bar_beats=bar_beats,
        bar_compound=np.zeros(len(bar_beats), dtype=np.bool_),
        raw_lines=lines / STEPS_PER_BEAT,
        has_dynamics=len(np.unique(notes.velocity)) > FLAT_VELOCITIES,
    )


def _at_beats(beats: FloatColumn, grid: BeatGrid) -> FloatColumn:
    known = np.arange(len(grid.beats_s), dtype=np.float64)
    beyond = np.maximum(beats - known[-1], 0.0) * 60.0 / grid.tempo
    seconds: FloatColumn = np.interp(beats, known, grid.beats_s) + beyond
    return seconds


def _snap(onset: FloatColumn, duration: FloatColumn, *, performed: bool) -> tuple[IntColumn, ...]:
    step = PERFORMED_STEP if performed else 1
    ticks = np.rint(onset * STEPS_PER_BEAT / step).astype(np.int64) * step
    lengths = np.rint(duration * STEPS_PER_BEAT / step).astype(np.int64) * step
    shortest = SHORTEST_PERFORMED if performed else 1
    return np.maximum(ticks, 0), np.maximum(lengths, shortest)


def _seconds(score: ScoreTick, beats: FloatColumn, tempo: float | None) -> FloatColumn:
    if tempo is not None:
        seconds: FloatColumn = beats * 60.0 / tempo
        return seconds
    return seconds_at(score, np.rint(beats * score.ticks_per_quarter).astype(np.int64))


def _build(
    ticks: IntColumn,
    lengths: IntColumn,
    pitch: IntColumn,
    velocity: IntColumn,
    bar_beats: IntColumn,
) -> ScoreTick:
    score = ScoreTick(STEPS_PER_BEAT)
    track = TrackTick("Piano", 0, False)
    track.notes = NoteTickList.from_numpy(
        ticks.astype(np.int32),
        lengths.astype(np.int32),
        pitch.astype(np.int8),
        np.maximum(velocity, 1).astype(np.int8),
    )
    score.tracks = TrackTickList([track])
    starts = np.concatenate([[0], np.cumsum(bar_beats)[:-1]]) * STEPS_PER_BEAT
    changed = np.flatnonzero(np.diff(bar_beats, prepend=0))
    score.time_signatures = TimeSignatureTickList(
        TimeSignatureTick(int(starts[i]), int(bar_beats[i]), 4) for i in changed
    )
    return score
