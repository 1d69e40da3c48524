"""Explain a verdict: which causes moved it, which way, and how far."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emomusic.emotion import QUADRANTS, Emotion, emotion_families, find_emotion
from emomusic.music.notes import Notes
from emomusic.verify.explanation.causes import Found, causes_in
from emomusic.verify.explanation.hearing import (
    AXES,
    SIGNS,
    Hears,
    Matrix,
    odds_of,
    probabilities_of,
)
from emomusic.verify.explanation.typical import Typical, typical
from emomusic.verify.explanation.words import headline, sentence

if TYPE_CHECKING:
    from emomusic.verify.verifier import Verdict

LEAST = 0.05
"""Log odds that a cause must move at least, in every way of undoing it, to be named."""
UNDECIDED = float(np.log(0.6 / 0.4))
"""An axis whose log odds lie nearer to 0 than this is undecided: nobody would bet on 6 of 10."""
FOR, AGAINST, NO_MATTER, USUAL = "for", "against", "no matter", "usual"


@dataclass(frozen=True)
class Effect:
    """Hold what one cause does to a verdict.

    Log odds are those of the clip less those of the clip without the cause: what the cause adds.
    Each is the mean over several ways of undoing it; `low` and `high` are the least and the most.

    Attributes:
        cause: "mode", "tempo", "loudness", "register" or "density".
        words: What the clip is like, such as "very fast".
        value: In units of the cause's measure.
        usual: The same in the middle of labelled music; 0, between the modes, for the mode.
        percentile: Share of labelled clips below the clip's value, in [0, 1].
        role: "for" the verdict or "against" it, where every way of undoing the cause agrees;
            "no matter" where they do not or hardly move it; "usual" where there is nothing to
            undo.
        axis: "valence" or "arousal": what it moves most surely; None unless it is for or against.
        strength: Log odds that it moves at least, whichever way it is undone; 0 if unnamed.
        valence: Log odds of positive valence that the cause adds: mean, low, high.
        arousal: The same for arousal.
        quadrant: The same for the quadrant heard.
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
        """Tell whether the cause raises its axis, so that undoing it lowers it."""
        return self.axis is not None and float(getattr(self, self.axis)[0]) > 0


@dataclass(frozen=True)
class Explanation:
    """Hold why a clip is heard as it is.

    Attributes:
        quadrant: The one heard.
        probability: How sure that is.
        emotion: The adjective of that quadrant that lies nearest.
        valence: As heard, in [-1, 1].
        arousal: The same.
        undecided: Axes on which the verdict is not sure of the side.
        effects: Of each cause that can be measured: those for the verdict, those against it,
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
        """Return the causes for the verdict, strongest first."""
        return tuple(effect for effect in self.effects if effect.role == FOR)

    @property
    def objections(self) -> tuple[Effect, ...]:
        """Return the causes against the verdict, strongest first."""
        return tuple(effect for effect in self.effects if effect.role == AGAINST)

    @property
    def headline(self) -> str:
        """Return it in short, such as `minor mode, fast, loud → tense`."""
        return headline([effect.words for effect in self.reasons], self.emotion)

    @property
    def sentence(self) -> str:
        """Return it in sentences: what is heard, what speaks for it, what against it."""
        reasons, objections = (
            [(effect.words, str(effect.axis), effect.raises) for effect in effects]
            for effects in (self.reasons, self.objections)
        )
        heard = f"{self.emotion.capitalize()} ({self.quadrant}, {self.probability:.2f} sure)"
        return sentence(heard, reasons, objections, undecided=self.undecided)

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain rounded values, and the words."""
        return {
            "quadrant": self.quadrant,
            "probability": round(self.probability, 4),
            "emotion": self.emotion,
            "valence": round(self.valence, 4),
            "arousal": round(self.arousal, 4),
            "undecided": list(self.undecided),
            "headline": self.headline,
            "sentence": self.sentence,
            "effects": [_rounded(asdict(effect)) for effect in self.effects],
        }


