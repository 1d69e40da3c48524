from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_cases import (
    BAR,
    BAR_KIND,
    BEGIN,
    GRAMMAR,
    LONGEST,
    PITCH,
    PITCHES,
    POSITIONS,
    SIGN,
    STOP,
    STOP_KIND,
    VELOCITIES,
    VELOCITY,
    V,
    make_script,
)

from emomusic.model.engines.grammar import Grammar, Kind, Script, Walk


def allowed_after(walk: Walk, *ids: int) -> list[int]:
    for token in ids:
        assert walk.allowed()[token]
        walk.push(token)
    return np.flatnonzero(walk.allowed()).tolist()


def test_a_segment_begins_in_the_first_state() -> None:
    assert allowed_after(Walk(GRAMMAR, make_script())) == list(POSITIONS)


def test_the_state_follows_from_the_kind_of_the_last_id() -> None:
    walk = Walk(GRAMMAR, make_script())
    assert allowed_after(walk, 9) == list(PITCHES)
    assert allowed_after(walk, 13) == list(VELOCITIES)
    assert allowed_after(walk, 19) == [BAR, 10, 11, 12, 14, 15, 16]


def test_what_rises_does_so_until_another_kind_resets_it() -> None:
    walk = Walk(GRAMMAR, make_script())
    assert allowed_after(walk, 10, 15, 17) == [BAR, 11, 12, 16]
    assert allowed_after(walk, 16, 17) == [BAR, 11, 12]
    assert allowed_after(walk, 12) == list(PITCHES)
    assert allowed_after(walk, 16, 19) == [BAR]


def test_what_does_not_rise_may_come_again_lower() -> None:
    walk = Walk(GRAMMAR, make_script())
    assert allowed_after(walk, 9, 13, 19, 14) == list(VELOCITIES)


def test_a_new_segment_begins_low_again() -> None:
    walk = Walk(GRAMMAR, make_script())
    assert allowed_after(walk, 12, 16, 19, BAR) == list(POSITIONS)
    assert allowed_after(walk, 9) == list(PITCHES)


def test_bounds_hold_for_a_kind_that_rises_and_for_one_that_does_not() -> None:
    walk = Walk(GRAMMAR, make_script(bounds=((PITCH, 14, 15), (VELOCITY, 0, 18))))
    assert allowed_after(walk, 9) == [14, 15]
    assert allowed_after(walk, 14) == [17, 18]
    assert allowed_after(walk, 18) == [BAR, 10, 11, 12, 15]
    assert allowed_after(walk, 10) == [14, 15]


def test_a_full_segment_ends_as_soon_as_its_state_allows() -> None:
    walk = Walk(GRAMMAR, make_script(max_free=4))
    assert allowed_after(walk, 9, 13, 17) == [BAR, 10, 11, 12, 14, 15, 16]
    assert allowed_after(walk, 14) == list(VELOCITIES)
    assert allowed_after(walk, 17) == [BAR]
    assert allowed_after(Walk(GRAMMAR, make_script(max_free=0)), 9, 13, 17) == [BAR]


def test_each_segment_ends_with_its_own_kinds() -> None:
    walk = Walk(GRAMMAR, make_script(2, ends=((BAR_KIND, STOP_KIND), (STOP_KIND,))))
    assert allowed_after(walk, 12, 16, 17) == [BAR, STOP]
    walk.push(BAR)
    assert allowed_after(walk, 12, 16, 17) == [STOP]


def test_ends_are_kept_out_of_the_segments() -> None:
    walk = Walk(GRAMMAR, make_script(2))
    for token in (9, 13, 17, BAR, 12, 16, 18, STOP):
        assert not walk.done
        walk.push(token)
    assert walk.done and walk.segments == [[9, 13, 17], [12, 16, 18]]


@pytest.mark.parametrize(
    ("head", "given"),
    [
        ((BAR, SIGN), (SIGN,)),
        ((BAR,), ()),
        ((), ()),
        ((SIGN, BAR), (SIGN, BAR)),
        ((SIGN,), (SIGN,)),
    ],
)
def test_an_end_id_stands_for_the_first_of_the_next_head(
    head: tuple[int, ...], given: tuple[int, ...]
) -> None:
    script = make_script(2, heads=((BAR, SIGN), head))
    walk = Walk(GRAMMAR, script)
    assert [walk.push(token) for token in (9, 13, 17, BAR)] == [(), (), (), given]
    assert script.continuation(1, BAR) == given
    assert [walk.push(token) for token in (9, 13, 17, STOP)] == [()] * 4


