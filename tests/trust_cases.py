"""A folder of labelled clips made in code, whose emotion can be heard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import symusic

N_SONGS = 40
"""Of each source."""


def write_clip(path: Path, quadrant: str, rng: np.random.Generator, *, seconds: float) -> None:
    """Write a clip: thirds tell valence, gaps arousal."""
    score = symusic.Score(480)
    track = symusic.Track()
    third = 4 if quadrant in ("Q1", "Q4") else 3
    gap = 240 if quadrant in ("Q1", "Q2") else 720
    for k in range(int(seconds * 960 / gap)):
        pitch = 60 + int(rng.choice([0, third, 7, -12]))
        track.notes.append(symusic.Note(k * gap, gap, pitch, int(rng.integers(40, 90))))
    score.tracks.append(track)
    path.write_bytes(score.dumps_midi())


def write_folder(folder: Path) -> None:
    """Write clips, labels.csv and listeners' curves: EMOPIA with a split, VGMIDI with values."""
    rng = np.random.default_rng(0)
    lines = ["path,source,song,quadrant,split,valence,arousal"]
    curves = {}
    for source, value in (("emopia", ""), ("vgmidi", "0.2")):
        for k in range(N_SONGS):
            quadrant = f"Q{k % 4 + 1}"
            name = f"{source}{k}.mid"
            write_clip(folder / name, quadrant, rng, seconds=10.0)
            signs = ("-" if quadrant in ("Q2", "Q3") else "", "-" if k % 4 > 1 else "")
            values = [f"{sign}{value}" if value else "" for sign in signs]
            split = "val" if k >= N_SONGS - 4 and not value else "train"
            lines.append(f"{name},{source},{k},{quadrant},{split},{','.join(values)}")
            if value:
                valence, arousal = (
                    [float(one) + 0.01 * bar for bar in range(20)] for one in values
                )
                curves[name] = {
                    "duration_s": 10.0,
                    "valence": valence,
                    "arousal": arousal,
                    "valence_std": [0.2] * 20,
                    "arousal_std": [0.3] * 20,
                }
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "vgmidi_curves.json").write_text(json.dumps(curves))
