"""Look inside a checkpoint: what its states tell, and what pushing them does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emomusic.compose.composer import Composer
from emomusic.evaluation.inside.choosing import Candidate, Study, choose, n_chosen_by
from emomusic.evaluation.inside.directions import Direction
from emomusic.evaluation.inside.music import Excerpt, labelled_excerpts
from emomusic.evaluation.inside.probes import N_SHUFFLES, Curve, probe
from emomusic.evaluation.inside.states import mean_states, n_depths, untrained_like
from emomusic.evaluation.inside.steering import n_reported, report
from emomusic.evaluation.inside.trials import Setting, Span, Trial, Writer
from emomusic.evaluation.judged.hearing import make_panel
from emomusic.model.checkpoint import load_model
from emomusic.model.lockstep.engine import TorchEngine
from emomusic.training.rows import Rows
from emomusic.verify.judges import Judge
from emomusic.verify.labels import read_labels

Tell = Callable[[int, int], None]
MAX_SEED = 2**31 - 1
N_CHOICE_CLIPS = 8
MAX_IDS, MAX_CHOICE_IDS = 6_000, 2_500


@dataclass(frozen=True)
class Inside:
    """Hold what the states of a checkpoint tell, and what pushing them does.

    Attributes:
        about: Numbers of clips, songs and seeds.
        curves: What can be read from the states, over depth.
        candidates: Where pushes were tried, by the verifier, on clips that are not reported on.
        trials: What pushes and controls did, by the reporting judges.
        spans: How far apart the ends of each of these lie.
    """

    about: Mapping[str, Any]
    curves: tuple[Curve, ...]
    candidates: tuple[Candidate, ...]
    trials: tuple[Trial, ...]
    spans: tuple[Span, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "about": dict(self.about),
            "curves": [curve.to_dict() for curve in self.curves],
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "trials": [trial.to_dict() for trial in self.trials],
            "spans": [span.to_dict() for span in self.spans],
        }


def measure_inside(
    checkpoint: Path,
    source: Path,
    rows: Rows,
    *,
    judges: Mapping[str, Judge] | None = None,
    count: int = 16,
    seed: int = 0,
    n_bars: int = 8,
    depths: Sequence[int] | None = None,
    n_choice: int = N_CHOICE_CLIPS,
    max_excerpts: int | None = None,
    n_shuffles: int = N_SHUFFLES,
    max_ids: int = MAX_IDS,
    progress: Tell = lambda done, total: None,
) -> Inside:
    """Probe every depth of a checkpoint's network, and steer it there, on one CPU core.

    Probes and directions are learnt on the labelled songs of the mapper's half, read without
    controls; judges learn on the other half. Depth and length of a push are chosen by the
    checkpoint's verifier on clips of another seed than those reported on.

    Args:
        checkpoint: With a mapper and a verifier.
        source: A folder with `emotion/labels.csv`.
        rows: Packed rows that hold the labelled songs.
        judges: Those that report; None fits them.
        count: Clips of each trial.
        seed: Of the clips reported on.
        n_bars: Bars of each clip.
        depths: Where pushes are tried; None takes every second one after the embedding.
        n_choice: Clips of each end by which a depth is chosen.
        max_excerpts: Labelled clips at most, evenly from their order; None takes all.
        n_shuffles: Shuffles of labels.
        max_ids: About how many ids of songs held back are foretold under each push that is
            reported on; at most 2,500 in choosing.
        progress: Called with what is done and what there is to do.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
        ValueError: If the labels or rows hold too little.
    """
    engine = TorchEngine(load_model(checkpoint), device="cpu")
    composer = Composer(checkpoint)
    writer = Writer(Composer(checkpoint, engine=engine), engine, rows)
    labelled = [clip for clip in read_labels(source) if clip.part == "mapper"]
    excerpts = _at_most(labelled_excerpts(rows, labelled), max_excerpts)
    tried = tuple(range(1, n_depths(engine.model), 2)) if depths is None else tuple(depths)
    count_up = _counter(
        2 * len(excerpts) + n_chosen_by(len(tried), n_choice) + n_reported() * count, progress
    )
    states = mean_states(engine.model, excerpts, progress=count_up)
    untrained = TorchEngine(untrained_like(engine.model), device="cpu").model
    curves = probe(
        excerpts,
        states,
        mean_states(untrained, excerpts, progress=count_up),
        rows.meta["attributes"],
        n_shuffles=n_shuffles,
    )
    study = Study(excerpts, states, tried)
    choice = Setting(n_choice, (seed + 1) % MAX_SEED, n_bars, min(max_ids, MAX_CHOICE_IDS))
    candidates, directions = choose(writer, study, choice, progress=count_up)
    if judges is None:
        judges = make_panel(composer.mapper, source).judges
    setting = Setting(count, seed, n_bars, max_ids)
    trials, spans = report(writer, composer, study, directions, setting, judges, progress=count_up)
    return Inside(
        _about(excerpts, setting, choice, directions),
        tuple(curves),
        tuple(candidates),
        tuple(trials),
        tuple(spans),
    )


def _about(
    excerpts: Sequence[Excerpt],
    setting: Setting,
    choice: Setting,
    directions: Sequence[Direction],
) -> dict[str, Any]:
    return {
        "n_excerpts": len(excerpts),
        "n_songs": len({excerpt.group for excerpt in excerpts}),
        "count": setting.count,
        "n_bars": setting.n_bars,
        "seed": setting.seed,
        "choice_count": choice.count,
        "choice_seed": choice.seed,
        "depths": {direction.what: direction.depth for direction in directions},
    }


def _at_most(excerpts: list[Excerpt], n: int | None) -> list[Excerpt]:
    """Return so many excerpts, evenly from their order, which goes by source and quadrant."""
    if n is None or n >= len(excerpts):
        return excerpts
    return [excerpts[at * len(excerpts) // n] for at in range(n)]


def _counter(total: int, progress: Tell) -> Callable[[int], None]:
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        progress(done, total)

    progress(0, total)
    return count
