"""What else moves when an attribute is asked for? Sets of three, sweeps of one, emotions.

python -m studies.leakage.study --rows datasets/packed/rows.npz --out out/leakage
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from emomusic.compose.checkpoint import find_checkpoint
from emomusic.compose.clip import Clip
from emomusic.compose.composer import Composer
from emomusic.compose.request import Request
from emomusic.emotion import find_emotion
from emomusic.evaluation.accuracy import GIVEN, quadrants_of
from emomusic.evaluation.control import (
    KINDS,
    MAX_STEP_BARS,
    Design,
    Values,
    achieved_values,
    requests_of,
    sweeps,
)
from emomusic.evaluation.rows import Matrix, Row, Table, correlation, plain_rows, section, spearman
from emomusic.training.rows import Rows
from studies import main_of, run_study
from studies.leakage.real import RealMusic, possible, ranks_of, real_music

MAX_TRIES, MAX_TURNS = 500, 20
N_FINE, N_BAR_LEVELS = 64, 8
"""Levels of each of several attributes that are asked for at once, clip-wide and bar by bar."""
TOGETHER = 3
DESIGN = Design()


@dataclass(frozen=True)
class Given:
    """Hold a checkpoint, what it knows of real music, and how much is asked.

    Attributes:
        n_sets: Sets of three attributes asked for at once, clip-wide; one less bar by bar.
        n_set_clips: Clips for each set clip-wide; two fifths of them bar by bar.
        count: First draws of each quadrant.
        design: How each attribute is swept.
    """

    composer: Composer
    rows: Rows | None = None
    n_sets: int = 8
    n_set_clips: int = 50
    count: int = 25
    seed: int = 0
    n_bars: int = 16
    design: Design = DESIGN

    @cached_property
    def real(self) -> tuple[RealMusic, RealMusic]:
        """Return what the checkpoint knows of real clips and bars."""
        return real_music(self.composer.folder, rows=self.rows)

    def compose(self, requests: Sequence[Request]) -> list[Clip]:
        """Compose a clip for each request, first draws."""
        return list(self.composer.compose_each(requests, seed=self.seed))


class Asked(NamedTuple):
    """Hold the values asked of some clips, several attributes at once, all else free."""

    values: Values
    per_bar: bool


@section(
    "Leakage",
    Table(("leakage on the whole",), "of", note=
          "Mean |ρ| between one attribute as asked and another as achieved, where three are asked "
          "for at independent values that real music shows together; by chance: the same with the "
          "clips exchanged; beyond chance: root mean square of those ρ less what chance adds."),
    Table(("leakage",), "asked"),
)  # fmt: skip
def leakage(given: Given) -> Iterator[Row]:
    """Ask for three attributes at once, clip-wide and bar by bar."""
    rng = np.random.default_rng(np.random.SeedSequence([given.seed, 4]))
    asked = ask_sets(given.real, given, rng)
    requests = [requests_of(own.values, per_bar=own.per_bar, n_bars=given.n_bars) for own in asked]
    clips = iter(given.compose([request for own in requests for request in own]))
    answers = [list(islice(clips, len(own))) for own in requests]
    for per_bar in (False, True):
        pairs = []
        for own, found in zip(asked, answers, strict=True):
            if own.per_bar == per_bar:
                names = tuple(own.values)
                achieved = achieved_values(found, names, per_bar=own.per_bar)
                columns = ([values[name] for name in names] for values in (own.values, achieved))
                pairs += [leak for leak in leaks(names, *map(np.stack, columns))
                          if leak.moved not in GIVEN]  # fmt: skip
        yield from leak_rows(pairs, asked=KINDS[per_bar])


def ask_sets(
    real: tuple[RealMusic, RealMusic], given: Given, rng: np.random.Generator
) -> list[Asked]:
    """Return all that is to be asked; the same numbers give the same."""
    asked = []
    for names in sets_of(real[0], given.n_sets, rng):
        fine = {name: real[0].known[name].levels(N_FINE) for name in names}
        asked.append(Asked(draw(real[0], fine, rng, n_clips=given.n_set_clips), False))
    n_clips, n_bars = max(given.n_set_clips * 2 // 5, 2), given.n_bars
    for names in sets_of(real[1], given.n_sets - 1, rng):
        levels = {name: real[1].known[name].levels(N_BAR_LEVELS) for name in names}
        asked.append(Asked(draw(real[1], levels, rng, n_clips=n_clips, n_bars=n_bars), True))
    return asked


def draw(
    real: RealMusic,
    levels: Mapping[str, Matrix],
    rng: np.random.Generator,
    *,
    n_clips: int,
    n_bars: int | None = None,
) -> Values:
    """Draw values of each clip, or of bars, again where no real music lies near two of them."""
    clips, own = [], ranks_of(real)
    for _ in range(n_clips):
        drawn: list[dict[str, float]] = []
        while len(drawn) < (n_bars or 1):
            step = 1 if n_bars is None else int(rng.integers(1, MAX_STEP_BARS + 1))
            for _ in range(MAX_TRIES):
                values = {name: float(rng.choice(known)) for name, known in levels.items()}
                if possible(real, own, values, rng):
                    break
            drawn += [values] * step
        clips.append(drawn[: n_bars or 1])
    return {name: np.array([[own[name] for own in drawn] for drawn in clips]) for name in levels}


def sets_of(real: RealMusic, n_sets: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Part attributes into threes at random, all equally often, none with its like."""
    kin = {name: at for at, group in enumerate(real.groups) for name in group}
    size = min(TOGETHER, len(real.groups))
    found: list[tuple[str, ...]] = []
    count = dict.fromkeys(real.known, 0)
    while len(found) < n_sets and size > 1:
        chosen: dict[int, str] = {}  # one of each group
        for name in sorted(count, key=lambda name: (count[name], rng.random())):
            if len(chosen) < size:
                chosen.setdefault(kin[name], name)
        for name in chosen.values():
            count[name] += 1
        found.append(tuple(chosen.values()))
    return found


