"""What is usual in labelled piano music: the middle from which a cause departs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np

from emomusic.music.notes import FloatColumn, Notes
from emomusic.verify.features import FLAT_SPREAD
from emomusic.verify.features.hearing import WINDOW_S, group_starts, hear

SHARES = np.linspace(0.0, 1.0, 21)
"""Shares of clips at which quantiles are kept."""


def mode_of(notes: Notes) -> float:
    """Return how much better the signature's major key fits than its minor key, in [-2, 2]."""
    hearing = hear(notes)
    return float(hearing.major[0] - hearing.minor[9])


def tempo_of(notes: Notes) -> float:
    """Return log2 of the onsets a second: what is heard as speed, whatever the beat is called."""
    return float(np.log2(len(group_starts(notes.onset_s)) / _span_s(notes)))


def loudness_of(notes: Notes) -> float | None:
    """Return the median velocity, None where all notes are equally loud."""
    if float(notes.velocity.std()) < FLAT_SPREAD:
        return None
    return float(np.median(notes.velocity))


def register_of(notes: Notes) -> float:
    """Return the mean pitch."""
    return float(notes.pitch.mean())


def density_of(notes: Notes) -> float:
    """Return log2 of the notes a second."""
    return float(np.log2(len(notes) / _span_s(notes)))


def _span_s(notes: Notes) -> float:
    end_s = float((notes.onset_s + notes.duration_s).max())
    return max(end_s - float(notes.onset_s[0]), WINDOW_S)


MEASURES: Mapping[str, Callable[[Notes], float | None]] = MappingProxyType(
    {
        "mode": mode_of,
        "tempo": tempo_of,
        "loudness": loudness_of,
        "register": register_of,
        "density": density_of,
    }
)
"""What measures each cause, by its name."""


@dataclass(frozen=True)
class Typical:
    """Hold how often each value of a cause occurs in labelled music.

    Attributes:
        quantiles: By cause, its values at `SHARES`, rising, shape (21,).
        n_clips: From how many clips.
    """

    quantiles: Mapping[str, FloatColumn]
    n_clips: int

    def __post_init__(self) -> None:
        """Check the quantiles.

        Raises:
            ValueError: If a cause is missing or its quantiles are not 21 rising numbers.
        """
        for name in MEASURES:
            values = np.asarray(self.quantiles.get(name, ()))
            if values.shape != SHARES.shape or not (np.diff(values) >= 0).all():
                raise ValueError(f"quantiles of {name} must be {len(SHARES)} rising numbers")

    @classmethod
    def measured(cls, clips: Sequence[Notes]) -> Typical:
        """Measure clips; those of flat velocity say nothing about loudness.

        Raises:
            ValueError: If no clip is given, or all have flat velocities.
        """
        quantiles = {}
        for name, measure in MEASURES.items():
            values = [value for clip in clips if (value := measure(clip)) is not None]
            if not values:
                raise ValueError(f"no clip to measure {name} on, of {len(clips)} clips")
            quantiles[name] = np.quantile(values, SHARES)
        return cls(quantiles, len(clips))

    def middle(self, cause: str) -> float:
        """Return the median of a cause."""
        return float(self.quantiles[cause][len(SHARES) // 2])

    def percentile(self, cause: str, value: float) -> float:
        """Return the share of clips below a value, in [0, 1]."""
        return float(np.interp(value, self.quantiles[cause], SHARES))

    def to_dict(self) -> dict[str, object]:
        """Return all as plain values, as `typical.json` holds them."""
        rounded = {name: np.round(v, 3).tolist() for name, v in self.quantiles.items()}
        return {"n_clips": self.n_clips, "quantiles": rounded}


@cache
def typical() -> Typical:
    """Return what is usual in the labelled clips from which the shipped table was measured."""
    text = files("emomusic.verify.explanation").joinpath("typical.json").read_text("utf-8")
    table = json.loads(text)
    return Typical(
        {name: np.array(values) for name, values in table["quantiles"].items()}, table["n_clips"]
    )
