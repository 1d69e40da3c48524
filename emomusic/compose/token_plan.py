"""From the plan of a clip to what is given of it in ids, so that every sequence is music."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import UNREADABLE, read_json
from emomusic.model.engine import MAX_LATE
from emomusic.model.events import EventLayout
from emomusic.model.grammar import REACH, BarScript, GivenNote, Grammar, Script, Segments
from emomusic.music.attributes import attribute
from emomusic.music.form import FORM_COLUMNS, FormTable
from emomusic.music.tokenizer import (
    ENDING_BARS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    N_BINS,
    STEPS_PER_BEAT,
    Vocabulary,
)

TABLES_NAME = "tables.json"
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Controls:
    """Hold which control id says which value.

    Attributes:
        names: Attributes that the checkpoint was trained with, in the order in which it reads
            them.
        edges: Inner edges of each attribute's bins, shape (n_names, n_bins - 1).
        first: The first control id of each, shape (n_names,); the other bins follow it.
    """

    names: Sequence[str]
    edges: NDArray[np.float64]
    first: NDArray[np.int64]

    def ids(self, values: Mapping[str, float], *, shift: int) -> tuple[int, ...]:
        """Return the control ids of values, those that are absent left out.

        Args:
            values: Attribute values, as they are to be heard; those without controls say nothing.
            shift: Semitones by which the music is moved after it was written.
        """
        found = []
        for name, edges, first in zip(self.names, self.edges, self.first.tolist(), strict=True):
            if name in values:
                written = values[name] - shift * attribute(name).per_semitone
                found.append(first + int((written >= edges).sum()))
        return tuple(found)

    def check(self, names: Iterable[str]) -> None:
        """Check that attributes can be asked for.

        Raises:
            ValueError: If the checkpoint was trained without one.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(
                    f"the checkpoint was trained without {name}; "
                    f"it can be asked for {', '.join(self.names)}"
                )


@dataclass(frozen=True)
class Tables:
    """Hold what a checkpoint knows of its training beside the weights.

    Attributes:
        clip: The control ids of clips.
        bar: Those of bars.
        forms: How real pieces go; None leaves all bars free.
    """

    clip: Controls
    bar: Controls
    forms: FormTable | None = None


def read_tables(path: Path, vocabulary: Vocabulary) -> Tables:
    """Read a checkpoint's tables.

    Args:
        path: The checkpoint's `tables.json`.
        vocabulary: Its tokens.

    Raises:
        ValueError: If the file is missing or damaged, or holds attributes that are not known.
    """
    try:
        tables = read_json(path, max_bytes=MAX_BYTES)
        clip, bar = (_controls(tables, vocabulary, kind) for kind in ("", "bar_"))
        forms = None
        if "forms" in tables:
            forms = FormTable(*(tuple(tables.get(name, ())) for name in FORM_COLUMNS))
    except UNREADABLE as error:
        raise ValueError(f"cannot read the tables {path}: {error}") from error
    return Tables(clip, bar, forms)


def _controls(tables: Mapping[str, Any], vocabulary: Vocabulary, kind: str) -> Controls:
    names = tuple(tables[f"{kind}attributes"])
    for name in names:
        attribute(name)
    edges = np.array(tables[f"{kind}edges"], dtype=np.float64)
    if edges.shape != (len(names), N_BINS - 1) or not np.isfinite(edges).all():
        raise ValueError(f"it holds edges of shape {edges.shape}, or not finite ones")
    return Controls(names, edges, vocabulary.control_ids(names, per_bar=bool(kind)))


MAX_BAR_NOTES = 128
"""More are struck in no bar; given notes come on top."""
REPEATED = 0.6
"""Where the context is full a row begins anew with at most so many ids of its last bars, as a
share of the events of the context: that is a fifth of it, for a note has three ids or four."""
N_HEAD = 2
"""Ids of a bar's head that the tokenizer reads: the bar and its time signature."""
Ids = tuple[int, ...]


