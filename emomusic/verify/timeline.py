"""How the emotion of a piece runs: its windows judged alone, and the piece without each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS
from emomusic.files import rounded
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.calibration import SIGNS
from emomusic.verify.explain import Explanation, emotion_word, explain, verdict_odds

if TYPE_CHECKING:
    from symusic.core import ScoreTick

    from emomusic.verify.verifier import Verdict, Verifier

WINDOW_BARS = 4
WINDOW_S = 8.0
"""Width of a window where bars are not known."""
MAX_WINDOWS = 24
"""Longer pieces have wider windows, so that the time they take stays bounded."""
MAX_BEATS = 20_000
"""Longer scores are cut into windows by seconds."""
MIN_NOTES = 4
"""A window of fewer notes is not judged: it has no key and no rhythm."""
MIN_PULL = 0.05
"""Log odds by which a window must move the whole to be named."""


def name_bars(first: int, last: int) -> str:
    """Name bars, counted from 1, such as `bars 9 to 12` or `bar 9`."""
    return f"bar {first}" if first == last else f"bars {first} to {last}"


def name_seconds(start_s: float, end_s: float) -> str:
    """Name a stretch of time, such as `0:08 to 0:16`."""
    start, end = (divmod(round(at), 60) for at in (start_s, end_s))
    return f"{start[0]}:{start[1]:02d} to {end[0]}:{end[1]:02d}"


@dataclass(frozen=True)
class Window:
    """The emotion of a stretch of a piece.

    Attributes:
        start_s: Seconds.
        end_s: Seconds.
        bars: First and last bar, counted from 1; None where bars are not known.
        quadrant: Of the window alone.
        valence: The same, in [-1, 1].
        arousal: The same, in [-1, 1].
        fit: How much the window alone is like the whole: its log odds of the whole's sides of
            valence and arousal, summed.
        pull: Log odds of the whole's quadrant, less those of the whole without the window.
    """

    start_s: float
    end_s: float
    bars: tuple[int, int] | None
    quadrant: str
    valence: float
    arousal: float
    fit: float
    pull: float

    def name_to(self, last: Window) -> str:
        """Name the stretch from this window to another by bars, or by time where none are known."""
        if self.bars is None or last.bars is None:
            return name_seconds(self.start_s, last.end_s)
        return name_bars(self.bars[0], last.bars[1])


@dataclass(frozen=True)
class Trajectory:
    """How the emotion of a piece runs.

    Attributes:
        quadrant: Of the whole.
        emotion: Its adjective.
        windows: In the order of time; those of fewer than four notes are left out.
    """

    quadrant: str
    emotion: str
    windows: tuple[Window, ...]

    @property
    def most_typical(self) -> Window | None:
        """The window most like the whole; None of fewer than two."""
        return max(self.windows, key=lambda w: w.fit) if len(self.windows) > 1 else None

    @property
    def most_influential(self) -> Window | None:
        """The window without which the verdict would lose most; None if none matters."""
        best = max(self.windows, key=lambda w: w.pull) if len(self.windows) > 1 else None
        return best if best is not None and best.pull >= MIN_PULL else None

    @property
    def sentence(self) -> str:
        """Where the verdict comes from, and which windows are of another quadrant."""
        typical, influential = self.most_typical, self.most_influential
        if typical is None:
            return ""
        parts = [f"Most {self.emotion}: {typical.name_to(typical)}."]
        if influential is typical:
            name = typical.name_to(typical)
            parts = [f"Most {self.emotion}, and moves the verdict most: {name}."]
        elif influential is not None:
            parts.append(f"Moves the verdict most: {influential.name_to(influential)}.")
        others: dict[str, list[str]] = {}
        for quadrant, row in groupby(self.windows, key=lambda window: window.quadrant):
            stretch = list(row)
            if quadrant != self.quadrant:
                others.setdefault(quadrant, []).append(stretch[0].name_to(stretch[-1]))
        parts += [f"Heard as {name}: {', '.join(at)}." for name, at in sorted(others.items())]
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Give all as plain rounded values, and the words."""
        windows = [rounded(asdict(window), 4) for window in self.windows]
        return {"quadrant": self.quadrant, "sentence": self.sentence, "windows": windows}


