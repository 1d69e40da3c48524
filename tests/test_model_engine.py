"""What every engine does; the cases are in `model_cases`."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from model_cases import (
    BAR,
    BAR_CONTROL,
    BOS,
    CONTROL,
    ENGINES,
    EOS,
    GRAMMAR,
    LAYOUT,
    SIGN,
    SLOT_IDS,
    VARIANTS,
    V,
    given_note,
    make_bars,
    make_model,
    make_row,
    make_script,
    reference,
    shown,
    written,
)
from numpy.typing import NDArray

from emomusic.model.engine import Engine, EngineRow, LogitBias, Segments, Uniforms
from emomusic.model.events import NONE, SLOTS, to_events
from emomusic.model.grammar import FREE, Grammar, Script
from emomusic.model.torch_engine import sample_choice
from emomusic.model.transformer import Transformer

POSITIONS, PITCHES, VELOCITIES, DURATIONS, CHORDS_A, CHORDS_B = SLOT_IDS
BY_SLOT = {"temperature": (0.7, 1.3, 2.0, 0.5, 1.0, 1.0), "top_p": (0.95, 0.8, 1.0, 0.9, 1.0, 0.7)}
ZEROS = np.zeros((2, V + 1), np.float32)
MELODY = (given_note(1, 6, 2), given_note(5, 4), given_note(5, 8, 0, 3))


@pytest.fixture(scope="module", params=ENGINES.values(), ids=ENGINES.keys())
def make(request: pytest.FixtureRequest) -> Callable[[Transformer], Engine]:
    found: Callable[[Transformer], Engine] = request.param
    return found


@pytest.fixture(scope="module")
def engine(make: Callable[[Transformer], Engine]) -> Engine:
    return make(make_model())


def rows(*seeds: int, **settings: Any) -> list[EngineRow]:
    return [make_row(seed, **settings) for seed in seeds]


def script_with(*changes: dict[str, Any]) -> Script:
    """Return a script whose bars have these changes."""
    bars = zip(make_bars(len(changes)), changes, strict=True)
    return make_script(bars=tuple(replace(bar, **own) for bar, own in bars))


def sequence(script: Script, segments: Segments) -> list[int]:
    """Return all ids of a row."""
    parts = zip(script.bars, segments, strict=True)
    return [*script.prompt, *(t for bar, own in parts for t in (*bar.head, *own)), EOS]


SCRIPTS = {
    "plain": make_script(2),
    "no controls, 1 bar": make_script(1, controls=()),
    "sampled chords": script_with({"writes_chords": True}, {}, {"writes_chords": True}),
    "given chords": script_with({"head": (BAR, SIGN, CHORDS_A[1], CHORDS_B[3])}, {}),
    "given notes": script_with({"given": MELODY, "head": (BAR, SIGN, *shown(MELODY))}, {}),
    "a gap": make_script(
        prompt=(BOS, CONTROL, LAYOUT.behind, BAR, SIGN, POSITIONS[2], PITCHES[5], VELOCITIES[1],
                DURATIONS[2], PITCHES[9], VELOCITIES[1], DURATIONS[2], LAYOUT.here),
        bars=make_bars(2, head=(BAR, SIGN, BAR_CONTROL)),
    ),
    "bars before": script_with(
        {"head": (BAR, SIGN, POSITIONS[3], PITCHES[7], VELOCITIES[0], DURATIONS[0], BAR, SIGN)}, {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("guided", [{}, {"guidance": 2.5}, {"guidance": 3.0, "n_guided": 1}])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_ids_are_drawn_as_whole_sequences_tell(
    engine: Engine, script: Script, guided: dict[str, Any]
) -> None:
    found = written(engine, [make_row(3, script, **guided, **BY_SLOT)])
    assert found == [reference(engine, make_row(3, script, **guided, **BY_SLOT))]


def leaning_to(segments: Segments) -> LogitBias | None:
    """Return a lean that follows from what was written; none every third time."""
    if len(segments) % 3 == 2:
        return None
    total = sum(map(sum, segments)) + 5 * len(segments)
    bias = np.cos(np.arange(2 * V + 2) * (1 + total / 7)).astype(np.float32).reshape(2, V + 1) * 3
    pairs = [(-1, POSITIONS[1]), (POSITIONS[1], PITCHES[5]), (POSITIONS[1], POSITIONS[3]),
             (PITCHES[5], VELOCITIES[0]), (POSITIONS[3], BAR), (POSITIONS[3], V),
             (0, BAR)]  # fmt: skip
    return LogitBias(bias, np.array(pairs), np.full(len(pairs), 4.0))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_lean_is_asked_for_before_each_bar(engine: Engine, guidance: float) -> None:
    asked: list[int] = []

    def steer(segments: Segments) -> LogitBias | None:
        asked.append(len(segments))
        if (lean := leaning_to(segments)) is not None:
            # As soon as nobody holds it, its memory is another's.
            weakref.finalize(lean, lean.bias.fill, np.nan)
        return lean

    def row(steer: Callable[[Segments], LogitBias | None] | None) -> EngineRow:
        return make_row(4, make_script(4), steer=steer, guidance=guidance)

    found = written(engine, [row(steer)])
    assert sorted(set(asked)) == [0, 1, 2, 3] and asked == sorted(asked)
    assert found == [reference(engine, row(leaning_to))]
    assert found != written(engine, [row(None)])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((np.zeros(V + 1),), "a bias must be two rows of finite numbers"),
        ((ZEROS + np.float32(np.nan),), "a bias must be two rows of finite numbers"),
        ((ZEROS, np.zeros((3, 2)), np.zeros(2)), "pairs and weights do not fit"),
        *[((ZEROS, pair, [0]), f"ids outside the {V + 1}") for pair in ([[1, V + 1]], [[-2, 1]])],
        ((ZEROS, [[1, -1]], [0]), f"ids outside the {V + 1}"),
        ((ZEROS, [[1, 1]], [np.inf]), "weights that are not finite"),
    ],
)
def test_a_lean_that_is_none_is_refused(arrays: tuple[Any, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LogitBias(*arrays)


@pytest.mark.parametrize(("guidance", "n_guided"), [(1.0, 0), (3.0, 7)])
def test_where_the_context_is_full_a_row_begins_anew_with_its_last_bars(
    make: Callable[[Transformer], Engine], engine: Engine, guidance: float, n_guided: int
) -> None:
    short = make(make_model(context=30))
    bars = make_bars(8, writes_chords=True)
    script = make_script(bars=bars, max_notes=4, max_repeated=18)

    def row() -> EngineRow:
        return make_row(0, script, guidance=guidance, n_guided=n_guided, steer=leaning_to)

    found = written(short, [row()])
    assert len(found[0]) == 8 and found == [reference(engine, row(), context=30)]
    assert found != written(engine, [row()])


def rows_of_all_kinds() -> list[EngineRow]:
    kinds = [make_row(seed, script) for seed, script in enumerate(SCRIPTS.values())]
    settings: list[dict[str, Any]] = [
        {"temperature": 0.3}, {"guidance": 2.0}, {"guidance": 1.5, "top_p": 0.5}, BY_SLOT,
        {"steer": leaning_to}, {"guidance": 2.0, "n_guided": 1, "steer": leaning_to},
    ]  # fmt: skip
    return kinds + [make_row(9 + seed, **own) for seed, own in enumerate(settings)]


def test_a_row_is_the_same_whatever_is_beside_it(engine: Engine) -> None:
    alone = [written(engine, [row])[0] for row in rows_of_all_kinds()]
    assert len({str(segments) for segments in alone}) == len(alone)
    assert written(engine, reversed(rows_of_all_kinds())) == alone[::-1]
    for at_once in (None, 1, 5, 100):
        found = dict(engine.write(rows_of_all_kinds(), GRAMMAR, at_once=at_once))
        assert found == dict(enumerate(alone))


@pytest.mark.parametrize("name", VARIANTS)
def test_threads_and_instructions_change_nothing(name: str) -> None:
    engine, base = VARIANTS[name](make_model()), ENGINES[name.split()[0]](make_model())
    assert written(engine, rows_of_all_kinds()) == written(base, rows_of_all_kinds())
    assert written(engine, rows_of_all_kinds()[:1]) == written(base, rows_of_all_kinds()[:1])
    ids = np.array(sequence(SCRIPTS["a gap"], written(base, rows_of_all_kinds()[5:6])[0]))
    np.testing.assert_array_equal(engine.nats(ids), base.nats(ids))
    assert sum(1 for _ in zip(engine.write(rows(*range(9)), GRAMMAR), range(2), strict=False)) == 2


def test_rows_are_taken_as_places_come_free_and_an_engine_that_was_left_goes_on(
    engine: Engine,
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[EngineRow]:
        while True:
            taken.append(len(taken))
            yield make_row(taken[-1])

    writing = engine.write(endless(), GRAMMAR)
    first = dict(next(writing) for _ in range(20))
    n_taken = len(taken)
    writing.close()  # type: ignore[attr-defined]
    assert n_taken < 100
    assert written(engine, rows(*first)) == list(first.values())


def test_bars_are_told_as_they_come(engine: Engine) -> None:
    def asked() -> list[EngineRow]:
        return [make_row(seed, make_script(2 + seed)) for seed in range(8)]

    told: dict[int, list[Segments]] = {}
    for at, segments in engine.write(asked(), GRAMMAR, by_segment=True):
        told.setdefault(at, []).append([*segments])
    whole = dict(engine.write(asked(), GRAMMAR))
    assert told.keys() == whole.keys()
    for at, parts in told.items():
        counts = [len(part) for part in parts]
        assert counts == sorted(set(counts)) and counts[-1] == 2 + at
        assert all(part == whole[at][: len(part)] for part in parts)


def test_an_engine_that_went_wrong_may_be_used_again(engine: Engine) -> None:
    def failing() -> Iterator[EngineRow]:
        yield from rows(0, 1)
        raise RuntimeError("no more rows")

    full = written(engine, rows(*range(8)))
    with pytest.raises(RuntimeError, match="no more rows"):
        list(engine.write(failing(), GRAMMAR))
    assert written(engine, rows(*range(8))) == full and written(engine, []) == []


@torch.inference_mode()
def full_pass(model: Transformer, ids: list[int]) -> np.ndarray[Any, Any]:
    """Return what each choice costs, by the network's own code."""
    events = to_events(np.array(ids), LAYOUT, GRAMMAR.kinds)
    chosen = torch.from_numpy(events.chosen)
    state = model(model.embed(torch.from_numpy(events.rows), torch.from_numpy(events.start))[None])
    found = np.full(chosen.shape, np.nan)
    for at, slot in np.argwhere(events.chosen != NONE).tolist():
        told = model.logits(slot, state[0, at : at + 1], chosen[at : at + 1])[0].log_softmax(0)
        found[at, slot] = -float(told[chosen[at, slot]])
    return found


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_nats_are_those_of_a_full_pass(engine: Engine, script: Script) -> None:
    ids = sequence(script, written(engine, [make_row(1, script)])[0])
    found, expected = engine.nats(np.array(ids)), full_pass(make_model(), ids)
    assert found.shape == (len(GRAMMAR.rows(ids)), len(SLOTS)) and found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    close = 1e-4 if engine.name in ("torch", "cuda") else 0.3
    np.testing.assert_allclose(found, expected, atol=close, rtol=0)


