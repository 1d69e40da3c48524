"""Bars as musicians count them: upbeats, odd bars, changes of metre, beats that were played."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from symusic.core import ScoreTick, TimeSignatureTick, TimeSignatureTickList

from emomusic.music.beat import BeatGrid, to_beats, track_beats
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import (
    PEDAL,
    ScoreError,
    grid_of,
    metres_of,
    notes_of,
    seconds_at,
    ticks_at,
)
from emomusic.music.smf import CONTROL, NOTE_OFF, NOTE_ON, MidiFile, events_of
from emomusic.music.tokenizer import STEPS_PER_BEAT

MAX_REST_BARS = 4
"""Bars of rest after the last sound that the end of a track may mean; more are room that was left
over."""
GRACE = 0.5
"""Quarter notes by which a pedal may be lifted late, and what is only taken up may ring on: that
opens no bar."""
NEAR = 1 / 12
"""Quarter notes, a step of the model's grid: a bar line that lies so near is meant to be there."""
WRITTEN, NEAR_GRID = 0.75, 0.012
"""Share of the onsets of what is written that lie on the grid, by so many quarter notes. Of 5,000
pieces with bars 99 % are written, or have phases as below; of 410 played without a click, 1 %."""
MIN_PHASE, MIN_NOTES = 0.3, 16
"""Mean resultant length of the phases of what is played to a click; fewer notes tell nothing."""
LATE_BEATS = 0.25
"""Beats by which the last sound of a performance may be late for its bar line."""
MAX_TRACKED_S = 1_800.0  # of which beats are tracked within a second
PERFORMED_STEP = STEPS_PER_BEAT // 4
"""What is played, not written, is moved to sixteenths."""


@dataclass(frozen=True)
class Metre:
    """A time signature, and how the model writes it: bars of 2, 3 or 4 beats.

    Attributes:
        is_known: Whether the model writes it, or bars of half or twice its length.
        beats: Of a bar as the model writes it; of another metre quarter notes.
        beat: Quarter notes of each: dotted ones in compound metres.
    """

    numerator: int = 4
    denominator: int = 4

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"

    @classmethod
    def parse(cls, text: str) -> Metre:
        """Read a time signature such as `6/8`."""
        return cls(*map(int, text.split("/")))

    @property
    def quarters(self) -> float:
        """Return the quarter notes of a bar."""
        return 4.0 * self.numerator / self.denominator

    @property
    def is_known(self) -> bool:
        return self.kind in _KNOWN.values()

    @property
    def kind(self) -> tuple[float, float]:
        """Return beats a bar and quarter notes of each: the model writes one kind alike."""
        return _KNOWN.get((self.numerator, self.denominator), (self.quarters, 1.0))

    @property
    def beats(self) -> int:
        return round(self.kind[0])

    @property
    def beat(self) -> float:
        return self.kind[1]

    @property
    def written(self) -> Metre:
        """Return the metre of the bars that the model writes, itself or of other lengths: 3/4 of
        6/4, 6/8 of 3/8."""
        if self.kind[0] * self.beat == self.quarters:
            return self
        unit = {1.0: (1, 4), 1.5: (3, 8), 0.75: (3, 16)}[self.beat]
        return Metre(self.beats * unit[0], unit[1])


_KNOWN = {
    (2, 4): (2, 1.0), (3, 4): (3, 1.0), (4, 4): (4, 1.0), (2, 2): (4, 1.0), (4, 8): (2, 1.0),
    (8, 8): (4, 1.0), (6, 4): (3, 1.0), (3, 2): (3, 1.0), (4, 2): (4, 1.0), (8, 4): (4, 1.0),
    (3, 8): (2, 1.5), (6, 8): (2, 1.5), (9, 8): (3, 1.5), (12, 8): (4, 1.5),
    (2, 8): (2, 1.0), (3, 16): (2, 0.75), (6, 16): (2, 0.75), (9, 16): (3, 0.75),
    (12, 16): (2, 0.75),
}  # fmt: skip
"""Beats of a bar, or of half a bar or two where it has over 4 or one, and quarter notes of each."""


