"""MIDI files made in code, for the tests of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import symusic
from symusic.core import ScoreTick

from emomusic.data.clean import Song, clean_stretches
from emomusic.music.notes import Notes, make_notes
from emomusic.music.score import write_score

TPQ = 480


def score_of(
    notes: list[tuple[float, float, int, int]],
    *,
    signatures: tuple[tuple[float, int, int], ...] = ((0, 4, 4),),
    tempo: float = 120.0,
) -> ScoreTick:
    """Return a score of notes given as (onset, duration, pitch, velocity), in beats."""
    score = symusic.Score(TPQ)
    track = symusic.Track("Piano", 0, False)
    track.notes = [
        symusic.Note(round(onset * TPQ), round(duration * TPQ), pitch, velocity)
        for onset, duration, pitch, velocity in notes
    ]
    score.tracks = [track]
    score.time_signatures = [
        symusic.TimeSignature(round(beat * TPQ), top, bottom) for beat, top, bottom in signatures
    ]
    score.tempos = [symusic.Tempo(0, tempo)]
    return score


def notes_at(*played: tuple[float, ...], tempo: float = 90.0) -> Notes:
    """Return notes given as (onset, duration, pitch), in beats, and a velocity if it matters."""
    columns = [np.array(c) for c in zip(*played, strict=True)]
    return make_notes(*columns[:3], *(columns[3:] or [np.full(len(played), 64)]), tempo=tempo)


def song(seed: int, *, n_bars: int = 24, transpose: int = 0) -> ScoreTick:
    """Return a wandering melody over a bass, another for each seed."""
    rng = np.random.default_rng(seed)
    pitch, notes = 72, []
    for step in range(n_bars * 8):
        pitch = int(np.clip(pitch + rng.choice([-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]), 64, 84))
        notes.append((step / 2, 0.5, pitch + transpose, int(rng.integers(40, 100))))
    for bar in range(n_bars):
        notes.append((bar * 4.0, 4.0, 40 + int(rng.integers(0, 12)) + transpose, 60))
    return score_of(notes)


def clean_score(score: ScoreTick, **how: Any) -> Song:
    """Make a score regular: the longest of its stretches."""
    return clean_stretches(score, **{"performed": False, **how})[0]


def write_songs(folder: Path, seeds: range) -> list[Path]:
    """Write songs into a folder and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"song_{seed:03d}.mid" for seed in seeds]
    for seed, path in zip(seeds, paths, strict=True):
        write_score(song(seed), path)
    return paths
