"""Memorisation: what composed clips share with the training songs, against what real music does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emomusic.evaluation.memory.events import VIEWS, Stretch, stretches_of, views_of
from emomusic.evaluation.memory.floor import Excess, Spread, excess_of, spread_of
from emomusic.evaluation.memory.runs import longest_runs
from emomusic.evaluation.memory.windows import Piece, columns_of, draw_windows
from emomusic.music.notes import IntColumn, Notes
from emomusic.music.tokenizer import STEPS_PER_BEAT
from emomusic.training.rows import Rows

TRIMMED = 0.02
"""Share of the real windows, those with the longest runs, that the second floor leaves out."""
N_SHOWN = 10


@dataclass(frozen=True)
class Match:
    """Hold the longest run of a clip that is found in a training song, note for note.

    Attributes:
        clip: Index of the clip.
        beat: Where the run begins in the clip, in beats.
        n_events: Events, which is one less than onsets.
        n_distinct: Different events among them: few mean a scale or a repeated chord.
        n_beats: From its first onset to its last.
        song: Name of the training song.
        bar: Where it begins there: bars before it, from the first that training uses.
    """

    clip: int
    beat: float
    n_events: int
    n_distinct: int
    n_beats: float
    song: str
    bar: int

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {**vars(self), "beat": round(self.beat, 3), "n_beats": round(self.n_beats, 3)}


@dataclass(frozen=True)
class Measure:
    """Hold one measure of overlap, composed beside real.

    Attributes:
        composed: Over the composed clips.
        real: Over windows of held-back songs.
        real_trimmed: The same without the 2 % that have the longest runs: likely covers and
            duplicates of training songs.
        excess: Composed against `real`.
        excess_trimmed: Composed, all of it, against `real_trimmed`: a strict comparison.
    """

    composed: Spread
    real: Spread
    real_trimmed: Spread
    excess: Excess
    excess_trimmed: Excess

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {name: part.to_dict() for name, part in vars(self).items()}


@dataclass(frozen=True)
class ViewOverlap:
    """Hold the overlap in one view of the music, `melody` or `texture`.

    Attributes:
        measures: By name: `longest_events`, the longest run of a clip that occurs in a
            training song, and `longest_beats`, how long that run lasts (which says as much
            about the note density); `share_<n>`, the share of a clip's runs of n events that
            occur, of the clips that have n events. A measure that no clip has is left out.
        matches: The longest run of each clip, longest first, the first ten.
    """

    measures: Mapping[str, Measure]
    matches: tuple[Match, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        return {
            "measures": {name: measure.to_dict() for name, measure in self.measures.items()},
            "matches": [match.to_dict() for match in self.matches],
        }


@dataclass(frozen=True)
class Memorisation:
    """Hold what composed clips share with the training songs.

    Attributes:
        n_clips: Composed clips.
        n_windows: Windows of held-back songs that make the floor.
        n_held_back: Held-back songs that they were drawn from.
        n_training: Training songs.
        views: The overlap in each view of the music.
    """

    n_clips: int
    n_windows: int
    n_held_back: int
    n_training: int
    views: Mapping[str, ViewOverlap]

    def above_real(self) -> list[str]:
        """Name the measures in which composed exceeds real by more than chance."""
        return [
            f"{view} {name}"
            for view, overlap in self.views.items()
            for name, measure in overlap.measures.items()
            if measure.excess.is_above
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values."""
        plain = {name: value for name, value in vars(self).items() if name != "views"}
        views = {name: overlap.to_dict() for name, overlap in self.views.items()}
        return {**plain, "views": views, "above_real": self.above_real()}