def trace_emotion(
    notes: Notes,
    verifier: Verifier,
    *,
    bars: FloatColumn | None = None,
    verdict: Verdict | None = None,
) -> Trajectory:
    """Judge a piece in windows of four bars, or of eight seconds where bars are not known.

    Args:
        notes: At least one note.
        verifier: What judges: each window, and the piece without it.
        bars: Beats at which bars start, and at which the last one ends, rising.
        verdict: The verdict on the whole piece, if it is known already.

    Raises:
        ValueError: If there are no notes.
    """
    if bars is None:
        onset, edges = notes.onset_s, _time_edges(notes)
    else:
        onset, edges = notes.onset, _bar_edges(bars)
    place = np.clip(np.searchsorted(edges, onset + 1e-6, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    kept = [i for i in range(len(edges) - 1) if counts[i] >= MIN_NOTES]
    whole = verifier.verdict(notes) if verdict is None else verdict
    alone = verifier.window_verdicts([notes.where(place == i) for i in kept], trust=whole.trust)
    # A piece of one window cannot do without it.
    without = verifier.verdicts([_cut(notes, place, i) for i in kept if counts[i] < len(notes)])
    odds = verdict_odds([whole, *without], whole.quadrant)[:, 2]
    pulls = odds[0] - odds[1:] if without else np.zeros(len(kept))
    side = SIGNS[QUADRANTS.index(whole.quadrant)]
    fits = verdict_odds(alone, whole.quadrant)[:, :2] @ side  # (n, 2) @ (2,)
    times = edges if bars is None else _seconds_at(notes, edges)
    at = edges if bars is None else np.searchsorted(bars, edges)
    windows = [
        Window(
            start_s=float(times[i]),
            end_s=float(times[i + 1]),
            bars=None if bars is None else (int(at[i]) + 1, int(at[i + 1])),
            quadrant=one.quadrant,
            valence=one.valence,
            arousal=one.arousal,
            fit=float(fit),
            pull=float(pull),
        )
        for i, one, fit, pull in zip(kept, alone, fits, pulls, strict=True)
    ]
    return Trajectory(whole.quadrant, emotion_word(whole), tuple(windows))


def explain_score(
    score: ScoreTick,
    verifier: Verifier,
    *,
    notes: Notes | None = None,
    verdict: Verdict | None = None,
) -> tuple[Explanation, Trajectory]:
    """Explain the verdict on a score: by which factors, and where in its bars.

    Args:
        score: With at least one note.
        verifier: What judges.
        notes: Those of the score, if they are at hand.
        verdict: That on the notes, if it is known already.

    Raises:
        ScoreError: If it holds no notes.
    """
    from emomusic.music.score import grid_of, notes_of

    notes = notes_of(score) if notes is None else notes
    verdict = verifier.verdict(notes) if verdict is None else verdict
    end = float((notes.onset + notes.duration).max())
    bars = grid_of(score, end)[0] if end <= MAX_BEATS else None
    explanation = explain(notes, verifier, verdict=verdict)
    return explanation, trace_emotion(notes, verifier, bars=bars, verdict=verdict)


def _time_edges(notes: Notes) -> FloatColumn:
    start, end = float(notes.onset_s[0]), float((notes.onset_s + notes.duration_s).max())
    width = WINDOW_S * max(1.0, np.ceil((end - start) / WINDOW_S / MAX_WINDOWS))
    # A rest of less than half a window belongs to the last one.
    n_windows = max(1, int((end - start) / width + 0.5))
    last = max(end, start + width * (n_windows - 1) + 1e-3)
    return np.append(start + width * np.arange(n_windows), last)


def _bar_edges(bars: FloatColumn) -> FloatColumn:
    step = WINDOW_BARS * max(1, int(np.ceil((len(bars) - 1) / WINDOW_BARS / MAX_WINDOWS)))
    return np.append(bars[:-1:step], bars[-1])


def _seconds_at(notes: Notes, beats: FloatColumn) -> FloatColumn:
    """Convert beats to seconds: linear between onsets and ends, 0 at beat 0."""
    at = np.concatenate([[0.0], notes.onset, notes.onset + notes.duration])
    at_s = np.concatenate([[0.0], notes.onset_s, notes.onset_s + notes.duration_s])
    order = np.argsort(at, kind="stable")
    at, at_s = at[order], np.maximum.accumulate(at_s[order])
    # Beyond the last note, at the mean tempo until there.
    beyond = np.maximum(beats - at[-1], 0.0) * at_s[-1] / max(at[-1], 1e-9)
    return np.interp(beats, at, at_s) + beyond


def _cut(notes: Notes, place: IntColumn, i: int) -> Notes:
    """Cut a window out of a piece; what follows moves up to where it began."""
    inside, later = place == i, place > i
    gap = gap_s = 0.0
    if later.any():
        gap = float(notes.onset[later][0] - notes.onset[inside][0])
        gap_s = float(notes.onset_s[later][0]) - float(notes.onset_s[inside][0])
    moved = replace(
        notes,
        onset=np.where(later, notes.onset - gap, notes.onset),
        onset_s=np.where(later, notes.onset_s - gap_s, notes.onset_s),
    )
    return moved.where(~inside)
