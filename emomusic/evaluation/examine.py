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


def examine(paths: Iterable[Path], verifier: Verifier | None) -> Iterator[dict[str, Any]]:
    """Examine files.

    Args:
        paths: Files and folders.
        verifier: None measures attributes only.

    Yields:
        For each file `file` and `attributes` (and `verdict`), or `file` and `error`.
    """
    for path in midi_files(paths):
        try:
            yield {"file": str(path), **_examined(path, verifier)}
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
    return (
        f"{name}  {quadrant} p={heard['probabilities'][quadrant]:.2f}  "
        f"valence={heard['valence']:+.2f}  arousal={heard['arousal']:+.2f}  {attributes}"
    )
