"""Labelled clips: reading their table, and which songs may be used for what."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal

from emomusic.emotion.space import QUADRANTS

COLUMNS = ("path", "source", "song", "quadrant", "valence", "arousal")
Part = Literal["mapper", "judge"]


class LabelError(ValueError):
    """Tell in one line why a table of labels cannot be used."""


@dataclass(frozen=True)
class LabelledClip:
    """Name a clip and the emotion that people heard in it.

    Attributes:
        path: Path of its MIDI file.
        source: The collection it is from, such as "emopia".
        song: The song it is cut from; clips of one song stay on one side of a split.
        quadrant: "Q1" to "Q4".
        valence: Mean of the listeners' values in [-1, 1]; None where nobody was asked.
        arousal: The same.
        part: "mapper" or "judge": which half of the songs it belongs to.
        valence_spread: Standard deviation of single listeners' values; None where unknown.
        arousal_spread: The same.
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
        """Check the labels.

        Raises:
            LabelError: If the quadrant is unknown, the song empty or a value outside [-1, 1].
        """
        if self.quadrant not in QUADRANTS:
            raise LabelError(f"quadrant must be one of {QUADRANTS}, got {self.quadrant!r}")
        if not self.song or not self.source:
            raise LabelError(f"{self.path}: source and song must be named")
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if value is not None and not -1.0 <= value <= 1.0:
                raise LabelError(f"{name} must be in [-1, 1], got {value}")

    @property
    def group(self) -> str:
        """Return the name of the song across all sources."""
        return f"{self.source}/{self.song}"


@dataclass(frozen=True)
class Curve:
    """Hold what listeners said over the course of one piece, a value for each measure.

    Attributes:
        duration_s: Length of the recording they heard, seconds.
        valence: Median of their values, in [-1, 1].
        valence_std: Standard deviation of their values.
        arousal: As valence.
        arousal_std: As valence_std.
    """

    duration_s: float
    valence: tuple[float, ...]
    valence_std: tuple[float, ...]
    arousal: tuple[float, ...]
    arousal_std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the lengths and the numbers.

        Raises:
            LabelError: If they differ, are 0, or a number is out of its range.
        """
        columns = (self.valence, self.valence_std, self.arousal, self.arousal_std)
        if len({len(column) for column in columns}) != 1 or not self.valence:
            raise LabelError("a curve needs as many values on each axis, at least one")
        if not 0.0 < self.duration_s < math.inf:
            raise LabelError(f"a curve's duration_s must be above 0, got {self.duration_s}")
        if not all(-1.0 <= value <= 1.0 for value in (*self.valence, *self.arousal)):
            raise LabelError("a curve's valence and arousal must be in [-1, 1]")
        if not all(0.0 <= value < math.inf for value in (*self.valence_std, *self.arousal_std)):
            raise LabelError("a curve's standard deviations must be 0 or more")


def read_curves(folder: str | os.PathLike[str]) -> dict[str, Curve]:
    """Read `vgmidi_curves.json` of a folder of labelled clips: curves by the clips' paths.

    Returns:
        An empty dict where there is no such file.

    Raises:
        LabelError: If it cannot be read or a curve is wrong.
    """
    path = Path(folder) / "vgmidi_curves.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: Curve(
                float(curve["duration_s"]),
                *(tuple(map(float, curve[key])) for key in _CURVE_KEYS),
            )
            for name, curve in content.items()
        }
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(f"cannot read {path}: {error}") from error


_CURVE_KEYS = ("valence", "valence_std", "arousal", "arousal_std")


def part_of(source: str, song: str, *, heard: frozenset[str] = frozenset()) -> Part:
    """Return the half of the songs that a song belongs to, the same on every machine.

    Args:
        source: The collection.
        song: The song in it.
        heard: Songs, as `source/song`, that are always "mapper", because the generator learns
            from the same recording.
    """
    group = f"{source}/{song}"
    digest = hashlib.sha1(group.encode(), usedforsecurity=False).digest()
    return "mapper" if group in heard or digest[0] < 128 else "judge"


def read_labels(folder: str | os.PathLike[str]) -> list[LabelledClip]:
    """Read `labels.csv` of a folder of labelled clips, in the order of its rows.

    Args:
        folder: Holds `labels.csv` (path, source, song, quadrant, valence, arousal) and the files
            it names; or has a folder `emotion` that does. Songs of EMOPIA whose clips are in
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
    heard, curves = _heard_songs(folder, rows), read_curves(folder)
    return [_clip(folder, row, line, heard, curves) for line, row in enumerate(rows, start=2)]


def _rows(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise LabelError(f"{path} lacks the columns {missing}")
            return [{name: row[name] or "" for name in columns} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read {path}: {error}") from error


def _heard_songs(folder: Path, rows: list[dict[str, str]]) -> frozenset[str]:
    path = folder / "emopia_also_in_pop1k7.csv"
    if not path.is_file():
        return frozenset()
    clips = {row["clip"] for row in _rows(path, ("clip",))}
    return frozenset(
        f"{row['source']}/{row['song']}" for row in rows if Path(row["path"]).stem in clips
    )


def _clip(
    folder: Path,
    row: dict[str, str],
    line: int,
    heard: frozenset[str],
    curves: dict[str, Curve],
) -> LabelledClip:
    curve = curves.get(row["path"])
    try:
        return LabelledClip(
            path=folder / row["path"],
            source=row["source"],
            song=row["song"],
            quadrant=row["quadrant"],
            valence=_value(row["valence"]),
            arousal=_value(row["arousal"]),
            part=part_of(row["source"], row["song"], heard=heard),
            valence_spread=None if curve is None else fmean(curve.valence_std),
            arousal_spread=None if curve is None else fmean(curve.arousal_std),
        )
    except ValueError as error:
        raise LabelError(f"labels.csv, line {line}: {error}") from error


def _value(text: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise LabelError(f"valence and arousal must be numbers, got {text!r}")
    return value
