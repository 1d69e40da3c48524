"""Control: how closely each attribute follows when it alone is asked for.

What is asked for are values that real music shows, as a checkpoint knows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from emomusic.compose.clip import Clip
from emomusic.compose.parse import parse_key
from emomusic.compose.request import Request
from emomusic.compose.token_plan import transposition
from emomusic.evaluation.accuracy import GIVEN
from emomusic.evaluation.rows import (
    Interval,
    Matrix,
    Plot,
    Row,
    Table,
    correlation,
    interval,
    plain_rows,
    row_of,
    section,
    spearman,
)
from emomusic.files import UNREADABLE
from emomusic.mapping import Mapper
from emomusic.music.attributes import attribute, measure, passage_of
from emomusic.music.key import estimate_key
from emomusic.music.score import notes_of

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

END = 0.02
"""The share of real music beyond either end of what is known of an attribute."""
LOWEST, HIGHEST = 0.05, 0.95
N_GRID = 1_001
N_RESAMPLED = 500
KINDS = {False: "clip-wide", True: "bar by bar"}
MAX_STEP_BARS = 4
Values = Mapping[str, Matrix]
"""Of attributes over clips, shape (n_clips, n_values) each: one value, or one a bar."""
Known = Mapping[str, "Distribution"]
"""How attributes are distributed in real music."""


class Design(NamedTuple):
    """Hold how much is asked of each attribute; no names are all that the checkpoint knows."""

    attributes: tuple[str, ...] = ()
    bar_attributes: tuple[str, ...] = ()
    n_levels: int = 8  # values of each
    n_each: int = 3  # clips for each value, clip-wide
    n_bar_clips: int = 60  # for each attribute, bar by bar


@section(
    "Control of each attribute",
    Table(("mean ρ", "worst ρ"), "asked"),
    Table(("ρ", "R² identity", "R² linear", "bin", "one bin"), "name", note=
          "Each attribute is asked for alone, all others free. ρ: Spearman's, with its 95 % "
          "bootstrap interval over clips. bin, one bin: share in the bin asked for, and in it "
          "or one beside. `tempo` is simply set, and not counted. What else moves is a study "
          "of its own (`studies/leakage`)."),
    plots=(Plot("ρ", "bars", "attribute", "asked"),),
    uses=("bars", "seed", "steering", "quick"),
)  # fmt: skip
def control(context: Context) -> Iterator[Row | str]:
    """Ask for each attribute alone, clip-wide and bar by bar."""
    s, design = context.settings, context.extent.design
    known = real_values(context.checkpoint)
    n_bars = min(s.bars, context.extent.max_control_bars)
    rng = np.random.default_rng(np.random.SeedSequence([s.seed, 4]))
    asked: tuple[Values, Values] = (
        sweeps(known[0], design),
        courses(known[1], design, rng, n_bars=n_bars),
    )
    requests = [
        request
        for per_bar, values in enumerate(asked)
        for name, own in values.items()
        for request in requests_of({name: own}, per_bar=bool(per_bar), n_bars=n_bars)
    ]
    clips = iter(context.compose(requests))
    for per_bar, values in enumerate(asked):
        answers = {name: list(islice(clips, len(own))) for name, own in values.items()}
        yield from control_rows(values, answers, known[per_bar], per_bar=bool(per_bar), seed=s.seed)


class Distribution:
    """Tell how one attribute is distributed in real music.

    Args:
        shares: Shares of real music, rising, shape (n,).
        values: The value that each share lies below, never falling, shape (n,).
    """

    def __init__(self, shares: Matrix, values: Matrix) -> None:
        self.edges = np.unique(values[1:-1])  # the distinct inner edges of the bins, rising
        self.grid = np.interp(np.linspace(0, 1, N_GRID), shares, values)
        if len(self.edges) < len(values) - 2:
            seen = np.unique(values)
            self.grid = seen[np.abs(self.grid[:, None] - seen).argmin(axis=1)]

    def levels(self, n_levels: int) -> Matrix:
        """Return distinct values at evenly spaced quantiles, 5 % to 95 %, rising.

        A value that much real music shares counts once, so the others lie evenly; fewer than
        `n_levels` come back where fewer values are known.
        """
        inside = self.grid[round(LOWEST * (N_GRID - 1)) : round(HIGHEST * (N_GRID - 1)) + 1]
        distinct = np.unique(inside)
        at = np.linspace(0, len(distinct) - 1, min(n_levels, len(distinct)))
        return distinct[np.rint(at).astype(np.int64)]

    def bins(self, values: Matrix) -> NDArray[np.int64]:
        """Return the bin of each value, counted over the bins that have a width."""
        return np.searchsorted(self.edges, values, side="right").astype(np.int64)


def real_values(folder: Path) -> tuple[Known, Known]:
    """Return what a checkpoint knows of real music, over clips and over bars.

    The quantiles are the edges of the bins in `tables.json`, each at its share of the corpus;
    beyond the outer ones they reach to the limits of the mapper's targets where these lie
    further (clip-wide), or half a bin on, within what is natural. Attributes are those of the
    tables that the mapper has targets for.
    """
    mapper, path = Mapper.load(folder), folder / "tables.json"
    try:
        tables = json.loads(path.read_text(encoding="utf-8"))
        clips, bars = (
            {
                name: _distribution(name, edges, None if prefix else mapper)
                for name, edges in zip(
                    tables[f"{prefix}attributes"], tables[f"{prefix}edges"], strict=True
                )
                if name in mapper.attributes
            }
            for prefix in ("", "bar_")
        )
        if not (clips and bars):
            raise ValueError("it names no attribute that the mapper has targets for")
    except UNREADABLE as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error
    return clips, bars


def _distribution(name: str, edges: Sequence[float], mapper: Mapper | None) -> Distribution:
    """Return what the inner edges of bins tell, and the mapper's limits where it has some."""
    inner, natural = np.array(edges, dtype=np.float64), attribute(name)
    low, high = (inner[0], inner[-1]) if mapper is None else (mapper.low[name], mapper.high[name])
    first = min(inner[0] - (inner[1] - inner[0]) / 2, low)
    last = max(inner[-1] + (inner[-1] - inner[-2]) / 2, high)
    first = max(first, min(inner[0], natural.low))
    last = min(last, max(inner[-1], natural.high))
    share = np.arange(1, len(inner) + 1) / (len(inner) + 1)
    return Distribution(np.array([END, *share, 1 - END]), np.array([first, *inner, last]))