Bad = Callable[[Engine], object]


def nats_of(ids: list[Any]) -> Bad:
    return lambda engine: engine.nats(np.array(ids, dtype=np.int64))


def row_with(**changes: Any) -> Bad:
    """Write a second row whose script has these changes."""
    script = replace(make_script(2), **changes)
    return lambda engine: list(engine.write([make_row(0), make_row(1, script)], GRAMMAR))


def written_in(grammar: Grammar) -> Bad:
    return lambda engine: list(engine.write(rows(0), grammar))


def narrow_after(n_bars: int) -> Bad:
    """Lean to another vocabulary after some bars."""
    biases = [LogitBias(ZEROS)] * n_bars + [LogitBias(ZEROS[:, 1:])] * 9
    return lambda engine: written(engine, [make_row(1, steer=lambda own: biases[len(own)])])


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (narrow_after(0), f"a bias must have {V + 1} columns, got {V}"),
        (narrow_after(1), f"a bias must have {V + 1} columns, got {V}"),
        (nats_of([BOS, *[BAR, SIGN] * 96]), "97 events exceed a context of"),
        *[(nats_of(bad), f"ids that begin with {BOS}") for bad in ([], [BAR, SIGN], [[BOS, BAR]])],
        *[(nats_of([BOS, bad]), f"ids must be in 0 to {V - 1}") for bad in (V, -1)],
        (row_with(prompt=(BOS, V)), f"a given id lies outside the {V} ids"),
        (row_with(prompt=(CONTROL,)), f"a prompt begins with {BOS}, the head of a bar with {BAR}"),
        (row_with(bars=make_bars(2, head=(-1,))), f"a given id lies outside the {V} ids"),
        (row_with(bars=make_bars(2, head=(SIGN,))), f"a prompt begins with {BOS}"),
        (row_with(bars=make_bars(2, given=((0, 0, 0, 0),))), "is no note that can be given"),
        (row_with(bars=make_bars(2, given=((POSITIONS[0], FREE, FREE, FREE),))), "is no note that"),
        (row_with(max_notes=93), r"a bar may take 97 events .* do not fit into a context of 96"),
        (row_with(max_repeated=85), "a bar may take 97 events with what is given before it"),
        (row_with(pitches=(PITCHES[5], PITCHES[4])), "the pitches .* are not within"),
        (row_with(pitches=(PITCHES[0] - 1, PITCHES[4])), "the pitches .* are not within"),
        (row_with(positions=(POSITIONS[0], POSITIONS[-1] + 1)), "the positions .* are not within"),
        (written_in(Grammar(V + 1, LAYOUT)), "a grammar of"),
        (written_in(Grammar(V, replace(LAYOUT, bos=0))), "a grammar of"),
    ],
)
def test_what_does_not_fit_is_refused(engine: Engine, use: Bad, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        use(engine)


@pytest.mark.parametrize(
    ("name", "bounds", "good", "bad"),
    [
        ("temperature", "(0, 5]", (1e-6, 5), (0, -1, 5.01, np.nan, np.inf, (1.0, 0.0) * 3)),
        ("top_p", "(0, 1]", (1e-6, 1), (0, -0.1, 1.2, np.nan, (1.0,) * 5 + (2.0,))),
        ("guidance", "[1, 5]", (1.0, 5.0), (0.99, 5.1, -1, np.nan)),
        ("n_guided", "0 to ", (0, 4), (-1, 2**31)),
    ],
)
def test_settings_out_of_range_are_refused(
    name: str, bounds: str, good: tuple[float, ...], bad: tuple[Any, ...]
) -> None:
    for value in good:
        make_row(0, **{name: value})
    for value in bad:
        with pytest.raises(ValueError, match=re.escape(f"{name} must be in {bounds}")):
            make_row(0, **{name: value})
    with pytest.raises(ValueError, match="temperature must be one number or 6"):
        make_row(0, temperature=(1.0, 1.0))


def test_numbers_come_in_order_whatever_they_are_taken_in() -> None:
    expected = np.random.default_rng(3).random(20).tolist()
    uniforms = Uniforms(np.random.default_rng(3))
    assert uniforms.take() == expected[0]
    assert [uniforms.peek(n).tolist() for n in (4, 2)] == [expected[1:5], expected[1:3]]
    uniforms.drop(3)
    assert uniforms.peek(5).tolist() == expected[4:9]
    uniforms.drop(6)
    assert uniforms.take() == expected[10]


N = 20
LOGITS = np.random.default_rng(0).standard_normal(N) * 3


def draw(logits: NDArray[np.float64], n: int, **settings: Any) -> list[int]:
    """Draw with numbers that lie evenly over [0, 1), so that shares come out exact."""
    numbers, own = ((np.arange(n) + 0.5) / n).tolist(), logits.astype(np.float32)
    settings = {"allowed": np.ones(N, dtype=bool), "temperature": 1.0, "top_p": 1.0, **settings}
    return [sample_choice(own, uniform=number, **settings) for number in numbers]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_shares_are_those_of_the_distribution_sharpened_or_flattened(temperature: float) -> None:
    share = np.bincount(draw(LOGITS, 5_000, temperature=temperature), minlength=N) / 5_000
    expected = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    np.testing.assert_allclose(share, expected, atol=5e-4)


def test_top_p_keeps_the_fewest_that_hold_it() -> None:
    logits = np.full(N, -1e4)
    logits[[3, 8, 11, 2]] = np.log([0.5, 0.25, 0.15, 0.1])
    for top_p, kept in ((0.4, {3}), (0.6, {3, 8}), (0.8, {3, 8, 11}), (1.0, {3, 8, 11, 2})):
        assert set(draw(logits, 1_000, top_p=top_p)) == kept
    share = np.bincount(draw(logits, 1_000, top_p=0.6), minlength=N) / 1_000
    assert share[3] == pytest.approx(2 / 3, abs=2e-3)


@pytest.mark.parametrize("temperature", [1e-320, 1e-9, 1.0, 5.0])
@pytest.mark.parametrize("top_p", [1e-9, 0.5, 1.0])
def test_what_is_not_allowed_is_never_drawn(temperature: float, top_p: float) -> None:
    rng, own = np.random.default_rng(1), {"temperature": temperature, "top_p": top_p}
    for scale in 10.0 ** rng.integers(0, 5, 20):
        allowed = rng.random(N) < 0.3
        allowed[rng.integers(N)] = True
        logits = rng.standard_normal(N) * scale
        assert allowed[draw(logits, 50, allowed=allowed, **own)].all()
        for uniform in (0.0, float(np.nextafter(1.0, 0.0))):
            assert allowed[sample_choice(logits.astype(np.float32), allowed, uniform, **own)]
    if min(temperature, top_p) < 1e-6:
        own["temperature"] = min(temperature, 1.0)
        assert set(draw(LOGITS, 100, **own)) == {int(LOGITS.argmax())}


def test_the_smallest_number_draws_the_likeliest_and_the_greatest_the_last_that_is_kept() -> None:
    logits, allowed = np.array([0.0, 2.0, 1.0, 9.0], np.float32), np.array([True] * 3 + [False])
    last = float(np.nextafter(1.0, 0.0))
    for top_p, kept in ((1.0, 0), (0.9, 2), (0.5, 1)):  # of 0.09, 0.67 and 0.24
        own = {"temperature": 1.0, "top_p": top_p}
        assert sample_choice(logits, allowed, 0.0, **own) == 1
        assert sample_choice(logits, allowed, last, **own) == kept
