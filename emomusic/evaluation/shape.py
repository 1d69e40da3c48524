"""Whether clips are whole: their bars, empty ones, how bars and endings are filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.composer import Clip
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.music.vocabulary import beats_of
from emomusic.training.rows import Rows

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Shape:
    """Hold how many notes begin in bars, over many clips.

    Attributes:
        what: Which clips.
        n_clips: How many.
        n_empty: Bars in which no note begins.
        n_overlong: Clips with notes beginning outside the bars asked for.
        bar: Quantiles (5, 25, 50, 75, 95 %) of the notes that begin in a bar.
        last_bar: The same of the last bars.
        last_length: The same of the longest note of the last bar, in beats.
    """

    what: str
    n_clips: int
    n_empty: int
    n_overlong: int
    bar: tuple[float, ...]
    last_bar: tuple[float, ...]
    last_length: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values."""
        return dict(vars(self))


def shape_of(what: str, clips: Sequence[tuple[Notes, int, int]]) -> Shape:
    """Count how bars are filled.

    Args:
        what: Names the clips.
        clips: Notes, number of bars and beats of a bar, of each.
    """
    counts, last, length, overlong = [], [], [], 0
    for notes, n_bars, beats_per_bar in clips:
        bar = (notes.onset // beats_per_bar).astype(np.int64)
        overlong += bool((bar >= n_bars).any())
        filled = np.bincount(bar, minlength=n_bars)[:n_bars]
        counts.append(filled)
        last.append(int(filled[-1]))
        ending = notes.duration[bar == n_bars - 1]
        length.append(float(ending.max()) if len(ending) else 0.0)
    bars = np.concatenate(counts)
    empty = int((bars == 0).sum())
    filled_last, longest = _quantiles(np.array(last)), _quantiles(np.array(length))
    return Shape(what, len(clips), empty, overlong, _quantiles(bars), filled_last, longest)


def composed_shape(clips: Sequence[Clip]) -> Shape:
    """Count how the bars of composed clips are filled."""
    found = [(notes_of(clip.score), clip.n_bars, clip.request.beats_per_bar) for clip in clips]
    return shape_of("composed", found)


def real_shape(rows: Rows, source: str) -> Shape:
    """Count how the bars of a source's songs are filled, those of packed rows.

    The clips that end where their song ends stand for the endings.

    Raises:
        ValueError: If the rows hold no such source.
    """
    if source not in rows.meta["sources"]:
        raise ValueError(f"the rows hold no source {source!r}")
    texts = rows.meta["vocabulary"]
    is_pitch = np.array([text.startswith("Pitch_") for text in texts])
    per_bar = np.add.reduceat(is_pitch[rows.ids].astype(np.int64), rows.bar_start[:-1])
    own = rows.song_source[rows.clip_song] == rows.meta["sources"].index(source)
    first, n_bars = rows.clip_bar[own], rows.clip_n_bars[own]
    inside = np.concatenate([per_bar[a : a + n] for a, n in zip(first, n_bars, strict=True)])
    ends = (first + n_bars - 1)[rows.clip_is_end[own]]
    lengths = np.array([beats_of(text) for text in texts])
    longest = [
        float(lengths[rows.ids[rows.bar_start[e] : rows.bar_start[e + 1]]].max()) for e in ends
    ]
    return Shape(
        source,
        int(own.sum()),
        int((inside == 0).sum()),
        0,
        _quantiles(inside),
        _quantiles(per_bar[ends]),
        _quantiles(np.array(longest)),
    )


def _quantiles(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(np.quantile(values, QUANTILES).round(2).tolist())
