"""What each source of a data folder needs before its files can be cleaned."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from symusic.core import ScoreTick

from emomusic.data.clean import SkippedError, Song, clean_score
from emomusic.music.score import read_score

PERFORMED = frozenset({"pop1k7", "vgmidi_unlabelled"})
UNCERTAIN_BARS = {"bar phase uncertain", "three_four_like"}


@dataclass(frozen=True)
class CorpusFile:
    """Name one file of a corpus.

    Attributes:
        path: The MIDI file.
        name: Its path below the data folder: the same on every machine.
        source: Which corpus it is from.
        grid: `bar`, `beat` or `none`: what of the metre the file knows.
        bpm: Its true tempo where the file's is a placeholder, else None.
        note: A remark of the index.
    """

    path: Path
    name: str
    source: str
    grid: str = "bar"
    bpm: float | None = None
    note: str = ""


def corpus_files(folder: Path) -> list[CorpusFile]:
    """List the MIDI files of a data folder: by its `corpus/index.csv`, or all of a plain one.

    Raises:
        ValueError: If the folder holds no MIDI files or its index is damaged.
    """
    index = folder / "corpus" / "index.csv"
    found = list(_indexed(index) if index.is_file() else _plain(folder))
    if not found:
        raise ValueError(f"no MIDI files (.mid, .midi) below {folder}")
    return found


def _indexed(index: Path) -> Iterator[CorpusFile]:
    with index.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                bpm = float(row["bpm"]) if row["bpm"] else None
                path = index.parent / row["path"]
                yield CorpusFile(path, row["path"], row["source"], row["grid"], bpm, row["note"])
            except (KeyError, ValueError) as error:
                raise ValueError(f"{index}: a row cannot be read: {error}") from error


def _plain(folder: Path) -> Iterator[CorpusFile]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in {".mid", ".midi"} and path.is_file():
            yield CorpusFile(path, path.relative_to(folder).as_posix(), folder.name)


def read_song(file: CorpusFile) -> Song:
    """Read and clean one file by the rules of its source.

    Raises:
        ScoreError: If the file is no usable MIDI file.
        SkippedError: If its bars cannot be known.
    """
    if file.grid == "none":
        raise SkippedError("no beat grid")
    if file.note in UNCERTAIN_BARS:
        raise SkippedError(f"bars: {file.note.replace('_', ' ')}")
    score = read_score(file.path)
    if file.source == "pop909":
        score = _first_track(score)
    return clean_score(
        score,
        performed=file.source in PERFORMED,
        metre=(4, 4) if file.source == "pop1k7" else None,
        tempo=file.bpm,
    )


def _first_track(score: ScoreTick) -> ScoreTick:
    """Keep the piano; the second track holds block chords that nobody plays."""
    score = score.copy()
    score.tracks = list(score.tracks)[:1]
    return score
