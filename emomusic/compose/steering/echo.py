"""Echoes: what leads a bar along an earlier one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emomusic.music.tokenizer import Vocabulary

RHYTHM, PITCHES, LENGTHS, VELOCITIES = 1.5, 2.25, 0.5, 0.25
"""How strongly an echo is led along the bar that it takes up, in nats."""
Pairs = tuple[NDArray[np.int32], NDArray[np.float32]]


class Echoes:
    """Lead a bar along the ids of an earlier one: the same onsets, pitches, lengths.

    What leads are pairs of an id and one that followed it, so that the bar may leave the other
    anywhere, and come back.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Look up what each id says."""
        self._kind = np.full(len(vocabulary), "", dtype=object)
        for kind in ("Position", "Pitch", "Velocity", "Duration"):
            self._kind[vocabulary.kind_ids(kind)] = kind
        self._end = vocabulary.id_of("Bar_None")

    def pairs(self, bar: list[int]) -> Pairs:
        """Return the pairs of `Lean` that lead along a bar.

        Args:
            bar: Its sampled ids.
        """
        found: dict[tuple[int, int], float] = {}
        position = pitch = -1
        for token in bar:
            kind = self._kind[token]
            if kind == "Position":
                found[position, token] = RHYTHM
                position = token
            elif kind == "Pitch":
                found[position, token] = PITCHES
                pitch = token
            else:
                found[pitch, token] = VELOCITIES if kind == "Velocity" else LENGTHS
        found[position, self._end] = RHYTHM
        return np.array(list(found), np.int32), np.array(list(found.values()), np.float32)
