"""Whether clips are whole, and what is given is in them: chords found again, notes gone on from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip
from emomusic.compose.derive import continue_clip
from emomusic.compose.request import Request
from emomusic.data.chord_labels import agreement
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.evaluation.rows import Row, Table, mean_interval, row_of, section, share
from emomusic.music.chords import find_chords, parse_chords
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.music.tokenizer import beats_of
from emomusic.training.rows import Rows

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

ROUNDING = 1e-6
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PROGRESSIONS = (
    "C G Am F", "Am F C G", "Dm7 G7 Cmaj7 Am7", "Em C G D", "Cm Ab Eb Bb", "Bm7b5 E7 Am Dm,Bdim",
)  # fmt: skip
N_BARS = 8
"""Bars over given chords, and bars that are added."""
AGREE = ("root", "root and third", "root and quality")
FILLED = ("notes a bar", "notes in the last bar", "longest note of the last bar, beats")


@section(
    "Bars and endings",
    Table(("whole clips", "files that hold the notes composed", "clips with the bars asked for",
           "clips that end on time"), note=
          "Read from their files. On time: a note begins in the last bar and none sounds "
          "beyond it."),
    Table(("empty bars", "overlong clips"), "name"),
    Table(FILLED, "quantile"),
    uses=("count", "bars", "seed", "steering", "rows"),
)  # fmt: skip
def shape(context: Context) -> Iterator[Row]:
    """Count which clips are whole, and how bars and endings are filled."""
    clips = context.clips
    yield from whole_clips(clips, context.out)
    yield from filled_bars(
        "composed", [(notes_of(c.score), c.n_bars, c.request.beats_per_bar) for c in clips]
    )
    if context.rows_path is not None:
        for source in context.rows.meta["sources"]:
            yield from filled_real_bars(context.rows, source)


def whole_clips(clips: Sequence[Clip], folder: Path) -> Iterator[Row]:
    """Read the files of clips again and count those that are whole.

    The tokens of the ending are given to the model and are not in the score, so the end is told
    by the notes.

    Args:
        clips: At least one, written by `write_clips` into the folder.
    """
    found = np.array([_checks(clip, folder / f"clip_{clip.index:05d}.mid") for clip in clips])
    yield row_of("whole clips", share(int(found.all(axis=1).sum()), len(clips)), len(clips))
    names = ("files that hold the notes composed", "clips with the bars asked for",
             "clips that end on time")  # fmt: skip
    for name, count in zip(names, found.sum(axis=0).tolist(), strict=True):
        yield Row(name, count, n=len(clips))


def _checks(clip: Clip, path: Path) -> tuple[bool, bool, bool]:
    try:
        notes = notes_of(read_score(path))
    except ScoreError:
        return False, False, False
    n_beats = clip.request.beats_per_bar
    bar = np.floor((notes.onset + ROUNDING) / n_beats).astype(np.int64)
    filled = np.bincount(bar, minlength=clip.n_bars)
    sounds_until = float((notes.onset + notes.duration).max())
    return (
        len(notes) == len(notes_of(clip.score)),
        len(filled) == clip.n_bars and bool(filled.all()),
        bool((bar == clip.n_bars - 1).any()) and sounds_until <= clip.n_bars * n_beats + ROUNDING,
    )


def filled_bars(what: str, clips: Sequence[tuple[Notes, int, int]]) -> Iterator[Row]:
    """Count how bars of clips are filled: the notes, bars and beats of a bar of each."""
    counts, length, overlong = [], [], 0
    for notes, n_bars, beats_per_bar in clips:
        bar = (notes.onset // beats_per_bar).astype(np.int64)
        overlong += bool((bar >= n_bars).any())
        counts.append(np.bincount(bar, minlength=n_bars)[:n_bars])
        ending = notes.duration[bar == n_bars - 1]
        length.append(float(ending.max()) if len(ending) else 0.0)
    inside = np.concatenate(counts)
    yield Row("overlong clips", overlong, n=len(clips), by={"clips": what})
    yield from _filled(what, inside, np.array([own[-1] for own in counts]), np.array(length))


def filled_real_bars(rows: Rows, source: str) -> Iterator[Row]:
    """Count how the bars of a source's songs are filled, those of packed rows.

    The clips that end where their song ends stand for the endings.
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
    lines = clip.request.beats_per_bar * np.arange(clip.n_bars + 1, dtype=np.float64)
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
