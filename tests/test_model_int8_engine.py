"""What the int8 engine has beyond the contract of all engines (`test_model_engine`)."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_cases import BAR, BOS, LAYOUT, SIGN, V, int8, make_model, make_row, written
from numpy.typing import NDArray

from emomusic.model.checkpoint import SIZES, CheckpointError
from emomusic.model.events import CHORD_A, NONE, SLOTS
from emomusic.model.int8 import library as lib
from emomusic.model.int8.engine import Int8Engine
from emomusic.model.int8.library import LibraryError
from emomusic.model.torch_engine import sample_choice
from emomusic.model.transformer import Transformer

pytestmark = pytest.mark.skipif(not lib.is_built(), reason="the int8 engine is not built")
INSTRUCTIONS = ("plain", "avx2", "avx-vnni", "avx512-vnni", "neon-dotprod")
ODD_SHAPES = [
    {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden": 128, "inner": 32},
    {"dim": 6, "n_layers": 1, "n_heads": 3, "n_kv_heads": 1, "hidden": 5, "inner": 3},
    {"dim": 72, "n_layers": 2, "n_heads": 12, "n_kv_heads": 1, "hidden": 33, "inner": 40},
    {"dim": 132, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2, "hidden": 257, "inner": 65},
]
N = 70
"""Events: more than enter the compiled part at once."""


def steady_model(shape: dict[str, int]) -> Transformer:
    """Return a random model whose layers do not make small differences large."""
    model = make_model(**{**shape, "n_layers": min(shape["n_layers"], 2)})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight") and "told" not in name:
                parameter.normal_(std=parameter.shape[1] ** -0.5)
    return model


def some_events() -> tuple[list[list[int]], NDArray[np.int64]]:
    """Return events of any rows, each followed by a note or by chords."""
    rng = np.random.default_rng(1)
    events = [rng.integers(V + 1, size=1 + at % 4).tolist() for at in range(N)]
    chosen = np.stack([rng.integers(n, size=N) for n in LAYOUT.n_choices], axis=1)
    chosen[::3, CHORD_A:] = NONE
    chosen[1::3, :CHORD_A] = NONE
    return events, chosen


def some_logits(engine: Int8Engine) -> NDArray[np.float32]:
    return engine.logits(*some_events())


@torch.inference_mode()
def torch_logits(model: Transformer) -> NDArray[np.float32]:
    """Return the same from the reference."""
    events, chosen = some_events()
    start = np.cumsum([0, *map(len, events)])[:-1]
    rows = torch.tensor([row for own in events for row in own])
    state = model(model.embed(rows, torch.from_numpy(start))[None])[0]
    parts = [model.logits(slot, state, torch.from_numpy(chosen.clip(0))).numpy()
             for slot in range(len(SLOTS))]  # fmt: skip
    for slot, own in enumerate(parts):
        own[chosen[:, slot] == NONE] = np.nan
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("shape", [*ODD_SHAPES, *SIZES.values()])
def test_logits_are_those_of_torch_within_the_rounding(shape: dict[str, int]) -> None:
    model = steady_model(shape)
    expected, found = torch_logits(model), some_logits(int8(model))
    asked, (events, chosen) = ~np.isnan(expected), some_events()
    np.testing.assert_array_equal(asked, ~np.isnan(found))
    for n in (1, 33, 65):  # what follows does not change what came before
        np.testing.assert_array_equal(int8(model).logits(events[:n], chosen[:n]), found[:n])
    assert np.abs(found - expected)[asked].mean() < 0.08 * expected[asked].std()
    assert np.corrcoef(found[asked], expected[asked])[0, 1] > 0.995


@pytest.mark.parametrize("shape", ODD_SHAPES)
@pytest.mark.parametrize("settings", [{"threads": 3}, *({"instructions": i} for i in INSTRUCTIONS)])
def test_logits_are_the_same_to_the_bit_whatever_computes_them(
    shape: dict[str, int], settings: dict[str, Any]
) -> None:
    model = make_model(**shape)
    try:
        engine = int8(model, **settings)
    except LibraryError:
        pytest.skip("the processor lacks these instructions")
    np.testing.assert_array_equal(some_logits(engine), some_logits(int8(model)))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_sums_of_the_largest_numbers_overflow_nothing(sign: int, size: float) -> None:
    # Weights and activations are all alike, so that each sum is as large as it can be.
    model = make_model(**ODD_SHAPES[0])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(sign * size if name.endswith("weight") else 1.0)
    expected = some_logits(int8(model, instructions="plain"))
    np.testing.assert_array_equal(some_logits(int8(model)), expected)
    if lib.library().em_has_isa(b"avx2"):
        np.testing.assert_array_equal(some_logits(int8(model, instructions="avx2")), expected)


def test_several_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    engine = int8(make_model())
    expected = written(engine, [make_row(seed) for seed in range(6)])

    def call(seed: int) -> Any:
        return [written(engine, [make_row(seed)])[0] for _ in range(5)]

    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(call, range(6))] == [[own] * 5 for own in expected]


def _write_in_child(engine: Int8Engine, results: Any) -> None:
    results.put(written(engine, [make_row(seed) for seed in range(4)]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_an_engine_goes_on_in_a_fork() -> None:
    engine = int8(make_model(), threads=2)
    expected = written(engine, [make_row(seed) for seed in range(4)])
    written(engine, [make_row(0)])  # leaves a session with threads behind
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_write_in_child, args=(engine, results))
    child.start()
    found = results.get()
    child.join(timeout=30)
    assert child.exitcode == 0 and found == expected


def drawn(logits: NDArray[np.float32], allowed: NDArray[np.bool_], *settings: float) -> int:
    """Return what the compiled sampler draws."""
    return int(lib.library().em_sample(
        logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
        allowed.astype(np.uint8).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
        len(logits), *settings,
    ))  # fmt: skip


def test_the_compiled_sampler_draws_what_the_reference_draws() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        n = int(rng.integers(1, 80))
        logits = (rng.standard_normal(n) * 10.0 ** rng.uniform(-2, 3)).astype(np.float32)
        logits[rng.random(n) < 0.2] = logits[0]  # ties
        allowed = rng.random(n) < rng.choice([0.1, 0.5, 1.0])
        allowed[rng.integers(n)] = True
        heat = float(rng.choice([1e-320, 1e-6, 0.3, 1.0, 5.0]))
        top_p, uniform = float(rng.choice([1e-9, 0.5, 0.99, 1.0])), float(rng.random())
        expected = sample_choice(logits, allowed, uniform, temperature=heat, top_p=top_p)
        assert drawn(logits, allowed, heat, top_p, uniform) == expected


def test_logits_that_are_not_finite_and_huge_weights_give_what_is_allowed() -> None:
    allowed = np.array([0, 1, 0, 1, 0], bool)
    for value in (np.nan, np.inf, -np.inf):
        for uniform in (0.0, 0.5, 1 - 1e-16):
            assert drawn(np.full(5, value, np.float32), allowed, 1.0, 0.99, uniform) in (1, 3)
    model = make_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e18)
    found = written(int8(model), [make_row(seed) for seed in range(3)])
    assert all(0 <= token < V for segments in found for one in segments for token in one)


def test_settings_and_events_that_cannot_be_are_refused() -> None:
    for settings, words in (
        ({"threads": 0}, "threads and places must be at least 1, got 0 and 4"),
        ({"places": 0}, "threads and places must be at least 1, got 1 and 0"),
        ({"instructions": "abacus"}, "cannot use 'abacus' here"),
    ):
        with pytest.raises((ValueError, LibraryError), match=words):
            int8(make_model(), **settings)
    engine, none = int8(make_model()), [NONE] * 6
    pitch, beyond = [NONE, 0, *none[2:]], [LAYOUT.n_choices[0], *none[1:]]
    for events, chosen in (
        ([], np.zeros((0, 6))),
        ([[BOS]], [none, none]),
        ([[]], [none]),
        ([[V + 1]], [none]),
        ([[BOS]], [pitch]),  # after nothing
        ([[BOS]], [beyond]),
        ([[BOS], *[[BAR, SIGN]] * 96], [none] * 97),
    ):
        with pytest.raises(ValueError, match="do not fit"):
            engine.logits(events, np.array(chosen))


def tensors() -> Iterator[tuple[str, Any]]:
    for name, tensor in make_model().state_dict().items():
        yield name, tensor.numpy()


@pytest.mark.parametrize("name", ["norm", "slots.3.head.weight", "blocks.1.attention.gain"])
def test_weights_that_do_not_fit_are_refused(name: str) -> None:
    config = make_model().config
    with pytest.raises(ValueError, match=f"the weights lack {name}"):
        Int8Engine(config, [t for t in tensors() if t[0] != name])
    bad = [(n, np.full_like(t, np.nan) if n == name else t) for n, t in tensors()]
    with pytest.raises(CheckpointError, match=f"{name} holds numbers that are not finite"):
        Int8Engine(config, bad)
    with pytest.raises(ValueError, match=f"{name} has shape"):
        Int8Engine(config, [(n, t[:-1] if n == name else t) for n, t in tensors()])


def test_bfloat16_and_float32_of_the_same_values_are_the_same() -> None:
    halves = [(n, torch.from_numpy(t).bfloat16()) for n, t in tensors()]
    as_bits = [(n, t.view(torch.int16).numpy().view(np.uint16)) for n, t in halves]
    as_floats = [(n, t.float().numpy()) for n, t in halves]
    engines = (Int8Engine(make_model().config, own) for own in (as_bits, as_floats))
    np.testing.assert_array_equal(*map(some_logits, engines))


def test_a_library_that_is_missing_or_broken_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = shutil.copy(lib.__file__, tmp_path / "library.py")
    monkeypatch.setattr(lib, "__file__", str(bare))
    lib.library.cache_clear()
    try:
        with pytest.raises(LibraryError, match="is not built: install emomusic again where there"):
            lib.library()
        assert not lib.is_built()
        (tmp_path / "_kernel.so").write_bytes(b"not a library")
        with pytest.raises(LibraryError, match="the int8 engine cannot be loaded"):
            lib.library()
    finally:
        lib.library.cache_clear()
