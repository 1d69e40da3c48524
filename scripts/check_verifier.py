"""Measure how often the verifier and the judges are right about songs they never heard."""

from __future__ import annotations

import argparse
import json
import sys

import torch

from emomusic.verify.checks import Check, Result
from emomusic.verify.labels import read_labels


def main() -> int:
    """Read the command line, check, show; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--source",
        required=True,
        metavar="DIR",
        help="folder with labels.csv or emotion/labels.csv",
    )
    parser.add_argument("--folds", type=int, default=5, help="song-grouped folds (5)")
    parser.add_argument("--seeds", type=int, default=3, help="repetitions (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        clips = read_labels(arguments.source)
        check = Check(clips, n_folds=arguments.folds, n_seeds=arguments.seeds)
        if not arguments.json:
            print(_HEAD)
        for result in check.results():
            print(json.dumps(result.as_dict()) if arguments.json else _line(result), flush=True)
    except ValueError as error:
        print(f"check_verifier: {error}", file=sys.stderr)
        return 2
    return 0


_HEAD = f"{'what':50} {'source':8} {'n':>5}    4Q  95 % interval      A     V   ECE  listeners V, A"


def _line(result: Result) -> str:
    heard = (result.listener_valence, result.listener_arousal)
    listeners = "  ".join("" if value is None else f"{value:.2f}" for value in heard)
    return (
        f"{result.what:50} {result.source:8} {result.n:5} {result.quadrant:5.3f} "
        f"{result.quadrant_low:5.3f} to {result.quadrant_high:5.3f} {result.arousal:5.3f} "
        f"{result.valence:5.3f} {result.calibration_error:5.3f}  {listeners}"
    )


if __name__ == "__main__":
    sys.exit(main())
