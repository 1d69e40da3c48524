"""From what is asked of bars to what is given of them in ids, so that every sequence is music."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from symusic.core import ScoreTick

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
    Tokenizer,
    Vocabulary,
)

TABLES_NAME = "tables.json"
MAX_BYTES = 4 * 2**20
MAX_BAR_NOTES = 128  # More are struck in no bar; given notes come on top.
REPEATED = 0.6
"""Where the context is full a row begins anew with at most so many ids of its last bars, as a
share of the events of the context: that is a fifth of it, for a note has three ids or four."""
N_HEAD = 2  # Ids of a bar's head that the tokenizer reads: the bar and its beats.
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Controls:
    """Hold which control id says which value."""

    # attributes that the checkpoint was trained with, in the order in which it reads them
    names: Sequence[str]
    edges: NDArray[np.float64]  # inner edges of each attribute's bins, shape (n_names, n_bins - 1)
    # the first control id of each, shape (n_names,); the other bins follow it
    first: NDArray[np.int64]

    def ids(self, values: Mapping[str, float]) -> Ids:
        """Return the control ids of attribute values as written in C; others say nothing."""
        columns = zip(self.names, self.edges, self.first.tolist(), strict=True)
        return tuple(
            first + int((values[name] >= edges).sum())
            for name, edges, first in columns
            if name in values
        )

    def check(self, names: Iterable[str]) -> None:
        """Raise a ValueError if the checkpoint was trained without one of the attributes."""
        for name in names:
            if name not in self.names:
                raise ValueError(
                    f"the checkpoint was trained without {name}; "
                    f"it can be asked for {', '.join(self.names)}"
                )


@dataclass(frozen=True)
class Tables:
    """Hold what a checkpoint knows of its training beside the weights."""

    clip: Controls  # the control ids of clips
    bar: Controls  # those of bars
    forms: FormTable | None = None  # how real pieces go; None leaves all bars free


def read_tables(path: Path, vocabulary: Vocabulary) -> Tables:
    """Read a checkpoint's tables, of this vocabulary.

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


def clip_grammar(vocabulary: Vocabulary) -> Grammar:
    """Return what may follow what; a ValueError if the ids of a kind are missing or scattered."""
    return Grammar(len(vocabulary), EventLayout.from_texts(vocabulary.texts))


def transposition(tonic: int) -> int:
    """Return the semitones from the model's C to a tonic, -6 to 5."""
    return (tonic + 6) % 12 - 6


@dataclass(frozen=True)
class BarPlan:
    """Hold what is asked of one bar."""

    controls: Ids = ()  # ids of its controls
    form: int = 0  # which earlier bar it takes up and how, see `bar_form`; 0 leaves it free
    # numbers of its two chords, as written in C; None leaves them to the network
    chords: tuple[int, int] | None = None
    given: tuple[GivenNote, ...] = ()  # notes that it has, by position, then pitch


@dataclass(frozen=True)
class TokenPlan:
    """Hold what a clip is to be, in ids, as written in C."""

    controls: Ids  # clip-wide control ids, in the order of the checkpoint's tables
    bars: tuple[BarPlan, ...]  # what is asked of each bar that is to be written
    beats_per_bar: int = 4  # 2, 3 or 4
    is_compound: bool = False  # whether they are dotted
    lowest: int = LOWEST_PITCH  # lowest MIDI pitch to be written
    highest: int = HIGHEST_PITCH  # highest MIDI pitch to be written
    # ids of bars that are there already, heads left out, of the same metre
    before: tuple[Ids, ...] = ()
    # the same of bars that follow: what is to be written fills the gap between
    behind: tuple[Ids, ...] = ()
    is_cut: bool = False  # whether more follow than stand here
    n_kept: int | None = None  # bars after which the writing stops; None writes all
    reach: int = REACH  # semitones that a hand strikes at once at most, 0 for no bound


