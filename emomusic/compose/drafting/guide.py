"""The grammar of a clip, in ids: what may be written next, so that every sequence is music."""

from __future__ import annotations

from dataclasses import dataclass

from emomusic.model.engines.grammar import Grammar, Kind, Script
from emomusic.music.tokenizer import (
    ENDING_BARS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    STEPS_PER_BEAT,
    Vocabulary,
)

MAX_BAR_IDS = 500
POSITION, PITCH, VELOCITY, DURATION, BAR, EOS = range(6)
_KINDS = ("Position", "Pitch", "Velocity", "Duration", "Bar", "EOS")
_AT_START, _AFTER_POSITION, _AFTER_PITCH, _AFTER_VELOCITY, _AFTER_NOTE = range(5)
N_HEAD = 2
"""Ids of a bar's head that the tokenizer reads: the bar and its time signature."""


def clip_grammar(vocabulary: Vocabulary) -> Grammar:
    """Return the grammar of a bar: positions that rise, and on each pitches that rise.

    A bar begins with a position, a position with a note, and a note is a pitch, a velocity and
    a duration; after a note there may be another, or the bar's end.

    Raises:
        ValueError: If the vocabulary lacks a kind of token, or its ids lie scattered.
    """
    ranges = [_range_of(vocabulary, kind) for kind in _KINDS]
    return Grammar(
        vocab_size=len(vocabulary),
        kinds=(
            Kind(
                *ranges[POSITION], then=_AFTER_POSITION, rises=True, resets=(PITCH,), since=POSITION
            ),
            Kind(*ranges[PITCH], then=_AFTER_PITCH, rises=True),
            Kind(*ranges[VELOCITY], then=_AFTER_VELOCITY),
            Kind(*ranges[DURATION], then=_AFTER_NOTE),
            Kind(*ranges[BAR], then=_AT_START, ends=True, since=POSITION),
            Kind(*ranges[EOS], then=_AT_START, ends=True, since=POSITION),
        ),
        states=((POSITION,), (PITCH,), (VELOCITY,), (DURATION,), (POSITION, PITCH, BAR, EOS)),
    )


def _range_of(vocabulary: Vocabulary, kind: str) -> tuple[int, int]:
    ids = vocabulary.kind_ids(kind)
    if not len(ids) or int(ids[-1] - ids[0]) != len(ids) - 1:
        raise ValueError(f"the ids of {kind} do not follow each other in the vocabulary")
    return int(ids[0]), len(ids)


def transposition(tonic: int) -> int:
    """Return the semitones from the model's C to a tonic, -6 to 5."""
    return (tonic + 6) % 12 - 6


@dataclass(frozen=True)
class Plan:
    """Hold what a clip is to be, in ids.

    Attributes:
        controls: Clip-wide control ids, in the registry's order.
        bar_controls: Control ids of each bar; its length is the number of bars.
        beats_per_bar: 2, 3 or 4.
        lowest: Lowest MIDI pitch to be written.
        highest: Highest MIDI pitch to be written.
        ends: Whether the last bars are announced as a piece's ending.
        before: Sampled ids of bars that are there already, of the same metre, oldest first.
        n_kept: Bars after which the writing stops; None writes all.
    """

    controls: tuple[int, ...]
    bar_controls: tuple[tuple[int, ...], ...]
    beats_per_bar: int = 4
    lowest: int = LOWEST_PITCH
    highest: int = HIGHEST_PITCH
    ends: bool = True
    before: tuple[tuple[int, ...], ...] = ()
    n_kept: int | None = None

    @property
    def n_bars(self) -> int:
        """Return the number of bars."""
        return len(self.bar_controls)


def script_of(
    plan: Plan,
    vocabulary: Vocabulary,
    grammar: Grammar,
    *,
    max_repeated: int,
    max_before: int = 0,
) -> Script:
    """Return what is given of a clip: its controls, and the head of each bar.

    Bars that are there already stand in the head of the first one, as many of the last of them as
    there is room for; where the context is full they go as other bars do.

    Args:
        plan: What to write.
        vocabulary: The tokens.
        grammar: Of the same vocabulary.
        max_repeated: Most ids of past bars that are repeated where the context is full.
        max_before: Most ids of bars that are there already.
    """
    position, pitch = grammar.kinds[POSITION].first, grammar.kinds[PITCH].first
    last_step = plan.beats_per_bar * STEPS_PER_BEAT - 1
    n_kept = plan.n_bars if plan.n_kept is None else min(plan.n_kept, plan.n_bars)
    heads = [_head(plan, vocabulary, bar) for bar in range(n_kept)]
    heads[0] = (*_before(plan, heads[0][:N_HEAD], max_before), *heads[0])
    ends = ((BAR,),) * (plan.n_bars - 1) + ((EOS,) if plan.ends else (BAR, EOS),)
    return Script(
        prompt=(vocabulary.id_of("BOS_None"), *plan.controls),
        heads=tuple(heads),
        ends=ends[:n_kept],
        max_free=MAX_BAR_IDS - N_HEAD,
        bounds=(
            (POSITION, position, position + last_step),
            (PITCH, pitch + plan.lowest - LOWEST_PITCH, pitch + plan.highest - LOWEST_PITCH),
        ),
        max_repeated=max_repeated,
    )


def _before(plan: Plan, head: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Return the ids of the last bars that are there already, at most so many."""
    found: tuple[int, ...] = ()
    for bar in reversed(plan.before):
        if len(found) + len(head) + len(bar) > most:
            break
        found = (*head, *bar, *found)
    return found


def _head(plan: Plan, vocabulary: Vocabulary, bar: int) -> tuple[int, ...]:
    signature = vocabulary.id_of(f"TimeSig_{plan.beats_per_bar}/4")
    left = plan.n_bars - bar
    announced = [vocabulary.id_of(f"Ending_{left}")] if plan.ends and left <= ENDING_BARS else []
    return (vocabulary.id_of("Bar_None"), signature, *announced, *plan.bar_controls[bar])


def ids_of(script: Script, segments: list[list[int]]) -> list[int]:
    """Return the ids of the written bars, as the tokenizer decodes them."""
    return [
        token
        for head, segment in zip(script.heads, segments, strict=False)
        for token in (*head[:N_HEAD], *segment)
    ]
