"""What a checkpoint's tables hold: what its control ids say, and the forms of real pieces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.files import UNREADABLE
from emomusic.music.attributes import attribute
from emomusic.music.form import FormTable
from emomusic.music.reading import read_json
from emomusic.music.tokenizer import N_BINS, Vocabulary

TABLES_NAME = "tables.json"
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Controls:
    """Hold which control id says which value.

    Attributes:
        names: Attributes that the checkpoint was trained with, in the order in which it reads
            them.
        edges: Inner edges of each attribute's bins, shape (n_names, n_bins - 1).
        first: The first control id of each, shape (n_names,); the other bins follow it.
    """

    names: Sequence[str]
    edges: NDArray[np.float64]
    first: NDArray[np.int64]

    def ids(self, values: Mapping[str, float], *, shift: int) -> tuple[int, ...]:
        """Return the control ids of values, those that are absent left out.

        Args:
            values: Attribute values, as they are to be heard; those without controls say nothing.
            shift: Semitones by which the music is moved after it was written.
        """
        found = []
        for name, edges, first in zip(self.names, self.edges, self.first.tolist(), strict=True):
            if name in values:
                written = values[name] - shift * attribute(name).per_semitone
                found.append(first + int((written >= edges).sum()))
        return tuple(found)

    def check(self, names: Iterable[str]) -> None:
        """Check that attributes can be asked for.

        Raises:
            ValueError: If the checkpoint was trained without one.
        """
        for name in names:
            if name not in self.names:
                raise ValueError(
                    f"the checkpoint was trained without {name}; "
                    f"it can be asked for {', '.join(self.names)}"
                )


@dataclass(frozen=True)
class Tables:
    """Hold what a checkpoint knows of its training beside the weights.

    Attributes:
        clip: The control ids of clips.
        bar: Those of bars.
        forms: How real pieces go; None leaves all bars free.
    """

    clip: Controls
    bar: Controls
    forms: FormTable | None = None


def read_tables(path: Path, vocabulary: Vocabulary) -> Tables:
    """Read a checkpoint's tables.

    Args:
        path: The checkpoint's `tables.json`.
        vocabulary: Its tokens.

    Raises:
        ValueError: If the file is missing or damaged, or holds attributes that are not known.
    """
    try:
        tables = read_json(path, max_bytes=MAX_BYTES)
        clip, bar = (_controls(tables, vocabulary, kind) for kind in ("", "bar_"))
        forms = None
        if "forms" in tables:
            forms = FormTable(tuple(tables["forms"]), tuple(tables.get("harmonies", ())))
    except UNREADABLE as error:
        raise ValueError(f"cannot read the tables {path}: {error}") from error
    return Tables(clip, bar, forms)


def _controls(tables: Mapping[str, Any], vocabulary: Vocabulary, kind: str) -> Controls:
    names = tuple(tables[f"{kind}attributes"])
    for name in names:
        attribute(name)
    edges = np.array(tables[f"{kind}edges"], dtype=np.float64)
    if edges.shape != (len(names), N_BINS - 1) or not np.isfinite(edges).all():
        raise ValueError(f"it holds edges of shape {edges.shape}, or not finite ones")
    return Controls(names, edges, vocabulary.control_ids(names, per_bar=bool(kind)))
