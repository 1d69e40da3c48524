"""The registry of features: the name, unit and source of each, and what measures it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.music.notes import FloatColumn, IntColumn
from emomusic.verify.features.analysis import Analysis


@dataclass(frozen=True)
class Feature:
    """One named number of a clip.

    Attributes:
        name: Unique.
        unit: What one unit of it is.
        family: The musical aspect it belongs to, such as "tonality".
        source: Who found that emotion shows there.
    """

    name: str
    unit: str
    family: str
    source: str


Block = Callable[[Analysis], Sequence[float] | FloatColumn]
FEATURES: list[Feature] = []
BLOCKS: list[Block] = []


def register(family: str, source: str, **units: str) -> Callable[[Block], Block]:
    """Register a function that returns one value for each named unit, in their order.

    Args:
        family: The musical aspect that the features belong to.
        source: Who found that emotion shows there.
        units: Unit of each feature by its name.
    """

    def add(block: Block) -> Block:
        FEATURES.extend(Feature(name, unit, family, source) for name, unit in units.items())
        BLOCKS.append(block)
        return block

    return add


def quantiles(values: FloatColumn | IntColumn, *shares: float) -> list[float]:
    """Compute quantiles as `np.quantile` does, linear between neighbours, but several times faster.

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
    """Compute the share of true values; 0 of none."""
    return float(np.count_nonzero(mask)) / max(mask.size, 1)
