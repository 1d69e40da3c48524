"""Whether clips are whole, what is given is in them, and songs held back are foretold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emomusic.compose.clip import Clip
from emomusic.compose.derive import continue_clip
from emomusic.compose.request import Request
from emomusic.data.chord_labels import agreement
from emomusic.emotion import QUADRANTS, find_emotion
from emomusic.evaluation.rows import (
    Interval,
    Matrix,
    Row,
    Table,
    mean_interval,
    ratio_interval,
    row_of,
    section,
    share,
)
from emomusic.model.engine import Engine
from emomusic.model.events import SLOTS, to_events
from emomusic.music.chords import find_chords, parse_chords
from emomusic.music.notes import Notes
from emomusic.music.score import ScoreError, notes_of, read_score
from emomusic.training.batches import ClipBatches
from emomusic.training.rows import Rows

if TYPE_CHECKING:
    from emomusic.evaluation.run import Context

ROUNDING = 1e-6
PROGRESSIONS = (
    "C G Am F", "Am F C G", "Dm7 G7 Cmaj7 Am7", "Em C G D", "Cm Ab Eb Bb", "Bm7b5 E7 Am Dm,Bdim",
)  # fmt: skip
N_BARS = 8
"""Bars over given chords, and bars that are added."""
AGREE = ("root", "root and third", "root and quality")
MAX_EVENTS = 60_000
"""Of songs that are foretold: about 300 clips."""
WHOLE = (
    "files that hold the notes composed", "clips with the bars asked for", "clips that end on time",
)  # fmt: skip


@section(
    "Bars and endings",
    Table(("whole clips", *WHOLE), note=
          "Read from their files. On time: a note begins in the last bar and none sounds "
          "beyond it. How bars are filled beside real ones is a study (`studies/distributions`)."),
    uses=("count", "bars", "seed", "steering"),
)  # fmt: skip
def shape(context: Context) -> Iterator[Row]:
    """Count which clips are whole."""
    yield from whole_clips(context.clips, context.out)


def whole_clips(clips: Sequence[Clip], folder: Path) -> Iterator[Row]:
    """Read the files of clips again and count those that are whole.

    The tokens of the ending are given to the model and are not in the score, so the end is told
    by the notes. The clips, at least one, were written by `write_clips` into the folder.
    """
    found = np.array([_checks(clip, folder / f"clip_{clip.index:05d}.mid") for clip in clips])
    yield row_of("whole clips", share(int(found.all(axis=1).sum()), len(clips)), len(clips))
    for name, count in zip(WHOLE, found.sum(axis=0).tolist(), strict=True):
        yield Row(name, count, n=len(clips))


def _checks(clip: Clip, path: Path) -> tuple[bool, bool, bool]:
    try:
        notes = notes_of(read_score(path))
    except ScoreError:
        return False, False, False
    n_beats = clip.metre.quarters
    bar = np.floor((notes.onset + ROUNDING) / n_beats).astype(np.int64)
    filled = np.bincount(bar, minlength=clip.n_bars)
    sounds_until = float((notes.onset + notes.duration).max())
    return (
        len(notes) == len(notes_of(clip.score)),
        len(filled) == clip.n_bars and bool(filled.all()),
        bool((bar == clip.n_bars - 1).any()) and sounds_until <= clip.n_bars * n_beats + ROUNDING,
    )


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
    for of, shares in zip(AGREE, found.T, strict=True):
        yield row_of("chords found again", mean_interval(shares), len(asked), of=of)
    longer = context.compose([continue_clip(clip, N_BARS) for clip in context.clips])
    pairs = zip(context.notes, longer, strict=True)
    kept = np.array([share_kept(notes, notes_of(clip.score)) for notes, clip in pairs])
    yield row_of("given notes kept", mean_interval(kept), len(kept))


def chords_found(clip: Clip) -> tuple[float, ...]:
    """Return the share of half bars whose given chord is found by its root, third, and quality."""
    bars = parse_chords(clip.request.chords or "")
    numbers = np.resize(np.array(bars), (clip.n_bars, 2))
    lines = clip.metre.quarters * np.arange(clip.n_bars + 1, dtype=np.float64)
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


class Losses(NamedTuple):
    """Hold what it costs to foretell some clips.

    What is not learnt, such as the velocities of songs without dynamics, costs nothing.
    """

    nats: Matrix  # sums over each clip and slot, shape (n_clips, n_slots)
    n_notes: NDArray[np.int64]  # of each clip, shape (n_clips,)
    song: NDArray[np.int64]  # of each clip, shape (n_clips,)

    @property
    def by_slot(self) -> dict[str, float]:
        """Return nats a note of each slot; the ends of bars and clips are part of `advance`."""
        means = self.nats.sum(axis=0) / self.n_notes.sum()
        return dict(zip(SLOTS, means.tolist(), strict=True))

    def per_note(self) -> Interval:
        """Return nats a note with their 95 % interval, drawing songs."""
        return ratio_interval(self.nats.sum(axis=1), self.n_notes.astype(np.float64), self.song)

    def ratio_to(self, other: Losses) -> Interval:
        """Return the ratio to the loss of another engine on the same clips, with its interval."""
        return ratio_interval(self.nats.sum(axis=1), other.nats.sum(axis=1), self.song)


def held_back_losses(engine: Engine, rows: Rows, *, max_events: int = MAX_EVENTS) -> Losses:
    """Return the losses on the songs held back, all clip-wide controls given.

    After `max_events` events no further clip is looked at.
    """
    config, most = engine.config, engine.config.context
    batches = ClipBatches(
        rows, validation=True, batch_events=most, context=most, seed=1, augmentation=None
    )
    layout = batches.layout
    if (layout.n_ids, layout.events) != (config.vocab_size, config.layout):
        raise ValueError("the rows are of another vocabulary than the checkpoint")
    nats, seen = [], 0
    clips = np.random.default_rng(0).permutation(batches.clips)
    for clip in clips:
        if seen >= max_events:
            break
        ids, learnt = batches.sequence(int(clip), np.random.default_rng(0))
        events = to_events(ids, layout.events, layout.kinds, learnt)
        cost = np.where(events.learnt, engine.nats(ids), 0.0)
        nats.append(cost.sum(axis=0, dtype=np.float64))
        seen += len(events.start)
    own = clips[: len(nats)]
    return Losses(np.array(nats), batches.n_notes[own], rows.clip_song[own].astype(np.int64))


@section(
    "Unseen songs foretold",
    Table(("nats a note", "nats of its slot"), note=
          "Negative log-likelihood of notes of songs held back, all clip-wide controls given; "
          "intervals draw songs again. `advance` says whether another note is struck at the same "
          "moment, and else when the next one is, or that the bar or the clip ends. What is not "
          "learnt, such as the velocities of songs without dynamics, costs nothing."),
    uses=("quick", "rows"),
    needs_rows=True,
)  # fmt: skip
def loss(context: Context) -> Iterator[Row | str]:
    """Foretell songs held back."""
    engine, most = context.composer.engine, context.extent.max_events
    found = held_back_losses(engine, context.rows, max_events=most)
    yield row_of("nats a note", found.per_note(), int(found.n_notes.sum()))
    yield from (Row("nats of its slot", x, by={"slot": s}) for s, x in found.by_slot.items() if x)
    yield f"{len(found.nats)} clips of {len(np.unique(found.song))} songs."
