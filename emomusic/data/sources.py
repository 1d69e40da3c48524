"""What each source of a data folder needs before its files can be cleaned."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from symusic.core import ScoreTick

from emomusic.data.beats import track_beats
from emomusic.data.clean import SkippedError, Song, clean_performance, clean_score
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of, read_score
from emomusic.verify.labels import read_labels

PERFORMED = frozenset({"pop1k7", "vgmidi_unlabelled", "vgmidi"})
MIN_CONFIDENCE = 0.5
"""A tracked performance is used from this chance on that its beats are right."""
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

    Of labelled clips (`emotion/labels.csv`) only the songs of the mapper's part are listed, so
    that the model has not heard those that judge it.

    Raises:
        ValueError: If the folder holds no MIDI files or its index is damaged.
    """
    index = folder / "corpus" / "index.csv"
    found = list(_indexed(index) if index.is_file() else _plain(folder))
    if index.is_file() and (folder / "emotion" / "labels.csv").is_file():
        found += _labelled(folder)
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


def _labelled(folder: Path) -> list[CorpusFile]:
    return [
        CorpusFile(
            clip.path,
            clip.path.relative_to(folder).as_posix(),
            clip.source,
            "none" if clip.source == "emopia" else "bar",
        )
        for clip in read_labels(folder)
        if clip.part == "mapper"
    ]


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
    if file.note in UNCERTAIN_BARS:
        raise SkippedError(f"bars: {file.note.replace('_', ' ')}")
    score = read_score(file.path)
    if file.grid == "none":
        return track_song(notes_of(score))
    if file.source == "pop909":
        score = _first_track(score)
    return clean_score(
        score,
        performed=file.source in PERFORMED,
        metre=(4, 4) if file.source == "pop1k7" else None,
        tempo=file.bpm,
    )


def track_song(notes: Notes, *, min_confidence: float = MIN_CONFIDENCE) -> Song:
    """Find the beats of a performance, and clean it by them.

    Raises:
        SkippedError: If the tracker is not confident enough, or less than 4 bars are left.
    """
    grid = track_beats(notes.onset_s, notes.pitch, notes.velocity, notes.duration_s)
    if grid.confidence < min_confidence:
        raise SkippedError("beats not found with confidence")
    return clean_performance(notes, grid)


def _first_track(score: ScoreTick) -> ScoreTick:
    """Keep the piano; the second track holds block chords that nobody plays."""
    score = score.copy()
    score.tracks = list(score.tracks)[:1]
    return score
