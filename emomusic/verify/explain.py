"""Why a piece is judged as it is: which factors moved the verdict, and where in the piece."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations, groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS, emotion_families, find_emotion
from emomusic.files import rounded
from emomusic.music.notes import FloatColumn, IntColumn, Notes
from emomusic.verify.analysis import Matrix
from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.counterfactuals import (
    Counterfactual,
    Reference,
    default_reference,
    find_counterfactuals,
)

if TYPE_CHECKING:
    from symusic.core import ScoreTick

    from emomusic.emotion import EmotionCurve
    from emomusic.verify.verifier import Verdict, Verifier

MIN_PROBABILITY = 1e-6
"""Probabilities are clipped to this, so that log odds stay finite."""
MIN_EFFECT = MIN_PULL = 0.05
"""Log odds that a factor, however it is undone, or a window must move at least to be named."""
UNDECIDED = float(np.log(0.6 / 0.4))
"""An axis whose log odds lie nearer to 0 than this is undecided: nobody would bet on 6 of 10."""
FOR, AGAINST, NO_MATTER, USUAL = "for", "against", "no matter", "usual"
NO_REASON = "no single cause by itself"
WINDOW_BARS = 4
WINDOW_S = 8.0
"""Width of a window where bars are not known."""
MAX_WINDOWS = 24
"""Longer pieces have wider windows, so that the time they take stays bounded."""
MAX_BEATS = 20_000
"""Longer scores are cut into windows by seconds."""
MIN_MOVE = 0.1
"""What moves less, of an axis' two units, does not move."""
MIN_WAY = 0.25
"""An axis moves as asked from this part of the way on: the verifier hears a few bars less sure."""
MIN_NOTES = 4
"""A window of fewer notes is not judged: it has no key and no rhythm."""


@dataclass(frozen=True)
class Effect:
    """What one factor does to a verdict.

    Log odds are those of the clip less those of the clip without the factor: what it adds.
    Each is the mean over several ways of undoing it, with the least and the most.

    Attributes:
        cause: "mode", "tempo", "loudness", "register" or "density".
        words: What the clip is like, such as "very fast".
        value, usual: Of the clip and of the middle of labelled music, in the factor's measure; 0,
            between the modes, is usual for the mode.
        percentile: Share of labelled clips below the clip's value, in [0, 1].
        role: "for" the verdict or "against" it, where every way of undoing the factor agrees;
            "no matter" where they do not or hardly move it; "usual" where there is nothing to
            undo.
        axis: "valence" or "arousal": what it moves most surely; None unless it is for or against.
        strength: Log odds that it moves at least, whichever way it is undone; 0 if unnamed.
        valence, arousal, quadrant: Log odds of positive valence, of positive arousal and of the
            quadrant of the verdict that the factor adds: mean, low, high.
    """

    cause: str
    words: str
    value: float
    usual: float
    percentile: float
    role: str
    axis: str | None
    strength: float
    valence: tuple[float, float, float]
    arousal: tuple[float, float, float]
    quadrant: tuple[float, float, float]


