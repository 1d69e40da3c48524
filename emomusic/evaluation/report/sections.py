"""The sections of an evaluation, each measured from what they share, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emomusic.evaluation.control.joint import rank_correlations
from emomusic.evaluation.control.real import real_music
from emomusic.evaluation.control.run import evaluate_control
from emomusic.evaluation.judged.grid import sweep_plane
from emomusic.evaluation.judged.run import Baselines, evaluate_baselines, evaluate_best_of
from emomusic.evaluation.loss import held_back_losses
from emomusic.evaluation.memory.overlap import memorisation
from emomusic.evaluation.moving.run import measure_moving
from emomusic.evaluation.moving.run import n_composed as n_moving
from emomusic.evaluation.quality.diversity import diversity
from emomusic.evaluation.quality.histograms import QUANTITIES, histograms
from emomusic.evaluation.quality.manifold import manifold
from emomusic.evaluation.quality.music import POP_PIANO
from emomusic.evaluation.quality.overlap import overlap
from emomusic.evaluation.quality.statistics import compare_statistics
from emomusic.evaluation.report.context import Context
from emomusic.evaluation.report.whole import whole_clips
from emomusic.evaluation.shape import composed_shape, real_shape

Result = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """Name a part of the evaluation and say what it depends on.

    Attributes:
        name: Of its file and its heading.
        measure: Returns what was found, as plain values.
        uses: Settings, and `labels` or `rows`, that change what it finds.
        needs_rows: Whether there is none without packed rows.
        by_name: Whether it is measured only where it is asked for by name: it takes minutes.
    """

    name: str
    measure: Callable[[Context], Result]
    uses: tuple[str, ...]
    needs_rows: bool = False
    by_name: bool = False


def emotion(context: Context) -> Result:
    """Hear the first draws and real clips, and the best of several by another judge's choice."""
    draws = context.first_draws()
    s, extent = context.settings, context.extent
    count = max(s.count // extent.best_of_share, 1)
    best = evaluate_best_of(
        context.composer,
        context.panel,
        n_candidates=extent.n_candidates,
        count=count,
        seed=context.other_seed,
        n_bars=s.bars,
        progress=context.counted(4 * count * extent.n_candidates),
    )
    return {
        **draws.to_dict(),
        "best_of": [hearing.to_dict() for hearing in best],
        "rank_correlations": {
            name: round(rho, 4) for name, rho in rank_correlations(draws.clips).items()
        },
    }


def grid(context: Context) -> Result:
    """Sweep valence and arousal over the plane."""
    extent = context.extent
    sweep = sweep_plane(
        context.composer,
        context.panel.judges,
        n_levels=extent.n_levels,
        count=extent.n_clips,
        seed=context.settings.seed,
        n_bars=context.settings.bars,
        progress=context.counted(extent.n_levels**2 * extent.n_clips),
    )
    return sweep.to_dict()


def control(context: Context) -> Result:
    """Ask for each attribute alone, and for several at once, clip-wide and bar by bar."""
    rows = None if context.rows_path is None else context.rows
    clip, bar = evaluate_control(
        context.composer,
        real_music(context.checkpoint, rows=rows),
        design=context.extent.design,
        seed=context.settings.seed,
        n_bars=min(context.settings.bars, context.extent.max_control_bars),
        progress=lambda done, total: context.tell(done, total),
    )
    return {"clip": clip.to_dict(), "bar": bar.to_dict()}


def quality(context: Context) -> Result:
    """Set the first draws beside windows of real songs; what has too few pieces says so."""
    pieces, real = context.pieces, context.real
    pop, emopia = real["pop piano"], real["EMOPIA"]
    labelled = [piece for piece in emopia if piece.quadrant]
    return {
        "n_real": {name: len(own) for name, own in real.items()},
        "manifold": {
            name: _tried(lambda own=own: manifold(pieces, own).to_dict())  # type: ignore[misc]
            for name, own in real.items()
        },
        "diversity": _tried(lambda: diversity(pieces, labelled).to_dict()),
        "statistics": _tried(lambda: compare_statistics(pieces, pop).to_dict()),
        "overlap": _tried(lambda: overlap(pieces, pop).to_dict()),
        "histograms": _tried(
            lambda: {
                name: [
                    histograms(own, name).mean(axis=0).round(5).tolist() for own in (pieces, pop)
                ]
                for name in QUANTITIES
            }
        ),
    }


def _tried(measure: Callable[[], Result]) -> Result:
    """Return what is measured, or why it cannot be: too few pieces, or too short ones."""
    try:
        return measure()
    except ValueError as error:
        return {"left_out": str(error)}


def memory(context: Context) -> Result:
    """Hold the first draws against the training songs, pop piano held back as the floor."""
    held_back = [name for name in POP_PIANO if name in context.rows.meta["sources"]]
    found = memorisation(
        context.notes,
        context.rows,
        sources=held_back or None,
        n_windows=context.extent.n_windows,
        seed=context.settings.seed,
    )
    return {**found.to_dict(), "sources": held_back}


def loss(context: Context) -> Result:
    """Foretell songs held back."""
    found = held_back_losses(
        context.composer.engine, context.rows, max_events=context.extent.max_events
    )
    return found.to_dict()


def baselines(context: Context) -> Result:
    """Let the judges hear simpler systems."""
    s = context.settings
    made_with = json.dumps(context.made_with(("labels",)), sort_keys=True)
    folder = hashlib.sha256(made_with.encode()).hexdigest()[:12]
    given = Baselines(
        context.composer,
        context.checkpoint,
        context.out / "baselines" / folder,
        count=s.count,
        seed=s.seed,
        n_bars=s.bars,
    )
    progress = context.counted(2 * 4 * s.count)
    found = evaluate_baselines(given, context.panel, progress=progress)
    return {"hearings": [hearing.to_dict() for hearing in found]}


def shape(context: Context) -> Result:
    """Count how bars and endings are filled, and which clips are whole."""
    clips = context.clips
    shapes = [composed_shape(clips)]
    if context.rows_path is not None:
        rows = context.rows
        shapes += [real_shape(rows, source) for source in rows.meta["sources"]]
    return {
        "whole": whole_clips(clips, context.out).to_dict(),
        "shapes": [own.to_dict() for own in shapes],
    }


def moving(context: Context) -> Result:
    """Compose along curves, in other moods, other takes and continuations; hear them."""
    extent = context.extent
    how_many = {"n_curves": extent.n_curves, "n_pieces": extent.n_taken_up}
    found = measure_moving(
        context.composer,
        context.panel,
        **how_many,
        seed=context.settings.seed,
        n_bars=context.settings.bars,
        progress=context.counted(n_moving(**how_many)),
    )
    return found.to_dict()


DRAWS = ("count", "bars", "seed", "steering")
SECTIONS = (
    Section("emotion", emotion, (*DRAWS, "quick", "labels")),
    Section("grid", grid, ("bars", "seed", "steering", "quick", "labels")),
    Section("control", control, ("bars", "seed", "steering", "quick", "rows")),
    Section("quality", quality, (*DRAWS, "rows"), needs_rows=True),
    Section("memory", memory, (*DRAWS, "quick", "rows"), needs_rows=True),
    Section("loss", loss, ("quick", "rows"), needs_rows=True),
    Section("baselines", baselines, (*DRAWS, "labels")),
    Section("shape", shape, (*DRAWS, "rows")),
    Section("moving", moving, ("bars", "seed", "steering", "quick", "labels"), by_name=True),
)
"""In the order in which they are measured: the first draws are composed by the first."""
