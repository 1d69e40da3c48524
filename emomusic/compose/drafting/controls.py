"""What the control ids of clips and of bars say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import UNREADABLE
from emomusic.music.attributes import ATTRIBUTE_NAMES, BAR_ATTRIBUTE_NAMES, attribute
from emomusic.music.reading import read_json
from emomusic.music.tokenizer import N_BINS, Vocabulary

TABLES_NAME = "tables.json"
MAX_BYTES = 2**20


@dataclass(frozen=True)
class Controls:
    """Hold which control id says which value.

    Attributes:
        names: Attributes, in the order in which the model reads them.
        edges: Inner edges of each attribute's bins, shape (n_names, n_bins - 1).
        first: The first control id of each, shape (n_names,); the other bins follow it.
    """

    names: Sequence[str]
    edges: NDArray[np.float64]
    first: NDArray[np.int64]

    def ids(self, values: Mapping[str, float], *, shift: int) -> tuple[int, ...]:
        """Return the control ids of values, those that are absent left out.

        Args:
            values: Attribute values, as they are to be heard.
            shift: Semitones by which the music is moved after it was written.
        """
        found = []
        for name, edges, first in zip(self.names, self.edges, self.first.tolist(), strict=True):
            if name in values:
                written = values[name] - shift * attribute(name).per_semitone
                found.append(first + int((written >= edges).sum()))
        return tuple(found)


def read_controls(path: Path, vocabulary: Vocabulary) -> tuple[Controls, Controls]:
    """Return what the control ids of clips and those of bars say.

    Args:
        path: The checkpoint's `tables.json`.
        vocabulary: Its tokens.

    Raises:
        ValueError: If the file is missing or damaged, or holds other attributes.
    """
    try:
        tables = read_json(path, max_bytes=MAX_BYTES)
        clip, bar = (
            Controls(
                names,
                _read_edges(tables, names, kind),
                vocabulary.control_ids(names, per_bar=bool(kind)),
            )
            for kind, names in (("", ATTRIBUTE_NAMES), ("bar_", BAR_ATTRIBUTE_NAMES))
        )
    except UNREADABLE as error:
        raise ValueError(f"cannot read the bins {path}: {error}") from error
    return clip, bar


def _read_edges(tables: Mapping[str, Any], names: Sequence[str], kind: str) -> NDArray[np.float64]:
    edges = np.array(tables[f"{kind}edges"], dtype=np.float64)
    if tables[f"{kind}attributes"] != list(names):
        raise ValueError("its attributes are not those of this version")
    if edges.shape != (len(names), N_BINS - 1) or not np.isfinite(edges).all():
        raise ValueError(f"it holds edges of shape {edges.shape}, or not finite ones")
    return edges
