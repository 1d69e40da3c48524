"""Points in the plane of valence and arousal, the four quadrants, and named emotions.

The coordinates in emotions.json are ours: word ratings standardised, corrected where they
contradict the circumplex (each correction with its reason) and rounded; see
scripts/build_emotions.py.

Reference:
    Ratings: Warriner, Kuperman and Brysbaert (2013), Norms of valence, arousal, and dominance
    for 13,915 English lemmas. Circumplex: Russell (1980). Music terms: Zentner, Grandjean and
    Scherer (2008).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from numbers import Real
from types import MappingProxyType
from typing import Any

QUADRANTS = ("Q1", "Q2", "Q3", "Q4")

# 0.6 on both axes is a point well inside its quadrant: 0.85 from the middle of the plane, so
# that the quadrant is not in doubt, and still short of the rim, where few labelled clips lie.
_CENTRE = 0.6

QUADRANT_CENTRES = MappingProxyType(
    {
        "Q1": (_CENTRE, _CENTRE),
        "Q2": (-_CENTRE, _CENTRE),
        "Q3": (-_CENTRE, -_CENTRE),
        "Q4": (_CENTRE, -_CENTRE),
    }
)
"""The (valence, arousal) that stands for each quadrant when only the quadrant is asked for."""


def quadrant_of(valence: float, arousal: float) -> str:
    """Name the quadrant of a point; zero counts as positive.

    Args:
        valence: Finite, in [-1, 1].
        arousal: Finite, in [-1, 1].

    Returns:
        "Q1" (+V +A), "Q2" (-V +A), "Q3" (-V -A) or "Q4" (+V -A).

    Raises:
        ValueError: If a value is not a number in [-1, 1].

    Reference:
        Russell (1980), A circumplex model of affect; quadrants numbered as in EMOPIA
        (Hung et al. 2021).
    """
    positive = _checked("valence", valence) >= 0
    if _checked("arousal", arousal) >= 0:
        return "Q1" if positive else "Q2"
    return "Q4" if positive else "Q3"


@dataclass(frozen=True)
class Emotion:
    """Hold one emotion as valence and arousal, each in [-1, 1], and its name where it has one.

    Raises:
        ValueError: If valence or arousal is not a number in [-1, 1], or name no text, or blank.
    """

    valence: float
    arousal: float
    name: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "valence", _checked("valence", self.valence))
        object.__setattr__(self, "arousal", _checked("arousal", self.arousal))
        if self.name is None:
            return
        if not isinstance(self.name, str) or not self.name.strip():
            raise ValueError(f"name must be None, or a text that is not blank, got {self.name!r}")

    @property
    def quadrant(self) -> str:
        """Name the quadrant, "Q1" to "Q4"; zero counts as positive."""
        return quadrant_of(self.valence, self.arousal)

    @property
    def intensity(self) -> float:
        """Measure the distance from the middle of the plane, from 0 to 1.

        The corners of the plane lie 1.41 from its middle; what lies beyond 1 counts as 1.
        """
        return min(1.0, math.hypot(self.valence, self.arousal))


def _checked(axis: str, value: Any) -> float:
    return plain_number(axis, value, (-1.0, 1.0)) + 0.0  # -0.0 becomes 0.0


def plain(value: Any) -> Any:
    """Return what a scalar of numpy, or an array of no dimension, says; others as they are."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def is_number(value: object) -> bool:
    """Tell whether a plain value is a real number; a bool is none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def refusal(what: str, wanted: str, got: object) -> ValueError:
    """Return the error that says what something must be, and what it is instead."""
    return ValueError(f"{what} must be {wanted}, got {shown(got)}")


def shown(value: object) -> str:
    """Return a value as an error shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def plain_number(what: str, value: Any, bounds: tuple[float, float]) -> float:
    """Return a number as a float; one of numpy is one, too, and a bool is none.

    Raises:
        ValueError: If it is none, or out of its bounds, as NaN is.
    """
    value, (low, high) = plain(value), bounds
    if not is_number(value):
        raise refusal(what, f"a number in [{low:g}, {high:g}]", value)
    if not low <= value <= high:
        raise refusal(what, f"in [{low:g}, {high:g}]", value)
    return float(value)