def memorisation(
    clips: Sequence[Notes],
    rows: Rows,
    *,
    sources: Sequence[str] | None = None,
    n_windows: int = 5,
    seed: int = 0,
) -> Memorisation:
    """Hold clips against the training songs, and held-back songs against them as the floor.

    Each clip is matched by windows of held-back songs that have as many events as it has, in
    each view, so that both had as many chances of a match. Music is compared in beats and
    relative to the onset before, so transposed and at another tempo it is the same; written in
    notes of half or double the length it is not. A run of events never goes beyond its song.

    Args:
        clips: Notes of each clip, on the grid of the tokenizer (finer onsets are rounded).
        rows: Packed rows that the model was trained on.
        sources: Names of the sources that the windows are drawn from; None takes all. Training
            songs are always those of all sources.
        n_windows: Windows for each clip.
        seed: Of the windows and of the bootstrap.

    Raises:
        ValueError: If there are no clips, a source is unknown, or the rows hold no training or
            no held-back songs to draw from.

    Reference:
        Yin et al. (2021), the originality report, also set a baseline of real music beside
        generated music; we differ in taking exact runs of events, not a similarity of windows.
    """
    if not clips:
        raise ValueError("there are no clips to hold against the training songs")
    if n_windows < 1:
        raise ValueError(f"n_windows must be at least 1, got {n_windows}")
    training, held_back = _parted(rows, sources)
    composed = [views_of(notes) for notes in clips]
    song = np.array([stretch.song for stretch in held_back])
    views = {}
    for view in VIEWS:
        own = [lines[view] for lines in composed]
        real = [stretch.views[view] for stretch in held_back]
        runs = longest_runs([stretch.views[view] for stretch in training], [*own, *real])
        pieces = [Piece(o, r, 0, len(o)) for o, r in zip(own, runs, strict=False)]
        windows, songs = draw_windows(
            pieces, real, runs[len(own) :], song, n_windows=n_windows, seed=seed
        )
        measures = _compared(pieces, windows, songs, seed=seed)
        views[view] = ViewOverlap(measures, _matches(pieces, training, rows, view))
    return Memorisation(
        n_clips=len(clips),
        n_windows=n_windows * len(clips),
        n_held_back=len(np.unique(song)),
        n_training=len({stretch.song for stretch in training}),
        views=views,
    )


def _parted(rows: Rows, sources: Sequence[str] | None) -> tuple[list[Stretch], list[Stretch]]:
    """Return the stretches of the training songs and those of held-back songs of the sources."""
    names = rows.meta["sources"]
    chosen = names if sources is None else sources
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f"unknown source {unknown[0]!r}; known are {', '.join(names)}")
    training, held_back = [], []
    for stretch in stretches_of(rows):
        if not rows.song_is_validation[stretch.song]:
            training.append(stretch)
        elif names[rows.song_source[stretch.song]] in chosen:
            held_back.append(stretch)
    if not training or not held_back:
        raise ValueError(
            "the rows must hold training songs and held-back songs of the sources "
            f"{', '.join(chosen)}, got {len(training)} and {len(held_back)} stretches"
        )
    return training, held_back


def _compared(
    composed: Sequence[Piece], real: Sequence[Piece], songs: IntColumn, *, seed: int
) -> dict[str, Measure]:
    columns, real_columns = columns_of(composed), columns_of(real)
    n_trimmed = int(np.ceil(TRIMMED * len(real)))
    longest_first = np.argsort(-real_columns["longest_events"], kind="stable")
    kept = np.sort(longest_first[n_trimmed:]) if n_trimmed < len(real) else longest_first
    measures = {}
    for name, own in columns.items():
        other = real_columns[name]
        if not (np.isfinite(own).any() and np.isfinite(other[kept]).any()):
            continue
        measures[name] = Measure(
            composed=spread_of(own),
            real=spread_of(other),
            real_trimmed=spread_of(other[kept]),
            excess=excess_of(own, other, real_group=songs, seed=seed),
            excess_trimmed=excess_of(own, other[kept], real_group=songs[kept], seed=seed),
        )
    return measures


def _matches(
    pieces: Sequence[Piece], training: Sequence[Stretch], rows: Rows, view: str
) -> tuple[Match, ...]:
    """Return the longest run of each clip, the longest first."""
    lengths = np.array([piece.best()[1] for piece in pieces])
    order = np.argsort(-lengths, kind="stable")[:N_SHOWN]
    return tuple(
        _match(int(clip), pieces[clip], training, rows, view) for clip in order if lengths[clip]
    )


def _match(clip: int, piece: Piece, training: Sequence[Stretch], rows: Rows, view: str) -> Match:
    first, n_events = piece.best()
    stretch = training[int(piece.runs.line[first])]
    begins = stretch.views[view].step[int(piece.runs.at[first])] / STEPS_PER_BEAT
    return Match(
        clip=clip,
        beat=float(piece.line.step[first]) / STEPS_PER_BEAT,
        n_events=n_events,
        n_distinct=len(np.unique(piece.line.codes[first : first + n_events], axis=0)),
        n_beats=piece.line.beats(first, n_events),
        song=str(rows.meta["song_names"][stretch.song]),
        bar=stretch.bar_at(float(begins)),
    )
