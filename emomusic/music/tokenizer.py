"""Scores to token ids and back: the tokens of MidiTok's REMI, with controls of our own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from symusic.core import (
    NoteTickList,
    ScoreTick,
    TempoTick,
    TempoTickList,
    TimeSignatureTick,
    TimeSignatureTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.music.vocabulary import (
    BEATS_PER_BAR,
    ENDING_BARS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BINS,
    N_VELOCITIES,
    SPECIAL_TOKENS,
    STEPS_PER_BEAT,
    Vocabulary,
    built_vocabulary,
    control_name,
    durations,
    read_vocabulary,
    velocities,
    write_vocabulary,
)

__all__ = [
    "BEATS_PER_BAR",
    "ENDING_BARS",
    "HIGHEST_PITCH",
    "LOWEST_PITCH",
    "N_BINS",
    "N_VELOCITIES",
    "STEPS_PER_BEAT",
    "Tokenizer",
    "Vocabulary",
    "bin_edges",
    "control_name",
]

COMMON_TIME = 4
"""Beats a bar where a score names no time signature."""
Metres = list[tuple[int, int]]
"""Ticks at which the metre changes, and the beats a bar from there on; the first at 0."""


class Tokenizer:
    """Turn scores into ids, bar by bar, and ids into scores.

    A bar is `Bar TimeSig`, then for each moment `Position`, then `Pitch Velocity Duration`
    for each note, lowest first. Positions and durations count twelfths of a beat; there are
    16 velocities. Tempo is an attribute, not a token.

    Reference: REMI of Huang and Yang (2020) as MidiTok 3.1 writes and reads it, id by id, which
    `prepare` compares; we differ in the control tokens, which stand in the vocabulary as special
    tokens.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Build the tokenizer, or load it.

        Args:
            path: A `tokenizer.json`; None builds the one described above.

        Raises:
            ValueError: If the file is no tokenizer of this kind.
        """
        self.vocabulary = built_vocabulary() if path is None else read_vocabulary(path)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` into a folder."""
        write_vocabulary(self.vocabulary, folder / "tokenizer.json")

    def encode(self, score: ScoreTick) -> list[list[int]]:
        """Return the ids of each bar of a score, `Bar` and `TimeSig` first.

        Velocities and durations become the nearest there are (of two as near, the greater);
        of notes of one pitch and onset the shortest stays. Pitches off the piano are left out.

        Args:
            score: One track; time signatures 2/4, 3/4 and 4/4 only, changing at bar lines.

        Raises:
            ValueError: If it is not so.
        """
        if len(score.tracks) != 1:
            raise ValueError(f"a score to encode must have one track, got {len(score.tracks)}")
        if score.ticks_per_quarter != STEPS_PER_BEAT:
            score = score.resample(STEPS_PER_BEAT, min_dur=1)
        metres = _metres(score)
        tick, pitch, velocity, duration = self._on_the_grid(score.tracks[0])
        lines, beats = _bars(metres, int(max([*tick[-1:], metres[-1][0]])))
        bar = np.searchsorted(lines, tick, side="right") - 1
        notes = np.stack([tick - lines[bar], pitch, velocity, duration], axis=1)
        notes += [self._first["Position"], self._first["Pitch"] - LOWEST_PITCH, 0, 0]
        notes[np.flatnonzero(np.diff(tick) == 0) + 1, 0] = -1  # one position for a chord
        cuts = np.searchsorted(bar, np.arange(len(lines) + 1))
        bars = [own[own >= 0].tolist() for own in np.split(notes, cuts[1:-1])]
        heads = (self._first["TimeSig"] + beats - BEATS_PER_BAR[0]).tolist()
        return [[self._first["Bar"], head, *own] for head, own in zip(heads, bars, strict=True)]

    def _on_the_grid(self, track: TrackTick) -> tuple[IntColumn, ...]:
        """Return the notes' ticks and pitches, and the ids of their velocities and durations."""
        column = {name: np.asarray(c, np.int64) for name, c in track.notes.numpy().items()}
        on_piano = (column["pitch"] >= LOWEST_PITCH) & (column["pitch"] <= HIGHEST_PITCH)
        tick, pitch, loud, long = (
            column[name][on_piano] for name in ("time", "pitch", "velocity", "duration")
        )
        velocity, duration = nearest(_VELOCITIES, loud), nearest(_DURATIONS, long)
        order = np.lexsort((velocity, duration, pitch, tick))
        tick, pitch = tick[order], pitch[order]
        again = (np.diff(tick, prepend=-1) == 0) & (np.diff(pitch, prepend=-1) == 0)
        velocity = self._first["Velocity"] + velocity[order]
        duration = self._first["Duration"] + duration[order]
        return tick[~again], pitch[~again], velocity[~again], duration[~again]

    def decode(
        self, ids: Sequence[int], *, tempo: float = 120.0, n_beats: float | None = None
    ) -> ScoreTick:
        """Return the score that the ids write, at one tempo, on one piano track.

        Control tokens are passed over, given notes too (they are written once more); a note that
        is struck again ends the one before it. A pitch without velocity and duration after it is
        no note.

        Args:
            ids: Ids in the order of the grammar.
            tempo: Quarter notes a minute.
            n_beats: Where every note ends at the latest; None lets the last ones ring.
        """
        kind, value = self._meaning[:, np.asarray(ids, dtype=np.int64)]
        said = (kind != _CONTROL) & ~_of_given(kind)
        kind, value = kind[said], value[said]
        first = _first_metre(kind, value)
        tick = _ticks(kind, value, first)
        score, track = ScoreTick(STEPS_PER_BEAT), TrackTick("Piano", 0, False)
        end = None if n_beats is None else round(n_beats * STEPS_PER_BEAT)
        track.notes = _note_list(tick, kind, value, end)
        score.tracks = TrackTickList([track])
        signs = np.flatnonzero(kind == _TIME_SIGNATURE)
        signs = signs[np.diff(value[signs], prepend=first) != 0]
        metres = [(0, first), *zip(tick[signs].tolist(), value[signs].tolist(), strict=True)]
        score.time_signatures = TimeSignatureTickList(
            [TimeSignatureTick(tick, beats, 4) for tick, beats in metres]
        )
        score.tempos = TempoTickList([TempoTick(0, tempo)])
        return score

    @cached_property
    def _meaning(self) -> IntColumn:
        """Return the kind of each id, an index into _KINDS, and its number, shape (2, n_ids)."""
        return np.array([_meaning_of(text) for text in self.vocabulary.texts]).T

    @cached_property
    def _first(self) -> dict[str, int]:
        """Return the first id of each kind of music; its others follow in the order of size."""
        kinds = self._meaning[0].tolist()
        return {kind: kinds.index(index) for index, kind in enumerate(_KINDS) if kind}


