"""What enters together, what is foretold, and what may be written next, also of music drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import (
    BAR,
    BOS,
    CONTROL,
    EOS,
    GIVEN,
    GRAMMAR,
    LAYOUT,
    SIGN,
    SLOT_IDS,
    TEXTS,
    V,
    choices_of,
    draw_music,
    given_note,
    make_bars,
    make_script,
)

from emomusic.model.events import (
    ADVANCE,
    CHORD_A,
    CHORD_B,
    NONE,
    PITCH,
    SAME,
    SLOTS,
    EventLayout,
    Events,
    to_events,
)
from emomusic.model.grammar import FREE, BarScript, Script, Walk

QUIETLY = settings(max_examples=120, deadline=None, database=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)
POSITIONS, PITCHES, VELOCITIES, DURATIONS, CHORDS_A, CHORDS_B = SLOT_IDS


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


def test_what_enters_together_and_what_is_foretold_is_as_by_hand() -> None:
    assert rows_of(events_of(IDS)) == [
        [BOS, CONTROL, CONTROL + 2], [BAR, SIGN], [GIVEN, P[2], N[5], D[1]], [GIVEN, P[4], N[1]],
        [CHORDS_A[2], CHORDS_B[0]], [P[0], N[3], D[0], S[0]], [N[6], D[1], S[4], P[0], V],
        [P[2], N[5], D[1], S[1]], [BAR, SIGN], [P[7], N[0], D[2], S[3]],
    ]  # fmt: skip
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


WIDE: dict[str, Any] = {"pitches": (PITCHES[0], PITCHES[-1])}


def allowed_after(walk: Walk, *ids: int) -> list[int]:
    """Walk along ids, then return those that may follow; SAME stands as the id V."""
    for slot, choice in choices_of([*ids]):
        assert walk.slot == slot and walk.allowed()[choice]
        walk.push(choice)
    return sorted(GRAMMAR.slot_ids[walk.slot][walk.allowed()].tolist())


def note(position: int | None, pitch: int) -> list[int]:
    moment = V if position is None else POSITIONS[position]
    return [moment, PITCHES[pitch], VELOCITIES[1], DURATIONS[0]]


def test_bounds_and_ends_are_the_scripts() -> None:
    script = make_script(
        2, positions=(POSITIONS[2], POSITIONS[4]), pitches=(PITCHES[3], PITCHES[5]), max_notes=3
    )
    walk = Walk(GRAMMAR, script)
    assert allowed_after(walk) == [*POSITIONS[2:5]]
    assert allowed_after(walk, POSITIONS[3]) == [*PITCHES[3:6]]
    assert allowed_after(walk, PITCHES[5]) == [*VELOCITIES]
    assert allowed_after(walk, VELOCITIES[0]) == [*DURATIONS]
    assert allowed_after(walk, DURATIONS[0]) == [BAR, POSITIONS[4]]
    assert allowed_after(walk, *note(4, 3)) == [BAR, V]
    assert allowed_after(walk, *note(None, 4)) == [BAR]
    assert allowed_after(walk, BAR, *note(2, 3), *note(None, 4), *note(3, 3)) == [EOS]
    both = Walk(GRAMMAR, make_script(1, max_notes=0, bars=(BarScript((BAR,), ends_all=True),)))
    assert allowed_after(both, *note(0, 5)) == [EOS, BAR]
    for slot, choice in choices_of([EOS]):
        assert not both.done and both.slot == slot and both.push(choice) == []
    assert both.done and both.segments == [note(0, 5)]


def is_playable(pitches: list[int]) -> bool:
    """Tell whether two hands, each of at most five fingers and 14 semitones, strike a chord."""
    return any(
        all(len(h) <= 5 and (not h or h[-1] - h[0] <= 14) for h in (pitches[:n], pitches[n:]))
        for n in range(len(pitches) + 1)
    )


@QUIETLY
@given(st.sets(st.integers(0, 39), min_size=1, max_size=11).map(sorted), st.booleans())
def test_what_two_hands_reach_is_allowed_and_nothing_else(chord: list[int], bounded: bool) -> None:
    walk = Walk(GRAMMAR, make_script(max_notes=20, reach=14 if bounded else 0, **WIDE))
    walk.push(1)
    for n, pitch in enumerate(chord):
        may = is_playable(chord[: n + 1]) or not bounded
        if n:
            some = any(is_playable([*chord[:n], p]) for p in range(chord[n - 1] + 1, 40))
            assert walk.allowed()[SAME] == (some or not bounded)
            if not walk.allowed()[SAME]:
                return
            walk.push(SAME)
        assert walk.allowed()[pitch] == may
        if not may:
            return
        walk.push(pitch)
        walk.push(0)
        walk.push(0)


def is_music(script: Script, segments: list[list[int]]) -> bool:
    """Tell whether segments are as the script and the grammar say, without either's code."""
    for bar, ids in zip(script.bars, segments, strict=True):
        chords, rest = (ids[:2], ids[2:]) if bar.writes_chords else ([], ids)
        if bar.writes_chords and not (chords[0] in CHORDS_A and chords[1] in CHORDS_B):
            return False
        notes, moment = [], -1
        while rest:
            if rest[0] in POSITIONS:
                moment, rest = rest[0], rest[1:]
            notes.append((moment, *rest[:3]))
            rest = rest[3:]
        places = [own[:2] for own in notes]
        if not notes or places != sorted(set(places)):
            return False
        if len(notes) > max(script.max_notes, 1) + len(bar.given):
            return False
        for wanted in bar.given:
            if not any(all(w in (FREE, f) for w, f in zip(wanted, own, strict=True))
                       for own in notes):  # fmt: skip
                return False
        given = {own[:2] for own in bar.given}
        for own_moment, chord in groupby(places, lambda place: place[0]):
            pitches = [pitch for _, pitch in chord]
            free = not any((own_moment, pitch) in given for pitch in pitches)
            if script.reach and free and not is_playable(pitches):
                return False
    return True


