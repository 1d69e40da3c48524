"""EmoGen's recipe: each attribute low or high, as in the one clip nearest its class mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.data.packing import read_tables
from emomusic.emotion import QUADRANTS
from emomusic.files import write_text
from emomusic.fit import measure_clips
from emomusic.music.attributes import ATTRIBUTE_NAMES, attribute
from emomusic.music.tokenizer import N_BINS
from emomusic.verify.labels import LabelledClip

Matrix = NDArray[np.float64]
Progress = Callable[[int, int], None]
RECIPE_NAME = "emogen_recipe.json"
LOW_BIN, HIGH_BIN = N_BINS // 4, N_BINS - 1 - N_BINS // 4
"""The middles of the lower and the upper half of the bins."""


@dataclass(frozen=True)
class Recipe:
    """Hold which attributes a quadrant has high, and what low and high are.

    Attributes:
        is_high: For each quadrant, whether each attribute is high.
        nearest: For each quadrant, the name of the clip that it was taken from.
        low: Value asked for of each attribute where it is low.
        high: The same where it is high.
    """

    is_high: Mapping[str, Mapping[str, bool]]
    nearest: Mapping[str, str]
    low: Mapping[str, float]
    high: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check that every attribute is said of every quadrant.

        Raises:
            ValueError: If not.
        """
        names = set(self.low)
        whole = all(set(self.is_high.get(q, ())) == names for q in QUADRANTS)
        if not names or not whole or set(self.high) != names:
            raise ValueError("the recipe does not say the same attributes of every quadrant")

    def values(self, quadrant: str) -> dict[str, float]:
        """Return the value asked for of each attribute."""
        bits = self.is_high[quadrant]
        return {name: (self.high if bits[name] else self.low)[name] for name in self.low}


def fit_recipe(
    clips: Sequence[LabelledClip], values: Matrix, edges: Mapping[str, Sequence[float]]
) -> Recipe:
    """Take each quadrant's bits from the clip nearest its mean; medians part low from high.

    Args:
        clips: Labelled clips of all quadrants.
        values: Their attributes, each a column in the order of `edges`.
        edges: Inner edges of each attribute's bins.

    Raises:
        ValueError: If a quadrant has no clip.

    Reference:
        EmoGen (Kang et al. 2023), with our attributes and network. There the clip's bits are
        asked for as they are; here low and high stand for the middle bins of either half.
        Nearness is by attributes standardised over all clips.
    """
    Z = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9)
    medians = np.median(values, axis=0)
    is_high, nearest = {}, {}
    for quadrant in QUADRANTS:
        own = np.flatnonzero([clip.quadrant == quadrant for clip in clips])
        if not len(own):
            raise ValueError(f"no labelled clip of {quadrant} could be measured")
        away = ((Z[own] - Z[own].mean(axis=0)) ** 2).sum(axis=1)
        best = int(own[away.argmin()])
        bits = (values[best] > medians).tolist()
        is_high[quadrant] = dict(zip(edges, bits, strict=True))
        nearest[quadrant] = clips[best].path.name
    low, high = (_centres(edges, which) for which in (LOW_BIN, HIGH_BIN))
    return Recipe(is_high, nearest, low, high)


def _centres(edges: Mapping[str, Sequence[float]], which: int) -> dict[str, float]:
    found = {}
    for name, own in edges.items():
        known = attribute(name)
        width = known.high - known.low
        middle = float(own[which - 1] + own[which]) / 2.0
        found[name] = min(max(middle, known.low - width), known.high + width)
    return found


def find_recipe(
    out_dir: Path,
    clips: Sequence[LabelledClip],
    checkpoint: Path,
    *,
    progress: Progress = lambda done, total: None,
) -> Recipe:
    """Read the recipe kept in a folder, or fit it on clips and keep it there.

    Finding the beats of a few hundred performances takes about a minute.

    Args:
        out_dir: Where it is kept.
        clips: Labelled clips of EMOPIA of the mapper's half.
        checkpoint: Whose `tables.json` holds the bins.
        progress: Called with clips measured and clips in all.

    Raises:
        ValueError: If the bins or what is kept cannot be read, or a quadrant has no clip.
    """
    path = out_dir / RECIPE_NAME
    if path.is_file():
        try:
            return Recipe(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"cannot read the recipe {path}: {error}") from error
    tables = read_tables(checkpoint)
    edges = dict(zip(tables["attributes"], tables["edges"], strict=True))
    measured = measure_clips(clips, progress=progress)
    values = measured.values.reshape(len(measured.clips), -1)
    values = values[:, [ATTRIBUTE_NAMES.index(name) for name in edges]]
    recipe = fit_recipe(measured.clips, values, edges)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(recipe), indent=1) + "\n")
    return recipe
