"""A raw score made regular: bars of 2, 3 or 4 beats, twelfths of a beat, no silent bars."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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

from emomusic.music.bars import PERFORMED_STEP, Metre
from emomusic.music.beat import BeatGrid, to_beats
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.score import notes_of, seconds_at
from emomusic.music.tokenizer import HIGHEST_PITCH, LOWEST_PITCH, STEPS_PER_BEAT

SHORTEST_PERFORMED = 2
FLAT_VELOCITIES = 2
MIN_BARS, MIN_FURTHER_BARS = 4, 8
"""Bars of a song, and of the stretches of it that are taken beside the longest."""
Stretch = tuple[dict[int, tuple[int, int]], int | None]
"""Time signatures by the tick at which they begin, rising, and the tick after the stretch, None
where it lasts to the end."""
Spans = Sequence[tuple[int, int | None]]
"""First quarter note of each stretch, which is a bar line, and the first after it, None for the
end of the piece."""
EVERYWHERE: Spans = ((0, None),)


class SkippedError(ValueError):
    """Tell in a few words why a file is left out; files are counted by this reason."""


@dataclass(frozen=True)
class _Metres:
    """The metres of a stretch, from first to last, shape (n_metres,) each.

    Attributes:
        start: Raw beat, a quarter note of the file, at which it begins.
        scale: Clean beats in a raw one: 1, or 2 / 3 where a beat is a dotted quarter.
        beats: Clean beats of a bar.
        clean_start: Clean beat at which it begins; bars cut short by a change are whole.
    """

    start: FloatColumn
    scale: FloatColumn
    beats: IntColumn
    clean_start: FloatColumn

    @classmethod
    def of(cls, changes: dict[int, tuple[int, int]], ticks_per_quarter: int) -> _Metres:
        """Look up known time signatures, given by the tick at which they begin, rising."""
        start = np.array([*changes]) / ticks_per_quarter
        metres = [Metre(*change) for change in changes.values()]
        beats = np.array([metre.beats for metre in metres])
        scale = np.array([1.0 / metre.beat for metre in metres])
        n_bars = np.ceil(np.diff(start) * scale[:-1] / beats[:-1] - 1e-3)
        return cls(start, scale, beats, np.concatenate([[0.0], np.cumsum(n_bars * beats[:-1])]))

    def at(self, beats: FloatColumn) -> IntColumn:
        """Return the index of the metre of raw beats."""
        return np.searchsorted(self.start, beats + 1e-6, side="right") - 1

    def at_clean(self, beats: FloatColumn) -> IntColumn:
        """Return the index of the metre of clean beats."""
        return np.searchsorted(self.clean_start, beats + 1e-6, side="right") - 1

    def to_clean(self, beats: FloatColumn) -> FloatColumn:
        """Return clean beats of raw ones."""
        which = self.at(beats)
        return self.clean_start[which] + (beats - self.start[which]) * self.scale[which]

    def to_raw(self, beats: FloatColumn) -> FloatColumn:
        """Return raw beats of clean ones."""
        which = self.at_clean(beats)
        return self.start[which] + (beats - self.clean_start[which]) / self.scale[which]

    def bar_lines(self, end: int) -> IntColumn:
        """Return the clean tick of each bar line, up to the first at or after `end`."""
        starts = np.rint(self.clean_start * STEPS_PER_BEAT).astype(np.int64)
        starts = starts[: max(int(np.searchsorted(starts, end)), 1)]
        bars = self.beats[: len(starts)] * STEPS_PER_BEAT
        spans = zip(starts, [*starts[1:], end], bars, strict=True)
        lines = np.concatenate([np.arange(*span) for span in spans])
        return np.append(lines, lines[-1] + bars[-1])


@dataclass(frozen=True)
class Song:
    """A cleaned piece.

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
        stretches = _known_stretches(score)
    else:
        stretches = [({first * quarter: metre}, stop and stop * quarter) for first, stop in spans]

    def seconds(beats: FloatColumn) -> FloatColumn:
        if tempo is not None:
            return beats * 60.0 / tempo
        return seconds_at(score, np.rint(beats * quarter).astype(np.int64))

    notes, songs = notes_of(score), list[Song]()
    for changes, stop in sorted(stretches, key=lambda one: min(one[0]) - (one[1] or score.end())):
        end = math.inf if stop is None else stop / quarter
        try:
            song = _regular(
                notes, _Metres.of(changes, quarter), seconds, end=end, performed=performed
            )
        except SkippedError:
            if not songs:
                raise
            continue
        if not songs or len(song.bar_beats) >= MIN_FURTHER_BARS:
            songs.append(song)
    return songs


