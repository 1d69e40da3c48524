"""Which ids of a sequence enter the network together, and what is to be foretold of the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SLOTS = ("advance", "pitch", "velocity", "duration", "chord_a", "chord_b")
"""What an event is written by, in order: a note by the first four, chords by the last two."""
ADVANCE, PITCH, VELOCITY, DURATION, CHORD_A, CHORD_B = range(len(SLOTS))
SAME = 0
"""Among the choices of `advance`: another note at the same moment."""
NONE = -1

_REST, _BOS, _BAR, _MARK, _GIVEN, _CHORD_A, _CHORD_B = range(7)
_POSITION, _PITCH, _VELOCITY, _DURATION, _EOS = range(7, 12)
_RANGES = ("position", "pitch", "velocity", "duration", "chord_a", "chord_b")


@dataclass(frozen=True)
class EventLayout:
    """Say by numbers what the network must know of the ids: which begin events, which are chosen.

    Ranges are (first id, number of ids). All other ids are added to the event that they stand in.

    Attributes:
        bos: Begins the head.
        eos: Ends a sequence.
        bar: Begins a bar.
        given: Begins a note that is shown before it is written.
        behind: Says that the bars which follow lie behind a gap.
        here: Ends those.
        position: Moments in a bar.
        pitch, velocity, duration: Of a note.
        chord_a, chord_b: Of the first and the second half of a bar.
    """

    bos: int
    eos: int
    bar: int
    given: int
    behind: int
    here: int
    position: tuple[int, int]
    pitch: tuple[int, int]
    velocity: tuple[int, int]
    duration: tuple[int, int]
    chord_a: tuple[int, int]
    chord_b: tuple[int, int]

    def __post_init__(self) -> None:
        taken = []
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if field.name in _RANGES else (value, 1)
            plain = isinstance(numbers, (tuple, list)) and len(numbers) == 2
            whole = plain and all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
            if not whole or numbers[0] < 0 or numbers[1] < 1:
                raise ValueError(f"{field.name} must name ids, got {value!r}")
            if field.name in _RANGES:
                object.__setattr__(self, field.name, tuple(value))
            taken.append((numbers[0], sum(numbers), field.name))
        for (_, end, one), (first, _, other) in pairwise(sorted(taken)):
            if first < end:
                raise ValueError(f"{one} and {other} have id {first} in common")

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> EventLayout:
        """Look the ids up in a vocabulary, by the texts of its tokens.

        Raises:
            ValueError: If it lacks a token, or the ids of a kind do not follow each other.
        """
        found: dict[str, int | tuple[int, int]] = {}
        for field in fields(cls):
            # chord_a: all ids whose texts begin with ChordA_
            kind = field.name.title().replace("_", "")
            kind = kind.upper() if field.name in ("bos", "eos") else kind
            ids = [i for i, text in enumerate(texts) if text.startswith(f"{kind}_")]
            if not ids or ids[-1] - ids[0] != len(ids) - 1:
                raise ValueError(f"the vocabulary lacks {kind}, or its ids are scattered")
            found[field.name] = (ids[0], len(ids)) if field.name in _RANGES else ids[0]
        return cls.from_dict(found)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the range of each slot, in the order of SLOTS; of `advance`, the positions."""
        return tuple(getattr(self, name) for name in _RANGES)

    @property
    def n_choices(self) -> tuple[int, ...]:
        own = self.pitch[1], self.velocity[1], self.duration[1], self.chord_a[1], self.chord_b[1]
        return self.position[1] + 3, *own

    @property
    def advance_bar(self) -> int:
        """Return which choice of `advance` ends a bar; the one after it ends the sequence."""
        return 1 + self.position[1]

    def check(self, vocab_size: int) -> None:
        """Check that all ids are below a number of ids, or raise a ValueError."""
        for name, value in asdict(self).items():
            last = sum(value) - 1 if isinstance(value, tuple) else value
            if last >= vocab_size:
                raise ValueError(f"{name} names id {last} of {vocab_size}")

    def kinds(self, vocab_size: int) -> Ints:
        """Return what each id is to the network, shape (vocab_size,)."""
        kinds = np.full(vocab_size, _REST, dtype=np.int64)
        for value, kind in (
            (self.bos, _BOS), (self.eos, _EOS), (self.bar, _BAR), (self.given, _GIVEN),
            (self.behind, _MARK), (self.here, _MARK), (self.position, _POSITION),
            (self.pitch, _PITCH), (self.velocity, _VELOCITY), (self.duration, _DURATION),
            (self.chord_a, _CHORD_A), (self.chord_b, _CHORD_B),
        ):  # fmt: skip
            first, count = value if isinstance(value, tuple) else (value, 1)
            kinds[first : first + count] = kind
        return kinds

    def choices(self, vocab_size: int) -> Ints:
        """Return which choice of its slot each id is, 0 where it has none, shape (vocab_size,)."""
        choices = np.zeros(vocab_size, dtype=np.int64)
        for first, count in self.ranges[1:]:
            choices[first : first + count] = np.arange(count)
        choices[self.position[0] : sum(self.position)] = 1 + np.arange(self.position[1])
        choices[self.bar], choices[self.eos] = self.advance_bar, self.advance_bar + 1
        return choices

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EventLayout:
        """Build from plain values; a key that is unknown or missing is a ValueError, too."""
        if odd := set(values) ^ {field.name for field in fields(cls)}:
            raise ValueError(f"unknown or missing key in the layout of events: {min(odd)}")
        return cls(**values)


