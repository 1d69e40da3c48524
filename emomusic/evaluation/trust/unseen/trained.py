"""The trained verifier of a checkpoint on the labelled clips of any folder."""

from __future__ import annotations

import csv
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emomusic.emotion.space import QUADRANTS
from emomusic.evaluation.trust.bench.corpus import folder_of
from emomusic.evaluation.trust.measures.scores import Scores, Truth, score
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.verify.labels import LabelError
from emomusic.verify.store import FILE_NAME
from emomusic.verify.verifier import Predictions, Verdict, Verifier

NEEDED = ("path", "source", "song")
N_LOADS = 3


@dataclass(frozen=True)
class Labelled:
    """Hold one row of a table of labels.

    Attributes:
        path: Of the MIDI file.
        source: Collection.
        group: Song across all sources.
        y: Quadrant, 0 to 3; -1 where none is told.
        rated: Valence and arousal, NaN where not told.
    """

    path: Path
    source: str
    group: str
    y: int
    rated: tuple[float, float]


@dataclass(frozen=True)
class Trained:
    """Hold how the trained verifier did.

    Attributes:
        checkpoint: Name of its folder.
        data: Name of the folder of clips.
        scores: By source; "all" where there are several.
        shares: How often each quadrant was said, by source.
        skipped: Number of clips left out, by reason.
        skipped_clips: Their names and reasons, the first twenty.
        n: Clips heard.
        clips_per_second: Heard in one process, files read before.
        clips_per_second_with_reading: The same, reading the files too.
        load_s: Seconds to load the verifier, median of three.
        first_load_s: Of the first of them.
        size_bytes: Of its file.
    """

    checkpoint: str
    data: str
    scores: dict[str, Scores]
    shares: dict[str, list[float]]
    skipped: dict[str, int]
    skipped_clips: tuple[tuple[str, str], ...]
    n: int
    clips_per_second: float
    clips_per_second_with_reading: float
    load_s: float
    first_load_s: float
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        plain = {k: round(v, 4) if isinstance(v, float) else v for k, v in vars(self).items()}
        return {
            **plain,
            "scores": {name: one.to_dict() for name, one in self.scores.items()},
            "skipped_clips": [list(pair) for pair in self.skipped_clips],
        }


def check_trained(
    data: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] = lambda n_done, n: None,
) -> Trained:
    """Let the verifier of a checkpoint hear all clips of a folder.

    A clip whose row or file cannot be used is counted, with the reason. A row may lack the
    quadrant, or valence and arousal; what it has is used.

    Args:
        data: Folder with `labels.csv` (path, source, song, and quadrant, valence, arousal where
            known), or with a folder `emotion` that has it.
        checkpoint: Folder of the verifier, or its file.
        progress: Called with how many clips were heard and how many there are.

    Raises:
        LabelError: If the table cannot be read, lacks a column, or no clip of it can be used.
        VerifierError: If there is no verifier.
    """
    verifier, loads = _loaded(checkpoint)
    rows, skipped = labelled_rows(data)
    begun = time.perf_counter()
    read, notes = [], []
    for row in rows:
        try:
            notes.append(notes_of(read_score(row.path)))
            read.append(row)
        except ScoreError as error:
            skipped.append((row.path.name, str(error)))
    reading = time.perf_counter() - begun
    if not read:
        reason = skipped[0][1] if skipped else "it is empty"
        raise LabelError(f"no clip of {folder_of(data) / 'labels.csv'} can be used: {reason}")
    verdicts, hearing = _heard(verifier, notes, progress)
    path = Path(checkpoint)
    file = path / FILE_NAME if path.is_dir() else path
    return Trained(
        checkpoint=path.resolve().name,
        data=Path(data).resolve().name,
        **_scored(read, verdicts),
        skipped=dict(Counter(_kind(reason) for _, reason in skipped)),
        skipped_clips=tuple(skipped[:20]),
        n=len(read),
        clips_per_second=len(read) / hearing,
        clips_per_second_with_reading=len(read) / (hearing + reading),
        load_s=float(np.median(loads)),
        first_load_s=loads[0],
        size_bytes=file.stat().st_size,
    )