def explain(notes: Notes, verifier: Hears, *, usual: Typical | None = None) -> Explanation:
    """Explain what a verifier hears in a clip, by undoing each cause alone.

    A cause is named only if every way of undoing it (half the way to what is usual, all of it,
    beyond it; other notes, another key finder) moves both its axis and the probability of the
    quadrant heard to the same side. Effects of causes that go together need not add up.

    Args:
        notes: At least one note.
        verifier: What hears; about 16 verdicts are asked for.
        usual: What is usual; that of the labelled clips by default.

    Raises:
        ValueError: If there are no notes.

    Reference:
        Counterfactual explanations after Wachter, Mittelstadt and Russell (2018); we change the
        music, not its features, and take the edits from what is known to carry emotion
        (Gabrielsson and Lindström 2010; Eerola, Friberg and Bresin 2013).
    """
    found = causes_in(notes, typical() if usual is None else usual)
    edited = [clip for cause in found for clip in cause.undone]
    verdicts = verifier.verdicts([notes, *edited])
    heard = verdicts[0]
    odds = odds_of(verdicts, heard.quadrant)
    side = SIGNS[QUADRANTS.index(heard.quadrant)]
    ends = np.cumsum([len(cause.undone) for cause in found])
    added = np.split(odds[0] - odds[1:], ends[:-1])
    effects = [_effect(cause, rows, side) for cause, rows in zip(found, added, strict=True)]
    return Explanation(
        quadrant=heard.quadrant,
        probability=heard.probabilities[heard.quadrant],
        emotion=emotion_word(heard),
        valence=heard.valence,
        arousal=heard.arousal,
        undecided=tuple(
            axis for axis, own in zip(AXES, odds[0, :2], strict=True) if abs(own) < UNDECIDED
        ),
        effects=tuple(sorted(effects, key=_rank)),
    )


def emotion_word(heard: Verdict) -> str:
    """Return the adjective of the quadrant heard that lies nearest to what is heard.

    Each axis counts from -1, surely negative, to 1, surely positive. Listeners' mean values would
    lie near the middle of the plane, where few words are.
    """
    point = probabilities_of([heard])[0] @ SIGNS
    named = [find_emotion(name) for name in emotion_families()["adjective"]]
    own = [emotion for emotion in named if emotion.quadrant == heard.quadrant]
    return str(min(own, key=lambda emotion: math.dist(point, _point(emotion))).name)


def _point(emotion: Emotion) -> tuple[float, float]:
    return emotion.valence, emotion.arousal


def _effect(found: Found, added: Matrix, side: Matrix) -> Effect:
    role, axis, strength = _role(added, side)
    if found.cause.name == "mode" and not _is_plain(axis, added, found.distance):
        role, axis, strength = (role if role == USUAL else NO_MATTER), None, 0.0
    return Effect(
        cause=found.cause.name,
        words=found.words if len(added) else f"usual {found.cause.name}",
        value=found.value,
        usual=found.value - found.distance,
        percentile=found.percentile,
        role=role,
        axis=axis,
        strength=strength,
        valence=_spread(added[:, 0]),
        arousal=_spread(added[:, 1]),
        quadrant=_spread(added[:, 2]),
    )


def _is_plain(axis: str | None, added: Matrix, distance: float) -> bool:
    """Tell whether mode does what mode does: major raises valence, minor lowers it.

    Else the key was misheard, and the edit spoils the scale rather than turns its mode.
    """
    return axis == "valence" and bool((added[:, 0] * distance > 0).all())


def _role(added: Matrix, side: Matrix) -> tuple[str, str | None, float]:
    """Return the role of a cause, its axis and the log odds that it moves at least."""
    if not len(added):
        return USUAL, None, 0.0
    towards = added * np.append(side, 1.0)
    for role, least in ((FOR, towards.min(axis=0)), (AGAINST, (-towards).min(axis=0))):
        axis = int(np.argmax(least[:2]))
        strength = float(min(least[axis], least[2]))
        if strength >= LEAST:
            return role, AXES[axis], strength
    return NO_MATTER, None, 0.0


def _spread(values: Matrix) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    return float(values.mean()), float(values.min()), float(values.max())


def _rank(effect: Effect) -> tuple[int, float]:
    return (FOR, AGAINST, NO_MATTER, USUAL).index(effect.role), -effect.strength


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(part, 4) for part in value]
    return round(value, 4) if isinstance(value, float) else value
