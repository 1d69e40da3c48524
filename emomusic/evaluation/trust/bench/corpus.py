"""The labelled clips of a folder, read and measured once."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.evaluation.trust.measures.scores import Truth
from emomusic.music.notes import Notes
from emomusic.verify.groups import FeatureBatch, Matrix, Rows, featurize
from emomusic.verify.labels import (
    Curve,
    FittingLabels,
    LabelledClip,
    clip_weights,
    quadrant_shares,
    read_curves,
    read_labels,
    read_notes,
    song_folds,
)

EMOPIA, VGMIDI = "emopia", "vgmidi"


@dataclass(frozen=True)
class Corpus:
    """Hold labelled clips and what was measured in them.

    Attributes:
        clips: n labelled clips.
        notes: Of each clip.
        heard: Features and patterns of the clips and their parts.
        split: The published split of each clip, such as "train"; "" where none is told.
        curves: Listeners' curves of some clips, by their places.
    """

    clips: tuple[LabelledClip, ...]
    notes: tuple[Notes, ...]
    heard: FeatureBatch
    split: tuple[str, ...]
    curves: dict[int, Curve]

    @cached_property
    def truth(self) -> Truth:
        """Return what people said."""
        return Truth(
            np.array([QUADRANTS.index(clip.quadrant) for clip in self.clips], dtype=np.int64),
            FittingLabels.of(self.clips).values,
            tuple(clip.group for clip in self.clips),
        )

    @cached_property
    def shares(self) -> Matrix:
        """Return the shares of quadrants that people heard, shape (n, 4)."""
        return quadrant_shares(self.clips)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Return the sources that there are, in order."""
        return tuple(sorted({clip.source for clip in self.clips}))

    @cached_property
    def every(self) -> Rows:
        """Return all places."""
        return np.arange(len(self.clips))

    def of(self, source: str) -> Rows:
        """Return the places of the clips of one source."""
        return np.flatnonzero([clip.source == source for clip in self.clips])

    def taken(self, rows: Rows) -> list[LabelledClip]:
        """Return some clips."""
        return [self.clips[row] for row in rows.tolist()]

    def weight(self, rows: Rows) -> Matrix:
        """Return how much some clips count in fitting on just these, shape (len(rows),)."""
        return clip_weights(self.taken(rows))

    def folds(self, rows: Rows, *, n_folds: int, seed: int) -> list[tuple[Rows, Rows]]:
        """Return folds of some clips, by song, balanced over quadrants and sources.

        Returns:
            The clips to fit on and those to test on, rising, for each fold.

        Raises:
            ValueError: If there are fewer songs than folds.
        """
        places = [self.sources.index(clip.source) for clip in self.taken(rows)]
        strata = self.truth.y[rows] + 4 * np.array(places)
        groups = [self.truth.groups[row] for row in rows.tolist()]
        return [
            (np.sort(rows[fit]), np.sort(rows[test]))
            for fit, test in song_folds(strata, groups, n_folds=n_folds, seed=seed)
        ]


def read_corpus(source: str | os.PathLike[str]) -> Corpus:
    """Read and measure the labelled clips of a folder.

    Raises:
        LabelError: If the table of labels cannot be used.
        ScoreError: If a file cannot be read.
    """
    clips = read_labels(source)
    notes = read_notes(clips)
    folder = folder_of(source)
    curves = read_curves(folder)
    places = {clip.path.relative_to(folder).as_posix(): k for k, clip in enumerate(clips)}
    return Corpus(
        tuple(clips),
        tuple(notes),
        featurize(notes),
        _splits(folder / "labels.csv", len(clips)),
        {places[name]: curve for name, curve in curves.items() if name in places},
    )


def folder_of(source: str | os.PathLike[str]) -> Path:
    """Return the folder that holds `labels.csv`: the one named, or `emotion` in it."""
    below = Path(source) / "emotion"
    return below if (below / "labels.csv").is_file() else Path(source)


def _splits(path: Path, n: int) -> tuple[str, ...]:
    with path.open(encoding="utf-8", newline="") as file:
        splits: Sequence[str] = [row.get("split") or "" for row in csv.DictReader(file)]
    return tuple(splits) if len(splits) == n else ("",) * n