_KINDS = ("Bar", "Position", "Pitch", "Velocity", "Duration", "TimeSig", "", "", "")
_BAR, _POSITION, _PITCH, _VELOCITY, _DURATION, _TIME_SIGNATURE, _CONTROL, _GIVEN, _OTHER = range(9)
_CONTROLS = (
    *("Control-", "BarControl-", "Ending_", "Join_", "Compound_", "Form-", "ChordA_", "ChordB_"),
    *("Behind_", "Here_", *(f"{token}_" for token in SPECIAL_TOKENS)),
)
_TICKS = {text: ticks for ticks, text in durations().items()}
_VELOCITIES, _DURATIONS = np.array(velocities()), np.array(list(durations()))


def _meaning_of(text: str) -> tuple[int, int]:
    kind, _, value = text.partition("_")
    if text.startswith(_CONTROLS):
        return _CONTROL, 0
    if kind == "Given":
        return _GIVEN, 0
    if kind == "Bar" or kind not in _KINDS:
        return (_BAR if kind == "Bar" else _OTHER), 0
    if kind == "Duration":
        return _DURATION, _TICKS[text]
    return _KINDS.index(kind), int(value.split("/")[0])


def _of_given(kind: IntColumn) -> NDArray[np.bool_]:
    """Tell which ids say a given note: `Given`, and the next ones from Position to Duration."""
    rank = np.where((kind >= _POSITION) & (kind <= _DURATION), kind, -1)
    inside: NDArray[np.bool_] = kind == _GIVEN
    rank[inside] = 0
    for _ in range(_DURATION):
        inside[1:] |= inside[:-1] & (rank[1:] > rank[:-1])
    return inside


