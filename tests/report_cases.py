"""What an evaluation works on, made in code and small, for the tests of its report."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from judged_cases import make_panel
from midi import song
from synthetic import make_score

from emomusic.compose.composer import Composer
from emomusic.data.clean import clean_score
from emomusic.data.packing import pack
from emomusic.data.prepared import prepare_clean
from emomusic.emotion import QUADRANTS
from emomusic.evaluation.control.asking import Design
from emomusic.evaluation.judged.hearing import Panel
from emomusic.evaluation.report.context import Context, Settings
from emomusic.evaluation.report.extent import Extent
from emomusic.music.score import write_score
from emomusic.training.rows import Rows
from emomusic.verify.labels import LabelledClip

TINY = Extent(
    n_shuffles=1, n_candidates=2, best_of_share=2, n_levels=2, n_clips=1,
    design=Design(
        attributes=("tempo", "register", "mode"), bar_attributes=("register",), n_levels=2,
        n_each=1, n_bar_clips=2, n_sets=1, n_set_clips=2, n_bar_sets=0,
    ),
    max_events=100, n_windows=1,
)  # fmt: skip
SETTINGS = Settings(count=2, bars=5, seed=3, quick=True)


@cache
def some_rows() -> Rows:
    """Return songs of pop piano, of 20 bars; the first of either source held back."""
    names = [
        *((f"emopia/{quadrant}_{quadrant}_0.mid", "emopia") for quadrant in QUADRANTS),
        *((f"pop1k7/{i}.mid", "pop1k7") for i in range(4)),
    ]
    prepared = [
        prepare_clean(clean_score(song(seed, n_bars=20), performed=False), name, source)
        for seed, (name, source) in enumerate(names)
    ]
    return replace(pack(prepared, []), song_is_validation=np.arange(8) % 4 == 0)


def some_panel(folder: Path) -> Panel:
    """Return a panel with real clips: one of each quadrant, of notes high in Q1 only."""
    made = make_panel()
    folder.mkdir(parents=True, exist_ok=True)
    real = []
    for quadrant in QUADRANTS:
        path = folder / f"{quadrant}.mid"
        write_score(make_score([72 if quadrant == "Q1" else 48] * 4), path)
        real.append(LabelledClip(path, "emopia", quadrant, quadrant, None, None, "mapper"))
    return Panel(made.judges, [*made.own, *real], made.notes)


def make_context(
    checkpoint: Path, out: Path, *, settings: Settings = SETTINGS, with_rows: bool = True
) -> Context:
    """Return what a small evaluation works on; its folder is made."""
    out.mkdir(parents=True, exist_ok=True)
    rows_path = out / "rows.npz" if with_rows else None
    if rows_path is not None and not rows_path.is_file():
        some_rows().save(rows_path)
    context = Context(
        Composer(checkpoint), checkpoint, out, out, rows_path=rows_path, settings=settings
    )
    context.panel = some_panel(out / "labelled")
    return context
