"""The registry of features: what each is called and who measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.verify.features.hearing import Hearing


@dataclass(frozen=True)
class Feature:
    """Describe one feature.

    Attributes:
        name: Its name, unique.
        unit: What one unit of it is.
        group: What kind of hearing it belongs to.
        source: Whose finding says that emotion shows there.
    """

    name: str
    unit: str
    group: str
    source: str


Block = Callable[[Hearing], Sequence[float] | FloatColumn]
FEATURES: list[Feature] = []
BLOCKS: list[Block] = []


def registered(group: str, source: str, **units: str) -> Callable[[Block], Block]:
    """Register a function that returns one value for each named unit, in their order.

    Args:
        group: What kind of hearing the features belong to.
        source: Whose finding says that emotion shows there.
        units: Unit of each feature by its name.
    """

    def register(block: Block) -> Block:
        FEATURES.extend(Feature(name, unit, group, source) for name, unit in units.items())
        BLOCKS.append(block)
        return block

    return register


def quantiles(values: FloatColumn | IntColumn, *shares: float) -> list[float]:
    """Return quantiles as `np.quantile` does, linear between neighbours, several times as fast.

    Args:
        values: At least one number, in any order.
        shares: In [0, 1].
    """
    ordered = np.sort(values)
    found = []
    for share in shares:
        place = (len(ordered) - 1) * share
        at = int(place)
        part, below = place - at, float(ordered[at])
        above = float(ordered[min(at + 1, len(ordered) - 1)])
        step = above - below
        found.append(below + step * part if part < 0.5 else above - step * (1 - part))
    return found


def share_of(mask: NDArray[np.bool_]) -> float:
    """Return the share of true values, 0 of none."""
    return float(np.count_nonzero(mask)) / max(mask.size, 1)
