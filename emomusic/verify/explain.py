"""Why a clip is judged as it is: which factors moved the verdict, which way, and how far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS, emotion_families, find_emotion
from emomusic.files import rounded
from emomusic.music.notes import Notes
from emomusic.verify.calibration import AXES, SIGNS
from emomusic.verify.counterfactuals import (
    Counterfactual,
    Reference,
    default_reference,
    find_counterfactuals,
)
from emomusic.verify.groups import Matrix

if TYPE_CHECKING:
    from emomusic.verify.verifier import Verdict, Verifier

MIN_PROBABILITY = 1e-6
"""Probabilities are clipped to this, so that log odds stay finite."""
MIN_EFFECT = 0.05
"""Log odds that a factor must move at least, however it is undone, to be named."""
UNDECIDED = float(np.log(0.6 / 0.4))
"""An axis whose log odds lie nearer to 0 than this is undecided: nobody would bet on 6 of 10."""
FOR, AGAINST, NO_MATTER, USUAL = "for", "against", "no matter", "usual"
NO_REASON = "no single cause by itself"


@dataclass(frozen=True)
class Effect:
    """What one factor does to a verdict.

    Log odds are those of the clip less those of the clip without the factor: what it adds.
    Each is the mean over several ways of undoing it, with the least and the most.

    Attributes:
        cause: "mode", "tempo", "loudness", "register" or "density".
        words: What the clip is like, such as "very fast".
        value: In units of the factor's measure.
        usual: The same in the middle of labelled music; 0, between the modes, for the mode.
        percentile: Share of labelled clips below the clip's value, in [0, 1].
        role: "for" the verdict or "against" it, where every way of undoing the factor agrees;
            "no matter" where they do not or hardly move it; "usual" where there is nothing to
            undo.
        axis: "valence" or "arousal": what it moves most surely; None unless it is for or against.
        strength: Log odds that it moves at least, whichever way it is undone; 0 if unnamed.
        valence: Log odds of positive valence that the factor adds: mean, low, high.
        arousal: The same for arousal.
        quadrant: The same for the quadrant of the verdict.
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

    @property
    def raises(self) -> bool:
        """Whether the factor raises its axis, so that undoing it lowers it."""
        return self.axis is not None and float(getattr(self, self.axis)[0]) > 0


