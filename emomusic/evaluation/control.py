"""Control: how closely each attribute follows when it is asked for, and what else moves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

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
from emomusic.music.attributes import attribute, measure
from emomusic.music.key import estimate_key
from emomusic.music.passage import passage_of
from emomusic.music.score import notes_of

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

N_RESAMPLED, MAX_TURNS = 500, 20
KINDS = {False: "clip-wide", True: "bar by bar"}
MAX_STEP_BARS = 4
MAX_TRIES = 500
N_FINE = 64
TOGETHER = 3


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


@dataclass(frozen=True)
class Question:
    """Hold one clip to be asked for.

    Attributes:
        names: What is asked for; several where leakage is to be seen.
        per_bar: Whether bar by bar.
        sample: Its number among those that ask for the same values, or for the same names.
        request: What to compose.
    """

    names: tuple[str, ...]
    per_bar: bool
    sample: int
    request: Request


def ask(
    real: RealMusic,
    design: Design,
    *,
    seed: int = 0,
    n_bars: int = DEFAULT_BARS,
) -> list[Question]:
    """Return all that is to be asked; the same numbers give the same questions.

    Args:
        real: Where values come from.
    """
    design = replace(
        design,
        attributes=design.attributes or real.names(per_bar=False),
        bar_attributes=design.bar_attributes or real.names(per_bar=True),
    )
    rng = np.random.default_rng(np.random.SeedSequence([seed, 4]))
    alone = [(name,) for name in design.bar_attributes]
    sets = _sets(design.attributes, real.groups(per_bar=False), design.n_sets, rng)
    bar_sets = _sets(design.bar_attributes, real.groups(per_bar=True), design.n_bar_sets, rng)
    return [
        *_ask_levels(real, design, n_bars),
        *_ask_at_once(real, sets, design.n_set_clips, rng, n_bars),
        *_ask_bars(real, alone, design.n_levels, design.n_bar_clips, rng, n_bars),
        *_ask_bars(real, bar_sets, design.n_levels, design.n_bar_set_clips, rng, n_bars),
    ]


def _ask_levels(real: RealMusic, design: Design, n_bars: int) -> Iterator[Question]:
    """Ask for one attribute alone, at evenly spaced quantiles of real music."""
    for name in design.attributes:
        for level in real.clip[name].levels(design.n_levels).tolist():
            for sample in range(design.n_each):
                request = Request(emotion=None, fixed={name: level}, n_bars=n_bars)
                yield Question((name,), False, sample, request)


def _ask_at_once(
    real: RealMusic,
    sets: Sequence[tuple[str, ...]],
    n_clips: int,
    rng: np.random.Generator,
    n_bars: int,
) -> Iterator[Question]:
    """Ask for several attributes at independent values that real music shows together."""
    for names in sets:
        levels = {name: real.clip[name].levels(N_FINE) for name in names}
        for sample in range(n_clips):
            fixed = _draw(real, levels, rng, per_bar=False)
            yield Question(names, False, sample, Request(emotion=None, fixed=fixed, n_bars=n_bars))


def _ask_bars(
    real: RealMusic,
    sets: Sequence[tuple[str, ...]],
    n_levels: int,
    n_clips: int,
    rng: np.random.Generator,
    n_bars: int,
) -> Iterator[Question]:
    """Ask for values that change at random after every one to four bars."""
    for names in sets:
        levels = {name: real.bar[name].levels(n_levels) for name in names}
        for sample in range(n_clips):
            bars: list[dict[str, float]] = []
            while len(bars) < n_bars:
                step = int(rng.integers(1, MAX_STEP_BARS + 1))
                bars += [_draw(real, levels, rng, per_bar=True)] * step
            per_bar = {name: tuple(bar[name] for bar in bars[:n_bars]) for name in names}
            yield Question(
                names, True, sample, Request(emotion=None, per_bar=per_bar, n_bars=n_bars)
            )


def _draw(
    real: RealMusic, levels: Mapping[str, Matrix], rng: np.random.Generator, *, per_bar: bool
) -> dict[str, float]:
    """Draw a value of each attribute; again where no real music lies near two of them."""
    for _ in range(MAX_TRIES):
        drawn = {name: float(rng.choice(own)) for name, own in levels.items()}
        if len(drawn) == 1 or real.possible(drawn, rng, per_bar=per_bar):
            break
    return drawn


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


@dataclass(frozen=True)
class Answer:
    """Hold what came of a question.

    Attributes:
        question: What was asked.
        values: Attribute values achieved, shape (n_bars,) where asked bar by bar, else (1,).
        shift: Semitones by which the clip was moved after it was written.
    """

    question: Question
    values: Mapping[str, Matrix]
    shift: int

    def asked(self, name: str) -> Matrix:
        """Return the values asked for, of the shape of those achieved."""
        request = self.question.request
        asked = request.per_bar[name] if self.question.per_bar else [request.fixed[name]]
        return np.array(asked, dtype=np.float64)


def answer(question: Question, clip: Clip) -> Answer:
    """Measure what was asked for on a clip; clip-wide, all other attributes too."""
    shift = transposition(parse_key(clip.key)[0])
    if not question.per_bar:
        values = {name: np.array([value]) for name, value in clip.achieved.items()}
        return Answer(question, values, shift)
    notes, n_beats = notes_of(clip.score), clip.request.beats_per_bar
    key = estimate_key(notes)
    bars = [
        measure(
            passage_of(notes, start=bar * n_beats, n_beats=n_beats, tempo=clip.tempo, key=key),
            question.names,
        )
        for bar in range(clip.n_bars)
    ]
    return Answer(question, {n: np.array([b[n] for b in bars]) for n in question.names}, shift)


@dataclass(frozen=True)
class Leak:
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


@section(
    "Control of each attribute",
    uses=("bars", "seed", "steering", "quick", "rows"),
    tables=(
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
    ),
    plots=(Plot("ρ", "bars", "attribute", "asked"),),
)  # fmt: skip
def control(context: Context) -> Iterator[Row | str]:
    """Ask for each attribute alone, and for several at once, clip-wide and bar by bar."""
    s, extent = context.settings, context.extent
    rows = None if context.rows_path is None else context.rows
    real = real_music(context.checkpoint, rows=rows)
    n_bars = min(s.bars, extent.max_control_bars)
    questions = ask(real, extent.design, seed=s.seed, n_bars=n_bars)
    progress = context.counted(len(questions))
    clips = context.composer.compose_each([q.request for q in questions], seed=s.seed)
    answers = []
    for question, clip in zip(questions, clips, strict=True):
        answers.append(answer(question, clip))
        progress(1)
    for per_bar in (False, True):
        yield from control_rows(answers, real, per_bar=per_bar, seed=s.seed)


def control_rows(
    answers: Sequence[Answer], real: RealMusic, *, per_bar: bool, seed: int = 0
) -> Iterator[Row | str]:
    """Yield how attributes follow, of all answers those clip-wide or bar by bar.

    Args:
        answers: Of one checkpoint.
        real: What it knows of real music.
        per_bar: Which of the answers.
    """
    asked: dict[tuple[str, ...], list[Answer]] = {}
    for found in answers:
        if found.question.per_bar == per_bar:
            asked.setdefault(found.question.names, []).append(found)
    alone = {names[0]: own for names, own in asked.items() if len(names) == 1}
    if not alone:
        raise ValueError("no attribute was asked for alone")
    together = {names: own for names, own in asked.items() if len(names) > 1}
    pairs = [
        leak for names, own in together.items()
        for leak in leaks(names, *np.stack([_matrices(name, own) for name in names], axis=1))
        if leak.moved not in GIVEN
    ]  # fmt: skip
    by, rho = {"asked": KINDS[per_bar]}, {}
    for name, own in alone.items():
        of = {**by, "attribute": name}
        distribution = real.distribution(name, per_bar=per_bar)
        followed = list(following(name, own, distribution, by=of, seed=seed))
        rho[name] = followed[0]
        sizes = [abs(leak.rho) for leak in pairs if leak.asked == name]
        yield from followed
        yield from (Row("leakage", float(np.mean(sizes)), by=of) for _ in sizes[:1])
        if not per_bar:
            yield from fader(name, own, real, by=of)
    yield from (Row("leak", leak.rho, by={**by, "of": leak.asked, "on": leak.moved})
                for leak in pairs)  # fmt: skip
    yield from _on_the_whole(rho, pairs, real.groups(per_bar=per_bar), by=by)


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
    answers: Sequence[Answer],
    distribution: Distribution,
    *,
    by: Mapping[str, str],
    seed: int = 0,
) -> Iterator[Row]:
    """Yield how closely one attribute follows when it alone is asked for.

    `R² identity`: 1 less the squared distance of achieved from asked, as a share of the variance
    of achieved; at most 1, below 0 where the mean would tell more. `R² linear`: the share that a
    straight line over asked explains. Bins hold in C, in which the model writes.

    Args:
        name: The attribute.
        answers: What came of asking for it.
        distribution: The attribute in real music, with its bins.
        seed: Of the bootstrap, which draws whole clips.
    """
    asked, achieved = _matrices(name, answers)
    moved = np.array([found.shift for found in answers]) * attribute(name).per_semitone
    bins = [distribution.bins((values - moved[:, None]).ravel()) for values in (asked, achieved)]
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


def fader(
    name: str, answers: Sequence[Answer], real: RealMusic, *, by: Mapping[str, str]
) -> Iterator[Row]:
    """Yield FaderNets' measures of an attribute that is swept while all others are free.

    Reference: Tan and Herremans (2020), `Music FaderNets`, as their code has it: consistency is
    1 less the mean over levels of the standard deviation over samples, restrictiveness 1 less
    the mean over samples of another attribute's standard deviation over levels, linearity the
    mean R² of a linear regression. They sweep a latent dimension while the rest of the latent
    code stays; here a sample is a first draw with its own randomness, so restrictiveness holds
    the variety of free attributes too, and is the mean over several others.
    """
    kin = next(group for group in real.groups(per_bar=False) if name in group)
    others = [other for other in real.clip if other not in kin and other not in GIVEN]
    n_sweeps = max(found.question.sample for found in answers) + 1
    values = [
        np.stack([found.values[n] for found in answers]) / max(real.clip[n].spread, 1e-9)
        for n in (name, *others)
    ]
    own, *rest = (column.reshape(-1, n_sweeps) for column in values)  # (n_levels, n_sweeps)
    levels = np.array([found.asked(name)[0] for found in answers]).reshape(-1, n_sweeps)[:, 0]
    levels = levels / max(real.clip[name].spread, 1e-9)
    restrictive = 1.0 - float(np.stack(rest).std(axis=1).mean()) if rest else 1.0
    yield Row("consistency", 1.0 - float(own.std(axis=1).mean()), by=by)
    yield Row("restrictiveness", restrictive, by=by)
    straight = [float(correlation(levels, sweep)) ** 2 for sweep in own.T]
    yield Row("linearity", float(np.mean(straight)), by=by)


def _matrices(name: str, answers: Sequence[Answer]) -> NDArray[np.float64]:
    """Return asked and achieved values, shape (2, n_clips, n_values)."""
    return np.array([[found.asked(name) for found in answers],
                     [found.values[name] for found in answers]])  # fmt: skip


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