@QUIETLY
@given(SEEDS)
def test_whatever_is_chosen_is_music(seed: int) -> None:
    rng = np.random.default_rng(seed)
    script = draw_music(rng, reach=14).script
    walk, n_choices = Walk(GRAMMAR, script), 0
    while not walk.done:
        walk.push(int(rng.choice(np.flatnonzero(walk.allowed()))))
        n_choices += 1
    assert is_music(script, walk.segments)
    assert n_choices == len(choices_of([t for own in walk.segments for t in (*own, BAR)]))


@QUIETLY
@given(SEEDS)
def test_all_music_can_be_written_and_enters_the_network_as_when_learnt(seed: int) -> None:
    music = draw_music(np.random.default_rng(seed))
    walk = Walk(GRAMMAR, music.script)
    entered = GRAMMAR.rows(music.script.opening([]))
    for slot, choice in music.told[music.n_told :]:
        if slot in (CHORD_A, CHORD_B) and not walk.bar.writes_chords:
            continue
        assert walk.slot == slot and walk.allowed()[choice]
        entered += walk.push(choice)
    assert walk.done and walk.segments == music.segments
    assert entered == GRAMMAR.rows(music.ids)


@pytest.mark.parametrize(
    ("max_repeated", "n_repeated"), [(0, 0), (5, 0), (6, 1), (15, 1), (16, 2), (20, 2), (99, 3)]
)
def test_an_opening_repeats_the_last_bars_that_fit(max_repeated: int, n_repeated: int) -> None:
    heads = ((BAR, SIGN), (BAR, SIGN, SIGN), (BAR, SIGN), (BAR,))
    own = [note(1, 5), note(1, 5) + note(None, 6)[1:], note(1, 5)]
    script = make_script(bars=tuple(map(BarScript, heads)), max_repeated=max_repeated)
    parts = [[*head, *ids] for head, ids in zip(heads, own, strict=False)]
    expected = [token for part in parts[3 - n_repeated :] for token in part]
    prompt = [BOS, CONTROL, CONTROL + 2]
    assert script.opening(own) == [*prompt, *expected, BAR]
    assert script.opening([]) == [*prompt, BAR, SIGN]


