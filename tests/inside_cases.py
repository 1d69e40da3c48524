"""Labelled songs in packed rows, made in code, for the tests of what is inside a network."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from midi import score_of
from symusic.core import ScoreTick

from emomusic.data.clean import clean_score
from emomusic.data.packing import pack
from emomusic.data.songs import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.inside.music import Excerpt, labelled_excerpts
from emomusic.training.rows import Rows
from emomusic.verify.labels import COLUMNS, LabelledClip, part_of, read_labels

SONGS = [name for i in range(100) if part_of("emopia", name := f"song{i}") == "mapper"][:8]
FILES = [(f"{QUADRANTS[i % 4]}_{name}_0.mid", QUADRANTS[i % 4], name)
         for i, name in enumerate(SONGS)]  # fmt: skip


def wandering(seed: int) -> ScoreTick:
    """Return a song of six bars and more, the denser and the higher the later its seed."""
    rng = np.random.default_rng(seed)
    gap = 1.0 / (1 + seed // 2)
    onsets = np.arange(0, 4 * (6 + seed), gap)
    return score_of(
        [(onset, gap, 50 + seed + int(rng.integers(12)), int(rng.integers(40, 90)))
         for onset in onsets.tolist()]
    )  # fmt: skip


@cache
def some_rows() -> Rows:
    """Return eight songs, two of each quadrant, the last held back, the first without dynamics."""
    prepared = [
        prepare_clean(
            clean_score(wandering(seed), performed=False),
            f"emotion/emopia/{name}",
            "emopia",
        )
        for seed, (name, _, _) in enumerate(FILES)
    ]
    is_last, is_first = np.arange(8) == 7, np.arange(8) == 0
    return replace(pack(prepared, []), song_is_validation=is_last, song_has_dynamics=~is_first)


def write_labels(folder: Path) -> Path:
    """Write the labels of the songs, and of one that the rows do not hold."""
    (folder / "emotion").mkdir(parents=True, exist_ok=True)
    with (folder / "emotion" / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i, (name, quadrant, own) in enumerate(FILES):
            writer.writerow([f"emopia/{name}", "emopia", own, quadrant, "", 0.1 * i])
        writer.writerow(["emopia/elsewhere.mid", "emopia", SONGS[0], "Q1", "", ""])
    return folder


def some_labels(folder: Path) -> list[LabelledClip]:
    return read_labels(write_labels(folder))


def some_excerpts(folder: Path) -> list[Excerpt]:
    return labelled_excerpts(some_rows(), some_labels(folder))


N = 96


def made_excerpt(i: int) -> Excerpt:
    """Return what is known of a clip whose ids mean nothing; every third one is rated."""
    quadrant = QUADRANTS[i % 4]
    rated = i % 3 == 0
    return Excerpt(
        ids=np.arange(3),
        is_note=np.ones(3, dtype=bool),
        group=f"song {i}",
        source="vgmidi" if rated else "emopia",
        quadrant=quadrant,
        valence=(0.5 if quadrant in ("Q1", "Q4") else -0.5) if rated else np.nan,
        arousal=(0.01 * i - 0.5) if rated else np.nan,
        values=np.array([float(i), np.nan if i % 5 == 0 else float(-i)]),
    )


EXCERPTS = [made_excerpt(i) for i in range(N)]
