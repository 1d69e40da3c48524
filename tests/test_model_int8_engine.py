from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_cases import GRAMMAR, V, int8, make_model, make_row, make_script, written
from numpy.typing import NDArray

from emomusic.model.engines import choose
from emomusic.model.engines.choose import EngineError, open_engine
from emomusic.model.engines.engine import Row
from emomusic.model.int8 import library as lib
from emomusic.model.int8.engine import Int8Engine
from emomusic.model.int8.library import LibraryError
from emomusic.model.sampling import sample_ids
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.model.weights import CheckpointError

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "emomusic-10m"
pytestmark = pytest.mark.skipif(not lib.is_built(), reason="the int8 engine is not built")
ODD_SHAPES = [
    {"dim": 64, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden": 128},
    {"dim": 6, "n_layers": 1, "n_heads": 3, "n_kv_heads": 1, "hidden": 5},
    {"dim": 72, "n_layers": 2, "n_heads": 12, "n_kv_heads": 1, "hidden": 33},
    {"dim": 132, "n_layers": 1, "n_heads": 2, "n_kv_heads": 2, "hidden": 257},
]


def odd_model(shape: dict[str, int], *, context: int = 70, vocab_size: int = 37) -> Transformer:
    torch.manual_seed(1)
    model = Transformer(ModelConfig(vocab_size=vocab_size, context=context, **shape)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(10.0)
            else:
                parameter.uniform_(0.5, 1.5)
    return model


@torch.inference_mode()
def logits_of(model: Transformer, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    return model(torch.from_numpy(ids)[None])[0].numpy()


def some_ids(n: int, vocab_size: int = 37) -> NDArray[np.int64]:
    return np.random.default_rng(n).integers(vocab_size, size=n)


@pytest.mark.parametrize("shape", ODD_SHAPES)
def test_logits_are_those_of_torch_within_the_rounding(shape: dict[str, int]) -> None:
    model, ids = odd_model(shape), some_ids(70)
    expected, found = logits_of(model, ids), int8(model).logits(ids)
    spread = expected.std()
    assert np.abs(found - expected).mean() < 0.05 * spread
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.995


def rounded(model: Transformer) -> Transformer:
    """Put weights in place that int8 holds exactly."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                scale = parameter.abs().amax(1, keepdim=True) / 127
                parameter.copy_((parameter / scale).round() * scale)
    return model


def test_rounding_weights_beforehand_brings_the_logits_nearer() -> None:
    # What is left then is the rounding of activations, keys and values.
    ids = some_ids(70)
    plain, exact = odd_model(ODD_SHAPES[0]), rounded(odd_model(ODD_SHAPES[0]))
    errors = [np.abs(int8(m).logits(ids) - logits_of(m, ids)).mean() for m in (plain, exact)]
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("shape", ODD_SHAPES)
@pytest.mark.parametrize("settings", [{"threads": 3}, *({"instructions": i} for i in (
    "plain", "avx2", "avx512-vnni", "neon-dotprod"))])  # fmt: skip
def test_logits_are_the_same_to_the_bit_whatever_computes_them(
    shape: dict[str, int], settings: dict[str, Any]
) -> None:
    model, ids = odd_model(shape), some_ids(70)
    try:
        engine = int8(model, **settings)
    except LibraryError:
        pytest.skip("the processor lacks these instructions")
    np.testing.assert_array_equal(engine.logits(ids), int8(model).logits(ids))


def test_what_follows_does_not_change_what_came_before() -> None:
    engine, ids = int8(odd_model(ODD_SHAPES[2])), some_ids(70)
    whole = engine.logits(ids)
    for n in (1, 2, 31, 33, 64, 65, 70):
        np.testing.assert_array_equal(engine.logits(ids[:n]), whole[:n])


@pytest.mark.parametrize("slots", [1, 2, 7, 64])
@pytest.mark.parametrize("threads", [1, 4])
def test_any_number_of_places_and_threads_writes_the_same(slots: int, threads: int) -> None:
    def rows() -> list[Row]:
        return [make_row(seed, guidance=1.0 + seed % 2) for seed in range(70)]

    expected = written(int8(make_model()), rows())
    assert written(int8(make_model(), slots=slots, threads=threads), rows()) == expected
    found = dict(int8(make_model(), threads=threads).write(rows(), GRAMMAR, at_once=slots))
    assert [found[at] for at in range(70)] == expected


def test_one_row_alone_may_be_computed_by_several_threads() -> None:
    for threads in (1, 2, 5):
        (alone,) = written(int8(make_model(), threads=threads), [make_row(3)])
        assert alone == written(int8(make_model()), [make_row(1), make_row(3)])[1]


def test_several_calls_at_the_same_time_do_not_disturb_each_other() -> None:
    engine = int8(make_model())
    expected = written(engine, [make_row(seed) for seed in range(6)])
    found: dict[int, Any] = {}

    def call(seed: int) -> None:
        for _ in range(5):
            (found[seed],) = written(engine, [make_row(seed)])

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [found[seed] for seed in range(6)] == expected


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


def test_rows_that_were_left_in_the_middle_leave_no_trace() -> None:
    engine = int8(make_model(), threads=2, slots=2)
    rows = [make_row(seed, make_script(12, max_repeated=24)) for seed in range(9)]
    stream = engine.write(rows, GRAMMAR)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    again = [make_row(seed) for seed in range(9)]
    assert written(engine, again) == written(
        int8(make_model()), [make_row(seed) for seed in range(9)]
    )


def test_the_compiled_sampler_draws_what_the_reference_draws() -> None:
    rng = np.random.default_rng(0)
    library = lib.library()
    for _ in range(2000):
        n = int(rng.integers(1, 80))
        logits = (rng.standard_normal(n) * 10.0 ** rng.uniform(-2, 3)).astype(np.float32)
        logits[rng.random(n) < 0.2] = logits[0]  # ties
        allowed = rng.random(n) < rng.choice([0.1, 0.5, 1.0])
        allowed[rng.integers(n)] = True
        temperature = float(rng.choice([1e-320, 1e-6, 0.3, 1.0, 5.0]))
        top_p, uniform = float(rng.choice([1e-9, 0.5, 0.99, 1.0])), float(rng.random())
        found = library.em_sample(
            logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            allowed.astype(np.uint8).ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
            n,
            temperature,
            top_p,
            uniform,
        )
        (expected,) = sample_ids(
            logits[None], allowed[None], np.array([uniform]), temperature=temperature, top_p=top_p
        )
        assert found == expected


def test_logits_that_are_not_finite_still_give_an_allowed_id() -> None:
    library = lib.library()
    for value in (np.nan, np.inf, -np.inf):
        logits = np.full(5, value, np.float32)
        allowed = np.array([0, 1, 0, 1, 0], np.uint8)
        for uniform in (0.0, 0.5, 1 - 1e-16):
            found = library.em_sample(
                logits.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
                allowed.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
                5, 1.0, 0.99, uniform,
            )  # fmt: skip
            assert found in (1, 3)


def test_huge_weights_give_ids_and_no_crash() -> None:
    model = make_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1e18)
    found = written(int8(model), [make_row(seed) for seed in range(3)])
    assert all(0 <= token < V for segments in found for one in segments for token in one)


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="no checkpoint here")
def test_on_trained_weights_hardly_anything_is_lost() -> None:
    from emomusic.model.checkpoint import load_model

    engine, model = Int8Engine.load(SHIPPED), load_model(SHIPPED)
    ids = np.concatenate([[1], _music(engine)])
    told = torch.from_numpy(logits_of(model, ids)).double().log_softmax(1)
    heard = torch.from_numpy(engine.logits(ids)).double().log_softmax(1)
    divergence = (told.exp() * (told - heard)).sum(1)
    assert divergence.mean() < 0.002  # nats, of about 1.4 that an id costs
    assert (told.argmax(1) == heard.argmax(1)).double().mean() > 0.97


def _music(engine: Int8Engine) -> NDArray[np.int64]:
    """Write some bars with the engine itself."""
    from emomusic.compose.drafting.guide import Plan, clip_grammar, ids_of, script_of
    from emomusic.model.engines.engine import Uniforms
    from emomusic.music.tokenizer import Tokenizer

    vocabulary = Tokenizer(SHIPPED / "tokenizer.json").vocabulary
    grammar = clip_grammar(vocabulary)
    script = script_of(Plan((), ((),) * 8), vocabulary, grammar, max_repeated=0)
    row = Row(script, Uniforms(np.random.default_rng(0)))
    ((_, segments),) = engine.write([row], grammar)
    return np.array(ids_of(script, segments))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threads": 0}, "threads and slots must be at least 1, got 0 and 4"),
        ({"slots": 0}, "threads and slots must be at least 1, got 1 and 0"),
    ],
)
def test_too_few_places_or_threads_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        int8(make_model(), **settings)


def test_unknown_instructions_are_refused() -> None:
    with pytest.raises(LibraryError, match="cannot use 'abacus' here"):
        int8(make_model(), instructions="abacus")


def tensors() -> Iterator[tuple[str, Any]]:
    for name, tensor in make_model().state_dict().items():
        yield name, tensor.numpy()


def test_weights_that_do_not_fit_are_refused() -> None:
    config = make_model().config
    with pytest.raises(ValueError, match=r"the weights lack norm\.weight"):
        Int8Engine(config, [t for t in tensors() if t[0] != "norm.weight"])
    bad = [(n, np.full_like(t, np.nan) if n == "norm.weight" else t) for n, t in tensors()]
    with pytest.raises(CheckpointError, match=r"norm\.weight holds numbers that are not finite"):
        Int8Engine(config, bad)
    with pytest.raises(ValueError, match=r"norm\.weight has shape"):
        Int8Engine(config, [(n, t[:-1] if n == "norm.weight" else t) for n, t in tensors()])


def test_bfloat16_and_float32_of_the_same_values_are_the_same() -> None:
    halves = [(n, torch.from_numpy(t).bfloat16()) for n, t in tensors()]
    as_bits = [(n, t.view(torch.int16).numpy().view(np.uint16)) for n, t in halves]
    as_floats = [(n, t.float().numpy()) for n, t in halves]
    ids = some_ids(50, V)
    config = make_model().config
    np.testing.assert_array_equal(
        Int8Engine(config, as_bits).logits(ids), Int8Engine(config, as_floats).logits(ids)
    )


def test_without_the_compiled_part_torch_writes(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "is_built", lambda: False)
    assert open_engine(tiny_checkpoint).name in {"torch", "cuda"}
    bare = shutil.copy(lib.__file__, tmp_path / "library.py")
    monkeypatch.setattr(lib, "__file__", str(bare))
    lib.library.cache_clear()
    try:
        assert not lib.is_built()
        with pytest.raises(EngineError, match="is not built: install emomusic again where there"):
            open_engine(tiny_checkpoint, "int8")
        (tmp_path / "_kernel.so").write_bytes(b"not a library")
        with pytest.raises(LibraryError, match="the int8 engine cannot be loaded"):
            lib.library()
    finally:
        lib.library.cache_clear()


def test_engines_are_opened_by_name(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert open_engine(tiny_checkpoint).name == "int8"
    assert open_engine(tiny_checkpoint, "int8").name == "int8"
    assert open_engine(tiny_checkpoint, "torch").name == "torch"
    with pytest.raises(EngineError, match="engine must be one of auto, int8, torch, cuda, got 'x'"):
        open_engine(tiny_checkpoint, "x")
    if not torch.cuda.is_available():
        with pytest.raises(EngineError, match="engine is cuda, but torch finds no GPU"):
            open_engine(tiny_checkpoint, "cuda")
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        open_engine(tmp_path)


def test_the_sizes_that_are_trained_can_be_had() -> None:
    for size in SIZES.values():
        config = ModelConfig(vocab_size=560, context=64, **{**size, "n_layers": 1})
        torch.manual_seed(0)
        model = Transformer(config).eval()
        ids = some_ids(40, 560)
        expected = logits_of(model, ids)
        error = np.abs(int8(model).logits(ids) - expected).mean()
        assert error < 0.05 * expected.std()