def test_a_restart_forgets_the_segment_in_hand_only() -> None:
    walk = Walk(GRAMMAR, make_script())
    allowed_after(walk, 9, 13, 17, BAR, 12, 16)
    walk.restart()
    assert walk.segments == [[9, 13, 17]]
    assert allowed_after(walk) == list(POSITIONS)
    assert allowed_after(walk, 11) == list(PITCHES)
    allowed_after(walk, 13, 17, BAR)
    assert walk.segments == [[9, 13, 17], [11, 13, 17]]


@pytest.mark.parametrize(
    ("max_repeated", "n_repeated"),
    [(0, 0), (3, 0), (4, 1), (8, 1), (9, 2), (14, 2), (15, 3), (99, 3)],
)
def test_an_opening_repeats_the_last_segments_that_fit(max_repeated: int, n_repeated: int) -> None:
    heads = ((BAR, SIGN), (BAR, SIGN), (BAR,), (BAR, SIGN, SIGN))
    written = [[9, 13, 17, 18], [10, 13, 18], [11, 14, 19]]
    script = make_script(4, heads=heads, max_repeated=max_repeated)
    parts = [[BAR, SIGN, 9, 13, 17, 18], [BAR, SIGN, 10, 13, 18], [BAR, 11, 14, 19]]
    expected = [token for part in parts[3 - n_repeated :] for token in part]
    assert script.opening(written) == [BEGIN, 2, 4, *expected, *heads[3]]
    assert script.opening([]) == [BEGIN, 2, 4, BAR, SIGN]


def test_an_id_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="id 8 is of no kind that is sampled"):
        Walk(GRAMMAR, make_script()).push(SIGN)


def test_where_no_id_is_left_it_is_said() -> None:
    rising = Grammar(V, (Kind(9, 2, 0, rises=True), Kind(BAR, 1, 0, ends=True)), ((0,),))
    walk = Walk(rising, make_script(1, ends=((1,),)))
    assert allowed_after(walk, 9) == [10]
    walk.push(10)
    with pytest.raises(ValueError, match="the grammar allows no id"):
        walk.allowed()


def test_kinds_of_ids_are_looked_up() -> None:
    kinds = GRAMMAR.kind_of.tolist()
    assert kinds == [-1] * 6 + [3, 4, -1] + [0] * 4 + [1] * 4 + [2] * 3


@pytest.mark.parametrize(
    ("kinds", "states", "words"),
    [
        ((), ((0,),), "a grammar has 1 to 32 kinds and a state, got 0"),
        (tuple(Kind(i, 1, 0) for i in range(33)), ((0,),), "1 to 32 kinds and a state, got 33"),
        ((Kind(0, 1, 0),), (), "a grammar has 1 to 32 kinds and a state, got 1"),
        ((Kind(38, 3, 0),), ((0,),), r"a kind lies outside the 40 ids: Kind\(first=38"),
        ((Kind(-1, 3, 0),), ((0,),), "a kind lies outside the 40 ids"),
        ((Kind(3, 0, 0),), ((0,),), "a kind lies outside the 40 ids"),
        ((Kind(3, 2, 0), Kind(4, 1, 0)), ((0,),), r"a kind overlaps another: Kind\(first=4"),
        ((Kind(3, 2, 1),), ((0,),), "a kind leads to an unknown state or kind"),
        ((Kind(3, 2, 0, resets=(1,)),), ((0,),), "a kind leads to an unknown state or kind"),
        ((Kind(3, 2, 0),), ((0,), ()), "each state must allow kinds that exist, and at least one"),
        ((Kind(3, 2, 0),), ((1,),), "each state must allow kinds that exist, and at least one"),
    ],
)
def test_a_grammar_that_does_not_fit_together_is_refused(
    kinds: tuple[Kind, ...], states: tuple[tuple[int, ...], ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Grammar(40, kinds, states)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": ()}, "a script needs a prompt, and for each segment a head and its ends"),
        ({"heads": (), "ends": ()}, "a script needs a prompt, and for each segment"),
        ({"ends": ((BAR_KIND,),)}, "a script needs a prompt, and for each segment"),
        ({"ends": ((BAR_KIND,), ())}, "each segment of a script must have a kind that ends it"),
    ],
)
def test_a_script_that_is_not_whole_is_refused(changes: dict[str, Any], words: str) -> None:
    whole: dict[str, Any] = {
        "prompt": (BEGIN,), "heads": ((), ()), "ends": ((BAR_KIND,), (STOP_KIND,)),
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        Script(**(whole | changes), max_free=LONGEST)
