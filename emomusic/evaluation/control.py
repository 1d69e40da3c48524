"""Control: how closely each attribute follows when it is asked for, and what else moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from emomusic.compose.clip import Clip
from emomusic.compose.parse import parse_key
from emomusic.compose.request import DEFAULT_BARS, Request
from emomusic.compose.token_plan import transposition
from emomusic.evaluation.accuracy import GIVEN
from emomusic.evaluation.real_music import Distribution, RealMusic, real_music
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
    spearman,
)
from emomusic.music.attributes import attribute, measure, passage_of
from emomusic.music.key import estimate_key
from emomusic.music.score import notes_of

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

N_RESAMPLED, MAX_TURNS = 500, 20
KINDS = {False: "clip-wide", True: "bar by bar"}
MAX_STEP_BARS = 4
MAX_TRIES = 500
N_FINE = 64
"""Levels of each of several attributes that are asked for at once, clip-wide."""
TOGETHER = 3
Values = Mapping[str, Matrix]
"""Of attributes over clips, shape (n_clips, n_values) each: one value, or one a bar."""


@dataclass(frozen=True)
class Design:
    """Hold how much is asked; the defaults make about 1,500 clips.

    Attributes:
        attributes: Those asked for clip-wide; none means all that the checkpoint knows.
        bar_attributes: Those asked for bar by bar, in the same way.
        n_levels: Values of each attribute, clip-wide; and of each bar attribute.
        n_each: Clips for each value.
        n_bar_clips: Clips for each bar attribute.
        n_sets: Sets of three attributes asked for at once, clip-wide.
        n_set_clips: Clips for each such set.
        n_bar_sets: Sets of three bar attributes asked for at once.
        n_bar_set_clips: Clips for each such set.
    """

    attributes: tuple[str, ...] = ()
    bar_attributes: tuple[str, ...] = ()
    n_levels: int = 8
    n_each: int = 3
    n_bar_clips: int = 60
    n_sets: int = 8
    n_set_clips: int = 50
    n_bar_sets: int = 7
    n_bar_set_clips: int = 20


FULL = Design()
QUICK = Design(
    n_levels=4, n_each=1, n_bar_clips=3, n_sets=2, n_set_clips=8, n_bar_sets=2, n_bar_set_clips=4
)


class AskedValues(NamedTuple):
    """Hold the values asked of some clips, all else free; several attributes to see leakage."""

    values: Values
    per_bar: bool

    def requests(self, n_bars: int) -> list[Request]:
        """Return the request for each clip."""
        found = []
        for clip in range(len(next(iter(self.values.values())))):
            own = {name: tuple(values[clip].tolist()) for name, values in self.values.items()}
            fixed = {} if self.per_bar else {name: value for name, (value,) in own.items()}
            per_bar = own if self.per_bar else {}
            found.append(Request(emotion=None, fixed=fixed, per_bar=per_bar, n_bars=n_bars))
        return found


def ask(
    clips: RealMusic,
    bars: RealMusic,
    design: Design,
    *,
    seed: int = 0,
    n_bars: int = DEFAULT_BARS,
) -> list[AskedValues]:
    """Return all that is to be asked; the same numbers give the same.

    Alone, attributes are asked for at evenly spaced quantiles of real music, or, bar by bar, for
    values that change at random after every one to four bars; several at once at independent
    values that real music shows together.
    """
    names, bar_names = design.attributes or clips.known, design.bar_attributes or bars.known
    rng = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    sets = _sets(tuple(names), clips.groups, design.n_sets, rng)
    bar_sets = _sets(tuple(bar_names), bars.groups, design.n_bar_sets, rng)
    levels = {name: clips.known[name].levels(design.n_levels) for name in names}
    asked = [
        AskedValues({name: np.repeat(own, design.n_each)[:, None]}, False)
        for name, own in levels.items()
    ]
    for own in sets:
        fine = {name: clips.known[name].levels(N_FINE) for name in own}
        asked.append(AskedValues(_draw(clips, fine, rng, n_clips=design.n_set_clips), False))
    alone = [((name,), design.n_bar_clips) for name in bar_names]
    for own, n_clips in [*alone, *((own, design.n_bar_set_clips) for own in bar_sets)]:
        known = {name: bars.known[name].levels(design.n_levels) for name in own}
        asked.append(AskedValues(_draw(bars, known, rng, n_clips=n_clips, n_bars=n_bars), True))
    return asked


def _draw(
    real: RealMusic,
    levels: Mapping[str, Matrix],
    rng: np.random.Generator,
    *,
    n_clips: int,
    n_bars: int | None = None,
) -> Values:
    """Draw values of each clip, or of bars, again where no real music lies near two of them."""
    clips = []
    for _ in range(n_clips):
        drawn: list[dict[str, float]] = []
        while len(drawn) < (n_bars or 1):
            step = 1 if n_bars is None else int(rng.integers(1, MAX_STEP_BARS + 1))
            for _ in range(MAX_TRIES):
                values = {name: float(rng.choice(own)) for name, own in levels.items()}
                if len(values) == 1 or real.possible(values, rng):
                    break
            drawn += [values] * step
        clips.append(drawn[: n_bars or 1])
    return {name: np.array([[own[name] for own in drawn] for drawn in clips]) for name in levels}


def _sets(
    names: Sequence[str], groups: Sequence[Sequence[str]], n_sets: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """Part attributes into threes at random, all equally often, none with its like."""
    kin = {name: at for at, group in enumerate(groups) for name in group}
    size = min(TOGETHER, len({kin[name] for name in names}))
    found: list[tuple[str, ...]] = []
    count = dict.fromkeys(names, 0)
    while len(found) < n_sets and size > 1:
        chosen: list[str] = []
        for name in sorted(names, key=lambda name: (count[name], rng.random())):
            if len(chosen) < size and kin[name] not in {kin[other] for other in chosen}:
                chosen.append(name)
        for name in chosen:
            count[name] += 1
        found.append(tuple(chosen))
    return found


class Answers(NamedTuple):
    """Hold what came of asking.

    Attributes:
        asked: The values asked for.
        achieved: Those achieved; clip-wide, of all other attributes too.
        shift: Semitones by which each clip was moved after it was written, shape (n_clips,).
    """

    asked: Values
    achieved: Values
    shift: NDArray[np.int64]


def answer(asked: AskedValues, clips: Sequence[Clip]) -> Answers:
    """Measure what was asked for on clips."""
    shift = np.array([transposition(parse_key(clip.key)[0]) for clip in clips])
    if asked.per_bar:
        found = [_bar_values(clip, tuple(asked.values)) for clip in clips]
    else:
        found = [[clip.achieved] for clip in clips]
    achieved = {name: np.array([[bar[name] for bar in bars] for bars in found])
                for name in found[0][0]}  # fmt: skip
    return Answers(asked.values, achieved, shift)


def _bar_values(clip: Clip, names: tuple[str, ...]) -> list[Mapping[str, float]]:
    notes, n_beats = notes_of(clip.score), clip.request.beats_per_bar
    key = estimate_key(notes)
    return [
        measure(passage_of(notes, start=start, n_beats=n_beats, tempo=clip.tempo, key=key), names)
        for start in range(0, clip.n_bars * n_beats, n_beats)
    ]


@section(
    "Control of each attribute",
    Table(("mean ρ", "worst ρ"), "asked"),
    Table(("leakage on the whole",), "of", note=
          "Each attribute is asked for alone, all others free. Leakage: mean |ρ| between one "
          "attribute as asked and another as achieved, where three are asked for at "
          "independent values that real music shows together; by chance: the same with the "
          "clips exchanged; beyond chance: root mean square of those ρ less what chance adds."),
    Table(("ρ", "R² identity", "R² linear", "bin", "one bin", "leakage", "consistency",
           "restrictiveness", "linearity"), "name", note=
          "ρ: Spearman's, with its 95 % bootstrap interval over clips. bin, one bin: share in "
          "the bin asked for, and in it or one beside. Consistency, restrictiveness, "
          "linearity: as FaderNets has them, in standard deviations of real music; what is "
          "free varies, so restrictiveness cannot come near 1. `tempo` is simply set, and not "
          "counted."),
    plots=(Plot("ρ", "bars", "attribute", "asked"),),
    uses=("bars", "seed", "steering", "quick", "rows"),
)  # fmt: skip
def control(context: Context) -> Iterator[Row | str]:
    """Ask for each attribute alone, and for several at once, clip-wide and bar by bar."""
    s, extent = context.settings, context.extent
    rows = None if context.rows_path is None else context.rows
    real = real_music(context.checkpoint, rows=rows)
    n_bars = min(s.bars, extent.max_control_bars)
    asked = ask(*real, extent.design, seed=s.seed, n_bars=n_bars)
    requests = [own.requests(n_bars) for own in asked]
    clips = iter(context.compose([request for own in requests for request in own]))
    answers = [answer(own, list(islice(clips, len(requests[i])))) for i, own in enumerate(asked)]
    for per_bar in (False, True):
        own = [found for found, a in zip(answers, asked, strict=True) if a.per_bar == per_bar]
        yield from control_rows(own, real[per_bar], per_bar=per_bar, seed=s.seed)


def control_rows(
    answers: Sequence[Answers], real: RealMusic, *, per_bar: bool, seed: int = 0
) -> Iterator[Row | str]:
    """Yield how attributes follow, clip-wide or bar by bar, all answers being of that kind."""
    alone = {next(iter(own.asked)): own for own in answers if len(own.asked) == 1}
    if not alone:
        raise ValueError("no attribute was asked for alone")
    together: dict[tuple[str, ...], list[Answers]] = {}
    for own in answers:
        if len(own.asked) > 1:
            together.setdefault(tuple(own.asked), []).append(own)
    pairs = [
        leak for names, found in together.items()
        for leak in leaks(names, *(
            np.stack([np.concatenate([getattr(own, kind)[name] for own in found])
                      for name in names]) for kind in ("asked", "achieved")))
        if leak.moved not in GIVEN
    ]  # fmt: skip
    by, rho = {"asked": KINDS[per_bar]}, {}
    for name, own in alone.items():
        of = {**by, "attribute": name}
        followed = list(following(name, own, real.known[name], by=of, seed=seed))
        rho[name] = followed[0]
        sizes = [abs(leak.rho) for leak in pairs if leak.asked == name]
        yield from followed
        yield from (Row("leakage", float(np.mean(sizes)), by=of) for _ in sizes[:1])
        if not per_bar:
            yield from fader(name, own, real, by=of)
    yield from (Row("leak", leak.rho, by={**by, "of": leak.asked, "on": leak.moved})
                for leak in pairs)  # fmt: skip
    yield from _on_the_whole(rho, pairs, real.groups, by=by)


def _on_the_whole(
    rho: Mapping[str, Row],
    pairs: Sequence[Leak],
    groups: Sequence[Sequence[str]],
    *,
    by: Mapping[str, str],
) -> Iterator[Row | str]:
    """Yield means and the worst; attributes nearly the same share one weight.

    Attributes are measured on clips of their own, so the squares of their intervals add up; a
    single one keeps its own interval.
    """
    counted = [[rho[n] for n in group if n in rho and n not in GIVEN] for group in groups]
    counted = [group for group in counted if group]
    worst = min(counted, key=lambda group: float(np.mean([row.value for row in group])))
    for what, chosen in (("mean ρ", counted), ("worst ρ", [worst])):
        weighted = [(row, 1.0 / len(group)) for group in chosen for row in group]
        yield row_of(what, _mean_rho(weighted), len(chosen), **by)
    yield f"Worst {by['asked']}: {' = '.join(row.by['attribute'] for row in worst)}."
    if pairs:
        square, noise = (float(np.mean([x**2 for x in own])) for own in (
            [leak.rho for leak in pairs], [leak.chance for leak in pairs]))  # fmt: skip
        sizes = {
            "measured": float(np.mean([abs(leak.rho) for leak in pairs])),
            "by chance": float(np.mean([leak.chance for leak in pairs])),
            # of a normal, E x² is π/2 times (E |x|)²
            "beyond chance": math.sqrt(max(square - noise * math.pi / 2, 0.0)),
        }
        for of, size in sizes.items():
            yield Row("leakage on the whole", size, n=len(pairs), by={**by, "of": of})
    if same := [" = ".join(group) for group in groups if group[1:]]:
        yield f"Nearly the same in real music, so counted once, {by['asked']}: {', '.join(same)}."


def _mean_rho(weighted: Sequence[tuple[Row, float]]) -> Interval:
    if len(weighted) == 1:
        row = weighted[0][0]
        return Interval(row.value, row.low or 0.0, row.high or 0.0)
    value, low, high = np.array([(row.value, row.low, row.high) for row, _ in weighted]).T
    weight = np.array([weight for _, weight in weighted])
    mean, total = float(value @ weight / weight.sum()), weight.sum()
    half = float(np.sqrt(((weight * (high - low) / 2) ** 2).sum()) / total)
    return Interval(mean, mean - half, min(mean + half, 1.0))


def following(
    name: str,
    answers: Answers,
    distribution: Distribution,
    *,
    by: Mapping[str, str],
    seed: int = 0,
) -> Iterator[Row]:
    """Yield how closely one attribute follows when it alone is asked for.

    `R² identity`: 1 less the squared distance of achieved from asked, as a share of the variance
    of achieved; at most 1, below 0 where the mean would tell more. `R² linear`: the share that a
    straight line over asked explains. Bins, those of `distribution`, hold in C, in which the
    model writes. The bootstrap draws whole clips.
    """
    asked, achieved = answers.asked[name], answers.achieved[name]
    moved = answers.shift[:, None] * attribute(name).per_semitone
    bins = [distribution.bins((values - moved).ravel()) for values in (asked, achieved)]
    away = np.abs(bins[0] - bins[1])
    n, x, y = len(asked), asked.ravel(), achieved.ravel()
    drawn = np.random.default_rng(seed).integers(n, size=(N_RESAMPLED, n))
    ranks = [rankdata(side[drawn].reshape(N_RESAMPLED, -1), axis=1) for side in (asked, achieved)]
    yield row_of("ρ", interval(spearman(x, y), correlation(*ranks)), n, **by)
    total = float(((y - y.mean()) ** 2).sum())
    identity = 1.0 - float(((y - x) ** 2).sum()) / total if total > 0 else 0.0
    yield Row("R² identity", identity, by=by)
    yield Row("R² linear", float(correlation(x, y)) ** 2, by=by)
    yield Row("bin", float((away == 0).mean()), by=by)
    yield Row("one bin", float((away <= 1).mean()), by=by)


def fader(name: str, answers: Answers, real: RealMusic, *, by: Mapping[str, str]) -> Iterator[Row]:
    """Yield FaderNets' measures of an attribute that is swept while all others are free.

    Clips of one value stand one after the other, as many of each.

    Reference: Tan and Herremans (2020), `Music FaderNets`, as their code has it: consistency is
    1 less the mean over levels of the standard deviation over samples, restrictiveness 1 less
    the mean over samples of another attribute's standard deviation over levels, linearity the
    mean R² of a linear regression. They sweep a latent dimension while the rest of the latent
    code stays; here a sample is a first draw with its own randomness, so restrictiveness holds
    the variety of free attributes too, and is the mean over several others.
    """
    kin = next(group for group in real.groups if name in group)
    others = [other for other in real.known if other not in kin and other not in GIVEN]
    n_levels = len(np.unique(answers.asked[name]))
    levels, own, *rest = (
        values[n].reshape(n_levels, -1) / max(real.known[n].spread, 1e-9)  # (n_levels, n_sweeps)
        for values, n in [(answers.asked, name), *((answers.achieved, n) for n in (name, *others))]
    )
    restrictive = 1.0 - float(np.stack(rest).std(axis=1).mean()) if rest else 1.0
    yield Row("consistency", 1.0 - float(own.std(axis=1).mean()), by=by)
    yield Row("restrictiveness", restrictive, by=by)
    straight = [float(correlation(levels[:, 0], sweep)) ** 2 for sweep in own.T]
    yield Row("linearity", float(np.mean(straight)), by=by)


class Leak(NamedTuple):
    """Hold how much one attribute moves when another is asked for at independent values.

    Attributes:
        asked: The attribute asked for.
        moved: The other one, asked for as well.
        rho: Rank correlation between the first as asked and the second as achieved.
        chance: Its size to be expected by chance, from as many clips.
    """

    asked: str
    moved: str
    rho: float
    chance: float


def leaks(
    names: Sequence[str], asked: NDArray[np.float64], achieved: NDArray[np.float64]
) -> Iterator[Leak]:
    """Yield what leaks from each attribute to each other one, all asked for at once.

    Where not all combinations can be asked for, the values asked are not quite independent; so
    what the other values asked for tell linearly about the one is taken from its ranks first.

    Args:
        names: The attributes.
        asked: Shape (n_names, n_clips, n_values).
        achieved: Of the same shape.

    Reference: Wu and Yang (2023), `MuseMorphose`: |ρ(asked a, achieved b)|. With independent
    values ours is the same number. Chance is the mean size of the correlation after asked
    values were given to other clips.
    """
    ranks = [np.stack([rankdata(own) for own in kind.reshape(len(names), -1)])
             for kind in (asked, achieved)]  # fmt: skip
    for a, name in enumerate(names):
        own = _apart(ranks[0][a], np.delete(ranks[0], a, axis=0)).reshape(asked.shape[1:])
        for b, other in enumerate(names):
            if b != a:
                rho = float(correlation(own.ravel(), ranks[1][b]))
                yield Leak(name, other, rho, _chance(own, ranks[1][b]))


def _chance(own: Matrix, achieved: Matrix) -> float:
    turns = range(1, min(len(own) - 1, MAX_TURNS) + 1)
    sizes = [abs(float(correlation(np.roll(own, turn, axis=0).ravel(), achieved)))
             for turn in turns]  # fmt: skip
    return float(np.mean(sizes)) if sizes else 0.0


def _apart(ranks: Matrix, others: Matrix) -> Matrix:
    """Return what a straight plane over other ranks, shape (n_others, n), leaves of ranks."""
    plane = np.vstack([np.ones(len(ranks)), others]).T
    rest: Matrix = ranks - plane @ np.linalg.lstsq(plane, ranks, rcond=None)[0]
    return np.where(np.abs(rest) < 1e-9 * len(ranks), 0.0, rest)
