"""Measure the beat tracker on songs with known beats that were kept from fitting (Pop1K7)."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import mir_eval
import numpy as np
from beat_corpus import (
    THREE_FOUR,
    Performance,
    excerpt,
    play_loosely,
    read_performance,
    scores,
    song_paths,
)
from numpy.typing import NDArray

from emomusic.music.beat import BeatGrid, to_beats, track_beats

FloatArray = NDArray[np.float64]
Row = dict[str, float]

MEASURES = {
    "f": "beat F-measure (±70 ms)",
    "cmlt": "CMLt",
    "amlt": "AMLt",
    "tempo_8": "tempo within 8 %",
    "tempo_octave_8": "tempo or its half or double within 8 %",
    "downbeat_f": "downbeat F-measure (±70 ms)",
    "phase": "bar phase right",
    "meter": "beats a bar right",
    "on_grid": "onsets within 1/12 beat of a sixteenth",
    "confidence": "confidence",
    "seconds": "seconds to track",
}


def phase_is_right(truth: Performance, grid: BeatGrid) -> bool:
    """Tell whether most true downbeats lie within half a beat of one that was found."""
    assert truth.downbeats is not None
    at = to_beats(truth.beats_s[truth.downbeats], grid)
    return bool(np.mean(np.rint(at) % grid.beats_per_bar == 0) > 0.5)


def measure(truth: Performance, beats_per_bar: int) -> dict[str, float]:
    """Track one excerpt and compare; the first five seconds do not count, as is usual."""
    assert truth.downbeats is not None
    began = time.perf_counter()
    grid = track_beats(truth.notes())
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
        "meter": float(grid.beats_per_bar == beats_per_bar),
        "on_grid": on_grid(truth.onset_s, grid),
        "confidence": grid.confidence,
        "seconds": seconds,
    }


def on_grid(onset_s: FloatArray, grid: BeatGrid) -> float:
    """Return the share of onsets within a twelfth of a beat of a sixteenth (2/3 by chance)."""
    sixteenths = to_beats(onset_s, grid) * 4
    return float(np.mean(np.abs(sixteenths - np.rint(sixteenths)) <= 4 / 12))


def middle(song: Performance, length_s: float) -> Performance:
    """Cut the middle out of a song."""
    centre = (song.onset_s[0] + song.onset_s[-1]) / 2
    return excerpt(song, centre - length_s / 2, length_s)


def interval(values: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean."""
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def summary(rows: list[dict[str, float]]) -> dict[str, Row]:
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
    rng = np.random.default_rng(0)
    waltzes = scores(args.source, 3, THREE_FOUR, held_back=not args.fitted)[: args.max_songs]
    waltzes = [play_loosely(song, rng) if song.is_score else song for song in waltzes]
    tables = {
        "Pop1K7, four-four": table([read_performance(path) for path in paths], 4, args.seconds),
        "scores in three-four, played loosely": table(waltzes, 3, args.seconds),
    }
    if args.json:
        print(json.dumps(tables, indent=1))
        return
    for title, rows in tables.items():
        print(title)
        for key, row in rows.items():
            name = MEASURES[key]
            print(
                f"  {name:40} {row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}] n={row['n']}"
            )


def table(songs: list[Performance], beats_per_bar: int, length_s: float) -> dict[str, Row]:
    """Measure the middles of songs."""
    cuts = [middle(song, length_s) for song in songs]
    return summary([measure(cut, beats_per_bar) for cut in cuts if len(cut.beats_s) >= 16])


if __name__ == "__main__":
    main()