def _first_metre(kind: IntColumn, value: IntColumn) -> int:
    """Return the beats of the first bar: as said before the first note, or four."""
    told = np.flatnonzero((kind >= _PITCH) & (kind <= _TIME_SIGNATURE))[:1]
    return int(value[told[0]]) if (kind[told] == _TIME_SIGNATURE).any() else COMMON_TIME


def _ticks(kind: IntColumn, value: IntColumn, first: int) -> IntColumn:
    """Return the tick at which each id stands, `first` being the beats of the first bar."""
    sign = _latest(kind == _TIME_SIGNATURE)
    beats = np.where(sign < 0, first, value[sign])
    step = np.where(kind == _BAR, beats * STEPS_PER_BEAT, 0)
    timed = (kind == _BAR) | (kind == _POSITION)
    step[np.flatnonzero(timed)[:1]] = 0  # the first bar begins at 0, whether or not it is said
    told = np.cumsum(step) + np.where(kind == _POSITION, value, 0)
    latest = _latest(timed)
    return np.where(latest < 0, 0, told[latest])


def _latest(mask: NDArray[np.bool_]) -> IntColumn:
    """Return the index of the last true value up to each place, -1 where there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))


def _note_list(tick: IntColumn, kind: IntColumn, value: IntColumn, end: int | None) -> NoteTickList:
    """Return the notes said, by onset and pitch, each ended by the next of its pitch and `end`."""
    is_note = (kind[:-2] == _PITCH) & (kind[1:-1] == _VELOCITY) & (kind[2:] == _DURATION)
    at = np.flatnonzero(is_note)
    at = at[np.lexsort((value[at], tick[at]))]
    tick, pitch, velocity, length = tick[at], value[at], value[at + 1], value[at + 2]
    by_pitch = np.argsort(pitch, kind="stable")
    again = np.diff(pitch[by_pitch]) == 0
    struck, until = by_pitch[:-1][again], np.diff(tick[by_pitch])[again]
    length[struck] = np.maximum(np.minimum(length[struck], until), 1)
    if end is not None:
        length = np.maximum(np.minimum(length, end - tick), 1)
    return NoteTickList.from_numpy(
        tick.astype(np.int32),
        length.astype(np.int32),
        pitch.astype(np.int8),
        velocity.astype(np.int8),
    )


def _metres(score: ScoreTick) -> Metres:
    """Return the metres of a score, each other than the one before it."""
    changes = {0: (COMMON_TIME, 4)}
    for change in sorted(score.time_signatures, key=lambda change: change.time):
        changes[int(change.time)] = (change.numerator, change.denominator)
    metres: Metres = []
    for tick, (beats, unit) in changes.items():
        if unit != 4 or beats not in BEATS_PER_BAR:
            raise ValueError(f"time signatures must be 2/4, 3/4 or 4/4, got {beats}/{unit}")
        if metres and (tick - metres[-1][0]) % (metres[-1][1] * STEPS_PER_BEAT):
            raise ValueError(f"time signatures must change at bar lines, got tick {tick}")
        if not metres or beats != metres[-1][1]:
            metres.append((tick, beats))
    return metres


def _bars(metres: Metres, last: int) -> tuple[IntColumn, IntColumn]:
    """Return the tick at which each bar begins, up to that which holds `last`, and its beats."""
    ends = [*(tick for tick, _ in metres[1:]), last + 1]
    lines = [
        np.arange(tick, end, beats * STEPS_PER_BEAT)
        for (tick, beats), end in zip(metres, ends, strict=True)
    ]
    return np.concatenate(lines), np.repeat([b for _, b in metres], [len(own) for own in lines])


def nearest(known: IntColumn, values: IntColumn) -> NDArray[np.int64]:
    """Return the index of the number nearest to each value, the greater of two as near.

    Args:
        known: Rising numbers.
        values: Shape (n,).
    """
    return np.searchsorted(known[1:] + known[:-1], 2 * values, side="right")


def bin_edges(values: FloatColumn) -> FloatColumn:
    """Return the inner edges that part values into equally filled bins, shape (N_BINS - 1,)."""
    return np.quantile(values, np.linspace(0, 1, N_BINS + 1)[1:-1])
