"""Emotion asked against heard, by judges that selected nothing: first draws and the plane."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from emomusic.compose.request import Request
from emomusic.emotion import QUADRANTS, Emotion
from emomusic.evaluation.judges import Classes, FeatureJudge, Judge, NoVelocity, SequenceJudge
from emomusic.evaluation.rows import (
    Interval,
    Matrix,
    Plot,
    Row,
    Table,
    correlation,
    interval,
    row_of,
    section,
    share,
    spearman,
)
from emomusic.mapping import Mapper
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.verify.calibration import AXES
from emomusic.verify.labels import LabelledClip, clip_weights, read_labels, read_notes

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

NO_VELOCITY, BOTH = "no velocity", "both"
COMPOSED, REAL = "composed", "real EMOPIA"
HALVES = {
    "quadrant": np.array([0, 1, 2, 3]),
    "arousal": np.array([1, 1, 0, 0]),
    "valence": np.array([1, 0, 0, 1]),
}
"""Which quadrants count as the same."""
SIGNS = np.stack([HALVES[axis] for axis in AXES], axis=1).astype(np.float64)
"""What Q1 to Q4 count for valence and for arousal, shape (4, 2)."""
N_GRID_DRAWS = 500
GIVEN = ("tempo",)
"""Attributes that the composer sets itself; they always arrive."""


@dataclass(frozen=True)
class Panel:
    """Hold judges by name, all labelled clips, and the notes of those learnt from (`own`)."""

    judges: Mapping[str, Judge]
    clips: Sequence[LabelledClip]
    notes: Sequence[Notes]

    @property
    def own(self) -> list[LabelledClip]:
        return [clip for clip in self.clips if clip.part == "judge"]

    @property
    def real(self) -> list[LabelledClip]:
        return [clip for clip in self.clips if clip.part == "mapper" and clip.source == "emopia"]


def make_panel(mapper: Mapper, source_dir: Path) -> Panel:
    """Fit judges on the half of the labelled songs that neither mapper nor model saw.

    Two judges are of different kinds; a third hears no velocity. The folder has
    `emotion/labels.csv`.
    """
    if mapper.about.get("songs") != "mapper part":
        raise ValueError("the mapper was fitted on the judges' songs: accuracy would mean nothing")
    clips = read_labels(source_dir)
    own = [clip for clip in clips if clip.part == "judge"]
    notes, quadrant, weight = read_notes(own), [c.quadrant for c in own], clip_weights(own)
    judges = {"features": FeatureJudge(), "sequence": SequenceJudge(), NO_VELOCITY: NoVelocity()}
    fitted = {name: judge.fit(notes, quadrant, weight=weight) for name, judge in judges.items()}
    return Panel(fitted, clips, notes)


def listen(judges: Mapping[str, Judge], notes: Sequence[Notes]) -> dict[str, Matrix]:
    """Return what each judge hears in clips, and `both`, probabilities of shape (n, 4).

    `both` is the mean of all judges but the one without velocity, where there are several.
    """
    heard = {name: judge.predict_proba(notes) for name, judge in judges.items()}
    counted = [probabilities for name, probabilities in heard.items() if name != NO_VELOCITY]
    if len(counted) > 1:
        heard[BOTH] = np.mean(counted, axis=0)
    return heard


def classes_of(quadrants: Sequence[str]) -> Classes:
    """Return quadrants as 0 to 3, shape (n,)."""
    return np.array([QUADRANTS.index(quadrant) for quadrant in quadrants], dtype=np.int64)


def right_rows(truth: Classes, heard: Classes, *, name: str, **by: str) -> Iterator[Row]:
    """Yield how many clips are heard right, with Wilson intervals, and the confusion.

    `truth` is the quadrant asked for or known, `heard` the one heard, 0 to 3, shape (n,) each.
    """
    confusion = np.zeros((4, 4), dtype=np.int64)
    np.add.at(confusion, (truth, heard), 1)
    for axis, half in HALVES.items():
        right = share(int((half[truth] == half[heard]).sum()), len(truth))
        yield row_of(name, right, len(truth), **by, of=axis)
    yield Row("macro F1", macro_f1(confusion), by=by)
    for (i, j), count in np.ndenumerate(confusion):
        of = {"asked": QUADRANTS[i], "heard": QUADRANTS[j]}
        yield Row("confusion", int(count), by={**by, **of})


def macro_f1(confusion: Matrix | Classes) -> float:
    """Return the mean F1 of the quadrants that occur, asked (rows) against heard (columns)."""
    asked, heard = confusion.sum(axis=1), confusion.sum(axis=0)
    f1 = 2.0 * confusion.diagonal() / np.maximum(asked + heard, 1)
    return float(f1[asked > 0].mean())


def quadrants_of(count: int) -> list[str]:
    """Return each quadrant `count` times, one after the other."""
    return [quadrant for quadrant in QUADRANTS for _ in range(count)]


@section(
    "Emotion: asked against heard",
    Table(("heard right", "macro F1"), "of", note=
          "Share right with its 95 % Wilson interval; `both` is the judges' mean probability, "
          "`no velocity` a judge of features that hears none, `majority` answers always the "
          "commonest quadrant of what judges learn from. Nothing is picked."),
    Table(("confusion",), "heard", {"clips": COMPOSED, "judge": BOTH}),
    plots=(Plot("confusion", "heat", "heard", "asked", "clips", {"judge": BOTH}),),
    uses=("count", "bars", "seed", "steering", "labels"),
)  # fmt: skip
def emotion(context: Context) -> Iterator[Row]:
    """Hear the first draws and real clips."""
    panel, count = context.panel, context.settings.count
    commonest = Counter(clip.quadrant for clip in panel.own).most_common(1)[0][0]
    real = read_notes(panel.real), [clip.quadrant for clip in panel.real]
    for what, (notes, asked) in {
        COMPOSED: (context.notes, quadrants_of(count)),
        REAL: real,
    }.items():
        yield from heard_rows(panel.judges, notes, asked, clips=what)
        truth, same = classes_of(asked), classes_of([commonest] * len(asked))
        yield from right_rows(truth, same, name="heard right", clips=what, judge="majority")


def heard_rows(
    judges: Mapping[str, Judge], notes: Sequence[Notes], asked: Sequence[str], **by: str
) -> Iterator[Row]:
    """Yield how many clips each judge, and both, hear in the quadrant asked for or known."""
    for judge, said in listen(judges, notes).items():
        found = said.argmax(axis=1)
        yield from right_rows(classes_of(asked), found, name="heard right", **by, judge=judge)


@section(
    "Emotion over the plane",
    Table(("ρ",), "axis", note=
          "Spearman's ρ between what was asked and what was judged (the probability of the "
          "quadrants on that side), over single clips and over the mean of each point."),
    Table(("judged",), "valence", {"judge": BOTH}, "As `both` judged."),
    plots=(Plot("judged", "heat", "valence", "arousal", "axis", {"judge": BOTH}),),
    uses=("bars", "seed", "steering", "quick", "labels"),
)  # fmt: skip
def grid(context: Context) -> Iterator[Row]:
    """Sweep valence and arousal over the plane; see whether what is judged follows."""
    n, count = context.extent.n_levels, context.extent.n_clips
    levels, cells = np.linspace(-1.0, 1.0, n), []
    requests = [
        Request(Emotion(valence, arousal), n_bars=context.settings.bars)
        for arousal in levels.tolist()
        for valence in levels.tolist()
        for _ in range(count)
    ]
    heard = listen(context.panel.judges, [notes_of(c.score) for c in context.compose(requests)])
    for judge, own in heard.items():
        planes = (own @ SIGNS).reshape(n, n, count, 2)
        for k, axis in enumerate(AXES):
            by, plane = {"judge": judge, "axis": axis}, planes[..., k]
            for over, size in (("clips", plane.size), ("points", n * n)):
                found = grid_rho(levels, plane, axis=axis, of_cells=over == "points")
                yield row_of("ρ", found, size, judge=judge, over=over, axis=axis)
            for (i, j), value in np.ndenumerate(plane.mean(axis=2)[::-1]):
                place = {"arousal": f"{levels[n - 1 - i]:+.2f}", "valence": f"{levels[j]:+.2f}"}
                cells.append(Row("judged", float(value), by={**by, **place}))
    yield from cells


def grid_rho(levels: Matrix, judged: Matrix, *, axis: str, of_cells: bool) -> Interval:
    """Return Spearman's ρ between asked and judged with its 95 % bootstrap interval.

    Clips are drawn anew within each cell, as the grid is given. Drawing adds noise to what is
    noisy already and so lowers ρ: the interval is moved by as much, its median onto the estimate.

    Args:
        levels: Valence, and arousal, of the grid's lines, rising, shape (n_levels,).
        judged: Shape (n_levels arousals, n_levels valences, n_clips).
        of_cells: Over the cells' means instead of single clips. Asked values being tied, seven
            levels allow no more than 0.99 either way.
    """
    n = judged.shape[2]
    cells = dict(zip(AXES, np.meshgrid(levels, levels), strict=True))[axis]
    asked = np.repeat(cells[..., None], n, axis=2)
    which = np.random.default_rng(0).integers(n, size=(N_GRID_DRAWS, *judged.shape))
    drawn = np.take_along_axis(judged[None], which, axis=3)
    if of_cells:
        asked, judged, drawn = cells, judged.mean(axis=2), drawn.mean(axis=3)
    rho = spearman(asked.ravel(), judged.ravel())
    ranks = rankdata(drawn.reshape(N_GRID_DRAWS, -1), axis=1)
    again = correlation(rankdata(asked.ravel())[None], ranks)
    low, high = np.clip(np.array(interval(rho, again)[1:]) - np.median(again) + rho, -1.0, 1.0)
    return Interval(rho, float(low), float(high))


@section(
    "A simpler system under the same judges",
    Table(("heard right",), "of", note=
          "`no controls`: the same network, asked for nothing. Template, recipe of others, judges "
          "of shuffled labels and the best of several are a study (`studies/baselines`)."),
    uses=("count", "bars", "seed", "steering", "labels"),
)  # fmt: skip
def baselines(context: Context) -> Iterator[Row]:
    """Let the judges hear as many clips that were asked for nothing."""
    asked = quadrants_of(context.settings.count)
    free = context.compose([ask_nothing(context.settings.bars)] * len(asked))
    notes = [notes_of(clip.score) for clip in free]
    yield from heard_rows(context.panel.judges, notes, asked, clips="no controls")


def ask_nothing(n_bars: int) -> Request:
    """Return the request for a clip that nothing is asked of."""
    return Request(None, n_bars=n_bars, guidance=1.0)
