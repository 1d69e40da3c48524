"""Scores, rows and models made in code, for tests of several rooms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.verifier import fitted
from midi import score_of

from emomusic.compose.directions import LEVERS, Response
from emomusic.emotion import QUADRANT_CENTRES, QUADRANTS
from emomusic.mapping import Mapper, Prototype
from emomusic.model.checkpoint import SIZES, ModelConfig, save_model
from emomusic.model.events import ADVANCE, EventLayout
from emomusic.model.transformer import Transformer
from emomusic.music.attributes import ATTRIBUTE_NAMES, ATTRIBUTES, BAR_ATTRIBUTE_NAMES
from emomusic.music.chords import CHORD_NAMES
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
        *(f"{mark}_{n}" for mark in ("Ending", "Join") for n in range(1, 5)),
        "Compound_None",
        *(f"Form-{kind}_{bars}" for kind in ("whole", "rhythm") for bars in (1, 2, 4, 8, 16)),
        *("Given_None", "Behind_None", "Here_None"),
        *(f"Chord{half}_{name}" for half in "AB" for name in CHORD_NAMES),
        *("Bar_None", "TimeSig_4/4"),
        *(f"Pitch_{p}" for p in range(21, 110)),
        *(f"Velocity_{v}" for v in (30, 60, 90)),
        *(f"Duration_1.0.{d}" for d in range(2)),
        *(f"Position_{p}" for p in range(4)),
    ]


ROW_NOTES = ((0, -12, 4), (0, 0, 3), (1, 0, 3), (2, -5, 1), (2, 0, 3), (3, 0, 3))
"""Of each bar: position, semitones from the melody, `note_part`."""


def row_songs(n_songs: int, *, n_bars: int, seed: int) -> list[list[list[int]]]:
    """Return songs as bars of ids: scales over a bass, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    ids = {text: i for i, text in enumerate(row_vocabulary())}
    songs = []
    for _ in range(n_songs):
        start = int(rng.integers(54, 67))
        bars = []
        for bar in range(n_bars):
            tokens = [ids["Bar_None"], ids["TimeSig_4/4"]]
            for at, (position, away, part) in enumerate(ROW_NOTES):
                joins = at and ROW_NOTES[at - 1][0] == position
                tokens += [] if joins else [ids[f"Position_{position}"]]
                tokens += [
                    ids[f"Pitch_{start + (bar + position) % 12 + away}"],
                    ids["Velocity_90" if part == 4 else "Velocity_60"],
                    ids[f"Duration_1.0.{int(part == 3)}"],
                ]
            bars.append(tokens)
        songs.append(bars)
    return songs


def _row_form(bar: int) -> int:
    """Return a code that points to a bar of the song, now one and now another."""
    code = (3 * bar) % 11
    return code if code and (1, 2, 4, 8, 16)[(code - 1) % 5] <= bar else 0


def make_rows(*, n_songs: int = 12, n_bars: int = 8, seed: int = 0) -> Rows:
    """Return packed rows: two clips a song, every sixth song held back.

    Every third song is flat, every fourth has made-up durations, every fifth has dotted beats.
    """
    rng = np.random.default_rng(seed)
    songs = row_songs(n_songs, n_bars=n_bars, seed=seed)
    lengths = [len(bar) for song in songs for bar in song]
    half, bars, number = n_bars // 2, np.arange(n_songs * n_bars), np.arange(n_songs)
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
    # Any chord, none, and in every fourth bar one that is not known, or both.
    chords = np.stack([bars * 13 % 109, np.where(bars % 4 == 3, -1, bars * 7 % 109)], axis=1)
    chords[bars % 8 == 7] = -1
    return Rows(
        ids=np.array([token for song in songs for bar in song for token in bar], dtype=np.uint16),
        bar_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        bar_values=bar_values.astype(np.float32),
        bar_chords=chords.astype(np.int16),
        bar_form=np.array([_row_form(int(bar)) for bar in bars % n_bars], dtype=np.int8),
        bar_compound=bars // n_bars % 5 == 4,
        note_part=np.tile([part for _, _, part in ROW_NOTES], len(bars)).astype(np.uint8),
        clip_bar=np.array(
            [s * n_bars + part * half for s in range(n_songs) for part in range(2)], dtype=np.int32
        ),
        clip_n_bars=np.full(n_clips, half, dtype=np.int16),
        clip_shift=rng.integers(-6, 6, n_clips).astype(np.int8),
        clip_is_end=np.tile([False, True], n_songs),
        clip_values=clip_values.astype(np.float32),
        clip_song=np.repeat(number, 2).astype(np.int32),
        song_source=(number % 2).astype(np.int16),
        song_has_dynamics=number % 3 != 0,
        song_has_durations=number % 4 != 3,
        song_is_validation=number % 6 == 5,
        meta=meta,
    )


def make_score(
    pitches: list[int], *, gap: int = 480, tempo: float = 120.0, velocity: int = 64
) -> Any:
    """Return a score of one note after the other, in 4/4, 480 ticks a quarter note."""
    beat = gap / 480
    notes = [(i * beat, beat, pitch, velocity) for i, pitch in enumerate(pitches)]
    return score_of(notes, tempo=tempo)


def make_model(vocabulary: tuple[str, ...], *, context: int = 2048, seed: int = 0) -> Transformer:
    """Return a tiny random model that ends bars after about a dozen notes."""
    torch.manual_seed(seed)
    layout = EventLayout.from_texts(vocabulary)
    shape = ModelConfig(len(vocabulary), layout, context=context, **SIZES["tiny"])
    model = Transformer(shape).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(std=0.15 if name == "embedding" else 0.1)
        # One direction that all ids share, along which the nearer moments lie further, and a
        # bar's end as its last ones.
        model.embedding[:, 0] = 1.0
        head, n_positions = model.slots[ADVANCE].head.weight, layout.position[1]
        near = torch.arange(n_positions + 3).clamp(max=n_positions - 3)
        head[:, 0] = -0.018 * near
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
    return Response(middle, scale, np.zeros(n), heeded * np.eye(n), pulled, ATTRIBUTE_NAMES)


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
        "forms": ["0006333066066444", "0000333344440000", "0000333344440000" + "5" * 16],
    }
    (folder / "tables.json").write_text(json.dumps(tables), encoding="utf-8")
    make_mapper().save(folder)
    make_verifier().save(folder)
    (folder / "README.md").write_text("# A checkpoint for tests\n", encoding="utf-8")
