"""Labelled clips: their table, which songs may be used for what, and soft labels for fitting."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Literal, Self

import numpy as np

from emomusic.emotion.space import QUADRANTS
from emomusic.files import UNREADABLE
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.analysis import Matrix, Rows
from emomusic.verify.calibration import AXES, SIGNS

COLUMNS = ("path", "source", "song", "quadrant", "valence", "arousal")
Part = Literal["mapper", "judge"]
LISTENER_WEIGHT = 3.0
"""Weight of a clip that about 30 listeners rated, relative to one that four annotators sorted."""
DEFAULT_LISTENER_SPREAD = 0.35
"""Standard deviation of listeners' values where the table does not say (VGMIDI's median)."""


class LabelError(ValueError):
    """A table of labels cannot be used; the message says why in one line."""


@dataclass(frozen=True)
class LabelledClip:
    """A clip and the emotion that people heard in it.

    Attributes:
        source: The collection it is from, such as "emopia".
        song: The song it is cut from; clips of one song stay on one side of a split.
        valence, arousal: Mean of the listeners' values in [-1, 1]; None where nobody was asked.
        part: "mapper" or "judge": which half of the songs it belongs to.
        valence_spread, arousal_spread: Standard deviation of single listeners' values; None
            where unknown.
    """

    path: Path
    source: str
    song: str
    quadrant: str
    valence: float | None
    arousal: float | None
    part: Part
    valence_spread: float | None = None
    arousal_spread: float | None = None

    def __post_init__(self) -> None:
        if self.quadrant not in QUADRANTS:
            raise LabelError(f"quadrant must be one of {QUADRANTS}, got {self.quadrant!r}")
        if not self.song or not self.source:
            raise LabelError(f"{self.path}: source and song must be named")
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if value is not None and not -1.0 <= value <= 1.0:  # true for NaN too
                raise LabelError(f"{name} must be in [-1, 1], got {value}")

    @property
    def group(self) -> str:
        return f"{self.source}/{self.song}"


@dataclass(frozen=True)
class Curve:
    """What listeners said in the course of one piece, a value for each measure.

    Attributes:
        duration_s: Length of the recording they heard, seconds.
        valence, arousal: Median of their values, in [-1, 1].
        valence_std, arousal_std: Standard deviation of their values.
    """

    duration_s: float
    valence: tuple[float, ...]
    valence_std: tuple[float, ...]
    arousal: tuple[float, ...]
    arousal_std: tuple[float, ...]

    def __post_init__(self) -> None:
        names = ("valence", "arousal", "valence_std", "arousal_std")
        values = np.array([getattr(self, name) for name in names], dtype=np.float64)  # (4, n)
        duration_s = float(self.duration_s)
        if values.ndim != 2 or not values.size:
            raise ValueError("a curve needs as many values on each axis, at least one")
        if not 0.0 < duration_s < math.inf:
            raise ValueError(f"a curve's duration_s must be above 0, got {duration_s}")
        if not (np.abs(values[:2]) <= 1.0).all():  # false for NaN too
            raise ValueError("a curve's valence and arousal must be in [-1, 1]")
        if not ((values[2:] >= 0.0) & (values[2:] < math.inf)).all():
            raise ValueError("a curve's standard deviations must be 0 or more")
        object.__setattr__(self, "duration_s", duration_s)
        for name, column in zip(names, values.tolist(), strict=True):
            object.__setattr__(self, name, tuple(column))


def read_curves(folder: str | os.PathLike[str]) -> dict[str, Curve]:
    """Read `vgmidi_curves.json` of a folder, if it is there: curves by the clips' paths.

    Raises:
        LabelError: If it cannot be read or a curve is wrong.
    """
    path = Path(folder) / "vgmidi_curves.json"
    if not path.is_file():
        return {}
    names = [field.name for field in fields(Curve)]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {clip: Curve(*(own[name] for name in names)) for clip, own in content.items()}
    except UNREADABLE as error:
        raise LabelError(f"cannot read {path}: {error}") from error


def part_of(source: str, song: str, *, heard: frozenset[str] = frozenset()) -> Part:
    """Choose the half of the songs that a song belongs to, the same on every machine.

    Songs in `heard`, as `source/song`, are always "mapper": the generator learns from the same
    recording.
    """
    group = f"{source}/{song}"
    digest = hashlib.sha1(group.encode(), usedforsecurity=False).digest()
    return "mapper" if group in heard or digest[0] < 128 else "judge"


def read_labels(folder: str | os.PathLike[str]) -> list[LabelledClip]:
    """Read `labels.csv` of a folder of labelled clips, in the order of its rows.

    The folder, or a folder `emotion` in it, holds the table (path, source, song, quadrant,
    valence, arousal) and the files it names. Songs of EMOPIA whose clips are in
    `emopia_also_in_pop1k7.csv`, where there is one, belong to "mapper". Where there are
    `vgmidi_curves.json`, they tell how far listeners differed.

    Raises:
        LabelError: If the table is missing, lacks a column, has a wrong value or is empty.
    """
    folder = Path(folder)
    folder = folder / "emotion" if (folder / "emotion" / "labels.csv").is_file() else folder
    rows = _rows(folder / "labels.csv", COLUMNS)
    if not rows:
        raise LabelError(f"{folder / 'labels.csv'} holds no clips")
    also, curves = folder / "emopia_also_in_pop1k7.csv", read_curves(folder)
    names = {row["clip"] for row in _rows(also, ("clip",))} if also.is_file() else set()
    heard = frozenset(
        f"{row['source']}/{row['song']}" for row in rows if Path(row["path"]).stem in names
    )
    clips = []
    for line, row in enumerate(rows, start=2):
        try:
            values = {name: float(row[name]) if row[name] else None for name in AXES}
            if curve := curves.get(row["path"]):
                values["valence_spread"] = fmean(curve.valence_std)
                values["arousal_spread"] = fmean(curve.arousal_std)
            path, source, song = folder / row["path"], row["source"], row["song"]
            part = part_of(source, song, heard=heard)
            clips.append(LabelledClip(path, source, song, row["quadrant"], part=part, **values))
        except ValueError as error:
            raise LabelError(f"labels.csv, line {line}: {error}") from error
    return clips


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise LabelError(f"{path} lacks the columns {missing}")
            return [{name: row[name] or "" for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read {path}: {error}") from error


def read_notes(clips: Sequence[LabelledClip]) -> list[Notes]:
    """Read the notes of labelled clips.

    Raises:
        ScoreError: If a file cannot be read.
    """
    return [notes_of(read_score(clip.path)) for clip in clips]


def clip_weights(clips: Sequence[LabelledClip]) -> Matrix:
    """Weigh each clip for fitting, shape (n,).

    Each quadrant weighs the same within a source. Otherwise a source with many Q1, as VGMIDI
    is, teaches that its kind of score (quantised, without pedal) is Q1, whatever it plays.
    Clips rated by listeners count three times.
    """
    cells = Counter((clip.source, clip.quadrant) for clip in clips)
    present = Counter(source for source, _ in cells)
    total = Counter(clip.source for clip in clips)
    balance = [
        total[clip.source] / (present[clip.source] * cells[clip.source, clip.quadrant])
        for clip in clips
    ]
    rated = np.array([clip.valence is not None for clip in clips])
    return np.array(balance, dtype=np.float64) * np.where(rated, LISTENER_WEIGHT, 1.0)


def quadrant_shares(clips: Sequence[LabelledClip]) -> Matrix:
    """Make soft labels: the share of people who heard each quadrant, shape (n, 4).

    Where listeners gave values, half is the quadrant of the table and half what their mean and
    spread say about single listeners, taken as normal and independent on the two axes.
    """
    from scipy.stats import norm

    shares = np.eye(4)[[QUADRANTS.index(clip.quadrant) for clip in clips]]
    for row, clip in zip(shares, clips, strict=True):
        if clip.valence is not None and clip.arousal is not None:
            spreads = (clip.valence_spread, clip.arousal_spread)
            deviations = [spread or DEFAULT_LISTENER_SPREAD for spread in spreads]
            positive = norm.cdf(np.divide([clip.valence, clip.arousal], deviations))
            # Of positive and of negative sides, as the quadrant has them.
            sides = np.where(SIGNS > 0, positive, 1.0 - positive)  # (4, 2)
            row[:] = (row + sides.prod(axis=1)) / 2.0
    return shares


@dataclass(frozen=True)
class FittingLabels:
    """What a verifier learns about n clips.

    Attributes:
        shares: Share of people who heard each quadrant, shape (n, 4).
        values: Listeners' valence and arousal, NaN where nobody was asked, shape (n, 2).
        songs: Song of each clip: clips of one song stay on one side of a split.
        weight: How much each clip counts, shape (n,).
    """

    shares: Matrix
    values: Matrix
    songs: Sequence[str]
    weight: Matrix

    def __post_init__(self) -> None:
        n = len(self.songs)
        for name, shape in (("shares", (n, 4)), ("values", (n, 2)), ("weight", (n,))):
            if (own := getattr(self, name)).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {own.shape}")
        if not np.isfinite(self.shares).all():
            raise ValueError("shares must be finite")

    @classmethod
    def of(cls, clips: Sequence[LabelledClip]) -> Self:
        """Derive soft labels, listeners' values, songs and weights from labelled clips."""
        rated = [(clip.valence, clip.arousal) for clip in clips]
        values = np.array(rated, dtype=np.float64).reshape(len(clips), 2)  # None becomes NaN
        songs = [clip.group for clip in clips]
        return cls(quadrant_shares(clips), values, songs, clip_weights(clips))


def song_folds(
    y: Rows, songs: Sequence[str], *, n_folds: int, seed: int
) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows to fit on and the rows to test on, no song being on both sides.

    Classes `y`, shape (n,), are kept balanced.

    Raises:
        ValueError: If there are fewer songs than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_songs = len(set(songs))
    if n_songs < n_folds:
        raise ValueError(f"need at least {n_folds} songs for {n_folds} folds, got {n_songs}")
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    yield from splitter.split(np.zeros(len(y)), y, np.asarray(songs))