@dataclass(frozen=True)
class Explanation:
    """Why a clip is judged as it is.

    Attributes:
        quadrant: That of the verdict.
        probability: Its probability.
        emotion: The nearest adjective of that quadrant.
        valence: Of the verdict, in [-1, 1].
        arousal: The same.
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

    @property
    def reasons(self) -> tuple[Effect, ...]:
        """The effects for the verdict, strongest first."""
        return tuple(effect for effect in self.effects if effect.role == FOR)

    @property
    def objections(self) -> tuple[Effect, ...]:
        """The effects against the verdict, strongest first."""
        return tuple(effect for effect in self.effects if effect.role == AGAINST)

    @property
    def headline(self) -> str:
        """The explanation in short, such as `minor mode, fast, loud → tense`."""
        return f"{', '.join(e.words for e in self.reasons) or NO_REASON} → {self.emotion}"

    @property
    def sentence(self) -> str:
        """The explanation in sentences: the verdict, what speaks for it, what against it."""
        verdict = f"{self.emotion.capitalize()} ({self.quadrant}, {self.probability:.2f} sure)"
        parts = [f"{verdict}: {_clauses(self.reasons) or NO_REASON + ' carries it'}."]
        if self.objections:
            parts.append(f"Against it: {_clauses(self.objections)}.")
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
        moved.setdefault((str(effect.axis), effect.raises), []).append(effect.words)
    return "; ".join(
        f"{_list(words)} {'raise' if raises else 'lower'}{'s' if len(words) == 1 else ''} {axis}"
        for (axis, raises), words in moved.items()
    )


def _list(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def quadrant_probabilities(verdicts: Sequence[Verdict]) -> Matrix:
    """Stack the probabilities of Q1 to Q4, shape (n, 4)."""
    rows = [[verdict.probabilities[name] for name in QUADRANTS] for verdict in verdicts]
    return np.array(rows, dtype=np.float64).reshape(len(verdicts), len(QUADRANTS))


def verdict_odds(verdicts: Sequence[Verdict], quadrant: str) -> Matrix:
    """Compute the log odds of positive valence, of positive arousal and of a quadrant, (n, 3)."""
    probabilities = quadrant_probabilities(verdicts)
    own = probabilities[:, [QUADRANTS.index(quadrant)]]
    positive = np.concatenate([probabilities @ (SIGNS > 0), own], axis=1)
    positive = np.clip(positive, MIN_PROBABILITY, 1.0 - MIN_PROBABILITY)
    return np.log(positive / (1.0 - positive))


def emotion_word(verdict: Verdict) -> str:
    """Find the adjective of the verdict's quadrant that lies nearest to it.

    Each axis counts from -1, surely negative, to 1, surely positive. Listeners' mean values would
    lie near the middle of the plane, where few words are.
    """
    point = quadrant_probabilities([verdict])[0] @ SIGNS  # (4,) @ (4, 2)
    named = [find_emotion(name) for name in emotion_families()["adjective"]]
    own = [emotion for emotion in named if emotion.quadrant == verdict.quadrant]
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
        notes: At least one note.
        verifier: What judges; about 16 verdicts are asked for.
        reference: What is usual; the labelled clips by default.
        verdict: The verdict on the notes, if it is known already.

    Raises:
        ValueError: If there are no notes.

    Reference:
        Counterfactual explanations after Wachter, Mittelstadt and Russell (2018); we change the
        music, not its features, and take the edits from what is known to carry emotion
        (Gabrielsson and Lindström 2010; Eerola, Friberg and Bresin 2013).
    """
    found = find_counterfactuals(notes, reference or default_reference())
    verdict = verifier.verdict(notes) if verdict is None else verdict
    edited = verifier.verdicts([edit for one in found for edit in one.edits])
    odds = verdict_odds([verdict, *edited], verdict.quadrant)
    side = SIGNS[QUADRANTS.index(verdict.quadrant)]
    ends = np.cumsum([len(one.edits) for one in found])
    added = np.split(odds[0] - odds[1:], ends[:-1])  # (n_edits, 3) each
    effects = [_effect(one, rows, side) for one, rows in zip(found, added, strict=True)]
    rank = (FOR, AGAINST, NO_MATTER, USUAL)
    return Explanation(
        quadrant=verdict.quadrant,
        probability=verdict.probabilities[verdict.quadrant],
        emotion=emotion_word(verdict),
        valence=verdict.valence,
        arousal=verdict.arousal,
        undecided=tuple(
            axis for axis, own in zip(AXES, odds[0, :2], strict=True) if abs(own) < UNDECIDED
        ),
        effects=tuple(sorted(effects, key=lambda e: (rank.index(e.role), -e.strength))),
    )


def _effect(found: Counterfactual, added: Matrix, side: Matrix) -> Effect:
    role, axis, strength = _role(added, side)
    is_mode = found.factor.name == "mode"
    # Major raises valence and minor lowers it; otherwise the key was misheard, and the edits
    # spoil the scale rather than turn its mode.
    if is_mode and not (axis == "valence" and (added[:, 0] * found.distance > 0).all()):
        role, axis, strength = (role if role == USUAL else NO_MATTER), None, 0.0
    return Effect(
        cause=found.factor.name,
        words=found.words if len(added) else f"usual {found.factor.name}",
        value=found.value,
        usual=found.value - found.distance,
        percentile=found.percentile,
        role=role,
        axis=axis,
        strength=strength,
        valence=_mean_and_range(added[:, 0]),
        arousal=_mean_and_range(added[:, 1]),
        quadrant=_mean_and_range(added[:, 2]),
    )


def _role(added: Matrix, side: Matrix) -> tuple[str, str | None, float]:
    """Find the role of a factor, its axis and the log odds that it moves at least."""
    if not len(added):
        return USUAL, None, 0.0
    towards = added * np.append(side, 1.0)
    for role, least in ((FOR, towards.min(axis=0)), (AGAINST, (-towards).min(axis=0))):
        axis = int(np.argmax(least[:2]))
        strength = float(min(least[axis], least[2]))
        if strength >= MIN_EFFECT:
            return role, AXES[axis], strength
    return NO_MATTER, None, 0.0


def _mean_and_range(values: Matrix) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    return float(values.mean()), float(values.min()), float(values.max())
