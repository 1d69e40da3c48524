"""Look at MIDI files one by one: attributes and, with a verifier, the verdict."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emomusic.music.attributes import measure
from emomusic.music.passage import passage_of
from emomusic.music.score import ScoreError, notes_of, read_score, tempo_of
from emomusic.verify.verifier import Verifier

SUFFIXES = (".mid", ".midi")


def midi_files(paths: Iterable[Path]) -> Iterator[Path]:
    """List the files named, and the MIDI files below the folders named, in order."""
    for path in paths:
        if path.is_dir():
            yield from _below(path)
        else:
            yield path


def _below(folder: Path) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(SUFFIXES):
                yield Path(directory) / name


def examine(
    paths: Iterable[Path],
    verifier: Verifier | None,
    *,
    explained: bool = False,
    pictures: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Examine files.

    Args:
        paths: Files and folders.
        verifier: None measures attributes only.
        explained: Tell what moved the verdict, and where in the piece.
        pictures: A folder for a picture of each explanation, named as the file; made if missing.

    Yields:
        For each file `file` and `attributes` (and `verdict`, `explanation`, `course`, `picture`),
        or `file` and `error`.

    Raises:
        ImportError: If pictures are wanted and matplotlib is not installed.
        OSError: If a picture cannot be written.
    """
    for path in midi_files(paths):
        try:
            record = {"file": str(path), **_examined(path, verifier)}
            if verifier is not None and (explained or pictures is not None):
                record |= _explained(path, verifier, pictures)
            yield record
        except ScoreError as error:
            yield {"file": str(path), "error": str(error)}


def _examined(path: Path, verifier: Verifier | None) -> dict[str, Any]:
    score = read_score(path)
    notes = notes_of(score)
    attributes = measure(passage_of(notes, tempo=tempo_of(score)))
    record: dict[str, Any] = {}
    if verifier is not None:
        record["verdict"] = asdict(verifier.verdict(notes))
    record["attributes"] = attributes
    return record


def _explained(path: Path, verifier: Verifier, pictures: Path | None) -> dict[str, Any]:
    """Return the explanation of a file, and where its picture is if one is wanted."""
    from emomusic.verify.explanation.where import explain_score

    score = read_score(path)
    explanation, course = explain_score(score, verifier)
    found: dict[str, Any] = {"explanation": explanation.to_dict(), "course": course.to_dict()}
    if pictures is not None:
        from emomusic.verify.explanation.drawing import draw_explanation

        pictures.mkdir(parents=True, exist_ok=True)
        target = free_name(pictures / f"{path.stem}.png")
        draw_explanation(notes_of(score), explanation, course, target)
        found["picture"] = str(target)
    return found


def free_name(path: Path) -> Path:
    """Return the path, or one with a number before its ending if there is such a file."""
    tried, number = path, 1
    while tried.exists():
        number += 1
        tried = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return tried


def told(record: dict[str, Any]) -> str:
    """Return a record as one line for people."""
    name = repr(record["file"])[1:-1] if not record["file"].isprintable() else record["file"]
    if "error" in record:
        return f"{name}: {record['error']}"
    attributes = "  ".join(f"{name}={value:.4g}" for name, value in record["attributes"].items())
    if "verdict" not in record:
        return f"{name}  {attributes}"
    heard = record["verdict"]
    quadrant = heard["quadrant"]
    head = (
        f"{name}  {quadrant} p={heard['probabilities'][quadrant]:.2f}  "
        f"valence={heard['valence']:+.2f}±{heard['valence_sd']:.2f}  "
        f"arousal={heard['arousal']:+.2f}±{heard['arousal_sd']:.2f}"
    )
    if "explanation" not in record:
        return f"{head}  {attributes}"
    lines = [head, f"  {record['explanation']['sentence']}"]
    if record["course"]["sentence"]:
        lines.append(f"  {record['course']['sentence']}")
    if "picture" in record:
        lines.append(f"  picture: {record['picture']}")
    return "\n".join(lines)
