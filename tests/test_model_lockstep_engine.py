from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from engine_cases import (
    BAR,
    CONTEXT,
    GRAMMAR,
    V,
    make_model,
    make_row,
    make_script,
    written,
)

from emomusic.model.engines.engine import Row
from emomusic.model.engines.grammar import Grammar, Kind, Script
from emomusic.model.lockstep import blocks, steps
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.model.transformer import Transformer


@pytest.fixture(scope="module")
def model() -> Transformer:
    return make_model()


@pytest.mark.parametrize("shortest_span", [16, 64])
def test_static_steps_write_the_same_ids_whatever_the_spans(
    model: Transformer, shortest_span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "SHORTEST_SPAN", shortest_span)
    plain = TorchEngine(model, bfloat16=False, static=False)
    static = TorchEngine(model, bfloat16=False, static=True)
    for guidance in (1.0, 2.0):
        found, expected = (
            written(
                engine,
                [make_row(s, make_script(9, max_repeated=20), guidance=guidance, temperature=0.1)
                 for s in range(9)],
            )
            for engine in (static, plain)
        )  # fmt: skip
        assert found == expected


def test_an_opening_of_any_length_leaves_a_row_as_it_is(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(model, bfloat16=False)

    def found() -> object:
        scripts = [make_script(8, controls=(3,) * n, max_free=30, max_repeated=20) for n in (0, 1, 30)]  # fmt: skip # noqa: E501
        return written(engine, [make_row(0, script, temperature=0.2) for script in scripts])

    expected = found()
    for step in (1, 7, 200):
        monkeypatch.setattr(blocks, "OPENING_STEP", step)
        assert found() == expected


def test_rows_of_one_place_wait_for_each_other(model: Transformer) -> None:
    engine = TorchEngine(model, bfloat16=False)
    full = written(engine, [make_row(seed, number=3) for seed in range(30)])
    assert full == [written(engine, [make_row(seed, number=11)])[0] for seed in range(30)]


@pytest.mark.parametrize("width", [1, 3])
def test_another_width_writes_as_well(model: Transformer, width: int) -> None:
    engine = TorchEngine(model, bfloat16=False, width=width)
    usual = TorchEngine(model, bfloat16=False)
    found, expected = (
        written(e, [make_row(seed, temperature=0.1) for seed in range(7)]) for e in (engine, usual)
    )
    assert found == expected


def test_numbers_are_taken_beyond_those_drawn_ahead(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine(model, bfloat16=False)
    expected = written(engine, [make_row(seed) for seed in range(4)])
    monkeypatch.setattr(blocks, "DRAWN_AHEAD", 3)
    rows = [make_row(seed) for seed in range(4)]
    assert written(engine, rows) == expected
    for seed, row in enumerate(rows):
        n_used = sum(len(segment) + 1 for segment in expected[seed])
        assert row.uniforms.take() == np.random.default_rng(seed).random(n_used + 1)[-1]


def test_a_segment_that_cannot_end_is_given_up(model: Transformer) -> None:
    endless = Grammar(V, (Kind(9, 8, 0), Kind(BAR, 1, 0, ends=True)), ((0,), (1,)))
    script = Script((1,), ((),), ((1,),), max_free=5)
    with pytest.raises(ValueError, match=f"does not end within a context of {CONTEXT}"):
        list(TorchEngine(model).write([make_row(0, script)], endless))


@torch.inference_mode()
def test_the_logits_are_the_models(model: Transformer) -> None:
    ids = np.random.default_rng(0).integers(V, size=50)
    expected = model(torch.from_numpy(ids)[None])[0].numpy()
    for static in (False, True):
        exact = TorchEngine(model, bfloat16=False, static=static).logits(ids)
        np.testing.assert_array_equal(exact, expected)
    rounded = TorchEngine(model, bfloat16=True).logits(ids)
    assert np.abs(rounded - expected).max() > 0
    assert np.corrcoef(rounded.ravel(), expected.ravel())[0, 1] > 0.99


def test_in_bfloat16_rows_are_still_for_themselves(model: Transformer) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for static in (False, True):
        engine = TorchEngine(model, bfloat16=True, static=static)
        full = written(engine, [make_row(seed, guidance=1.5) for seed in range(11)])
        assert full[5:7] == written(engine, [make_row(seed, guidance=1.5) for seed in (5, 6)])
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, before[name])


def test_an_engine_has_a_name_and_the_models_shape(model: Transformer) -> None:
    engine = TorchEngine(model)
    assert engine.name == "torch" and engine.config == model.config


@pytest.mark.parametrize("settings", [{"width": 0}, {"threads": 0}])
def test_too_few_places_or_threads_are_refused(
    model: Transformer, settings: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="width and threads must be at least 1, got"):
        TorchEngine(model, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(("at_once", "n_taken"), [(1, 1), (3, 3), (8, 8), (20, 20), (None, 24)])
def test_no_more_rows_are_begun_than_asked_for(
    model: Transformer, at_once: int | None, n_taken: int
) -> None:
    engine = TorchEngine(model, bfloat16=False, threads=3)
    taken: list[int] = []

    def rows() -> Iterator[Row]:
        for seed in range(30):
            taken.append(seed)
            yield make_row(seed)

    writing = engine.write(rows(), GRAMMAR, at_once=at_once)
    next(writing)
    assert n_taken <= len(taken) <= n_taken + 2
    writing.close()  # type: ignore[attr-defined]


def test_another_kind_of_device_is_refused(model: Transformer) -> None:
    with pytest.raises(ValueError, match="the device must be cpu or cuda, got meta"):
        TorchEngine(model, device="meta")


def test_a_block_without_rows_is_none(model: Transformer) -> None:
    assert blocks.Queue([], GRAMMAR, model.config, size=(8, 8)).take() is None
