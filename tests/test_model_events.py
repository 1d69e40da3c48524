"""Ids as events: what enters together, what is foretold, and from what."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import (
    BAR,
    BOS,
    CHORDS_A,
    CHORDS_B,
    CONTROL,
    DURATIONS,
    EOS,
    GIVEN,
    GRAMMAR,
    LAYOUT,
    PITCHES,
    POSITIONS,
    SIGN,
    TEXTS,
    VELOCITIES,
    V,
    draw_music,
)

from emomusic.model.events import NONE, SLOTS, EventLayout, Events, to_events

QUIETLY = settings(max_examples=100, deadline=None, database=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def events_of(ids: list[int], learnt: list[bool] | None = None) -> Events:
    told = None if learnt is None else np.array(learnt)
    return to_events(np.array(ids), LAYOUT, GRAMMAR.kinds, told)


def rows_of(events: Events) -> list[list[int]]:
    return [own.tolist() for own in np.split(events.rows, events.start[1:])]


P, N, D, S = POSITIONS, PITCHES, VELOCITIES, DURATIONS
IDS = [
    BOS, CONTROL, CONTROL + 2,
    BAR, SIGN, GIVEN, P[2], N[5], D[1], GIVEN, P[4], N[1], CHORDS_A[2], CHORDS_B[0],
    P[0], N[3], D[0], S[0], N[6], D[1], S[4], P[2], N[5], D[1], S[1],
    BAR, SIGN, P[7], N[0], D[2], S[3], EOS,
]  # fmt: skip
"""A head, a bar with two given notes, chords and three notes, a bar with one note."""


def test_what_enters_together_is_as_by_hand() -> None:
    assert rows_of(events_of(IDS)) == [
        [BOS, CONTROL, CONTROL + 2], [BAR, SIGN], [GIVEN, P[2], N[5], D[1]], [GIVEN, P[4], N[1]],
        [CHORDS_A[2], CHORDS_B[0]], [P[0], N[3], D[0], S[0]], [N[6], D[1], S[4], P[0], V],
        [P[2], N[5], D[1], S[1]], [BAR, SIGN], [P[7], N[0], D[2], S[3]],
    ]  # fmt: skip


def test_what_is_foretold_is_as_by_hand() -> None:
    none, bar, end = [NONE] * len(SLOTS), LAYOUT.advance_bar, LAYOUT.advance_bar + 1
    found = events_of(IDS)
    assert found.chosen.tolist() == [
        none, none, none, [NONE, NONE, NONE, NONE, 2, 0], [1, 3, 0, 0, NONE, NONE],
        [0, 6, 1, 4, NONE, NONE], [3, 5, 1, 1, NONE, NONE], [bar, *none[1:]],
        [8, 0, 2, 3, NONE, NONE], [end, *none[1:]],
    ]  # fmt: skip
    assert found.is_note.tolist() == [False] * 5 + [True] * 3 + [False, True]
    assert found.first.tolist() == [0, 10]
    np.testing.assert_array_equal(found.learnt, found.chosen != NONE)


def test_what_is_not_to_be_learnt_is_told_by_id() -> None:
    learnt = [True] * len(IDS)
    for token in (CHORDS_B[0], N[6], P[2], EOS):
        learnt[len(IDS) - 1 - IDS[::-1].index(token)] = False
    found = events_of(IDS, learnt)
    off = np.argwhere((found.chosen != NONE) & ~found.learnt).tolist()
    # The pitch of a note at the same moment says both that it is there and how high.
    assert off == [[3, 5], [5, 0], [5, 1], [6, 0], [9, 0]]


@QUIETLY
@given(SEEDS)
def test_no_id_is_lost_and_none_comes_twice(seed: int) -> None:
    music = draw_music(np.random.default_rng(seed))
    rows = rows_of(events_of(music.ids))
    again = [row for own in rows for row in (own[:-2] if own[-1] == V else own)]
    assert Counter(again) == Counter(token for token in music.ids if token != EOS)
    chosen = events_of(music.ids).chosen
    assert [(s, int(own[s])) for own in chosen for s in range(6) if own[s] != NONE] == music.told


@QUIETLY
@given(SEEDS, st.integers(0, 10**6))
def test_an_event_follows_from_what_came_before_alone(seed: int, cut: int) -> None:
    one, other = (draw_music(np.random.default_rng([seed, n])).ids for n in (0, 1))
    bars = np.flatnonzero(np.array(one) == BAR)
    before = one[: int(bars[cut % len(bars)])]
    whole, mixed = events_of(one), events_of([*before, *other[other.index(BAR) :]])
    n = len(rows_of(events_of(before)))
    assert rows_of(mixed)[:n] == rows_of(whole)[:n]
    np.testing.assert_array_equal(mixed.chosen[: n - 1], whole.chosen[: n - 1])


@QUIETLY
@given(st.lists(SEEDS, min_size=1, max_size=4))
def test_sequences_laid_end_to_end_are_as_each_alone(seeds: list[int]) -> None:
    parts = [draw_music(np.random.default_rng(seed)).ids for seed in seeds]
    parts = [ids[:-1] if len(ids) % 2 else ids for ids in parts]  # some have no end
    whole, alone = events_of([token for ids in parts for token in ids]), [*map(events_of, parts)]
    assert rows_of(whole) == [row for own in alone for row in rows_of(own)]
    np.testing.assert_array_equal(whole.chosen, np.concatenate([own.chosen for own in alone]))
    np.testing.assert_array_equal(whole.is_note, np.concatenate([own.is_note for own in alone]))
    assert whole.first.tolist() == np.cumsum([0, *(len(own.start) for own in alone)]).tolist()


def test_a_layout_is_found_by_the_texts_of_the_tokens() -> None:
    for field, kind in (("bos", "BOS"), ("bar", "Bar"), ("given", "Given"), ("here", "Here")):
        assert TEXTS[getattr(LAYOUT, field)] == f"{kind}_None"
    assert TEXTS[LAYOUT.chord_b[0]] == "ChordB_0:maj" and LAYOUT.chord_b[1] == 4
    assert LAYOUT.n_choices == (11, 40, 3, 5, 4, 4)
    assert EventLayout.from_dict(asdict(LAYOUT)) == LAYOUT
    with pytest.raises(ValueError, match="the vocabulary lacks Given, or its ids are scattered"):
        EventLayout.from_texts([text for text in TEXTS if text != "Given_None"])
    with pytest.raises(ValueError, match="the vocabulary lacks Pitch, or its ids are scattered"):
        EventLayout.from_texts([*TEXTS, "Pitch_81"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bos": -1}, "bos must name ids, got -1"),
        ({"bos": True}, "bos must name ids, got True"),
        ({"bos": [1, 2]}, r"bos must name ids, got \[1, 2\]"),
        ({"pitch": 5}, "pitch must name ids, got 5"),
        ({"pitch": [5]}, r"pitch must name ids, got \[5\]"),
        ({"pitch": [5, 0]}, r"pitch must name ids, got \[5, 0\]"),
        ({"pitch": [5, 1.5]}, "pitch must name ids"),
        ({"pitch": None}, "pitch must name ids, got None"),
        ({"eos": PITCHES[3]}, rf"pitch and eos have id {PITCHES[3]} in common"),
        ({"colour": 1}, "unknown or missing key in the layout of events: colour"),
    ],
)
def test_a_layout_that_names_no_ids_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EventLayout.from_dict({**asdict(LAYOUT), **changes})
    with pytest.raises(ValueError, match=f"position names id {POSITIONS[-1]} of {POSITIONS[-1]}"):
        LAYOUT.check(POSITIONS[-1])
