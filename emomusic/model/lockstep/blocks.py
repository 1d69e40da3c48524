"""Rows in blocks: each at the place of its number, all of a block in step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from emomusic.model.engines.engine import Row, Segments, Uniforms, check_row, steered
from emomusic.model.engines.grammar import Grammar
from emomusic.model.lockstep.steps import Asked, Settings, Steps
from emomusic.model.lockstep.walks import Leans, Walks
from emomusic.model.shape import ModelConfig

OPENING_STEP = 32
"""Openings are padded to multiples of it, so that rows of nearly one length share a block."""
LOOK_AHEAD = 2
"""So many blocks of rows may wait for a place."""
DRAWN_AHEAD = 256
Places = Sequence["Taken | None"]


@dataclass
class Taken:
    """Hold a row in hand.

    Attributes:
        at: Its place among the rows.
        row: What is to be written.
        segments: What has been.
    """

    at: int
    row: Row
    segments: Segments = field(default_factory=list)

    @property
    def shape(self) -> tuple[bool, int]:
        """Return what rows of one block have in common: twins, and the room for the opening.

        It follows from the row alone. Openings that repeat segments are of many lengths, and
        get the room of the longest.
        """
        script = self.row.script
        n_ids = len(script.opening([]))
        if self.segments:
            n_ids = len(script.prompt) + max(map(len, script.heads)) + script.max_repeated
        room = -(-(n_ids - 1) // OPENING_STEP) * OPENING_STEP
        return self.row.guidance_after(len(self.segments)) > 1, room


class Queue:
    """Part rows into blocks as they come, with few of them in hand."""

    def __init__(
        self, rows: Iterable[Row], grammar: Grammar, config: ModelConfig, *, size: tuple[int, int]
    ) -> None:
        """Take rows only when a block is asked for.

        Args:
            rows: Checked as they are taken.
            grammar: Of all rows.
            config: The model's shape.
            size: Places of a block, and how many of them are used at most.
        """
        self._rows = enumerate(rows)
        self._grammar, self._config = grammar, config
        self._width, self._most = size
        self._waiting: list[Taken] = []

    def take(self) -> list[Taken | None] | None:
        """Return the rows of one block, each at its place, or None if there is none.

        The first is the one that has waited longest; the others are of its shape.

        Raises:
            ValueError: If a row cannot be written.
        """
        places: list[Taken | None] = [None] * self._width
        waiting, self._waiting = self._waiting, []
        shape: tuple[bool, int] | None = None
        for taken in chain(waiting, self._new_rows(places)):
            shape = shape or taken.shape
            at = taken.row.number % self._width
            if taken.shape == shape and places[at] is None and self._has_room(places):
                places[at] = taken
            else:
                self._waiting.append(taken)
        return None if shape is None else places

    def _has_room(self, places: Places) -> bool:
        return self._width - places.count(None) < self._most

    def _new_rows(self, places: Places) -> Iterator[Taken]:
        while self._has_room(places) and len(self._waiting) < LOOK_AHEAD * self._width:
            found = next(self._rows, None)
            if found is None:
                return
            check_row(found[1], self._grammar, self._config)
            yield Taken(*found)

    def put_back(self, taken: Taken) -> None:
        """Let a row wait for another block, after which it goes on with its next segment."""
        self._waiting.append(taken)


@dataclass(frozen=True)
class News:
    """Tell that a row has another segment, or else that its context is full."""

    taken: Taken
    n_segments: int
    is_full: bool = False

    @property
    def is_done(self) -> bool:
        """Tell whether the row has ended."""
        return self.n_segments == len(self.taken.row.script.heads)


class _Numbers:
    """Take the numbers of all places at once, a good many ahead."""

    def __init__(self, sources: Sequence[Uniforms | None]) -> None:
        self._sources = sources
        self._ahead = np.zeros((len(sources), DRAWN_AHEAD))
        self._used = np.zeros(len(sources), dtype=np.int64)
        for place, source in enumerate(sources):
            if source is not None:
                self._ahead[place] = source.peek(DRAWN_AHEAD)

    def take(self, free: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the next number of each place, used up where one is free."""
        for place in np.flatnonzero(self._used == DRAWN_AHEAD).tolist():
            source = self._sources[place]
            assert source is not None
            self.settle(place)
            self._ahead[place] = source.peek(DRAWN_AHEAD)
        numbers = self._ahead[np.arange(len(free)), self._used]
        self._used += free
        return numbers

    def settle(self, place: int) -> None:
        """Let a place's source know how many were used."""
        source = self._sources[place]
        assert source is not None
        source.drop(int(self._used[place]))
        self._used[place] = 0


