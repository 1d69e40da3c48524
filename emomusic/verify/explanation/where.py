"""Where in a piece the verdict comes from: windows heard alone, and the piece without them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.explanation.explain import Explanation, emotion_word, explain
from emomusic.verify.explanation.hearing import SIGNS, Hears, Matrix, odds_of
from emomusic.verify.explanation.words import seconds, span

if TYPE_CHECKING:
    from symusic.core import ScoreTick

WINDOW_BARS = 4
WINDOW_S = 8.0
"""Width of a window where bars are not known."""
MAX_WINDOWS = 24
"""Longer pieces have wider windows, so that the time they take stays bounded."""
MAX_BEATS = 20_000
"""In longer scores windows are told in seconds."""
MIN_NOTES = 4
"""A window of fewer notes is not heard: it has no key and no rhythm."""
LEAST_PULL = 0.05
"""Log odds by which a window must move the whole to be named."""


@dataclass(frozen=True)
class Window:
    """Hold what is heard in a stretch of a piece.

    Attributes:
        start_s: Seconds.
        end_s: Seconds.
        bars: First and last bar, counted from 1; None where bars are not known.
        quadrant: What is heard in it alone.
        valence: The same, in [-1, 1].
        arousal: The same, in [-1, 1].
        fit: Log odds of the sides of the verdict on the whole, valence and arousal summed: how
            much the window alone sounds like the whole.
        pull: Log odds of the quadrant of the whole, less those of the whole without the window.
    """

    start_s: float
    end_s: float
    bars: tuple[int, int] | None
    quadrant: str
    valence: float
    arousal: float
    fit: float
    pull: float

    @property
    def name(self) -> str:
        """Name it by its bars, or by its time where there are none."""
        return _stretch(self, self)


@dataclass(frozen=True)
class Course:
    """Hold how the emotion of a piece runs.

    Attributes:
        quadrant: Of the whole.
        emotion: Its adjective.
        windows: In the order of time; those of fewer than four notes are left out.
    """

    quadrant: str
    emotion: str
    windows: tuple[Window, ...]

    @property
    def fittest(self) -> Window | None:
        """Return the window that sounds most like the verdict; None of fewer than two."""
        return max(self.windows, key=lambda w: w.fit) if len(self.windows) > 1 else None

    @property
    def heaviest(self) -> Window | None:
        """Return the window without which the verdict would lose most; None if none matters."""
        best = max(self.windows, key=lambda w: w.pull) if len(self.windows) > 1 else None
        return best if best is not None and best.pull >= LEAST_PULL else None

    @property
    def sentence(self) -> str:
        """Tell where the verdict comes from, and which windows are heard otherwise."""
        fittest, heaviest = self.fittest, self.heaviest
        if fittest is None:
            return ""
        parts = [f"Most {self.emotion}: {fittest.name}."]
        if heaviest is fittest:
            parts = [f"Most {self.emotion}, and moves the verdict most: {fittest.name}."]
        elif heaviest is not None:
            parts.append(f"Moves the verdict most: {heaviest.name}.")
        return " ".join([*parts, *self._otherwise()])

    def _otherwise(self) -> list[str]:
        """Name the stretches that are heard otherwise, windows in a row as one."""
        odd: dict[str, list[str]] = {}
        for quadrant, row in groupby(self.windows, key=lambda window: window.quadrant):
            first, *rest = row
            if quadrant != self.quadrant:
                odd.setdefault(quadrant, []).append(_stretch(first, [first, *rest][-1]))
        return [f"Heard as {name}: {', '.join(where)}." for name, where in sorted(odd.items())]

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values, and the words."""
        windows = [
            {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(window).items()}
            for window in self.windows
        ]
        return {"quadrant": self.quadrant, "sentence": self.sentence, "windows": windows}


def _stretch(first: Window, last: Window) -> str:
    if first.bars is None or last.bars is None:
        return seconds(first.start_s, last.end_s)
    return span(first.bars[0], last.bars[1])