@dataclass(frozen=True)
class Explanation:
    """Which factors moved a verdict.

    Attributes:
        quadrant, probability, valence, arousal: Of the verdict.
        emotion: The nearest adjective of that quadrant.
        undecided: Axes on which the verdict is not sure of the side.
        effects: Of each factor that can be measured: those for the verdict, those against it,
            strongest first, then those that do not matter.
    """

    quadrant: str
    probability: float
    emotion: str
    valence: float
    arousal: float
    undecided: tuple[str, ...]
    effects: tuple[Effect, ...]

    def in_role(self, role: str) -> list[Effect]:
        """List the effects for the verdict, or those against it, strongest first."""
        return [effect for effect in self.effects if effect.role == role]

    @property
    def headline(self) -> str:
        """The explanation in short, such as `minor mode, fast, loud → tense`."""
        return f"{', '.join(e.words for e in self.in_role(FOR)) or NO_REASON} → {self.emotion}"

    @property
    def sentence(self) -> str:
        verdict = f"{self.emotion.capitalize()} ({self.quadrant}, {self.probability:.2f} sure)"
        parts = [f"{verdict}: {_clauses(self.in_role(FOR)) or NO_REASON + ' carries it'}."]
        if objections := self.in_role(AGAINST):
            parts.append(f"Against it: {_clauses(objections)}.")
        if self.undecided:
            verb = "is" if len(self.undecided) == 1 else "are"
            parts.append(f"{_list(self.undecided).capitalize()} {verb} undecided.")
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Give all as plain rounded values, and the words."""
        plain = rounded(asdict(self), 4)
        effects = plain.pop("effects")
        words = {"headline": self.headline, "sentence": self.sentence}
        return {**plain, **words, "effects": effects}


def _clauses(effects: Sequence[Effect]) -> str:
    """Say `minor mode lowers valence; fast and loud raise arousal`."""
    moved: dict[tuple[str, bool], list[str]] = {}
    for effect in effects:
        axis = str(effect.axis)
        moved.setdefault((axis, getattr(effect, axis)[0] > 0), []).append(effect.words)
    return "; ".join(
        f"{_list(words)} {'raise' if raises else 'lower'}{'s' if len(words) == 1 else ''} {axis}"
        for (axis, raises), words in moved.items()
    )


def _list(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _probabilities(verdicts: Sequence[Verdict]) -> Matrix:
    """Stack the probabilities of Q1 to Q4, shape (n, 4)."""
    rows = [[verdict.probabilities[name] for name in QUADRANTS] for verdict in verdicts]
    return np.array(rows, dtype=np.float64).reshape(len(verdicts), len(QUADRANTS))


def verdict_odds(verdicts: Sequence[Verdict], quadrant: str) -> Matrix:
    """Compute the log odds of positive valence, of positive arousal and of a quadrant, (n, 3)."""
    probabilities = _probabilities(verdicts)
    own = probabilities[:, [QUADRANTS.index(quadrant)]]
    positive = np.concatenate([probabilities @ (SIGNS > 0), own], axis=1)
    positive = np.clip(positive, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
    return np.log(positive / (1.0 - positive))


def emotion_word(verdict: Verdict) -> str:
    """Find the adjective of the verdict's quadrant that lies nearest to it.

    Each axis counts from -1, surely negative, to 1, surely positive. Listeners' mean values would
    lie near the middle of the plane, where few words are.
    """
    point = _probabilities([verdict])[0] @ SIGNS  # (4,) @ (4, 2)
    named = map(find_emotion, emotion_families()["adjective"])
    own = (emotion for emotion in named if emotion.quadrant == verdict.quadrant)
    nearest = min(own, key=lambda emotion: math.dist(point, (emotion.valence, emotion.arousal)))
    return str(nearest.name)


def explain(
    notes: Notes,
    verifier: Verifier,
    *,
    reference: Reference | None = None,
    verdict: Verdict | None = None,
) -> Explanation:
    """Explain the verdict on a clip by undoing each factor alone.

    A factor is named only if every way of undoing it (half the way to what is usual, all of it,
    beyond it; other notes, another key finder) moves both its axis and the probability of the
    verdict's quadrant to the same side. Effects of factors that go together need not add up.

    Args:
        notes: At least one note; a ValueError if there is none.
        verifier: What judges; about 16 verdicts are asked for.
        reference: What is usual; the labelled clips by default.
        verdict: The verdict on the notes, if it is known already.

    Reference:
        Counterfactual explanations after Wachter, Mittelstadt and Russell (2018); we change the
        music, not its features, and take the edits from what is known to carry emotion
        (Gabrielsson and Lindström 2010; Eerola, Friberg and Bresin 2013).
    """
    found = find_counterfactuals(notes, reference or default_reference())
    verdict = verifier.verdict(notes) if verdict is None else verdict
    edited = [verifier.verdict(edit) for one in found for edit in one.edits]
    odds = verdict_odds([verdict, *edited], verdict.quadrant)
    side = SIGNS[QUADRANTS.index(verdict.quadrant)]
    ends = np.cumsum([len(one.edits) for one in found])
    added = np.split(odds[0] - odds[1:], ends[:-1])  # (n_edits, 3) each
    effects = [_effect(one, rows, side) for one, rows in zip(found, added, strict=True)]
    rank = (FOR, AGAINST, NO_MATTER, USUAL)
    unsure = (axis for axis, own in zip(AXES, odds[0], strict=False) if abs(own) < UNDECIDED)
    return Explanation(
        verdict.quadrant,
        verdict.probabilities[verdict.quadrant],
        emotion_word(verdict),
        verdict.valence,
        verdict.arousal,
        undecided=tuple(unsure),
        effects=tuple(sorted(effects, key=lambda e: (rank.index(e.role), -e.strength))),
    )


def _effect(found: Counterfactual, added: Matrix, side: Matrix) -> Effect:
    role, axis, strength = _role(added, side) if found.edits else (USUAL, None, 0.0)
    added = added if found.edits else np.zeros((1, 3))
    is_mode = found.factor.name == "mode"
    # Major raises valence and minor lowers it; otherwise the key was misheard, and the edits
    # spoil the scale rather than turn its mode.
    if is_mode and not (axis == "valence" and (added[:, 0] * found.distance > 0).all()):
        role, axis, strength = NO_MATTER, None, 0.0
    return Effect(
        found.factor.name,
        found.words,
        found.value,
        found.value - found.distance,
        found.percentile,
        role,
        axis,
        strength,
        *((float(own.mean()), float(own.min()), float(own.max())) for own in added.T),
    )


def _role(added: Matrix, side: Matrix) -> tuple[str, str | None, float]:
    """Find the role of a factor, its axis and the log odds that it moves at least."""
    towards = added * np.append(side, 1.0)
    for role, least in ((FOR, towards.min(axis=0)), (AGAINST, (-towards).min(axis=0))):
        axis = int(np.argmax(least[:2]))
        strength = float(min(least[axis], least[2]))
        if strength >= MIN_EFFECT:
            return role, AXES[axis], strength
    return NO_MATTER, None, 0.0


def name_bars(first: int, last: int) -> str:
    """Name bars, counted from 1, such as `bars 9 to 12` or `bar 9`."""
    return f"bar {first}" if first == last else f"bars {first} to {last}"


@dataclass(frozen=True)
class Window:
    """The emotion of a stretch of a piece.

    Attributes:
        bars: First and last bar, counted from 1; None where bars are not known.
        quadrant, valence, arousal: Of the window alone.
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
        """Name the stretch from this window to another: `bars 9 to 12`, or `0:08 to 0:16`."""
        if self.bars is not None and last.bars is not None:
            return name_bars(self.bars[0], last.bars[1])
        start, end = (divmod(round(at), 60) for at in (self.start_s, last.end_s))
        return f"{start[0]}:{start[1]:02d} to {end[0]}:{end[1]:02d}"


