"""Measure the beat tracker on songs with known beats that were kept from fitting (Pop1K7)."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import mir_eval
import numpy as np
from numpy.typing import NDArray

from emomusic.data.beat_decode import DecodeParams
from emomusic.data.beats import BeatGrid, to_beats, track_beats

sys.path.insert(0, str(Path(__file__).parent))
from fit_beats import Performance, excerpt, read_performance, song_paths

FloatArray = NDArray[np.float64]

MEASURES = {
    "f": "beat F-measure (±70 ms)",
    "cmlt": "CMLt",
    "amlt": "AMLt",
    "tempo_8": "tempo within 8 %",
    "tempo_octave_8": "tempo or its half or double within 8 %",
    "downbeat_f": "downbeat F-measure (±70 ms)",
    "phase": "bar phase right",
    "four": "four beats a bar",
    "confidence": "confidence",
    "seconds": "seconds to track",
}


def phase_is_right(truth: Performance, grid: BeatGrid) -> bool:
    """Tell whether most true downbeats lie within half a beat of a multiple of four beats."""
    assert truth.downbeats is not None
    at = to_beats(truth.beats_s[truth.downbeats], grid)
    return grid.beats_per_bar == 4 and bool(np.mean(np.rint(at) % 4 == 0) > 0.5)


def measure(truth: Performance, params: DecodeParams) -> dict[str, float]:
    """Track one excerpt and compare; the first five seconds do not count, as is usual."""
    assert truth.downbeats is not None
    began = time.perf_counter()
    grid = track_beats(truth.onset_s, truth.pitch, truth.velocity, params=params)
    seconds = time.perf_counter() - began
    true, true_down = (
        mir_eval.beat.trim_beats(times) for times in (truth.beats_s, truth.beats_s[truth.downbeats])
    )
    heard = grid.beats_s <= truth.beats_s[-1] + 0.07
    found, found_down = (
        mir_eval.beat.trim_beats(grid.beats_s[mask]) for mask in (heard, heard & grid.downbeats)
    )
    _, cmlt, _, amlt = mir_eval.beat.continuity(true, found)
    true_tempo = 60 / float(np.median(np.diff(truth.beats_s)))
    ratio = grid.tempo / true_tempo
    return {
        "f": mir_eval.beat.f_measure(true, found),
        "cmlt": cmlt,
        "amlt": amlt,
        "tempo_8": float(abs(ratio - 1) <= 0.08),
        "tempo_octave_8": float(min(abs(ratio * k - 1) for k in (0.5, 1, 2)) <= 0.08),
        "downbeat_f": mir_eval.beat.f_measure(true_down, found_down),
        "phase": float(phase_is_right(truth, grid)),
        "four": float(grid.beats_per_bar == 4),
        "confidence": grid.confidence,
        "seconds": seconds,
    }


def middle(song: Performance, length_s: float) -> Performance:
    """Cut the middle out of a song."""
    centre = (song.onset_s[0] + song.onset_s[-1]) / 2
    return excerpt(song, centre - length_s / 2, length_s)


def interval(values: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def summary(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and interval of each measure."""
    rng = np.random.default_rng(0)
    table = {}
    for key in MEASURES:
        values = np.asarray([row[key] for row in rows])
        low, high = interval(values, rng)
        table[key] = {"mean": float(values.mean()), "low": low, "high": high, "n": len(values)}
    return table


def main() -> None:
    """Parse the command line, measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder with index.csv")
    parser.add_argument("--seconds", type=float, default=35.0, help="length of an excerpt")
    parser.add_argument("--max-songs", type=int, default=None)
    parser.add_argument("--fitted", action="store_true", help="measure the fitted songs instead")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    paths = song_paths(args.source, held_back=not args.fitted)[: args.max_songs]
    cuts = [middle(read_performance(path), args.seconds) for path in paths]
    table = summary([measure(cut, DecodeParams()) for cut in cuts])
    if args.json:
        print(json.dumps(table, indent=1))
        return
    for key, row in table.items():
        name = MEASURES[key]
        print(f"{name:40} {row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n={row['n']}")


if __name__ == "__main__":
    main()