def in_quarters(score: ScoreTick, metre: Metre) -> ScoreTick:
    """Return a score that counts beats of a metre as one that counts quarter notes, as files do.

    Args:
        score: Its tempi are beats a minute; it has one metre.
        metre: The one it is to say.
    """
    own = score.copy()
    own.ticks_per_quarter = round(score.ticks_per_quarter / metre.beat)
    for tempo in own.tempos:
        tempo.qpm = tempo.qpm * metre.beat
    sign = TimeSignatureTick(0, metre.numerator, metre.denominator)
    own.time_signatures = TimeSignatureTickList([sign])
    return own


@dataclass(frozen=True, eq=False)
class BarReading:
    """Hold music as it is read for the model: bars of one metre, one after another.

    Attributes:
        notes: In beats of the metre from the first of the bars on, at least one; seconds as in the
            file.
        metre: What it is in.
        spans: Beats of each bar in the file, and seconds, shape (2, n_bars); a bar that is cut
            short has fewer.
        lines: Quarter notes of the file at which each begins and ends, shape (2, n_bars).
        end: Quarter note of the file at which the music ends, a bar line.
        announced: What the file says at the end for what comes after it, if anything.
        is_tracked: Whether its beats were tracked, for it is not played to those of the file.
    """

    notes: Notes
    metre: Metre
    spans: FloatColumn
    lines: FloatColumn
    end: float
    announced: Metre | None = None
    is_tracked: bool = False

    @property
    def n_bars(self) -> int:
        return self.spans.shape[1]

    @property
    def step(self) -> int:
        """Return the step of the model's grid to which it is moved: sixteenths where played."""
        if is_written(self.notes) and not self.is_tracked:
            return 1
        return PERFORMED_STEP if self.metre.beat == 1 else STEPS_PER_BEAT // 6

    def tempo(self, bars: slice) -> float:
        """Return the mean tempo of some bars, in beats a minute."""
        beats, seconds = self.spans[:, bars].sum(axis=1)
        return 60.0 * float(beats / seconds)


def read_bars(
    score: ScoreTick,
    *,
    at_end: bool,
    sound: tuple[float, float] | None = None,
    asked: Metre | None = None,
    tracked: bool | None = None,
) -> BarReading:
    """Read the bars of a file: those of the metre that most of the music has, or its end.

    Those of other metres are left out, but for a short first one, which is an upbeat, and a short
    last one. Silence before the first note is no music; the music ends with the bar in which the
    last sound ends, or with the track, if only some rests follow.

    Args:
        score: 4/4 holds where it says nothing.
        at_end: Whether the metre at the end is the one: for what goes on.
        sound: As `end_of_sound` returns it; None takes the notes' ends.
        asked: The metre of music that says none, or whose beats are tracked.
        tracked: Whether beats are tracked; None does so where nothing is played to the file's.

    Raises:
        ScoreError: If there are no notes, or the music is too long to be tracked.
    """
    notes, (end, end_of_track) = notes_of(score), sound or end_of_sound(score, None)
    if not keeps_time(notes) if tracked is None else tracked:
        return _read_tracked(score, notes, sound=end, asked=asked)
    end = end if at_end else max(end - GRACE, float(notes.onset[-1]) + 1e-6)
    start, stop, metres, announced = _file_bars(score, notes, (end, end_of_track), asked)
    length = stop - start
    bar = np.maximum(np.searchsorted(start, notes.onset + NEAR / 2, side="right") - 1, 0)
    struck = np.bincount(bar, minlength=len(start)) > 0
    metre = _main_metre(metres, np.where(struck, length, 0.0), at_end=at_end)
    is_own = np.array([own.kind == metre.kind for own in metres])
    size = metre.written.quarters
    is_read, is_short = is_own & (np.abs(length - size) < NEAR), length < size - NEAR
    lead = np.zeros(len(length))  # beats of rest that make an upbeat a bar
    if is_short[0] and is_read[1:2].any():
        is_read[0], lead[0] = True, (size - length[0]) / metre.beat
    if is_short[-1] and is_read[-2:-1].any():
        is_read[-1] = True
    if not (is_read & struck).any():
        is_read = is_own
    first = (np.cumsum(is_read) - 1) * metre.kind[0] + lead - start / metre.beat
    onset, duration = notes.onset / metre.beat + first[bar], notes.duration / metre.beat
    ticks = np.rint(np.stack([start, stop])[:, is_read] * score.ticks_per_quarter)
    begin_s, end_s = (seconds_at(score, own.astype(np.int64)) for own in ticks)
    return BarReading(
        notes=replace(notes, onset=onset, duration=duration).where(is_read[bar]),
        metre=metre,
        spans=np.stack([length[is_read] / metre.beat, end_s - begin_s]),
        lines=np.stack([start, stop])[:, is_read],
        end=float(stop[-1]),
        announced=announced,
    )