class UnknownEmotionError(ValueError):
    """Tell that no emotion has this name, and which names come near."""


def find_emotion(text: str) -> Emotion:
    """Find an emotion by its name, by another word for it, or by its quadrant.

    Upper and lower case, spaces, hyphens and underscores count alike.

    Args:
        text: One of `emotion_names()`, a key of `aliases()`, or "Q1" to "Q4", which stand for the
            centres of the quadrants.

    Returns:
        The emotion under its own name: `find_emotion("scared").name` is "afraid".

    Raises:
        UnknownEmotionError: If no emotion has this name; the message offers the nearest.
        ValueError: If it is no text.
    """
    if not isinstance(text, str):
        raise refusal("the name of an emotion", "a text", text)
    key = _normalised(text)
    if key.upper() in QUADRANTS:
        return Emotion(*QUADRANT_CENTRES[key.upper()], name=key.upper())
    emotion = _emotions().get(aliases().get(key, key))
    if emotion is None:
        raise UnknownEmotionError(_unknown(text, key))
    return emotion


def emotion_names() -> tuple[str, ...]:
    """List the names of all emotions in alphabetical order, without quadrants and aliases."""
    return tuple(sorted(_emotions()))


def emotion_families() -> dict[str, tuple[str, ...]]:
    """List the names in each family, alphabetically; a name may stand in several families."""
    members: dict[str, list[str]] = {}
    for name, entry in sorted(_content("emotions.json")["emotions"].items()):
        for family in entry["families"]:
            members.setdefault(family, []).append(name)
    return {family: tuple(names) for family, names in sorted(members.items())}


def nearest_names(emotion: Emotion, k: int = 3) -> tuple[str, ...]:
    """Name the k emotions that lie nearest, nearest first; ties in alphabetical order.

    Args:
        emotion: Any point; its own name is not left out.
        k: At least 1; more than there are names gives all names.

    Raises:
        ValueError: If k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    here = (emotion.valence, emotion.arousal)
    distances = {
        name: math.dist(here, (other.valence, other.arousal)) for name, other in _emotions().items()
    }
    return tuple(sorted(distances, key=lambda name: (distances[name], name))[:k])


@cache
def _emotions() -> dict[str, Emotion]:
    entries = _content("emotions.json")["emotions"].items()
    return {name: Emotion(entry["valence"], entry["arousal"], name) for name, entry in entries}


@cache
def aliases() -> dict[str, str]:
    """List other words for names; each stands for exactly one of `emotion_names()`."""
    return dict(_content("aliases.json"))


@cache
def _content(name: str) -> Any:
    import json
    from importlib.resources import files  # both imported late: they cost more than this module

    return json.loads(files("emomusic.emotion").joinpath(name).read_text(encoding="utf-8"))


def _normalised(text: str) -> str:
    return " ".join(text.replace("-", " ").replace("_", " ").casefold().split())


@lru_cache(maxsize=256)  # a table may say the same wrong word a million times
def _unknown(text: str, key: str) -> str:
    from difflib import get_close_matches

    shown, known = " ".join(text.split())[:40], [*_emotions(), *aliases()]
    near = get_close_matches(key, known, n=3, cutoff=0.6)
    for word in re.findall(r"\w+", key[:80]):  # "very sad" is near to nothing, and holds "sad"
        near += get_close_matches(word, known, n=1, cutoff=0.75)
    if near:
        return f"unknown emotion {shown!r}, nearest are: {', '.join([*dict.fromkeys(near)][:3])}"
    return (
        f"unknown emotion {shown!r}, accepted are Q1 to Q4 and {len(_emotions())} names such as "
        "joy, calm, sadness, anger"
    )