class Block:
    """Write rows until each has ended or its context is full."""

    def __init__(self, places: Places, grammar: Grammar, steps: Steps) -> None:
        """Begin the rows.

        Args:
            places: The row of each place; they are of one shape.
            grammar: Of all rows.
            steps: Of as many places, with twins if the rows have them.
        """
        self._places, self._steps = places, steps
        self._context = steps.model.config.context
        self._room = next(taken.shape[1] for taken in places if taken is not None)
        self._begun = [0 if taken is None else len(taken.segments) for taken in places]
        self._guidance = np.array(
            [1.0 if t is None else t.row.guidance_after(len(t.segments)) for t in places]
        )
        scripts = [None if taken is None else taken.row.script for taken in places]
        segments = [[] if taken is None else taken.segments for taken in places]
        self._walks = Walks(grammar, scripts, segments=segments)
        self._numbers = _Numbers([taken.row.uniforms if taken else None for taken in places])
        openings = [*map(_opening, places)] + [*map(_twin_opening, places)] * steps.twins
        self._ids = np.array([ids[-1] for ids in openings])
        self._at = np.array([len(ids) - 1 for ids in openings])
        padded = np.zeros((len(openings), min(self._room, self._context)), dtype=np.int64)
        for row, ids in zip(padded, openings, strict=True):
            row[: len(ids) - 1] = ids[:-1]
        steps.begin(padded, _settings(places), grammar.kind_of)
        self._grammar = grammar
        self._leans = [None if t is None else steered(t.row, t.segments, grammar) for t in places]
        self._stacked = self._stack()

    def _stack(self) -> Leans | None:
        is_any = any(lean is not None for lean in self._leans)
        return Leans.of(self._leans, self._grammar.vocab_size) if is_any else None

    def write(self) -> Iterator[News]:
        """Write on, and tell of each segment.

        Raises:
            ValueError: If the grammar allows no id, or a segment does not end.
        """
        walks, n_steps = self._walks, 0
        while walks.live.any():
            n_steps += 1
            ids, free = self._next(min(self._room + n_steps, self._context))
            for place in walks.push(ids, free):
                yield self._news(place)
            n_ids = self._at[: len(ids)] + 2  # those fed, and the one to be fed
            for place in np.flatnonzero(walks.live & (n_ids >= self._context)).tolist():
                walks.leave(place)
                yield self._news(place, is_full=True)
            n_twins = len(self._at) // len(ids)
            self._ids = np.tile(ids, n_twins)
            self._at = np.where(np.tile(walks.live, n_twins), self._at + 1, 0)

    def _next(self, span: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the next id of each place, and which of them were sampled."""
        walks = self._walks
        given = walks.given()
        free = walks.live & (given < 0)
        low, high = walks.bounds()
        if (free & (low > high).all(axis=1)).any():
            raise ValueError("the grammar allows no id")
        numbers = self._numbers.take(free)
        leaning = None if self._stacked is None else walks.leaning(self._stacked)
        asked = Asked(self._ids, self._at, span, free, low, high, numbers, self._guidance, leaning)
        drawn = self._steps.next(asked)
        return np.where(free, drawn, np.maximum(given, 0)), free

    def _news(self, place: int, *, is_full: bool = False) -> News:
        taken = self._places[place]
        assert taken is not None
        news = News(taken, len(taken.segments), is_full)
        self._guidance[place] = taken.row.guidance_after(news.n_segments)
        if is_full and news.n_segments == self._begun[place]:
            raise ValueError(f"a segment does not end within a context of {self._context}")
        if is_full or news.is_done:
            self._numbers.settle(place)
        elif taken.row.steer is not None:
            self._leans[place] = steered(taken.row, taken.segments, self._grammar)
            self._stacked = self._stack()
        return news


def _opening(taken: Taken | None) -> list[int]:
    return [0] if taken is None else taken.row.script.opening(taken.segments)


def _twin_opening(taken: Taken | None) -> list[int]:
    ids = _opening(taken)
    return ids if taken is None else [ids[0], *ids[len(taken.row.script.prompt) :]]


def _settings(places: Places) -> Settings:
    rows = [
        (1.0, 1.0) if taken is None else (taken.row.temperature, taken.row.top_p)
        for taken in places
    ]
    return Settings(*np.array(rows, dtype=np.float64).T)
