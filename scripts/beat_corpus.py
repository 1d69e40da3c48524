"""Performances whose beats are known: what the beat tracker is fitted to and checked with."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import ScoreError, notes_of, read_score, seconds_at

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

THREE_FOUR = ("pop909", "piano_midi_de", "pianocore", "musetrainer")
"""Sources that hold music in three-four time for piano alone."""


@dataclass(frozen=True)
class Performance:
    """Notes in seconds with their true beats; `downbeats` is none where bars are not known."""

    name: str
    onset_s: FloatArray
    pitch: IntArray
    velocity: IntArray
    beats_s: FloatArray
    downbeats: NDArray[np.bool_] | None
    is_score: bool = False

    def notes(self) -> Notes:
        """Return the notes, whose lengths are not known, and 0 here."""
        length = np.zeros_like(self.onset_s)
        return make_notes(self.onset_s, length, self.pitch, self.velocity, tempo=60.0)


def is_held_back(path: str) -> bool:
    """Tell by a hash of the file's name whether a song is kept from fitting (two in five)."""
    return hashlib.sha256(Path(path).stem.encode()).digest()[0] % 5 < 2


def song_paths(source: Path, *, held_back: bool, notes: Sequence[str] = ("clean44",)) -> list[Path]:
    """List the songs of Pop1K7 on one side of the split, whose bars are noted as given."""
    with (source / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "pop1k7"]
    paths = sorted(row["path"] for row in rows if row["note"] in notes)
    return [source / path for path in paths if is_held_back(path) == held_back]


def read_performance(
    path: Path, *, beats_per_bar: int | None = 4, tempo: float | None = None
) -> Performance:
    """Read notes in seconds, and the beats at every quarter from tick 0.

    A `tempo` replaces that of the file and marks the notes as a score, to be played loosely; then
    only the first track counts (the second of POP909 holds chords that nobody plays).
    """
    score = read_score(path)
    if tempo:
        del score.tracks[1:]
    notes = notes_of(score)
    end = int(np.ceil(notes.onset[-1])) + 1
    beat_s = seconds_at(score, np.arange(end, dtype=np.int64) * score.ticks_per_quarter)
    onset_s = notes.onset_s
    if tempo:
        onset_s = notes.onset * (60.0 / tempo)
        beat_s = np.arange(end, dtype=np.float64) * (60.0 / tempo)
    downbeats = np.arange(end) % beats_per_bar == 0 if beats_per_bar else None
    return Performance(
        path.stem, onset_s, notes.pitch, notes.velocity, beat_s, downbeats, tempo is not None
    )


def excerpt(
    song: Performance, start_s: float, length_s: float, *, stretch: float = 1.0
) -> Performance:
    """Cut a stretch of time out of a performance, and play it slower by a factor."""
    end_s = start_s + length_s
    notes = (song.onset_s >= start_s) & (song.onset_s < end_s)
    beats = (song.beats_s >= start_s) & (song.beats_s < end_s)
    return Performance(
        song.name,
        (song.onset_s[notes] - start_s) * stretch,
        song.pitch[notes],
        song.velocity[notes],
        (song.beats_s[beats] - start_s) * stretch,
        None if song.downbeats is None else song.downbeats[beats],
        song.is_score,
    )


def play_loosely(score: Performance, rng: np.random.Generator) -> Performance:
    """Play quantised notes with a wandering tempo and small errors, as people do.

    The tempo wanders by up to about a tenth; single onsets by 15 ms (Goebl 2001).
    """
    end = max(float(score.onset_s[-1]), float(score.beats_s[-1]), 0.0) + 2.0
    knots = np.arange(0.0, end + 3.0, 2.0)
    wander = np.convolve(rng.normal(0, 0.07, len(knots) + 2), [0.5, 0.7, 0.5], "valid")
    slow = np.cumsum(np.exp(rng.choice([0.1, 0.5, 1.0]) * wander)) * 2.0
    onset = np.interp(score.onset_s, knots, slow)
    onset = np.maximum(onset + rng.normal(0, rng.uniform(0.003, 0.018), len(onset)), 0.0)
    order = np.argsort(onset, kind="stable")
    return replace(
        score,
        onset_s=onset[order],
        pitch=score.pitch[order],
        velocity=score.velocity[order],
        beats_s=np.interp(score.beats_s, knots, slow),
    )


def material(source: Path) -> list[tuple[float, list[Performance]]]:
    """Read what is fitted to, in groups with their share of the draws.

    Pop1K7 with its bars; Pop1K7 whose bars are not known; pop songs as scores (POP909); and
    music in three-four time, which Pop1K7 has none of.
    """
    unsure = song_paths(source, held_back=False, notes=("bar phase uncertain", "three_four_like"))
    return [
        (0.65, [read_performance(path) for path in song_paths(source, held_back=False)]),
        (0.13, [read_performance(path, beats_per_bar=None) for path in unsure]),
        (0.11, scores(source, 4, ("pop909",), held_back=False)),
        (0.11, scores(source, 3, THREE_FOUR, held_back=False)),
    ]


def scores(
    source: Path, beats_per_bar: int, sources: Sequence[str], *, held_back: bool
) -> list[Performance]:
    """Read the scores of some sources whose bars all have so many quarters."""
    with (source / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["source"] in sources]
    rows = [row for row in rows if is_held_back(row["path"]) == held_back]
    found = (
        quantised(source / row["path"], beats_per_bar, float(row["bpm"]) if row["bpm"] else None)
        for row in rows
    )
    return [song for song in found if song]


def quantised(path: Path, beats_per_bar: int, tempo: float | None) -> Performance | None:
    """Read a score if all its bars have so many quarters; at its own tempo if none is given."""
    try:
        score = read_score(path)
    except ScoreError:
        return None
    meters = {(sign.numerator, sign.denominator) for sign in score.time_signatures}
    if meters != {(beats_per_bar, 4)}:
        return None
    song = read_performance(path, beats_per_bar=beats_per_bar, tempo=tempo)
    is_played = len(score.tempos) > 100  # a tempo map that somebody shaped by hand
    return replace(song, is_score=not is_played)
