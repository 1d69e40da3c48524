"""Print a MIDI file as the network reads it: python scripts/show_sequence.py FILE [--given ...]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from emomusic.data.packing import pack
from emomusic.data.prepared import prepare_song
from emomusic.data.sources import CorpusFile
from emomusic.model.events import to_events
from emomusic.training.batches import Augmentation, ClipBatches

COMMON = {"drop_all": 0.0, "keep_all": 0.0, "octave": 0.0, "tempo": 0.0}


def main(
    file: Annotated[Path, typer.Argument(help="A MIDI file with bars.")],
    bars: Annotated[int, typer.Option(help="So many bars of it.")] = 4,
    controls: Annotated[float, typer.Option(help="Chance of controls at bars.")] = 0.0,
    given: Annotated[float, typer.Option(help="Chance that notes are given.")] = 0.0,
    gap: Annotated[float, typer.Option(help="Chance of a gap to fill in.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 1,
) -> None:
    """Print one line an event: the tokens that enter together, and which of them are learnt."""
    rows = pack(prepare_song(CorpusFile(file, file.name, "one")), [])
    settings = Augmentation(
        chords=1.0, form=1.0, given=given, gap=gap, bar_controls=controls, **COMMON
    )
    batches = ClipBatches(
        rows, validation=bool(rows.song_is_validation[0]), batch_events=2048, context=2048,
        seed=seed, augmentation=settings,
    )  # fmt: skip
    ids, learnt = batches.sequence(int(batches.clips[0]), np.random.default_rng(seed))
    texts = [*rows.meta["vocabulary"], "SAME"]
    layout = batches.layout
    events = to_events(ids, layout.events, layout.kinds, learnt)
    told = np.append(False, events.learnt[:-1].any(axis=1))
    n_bars = 0
    for own, is_told in zip(np.split(events.rows, events.start[1:]), told, strict=True):
        n_bars += layout.events.bar in own
        if n_bars > bars:
            break
        print("*" if is_told else " ", " ".join(texts[row].removesuffix("_None") for row in own))


if __name__ == "__main__":
    typer.run(main)