def test_a_bias_is_told_by_id_and_counted_from_the_last_position() -> None:
    bias = np.arange(2 * V + 2, dtype=np.float32).reshape(2, V + 1)
    walk, none = Walk(GRAMMAR, make_script()), (np.zeros((0, 2), np.int32), np.zeros(0, np.float32))
    place = [bias[0, i] + bias[1, i] for i in (*POSITIONS, BAR, EOS)]
    assert walk.leaning(bias, *none).tolist() == [bias[0, V], *place]
    walk.push(1 + 3)
    assert walk.leaning(bias, *none).tolist() == bias[0, [*PITCHES]].tolist()
    for choice in (6, 0, 0):
        walk.push(choice)
    off = bias[1, POSITIONS[3]]
    assert walk.leaning(bias, *none).tolist() == [bias[0, V], *(p - off for p in place)]
    assert bias[0, V] == V, "it stays as it was"


def test_pairs_hold_while_the_first_is_the_last_of_its_slot() -> None:
    pairs = {
        (-1, POSITIONS[2]): 1.0, (POSITIONS[3], POSITIONS[5]): 2.0, (POSITIONS[3], V): 4.0,
        (PITCHES[6], BAR): 8.0, (POSITIONS[3], PITCHES[7]): 16.0, (PITCHES[6], PITCHES[7]): 32.0,
        (-1, PITCHES[7]): 64.0, (DURATIONS[0], EOS): 128.0, (SIGN, BAR): 256.0, (BAR, SIGN): 512.0,
        (V, V): 1024.0, (-1, CHORDS_A[1]): 2048.0, (CHORDS_A[1], POSITIONS[0]): 4096.0,
    }  # fmt: skip
    arrays = np.array([*pairs], np.int32), np.array([*pairs.values()], np.float32)

    def told(walk: Walk) -> dict[int, float]:
        found = walk.leaning(np.zeros((2, V + 1), np.float32), *arrays)
        return {int(GRAMMAR.slot_ids[walk.slot][i]): found[i] for i in np.flatnonzero(found)}

    walk = Walk(GRAMMAR, make_script(bars=make_bars(2, writes_chords=True)))
    assert walk.slot == CHORD_A and told(walk) == {CHORDS_A[1]: 2048}
    allowed_after(walk, CHORDS_A[1], CHORDS_B[0])
    assert walk.slot == ADVANCE and told(walk) == {POSITIONS[2]: 1, POSITIONS[0]: 4096}
    walk.push(1 + 3)
    assert walk.slot == PITCH and told(walk) == {PITCHES[7]: 16 + 64}
    for choice in (6, 0, 0):
        walk.push(choice)
    assert told(walk) == {POSITIONS[5]: 2, V: 4, BAR: 8, EOS: 128, POSITIONS[0]: 4096}
    walk.push(SAME)
    assert told(walk) == {PITCHES[7]: 16 + 32}
    allowed_after(walk, PITCHES[7])
    walk.push(0), walk.push(0), walk.push(LAYOUT.advance_bar)
    assert told(walk) == {CHORDS_A[1]: 2048}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"positions": (POSITIONS[4], POSITIONS[3])}, "the grammar allows no choice"),
        ({"prompt": ()}, "a script needs a prompt and at least one bar"),
        ({"bars": ()}, "a script needs a prompt and at least one bar"),
        ({"bars": {"ends_bar": False}}, "each bar of a script must have an end"),
        *(
            ({"bars": {"given": (given_note(3, 5), given_note(*at, 1))}}, "given notes must rise")
            for at in ((3, 5), (3, 4), (2, 9))
        ),
    ],
)
def test_a_script_that_cannot_be_followed_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        if changes.get("bars"):
            changes = {"bars": (BarScript((BAR,), **changes["bars"]),)}
        Walk(GRAMMAR, make_script(**changes)).allowed()
