"""Labelled real music as the transformer reads it: ids without controls, and what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emomusic.music.attributes import attribute
from emomusic.training.batches import Layout
from emomusic.training.rows import Rows
from emomusic.verify.labels import LabelledClip

MAX_BARS = 16
NOTE_KINDS = ("Position", "Pitch", "Velocity", "Duration")
"""Tokens that tell a note."""
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Excerpt:
    """Hold the first bars of a labelled clip, moved to C as the transformer learnt music.

    Attributes:
        ids: BOS and the bars, no control among them, shape (n_ids,).
        is_note: Which of them tell a note, shape (n_ids,).
        group: The song.
        source: The collection it is from.
        quadrant: What people heard in it.
        valence: Mean of the listeners' values, NaN where nobody was asked; so arousal.
        arousal: The same.
        values: Attributes of the excerpt as moved, in the order of the rows; NaN where the
            song's velocities mean nothing to them.
    """

    ids: Ids
    is_note: NDArray[np.bool_]
    group: str
    source: str
    quadrant: str
    valence: float
    arousal: float
    values: NDArray[np.float64]


def labelled_excerpts(
    rows: Rows, labelled: Sequence[LabelledClip], *, max_bars: int = MAX_BARS
) -> list[Excerpt]:
    """Find labelled clips in the packed rows, and take the longest stretch of each, the first.

    Its attributes are those that preparation measured on `decode(encode(score))`.

    Args:
        rows: Packed rows.
        labelled: Labelled clips; those that the rows do not hold are passed over.
        max_bars: Most bars of a stretch.

    Raises:
        ValueError: If the rows hold none of them.
    """
    labels = {_name(clip.source, clip.path): clip for clip in labelled}
    names = [name.removeprefix("emotion/") for name in rows.meta["song_names"]]
    clips = np.flatnonzero(rows.clip_n_bars <= max_bars)
    order = np.lexsort((rows.clip_bar[clips], -rows.clip_n_bars[clips].astype(int)))
    first: dict[str, int] = {}
    for clip in clips[order].tolist():
        name = names[rows.clip_song[clip]]
        if name in labels:
            first.setdefault(name, clip)
    if not first:
        raise ValueError("the packed rows hold none of the labelled clips")
    layout = Layout(rows)
    tells = np.array([text.startswith(NOTE_KINDS) for text in rows.meta["vocabulary"]])
    return [_excerpt(rows, layout, tells, first[name], labels[name]) for name in sorted(first)]


def _name(source: str, path: Path) -> str:
    return f"{source}/{path.name}"


def _excerpt(
    rows: Rows, layout: Layout, tells: NDArray[np.bool_], clip: int, label: LabelledClip
) -> Excerpt:
    bar, shift = int(rows.clip_bar[clip]), int(rows.clip_shift[clip])
    end = rows.bar_start[bar + int(rows.clip_n_bars[clip])]
    body = rows.ids[rows.bar_start[bar] : end].astype(np.int64)
    is_pitch = (body >= layout.lowest) & (body <= layout.highest)
    body[is_pitch] = np.clip(body[is_pitch] + shift, layout.lowest, layout.highest)
    ids = np.concatenate([[layout.bos], body])
    return Excerpt(
        ids=ids,
        is_note=tells[ids],
        group=label.group,
        source=label.source,
        quadrant=label.quadrant,
        valence=np.nan if label.valence is None else label.valence,
        arousal=np.nan if label.arousal is None else label.arousal,
        values=_values(rows, clip, shift),
    )


def _values(rows: Rows, clip: int, shift: int) -> NDArray[np.float64]:
    """Return a clip's attributes as if it had been moved so many semitones."""
    values: NDArray[np.float64] = rows.clip_values[clip].astype(np.float64)
    has_dynamics = bool(rows.song_has_dynamics[rows.clip_song[clip]])
    for i, name in enumerate(rows.meta["attributes"]):
        known = attribute(name)
        values[i] += shift * known.per_semitone
        if known.needs_dynamics and not has_dynamics:
            values[i] = np.nan
    return values