def end_of_sound(score: ScoreTick, file: MidiFile | None) -> tuple[float, float]:
    """Return the quarter notes at which the last sound of a file ends, and its last track.

    Drums sound, too, and so does what a pedal holds, up to where it is lifted; but a moment later
    than a bar line is meant to be on it.

    Args:
        score: The file as it was parsed.
        file: Its events; None where they cannot be read.

    Raises:
        ScoreError: If an event cannot be read.
    """
    per_quarter = score.ticks_per_quarter
    columns = [track.notes.numpy() for track in score.tracks if len(track.notes)]
    sound = max(int(np.add(c["time"], c["duration"]).max()) for c in columns) / per_quarter
    if file is None or file.division != per_quarter:
        return sound, sound
    marks: list[tuple[int, int, bool | None]] = []  # tick, channel, pedal; None where a note ends
    end_of_track = 0
    for track in file.tracks:
        for event in events_of(track):
            end_of_track, kind = max(end_of_track, event.tick), event.status & 0xF0
            if kind == NOTE_OFF or (kind == NOTE_ON and not event.data[1]):
                marks.append((event.tick, event.status, None))
            elif kind == CONTROL and event.data[0] == PEDAL:
                marks.append((event.tick, event.status, event.data[1] >= 64))
    held = dict[int, bool]()  # whether a note has ended since the pedal of a channel is down
    for tick, status, down in sorted(marks, key=lambda mark: mark[0]):
        channel = status & 0x0F
        if down:
            held.setdefault(channel, False)
        elif down is None and channel in held:
            held[channel] = True
        elif down is False and held.pop(channel, False):
            sound = max(sound, tick / per_quarter - GRACE)
    return sound, end_of_track / per_quarter


def keeps_time(notes: Notes) -> bool:
    """Tell whether notes are written on a grid of beats, or played to its click.

    Otherwise onsets lie anywhere between beats: then bars of that grid mean nothing.
    """
    if len(notes) < MIN_NOTES or is_written(notes):
        return True
    onset = notes.onset[:, None]
    phases = np.exp(2j * np.pi * onset * (1, 2, 4)).mean(axis=0)  # of beats, eighths, sixteenths
    return bool(np.abs(phases).max() >= MIN_PHASE)


def is_written(notes: Notes) -> bool:
    """Tell whether notes lie on a grid of beats, as nobody plays them."""
    away = [np.abs(notes.onset - np.rint(notes.onset * n) / n) for n in (8, 12)]
    return bool((np.minimum(*away) < NEAR_GRID).mean() >= WRITTEN)


def _file_bars(
    score: ScoreTick, notes: Notes, sound: tuple[float, float], asked: Metre | None
) -> tuple[FloatColumn, FloatColumn, Sequence[Metre], Metre | None]:
    """Return where each bar begins and ends, as long as the model writes them, their metres, and
    what is announced at the end; from the first note's bar on."""
    said = [
        (
            sign.time / score.ticks_per_quarter,
            Metre(max(1, sign.numerator), max(1, sign.denominator)),
        )
        for sign in score.time_signatures
    ]
    sections = [
        (start, Metre(round(bar / beat), round(4 / beat)))
        for start, _, bar, beat in metres_of(score, sound[0])
    ]
    if not said and asked is not None:
        sections = [(0.0, asked)]
    start, metre = sections[-1]
    bar = metre.quarters
    end = start + bar * math.ceil((sound[0] - start) / bar - 1e-9)
    until = min((at for at, own in said if own != metre and at > end - NEAR), default=math.inf)
    rested = [min(at, until) for at in (sound[1], *(at for at, _ in said))]
    rests = [math.floor((at - end + NEAR) / bar) for at in rested]
    end += bar * max((rest for rest in rests if 0 < rest <= MAX_REST_BARS), default=0)
    announced = [own for at, own in said if abs(at - end) < NEAR]
    starts, metres, stops = list[FloatColumn](), list[Metre](), list[FloatColumn]()
    for (start, own), stop in zip(sections, [*(at for at, _ in sections[1:]), end], strict=True):
        lines = np.arange(start, max(stop - NEAR, start + NEAR), own.written.quarters)
        starts.append(lines)
        stops.append(np.append(lines[1:], stop))
        metres += [own] * len(lines)
    begin = np.concatenate(starts)
    first = max(int(np.searchsorted(begin, notes.onset[0] + NEAR / 2, side="right")) - 1, 0)
    ends = np.concatenate(stops)
    return begin[first:], ends[first:], metres[first:], announced[-1] if announced else None


