"""The longest run of events that one set of lines shares with another, at every event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.memory.events import Codes, Line
from emomusic.music.notes import IntColumn

Ranks = NDArray[np.int32]
END_OF_KNOWN, END_OF_ASKED, FIRST_SYMBOL = 0, 1, 2


@dataclass(frozen=True)
class Runs:
    """Hold what of one line is known, event by event.

    Attributes:
        length: Events of the longest known run that begins at each event, shape (n_events,).
        line: Index of a known line that holds that run, shape (n_events,); where the length is
            0 it means nothing.
        at: The event of that line at which it begins, shape (n_events,).
    """

    length: IntColumn
    line: IntColumn
    at: IntColumn


def longest_runs(known: Sequence[Line], asked: Sequence[Line]) -> list[Runs]:
    """Find, for each event of each line asked, the longest run from there that is known.

    Nothing is hashed: the result is exact. A run never leaves its line. Lines of all together
    millions of events take seconds and about 250 bytes an event.

    Args:
        known: At least one line.
        asked: Lines of the same kind.

    Raises:
        ValueError: If nothing is known.

    Reference:
        Suffix arrays by prefix doubling of Manber and Myers (1993); the ranks of each doubling
        are kept, so that the length two suffixes share is read off them, longest step first.
    """
    if not sum(len(line) for line in known):
        raise ValueError("there are no known events to compare with")
    lines = [*known, *asked]
    start = np.cumsum([0, *(len(line) + 1 for line in lines)])
    first_asked = int(start[len(known)])
    text = _text(lines, start, n_known=len(known))
    levels = _levels(text, first_asked)
    where = np.arange(first_asked, len(text))
    length, place = _best_neighbour(levels, where, first_asked)
    line = np.searchsorted(start, place, side="right") - 1
    found = []
    for first, end in zip(start[len(known) : -1], start[len(known) + 1 :] - 1, strict=True):
        own = slice(first - first_asked, end - first_asked)
        found.append(Runs(length[own], line[own], (place - start[line])[own]))
    return found


def _text(lines: Sequence[Line], start: IntColumn, *, n_known: int) -> IntColumn:
    """Return the symbols of all lines end to end, each line with an end of its kind."""
    text = np.full(start[-1], END_OF_KNOWN, dtype=np.int64)
    ends = start[1:] - 1
    text[ends[n_known:]] = END_OF_ASKED
    is_event = np.ones(len(text), dtype=bool)
    is_event[ends] = False
    text[is_event] = _symbols(np.concatenate([line.codes for line in lines])) + FIRST_SYMBOL
    return text


def _symbols(codes: Codes) -> IntColumn:
    """Return one number for each row of codes, equal for equal rows."""
    symbol = np.unique(codes[:, 0], return_inverse=True)[1]
    for column in codes.T[1:]:
        values, other = np.unique(column, return_inverse=True)
        symbol = np.unique(symbol * len(values) + other, return_inverse=True)[1]
    return symbol.astype(np.int64)


def _levels(text: IntColumn, first_asked: int) -> list[Ranks]:
    """Return the ranks of all suffixes by their first 1, 2, 4, ... symbols.

    The last ranks are those by which no suffix asked equals a known one: no run is as long.
    """
    rank = np.unique(text, return_inverse=True)[1]
    levels = [rank.astype(np.int32)]
    n_symbols = 1
    while _agree(rank, first_asked):
        key = rank * (int(rank.max()) + 1)
        key[:-n_symbols] += rank[n_symbols:]
        rank = np.unique(key, return_inverse=True)[1]
        levels.append(rank.astype(np.int32))
        n_symbols *= 2
    return levels


def _agree(rank: IntColumn, first_asked: int) -> bool:
    """Tell whether a suffix asked has the rank of a known one."""
    is_known = np.zeros(int(rank.max()) + 1, dtype=bool)
    is_known[rank[:first_asked]] = True
    return bool(is_known[rank[first_asked:]].any())


def _best_neighbour(
    levels: Sequence[Ranks], where: IntColumn, n_known: int
) -> tuple[IntColumn, IntColumn]:
    """Return how far the suffixes at `where` agree with a known one, and with which.

    The known suffix that agrees furthest stands next before or next after in the order.

    Args:
        levels: Ranks of the suffixes.
        where: Places of the suffixes asked.
        n_known: Places before this one are known.
    """
    order = np.argsort(levels[-1], kind="stable")
    place_of = np.empty(len(order), dtype=np.int64)
    place_of[order] = np.arange(len(order))
    known = np.flatnonzero(order < n_known)
    after = np.searchsorted(known, place_of[where])
    length, place = np.full(len(where), -1), np.zeros(len(where), dtype=np.int64)
    for index in (after - 1, after):
        candidate = order[known[np.clip(index, 0, len(known) - 1)]]
        shared = _shared(levels, where, candidate)
        place = np.where(shared > length, candidate, place)
        length = np.maximum(length, shared)
    return length, place


def _shared(levels: Sequence[Ranks], one: IntColumn, other: IntColumn) -> IntColumn:
    """Return how many first symbols the suffixes at two places share."""
    shared = np.zeros(len(one), dtype=np.int64)
    for power, ranks in reversed(list(enumerate(levels))):
        shared += (ranks[one + shared] == ranks[other + shared]) * 2**power
    return shared
