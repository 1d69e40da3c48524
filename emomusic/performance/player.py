"""From a score to what is played: the same notes with timing, velocities and pedal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from symusic import core
from symusic.core import ScoreTick

from emomusic.emotion import Emotion
from emomusic.music.bars import bar_lines
from emomusic.music.chords import chord_chances, half_bars
from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.music.score import PEDAL, ScoreError, notes_of, seconds_at
from emomusic.performance.features import STEPS, Reading, whole
from emomusic.performance.pianist import Player, default_player
from emomusic.performance.rules import Touch

TICKS = 480
"""Ticks of a quarter note of what is played, at least: about a millisecond."""
MAX_BEATS = 8_000
"""Of what is played at once: its tempo is said for each half beat."""
SHORTEST_MS, PARTED_MS, UP_MS = 30.0, 10.0, 120.0
"""How long a key is held at least, is up before it is struck again, and the pedal is up."""
NEARER = 0.45
"""Share of the gap to the notes before and after by which a note may be moved."""
FLAT_SPREAD, USUAL_SPREAD = 2.0, 11.0
"""Velocities that deviate by less say nothing; those of pop piano deviate by so much."""
TOUCHED = 0.6
"""How much of the velocities is the pianist's; the rest is as it is written."""
SLOWEST, FASTEST, SURE_LIFT = 0.8, -0.4, 0.4
DOWN, HALF_DOWN, LOW = 127, 80, 50
"""Values of the pedal; in bars that lie below a pitch on average it is half down."""
PIANOS = 8
"""So many programs of General MIDI are pianos, which have a pedal."""
NEVER = 2**30


def perform(
    written: ScoreTick,
    *,
    seed: int | Sequence[int],
    emotion: Emotion | None = None,
    depth: float = 1.0,
    chords: Sequence[tuple[int, int]] = (),
    player: Player | None = None,
) -> ScoreTick:
    """Play a score as a pianist does: the same on any machine for the same seed.

    The notes stay what they are, and keep their order; no key is struck while it is held down. Bars
    stay where they are, and last as long in all; the tempo moves within them. Drums keep to the
    beat, and a pedal that is written stays as it is.

    Args:
        written: On a grid, at most 8,000 quarter notes.
        seed: Whole numbers that bring the same performance back.
        emotion: Calm breathes more than excited does; None is neutral.
        depth: From 0, the score as it is written, to 1, as pianists play.
        chords: Numbers of the chords of each bar's halves; without any they are found.
        player: Who plays; None is the one that comes with the package.

    Raises:
        ScoreError: If there are no notes, or too many beats.
    """
    notes, per_quarter = notes_of(written), written.ticks_per_quarter
    if depth == 0.0:
        return written.copy()
    if notes.onset[-1] >= MAX_BEATS:
        raise ScoreError(f"what is performed has at most {MAX_BEATS} quarter notes")
    score = written.resample(per_quarter * math.ceil(TICKS / per_quarter), min_dur=1)
    lines = bar_lines(score, notes, float(notes.onset[-1]) + 1e-6)
    n_silent = max(len(chords) + 1 - len(lines), 0)
    lines = np.append(lines, lines[-1] + np.diff(lines)[-1] * np.arange(1, n_silent + 1))
    if chords:
        numbers = np.array(chords[: len(lines) - 1], np.int64)
    else:  # rounded: sums differ between machines in their last digits
        chance = np.round(chord_chances(notes, half_bars(lines)), 6)
        numbers = chance.argmax(axis=1).reshape(-1, 2)
    end_s = seconds_at(score, whole(lines[-1:] * score.ticks_per_quarter))
    reading = Reading(notes, lines, numbers, 60.0 * float(lines[-1] / end_s[0]))
    touch = (player or default_player())(reading, emotion, np.random.default_rng(seed))
    hands = _Hands(score, reading, touch, depth)
    hands.strike()
    hands.tread()
    hands.set_tempo()
    return score