def _main_metre(metres: Sequence[Metre], weights: FloatColumn, *, at_end: bool) -> Metre:
    """Return the metre of most of the music, or the one at its end.

    A single last bar completes an upbeat, or is cut short: it is none to go on in.
    """
    kinds, total = [metre.kind for metre in metres], Counter[tuple[float, float]]()
    for kind, weight in zip(kinds, weights.tolist(), strict=True):
        total[kind] += weight
    heaviest = max(total, key=lambda kind: total[kind])
    if at_end and kinds[-2:-1] == kinds[-1:] and weights[-2:].any():
        heaviest = kinds[-1]
    return next(own for own in reversed(metres) if own.kind == heaviest)


def bar_lines(score: ScoreTick, notes: Notes, end: float) -> FloatColumn:
    """Return the bar lines up to the first one at or after `end`, in quarter notes of the file.

    They are those of `grid_of`, or tracked ones where nothing is played to the file's beats.
    """
    if keeps_time(notes) or not _is_trackable(notes):
        return grid_of(score, end)[0]
    grid, per_quarter = track_beats(notes), score.ticks_per_quarter
    end_s = float(seconds_at(score, np.array([math.ceil(end * per_quarter)]))[0])
    lines_s = _lines_s(grid, grid.beats_per_bar, end_s)
    lines = ticks_at(score, lines_s) / per_quarter
    return lines[: max(int(np.searchsorted(lines_s, end_s)), 1) + 1]


def _is_trackable(notes: Notes) -> bool:
    return float((notes.onset_s + notes.duration_s).max()) <= MAX_TRACKED_S


def _lines_s(grid: BeatGrid, beats: int, end_s: float, *, begin: int = 0) -> FloatColumn:
    """Return the seconds of bar lines, every so many beats from one on, beyond the end."""
    lines_s, bar_s = grid.beats_s[begin::beats], 60.0 * beats / grid.tempo
    n_more = max(math.ceil((end_s - lines_s[-1]) / bar_s), 0) + 1
    return np.append(lines_s, lines_s[-1] + bar_s * np.arange(1, n_more + 1))


def _read_tracked(
    score: ScoreTick, notes: Notes, *, sound: float, asked: Metre | None
) -> BarReading:
    """Read the bars of a performance by beats that are tracked."""
    if not _is_trackable(notes):
        raise ScoreError("the music is longer than 30 minutes: its beats cannot be tracked")
    grid = track_beats(notes)
    metre = Metre(grid.beats_per_bar) if asked is None else asked.written
    beats, late_s = round(metre.kind[0]), LATE_BEATS * 60.0 / grid.tempo
    sound_s = float(seconds_at(score, np.array([math.ceil(sound * score.ticks_per_quarter)]))[0])
    begin = 0
    if beats != grid.beats_per_bar:  # no downbeat is known of other bars: the first note is one
        begin = int(np.searchsorted(grid.beats_s, notes.onset_s[0] + late_s)) - 1
    lines_s = _lines_s(grid, beats, sound_s, begin=begin)
    n_bars = max(int(np.searchsorted(lines_s, sound_s - late_s)), 1)
    onset = to_beats(notes.onset_s, grid) - begin
    duration = to_beats(notes.onset_s + notes.duration_s, grid) - begin - onset
    end = ticks_at(score, np.array([max(lines_s[n_bars], sound_s)]))[0]
    lines = ticks_at(score, lines_s[: n_bars + 1]) / score.ticks_per_quarter
    return BarReading(
        notes=replace(notes, onset=np.maximum(onset, 0.0), duration=duration),
        metre=metre,
        spans=np.stack([np.full(n_bars, metre.kind[0]), np.diff(lines_s[: n_bars + 1])]),
        lines=np.stack([lines[:-1], lines[1:]]),
        end=math.ceil(end - 1e-6) / score.ticks_per_quarter,
        is_tracked=True,
    )