def sweeps(known: Known, design: Design) -> Values:
    """Return evenly spaced quantiles of real music, each as often, shape (n_clips, 1)."""
    return {
        name: np.repeat(known[name].levels(design.n_levels), design.n_each)[:, None]
        for name in design.attributes or known
    }


def courses(known: Known, design: Design, rng: np.random.Generator, *, n_bars: int) -> Values:
    """Draw values that change at random after every one to four bars, shape (n_clips, n_bars)."""
    found = {}
    for name in design.bar_attributes or known:
        levels, clips = known[name].levels(design.n_levels), []
        for _ in range(design.n_bar_clips):
            values: list[float] = []
            while len(values) < n_bars:
                n_same = int(rng.integers(1, MAX_STEP_BARS + 1))
                values += [float(rng.choice(levels))] * n_same
            clips.append(values[:n_bars])
        found[name] = np.array(clips)
    return found


def requests_of(values: Values, *, per_bar: bool, n_bars: int) -> list[Request]:
    """Return the request for each clip: these values and nothing else."""
    clips = zip(*(column.tolist() for column in values.values()), strict=True)
    asked = [dict(zip(values, map(tuple, own), strict=True)) for own in clips]
    if per_bar:
        return [Request(None, per_bar=own, n_bars=n_bars) for own in asked]
    fixed = [{name: value for name, (value,) in own.items()} for own in asked]
    return [Request(None, fixed=own, n_bars=n_bars) for own in fixed]


