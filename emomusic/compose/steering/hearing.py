"""What the helm hears of the bars so far: the attributes, in the key that is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emomusic.model.grammar import Segments
from emomusic.music.attributes import measure
from emomusic.music.key import key_correlations
from emomusic.music.passage import Passage

Listen = Callable[[Segments], Passage]
LATELY_BEATS, LEAST_NOTES = 12.0, 8


@dataclass(frozen=True)
class Heard:
    """Hold what is heard.

    Attributes:
        values: Of each attribute asked for, in that order; `mode` counts on C, where the music is
            written, and not on the tonic of the key that is found.
        fits: How well each key fits, shape (2, 12), see `key_correlations`.
        lately: The share of the last bars' notes that each pitch class has, shape (12,).
    """

    values: NDArray[np.float64]
    fits: NDArray[np.float64]
    lately: NDArray[np.float64]

    def at_home(self, *, is_major: bool) -> float:
        """Return by how much the key on C fits better than the best other, -2 to 2."""
        others = self.fits.copy()
        others[int(not is_major), 0] = -1.0
        return float(self.fits[int(not is_major), 0] - others.max())


def hear(passage: Passage, names: Sequence[str]) -> Heard:
    """Measure attributes of a passage as it is written, in C."""
    fits = key_correlations(passage.notes)
    values = measure(passage, names)
    if "mode" in values:
        values["mode"] = float(fits[0, 0] - fits[1, 0]) / 2
    late = passage.notes.pitch[passage.notes.onset >= passage.n_beats - LATELY_BEATS]
    counts = np.bincount(late % 12, minlength=12)
    return Heard(np.array(list(values.values())), fits, counts / max(len(late), LEAST_NOTES))