def clip_grammar(vocabulary: Vocabulary) -> Grammar:
    """Return what may follow what.

    Raises:
        ValueError: If the vocabulary lacks a kind of token, or its ids lie scattered.
    """
    return Grammar(len(vocabulary), EventLayout.from_texts(vocabulary.texts))


def transposition(tonic: int) -> int:
    """Return the semitones from the model's C to a tonic, -6 to 5."""
    return (tonic + 6) % 12 - 6


@dataclass(frozen=True)
class BarPlan:
    """Hold what is asked of one bar.

    Attributes:
        controls: Ids of its controls.
        form: Which earlier bar it takes up and how, see `bar_form`; 0 leaves it free.
        chords: Numbers of its two chords, as written in C; None leaves them to the network.
        given: Notes that it has, by position, then pitch.
    """

    controls: Ids = ()
    form: int = 0
    chords: tuple[int, int] | None = None
    given: tuple[GivenNote, ...] = ()


@dataclass(frozen=True)
class TokenPlan:
    """Hold what a clip is to be, in ids, as written in C.

    Attributes:
        controls: Clip-wide control ids, in the order of the checkpoint's tables.
        bars: What is asked of each bar that is to be written.
        beats_per_bar: 2, 3 or 4.
        lowest: Lowest MIDI pitch to be written.
        highest: Highest MIDI pitch to be written.
        ends: Whether the last bars are announced as a piece's ending.
        before: Ids of bars that are there already, heads left out, of the same metre.
        behind: The same of bars that follow: what is to be written fills the gap between.
        n_kept: Bars after which the writing stops; None writes all.
        writes_chords: Whether chords that are not given are written before a bar's notes.
        reach: Semitones that a hand strikes at once at most, 0 for no bound.
    """

    controls: Ids
    bars: tuple[BarPlan, ...]
    beats_per_bar: int = 4
    lowest: int = LOWEST_PITCH
    highest: int = HIGHEST_PITCH
    ends: bool = True
    before: tuple[Ids, ...] = ()
    behind: tuple[Ids, ...] = ()
    n_kept: int | None = None
    writes_chords: bool = True
    reach: int = REACH

    def __post_init__(self) -> None:
        """Check the notes that are given.

        Raises:
            ValueError: If a bar's do not come by position, then pitch, or are too many.
        """
        for at, bar in enumerate(self.bars):
            places = [note[:2] for note in bar.given]
            if places != sorted(set(places)):
                raise ValueError(f"given notes must come by position, then pitch, in bar {at + 1}")
            if len(places) > MAX_BAR_NOTES:
                raise ValueError(
                    f"at most {MAX_BAR_NOTES} notes of a bar can be given, "
                    f"bar {at + 1} has {len(places)}"
                )

    @property
    def n_bars(self) -> int:
        """Return the number of bars."""
        return len(self.bars)