def achieved_values(clips: Sequence[Clip], names: Sequence[str], *, per_bar: bool) -> Values:
    """Measure attributes of clips, or of each of their bars."""
    found = [_bar_values(clip, names) if per_bar else [clip.achieved] for clip in clips]
    return {name: np.array([[bar[name] for bar in bars] for bars in found]) for name in names}


def _bar_values(clip: Clip, names: Sequence[str]) -> list[Mapping[str, float]]:
    notes, n_beats = notes_of(clip.score), clip.metre.quarters
    key = estimate_key(notes)
    bars = (
        passage_of(notes, start=start, n_beats=n_beats, tempo=clip.tempo, key=key)
        for start in n_beats * np.arange(clip.n_bars)
    )
    return [measure(bar, tuple(names)) for bar in bars]


def control_rows(
    asked: Values,
    clips: Mapping[str, Sequence[Clip]],
    known: Known,
    *,
    per_bar: bool,
    seed: int = 0,
) -> Iterator[Row | str]:
    """Yield how each attribute follows on the clips that it alone was asked of, and the mean.

    Attributes are measured on clips of their own, so for the mean the squares of their intervals
    add up.
    """
    by, rho = {"asked": KINDS[per_bar]}, []
    for name, own in clips.items():
        achieved = achieved_values(own, [name], per_bar=per_bar)[name]
        # The model writes in C; the clip is moved afterwards, by so many semitones.
        shift = np.array([transposition(parse_key(clip.key)[0]) for clip in own])
        moved = shift[:, None] * attribute(name).per_semitone
        followed = list(
            following(
                asked[name], achieved, known[name], moved=moved, seed=seed,
                by={**by, "attribute": name},
            )
        )  # fmt: skip
        yield from followed
        rho += followed[:1] if name not in GIVEN else []
    value, low, high = np.array([(row.value, row.low, row.high) for row in rho], float).T
    mean, half = float(value.mean()), float(np.linalg.norm((high - low) / 2)) / len(rho)
    yield row_of("mean ρ", Interval(mean, mean - half, min(mean + half, 1.0)), len(rho), **by)
    worst = int(value.argmin())
    yield row_of("worst ρ", Interval(value[worst], low[worst], high[worst]), 1, **by)
    yield f"Worst {by['asked']}: {rho[worst].by['attribute']}."


def following(
    asked: Matrix,
    achieved: Matrix,
    distribution: Distribution,
    *,
    by: Mapping[str, str],
    moved: Matrix | float = 0.0,
    seed: int = 0,
) -> Iterator[Row]:
    """Yield how closely one attribute follows, values of shape (n_clips, n_values).

    `R² identity`: 1 less the squared distance of achieved from asked, as a share of the variance
    of achieved; at most 1, below 0 where the mean would tell more. `R² linear`: the share that a
    straight line over asked explains. Bins, those of `distribution`, hold in C, in which the
    model writes; `moved` is what both have moved by since. The bootstrap draws whole clips.
    """
    bins = [distribution.bins((values - moved).ravel()) for values in (asked, achieved)]
    away = np.abs(bins[0] - bins[1])
    n, x, y = len(asked), asked.ravel(), achieved.ravel()
    drawn = np.random.default_rng(seed).integers(n, size=(N_RESAMPLED, n))
    ranks = [rankdata(side[drawn].reshape(N_RESAMPLED, -1), axis=1) for side in (asked, achieved)]
    yield row_of("ρ", interval(spearman(x, y), correlation(*ranks)), n, **by)
    total = float(((y - y.mean()) ** 2).sum())
    measures = {
        "R² identity": 1.0 - float(((y - x) ** 2).sum()) / total if total > 0 else 0.0,
        "R² linear": correlation(x, y) ** 2,
        "bin": (away == 0).mean(),
        "one bin": (away <= 1).mean(),
    }
    yield from plain_rows(measures, **by)
