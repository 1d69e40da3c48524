"""Named emotions: find a point by its name, and names by a point.

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
from functools import cache
from typing import Any

from emomusic.emotion.space import QUADRANT_CENTRES, QUADRANTS, Emotion


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
    """
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


def _unknown(text: str, key: str) -> str:
    from difflib import get_close_matches

    shown = " ".join(text.split())[:40]
    near = get_close_matches(key, [*_emotions(), *aliases()], n=3, cutoff=0.6)
    if near:
        return f"unknown emotion {shown!r}, nearest are: {', '.join(near)}"
    return (
        f"unknown emotion {shown!r}, accepted are Q1 to Q4 and {len(_emotions())} names such as "
        "joy, calm, sadness, anger"
    )
