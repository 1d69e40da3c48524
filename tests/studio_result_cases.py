"""A card and its parts for tests of the result, and a reader of the markup."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from emomusic.music.attributes import ATTRIBUTES


def window(first: int, last: int, quadrant: str, valence: float, arousal: float) -> dict[str, Any]:
    times = {"start_s": 2.0 * (first - 1), "end_s": 2.0 * last}
    heard = {"quadrant": quadrant, "valence": valence, "arousal": arousal}
    return {**times, "bars": [first, last], **heard, "fit": 1.0, "pull": 0.1}


def effect(cause: str, role: str) -> dict[str, Any]:
    return {"cause": cause, "words": f"usual {cause}", "role": role, "axis": None}


def verdict(**changes: Any) -> dict[str, Any]:
    return {
        "quadrant": "Q3",
        "probabilities": {"Q1": 0.02, "Q2": 0.07, "Q3": 0.81, "Q4": 0.1},
        "valence": -0.4,
        "arousal": -0.3,
        "valence_sd": 0.23,
        "arousal_sd": 0.18,
        "trust": 1.0,
        **changes,
    }


def card(**changes: Any) -> dict[str, Any]:
    middles = {entry.name: (entry.low + entry.high) / 2 for entry in ATTRIBUTES}
    return {
        "emotion": "sadness",
        "valence": -0.59,
        "arousal": -0.81,
        "bars": 8,
        "targets": dict(middles),
        "achieved": dict(middles),
        "verdict": verdict(),
        "best_of": 1,
        "explanation": {
            "quadrant": "Q3",
            "emotion": "sad",
            "sentence": "Sad (Q3, 0.81 sure): minor mode lowers valence.",
            "effects": [effect("mode", "for"), effect("tempo", "usual")],
        },
        "course": {
            "quadrant": "Q3",
            "sentence": "Most sad: bars 5 to 8.",
            "windows": [window(1, 4, "Q2", -0.2, 0.2), window(5, 8, "Q3", -0.5, -0.4)],
        },
        **changes,
    }


def record(**changes: Any) -> dict[str, Any]:
    whole = card()
    parts = {name: whole[name] for name in ("verdict", "explanation", "course")}
    return {"file": "some/where/song.mid", **parts, "attributes": whole["achieved"], **changes}


def read(markup: str) -> ElementTree.Element:
    """Parse markup strictly: every tag closed, every attribute quoted and escaped."""
    return ElementTree.fromstring(f"<all>{markup}</all>")


def of_class(markup: str, name: str) -> list[ElementTree.Element]:
    return [e for e in read(markup).iter() if name in (e.get("class") or "").split()]


def text_of(markup: str) -> str:
    return " ".join("".join(read(markup).itertext()).split())


def numbers(element: ElementTree.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.get(name, "nan").rstrip("%")) for name in names)