def to_script(plan: TokenPlan, vocabulary: Vocabulary, grammar: Grammar, *, context: int) -> Script:
    """Return what is given of a clip: its controls, and the head of each bar.

    Bars behind a gap stand before all others. Bars before stand in the head of the first one, as
    many of the last of them as there is room for; where the context is full they go as other
    bars do.

    Args:
        plan: What to write.
        vocabulary: The tokens.
        grammar: Of the same vocabulary.
        context: Most events that the network looks back on.

    Raises:
        ValueError: If what is given leaves no room for a bar.
    """
    writer = _Heads(plan, vocabulary)
    n_kept = plan.n_bars if plan.n_kept is None else min(plan.n_kept, plan.n_bars)
    heads = [writer.head(bar) for bar in range(n_kept)]
    prompt = (vocabulary.id_of("BOS_None"), *plan.controls, *writer.behind())
    # The bar, each given note, shown and written, and its chords are an event each.
    longest = max(2 + 2 * len(bar.given) for bar in plan.bars)
    room = context - len(grammar.rows(prompt)) - longest - MAX_BAR_NOTES - MAX_LATE
    if room < 0:
        raise ValueError(
            f"what is given leaves no room for a bar: the network looks back on {context} "
            "notes and bars"
        )
    max_repeated = min(int(REPEATED * context), room)
    heads[0] = (*_held(writer, grammar, room - max_repeated), *heads[0])
    position, pitch = grammar.layout.position[0], grammar.layout.pitch[0] - LOWEST_PITCH
    last = plan.n_bars - 1
    return Script(
        prompt=prompt,
        bars=tuple(
            BarScript(
                head,
                ends_bar=at < last or not (plan.ends or plan.behind),
                ends_all=at == last,
                writes_chords=plan.writes_chords and bar.chords is None,
                given=bar.given,
            )
            for at, (head, bar) in enumerate(zip(heads, plan.bars, strict=False))
        ),
        max_notes=MAX_BAR_NOTES,
        positions=(position, position + plan.beats_per_bar * STEPS_PER_BEAT - 1),
        pitches=(pitch + plan.lowest, pitch + plan.highest),
        max_repeated=max_repeated,
        reach=plan.reach,
    )


@dataclass(frozen=True)
class _Heads:
    """Write what begins a bar."""

    plan: TokenPlan
    vocabulary: Vocabulary

    def _start(self, *marks: str) -> Ids:
        texts = ("Bar_None", f"TimeSig_{self.plan.beats_per_bar}/4", *marks)
        return tuple(self.vocabulary.id_of(text) for text in texts)

    def _ending(self, left: int) -> list[str]:
        """Return the mark of a bar after which the piece has so many, itself counted."""
        return [f"Ending_{left}"] if self.plan.ends and left <= ENDING_BARS else []

    def head(self, bar: int) -> Ids:
        plan, own = self.plan, self.plan.bars[bar]
        left, n_behind = plan.n_bars - bar, len(plan.behind)
        joins = [f"Join_{left}"] if n_behind and left <= ENDING_BARS else []
        start = self._start(*joins, *self._ending(left + n_behind))
        form = [int(self.vocabulary.form_ids()[own.form - 1])] if own.form else []
        shown = self.vocabulary.id_of("Given_None")
        given = [token for note in own.given for token in (shown, *note) if token >= 0]
        chords = [] if own.chords is None else chord_ids(self.vocabulary, own.chords)
        return (*start, *form, *own.controls, *given, *chords)

    def before(self) -> list[Ids]:
        """Return the bars that are there already, each with its head."""
        return [(*self._start(), *bar) for bar in self.plan.before]

    def behind(self) -> Ids:
        """Return the bars behind a gap, between the marks that say so; nothing without one."""
        if not self.plan.behind:
            return ()
        left = len(self.plan.behind)
        bars = [
            (*self._start(*self._ending(left - at)), *bar)
            for at, bar in enumerate(self.plan.behind)
        ]
        marks = [self.vocabulary.id_of(f"{mark}_None") for mark in ("Behind", "Here")]
        return (marks[0], *(token for bar in bars for token in bar), marks[1])


def _held(writer: _Heads, grammar: Grammar, room: int) -> Ids:
    """Return the ids of the last bars that are there already, as many as there is room for."""
    held: Ids = ()
    for bar in reversed(writer.before()):
        room -= len(grammar.rows(bar))
        if room < 0:
            break
        held = (*bar, *held)
    return held


def chord_ids(vocabulary: Vocabulary, chords: Sequence[int]) -> list[int]:
    """Return the ids of the numbers of a bar's two chords."""
    halves = zip("AB", chords, strict=True)
    return [int(vocabulary.chord_ids(half)[chord]) for half, chord in halves]


def body_ids(script: Script, segments: Segments) -> list[int]:
    """Return the ids of the written bars, as the tokenizer decodes them."""
    return [
        token
        for bar, segment in zip(script.bars, segments, strict=False)
        for token in (*bar.head[:N_HEAD], *segment)
    ]
