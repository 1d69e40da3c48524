"""Music as events that neither transposition nor tempo changes, of notes and of packed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emomusic.data.prepared import shared_tokenizer
from emomusic.evaluation.quality.music import music_ids
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.music.passage import MAX_PARTNERS
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.training.rows import Rows

Codes = NDArray[np.uint64]
N_PITCHES = 128
HALF = 64
"""Pitches in one of the two columns that tell a chord."""


@dataclass(frozen=True)
class Line:
    """Hold one stretch of music as events, each told from the onset before it.

    Attributes:
        codes: What happens, shape (n_events, n_columns); two events are equal where their rows
            are equal, and not otherwise.
        step: Onsets in twelfths of a beat, shape (n_events + 1,): event i leads from onset i to
            onset i + 1. A line without music has one onset, 0.
    """

    codes: Codes
    step: IntColumn

    def __post_init__(self) -> None:
        """Check that events and onsets belong together.

        Raises:
            ValueError: If there is not one onset more than events.
        """
        if len(self.step) != len(self.codes) + 1:
            raise ValueError(
                f"{len(self.codes)} events need {len(self.codes) + 1} onsets, got {len(self.step)}"
            )

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.codes)

    def beats(self, first: int, n_events: int) -> float:
        """Return how long a run of events lasts, from its first onset to its last, in beats."""
        return float(self.step[first + n_events] - self.step[first]) / STEPS_PER_BEAT


def melody_line(notes: Notes) -> Line:
    """Return the skyline: interval to the previous note of the melody and gap between onsets.

    The melody is that of `Passage`: the top pitch of each onset that no held note lies above.
    """
    step, length, pitch = _on_the_grid(notes)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    if not len(first):
        return _line(np.zeros((0, 1), dtype=np.uint64), step)
    onset, top = step[first], np.maximum.reduceat(pitch, first)
    covered = np.zeros(len(first), dtype=bool)
    for back in range(1, MAX_PARTNERS + 1):
        held = first - back
        index = np.maximum(held, 0)
        sounds = (held >= 0) & (step[index] + length[index] > onset)
        covered |= sounds & (pitch[index] > top)
    onset, top = onset[~covered], top[~covered]
    return _line(_moves(onset, top)[:, None], onset)


def texture_line(notes: Notes) -> Line:
    """Return all onsets: gap, how the lowest pitch moves, and the pitches struck above it."""
    step, _, pitch = _on_the_grid(notes)
    first = np.flatnonzero(np.diff(step, prepend=-1))
    if not len(first):
        return _line(np.zeros((0, 3), dtype=np.uint64), step)
    lowest = np.minimum.reduceat(pitch, first)
    above = pitch - np.repeat(lowest, np.diff(first, append=len(pitch)))
    struck = np.uint64(1) << (above % HALF).astype(np.uint64)
    halves = [np.where(above // HALF == half, struck, np.uint64(0)) for half in (0, 1)]
    chord = [np.bitwise_or.reduceat(half, first)[1:] for half in halves]
    return _line(np.stack([_moves(step[first], lowest), *chord], axis=1), step[first])


VIEWS: Mapping[str, Callable[[Notes], Line]] = {"melody": melody_line, "texture": texture_line}


def views_of(notes: Notes) -> dict[str, Line]:
    """Return the notes as events in each view."""
    return {view: line_of(notes) for view, line_of in VIEWS.items()}


def _line(codes: Codes, onset: IntColumn) -> Line:
    return Line(codes, onset if len(onset) else np.zeros(1, dtype=np.int64))


def _on_the_grid(notes: Notes) -> tuple[IntColumn, IntColumn, IntColumn]:
    """Return onsets and lengths in steps, and pitches, by onset, then pitch."""
    step = np.rint(notes.onset * STEPS_PER_BEAT).astype(np.int64)
    length = np.rint(notes.duration * STEPS_PER_BEAT).astype(np.int64)
    order = np.lexsort((notes.pitch, step))
    return step[order], length[order], notes.pitch[order]


def _moves(onset: IntColumn, pitch: IntColumn) -> Codes:
    """Return gap and interval to the onset before as one number each, shape (n_onsets - 1,)."""
    codes: Codes = (np.diff(onset) * 2 * N_PITCHES + np.diff(pitch) + N_PITCHES).astype(np.uint64)
    return codes


@dataclass(frozen=True)
class Stretch:
    """Hold bars of a song that follow each other and that clips are cut from.

    Attributes:
        song: Its index in the rows.
        bar: Bars of the song before this stretch, from its first that a clip is cut from.
        lines: Beat at which each bar begins, from the start of the stretch, shape (n_bars,).
        views: The music as events, by the names of VIEWS.
    """

    song: int
    bar: int
    lines: FloatColumn
    views: Mapping[str, Line]

    def bar_at(self, beat: float) -> int:
        """Return how many bars of the song lie before a beat of this stretch."""
        return self.bar + int(np.searchsorted(self.lines, beat + 1e-9)) - 1


def stretches_of(rows: Rows) -> Iterator[Stretch]:
    """Walk through the songs of packed rows, each bar that clips are cut from once.

    A stretch ends where its song ends, and before bars that no clip holds (empty ones).

    Raises:
        ValueError: If the rows' music is in other tokens than the tokenizer's.
    """
    tokenizer, all_ids = shared_tokenizer(), music_ids(rows)
    beats_of = np.array([_beats(text) for text in tokenizer.vocabulary.texts])
    song_of = np.full(len(rows.bar_start) - 1, -1, dtype=np.int64)
    for first, n_bars, song in zip(rows.clip_bar, rows.clip_n_bars, rows.clip_song, strict=True):
        song_of[first : first + n_bars] = song
    first_of: dict[int, int] = {}
    for first, end in pairwise(np.flatnonzero(np.diff(song_of, prepend=-2, append=-2)).tolist()):
        song = int(song_of[first])
        if song < 0:
            continue
        beats = beats_of[all_ids[rows.bar_start[first:end] + 1]]
        ids = all_ids[rows.bar_start[first] : rows.bar_start[end]].tolist()
        bar = first - first_of.setdefault(song, first)
        views = views_of(notes_of(tokenizer.decode(ids)))
        yield Stretch(song, bar, np.cumsum(beats) - beats, views)


def _beats(text: str) -> float:
    """Return the beats of a bar that a time signature token names, 0 of other tokens."""
    return float(text.removeprefix("TimeSig_")[0]) if text.startswith("TimeSig_") else 0.0
