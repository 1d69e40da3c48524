"""Samples of a model in training: a few clips written at each evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from emomusic.compose.guide import ClipGuide, Grammar, Plan
from emomusic.model.checkpoint import load_model
from emomusic.model.sampling import write_block
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
    tokenizer, model = Tokenizer(), load_model(folder)
    if len(tokenizer.vocabulary) != model.config.vocab_size:
        return
    tokenizer.save(folder)
    samples_dir = folder / "run" / "samples"
    samples_dir.mkdir(parents=True, exist_ok=True)
    grammar = Grammar(tokenizer.vocabulary)
    controls = tokenizer.vocabulary.control_ids(ATTRIBUTE_NAMES)
    density = controls[ATTRIBUTE_NAMES.index("note_density")]
    asked = {"free": (), "low": (int(density),), "high": (int(density) + N_BINS - 1,)}
    guides = [ClipGuide(grammar, Plan(asked[name], ((),) * N_BARS)) for name in ASKED]
    for guide in guides:
        guide.begin(max_ids=0)
    generators = [np.random.default_rng([step, i]) for i in range(len(guides))]
    write_block(model, guides, generators)
    tempo = _middle_tempo(folder)
    for name, guide in zip(ASKED, guides, strict=True):
        if guide.ids():
            score = tokenizer.decode(guide.ids(), tempo=tempo)
            write_score(score, samples_dir / f"step_{step:06d}_{name}.mid")


def _middle_tempo(folder: Path) -> float:
    tables = json.loads((folder / "tables.json").read_text(encoding="utf-8"))
    edges = tables["edges"][ATTRIBUTE_NAMES.index("tempo")]
    return float(edges[len(edges) // 2])