def _known_stretches(score: ScoreTick) -> list[Stretch]:
    """Return the stretches of a score that have known metres only.

    Raises:
        SkippedError: If no metre is known.
    """
    changes = {0: (4, 4)}
    for change in score.time_signatures:
        changes[int(change.time)] = (change.numerator, change.denominator)
    ticks = sorted(changes)
    unknown = [tick for tick in ticks if not Metre(*changes[tick]).is_known]
    begins = [0, *(bisect_right(ticks, tick) for tick in unknown)]
    stretches: list[Stretch] = [
        ({tick: changes[tick] for tick in ticks[begin:] if stop is None or tick < stop}, stop)
        for begin, stop in zip(begins, [*unknown, None], strict=True)
    ]
    found = [(own, stop) for own, stop in stretches if own]
    if not found:
        raise SkippedError("time signature {}/{}".format(*changes[unknown[0]]))
    return found


def clean_performance(notes: Notes, grid: BeatGrid) -> Song:
    """Make a performance regular, of which only the seconds count, by beats that were tracked.

    Raises:
        SkippedError: If less than 4 bars are left.
    """
    known = np.arange(len(grid.beats_s), dtype=np.float64)

    def seconds(beats: FloatColumn) -> FloatColumn:
        beyond = np.maximum(beats - known[-1], 0.0) * 60.0 / grid.tempo
        return np.interp(beats, known, grid.beats_s) + beyond

    onset = to_beats(notes.onset_s, grid)
    duration = to_beats(notes.onset_s + notes.duration_s, grid) - onset
    metres = _Metres.of({0: (grid.beats_per_bar, 4)}, 1)
    in_beats = replace(notes, onset=onset, duration=duration)
    return _regular(in_beats, metres, seconds, end=math.inf, performed=True)


def _regular(
    notes: Notes,
    metres: _Metres,
    seconds: Callable[[FloatColumn], FloatColumn],
    *,
    end: float,
    performed: bool,
) -> Song:
    """Make the notes of a stretch regular, which ends at a raw beat; seconds are those of beats."""
    keep = (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)
    keep &= (notes.onset >= metres.start[0] - 1e-6) & (notes.onset < end - 1e-6)
    notes = notes.where(keep)
    if not len(notes):
        raise SkippedError("no notes on the piano")
    duration = np.minimum(notes.duration, end - notes.onset) * metres.scale[metres.at(notes.onset)]
    step, shortest = (PERFORMED_STEP, SHORTEST_PERFORMED) if performed else (1, 1)
    ticks, lengths = (
        np.rint(beats * STEPS_PER_BEAT / step).astype(np.int64) * step
        for beats in (metres.to_clean(notes.onset), duration)
    )
    ticks, lengths = np.maximum(ticks, 0), np.maximum(lengths, shortest)
    bar_ticks = metres.bar_lines(int(ticks.max()) + 1)
    first, last = np.searchsorted(bar_ticks, [ticks.min(), ticks.max()], side="right") - 1
    lines = bar_ticks[first : last + 2]
    if len(lines) - 1 < MIN_BARS:
        raise SkippedError(f"fewer than {MIN_BARS} bars")
    raw_lines = metres.to_raw(lines / STEPS_PER_BEAT)
    bar_beats = np.diff(lines) // STEPS_PER_BEAT
    return Song(
        score=_build(notes, ticks - lines[0], lengths, bar_beats),
        bar_s=seconds(raw_lines),
        bar_beats=bar_beats,
        bar_compound=metres.scale[metres.at_clean(lines[:-1] / STEPS_PER_BEAT)] != 1.0,
        raw_lines=raw_lines,
        has_dynamics=len(np.unique(notes.velocity)) > FLAT_VELOCITIES,
        is_to_the_end=math.isinf(end),
    )


def _build(notes: Notes, ticks: IntColumn, lengths: IntColumn, bar_beats: IntColumn) -> ScoreTick:
    """Return a score of the notes' pitches and velocities at other places."""
    score = ScoreTick(STEPS_PER_BEAT)
    track = TrackTick("Piano", 0, False)
    track.notes = NoteTickList.from_numpy(
        ticks.astype(np.int32),
        lengths.astype(np.int32),
        notes.pitch.astype(np.int8),
        np.maximum(notes.velocity, 1).astype(np.int8),
    )
    score.tracks = TrackTickList([track])
    starts = np.concatenate([[0], np.cumsum(bar_beats)[:-1]]) * STEPS_PER_BEAT
    score.time_signatures = TimeSignatureTickList(
        TimeSignatureTick(int(starts[i]), int(bar_beats[i]), 4)
        for i in np.flatnonzero(np.diff(bar_beats, prepend=0))
    )
    return score
