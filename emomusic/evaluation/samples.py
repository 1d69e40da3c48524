"""Samples of a model in training: a few clips written at each evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emomusic.compose.drafting.guide import Plan, clip_grammar, ids_of, script_of
from emomusic.model.engines.choose import open_engine
from emomusic.model.engines.engine import Row, Uniforms
from emomusic.music.attributes import ATTRIBUTE_NAMES
from emomusic.music.score import write_score
from emomusic.music.tokenizer import N_BINS, Tokenizer

N_BARS = 8
ASKED = ("free", "low", "high")


def write_samples(folder: Path, step: int) -> None:
    """Write clips of a checkpoint to `run/samples`: nothing asked, all low, all high density.

    The tokenizer is written into the checkpoint, too. Nothing is written for a model of another
    vocabulary than the tokenizer's.

    Args:
        folder: The checkpoint.
        step: Names the files.
    """
    tokenizer, engine = Tokenizer(), open_engine(folder)
    vocabulary = tokenizer.vocabulary
    if len(vocabulary) != engine.config.vocab_size:
        return
    tokenizer.save(folder)
    samples_dir = folder / "run" / "samples"
    samples_dir.mkdir(parents=True, exist_ok=True)
    grammar = clip_grammar(vocabulary)
    controls = vocabulary.control_ids(ATTRIBUTE_NAMES)
    density = int(controls[ATTRIBUTE_NAMES.index("note_density")])
    asked = {"free": (), "low": (density,), "high": (density + N_BINS - 1,)}
    plans = [Plan(asked[name], ((),) * N_BARS) for name in ASKED]
    scripts = [script_of(plan, vocabulary, grammar, max_repeated=0) for plan in plans]
    rows = [
        Row(script, Uniforms(np.random.default_rng([step, i])), number=i)
        for i, script in enumerate(scripts)
    ]
    tempo = _middle_tempo(folder)
    for at, segments in engine.write(rows, grammar):
        score = tokenizer.decode(ids_of(scripts[at], segments), tempo=tempo)
        write_score(score, samples_dir / f"step_{step:06d}_{ASKED[at]}.mid")


def _middle_tempo(folder: Path) -> float:
    tables = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    edges = tables["edges"][ATTRIBUTE_NAMES.index("tempo")]
    return float(edges[len(edges) // 2])
