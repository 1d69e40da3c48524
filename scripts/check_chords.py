"""Measure how far the chords found in notes are those that POP909-CL and Pop1K7 come with."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from beat_corpus import is_held_back

from emomusic.data.chord_labels import agreement
from emomusic.data.clean import SkippedError
from emomusic.data.sources import CorpusFile, read_song
from emomusic.music.chords import UNKNOWN, find_chords
from emomusic.music.score import ScoreError, notes_of

PARTS = ((0.0, "all"), (0.5, "sure"))


def main() -> None:
    """Print a line for each source and chance from which chords are counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder of index.csv")
    parser.add_argument("--songs", type=int, default=200, help="of each source, held back ones")
    options = parser.parse_args()
    with (options.corpus / "index.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if is_held_back(row["path"])]
    print(f"{'source':8}{'songs':>6} {'chords':7}{'share':>7}{'root':>7}{'third':>7}{'exact':>7}")
    for source in ("pop909", "pop1k7"):
        own = [row for row in rows if row["source"] == source][: options.songs]
        told = [pair for pair in (_chords(options.corpus, row) for row in own) if pair]
        given, found, chance = (np.concatenate(column) for column in zip(*told, strict=True))
        for least, name in PARTS:
            counted = chance >= least
            counts = np.array(agreement(given[counted], found[counted]))
            shares = [counts[0] / (given != UNKNOWN).sum(), *(counts[1:] / counts[0])]
            told_shares = "".join(f"{share:7.3f}" for share in shares)
            print(f"{source:8}{len(told):6} {name:7}{told_shares}")


def _chords(corpus: Path, row: dict[str, str]) -> tuple[np.ndarray, ...] | None:
    file = CorpusFile(corpus / row["path"], row["path"], row["source"], note=row["note"])
    try:
        song = read_song(file)
    except (ScoreError, SkippedError):
        return None
    if song.given_chords is None:
        return None
    lines = np.concatenate([[0.0], np.cumsum(song.bar_beats)])
    found, chance = find_chords(notes_of(song.score), lines)
    return song.given_chords.reshape(-1), found.reshape(-1), chance.reshape(-1)


if __name__ == "__main__":
    main()
