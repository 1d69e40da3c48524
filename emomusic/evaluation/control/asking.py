"""What is asked to see how attributes follow: one alone, bar by bar, several at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from emomusic.compose.request import DEFAULT_BARS, Request
from emomusic.evaluation.control.real import Column, RealMusic

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
QUICK = Design(n_levels=6, n_each=2, n_bar_clips=12, n_set_clips=24, n_bar_set_clips=6)


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
    design: Design = FULL,
    *,
    seed: int = 0,
    n_bars: int = DEFAULT_BARS,
    settings: Mapping[str, Any] | None = None,
) -> list[Question]:
    """Return all that is to be asked; the same numbers give the same questions.

    Args:
        real: Where values come from.
        design: How much.
        seed: Of the values that are drawn.
        n_bars: Bars of each clip.
        settings: Replace defaults of `Request`, such as guidance.
    """
    own = {"n_bars": n_bars, **(settings or {})}
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
        *_ask_levels(real, design, own),
        *_ask_at_once(real, sets, design.n_set_clips, rng, own),
        *_ask_bars(real, alone, design.n_levels, design.n_bar_clips, rng, own),
        *_ask_bars(real, bar_sets, design.n_levels, design.n_bar_set_clips, rng, own),
    ]


def _ask_levels(real: RealMusic, design: Design, settings: Mapping[str, Any]) -> Iterator[Question]:
    """Ask for one attribute alone, at evenly spaced quantiles of real music."""
    for name in design.attributes:
        for level in real.clip[name].levels(design.n_levels).tolist():
            for sample in range(design.n_each):
                request = Request(emotion=None, fixed={name: level}, **settings)
                yield Question((name,), False, sample, request)


def _ask_at_once(
    real: RealMusic,
    sets: Sequence[tuple[str, ...]],
    n_clips: int,
    rng: np.random.Generator,
    settings: Mapping[str, Any],
) -> Iterator[Question]:
    """Ask for several attributes at independent values that real music shows together."""
    for names in sets:
        levels = {name: real.clip[name].levels(N_FINE) for name in names}
        for sample in range(n_clips):
            fixed = _draw(real, levels, rng, per_bar=False)
            yield Question(names, False, sample, Request(emotion=None, fixed=fixed, **settings))


def _ask_bars(
    real: RealMusic,
    sets: Sequence[tuple[str, ...]],
    n_levels: int,
    n_clips: int,
    rng: np.random.Generator,
    settings: Mapping[str, Any],
) -> Iterator[Question]:
    """Ask for values that change at random after every one to four bars."""
    n_bars = settings["n_bars"]
    for names in sets:
        levels = {name: real.bar[name].levels(n_levels) for name in names}
        for sample in range(n_clips):
            bars: list[dict[str, float]] = []
            while len(bars) < n_bars:
                step = int(rng.integers(1, MAX_STEP_BARS + 1))
                bars += [_draw(real, levels, rng, per_bar=True)] * step
            per_bar = {name: tuple(bar[name] for bar in bars[:n_bars]) for name in names}
            yield Question(names, True, sample, Request(emotion=None, per_bar=per_bar, **settings))


def _draw(
    real: RealMusic, levels: Mapping[str, Column], rng: np.random.Generator, *, per_bar: bool
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
