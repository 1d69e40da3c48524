"""Our engines, each with the same network, writing clips as composing has them written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.measure import Bench, Clock
from emomusic.compose.token_plan import BarPlan, TokenPlan, clip_grammar, to_script
from emomusic.model.checkpoint import (
    SIZES,
    Array,
    ModelConfig,
    as_float32,
    read_shape,
    read_tensors,
    tensor_shapes,
)
from emomusic.model.engine import Engine, EngineRow, Uniforms
from emomusic.model.events import EventLayout
from emomusic.model.grammar import Grammar, Script
from emomusic.model.int8.library import is_built
from emomusic.music.tokenizer import Vocabulary, built_vocabulary

NEEDS: tuple[str, ...] = ()
SIZE = "small"
N_BARS, MAX_NOTES = 16, 13
"""Notes of a bar at most: a clip of music has about 210."""
TOP_P = (0.92, 0.92, 0.99, 0.99, 0.92, 0.92)
Weights = dict[str, Array]


def network(bench: Bench, vocabulary: Vocabulary) -> tuple[ModelConfig, Weights]:
    """Return shape and weights: a checkpoint's, or drawn at random, always the same."""
    if bench.weights is not None:
        shape, names = read_shape(bench.weights)
        return shape, dict(read_tensors(bench.weights, shape, names))
    layout = EventLayout.from_texts(vocabulary.texts)
    shape = ModelConfig(len(vocabulary), layout, **SIZES[SIZE])
    rng = np.random.default_rng(0)
    return shape, {
        name: rng.normal(0.0, 0.02, own).astype(np.float32)
        if len(own) > 1
        else np.ones(own, np.float32)
        for name, own in tensor_shapes(shape).items()
    }


def open_engine(shape: ModelConfig, weights: Weights, bench: Bench, name: str) -> Engine:
    """Return the engine `torch`, or `int8` with the instructions that are named behind a dash.

    Nothing here imports torch unless the engine does, so that memory is the engine's own.
    """
    if name.startswith("int8"):
        from emomusic.model.int8.engine import Int8Engine

        instructions = name.partition("-")[2]
        return Int8Engine(shape, weights.items(), threads=bench.threads, instructions=instructions)
    import torch

    from emomusic.model.torch_engine import TorchEngine
    from emomusic.model.transformer import Transformer

    torch.set_num_threads(1)
    model = Transformer(shape)
    tensors = {own: torch.from_numpy(as_float32(value)) for own, value in weights.items()}
    model.load_state_dict(tensors)
    return TorchEngine(model, threads=bench.threads)


class Writer:
    """Write clips with an engine, and count their notes."""

    def __init__(self, engine: Engine, vocabulary: Vocabulary) -> None:
        """Take an engine of a network of this vocabulary."""
        self.engine, self.grammar = engine, clip_grammar(vocabulary)
        self.whole = _script(vocabulary, self.grammar, engine.config.context, n_bars=N_BARS)
        one = _script(vocabulary, self.grammar, engine.config.context, n_bars=1)
        self.note = replace(one, max_notes=1)

    def write(self, script: Script, n_clips: int) -> tuple[float, int]:
        """Write clips; return seconds and notes."""
        start = time.perf_counter()
        n_notes = sum(self._notes(script, n_clips))
        return time.perf_counter() - start, n_notes

    def _notes(self, script: Script, n_clips: int) -> Iterator[int]:
        first, n = self.grammar.layout.pitch
        rows = [
            EngineRow(script, Uniforms(np.random.default_rng(number)), top_p=TOP_P)
            for number in range(n_clips)
        ]
        for _, segments in self.engine.write(rows, self.grammar):
            yield sum(first <= token < first + n for bar in segments for token in bar)


def _script(vocabulary: Vocabulary, grammar: Grammar, context: int, *, n_bars: int) -> Script:
    plan = TokenPlan((), (BarPlan(),) * n_bars)
    return replace(to_script(plan, vocabulary, grammar, context=context), max_notes=MAX_NOTES)


def measure(bench: Bench, *, engine: str, n_clips: int = 1) -> None:
    """Measure notes a second, and for one clip the time until its first note is known."""
    vocabulary = built_vocabulary()
    name = ("int8" if is_built() else "torch") if engine == "auto" else engine
    writer = Writer(open_engine(*network(bench, vocabulary), bench, name), vocabulary)
    told = getattr(writer.engine, "instructions", "")
    bench.remark(f"the engine is {writer.engine.name}{told and f' with {told}'}")
    writer.write(writer.note, n_clips)
    if n_clips == 1:
        for _ in range(3):
            with Clock() as clock:
                seconds, _ = writer.write(writer.note, 1)
            bench.sample("first note", "ms", 1e3 * seconds, clock)
    end = time.perf_counter() + bench.seconds
    while True:
        with Clock() as clock:
            seconds, n_notes = writer.write(writer.whole, n_clips)
        bench.sample("notes", "notes/s", n_notes / seconds, clock)
        if time.perf_counter() + clock.seconds > end:
            break
    bench.memory()