def course_of(notes: Notes, verifier: Hears, *, bars: FloatColumn | None = None) -> Course:
    """Hear a piece in windows of four bars, or of eight seconds where bars are not known.

    Args:
        notes: At least one note.
        verifier: What hears; a verdict on each window, one on the piece without it and one on
            the whole are asked for.
        bars: Beats at which bars start, and at which the last one ends, rising.

    Raises:
        ValueError: If there are no notes.
    """
    if bars is None:
        onset, edges = notes.onset_s, _edges_s(notes)
    else:
        onset, edges = notes.onset, _edges(bars)
    place = np.clip(np.searchsorted(edges, onset + 1e-6, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    heard = [i for i in range(len(edges) - 1) if counts[i] >= MIN_NOTES]
    alone = [notes.where(place == i) for i in heard]
    without = [_without(notes, place, i) for i in heard if counts[i] < len(notes)]
    whole, *rest = verifier.verdicts([notes, *without])
    verdicts = verifier.course(notes, alone)
    odds = odds_of([whole, *rest], whole.quadrant)[:, 2]
    # A piece of one window cannot do without it.
    pulls = odds[0] - odds[1:] if without else np.zeros(len(heard))
    fits = odds_of(verdicts, whole.quadrant)[:, :2] @ SIGNS[QUADRANTS.index(whole.quadrant)]
    times = edges if bars is None else _seconds_at(notes, edges)
    windows = [
        Window(
            start_s=float(times[i]),
            end_s=float(times[i + 1]),
            bars=None if bars is None else _bars(bars, edges[i], edges[i + 1]),
            quadrant=verdict.quadrant,
            valence=verdict.valence,
            arousal=verdict.arousal,
            fit=float(fit),
            pull=float(pull),
        )
        for i, verdict, fit, pull in zip(heard, verdicts, fits, pulls, strict=True)
    ]
    return Course(whole.quadrant, emotion_word(whole), tuple(windows))


def explain_score(score: ScoreTick, verifier: Hears) -> tuple[Explanation, Course]:
    """Explain what is heard in a score: by which causes, and where in its bars.

    Raises:
        ScoreError: If it holds no notes.
    """
    from emomusic.music.score import grid_of, notes_of

    notes = notes_of(score)
    end = float((notes.onset + notes.duration).max())
    bars = grid_of(score, end)[0] if end <= MAX_BEATS else None
    return explain(notes, verifier), course_of(notes, verifier, bars=bars)


def _edges_s(notes: Notes) -> Matrix:
    start, end = float(notes.onset_s[0]), float((notes.onset_s + notes.duration_s).max())
    width = WINDOW_S * max(1.0, np.ceil((end - start) / WINDOW_S / MAX_WINDOWS))
    # A rest of less than half a window belongs to the last one.
    n_windows = max(1, int((end - start) / width + 0.5))
    return np.append(
        start + width * np.arange(n_windows), max(end, start + width * (n_windows - 1) + 1e-3)
    )


def _edges(bars: FloatColumn) -> Matrix:
    n_bars = len(bars) - 1
    step = WINDOW_BARS * max(1, int(np.ceil(n_bars / WINDOW_BARS / MAX_WINDOWS)))
    return np.append(bars[:-1:step], bars[-1])


def _bars(bars: FloatColumn, start: float, end: float) -> tuple[int, int]:
    return int(np.searchsorted(bars, start) + 1), int(np.searchsorted(bars, end))


def _seconds_at(notes: Notes, beats: Matrix) -> Matrix:
    """Return the seconds of beats: between onsets and ends on straight lines, 0 at beat 0."""
    at = np.concatenate([[0.0], notes.onset, notes.onset + notes.duration])
    at_s = np.concatenate([[0.0], notes.onset_s, notes.onset_s + notes.duration_s])
    order = np.argsort(at, kind="stable")
    at, at_s = at[order], np.maximum.accumulate(at_s[order])
    times: Matrix = np.interp(beats, at, at_s)
    # Beyond the last note, as fast as on the whole until there.
    times += np.maximum(beats - at[-1], 0.0) * at_s[-1] / max(at[-1], 1e-9)
    return times


def _without(notes: Notes, place: IntColumn, i: int) -> Notes:
    """Return the notes of the other windows, those after moved up to where this one began."""
    inside, later = place == i, place > i
    cut = float(notes.onset_s[inside][0])
    gap_s = float(notes.onset_s[later][0]) - cut if later.any() else 0.0
    gap = float(notes.onset[later][0] - notes.onset[inside][0]) if later.any() else 0.0
    moved = replace(
        notes,
        onset=np.where(later, notes.onset - gap, notes.onset),
        onset_s=np.where(later, notes.onset_s - gap_s, notes.onset_s),
    )
    return moved.where(~inside)