@dataclass(frozen=True)
class Events:
    """Hold sequences as events.

    Attributes:
        rows: Rows of the embedding that are summed, event after event, shape (n_rows,); the row
            after the last id says that a note is struck at the same moment as the one before.
        start: Where in `rows` each event begins, shape (n_events,).
        chosen: What the next event of the sequence chooses in each slot, NONE where it has no
            such slot or there is no next one, shape (n_events, n_slots).
        learnt: Which of those are to be learnt, shape (n_events, n_slots).
        is_note: Which events are written notes, shape (n_events,).
        first: Where each sequence begins, and the number of events, shape (n_sequences + 1,).
    """

    rows: Ints
    start: Ints
    chosen: Ints
    learnt: Bools
    is_note: Bools
    first: Ints


def to_events(ids: Ints, layout: EventLayout, kinds: Ints, learnt: Bools | None = None) -> Events:
    """Return sequences, laid end to end, as events.

    Each begins with `bos`. A bar that may be ended has a note, so its end is foretold only there.

    Args:
        ids: Shape (n_ids,).
        layout: Which ids are what.
        kinds: Of the layout, see `EventLayout.kinds`.
        learnt: Which ids are to be learnt, shape (n_ids,); None learns all that can be.
    """
    kind = kinds[ids]
    before = np.concatenate([[_REST], kind[:-1]])
    before_that = np.concatenate([[_REST], before[:-1]])
    is_written = (kind == _PITCH) & (before_that != _GIVEN)  # not a given note's
    moves = (kind == _POSITION) & (before != _GIVEN)
    begins = is_written | np.isin(kind, (_BOS, _BAR, _MARK, _GIVEN, _CHORD_A))
    # A moment belongs to the note behind it, whatever else to the event that it stands in.
    event = np.cumsum(begins) - 1 + moves
    at = np.flatnonzero(begins)
    is_note = is_written[at]
    moment = np.maximum.accumulate(np.where(moves, np.arange(len(ids)), 0))[at]
    joins = is_note & (before[at] != _POSITION)
    rows, start = _rows(ids, kind != _EOS, event, (moment, joins), len(kinds))
    # Where in the ids stands what the next event chooses in each slot, NONE where it has none.
    source = np.full((len(at), len(SLOTS)), NONE, dtype=np.int64)
    notes = np.flatnonzero(is_note[1:])
    source[notes, ADVANCE] = np.where(joins, at, moment)[notes + 1]
    source[notes, PITCH : DURATION + 1] = at[notes + 1, None] + np.arange(3)
    chords = np.flatnonzero(kind[at[1:]] == _CHORD_A)
    source[chords, CHORD_A:] = at[chords + 1, None] + np.arange(2)
    bars = np.flatnonzero(is_note[:-1] & (kind[at[1:]] == _BAR))
    source[bars, ADVANCE] = at[bars + 1]
    ends = np.flatnonzero(kind == _EOS)
    source[event[ends], ADVANCE] = ends
    has = source != NONE
    chosen = np.where(has, layout.choices(len(kinds))[ids[source]], NONE)
    chosen[notes[joins[notes + 1]], ADVANCE] = SAME
    first = np.append(np.flatnonzero(kind[at] == _BOS), len(at))
    told = has if learnt is None else has & learnt[source]
    return Events(rows, start, chosen, told, is_note, first)


def _rows(
    ids: Ints, kept: Bools, event: Ints, moments: tuple[Ints, Bools], same: int
) -> tuple[Ints, Ints]:
    """Return the rows of all events and where each begins."""
    moment, joins = moments
    joined = np.flatnonzero(joins)
    rows = np.concatenate([ids[kept], ids[moment[joined]], np.full(len(joined), same)])
    of = np.concatenate([event[kept], joined, joined])
    order = np.argsort(of, kind="stable")
    start = np.searchsorted(of[order], np.arange(len(moment)))
    return rows[order], start
