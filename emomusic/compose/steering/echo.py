"""Echoes: what leads a bar along an earlier one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emomusic.music.tokenizer import Vocabulary

RHYTHM, PITCHES, LENGTHS, VELOCITIES = 2.5, 3.5, 1.0, 0.25
"""How strongly an echo is led along the bar that it takes up, in nats."""
TO_MINOR, TO_MAJOR = {4: 3, 9: 8, 11: 10}, {3: 4, 8: 9, 10: 11}
"""Pitch classes of C major, and of C minor, that the other mode has beside them."""
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
        self._is_chord = np.zeros(len(vocabulary), dtype=bool)
        self._is_chord[[*vocabulary.kind_ids("ChordA"), *vocabulary.kind_ids("ChordB")]] = True
        self._end, self._same = vocabulary.id_of("Bar_None"), len(vocabulary)
        self._to = {
            is_major: _other_mode(vocabulary, TO_MAJOR if is_major else TO_MINOR)
            for is_major in (False, True)
        }

    def chords(self, bar: Sequence[int]) -> NDArray[np.int64]:
        """Return the ids of a bar's chords."""
        ids = np.array(bar, np.int64)
        return ids[self._is_chord[ids]]

    def pairs(
        self, bar: Sequence[int], *, to_major: bool | None = None, whole: bool = True
    ) -> Pairs:
        """Return the pairs of `Lean` that lead along a bar.

        Args:
            bar: Its sampled ids.
            to_major: The mode in which it is taken up, where that is another one: its third,
                sixth and seventh are altered. None takes it as it is.
            whole: Whether notes are taken up too, and not only when they are struck.
        """
        if to_major is not None:
            bar = self._to[to_major][np.array(bar, np.int64)].tolist()
        found: dict[tuple[int, int], float] = {}
        position = pitch = struck = -1
        for token in bar:
            kind = self._kind[token]
            if not kind:
                continue  # its chords
            if kind == "Position":
                found[position, token] = RHYTHM
                position = token
            elif not whole:
                continue
            elif kind == "Pitch":
                found[position, token] = PITCHES
                if struck == position:
                    found[pitch, self._same] = RHYTHM
                struck, pitch = position, token
            else:
                found[pitch, token] = VELOCITIES if kind == "Velocity" else LENGTHS
        found[position, self._end] = RHYTHM
        return np.array(list(found), np.int32), np.array(list(found.values()), np.float32)


def _other_mode(vocabulary: Vocabulary, altered: Mapping[int, int]) -> NDArray[np.int64]:
    """Return the id that stands for each in the other mode, shape (vocab_size,)."""
    ids = np.arange(len(vocabulary))
    own = vocabulary.kind_ids("Pitch")
    pitches = [int(text) for text in vocabulary.values("Pitch")]
    of_pitch = dict(zip(pitches, own.tolist(), strict=True))
    for pitch, token in of_pitch.items():
        to = pitch - pitch % 12 + altered.get(pitch % 12, pitch % 12)
        ids[token] = of_pitch.get(to, token)
    return ids
