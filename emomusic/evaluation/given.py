"""Whether what is given is in the music: chords found again in its notes, notes gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from emomusic.compose.clip import Clip
from emomusic.compose.derive import continue_clip
from emomusic.compose.request import Request
from emomusic.data.chord_labels import agreement
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.evaluation.rows import Row, Table, mean_interval, row_of, section
from emomusic.music.chord_names import parse_chords
from emomusic.music.chords import find_chords
from emomusic.music.notes import FloatColumn, Notes
from emomusic.music.score import notes_of

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

PROGRESSIONS = (
    "C G Am F", "Am F C G", "Dm7 G7 Cmaj7 Am7", "Em C G D", "Cm Ab Eb Bb", "Bm7b5 E7 Am Dm,Bdim",
)  # fmt: skip
N_BARS = 8
"""Bars over given chords, and bars that are added."""
AGREE = ("root", "root and third", "root and quality")


@section(
    "What is given",
    Table(("chords found again",), "of", note=
          "Share of half bars over given chords in whose notes the chord is found by template "
          "match; six progressions, each quadrant. Intervals draw clips."),
    Table(("given notes kept",), note=
          "Of first draws that go on: the share of their notes that stand in the longer piece."),
    uses=("count", "bars", "seed", "steering", "quick"),
)  # fmt: skip
def given(context: Context) -> Iterator[Row]:
    """Compose over chords, and go on from the first draws."""
    asked = [
        Request(find_emotion(quadrant), n_bars=N_BARS, chords=chords)
        for chords in PROGRESSIONS
        for quadrant in QUADRANTS
        for _ in range(context.extent.n_over_chords)
    ]
    found = np.array([chords_found(clip) for clip in context.compose(asked)])
    n = len(asked)
    for of, shares in zip(AGREE, found.T, strict=True):
        yield row_of("chords found again", mean_interval(shares, range(n)), n, of=of)
    longer = context.compose([continue_clip(clip, N_BARS) for clip in context.clips])
    kept = np.array(
        [share_kept(notes, notes_of(clip.score))
         for notes, clip in zip(context.notes, longer, strict=True)]
    )  # fmt: skip
    yield row_of("given notes kept", mean_interval(kept, range(len(kept))), len(kept))


def chords_found(clip: Clip) -> tuple[float, ...]:
    """Return the share of half bars whose given chord is found by its root, third, and quality."""
    bars = parse_chords(clip.request.chords or "")
    numbers = np.resize(np.array(bars), (clip.n_bars, 2))
    lines: FloatColumn = clip.request.beats_per_bar * np.arange(clip.n_bars + 1, dtype=np.float64)
    n, *same = agreement(numbers.ravel(), find_chords(notes_of(clip.score), lines)[0].ravel())
    return tuple(count / n for count in same)


def share_kept(given: Notes, whole: Notes) -> float:
    """Return the share of given notes that stand in a piece: onset in beats, pitch, velocity."""
    there, wanted = (
        [*zip(own.onset.round(6).tolist(), own.pitch.tolist(), own.velocity.tolist(), strict=True)]
        for own in (whole, given)
    )
    known = set(there)
    return float(np.mean([note in known for note in wanted]))