def to_script(plan: TokenPlan, vocabulary: Vocabulary, grammar: Grammar, *, context: int) -> Script:
    """Return what is given of a clip: its controls, and the head of each bar.

    Bars behind a gap stand before all others. Bars before stand in the head of the first one, as
    many of the last of them as there is room for; where the context is full they go as other
    bars do. The network looks back on at most `context` events.

    Raises:
        ValueError: If given notes are too many or do not rise, or leave no room for a bar.
    """
    n_given = [len(bar.given) for bar in plan.bars]
    if max(n_given) > MAX_BAR_NOTES:
        bar, n = n_given.index(max(n_given)) + 1, max(n_given)
        raise ValueError(f"at most {MAX_BAR_NOTES} notes of a bar can be given, bar {bar} has {n}")
    heads = [_head(plan, vocabulary, bar) for bar in range(len(plan.bars))][: plan.n_kept]
    prompt = (vocabulary.id_of("BOS_None"), *plan.controls, *_behind(plan, vocabulary))
    # The bar, each given note, shown and written, and its chords are an event each.
    longest = 2 + 2 * max(n_given)
    room = context - len(grammar.rows(prompt)) - longest - MAX_BAR_NOTES - MAX_LATE
    if room < 0:
        raise ValueError(
            f"what is given leaves no room for a bar: the network looks back on {context} "
            "notes and bars"
        )
    max_repeated = min(int(REPEATED * context), room)
    held, room = Ids(), room - max_repeated
    for ids in reversed(plan.before):
        bar_ids = (*heads[0][: N_HEAD + plan.is_compound], *ids)
        room -= len(grammar.rows(bar_ids))
        if room < 0:
            break
        held = (*bar_ids, *held)
    heads[0] = (*held, *heads[0])
    position, pitch = grammar.layout.position[0], grammar.layout.pitch[0] - LOWEST_PITCH
    last = len(plan.bars) - 1
    return Script(
        prompt=prompt,
        bars=tuple(
            BarScript(
                head,
                ends_bar=at < last,
                ends_all=at == last,
                writes_chords=bar.chords is None,
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


def _start(plan: TokenPlan, vocabulary: Vocabulary, *, left: int, to_join: int = 0) -> Ids:
    """Return what begins a bar: its metre, and of few bars how many are left, itself counted, to
    the end of the piece, and of a gap (0 outside of one)."""
    texts = ["Bar_None", f"TimeSig_{plan.beats_per_bar}/4"]
    texts += ["Compound_None"] if plan.is_compound else []
    texts += [f"Join_{to_join}"] if 0 < to_join <= ENDING_BARS else []
    texts += [f"Ending_{left}"] if left <= ENDING_BARS and not plan.is_cut else []
    return tuple(map(vocabulary.id_of, texts))


def _head(plan: TokenPlan, vocabulary: Vocabulary, bar: int) -> Ids:
    own, left, n_behind = plan.bars[bar], len(plan.bars) - bar, len(plan.behind)
    start = _start(plan, vocabulary, left=left + n_behind, to_join=left if n_behind else 0)
    form = [int(vocabulary.form_ids()[own.form - 1])] if own.form else []
    shown = vocabulary.id_of("Given_None")
    given = [token for note in own.given for token in (shown, *note) if token >= 0]
    chords = [] if own.chords is None else chord_ids(vocabulary, own.chords)
    return (*start, *form, *own.controls, *given, *chords)


def _behind(plan: TokenPlan, vocabulary: Vocabulary) -> Iterable[int]:
    """Return the bars behind a gap, between the marks that say so; nothing without one."""
    if not plan.behind:
        return
    yield vocabulary.id_of("Behind_None")
    for at, bar in enumerate(plan.behind):
        yield from (*_start(plan, vocabulary, left=len(plan.behind) - at), *bar)
    yield vocabulary.id_of("Here_None")


def chord_ids(vocabulary: Vocabulary, chords: Sequence[int]) -> list[int]:
    """Return the ids of the numbers of a bar's two chords."""
    halves = zip("AB", chords, strict=True)
    return [int(vocabulary.chord_ids(half)[chord]) for half, chord in halves]


def decode_bars(
    tokenizer: Tokenizer, segments: Segments, *, beats_per_bar: int = 4, tempo: float = 120.0
) -> ScoreTick:
    """Return the score of bars as they are written, in C, from the ids sampled of each."""
    texts = ("Bar_None", f"TimeSig_{beats_per_bar}/4")
    head = [tokenizer.vocabulary.id_of(text) for text in texts]
    ids = [token for segment in segments for token in (*head, *segment)]
    return tokenizer.decode(ids, tempo=tempo, n_beats=float(len(segments) * beats_per_bar))
