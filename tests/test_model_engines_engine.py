"""What every engine does; the cases are in `engine_cases`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_cases import (
    BAR,
    CONTEXT,
    ENGINES,
    GRAMMAR,
    PITCH,
    PITCHES,
    POSITIONS,
    SIGN,
    STOP,
    STOP_KIND,
    VELOCITIES,
    V,
    make_model,
    make_row,
    make_script,
    reference,
    written,
)

from emomusic.model.engines.engine import Engine, Lean, Row, Segments, Uniforms
from emomusic.model.engines.grammar import Grammar, Kind, Script, Walk

LONG = {"max_repeated": 24, "max_free": 30}


@pytest.fixture(scope="module", params=ENGINES.values(), ids=ENGINES.keys())
def engine(request: pytest.FixtureRequest) -> Engine:
    make: Callable[..., Engine] = request.param
    return make(make_model())


def rows(*seeds: int, **settings: Any) -> list[Row]:
    return [make_row(seed, **settings) for seed in seeds]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("temperature", [1e-6, 1.5])
def test_ids_are_drawn_from_the_logits(engine: Engine, guidance: float, temperature: float) -> None:
    def asked() -> list[Row]:
        return rows(*range(10), guidance=guidance, temperature=temperature, top_p=0.9)

    assert written(engine, asked()) == [reference(engine, row) for row in asked()]


def leaning_to(segments: Segments) -> Lean | None:
    """Return a lean that follows from what was written; none every third time."""
    if len(segments) % 3 == 2:
        return None
    sums = np.array([sum(ids) for ids in segments] + [5 * len(segments)])
    waves = np.cos(np.arange(2 * V) * (1.0 + float(sums.sum()) / 7.0)) * 6
    bias = waves.astype(np.float32).reshape(2, V)
    if len(segments) % 3 == 0:
        return Lean(bias)
    pairs = [(-1, POSITIONS[1]), (POSITIONS[1], PITCHES[2]), (POSITIONS[1], POSITIONS[3]),
             (PITCHES[2], VELOCITIES[0]), (POSITIONS[3], BAR), (0, BAR), (BAR, 0)]  # fmt: skip
    return Lean(bias / 6, np.array(pairs), np.full(len(pairs), 4.0))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_bias_is_asked_for_before_each_segment(engine: Engine, guidance: float) -> None:
    def rows() -> list[Row]:
        return [make_row(seed, steer=leaning_to, guidance=guidance) for seed in range(6)]

    found = written(engine, rows())
    assert found == [reference(engine, row) for row in rows()]
    assert found != written(engine, [make_row(seed, guidance=guidance) for seed in range(6)])


def test_a_bias_holds_on_where_a_row_begins_anew(engine: Engine) -> None:
    def rows() -> list[Row]:
        scripts = [make_script(40, max_repeated=n) for n in (0, 20)]
        return [make_row(seed, script, steer=leaning_to) for seed, script in enumerate(scripts)]

    assert written(engine, rows()) == [reference(engine, row) for row in rows()]


ZEROS = np.zeros((2, V), np.float32)


@pytest.mark.parametrize(
    ("lean", "words"),
    [
        (Lean(np.zeros(V)), "a bias must be 2 × 20 finite numbers"),
        (Lean(np.full((2, V), np.nan)), "a bias must be 2 × 20 finite numbers"),
        (Lean(ZEROS, np.zeros((3, 2)), np.zeros(2)), "pairs and weights do not fit"),
        (Lean(ZEROS, np.array([[1, V]]), np.zeros(1)), "ids outside the 20"),
        (Lean(ZEROS, np.array([[-2, 1]]), np.zeros(1)), "ids outside the 20"),
        (Lean(ZEROS, np.array([[1, 1]]), np.full(1, np.inf)), "weights that are not finite"),
    ],
)
def test_a_lean_that_does_not_fit_is_refused(engine: Engine, lean: Lean, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        written(engine, [make_row(1, steer=lambda segments: lean)])


def test_pairs_lead_along_what_they_tell(engine: Engine) -> None:
    order = [POSITIONS[1], PITCHES[2], VELOCITIES[0], POSITIONS[3], PITCHES[0], VELOCITIES[2]]
    pairs = np.array([(-1, order[0]), *pairwise(order), (order[3], BAR), (order[3], STOP)])
    lean = Lean(ZEROS, pairs, np.full(len(pairs), 200.0))
    assert written(engine, [make_row(3, steer=lambda segments: lean)])[0][0] == order


def test_rows_with_and_without_a_bias_are_as_each_alone(engine: Engine) -> None:
    def rows() -> list[Row]:
        return [make_row(seed, steer=leaning_to if seed % 2 else None) for seed in range(9)]

    assert written(engine, rows()) == [written(engine, [row])[0] for row in rows()]


@pytest.mark.parametrize("n_guided", [0, 1, 3])
def test_guidance_may_hold_for_the_first_segments_only(engine: Engine, n_guided: int) -> None:
    def asked(**changes: Any) -> list[Row]:
        return [
            make_row(seed, make_script(7, **LONG), guidance=3.0, n_guided=n_guided, **changes)
            for seed in range(4)
        ]

    found = written(engine, asked())
    assert found == [reference(engine, row) for row in asked()]
    # A row that is guided no more does not mind those that are.
    mixed = [
        row for pair in zip(asked(), rows(*range(4), guidance=2.0), strict=True) for row in pair
    ]
    assert written(engine, mixed)[::2] == found


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_where_the_context_is_full_a_row_begins_anew_with_its_last_segments(
    engine: Engine, guidance: float
) -> None:
    def asked() -> list[Row]:
        return [make_row(seed, make_script(16, **LONG), guidance=guidance) for seed in range(3)]

    found = written(engine, asked())
    assert found == [reference(engine, row) for row in asked()]
    assert all(len(segments) == 16 for segments in found)
    assert min(sum(map(len, segments)) for segments in found) + 2 * 16 > CONTEXT


@pytest.mark.parametrize(
    "heads", [((), (), ()), ((SIGN,), (SIGN,), (SIGN,)), ((BAR,), (2, 3, BAR), (BAR, SIGN))]
)
@pytest.mark.parametrize("controls", [(), (2, 3, 4)])
def test_heads_and_prompts_may_be_of_any_length(
    engine: Engine, heads: tuple[tuple[int, ...], ...], controls: tuple[int, ...]
) -> None:
    script = make_script(3, heads=heads, controls=controls)

    def asked() -> list[Row]:
        return [make_row(i, script, guidance=g) for i, g in enumerate((1.0, 2.0, 4.0))]

    assert written(engine, asked()) == [reference(engine, row) for row in asked()]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_a_row_is_the_same_whatever_its_neighbours(engine: Engine, guidance: float) -> None:
    full = written(engine, rows(*range(20), guidance=guidance))
    assert len({str(segments) for segments in full}) == 20
    for seeds in ([7], [3, 4, 5], [19, 3, 11, 8, 0], [*range(19, -1, -1)]):
        assert written(engine, rows(*seeds, guidance=guidance)) == [full[s] for s in seeds]


@pytest.mark.parametrize("at_once", [1, 5, 100])
def test_a_row_is_the_same_however_many_are_written_at_once(engine: Engine, at_once: int) -> None:
    found = dict(engine.write(rows(*range(12)), GRAMMAR, at_once=at_once))
    assert found == dict(enumerate(written(engine, rows(*range(12)))))


def test_rows_of_all_settings_are_as_each_alone(engine: Engine) -> None:
    def asked() -> list[Row]:
        return [
            make_row(0, temperature=0.3),
            make_row(1, make_script(12, **LONG), guidance=2.0),
            make_row(2, guidance=1.5, top_p=0.5),
            make_row(8, make_script(12, **LONG), temperature=3.0),
            make_row(3, make_script(2, controls=(2,) * 40)),
            make_row(10),
        ]

    alone = [written(engine, [row])[0] for row in asked()]
    assert written(engine, asked()) == alone
    assert written(engine, reversed(asked())) == alone[::-1]


def test_every_row_follows_the_grammar(engine: Engine) -> None:
    script = make_script(4, bounds=((PITCH, 14, 15),), max_free=6)
    for seed, segments in enumerate(written(engine, [make_row(s, script) for s in range(12)])):
        walk = Walk(GRAMMAR, script)
        for token in [t for segment in segments for t in [*segment, BAR]][:-1]:
            assert walk.allowed()[token], seed
            walk.push(token)
        assert len(walk.segments) == 3
        assert all(len(segment) <= 6 + 2 for segment in segments)


def test_guidance_matters_only_where_something_is_given(engine: Engine) -> None:
    def ids(controls: tuple[int, ...], guidance: float) -> Segments:
        script = make_script(6, controls=controls)
        return written(engine, [make_row(0, script, guidance=guidance)])[0]

    assert ids((), 3.0) == ids((), 1.0)
    assert ids((2, 5), 3.0) != ids((2, 5), 1.0)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_one_number_is_used_for_each_sampled_id(engine: Engine, guidance: float) -> None:
    asked = [make_row(seed, guidance=guidance) for seed in range(3)]
    for seed, segments in enumerate(written(engine, asked)):
        expected = Uniforms(np.random.default_rng(seed))
        expected.drop(sum(len(segment) + 1 for segment in segments))
        assert asked[seed].uniforms.take() == expected.take()


def test_rows_are_taken_as_places_come_free(engine: Engine) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Row]:
        while True:
            taken.append(len(taken))
            yield make_row(taken[-1])

    writing = engine.write(endless(), GRAMMAR)
    first = dict(next(writing) for _ in range(30))
    n_taken = len(taken)
    writing.close()  # type: ignore[attr-defined]
    assert n_taken < 150
    assert written(engine, rows(*first)) == list(first.values())


def test_segments_are_told_as_they_come(engine: Engine) -> None:
    told: dict[int, list[list[list[int]]]] = {}
    asked = [make_row(seed, make_script(2 + seed, **LONG)) for seed in range(12)]
    for at, segments in engine.write(asked, GRAMMAR, by_segment=True):
        told.setdefault(at, []).append([*segments])
    assert sorted(told) == list(range(12))
    again = [make_row(seed, make_script(2 + seed, **LONG)) for seed in range(12)]
    whole = dict(engine.write(again, GRAMMAR))
    for at, parts in told.items():
        counts = [len(part) for part in parts]
        assert counts == sorted(set(counts)) and counts[-1] == 2 + at
        assert all(part == whole[at][: len(part)] for part in parts)


def test_an_engine_may_be_left_in_the_middle_and_used_again(engine: Engine) -> None:
    full = written(engine, rows(*range(12)))
    writing = engine.write(rows(*range(12)), GRAMMAR)
    next(writing)
    writing.close()  # type: ignore[attr-defined]
    assert written(engine, rows(*range(12))) == full


def test_what_goes_wrong_with_the_rows_is_passed_on(engine: Engine) -> None:
    def failing() -> Iterator[Row]:
        yield from rows(0, 1)
        raise RuntimeError("no more rows")

    with pytest.raises(RuntimeError, match="no more rows"):
        list(engine.write(failing(), GRAMMAR))
    assert written(engine, []) == []
    assert len(written(engine, rows(0, 1))) == 2


def test_a_grammar_that_leaves_nothing_is_told(engine: Engine) -> None:
    rising = Grammar(V, (Kind(9, 2, 0, rises=True), Kind(BAR, 1, 0, ends=True)), ((0,),))
    script = Script((1,), ((),), ((1,),), max_free=5)
    with pytest.raises(ValueError, match="the grammar allows no id"):
        list(engine.write([make_row(0, script)], rising))


def test_rows_of_another_grammar_may_follow(engine: Engine) -> None:
    other = Grammar(V, (Kind(10, 10, 0), Kind(2, 2, 0, ends=True)), ((0, 1),))
    script = Script((1, 5), ((4,), (3,)), ((1,), (1,)), max_free=12)

    def asked() -> list[Row]:
        return [make_row(seed, script) for seed in range(4)]

    before = written(engine, rows(0, 1))
    expected = [reference(engine, row, other) for row in asked()]
    assert written(engine, asked(), other) == expected
    assert written(engine, rows(0, 1)) == before


def test_logits_follow_from_what_came_before_alone(engine: Engine) -> None:
    ids = np.random.default_rng(0).integers(V, size=CONTEXT)
    full = engine.logits(ids)
    assert full.shape == (CONTEXT, V) and full.dtype == np.float32
    np.testing.assert_allclose(engine.logits(ids[:40]), full[:40], atol=1e-3, rtol=1e-3)
    changed = ids.copy()
    changed[50] = (ids[50] + 1) % V
    assert np.abs(engine.logits(changed)[50:] - full[50:]).max() > 0.1


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.zeros(CONTEXT + 1, dtype=np.int64), rf"1 to {CONTEXT} ids are expected, got shape"),
        (np.zeros(0, dtype=np.int64), rf"1 to {CONTEXT} ids are expected, got shape \(0,\)"),
        (np.zeros((1, 2), dtype=np.int64), r"ids are expected, got shape \(1, 2\)"),
        (np.array([3, V]), f"ids must be in 0 to {V - 1}"),
        (np.array([-1]), f"ids must be in 0 to {V - 1}"),
    ],
)
def test_logits_of_wrong_ids_are_refused(engine: Engine, ids: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        engine.logits(ids)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": (1, V)}, f"a given id lies outside the {V} ids"),
        ({"heads": ((-1,), ())}, f"a given id lies outside the {V} ids"),
        ({"max_free": 88}, "a segment may take 97 ids .* do not fit into a context of 96"),
        ({"max_repeated": 53}, "a segment may take 98 ids with what is given before it"),
        ({"bounds": ((PITCH, 17, 20),)}, r"the bounds 17 to 20 leave nothing of Kind\(first=13"),
        ({"bounds": ((PITCH, 15, 14),)}, "the bounds 15 to 14 leave nothing"),
        ({"ends": ((PITCH,), (STOP_KIND,))}, "a segment ends with a kind that ends none"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    engine: Engine, changes: dict[str, Any], words: str
) -> None:
    script = replace(make_script(2), **changes)
    with pytest.raises(ValueError, match=words):
        list(engine.write([make_row(0), make_row(1, script)], GRAMMAR))


def test_a_grammar_of_another_vocabulary_is_refused(engine: Engine) -> None:
    other = Grammar(V + 1, GRAMMAR.kinds, GRAMMAR.states)
    with pytest.raises(ValueError, match="a grammar of 21 ids for 20"):
        list(engine.write(rows(0), other))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_p": 1.2}, r"top_p must be in \(0, 1\], got 1.2"),
        ({"temperature": 0.0}, r"temperature must be in \(0, 5\], got 0"),
        ({"guidance": 0.5}, r"guidance must be in \[1, 5\], got 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_row(0, **settings)


def test_numbers_come_in_order_whatever_they_are_taken_in() -> None:
    expected = np.random.default_rng(3).random(20)
    uniforms = Uniforms(np.random.default_rng(3))
    assert uniforms.take() == expected[0]
    np.testing.assert_array_equal(uniforms.peek(4), expected[1:5])
    np.testing.assert_array_equal(uniforms.peek(2), expected[1:3])
    uniforms.drop(3)
    np.testing.assert_array_equal(uniforms.peek(5), expected[4:9])
    uniforms.drop(6)
    assert uniforms.take() == expected[10]