class Leak(NamedTuple):
    """Hold how much one attribute moves when another is asked for at independent values.

    `rho` is the rank correlation between the first as asked and the second as achieved, `chance`
    the size of it that is to be expected by chance from as many clips.
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
    ranks, found = (rankdata(kind.reshape(len(names), -1), axis=1) for kind in (asked, achieved))
    turns = range(1, min(asked.shape[1] - 1, MAX_TURNS) + 1)
    for a, name in enumerate(names):
        own = _apart(ranks[a], np.delete(ranks, a, axis=0)).reshape(asked.shape[1:])
        turned = [np.roll(own, turn, axis=0).ravel() for turn in turns]
        for b, other in enumerate(names):
            if b != a:
                chance = np.abs(correlation(np.array(turned), found[b])).mean() if turned else 0.0
                yield Leak(name, other, float(correlation(own.ravel(), found[b])), float(chance))


def _apart(ranks: Matrix, others: Matrix) -> Matrix:
    """Return what a straight plane over other ranks, shape (n_others, n), leaves of ranks."""
    plane = np.vstack([np.ones(len(ranks)), others]).T
    rest: Matrix = ranks - plane @ np.linalg.lstsq(plane, ranks, rcond=None)[0]
    return np.where(np.abs(rest) < 1e-9 * len(ranks), 0.0, rest)


def leak_rows(pairs: Sequence[Leak], **by: str) -> Iterator[Row]:
    """Yield what leaks from each attribute, each pair, and on the whole."""
    sizes: dict[str, list[float]] = {}
    for leak in pairs:
        sizes.setdefault(leak.asked, []).append(abs(leak.rho))
        yield Row("leak", leak.rho, by={**by, "of": leak.asked, "on": leak.moved})
    for name, own in sizes.items():
        yield Row("leakage", float(np.mean(own)), by={**by, "attribute": name})
    if pairs:
        rhos, chance = (np.array([own[kind] for own in pairs]) for kind in (2, 3))
        # of a normal, E x² is π/2 times (E |x|)²
        beyond = float((rhos**2).mean() - (chance**2).mean() * math.pi / 2)
        on_the_whole = {
            "measured": float(np.abs(rhos).mean()),
            "by chance": float(chance.mean()),
            "beyond chance": math.sqrt(max(beyond, 0.0)),
        }
        for of, size in on_the_whole.items():
            yield Row("leakage on the whole", size, n=len(pairs), by={**by, "of": of})


@section(
    "Faders",
    Table(("consistency", "restrictiveness", "linearity"), "name", note=
          "As FaderNets has them, in standard deviations of real music; what is free varies, so "
          "restrictiveness cannot come near 1."),
)  # fmt: skip
def faders(given: Given) -> Iterator[Row]:
    """Sweep each attribute alone, clip-wide."""
    real = given.real[0]
    for name, values in sweeps(real.known, given.design).items():
        clips = given.compose(requests_of({name: values}, per_bar=False, n_bars=given.n_bars))
        achieved = achieved_values(clips, tuple(real.known), per_bar=False)
        yield from plain_rows(fader(name, values, achieved, real), attribute=name)


def fader(name: str, asked: Matrix, achieved: Values, real: RealMusic) -> dict[str, float]:
    """Return FaderNets' measures of an attribute that is swept while all others are free.

    Clips of one value stand one after the other, as many of each, shape (n_clips, 1).

    Reference: Tan and Herremans (2020), `Music FaderNets`, as their code has it: consistency is
    1 less the mean over levels of the standard deviation over samples, restrictiveness 1 less
    the mean over samples of another attribute's standard deviation over levels, linearity the
    mean R² of a linear regression. They sweep a latent dimension while the rest of the latent
    code stays; here a sample is a first draw with its own randomness, so restrictiveness holds
    the variety of free attributes too, and is the mean over several others.
    """
    kin = next(group for group in real.groups if name in group)
    others = [other for other in real.known if other not in kin and other not in GIVEN]
    n_levels = len(np.unique(asked))
    levels, own, *rest = (
        values.reshape(n_levels, -1) / max(float(real.known[n].grid.std()), 1e-9)
        for values, n in [(asked, name), *((achieved[n], n) for n in (name, *others))]
    )  # (n_levels, n_sweeps) each
    return {
        "consistency": 1.0 - float(own.std(axis=1).mean()),
        "restrictiveness": 1.0 - float(np.stack(rest).std(axis=1).mean()) if rest else 1.0,
        "linearity": float((correlation(levels.T, own.T) ** 2).mean()),
    }


@section("Over emotions", Table(("ρ over emotions",)))
def emotions(given: Given) -> Iterator[Row]:
    """Hold asked against achieved values over first draws; the mapper moves several at once."""
    asked = [Request(find_emotion(q), n_bars=given.n_bars) for q in quadrants_of(given.count)]
    rho = rank_correlations(given.compose(asked))
    for name in sorted(rho, key=lambda name: -rho[name]):
        yield Row("ρ over emotions", rho[name], by={"attribute": name})


def rank_correlations(clips: Sequence[Clip]) -> dict[str, float]:
    """Return Spearman's ρ between asked and achieved values of each attribute, over clips.

    What is simply set is left out; where one side is constant, ρ is 0.
    """
    return {
        name: spearman(*np.array([(c.targets[name], c.achieved[name]) for c in clips]).T)
        for name in clips[0].targets
        if name not in GIVEN
    }


def measure(args: argparse.Namespace) -> str:
    """Return the report."""
    composer = Composer(find_checkpoint(args.checkpoint))
    given = Given(
        composer, Rows.load(args.rows), args.sets, args.clips, args.count, args.seed, args.bars
    )
    about = {"checkpoint": composer.name, "sets": str(args.sets), "seed": str(args.seed)}
    parts = (leakage, faders, emotions)
    title = "What else moves when an attribute is asked for?"
    return run_study(title, parts, given, about=about, out=args.out, only=args.only)


main = main_of(
    __doc__, measure, needs={"rows": "packed rows"}, sets=8, clips=50, count=25, bars=16, seed=0
)


if __name__ == "__main__":
    main()
