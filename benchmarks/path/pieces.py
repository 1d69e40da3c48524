"""MIDI files to measure with, made here: chords below, a melody above, in 4/4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from symusic.core import (
    NoteTick,
    NoteTickList,
    ScoreTick,
    TempoTick,
    TempoTickList,
    TimeSignatureTick,
    TimeSignatureTickList,
    TrackTick,
    TrackTickList,
)

from emomusic.music.score import write_score

QUARTER = 480
SCALE = (0, 2, 4, 5, 7, 9, 11)
DEGREES = (0, 3, 4, 5)


def piece(seed: int, *, n_bars: int) -> ScoreTick:
    """Return a piece of about twelve notes a bar, always the same for a seed."""
    rng = np.random.default_rng(seed)
    tonic, tempo = int(rng.integers(-5, 7)), float(rng.integers(70, 140))
    notes = []
    for bar in range(n_bars):
        start, degree = 4 * QUARTER * bar, int(rng.choice(DEGREES))
        for step in (0, 2, 4):
            pitch = 48 + tonic + SCALE[(degree + step) % 7]
            notes.append(NoteTick(start, 4 * QUARTER, pitch, int(rng.integers(40, 70))))
        for eighth in sorted(rng.choice(8, size=int(rng.integers(6, 9)), replace=False).tolist()):
            pitch = 72 + tonic + SCALE[int(rng.integers(7))]
            onset, velocity = start + eighth * QUARTER // 2, int(rng.integers(60, 110))
            notes.append(NoteTick(onset, QUARTER // 2, pitch, velocity))
    score = ScoreTick(QUARTER)
    track = TrackTick("Piano", 0, False)
    track.notes = NoteTickList(notes)
    score.tracks = TrackTickList([track])
    score.tempos = TempoTickList([TempoTick(0, tempo)])
    score.time_signatures = TimeSignatureTickList([TimeSignatureTick(0, 4, 4)])
    return score


def piece_files(folder: Path, count: int, *, n_bars: int) -> list[Path]:
    """Write pieces as MIDI files, unless they are there, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"piece_{seed:04d}.mid" for seed in range(count)]
    for seed, path in enumerate(paths):
        if not path.is_file():
            write_score(piece(seed, n_bars=n_bars), path)
    return paths