class _Hands:
    """Put into effect on a score, in place, how it is to be played."""

    def __init__(self, score: ScoreTick, reading: Reading, touch: Touch, depth: float) -> None:
        self.score, self.reading, self.touch, self.depth = score, reading, touch, depth
        per_quarter = score.ticks_per_quarter
        # Ticks of half beats, shape (n_cells + 1,), and microseconds of a quarter note in each.
        self.edges = whole(np.append(reading.cells, reading.line[-1]) * (per_quarter / STEPS))
        length_s = np.diff(seconds_at(score, self.edges))
        played_s = length_s * (1.0 + np.clip(depth * touch.slow, FASTEST, SLOWEST))
        played_s = played_s * (math.fsum(length_s) / math.fsum(played_s))
        self.mspq = whole(played_s * 1e6 * per_quarter / np.diff(self.edges))

    def set_tempo(self) -> None:
        """Say the tempo of each half beat where it is another."""
        is_new = np.diff(self.mspq, prepend=-1) != 0
        ticks, mspq = self.edges[:-1][is_new].tolist(), self.mspq[is_new].tolist()
        own = [core.TempoTick(tick, mspq=value) for tick, value in zip(ticks, mspq, strict=True)]
        own += [tempo for tempo in self.score.tempos if tempo.time >= self.edges[-1]]
        self.score.tempos = core.TempoTickList(own)

    def strike(self) -> None:
        """Strike and hold the notes."""
        notes, per_quarter = self.reading.notes, self.score.ticks_per_quarter
        time = whole(notes.onset * per_quarter)
        held = time + whole(notes.duration * per_quarter)
        start = np.maximum(time + self._late(time), 0)
        end = self._ends(start, held)
        loud = self._velocities()
        tracks = [own for own in self.score.tracks if not own.is_drum and len(own.notes)]
        columns = [track.notes.numpy() for track in tracks]
        struck, pitch = (
            np.concatenate([own[name] for own in columns]) for name in ("time", "pitch")
        )
        place = np.empty(len(time), dtype=np.int64)  # among all notes, of those of the tracks
        place[np.lexsort((pitch, struck))] = np.arange(len(time))
        for track, own in zip(tracks, columns, strict=True):
            at, place = np.split(place, [len(own["pitch"])])
            when, length = start[at].astype(np.int32), (end - start)[at].astype(np.int32)
            force = loud[at].astype(np.int8)
            track.notes = core.NoteTickList.from_numpy(when, length, own["pitch"], force)
            track.notes.sort(inplace=True)

    def tread(self) -> None:
        """Tread the pedal of pianos where none is written: it is changed with the chord."""
        if any(
            track.pedals or any(own.number == PEDAL for own in track.controls)
            for track in self.score.tracks
        ):
            return
        touch, cells, at = self.touch, self.reading.of_cells, self.edges[:-1]
        is_changed = (touch.lift >= SURE_LIFT) | (cells["new_chord"] > 0)
        is_held = touch.down >= 1.0 - self.depth / 2
        lifted = np.maximum(at + self._ticks(touch.lift_ms, at), 0)
        trodden = lifted + self._ticks(UP_MS, at)
        deep = np.where(cells["bar_height"] < LOW, HALF_DOWN, DOWN)
        rows = np.stack([lifted, trodden, deep, is_changed, is_held], axis=1).tolist()
        events, is_down, last = list[core.ControlChangeTick](), False, 0
        for up, down, value, changes, holds in [*rows, [int(self.edges[-1])] * 2 + [0, 1, 0]]:
            if is_down and (changes or not holds):
                last, is_down = max(up, last + 1), False
                events.append(core.ControlChangeTick(last, PEDAL, 0))
            if holds and not is_down:
                last, is_down = max(down, last + 1), True
                events.append(core.ControlChangeTick(last, PEDAL, value))
        for track in self.score.tracks:
            if not track.is_drum and track.program < PIANOS:
                track.controls = core.ControlChangeTickList([*track.controls, *events])

    def _ticks(self, ms: FloatColumn | float, at: IntColumn) -> IntColumn:
        """Return how many ticks milliseconds are, at ticks."""
        cell = np.clip(np.searchsorted(self.edges, at, side="right") - 1, 0, len(self.mspq) - 1)
        return whole(ms * 1000.0 * self.score.ticks_per_quarter / self.mspq[cell])

    def _late(self, time: IntColumn) -> IntColumn:
        """Return by how many ticks each note is late, so that moments keep their order."""
        late, moment = self._ticks(self.depth * self.touch.late_ms, time), self.reading.moment
        gap = whole(np.diff(self.reading.moments) * (NEARER * self.score.ticks_per_quarter / STEPS))
        return np.clip(late, -np.append(NEVER, gap)[moment], np.append(gap, NEVER)[moment])

    def _longer(self) -> FloatColumn:
        """Return how much longer keys are held, ms: those that end together nearly the same."""
        ends = self.reading.step + whole(self.reading.notes.duration * STEPS)
        _, group = np.unique(ends, return_inverse=True)
        held = np.bincount(group, self.touch.held_ms) / np.bincount(group)
        return held[group] + self.touch.ragged_ms

    def _ends(self, start: IntColumn, written: IntColumn) -> IntColumn:
        """Return where keys are let go: each before it is struck again."""
        order = np.lexsort((start, self.reading.notes.pitch))
        again = np.append(start[order][1:], NEVER)
        again[np.diff(self.reading.notes.pitch[order], append=-1) != 0] = NEVER
        held = written + self._ticks(self.depth * self._longer(), written)
        end = np.maximum(held, start + self._ticks(SHORTEST_MS, start))[order]
        end = np.minimum(end, again - self._ticks(PARTED_MS, start)[order])
        last = int(self.edges[-1])  # a bar line: what is written up to it does not outlast it
        end = np.where(written[order] <= last, np.minimum(end, last), end)
        found = np.empty_like(end)
        found[order] = np.maximum(end, start[order] + 1)
        return found

    def _velocities(self) -> IntColumn:
        """Return velocities of the mean and the spread that are written."""
        written, share = self.reading.notes.velocity, self.depth * TOUCHED
        n, total = len(written), int(written.sum())
        spread = math.sqrt(max(int((written * written).sum()) * n - total * total, 0)) / n
        own = (written - total / n) / max(spread, 1e-9)
        if spread < FLAT_SPREAD:
            own, share, spread = np.zeros(n), 1.0, self.depth * USUAL_SPREAD
        mixed = (1.0 - share) * own + share * self.touch.velocity
        mixed = mixed - math.fsum(mixed) / n
        size = math.sqrt(math.fsum(mixed * mixed) / n)
        return np.clip(whole(total / n + mixed * (spread / max(size, 1e-9))), 1, 127)
