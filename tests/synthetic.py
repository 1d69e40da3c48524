"""Scores, rows and models made in code, for tests of several rooms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import symusic
import torch
from verifier_cases import fitted

from emomusic.compose.steering.levers import LEVERS
from emomusic.compose.steering.response import Response
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS
from emomusic.mapping.mapper import Mapper, Prototype
from emomusic.model.checkpoint import save_model
from emomusic.model.shape import SIZES, ModelConfig
from emomusic.model.transformer import Transformer
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES, BAR_ATTRIBUTE_NAMES
from emomusic.music.tokenizer import Tokenizer
from emomusic.training.rows import Rows
from emomusic.verify.verifier import Verifier

N_BINS = 4
ROW_ATTRIBUTES = ("tempo", "note_density", "velocity_mean", "register")
ROW_BAR_ATTRIBUTES = ("note_density", "velocity_mean", "register")


def row_vocabulary() -> list[str]:
    """Return the texts of a small vocabulary of the tokenizer's kind."""
    dashed = [name.replace("_", "-") for name in ROW_ATTRIBUTES]
    bar_dashed = [name.replace("_", "-") for name in ROW_BAR_ATTRIBUTES]
    return [
        *("PAD_None", "BOS_None", "EOS_None"),
        *(f"Control-{name}_{b}" for name in dashed for b in range(N_BINS)),
        *(f"BarControl-{name}_{b}" for name in bar_dashed for b in range(N_BINS)),
        *(f"Ending_{n}" for n in range(1, 5)),
        *("Bar_None", "TimeSig_4/4"),
        *(f"Pitch_{p}" for p in range(21, 109)),
        *(f"Velocity_{v}" for v in (30, 60, 90)),
        *(f"Duration_1.0.{d}" for d in range(2)),
        *(f"Position_{p}" for p in range(4)),
    ]


def row_songs(n_songs: int, *, n_bars: int, seed: int) -> list[list[list[int]]]:
    """Return songs as bars of ids: scales, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    ids = {text: i for i, text in enumerate(row_vocabulary())}
    songs = []
    for _ in range(n_songs):
        start = int(rng.integers(48, 72))
        bars = []
        for bar in range(n_bars):
            tokens = [ids["Bar_None"], ids["TimeSig_4/4"]]
            for position in range(4):
                tokens += [
                    ids[f"Position_{position}"],
                    ids[f"Pitch_{start + (bar + position) % 12}"],
                    ids["Velocity_60"],
                    ids["Duration_1.0.1"],
                ]
            bars.append(tokens)
        songs.append(bars)
    return songs


def make_rows(*, n_songs: int = 12, n_bars: int = 8, seed: int = 0) -> Rows:
    """Return packed rows: two clips a song, every third song flat, every sixth held back."""
    rng = np.random.default_rng(seed)
    songs = row_songs(n_songs, n_bars=n_bars, seed=seed)
    lengths = [len(bar) for song in songs for bar in song]
    half = n_bars // 2
    n_clips = 2 * n_songs
    clip_values = np.stack(
        [rng.uniform(60, 160, n_clips), np.ones(n_clips), np.full(n_clips, 60.0),
         rng.uniform(50, 75, n_clips)], axis=1
    )  # fmt: skip
    bar_values = np.stack(
        [np.ones(len(lengths)), np.full(len(lengths), 60.0), rng.uniform(50, 75, len(lengths))],
        axis=1,
    )
    edges = {"tempo": [80, 100, 120], "note_density": [0.5, 2, 4],
             "velocity_mean": [40, 70, 90], "register": [55, 60, 65]}  # fmt: skip
    meta: dict[str, Any] = {
        "vocabulary": row_vocabulary(),
        "attributes": list(ROW_ATTRIBUTES),
        "bar_attributes": list(ROW_BAR_ATTRIBUTES),
        "n_bins": N_BINS,
        "edges": [edges[name] for name in ROW_ATTRIBUTES],
        "bar_edges": [edges[name] for name in ROW_BAR_ATTRIBUTES],
        "sources": ["even", "odd"],
        "account": {},
    }
    return Rows(
        ids=np.array([token for song in songs for bar in song for token in bar], dtype=np.uint16),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values.astype(np.float32),
        clip_bar=np.array(
            [s * n_bars + part * half for s in range(n_songs) for part in range(2)], dtype=np.int32
        ),
        clip_n_bars=np.full(n_clips, half, dtype=np.int16),
        clip_shift=rng.integers(-6, 6, n_clips).astype(np.int8),
        clip_is_end=np.tile([False, True], n_songs),
        clip_values=clip_values.astype(np.float32),
        clip_song=np.repeat(np.arange(n_songs), 2).astype(np.int32),
        song_source=(np.arange(n_songs) % 2).astype(np.int16),
        song_has_dynamics=np.arange(n_songs) % 3 != 0,
        song_is_validation=np.arange(n_songs) % 6 == 5,
        meta=meta,
    )


def make_score(
    pitches: list[int], *, gap: int = 480, tempo: float = 120.0, velocity: int = 64
) -> Any:
    """Return a score of one note after the other, in 4/4, 480 ticks a quarter note."""
    score: Any = symusic.Score(480)
    score.tempos.append(symusic.Tempo(0, tempo))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    track: Any = symusic.Track("piano")
    for i, pitch in enumerate(pitches):
        track.notes.append(symusic.Note(i * gap, gap, pitch, velocity))
    score.tracks.append(track)
    return score


def make_model(vocabulary: tuple[str, ...], *, context: int = 2048, seed: int = 0) -> Transformer:
    """Return a tiny random model that ends bars after about a dozen notes."""
    torch.manual_seed(seed)
    shape = ModelConfig(vocab_size=len(vocabulary), context=context, **SIZES["tiny"])
    model = Transformer(shape).eval()
    with torch.no_grad():
        # One direction that all ids share, and along which those that end a bar lie further.
        model.embedding.weight.normal_(std=0.15)
        model.embedding.weight[:, 0] = 1.0
        model.embedding.weight[vocabulary.index("Bar_None"), 0] = 1.5
        model.embedding.weight[vocabulary.index("EOS_None"), 0] = 1.5
    return model


def make_mapper() -> Mapper:
    """Return a mapper with two prototypes a quadrant, drawn over the attributes' ranges."""
    rng = np.random.default_rng(5)
    low = {a.name: a.low for a in ATTRIBUTES}
    high = {a.name: a.high for a in ATTRIBUTES}
    prototypes = tuple(
        Prototype(
            quadrant=quadrant,
            valence=QUADRANT_CENTRES[quadrant][0],
            arousal=QUADRANT_CENTRES[quadrant][1],
            weight=0.5,
            mean={n: float(rng.uniform(low[n], high[n])) for n in ATTRIBUTE_NAMES},
            spread={n: 0.1 * (high[n] - low[n]) for n in ATTRIBUTE_NAMES},
            members=rng.uniform(list(low.values()), list(high.values()), (5, len(low))).tolist(),
            trust=[0.2, 0.4, 0.6, 0.8, 1.0],
        )
        for quadrant in QUADRANTS
        for _ in range(2)
    )
    middle = {n: (low[n] + high[n]) / 2 for n in ATTRIBUTE_NAMES}
    return Mapper(prototypes, middle, low, high, {"songs": "made in code"})


