"""How bars and endings are filled, beside those of real songs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emomusic.evaluation.rows import Row, Table, section
from emomusic.evaluation.run import Context
from emomusic.music.notes import Notes
from emomusic.music.score import notes_of
from emomusic.music.tokenizer import beats_of
from emomusic.training.rows import Rows

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FILLED = ("notes a bar", "notes in the last bar", "longest note of the last bar, beats")


@section(
    "Bars and endings", Table(("empty bars", "overlong clips"), "name"), Table(FILLED, "quantile")
)
def fills(context: Context) -> Iterator[Row]:
    """Count how the bars of the first draws and of all songs of the rows are filled."""
    clips = context.clips
    yield from filled_bars(
        "composed", [(notes_of(c.score), c.n_bars, c.metre.beats) for c in clips]
    )
    for source in context.rows.meta["sources"]:
        yield from filled_real_bars(context.rows, source)


def filled_bars(what: str, clips: Sequence[tuple[Notes, int, int]]) -> Iterator[Row]:
    """Count how bars of clips are filled: the notes, bars and beats of a bar of each."""
    counts, length, overlong = [], [], 0
    for notes, n_bars, beats_per_bar in clips:
        bar = (notes.onset // beats_per_bar).astype(np.int64)
        overlong += bool((bar >= n_bars).any())
        counts.append(np.bincount(bar, minlength=n_bars)[:n_bars])
        ending = notes.duration[bar == n_bars - 1]
        length.append(float(ending.max(initial=0.0)))
    inside = np.concatenate(counts)
    yield Row("overlong clips", overlong, n=len(clips), by={"clips": what})
    yield from _filled(what, inside, np.array([own[-1] for own in counts]), np.array(length))


def filled_real_bars(rows: Rows, source: str) -> Iterator[Row]:
    """Count how the bars of a source's songs are filled, those of packed rows.

    The clips that end where their song ends stand for the endings.
    """
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
    yield Row("overlong clips", 0, n=int(own.sum()), by={"clips": source})
    yield from _filled(source, inside, per_bar[ends], np.array(longest))


def _filled(
    what: str, inside: NDArray[Any], last: NDArray[Any], longest: NDArray[Any]
) -> Iterator[Row]:
    yield Row("empty bars", int((inside == 0).sum()), by={"clips": what})
    for name, values in zip(FILLED, (inside, last, longest), strict=True):
        for at in QUANTILES if len(values) else ():
            by = {"clips": what, "quantile": f"{at:.0%}"}
            yield Row(name, round(float(np.quantile(values, at)), 2), by=by)
