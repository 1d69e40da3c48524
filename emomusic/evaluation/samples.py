"""Samples of a model in training: a few clips written at each evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emomusic.compose.token_plan import BarPlan, TokenPlan, body_ids, clip_grammar, to_script
from emomusic.model.choose import open_engine
from emomusic.model.engine import Row, Uniforms
from emomusic.music.score import write_score
from emomusic.music.tokenizer import N_BINS, Tokenizer
from emomusic.music.vocabulary import built_vocabulary, special_tokens, write_vocabulary

N_BARS = 8
ASKED = ("free", "low", "high")


def write_samples(folder: Path, step: int) -> None:
    """Write clips of a checkpoint to `run/samples`: nothing asked, all low, all high density.

    The tokenizer of the checkpoint's attributes is written into it, too. Nothing is written for
    a model of another vocabulary.

    Args:
        folder: The checkpoint.
        step: Names the files.
    """
    tables = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    names = tables["attributes"]
    vocabulary = built_vocabulary(special_tokens(names, tables["bar_attributes"]))
    engine = open_engine(folder)
    if len(vocabulary) != engine.config.vocab_size:
        return
    write_vocabulary(vocabulary, folder / "tokenizer.json")
    tokenizer = Tokenizer(folder / "tokenizer.json")
    samples_dir = folder / "run" / "samples"
    samples_dir.mkdir(parents=True, exist_ok=True)
    grammar = clip_grammar(vocabulary)
    density = int(vocabulary.control_ids(("note_density",))[0])
    asked = {"free": (), "low": (density,), "high": (density + N_BINS - 1,)}
    plans = [TokenPlan(asked[name], (BarPlan(),) * N_BARS) for name in ASKED]
    context = engine.config.context
    scripts = [to_script(plan, vocabulary, grammar, context=context) for plan in plans]
    rows = [
        Row(script, Uniforms(np.random.default_rng([step, i])), number=i)
        for i, script in enumerate(scripts)
    ]
    edges = tables["edges"][names.index("tempo")]
    tempo = float(edges[len(edges) // 2])
    for at, segments in engine.write(rows, grammar):
        score = tokenizer.decode(body_ids(scripts[at], segments), tempo=tempo)
        write_score(score, samples_dir / f"step_{step:06d}_{ASKED[at]}.mid")
