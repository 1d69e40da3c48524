from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from engine_cases import BAR_KIND, GRAMMAR, PITCH, POSITION, STOP_KIND, VELOCITY, make_script

from emomusic.model.engines.grammar import Grammar, Kind, Script, Walk
from emomusic.model.lockstep.steps import within
from emomusic.model.lockstep.walks import Walks

TANGLED = Grammar(
    30,
    kinds=(
        Kind(3, 4, then=1, rises=True, resets=(1, 2)),
        Kind(7, 6, then=0, rises=True, resets=(1,)),
        Kind(20, 5, then=2, rises=True),
        Kind(13, 2, then=1, ends=True),
        Kind(15, 3, then=2, resets=(0, 1, 2)),
        Kind(29, 1, then=0, ends=True),
    ),
    states=((0, 1, 3, 4), (1, 2, 4, 5), (0, 3, 4, 5)),
)


def plain_scripts() -> list[Script | None]:
    return [
        make_script(1),
        None,
        make_script(5, max_free=4),
        make_script(4, bounds=((PITCH, 14, 15), (VELOCITY, 0, 17), (POSITION, 10, 40))),
        make_script(3, heads=((6, 8), (8,), ())),
        make_script(2, ends=((BAR_KIND, STOP_KIND), (STOP_KIND,)), max_free=0),
        None,
    ]


def tangled_scripts() -> list[Script | None]:
    rng = np.random.default_rng(5)
    scripts: list[Script | None] = [None]
    for n_segments in (1, 2, 4, 7):
        heads = tuple(tuple(rng.integers(30, size=rng.integers(4)).tolist()) for _ in range(n_segments))  # fmt: skip # noqa: E501
        ends = tuple(((3, 5), (5, 3), (3, 5, 3))[i % 3] for i in range(n_segments))
        bounds = ((1, 8, 11), (2, 21, 99)) if n_segments % 2 else ()
        max_free = int(rng.integers(8))
        scripts.append(Script((1,), heads, ends, max_free=max_free, bounds=bounds))
    return scripts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("grammar", "scripts"), [(GRAMMAR, plain_scripts()), (TANGLED, tangled_scripts())]
)
def test_many_rows_walk_as_each_alone(
    grammar: Grammar, scripts: list[Script | None], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    walks = Walks(grammar, scripts, segments=[[] for _ in scripts])
    alone = [script and Walk(grammar, script) for script in scripts]
    queues: list[deque[int]] = [deque() for _ in scripts]
    assert walks.live.tolist() == [script is not None for script in scripts]
    while walks.live.any():
        given, ids = walks.given(), np.zeros(len(scripts), dtype=np.int64)
        allowed = within(*walks.bounds(), grammar.kind_of)
        closing = []
        for place in np.flatnonzero(walks.live).tolist():
            walk = alone[place]
            assert walk is not None
            if queues[place]:
                ids[place] = queues[place].popleft()
                assert given[place] == ids[place]
                continue
            assert given[place] == -1
            np.testing.assert_array_equal(allowed[place], walk.allowed())
            ids[place] = rng.choice(np.flatnonzero(allowed[place]))
            n_before = len(walk.segments)
            queues[place].extend(walk.push(int(ids[place])))
            closing += [place] * (len(walk.segments) > n_before)
        assert walks.push(ids, given < 0) == closing
        for place, walk in enumerate(alone):
            if walk is not None:
                assert walks.segments[place] == walk.segments
                assert walks.live[place] == (not walk.done)


def test_a_row_goes_on_after_the_segments_it_has() -> None:
    segments = [[[9, 13, 17]]]
    walks = Walks(GRAMMAR, [make_script(2)], segments=segments)
    for token in (10, 14, 18):
        assert walks.push(np.array([token]), np.array([True])) == []
    low, high = walks.bounds()
    assert (low <= high).tolist() == [[True, True, False, False, True]]
    assert walks.push(np.array([7]), np.array([True])) == [0]
    assert segments == [[[9, 13, 17], [10, 14, 18]]] and not walks.live.any()


def test_a_row_taken_away_leaves_its_whole_segments() -> None:
    walks = Walks(GRAMMAR, [make_script(2)] * 2, segments=[[], []])
    walks.push(np.array([9, 9]), np.array([True, True]))
    walks.leave(0)
    assert walks.live.tolist() == [False, True]
    walks.push(np.array([0, 13]), np.array([False, True]))
    assert walks.segments == [[], []]