@dataclass(frozen=True)
class Trajectory:
    """How the emotion of a piece runs.

    Attributes:
        quadrant, emotion: Of the whole, and its adjective.
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
        typical, influential = self.most_typical, self.most_influential
        if typical is None:
            return ""
        both = ", and moves the verdict most" if influential is typical else ""
        parts = [f"Most {self.emotion}{both}: {typical.name_to(typical)}."]
        if influential is not None and not both:
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


@dataclass(frozen=True)
class Movement:
    """How an emotion that was to move is heard to move, between two parts of a piece.

    Attributes:
        bars: First and last bar of each part, counted from 1.
        asked, heard: Valence and arousal of each part: the mean of what was asked, and what is
            heard in the part alone.
    """

    bars: tuple[tuple[int, int], tuple[int, int]]
    asked: tuple[tuple[float, float], tuple[float, float]]
    heard: tuple[tuple[float, float], tuple[float, float]]

    @property
    def axes(self) -> dict[str, bool]:
        """Tell of each axis that was to move much, the most first, whether it moved as asked.

        It did if it moved to the side that was asked for, far enough to be heard: a quarter of
        the way, and `MIN_MOVE`.
        """
        asked, heard = (np.diff(own, axis=0)[0].tolist() for own in (self.asked, self.heard))
        own = sorted(zip(asked, heard, AXES, strict=False), key=lambda axis: -abs(axis[0]))
        return {
            axis: went * math.copysign(1, wanted) >= max(MIN_WAY * abs(wanted), MIN_MOVE)
            for wanted, went, axis in own
            if abs(wanted) >= abs(own[0][0]) / 2
        }

    @property
    def sentence(self) -> str:
        """Say `moved as asked: arousal -0.61 to +0.52 (asked -0.50 to +0.70)`."""
        told = []
        for axis in self.axes:
            at = AXES.index(axis)
            (a, b), (c, d) = ([point[at] for point in own] for own in (self.heard, self.asked))
            told.append(f"{axis} {a:+.2f} to {b:+.2f} (asked {c:+.2f} to {d:+.2f})")
        moved = [*self.axes.values()]
        how = "moved as asked" if all(moved) else "moved in part" if any(moved) else "did not move"
        return f"{how}: {', '.join(told)}"

    def to_dict(self) -> dict[str, Any]:
        """Give all as plain rounded values, and the words."""
        points = {
            name: [dict(zip(AXES, point, strict=False)) for point in getattr(self, name)]
            for name in ("asked", "heard")
        }
        words = {"as_asked": all(self.axes.values()), "sentence": self.sentence}
        return {**words, **rounded({"bars": self.bars, **points}, 4)}


def hear_movement(
    notes: Notes,
    verifier: Verifier,
    curve: EmotionCurve,
    *,
    n_bars: int,
    quarters_per_bar: float,
    trust: float,
) -> Movement | None:
    """Hear whether music moves as a curve asks, between the parts that it asks the most of.

    Two verdicts are asked for, on parts of four bars or more, or the halves of fewer than eight.

    Args:
        notes: Of the bars that the curve is of, as many as `n_bars`.
        verifier: What judges.
        curve: What was asked.
        n_bars: At least 1.
        quarters_per_bar: Quarter notes of each bar.
        trust: That of the verdict on all of them.

    Returns:
        None if the curve hardly moves in these bars, or a part holds fewer than four notes.
    """
    n_parts = min(max(2, n_bars // WINDOW_BARS), MAX_WINDOWS)
    edges = [n_bars * part // n_parts for part in range(n_parts + 1)]
    bars = np.array([(own.valence, own.arousal) for own in curve.over(n_bars)])
    parts = [bars[a:b].mean(axis=0) for a, b in pairwise(edges) if b > a]
    # Of parts that are as far from each other, those that lie the farthest apart in time.
    pairs = [
        (round(math.dist(parts[i], parts[j]), 6), j - i, -i)
        for i, j in combinations(range(len(parts)), 2)
    ]
    distance, gap, place = max(pairs, default=(0.0, 0, 0))
    if distance < MIN_MOVE:
        return None
    found = []
    for part in (-place, gap - place):
        start, stop = (edges[at] * quarters_per_bar - 1e-6 for at in (part, part + 1))
        own = notes.where((notes.onset >= start) & (notes.onset < stop))
        if len(own) < MIN_NOTES:
            return None
        heard = verifier.window_verdict(own, trust=trust)
        asked = (float(parts[part][0]), float(parts[part][1]))
        found.append(((edges[part] + 1, edges[part + 1]), asked, (heard.valence, heard.arousal)))
    return Movement(*zip(*found, strict=True))


def trace_emotion(
    notes: Notes,
    verifier: Verifier,
    *,
    bars: FloatColumn | None = None,
    verdict: Verdict | None = None,
) -> Trajectory:
    """Judge a piece in windows of four bars, or of eight seconds where bars are not known.

    Args:
        notes: At least one note; a ValueError if there is none.
        verifier: What judges: each window, and the piece without it.
        bars: Beats at which bars start, and at which the last one ends, rising.
        verdict: The verdict on the whole piece, if it is known already.
    """
    if bars is None:
        onset, edges = notes.onset_s, _time_edges(notes)
    else:
        step = WINDOW_BARS * max(1, int(np.ceil((len(bars) - 1) / WINDOW_BARS / MAX_WINDOWS)))
        onset, edges = notes.onset, np.append(bars[:-1:step], bars[-1])
    place = np.clip(np.searchsorted(edges, onset + 1e-6, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(place, minlength=len(edges) - 1)
    kept = [i for i in range(len(edges) - 1) if counts[i] >= MIN_NOTES]
    whole = verifier.verdict(notes) if verdict is None else verdict
    alone = [verifier.window_verdict(notes.where(place == i), trust=whole.trust) for i in kept]
    # A piece of one window cannot do without it.
    without = [verifier.verdict(_cut(notes, place, i)) for i in kept if counts[i] < len(notes)]
    odds = verdict_odds([whole, *without], whole.quadrant)[:, 2]
    pulls = odds[0] - odds[1:] if without else np.zeros(len(kept))
    side = SIGNS[QUADRANTS.index(whole.quadrant)]
    fits = verdict_odds(alone, whole.quadrant)[:, :2] @ side  # (n, 2) @ (2,)
    times = edges if bars is None else _seconds_at(notes, edges)
    at = edges if bars is None else np.searchsorted(bars, edges)
    windows = [
        Window(
            float(times[i]),
            float(times[i + 1]),
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


def _time_edges(notes: Notes) -> FloatColumn:
    start, end = float(notes.onset_s[0]), float((notes.onset_s + notes.duration_s).max())
    width = WINDOW_S * max(1.0, np.ceil((end - start) / WINDOW_S / MAX_WINDOWS))
    # A rest of less than half a window belongs to the last one.
    n_windows = max(1, int((end - start) / width + 0.5))
    last = max(end, start + width * (n_windows - 1) + 1e-3)
    return np.append(start + width * np.arange(n_windows), last)


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
    moved = {}
    for name in ("onset", "onset_s"):
        at = getattr(notes, name)
        gap = at[later][0] - at[inside][0] if later.any() else 0.0
        moved[name] = np.where(later, at - gap, at)
    return replace(notes, **moved).where(~inside)


def explain_score(
    score: ScoreTick,
    verifier: Verifier,
    *,
    notes: Notes | None = None,
    verdict: Verdict | None = None,
) -> tuple[Explanation, Trajectory]:
    """Explain the verdict on a score: by which factors, and where in its bars.

    Its notes and the verdict on them may be given, where they are known already.

    Raises:
        ScoreError: If it holds no notes.
    """
    from emomusic.music.bars import bar_lines
    from emomusic.music.score import notes_of

    notes = notes_of(score) if notes is None else notes
    verdict = verifier.verdict(notes) if verdict is None else verdict
    end = float((notes.onset + notes.duration).max())
    bars = bar_lines(score, notes, end) if end <= MAX_BEATS else None
    explanation = explain(notes, verifier, verdict=verdict)
    return explanation, trace_emotion(notes, verifier, bars=bars, verdict=verdict)