LEVERS_THAT_WORK = {
    ("note_density", "soon"): 0.8,
    ("velocity_mean", "louder"): 0.7,
    ("register", "higher"): 0.9,
    ("mode", "major"): 0.6,
}
"""Slopes of attributes on levers, such as a model that was trained would show."""


def make_response(
    slopes: Mapping[tuple[str, str], float] = LEVERS_THAT_WORK, *, heeded: float = 0.0
) -> Response:
    """Return a response in which few levers move anything.

    Args:
        slopes: By how many deviations an attribute moves for each unit of a lever.
        heeded: How much of what is asked for is achieved without a lever.
    """
    n = len(ATTRIBUTE_NAMES)
    pulled = np.zeros((n, len(LEVERS)))
    for (name, lever), slope in slopes.items():
        pulled[ATTRIBUTE_NAMES.index(name), LEVERS.index(lever)] = slope
    middle = np.array([(a.low + a.high) / 2 for a in ATTRIBUTES])
    scale = np.array([(a.high - a.low) / 4 for a in ATTRIBUTES])
    return Response(middle, scale, np.zeros(n), heeded * np.eye(n), pulled)


def make_verifier() -> Verifier:
    """Return a verifier fitted on clips made in code."""
    return fitted()


def make_checkpoint(folder: Path, *, context: int = 2048) -> None:
    """Write a whole checkpoint whose music means nothing."""
    import json

    from emomusic.music.tokenizer import N_BINS as N_TABLE_BINS
    from emomusic.music.tokenizer import bin_edges

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer()
    model = make_model(tokenizer.vocabulary.texts, context=context)
    save_model(folder, model, recipe={"made": "in code"})
    tokenizer.save(folder)
    rng = np.random.default_rng(3)
    values = np.array([rng.uniform(a.low, a.high, 200) for a in ATTRIBUTES])
    tables = {
        "attributes": list(ATTRIBUTE_NAMES),
        "n_bins": N_TABLE_BINS,
        "edges": [bin_edges(row).tolist() for row in values],
        "bar_attributes": list(BAR_ATTRIBUTE_NAMES),
        "bar_edges": [
            bin_edges(values[ATTRIBUTE_NAMES.index(name)]).tolist() for name in BAR_ATTRIBUTE_NAMES
        ],
    }
    (folder / "tables.json").write_text(json.dumps(tables), encoding="utf-8")
    make_mapper().save(folder)
    make_verifier().save(folder)
    (folder / "README.md").write_text("# A checkpoint for tests\n", encoding="utf-8")