def _loaded(checkpoint: str | os.PathLike[str]) -> tuple[Verifier, list[float]]:
    seconds = []
    for _ in range(N_LOADS):
        begun = time.perf_counter()
        verifier = Verifier.load(checkpoint)
        seconds.append(time.perf_counter() - begun)
    return verifier, seconds


def _heard(
    verifier: Verifier, notes: list[Notes], progress: Callable[[int, int], None]
) -> tuple[list[Verdict], float]:
    verifier.verdict(notes[0])
    begun, verdicts = time.perf_counter(), []
    for clip in notes:
        verdicts.append(verifier.verdict(clip))
        progress(len(verdicts), len(notes))
    return verdicts, time.perf_counter() - begun


def _scored(rows: list[Labelled], verdicts: list[Verdict]) -> dict[str, Any]:
    probabilities = np.array([[v.probabilities[q] for q in QUADRANTS] for v in verdicts])
    values = np.array([[v.valence, v.arousal] for v in verdicts])
    spreads = np.array([[v.valence_sd, v.arousal_sd] for v in verdicts])
    answers = (probabilities, values, spreads, np.array([v.trust for v in verdicts]))
    truth = Truth(
        np.array([row.y for row in rows], dtype=np.int64),
        np.array([row.rated for row in rows], dtype=np.float64),
        tuple(row.group for row in rows),
    )
    sources = np.array([row.source for row in rows])
    names = sorted(set(sources.tolist()))
    places = {name: np.flatnonzero(sources == name) for name in names}
    if len(names) > 1:
        places["all"] = np.arange(len(rows))
    return {
        "scores": {
            name: score([Predictions(*(of[own] for of in answers))], truth.take(own))
            for name, own in places.items()
        },
        "shares": {
            name: np.bincount(probabilities[own].argmax(axis=1), minlength=4).tolist()
            for name, own in places.items()
        },
    }


def _kind(reason: str) -> str:
    """Return a reason without what differs from clip to clip."""
    return reason.partition(":")[0].partition(", got")[0]


def labelled_rows(
    data: str | os.PathLike[str],
) -> tuple[list[Labelled], list[tuple[str, str]]]:
    """Read the table of a folder of labelled clips, leniently.

    Returns:
        Its usable rows, and for each other one its clip and why it cannot be used.

    Raises:
        LabelError: If the table cannot be read or lacks a column.
    """
    folder = folder_of(data)
    table = folder / "labels.csv"
    found: list[Labelled] = []
    skipped: list[tuple[str, str]] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise LabelError(f"{table} lacks the columns {missing}")
            for row in reader:
                try:
                    found.append(_row(folder, row))
                except ValueError as error:
                    skipped.append((Path(row["path"] or "").name, str(error)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"cannot read {table}: {error}") from error
    return found, skipped


def _row(folder: Path, row: dict[str, Any]) -> Labelled:
    named = [(row[name] or "").strip() for name in NEEDED]
    if not all(named):
        raise ValueError("path, source and song must be named")
    quadrant = (row.get("quadrant") or "").strip()
    if quadrant and quadrant not in QUADRANTS:
        raise ValueError(f"quadrant must be one of {', '.join(QUADRANTS)}, got {quadrant!r}")
    valence, arousal = (_value(row.get(name) or "") for name in ("valence", "arousal"))
    if not quadrant and np.isnan([valence, arousal]).all():
        raise ValueError("neither a quadrant nor valence or arousal is told")
    y = QUADRANTS.index(quadrant) if quadrant else -1
    path, source, song = named
    return Labelled(folder / path, source, f"{source}/{song}", y, (valence, arousal))


def _value(text: str) -> float:
    try:
        value = float(text) if text.strip() else float("nan")
    except ValueError:
        value = 2.0
    if not (np.isnan(value) or -1.0 <= value <= 1.0) or text.strip().lower() == "nan":
        raise ValueError(f"valence and arousal must be numbers in [-1, 1], got {text!r}")
    return value
