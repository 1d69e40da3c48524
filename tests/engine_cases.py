"""A small grammar, scripts and rows in it, and the engines that write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emomusic.model.engines.engine import Engine, Row, Segments, Uniforms, steered
from emomusic.model.engines.grammar import Grammar, Kind, Script, Walk
from emomusic.model.int8.engine import Int8Engine
from emomusic.model.int8.library import is_built
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.model.sampling import sample_ids
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer

V, CONTEXT = 20, 96
BEGIN, BAR, STOP, SIGN = 1, 6, 7, 8  # 0 is never used, 2 to 5 are controls
POSITIONS, PITCHES, VELOCITIES = (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19)
POSITION, PITCH, VELOCITY, BAR_KIND, STOP_KIND = range(5)
GRAMMAR = Grammar(
    V,
    kinds=(
        Kind(POSITIONS[0], 4, then=1, rises=True, resets=(PITCH,), since=0),
        Kind(PITCHES[0], 4, then=2, rises=True),
        Kind(VELOCITIES[0], 3, then=3),
        Kind(BAR, 1, then=0, ends=True, since=0),
        Kind(STOP, 1, then=0, ends=True),
    ),
    states=(
        (POSITION,),
        (PITCH,),
        (VELOCITY,),
        (POSITION, PITCH, BAR_KIND, STOP_KIND),
    ),
)
"""Bars of positions that rise, and on each pitches that rise, with a velocity each."""
LONGEST = 4 * (1 + 4 * 2)
ENGINES: dict[str, Callable[[Transformer], Engine]] = {
    "torch": lambda model: TorchEngine(model, bfloat16=False),
    "static": lambda model: TorchEngine(model, bfloat16=False, static=True),
    "threads": lambda model: TorchEngine(model, bfloat16=False, threads=3),
}
if is_built():
    ENGINES |= {
        "int8": lambda model: int8(model),
        "int8-threads": lambda model: int8(model, threads=3, slots=2),
        "int8-plain": lambda model: int8(model, instructions="plain"),
    }
if torch.cuda.is_available():
    ENGINES["cuda"] = lambda model: TorchEngine(model, bfloat16=False, device="cuda")


def int8(model: Transformer, **settings: Any) -> Int8Engine:
    """Return an int8 engine of a model's weights."""
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return Int8Engine(model.config, tensors.items(), **settings)


def make_model(*, context: int = CONTEXT, seed: int = 0) -> Transformer:
    """Return a random model that heeds all of what came before, not the last id alone."""
    torch.manual_seed(seed)
    model = Transformer(ModelConfig(vocab_size=V, context=context, **SIZES["tiny"])).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.mul_(15.0 if name.startswith("embedding") else 25.0)
    return model


def make_script(
    n_segments: int = 3, *, controls: tuple[int, ...] = (2, 4), **changes: Any
) -> Script:
    """Return a script of bars, the last of which stops."""
    script = Script(
        prompt=(BEGIN, *controls),
        heads=((BAR, SIGN),) * n_segments,
        ends=((BAR_KIND,),) * (n_segments - 1) + ((STOP_KIND,),),
        max_free=LONGEST,
    )
    return replace(script, **changes)


def make_row(seed: int, script: Script | None = None, **settings: Any) -> Row:
    """Return a row whose numbers and controls follow from the seed, and its number too."""
    if script is None:
        script = make_script(2 + seed % 4, controls=(2 + seed % 4, 2 + seed // 4 % 4))
    uniforms = Uniforms(np.random.default_rng(seed))
    return Row(script, uniforms, **{"number": seed, **settings})


def written(engine: Engine, rows: Iterable[Row], grammar: Grammar = GRAMMAR) -> list[Segments]:
    """Return the segments of rows, in the rows' order."""
    found = dict(engine.write(rows, grammar))
    return [found[at] for at in range(len(found))]


def reference(engine: Engine, row: Row, grammar: Grammar = GRAMMAR) -> Segments:
    """Write a row from an engine's logits alone: no cache, no neighbours, guidance spelt out."""
    walk = Walk(grammar, row.script)
    while not walk.done:
        walk.restart()
        ids = row.script.opening(walk.segments)
        while len(ids) < engine.config.context and not walk.done:
            guidance = row.guidance_after(len(walk.segments))
            logits = _guided(engine, row, ids, guidance)
            lean = steered(row, walk.segments, grammar)
            if lean is not None:
                logits = logits + walk.leaning(lean.bias, lean.pairs, lean.weights)
            token = _sampled(logits, row, walk.allowed())
            ids += [token, *walk.push(token)]
    return walk.segments


def _guided(engine: Engine, row: Row, ids: list[int], guidance: float) -> NDArray[Any]:
    told = engine.logits(np.array(ids))[-1]
    if guidance == 1:
        return told
    free = engine.logits(np.array([ids[0], *ids[len(row.script.prompt) :]]))[-1]
    return free + np.float32(guidance) * (told - free)


def _sampled(logits: NDArray[Any], row: Row, allowed: NDArray[Any]) -> int:
    uniform = np.array([row.uniforms.take()])
    settings = {"temperature": row.temperature, "top_p": row.top_p}
    return int(sample_ids(logits[None], allowed[None], uniform, **settings)[0])
