"""What it costs to look at a clip: reading it, its attributes, its verdict."""

from __future__ import annotations

import torch

from benchmarks.measure import Bench
from benchmarks.path.pieces import piece_files
from emomusic.compose.checkpoint import find_checkpoint
from emomusic.music.attributes import measure as measure_attributes
from emomusic.music.attributes import passage_of
from emomusic.music.score import notes_of, read_score, tempo_of
from emomusic.verify.report import examine
from emomusic.verify.verifier import Verifier

NEEDS: tuple[str, ...] = ()
N_FILES = 16


def measure(bench: Bench) -> None:
    """Measure each part on clips of 16 bars, then all of it as `emomusic verify` does it."""
    torch.set_num_threads(bench.threads)
    verifier = Verifier.load(find_checkpoint(bench.checkpoint))
    paths = piece_files(bench.scratch / "clips", N_FILES, n_bars=16)
    scores = [read_score(path) for path in paths]
    notes = [notes_of(score) for score in scores]
    bench.seconds /= 4

    def attributes() -> float:
        for score, played in zip(scores, notes, strict=True):
            measure_attributes(passage_of(played, tempo=tempo_of(score)))
        return N_FILES

    bench.repeat("reading", lambda: len([notes_of(read_score(path)) for path in paths]))
    bench.repeat("attributes", attributes)
    bench.repeat("verdict", lambda: len([verifier.verdict(played) for played in notes]))
    bench.repeat("all of it", lambda: len([examine(path, verifier) for path in paths]))
    bench.memory()
